//! Where settings come from, and which of them counts: the same sources for the real server and for ours (S8).
//!
//! The real one reads them without serving (`clients/effective_settings.py`); ours serves, and is asked.

use std::{collections::BTreeMap, ffi::OsString, fs};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::json;

use crate::{
    jupyter_server::{Home, Side, is_generated},
    progress::explained,
    servers::Servers,
    suite::person::Person,
    upstream::Upstream,
};

/// Stands for a token that was made.
const GENERATED: &str = "(generated)";

/// Of `a password`: what `HASH` in a source stands for.
const HASH: &str = "sha1:0123456789ab:e6efb4cdcc007e2c6019943192744abc2acf8509";

/// Sources of settings. `{home}` in any of them is the home's directory.
struct Case {
    name: &'static str,
    /// Paths below the home, and what is in the files.
    files: &'static [(&'static str, &'static str)],
    env: &'static [(&'static str, &'static str)],
    args: &'static [&'static str],
    /// What ours makes of it where the requirements want something else than the real one does.
    differs: Option<(Difference, &'static str)>,
}

/// How ours differs from the real one.
#[derive(Clone, Copy)]
enum Difference {
    Token(&'static str),
    /// A token is generated, and asked for.
    Guarded,
    /// It does not start, and says why.
    Refused,
}

/// What settings come to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Effect {
    token: String,
    guarded: bool,
    base_url: String,
    root_dir: String,
}

const fn case(
    name: &'static str,
    files: &'static [(&'static str, &'static str)],
    env: &'static [(&'static str, &'static str)],
    args: &'static [&'static str],
) -> Case {
    Case { name, files, env, args, differs: None }
}

