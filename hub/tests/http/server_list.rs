//! `hub server list` in the hub's pod: what runs, in the words of Jupyter Server's own list (S14 to S17).

use axum::http::Method;
use hub::control;
use hub_crds::ServerLimits;
use hub_server::ServerInfo;
use std::{
    os::unix::net::UnixListener,
    path::PathBuf,
    process::{Command, Output},
};
use url::Url;

use crate::test_hub::{ADMIN_TOKEN, ALICE_TOKEN, BOB_TOKEN, Settings, TestHub};

/// The command, as it is run beside the hub.
async fn list(socket: PathBuf, flags: &'static [&str]) -> Output {
    let command = move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hub"));
        command.args(["server", "list", "--socket"]).arg(socket).args(flags).output().unwrap()
    };
    tokio::task::spawn_blocking(command).await.unwrap()
}

fn words(output: &Output) -> &str {
    assert!(output.status.success(), "{output:?}");
    std::str::from_utf8(&output.stdout).unwrap()
}

#[tokio::test]
async fn the_hub_is_listed_with_its_tokens_and_users_servers_without_s14_s15_s16_s17() {
    let limits = ServerLimits { allow_named_servers: true, ..ServerLimits::default() };
    let hub = TestHub::with(Settings { limits, blocked: &["bob"], ..Settings::default() }).await;
    let socket = hub.path("control/hub.sock");
    tokio::spawn(control::serve(hub.app.clone(), control::listen(&socket).unwrap()));
    let (url, directory) = (&hub.proxy_url, hub.directory.path().display());
    let own = format!(
        "Currently running servers:\n{url}/?token={ALICE_TOKEN} :: {directory}\n{url}/?token={ADMIN_TOKEN} :: {directory}\n"
    );
    assert_eq!(words(&list(socket.clone(), &[]).await), own, "bob is blocked: his token logs nobody in");
    hub.start_server("root", ADMIN_TOKEN).await;
    hub.api(Method::POST, "/users/alice/servers/lab", ALICE_TOKEN, None).await;
    let events = hub.get("/users/alice/servers/lab/progress", ALICE_TOKEN).await;
    assert!(events.text.contains("\"ready\":true"), "{}", events.text);
    let output = list(socket.clone(), &[]).await;
    let text = words(&output);
    assert_eq!(text, format!("{own}{url}/user/alice/lab/ :: {directory}\n{url}/user/root/ :: {directory}\n"));
    assert!(!text.contains(BOB_TOKEN));

    // Pasting a listed address logs in.
    let line = text.lines().nth(1).unwrap().split(" :: ").next().unwrap();
    let address = Url::parse(line).unwrap()[url::Position::BeforePath..].replacen('/', "/hub/", 1);
    let mut browser = hub.browser();
    assert_eq!(browser.get(&address).await.location(), "/hub/");
    assert!(browser.get("/hub/home").await.text.contains("<span>alice</span>"));

    hub.stop_server("root", ADMIN_TOKEN).await;
    let output = list(socket.clone(), &["--jsonlist"]).await;
    let servers: Vec<ServerInfo> = serde_json::from_str(words(&output)).unwrap();
    assert_eq!(servers.len(), 3, "what has ended is not listed");
    let port = Url::parse(url).unwrap().port().unwrap();
    assert_eq!((servers[0].hostname.as_str(), servers[0].port, servers[0].secure), ("127.0.0.1", port, false));
    assert_eq!((servers[0].token.as_str(), servers[0].base_url.as_str()), (ALICE_TOKEN, "/"));
    assert_eq!((servers[2].token.as_str(), servers[2].base_url.as_str()), ("", "/user/alice/lab/"));
    let output = list(socket.clone(), &["--json"]).await;
    let lines: Vec<ServerInfo> = words(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, servers);
}

#[tokio::test]
async fn a_hub_with_a_password_is_listed_without_a_token_s17() {
    let hub = TestHub::with(Settings {
        dummy_password: Some("open sesame"),
        base_url: "/jupyter/",
        public_url: Some("https://hub.test/jupyter/"),
        ..Settings::default()
    })
    .await;
    let socket = hub.path("control/hub.sock");
    tokio::spawn(control::serve(hub.app.clone(), control::listen(&socket).unwrap()));
    let output = list(socket, &["--json"]).await;
    let own: ServerInfo = serde_json::from_str(words(&output)).unwrap();
    assert_eq!((own.token.as_str(), own.password), ("", true));
}

/// Nothing runs, or what ran was killed: its socket is only a name.
#[tokio::test]
async fn without_a_hub_nothing_is_listed() {
    let place = tempfile::tempdir().unwrap();
    let absent = list(place.path().join("hub.sock"), &[]).await;
    assert_eq!(words(&absent), "Currently running servers:\n");
    drop(UnixListener::bind(place.path().join("dead.sock")).unwrap());
    for (flags, expected) in [(&[][..], "Currently running servers:\n"), (&["--json"], ""), (&["--jsonlist"], "[]\n")] {
        let dead = list(place.path().join("dead.sock"), flags).await;
        assert_eq!(words(&dead), expected);
    }
}
