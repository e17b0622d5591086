//! `jupyter server list` and `jupyter server stop` beside `hub server list` and `hub server stop`, with servers of both
//! sides in one runtime directory.

use std::{collections::BTreeSet, fs};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use serde_json::Value;

use crate::{
    jupyter_server::{Home, JupyterServer, Side, is_generated},
    program::processes_in,
    servers::Servers,
    suite::person::Person,
};

const HASH: &str = "sha1:0e112c3ddfce:a68df677475c2b47b6e86d0467eec97ac5f4b85a";
/// A process's number is never as large.
const GONE: u32 = 1 << 30;

/// S14, S15, S17: in the page's format and in both machine-readable ones.
pub(super) async fn each_side_lists_the_servers_of_both_s14_s15_s17(servers: &Servers) -> Result<()> {
    let home = Home::new()?;
    let password = [&*format!("--ServerApp.password={HASH}")];
    let nothing = ["--ServerApp.token=", "--ServerApp.password="];
    let based = ["--ServerApp.token=given", "--ServerApp.base_url=/below/"];
    let cases = [(&[][..], true), (&password, false), (&nothing, false), (&based, true)];
    let starts = Side::BOTH.into_iter().flat_map(|side| cases.map(|(args, listed)| (side, args, listed)));
    let running = try_join_all(starts.map(async |(side, args, listed)| {
        let server = servers.start_small(side, &home, args, &[]).await?;
        ensure!(server.token().is_empty() != listed, "{side:?} lists {}", server.info);
        Ok(server)
    }));
    let running = running.await?;
    same_description(&running[0], &running[4])?;
    let expected: BTreeSet<String> = running.iter().map(|server| line(server, &home)).collect();
    ensure!(expected.len() == running.len(), "{expected:?}");
    let dead = dead_entries(&home)?;
    let mut said = Vec::new();
    for side in Side::BOTH {
        let list = async |args: &[&str]| servers.command(side, &home, "list")?.args(args).output().await;
        let plain = list(&[]).await?;
        let (title, lines) = plain.split_once('\n').context("a list has lines")?;
        ensure!(title == "Currently running servers:", "{side:?} begins with `{title}`");
        let lines: BTreeSet<String> = lines.lines().map(str::to_owned).collect();
        ensure!(lines == expected, "{side:?} lists {lines:#?}\nnot {expected:#?}");
        let objects: Vec<Value> =
            list(&["--json"]).await?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let whole: Vec<Value> = serde_json::from_str(&list(&["--jsonlist"]).await?)?;
        ensure!(sorted(&objects) == sorted(&whole), "{side:?}: --json and --jsonlist differ");
        said.push(sorted(&whole));
    }
    ensure!(said[0] == said[1], "the real one lists {:#?}\nours {:#?}", said[0], said[1]);
    ensure!(dead.iter().all(|file| !file.exists()), "what is dead is listed for ever");
    for server in running {
        server.stop().await?;
    }
    let left: Vec<_> =
        fs::read_dir(home.runtime())?.filter_map(|file| file.ok()?.file_name().into_string().ok()).collect();
    ensure!(!left.iter().any(|name| name.starts_with("jpserver-")), "servers that ended leave {left:?}");
    Ok(())
}

/// As the page has it.
fn line(server: &JupyterServer, home: &Home) -> String {
    let base = server.info["base_url"].as_str().unwrap_or_default();
    let token = server.token();
    let query = if token.is_empty() { String::new() } else { format!("?token={token}") };
    format!("{}{base}{query} :: {}", server.origin, home.notebooks().display())
}

/// Whoever reads the real one's file finds the same in ours.
fn same_description(real: &JupyterServer, ours: &JupyterServer) -> Result<()> {
    let own = |info: &Value| {
        let mut info = info.clone();
        ["pid", "port", "token", "url", "version"]
            .iter()
            .for_each(|field| info[field] = Value::from(kind(&info[field])));
        info
    };
    ensure!(own(&real.info) == own(&ours.info), "the real one's file holds {}\nours {}", real.info, ours.info);
    Ok(())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "text",
        Value::Number(_) => "number",
        _ => "something else",
    }
}