const PY: &str = "config/jupyter_server_config.py";
const JSON: &str = "config/jupyter_server_config.json";
const TOKEN_PY: (&str, &str) = (PY, "c = get_config()\nc.IdentityProvider.token = 'of py'\n");
const TOKEN_JSON: (&str, &str) = (JSON, r#"{"IdentityProvider": {"token": "of json"}}"#);
const TOKEN_ENV: (&str, &str) = ("JUPYTER_TOKEN", "of environment");
const TOKEN_FILE: (&str, &str) = ("JUPYTER_TOKEN_FILE", "{home}/token");

const CASES: &[Case] = &[
    case("nothing", &[], &[], &[]),
    case("a Python file", &[TOKEN_PY], &[], &[]),
    case("a JSON file", &[TOKEN_JSON], &[], &[]),
    case("both files", &[TOKEN_PY, TOKEN_JSON], &[], &[]),
    case("the old name in a Python file", &[(PY, "c.ServerApp.token = 'of the old name'\n")], &[], &[]),
    case("both names in a file", &[(PY, "c.ServerApp.token = 'old'\nc.IdentityProvider.token = 'new'\n")], &[], &[]),
    case("the old name over the new one", &[TOKEN_PY], &[], &["--ServerApp.token=old"]),
    case("a subclass", &[(JSON, r#"{"PasswordIdentityProvider": {"token": "of subclass"}}"#)], &[], &[]),
    case(
        "a subclass and its base",
        &[(JSON, r#"{"PasswordIdentityProvider": {"token": "a"}, "IdentityProvider": {"token": "b"}}"#)],
        &[],
        &[],
    ),
    case("a file for all programs", &[("config/jupyter_config.py", "c.IdentityProvider.token = 'of all'\n")], &[], &[]),
    case(
        "a file for all programs and one for servers",
        &[("config/jupyter_config.json", r#"{"IdentityProvider": {"token": "of all"}}"#), TOKEN_PY],
        &[],
        &[],
    ),
    Case {
        differs: Some((Difference::Refused, "files in Python are read, not run: a program could be anyone's")),
        ..case("a file with a program", &[(PY, "name = 'of ' + 'py'\nc.IdentityProvider.token = name\n")], &[], &[])
    },
    case(
        "another directory",
        &[("more/jupyter_server_config.json", TOKEN_JSON.1)],
        &[("JUPYTER_CONFIG_PATH", "{home}/more")],
        &[],
    ),
    case(
        "another directory and the user's",
        &[("more/jupyter_server_config.json", TOKEN_JSON.1), TOKEN_PY],
        &[("JUPYTER_CONFIG_PATH", "{home}/more")],
        &[],
    ),
    case(
        "another file",
        &[("other.py", "c.IdentityProvider.token = 'of other'\n"), TOKEN_PY],
        &[],
        &["--config={home}/other.py"],
    ),
    case(
        "the working directory",
        &[("notebooks/jupyter_server_config.py", "c.IdentityProvider.token = 'of here'\n")],
        &[],
        &[],
    ),
    case(
        "the working directory and the user's",
        &[("notebooks/jupyter_server_config.py", "c.IdentityProvider.token = 'of here'\n"), TOKEN_JSON],
        &[],
        &[],
    ),
    case("the environment", &[], &[TOKEN_ENV], &[]),
    case("a file that the environment names", &[("token", "of file")], &[TOKEN_FILE], &[]),
    Case {
        differs: Some((Difference::Token("of file"), "an editor ends a line; no token can hold the end of one")),
        ..case("a file that ends with a line", &[("token", "of file\n")], &[TOKEN_FILE], &[])
    },
    case("both in the environment", &[("token", "of file")], &[TOKEN_ENV, TOKEN_FILE], &[]),
    case("a file over the environment", &[TOKEN_PY], &[TOKEN_ENV], &[]),
    case("a flag", &[], &[], &["--IdentityProvider.token=of flag"]),
    case("a flag over everything", &[TOKEN_PY, TOKEN_JSON], &[TOKEN_ENV], &["--IdentityProvider.token=of flag"]),
    case("an old flag over the environment", &[], &[TOKEN_ENV], &["--ServerApp.token=old"]),
    case("both flags", &[], &[], &["--ServerApp.token=old", "--IdentityProvider.token=new"]),
    case("a flag twice", &[], &[], &["--IdentityProvider.token=first", "--IdentityProvider.token=second"]),
    case("a flag with a space", &[], &[], &["--IdentityProvider.token", "apart"]),
    case("an empty environment", &[], &[("JUPYTER_TOKEN", "")], &[]),
    case("a password", &[], &[], &["--PasswordIdentityProvider.hashed_password=HASH"]),
    case("an old password", &[], &[], &["--ServerApp.password=HASH"]),
    case("a password file", &[(JSON, r#"{"IdentityProvider": {"hashed_password": "HASH"}}"#)], &[], &[]),
    case("a password and a token", &[TOKEN_PY], &[], &["--ServerApp.password=HASH"]),
    case("a password and the environment's token", &[], &[TOKEN_ENV], &["--ServerApp.password=HASH"]),
    case("a password and an empty token", &[], &[], &["--ServerApp.password=HASH", "--IdentityProvider.token="]),
    case("an empty password", &[], &[], &["--ServerApp.password="]),
    case("both empty", &[], &[], &["--ServerApp.token=", "--ServerApp.password="]),
    case(
        "both empty by their new names",
        &[],
        &[],
        &["--IdentityProvider.token=", "--PasswordIdentityProvider.hashed_password="],
    ),
    case("both empty in a file", &[(PY, "c.ServerApp.token = ''\nc.ServerApp.password = ''\n")], &[], &[]),
    case("both empty, one in a file", &[(PY, "c.ServerApp.token = ''\n")], &[], &["--ServerApp.password="]),
    Case {
        differs: Some((Difference::Guarded, "S24: only both together switch authentication off")),
        ..case("an empty token", &[], &[], &["--IdentityProvider.token="])
    },
    Case {
        differs: Some((Difference::Guarded, "S24: only both together switch authentication off")),
        ..case("an empty token in a file", &[(PY, "c.ServerApp.token = ''\n")], &[], &[])
    },
    case("a base URL", &[], &[], &["--ServerApp.base_url=/below/it"]),
    case("a base URL in a file", &[(PY, "c.ServerApp.base_url = 'below'\n")], &[], &[]),
    case("a directory", &[], &[], &["--ServerApp.root_dir={home}/config"]),
    case("a directory in a file", &[(JSON, r#"{"ServerApp": {"root_dir": "{home}/data"}}"#)], &[], &[]),
    case("a directory by its alias", &[], &[], &["--notebook-dir={home}/config"]),
];

impl Case {
    /// A text of this case with the home's directory in it.
    fn filled(&self, text: &str, home: &Home) -> String {
        text.replace("{home}", &home.path().to_string_lossy()).replace("HASH", HASH)
    }

    fn home(&self) -> Result<Home> {
        let home = Home::new()?;
        for (path, text) in self.files {
            let file = home.path().join(path);
            fs::create_dir_all(file.parent().context("a file lies in a directory")?)?;
            fs::write(file, self.filled(text, &home))?;
        }
        Ok(home)
    }

    fn args(&self, home: &Home) -> Vec<String> {
        self.args.iter().map(|arg| self.filled(arg, home)).collect()
    }

    fn env(&self, home: &Home) -> Vec<(&'static str, String)> {
        self.env.iter().map(|(name, value)| (*name, self.filled(value, home))).collect()
    }

    /// What ours must come to, `None` where it must not start; an error if a difference is none.
    fn expected(&self, real: &Option<Effect>) -> Result<Option<Effect>> {
        let Some((difference, reason)) = self.differs else { return Ok(real.clone()) };
        let real = real.as_ref().context("the real server does not start")?;
        let mut expected = real.clone();
        match difference {
            Difference::Token(token) => expected.token = token.to_owned(),
            Difference::Guarded => (expected.token, expected.guarded) = (GENERATED.to_owned(), true),
            Difference::Refused => return Ok(None),
        }
        ensure!(expected != *real, "`{reason}` makes no difference to {real:?}");
        Ok(Some(expected))
    }
}

/// S8, S24, and the order in which sources count.
pub(super) async fn the_same_source_counts_as_in_the_real_one_s8(servers: &Servers) -> Result<()> {
    let homes: Vec<Home> = CASES.iter().map(Case::home).collect::<Result<_>>()?;
    let real = real_effects(servers, &homes).await?;
    let upstream = Upstream::start().await?;
    let mut wrong = Vec::new();
    for ((case, home), real) in CASES.iter().zip(&homes).zip(real) {
        let expected = case.expected(&real).context(case.name)?;
        match (expected, our_effect(servers, case, home, &upstream).await) {
            (Some(expected), Ok(ours)) if ours == expected => {}
            (None, Err(_)) => {} // neither starts
            (expected, Ok(ours)) => {
                wrong.push(format!("{}\n    expected {expected:?}\n    ours     {ours:?}", case.name));
            }
            (_, Err(error)) => wrong.push(format!("{}: {}", case.name, explained(&error))),
        }
    }
    ensure!(wrong.is_empty(), "{} of {} cases differ\n{}", wrong.len(), CASES.len(), wrong.join("\n"));
    Ok(())
}

async fn real_effects(servers: &Servers, homes: &[Home]) -> Result<Vec<Option<Effect>>> {
    let mut cases = Vec::new();
    for (case, home) in CASES.iter().zip(homes) {
        let own = case.env(home).into_iter().map(|(name, value)| (name, OsString::from(value)));
        let env: BTreeMap<_, _> = servers.environment(home)?.into_iter().chain(own).collect();
        let env: BTreeMap<_, _> = env.iter().map(|(name, value)| (name, value.to_string_lossy())).collect();
        cases.push(json!({"env": env, "args": case.args(home), "dir": home.notebooks()}));
    }
    let said = servers.script("effective_settings.py", &homes[0])?.input(json!(cases).to_string()).output().await?;
    serde_json::from_str(&said).with_context(|| format!("the real server's settings are {said}"))
}

async fn our_effect(servers: &Servers, case: &Case, home: &Home, upstream: &Upstream) -> Result<Effect> {
    let (args, env) = (case.args(home), case.env(home));
    let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
    let url = upstream.url();
    args.extend(["--upstream", &url]);
    let env: Vec<_> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let server = servers.start(Side::Ours, home, &args, &env).await?;
    let text = |field: &str| server.info[field].as_str().unwrap_or_default().to_owned();
    let base_url = text("base_url");
    let stranger = Person::new("stranger", &server.origin)?;
    let guarded = stranger.look(&base_url).await?.status != 200;
    let token = if is_generated(server.token()) { GENERATED.to_owned() } else { server.token().to_owned() };
    let effect = Effect { token, guarded, base_url, root_dir: text("root_dir") };
    server.stop().await?;
    Ok(effect)
}
