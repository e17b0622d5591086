//! `hub server list` and `hub server stop`.

use std::process::Command;

use crate::front::{Front, Setup, TOKEN};

fn hub(front: &Front, arguments: &[&str]) -> (bool, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hub"));
    let output = command.arg("server").args(arguments).env("HOME", front.dir.path()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn running_servers_are_listed_with_their_tokens_s14_s15() {
    let front = Front::with_token(TOKEN).await;
    let dir = front.dir.path().canonicalize().unwrap();
    let line = format!("http://localhost:{}/?token={TOKEN} :: {}\n", front.port(), dir.display());
    assert_eq!(hub(&front, &["list"]), (true, format!("Currently running servers:\n{line}"), String::new()));
    let (_, json, _) = hub(&front, &["list", "--json"]);
    let (_, list, _) = hub(&front, &["list", "--jsonlist"]);
    let one: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&list).unwrap(), serde_json::json!([&one]));
    assert_eq!((one["token"].as_str(), one["pid"].as_u64()), (Some(TOKEN), front.child.id().map(Into::into)));
}

#[tokio::test]
async fn a_server_is_stopped_by_its_port() {
    let front = Front::with_token(TOKEN).await;
    let port = front.port().to_string();
    let (success, _, said) = hub(&front, &["stop", "1"]);
    assert!(!success && said.contains(&port), "{said}");
    // The child is reaped while it is waited for: one that nobody waits for counts as running.
    let mut front = front;
    let dir = front.dir.path().to_owned();
    let stopping = tokio::task::spawn_blocking(move || {
        Command::new(env!("CARGO_BIN_EXE_hub")).args(["server", "stop", &port]).env("HOME", dir).status().unwrap()
    });
    assert!(front.child.wait().await.unwrap().success());
    assert!(stopping.await.unwrap().success());
    let (success, _, said) = hub(&front, &["stop"]);
    assert!(!success && said.contains("no running servers"), "{said}");
}

#[tokio::test]
async fn a_server_that_is_gone_is_listed_no_more_s14() {
    let setup = Setup::new();
    let dir = setup.dir.path().to_owned();
    let mut front = setup.guard().await;
    front.child.kill().await.unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_hub")).args(["server", "list"]).env("HOME", &dir).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "Currently running servers:\n");
}
