//! No authentication at all: only if both settings say so, and not without a word (S24-S26).

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use anyhow::{Context, Result, ensure};

use crate::{
    bench::process::Process,
    http::client,
    jupyter_server::{Home, JupyterServer, Side},
    servers::Servers,
    upstream::{BODY, Upstream},
};

/// The real server's words.
const WARNING: &str =
    "All authentication is disabled.  Anyone who can connect to this server will be able to run code.";
const NO_TOKEN: &str = "--IdentityProvider.token=";
const NO_PASSWORD: &str = "--PasswordIdentityProvider.hashed_password=";

/// S25: in the real one's words, and in nobody else's log.
pub(super) async fn both_empty_is_warned_of_loudly_s24_s25(servers: &Servers) -> Result<()> {
    for side in Side::BOTH {
        for (args, open) in [(&[NO_TOKEN, NO_PASSWORD][..], true), (&[], false)] {
            let home = Home::new()?;
            let server = servers.start_small(side, &home, args, &[]).await?;
            server.says("is running at:").await?;
            let warns = server.log().contains(WARNING);
            ensure!(warns == open, "{side:?} with {args:?} warns: {warns}\n{}", server.log());
            server.stop().await?;
        }
    }
    Ok(())
}

/// S24: whatever is empty alone, and however it is said, leaves the server guarded.
pub(super) async fn one_empty_setting_alone_disables_nothing_s24(servers: &Servers) -> Result<()> {
    let upstream = Upstream::start().await?;
    let url = upstream.url();
    let empty_file = "c.IdentityProvider.token = ''\n";
    for (args, env, file) in [
        (&[NO_TOKEN][..], &[][..], ""),
        (&["--ServerApp.token="], &[], ""),
        (&[NO_PASSWORD], &[], ""),
        (&["--ServerApp.password="], &[], ""),
        (&[], &[("JUPYTER_TOKEN", "")], ""),
        (&[NO_PASSWORD], &[("JUPYTER_TOKEN", "")], ""),
        (&[], &[("JUPYTER_TOKEN_FILE", "/dev/null")], ""),
        (&[NO_PASSWORD], &[("JUPYTER_TOKEN_FILE", "/dev/null")], ""),
        (&[], &[], empty_file),
        (&["--ServerApp.password=sha1:0123456789ab:e6efb4cdcc007e2c6019943192744abc2acf8509", NO_TOKEN], &[], ""),
        (&["--IdentityProvider.token=given", NO_PASSWORD], &[], ""),
        (&["--IdentityProvider.token= ", NO_PASSWORD], &[], ""),
    ] {
        let home = Home::new()?;
        fs::write(home.config().join("jupyter_server_config.py"), file)?;
        let case = format!("{args:?} {env:?} {file}");
        let started = servers.start(Side::Ours, &home, &[args, &["--upstream", &url]].concat(), env).await;
        let server = match started {
            Ok(server) => server,
            // A file that was to hold a token and holds none is somebody's mistake.
            Err(error) if env.iter().any(|(name, _)| error.to_string().contains(name)) => continue,
            Err(error) => return Err(error.context(case)),
        };
        ensure!(!is_open(&server).await?, "{case} is open");
        ensure!(!server.log().contains(WARNING), "{case} says that it is open");
        server.stop().await?;
    }
    Ok(())
}

async fn is_open(server: &JupyterServer) -> Result<bool> {
    Ok(client(None)?.get(&server.origin).send().await?.text().await? == BODY)
}

/// S26: that the program behind asks for nothing is safe, since only the front reaches it.
pub(super) async fn the_program_without_authentication_is_reached_through_the_front_only_s26(
    servers: &Servers,
) -> Result<()> {
    let home = Home::new()?;
    let server = servers.start(Side::Ours, &home, &[], &[]).await?;
    let behind = children(server.pid()?)?;
    ensure!(behind.len() == 1, "{} processes are behind the front", behind.len());
    let ports = Process(behind[0]).ports()?;
    ensure!(ports.is_empty(), "the program behind listens on {ports:?}");
    let command = String::from_utf8(fs::read(format!("/proc/{}/cmdline", behind[0]))?)?;
    let socket = command.split('\0').find_map(|arg| arg.split_once("sock=")).context("it has no socket")?.1;
    let dir = Path::new(socket).parent().context("a socket lies in a directory")?;
    let mode = fs::metadata(dir)?.permissions().mode() & 0o777;
    ensure!(mode == 0o700, "others can enter {}: {mode:o}", dir.display());
    let dir = dir.to_owned();
    server.stop().await?;
    ensure!(!dir.exists(), "{} is left", dir.display());
    Ok(())
}

fn children(pid: u32) -> Result<Vec<u32>> {
    let mut children = Vec::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let of_thread = fs::read_to_string(thread?.path().join("children"))?;
        children.extend(of_thread.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
    }
    Ok(children)
}
