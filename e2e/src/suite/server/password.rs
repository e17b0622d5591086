//! `hub server password` and `jupyter server password`: each side takes what the other made.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    jupyter_server::{Home, JupyterServer, Side},
    servers::Servers,
    suite::person::Person,
};

/// Not only letters that every encoding has.
const PASSWORD: &str = "corréct hörse 🐎";
const FILE: &str = "jupyter_server_config.json";
/// The real program's cost of a hash.
const ARGON2: &str = "argon2:$argon2id$v=19$m=10240,t=10,p=8$";

/// What a program showed on its terminal.
#[derive(Debug, Deserialize)]
struct Terminal {
    shown: String,
    code: Option<i32>,
    asked: usize,
}

/// S20-S23: set with one side's command, asked for by the other side's server; no token beside it (S3), none listed (S17).
pub(super) async fn each_side_takes_the_password_that_the_other_set_s20_s21_s22_s23(servers: &Servers) -> Result<()> {
    for (setter, server) in [(Side::Real, Side::Ours), (Side::Ours, Side::Real), (Side::Ours, Side::Ours)] {
        let home = Home::new()?;
        let terminal = set_password(servers, setter, &home, &[PASSWORD, PASSWORD]).await?;
        ensure!(terminal.code == Some(0) && terminal.asked == 2, "{setter:?}: {terminal:?}");
        ensure!(!terminal.shown.contains(PASSWORD), "{setter:?} shows what is typed: {}", terminal.shown);
        ensure!(terminal.shown.contains("Wrote hashed password to"), "{setter:?} says {}", terminal.shown);
        let hash = stored(&home)?["IdentityProvider"]["hashed_password"].as_str().unwrap_or_default().to_owned();
        ensure!(hash.starts_with(ARGON2), "{setter:?} stores {hash}");
        ensure!(mode(&home)? == 0o600, "{setter:?} leaves the file with mode {:o}", mode(&home)?);
        ensure!(verified(servers, &home, &hash, PASSWORD).await?, "the real passwd_check refuses {hash}");
        ensure!(!verified(servers, &home, &hash, "wrong").await?, "the real passwd_check takes anything for {hash}");

        let running = servers.start_small(server, &home, &[], &[]).await?;
        opens_with(&running, PASSWORD).await.with_context(|| format!("{setter:?} set it, {server:?} asks for it"))?;
        ensure!(running.token().is_empty(), "{server:?} has a token beside the password");
        running.stop().await?;
    }
    Ok(())
}

/// The old hashes, which the real library still makes.
pub(super) async fn old_hashes_are_taken_s22(servers: &Servers) -> Result<()> {
    for algorithm in ["sha1", "sha256", "argon2"] {
        for side in Side::BOTH {
            let home = Home::new()?;
            let made = "import sys; from jupyter_server.auth import passwd; print(passwd(sys.argv[1], sys.argv[2]))";
            let hash = servers.python(&home)?.args(["-c", made, PASSWORD, algorithm]).output().await?;
            let flag = format!("--PasswordIdentityProvider.hashed_password={hash}");
            let running = servers.start_small(side, &home, &[&flag], &[]).await?;
            opens_with(&running, PASSWORD).await.with_context(|| format!("{algorithm} at {side:?}"))?;
            running.stop().await?;
        }
    }
    Ok(())
}

/// S21: whoever mistypes may try again, but not for ever.
pub(super) async fn the_question_is_asked_three_times_s21(servers: &Servers) -> Result<()> {
    for side in Side::BOTH {
        let home = Home::new()?;
        let missed = ["a", "b", "a", "b", "a", "b"];
        let terminal = set_password(servers, side, &home, &missed).await?;
        ensure!(terminal.code == Some(1) && terminal.asked == 6, "{side:?}: {terminal:?}");
        ensure!(!home.config().join(FILE).exists(), "{side:?} writes a password that nobody confirmed");
        let terminal = set_password(servers, side, &home, &["a", "b", PASSWORD, PASSWORD]).await?;
        ensure!(terminal.code == Some(0) && terminal.asked == 4, "{side:?}: {terminal:?}");
        ensure!(terminal.shown.contains("Passwords do not match"), "{side:?} says {}", terminal.shown);
    }
    Ok(())
}

/// S22: the file is the user's, and holds more than a password.
pub(super) async fn what_else_the_file_holds_is_kept_s22(servers: &Servers) -> Result<()> {
    let before = json!({
        "ServerApp": {"root_dir": "/srv/ö", "nested": {"list": [1, 2.5, null, true]}},
        "IdentityProvider": {"cookie_name": "kept", "hashed_password": "sha1:old:hash"},
    });
    for side in Side::BOTH {
        let home = Home::new()?;
        let file = home.config().join(FILE);
        fs::write(&file, before.to_string())?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644))?;
        let terminal = set_password(servers, side, &home, &[PASSWORD, PASSWORD]).await?;
        ensure!(terminal.code == Some(0), "{side:?}: {terminal:?}");
        let mut after = stored(&home)?;
        let hash = after["IdentityProvider"]["hashed_password"].take();
        ensure!(hash.as_str().is_some_and(|hash| hash.starts_with(ARGON2)), "{side:?} stores {hash}");
        let mut wanted = before.clone();
        wanted["IdentityProvider"]["hashed_password"] = Value::Null;
        ensure!(after == wanted, "{side:?} makes {after} of the rest");
        ensure!(mode(&home)? == 0o600, "{side:?} leaves the file with mode {:o}", mode(&home)?);
    }
    Ok(())
}

async fn set_password(servers: &Servers, side: Side, home: &Home, answers: &[&str]) -> Result<Terminal> {
    let terminal = servers.on_terminal(side, home, "password")?.input(json!(answers).to_string());
    let said = terminal.output().await?;
    serde_json::from_str(&said).with_context(|| format!("the terminal says {said}"))
}

fn stored(home: &Home) -> Result<Value> {
    let text = fs::read_to_string(home.config().join(FILE)).context("there is no settings file")?;
    serde_json::from_str(&text).with_context(|| format!("the settings file holds {text}"))
}

fn mode(home: &Home) -> Result<u32> {
    Ok(fs::metadata(home.config().join(FILE))?.permissions().mode() & 0o7777)
}

/// What the real library says of a hash.
async fn verified(servers: &Servers, home: &Home, hash: &str, password: &str) -> Result<bool> {
    let check = "import sys; from jupyter_server.auth import passwd_check; print(passwd_check(*sys.argv[1:]))";
    Ok(servers.python(home)?.args(["-c", check, hash, password]).output().await? == "True")
}

/// The form opens with this password, and not with another one.
async fn opens_with(server: &JupyterServer, password: &str) -> Result<()> {
    for (typed, status) in [("wrong", 401), ("", 401), (password, 200)] {
        let ada = Person::new("ada", &server.origin)?;
        let form = ada.visit("/login").await?.expect(&[200])?;
        let answer = ada.submit(&form, &BTreeMap::from([("password", typed)])).await?;
        ensure!(answer.status == status, "`{typed}` gets {}, not {status}", answer.status);
        ensure!((answer.path() == "/login") == (status == 401), "`{typed}` leads to {}", answer.path());
    }
    Ok(())
}