/// Files of servers that ended without removing them, and of versions that did not say their process.
fn dead_entries(home: &Home) -> Result<Vec<std::path::PathBuf>> {
    let entries =
        [(GONE, format!(r#"{{"pid": {GONE}, "url": "http://dead/", "root_dir": "/"}}"#)), (7, "{}".to_owned())];
    let write = |(number, text): &(u32, String)| {
        let file = home.runtime().join(format!("jpserver-{number}.json"));
        fs::write(&file, text)?;
        Ok(file)
    };
    entries.iter().map(write).collect()
}

fn sorted(objects: &[Value]) -> BTreeSet<String> {
    objects.iter().map(Value::to_string).collect()
}

/// S16, S18: pasted, it logs in, and the cookie is enough from then on.
pub(super) async fn a_listed_address_logs_in_s16_s18(servers: &Servers) -> Result<()> {
    let home = Home::new()?;
    for side in Side::BOTH {
        let server = servers.start(side, &home, &[], &[]).await?;
        let list = servers.command(side.other(), &home, "list")?.output().await?;
        let url =
            list.lines().find_map(|line| line.strip_prefix(&server.origin)?.split_once(" :: ")).context("no line")?.0;
        let ada = Person::new("ada", &server.origin)?;
        let lab = ada.visit(url).await?.expect(&[200])?;
        ensure!(lab.path() == "/lab", "{side:?}: {url} leads to {}", lab.url);
        ada.visit("/lab").await?.expect(&[200])?;
        let stranger = Person::new("grace", &server.origin)?;
        ensure!(stranger.visit("/lab").await?.path() == "/login", "{side:?} is open to everyone");
        server.stop().await?;
    }
    Ok(())
}

/// S9: whoever can read the log can log in with a token that was made for it, and with no other.
pub(super) async fn the_log_shows_a_generated_token_as_an_address_and_no_given_one_s9(servers: &Servers) -> Result<()> {
    const GIVEN: &str = "a-token-that-somebody-chose";
    for side in Side::BOTH {
        let home = Home::new()?;
        let server = servers.start_small(side, &home, &[], &[]).await?;
        server.says("is running at:").await?;
        let page = if side == Side::Real { "lab" } else { "" };
        let address = format!("{}/{page}?token={}", server.origin, server.token());
        let log = server.log();
        ensure!(is_generated(server.token()) && log.contains(&address), "{side:?} does not log {address}:\n{log}");
        if side == Side::Ours {
            // In the page's words: the line, and below it the address alone.
            let (before, after) = log.split_once("The Jupyter Server is running at:\n").context("the words differ")?;
            let line = before.lines().last().unwrap_or_default();
            ensure!(line.starts_with("[I ") && line.ends_with(" ServerApp] "), "the line begins with `{line}`");
            ensure!(after.lines().next() == Some(&address), "below it stands {after}");
        }
        server.stop().await?;
        for (args, env) in [
            (&["--IdentityProvider.token=a-token-that-somebody-chose"][..], &[][..]),
            (&[], &[("JUPYTER_TOKEN", GIVEN)]),
        ] {
            let server = servers.start_small(side, &home, args, env).await?;
            server.says("is running at:").await?;
            ensure!(!server.log().contains(GIVEN), "{side:?} logs a token that was given:\n{}", server.log());
            server.stop().await?;
        }
    }
    Ok(())
}

/// `stop PORT`, with the processes that the server started.
pub(super) async fn each_side_stops_the_servers_of_the_other(servers: &Servers) -> Result<()> {
    for side in Side::BOTH {
        let home = Home::new()?;
        let mut server = servers.start_small(side, &home, &[], &[]).await?;
        let file = home.info_file(server.pid()?);
        let stay = servers.start_small(side, &home, &[], &[]).await?;
        let stop =
            |port: u16| Ok::<_, anyhow::Error>(servers.command(side.other(), &home, "stop")?.arg(port.to_string()));
        let wrong = stop(1)?.output().await.err().context("a port that nobody has is stopped")?.to_string();
        ensure!(wrong.contains(&server.port().to_string()), "{:?} does not say what runs: {wrong}", side.other());
        // Together: a process whose end nobody has taken note of is still there.
        let stopping = stop(server.port())?;
        let (stopped, ended) = tokio::join!(stopping.output(), server.ended());
        stopped.with_context(|| format!("{:?} stops {side:?}", side.other())).and(ended)?;
        ensure!(!file.exists(), "{side:?} leaves its file");
        ensure!(home.info_file(stay.pid()?).exists(), "another one was stopped, too");
        stay.stop().await?;
        let left = processes_in(&home.notebooks())?;
        ensure!(left.is_empty(), "processes outlive {side:?}: {left:?}");
    }
    Ok(())
}
