//! Servers that share a host: what each sees and sets, and that nothing of a route outlives it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use hub_proxy::ProxyConfig;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::backend::{Backend, closed_port, echo_server, ok};
use crate::harness::{PATIENCE, TestProxy, get};

const COOKIES: &str = "_xsrf=x; __Host-jupyterhub-hub-login=l; jupyterhub-session-id=s; jupyterhub-user-alice=a; \
                       jupyterhub-user-bob=b";

fn of(user: &str) -> Value {
    json!({"user": user, "server_name": "", "jupyterhub": true})
}

async fn with_cookies(proxy: &TestProxy, path: &str) -> String {
    let mut client = proxy.client().await;
    client.send(format!("GET {path} HTTP/1.1\r\nHost: proxy\r\nCookie: {COOKIES}\r\n\r\n")).await;
    client.answer(false).await.unwrap().head
}

fn cookies_of(request: &str) -> Option<&str> {
    request.lines().find_map(|line| line.strip_prefix("Cookie: "))
}

fn set_cookies(head: &str) -> Vec<&str> {
    head.lines().filter_map(|line| line.strip_prefix("Set-Cookie: ")).collect()
}

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: a=b; Path=/user/alice/\r\n\
                      Set-Cookie: jupyterhub-hub-login=mine; Path=/hub/\r\nSet-Cookie: c=d; Path=/\r\n\
                      Set-Cookie: e=f; Domain=proxy\r\nClear-Site-Data: \"*\"\r\n\r\n";

#[tokio::test]
async fn a_server_sees_and_sets_what_is_its_own_rows_23_24() {
    let backend = Backend::fixed(ANSWER).await;
    let proxy = TestProxy::start(ProxyConfig::default()).await;
    proxy.route("/user/alice", backend.address, of("alice"));
    let head = with_cookies(&proxy, "/user/alice/lab").await;
    let seen = "_xsrf=x; jupyterhub-session-id=s; jupyterhub-user-alice=a";
    assert_eq!(cookies_of(&backend.requests()[0]), Some(seen));
    assert_eq!(set_cookies(&head), ["a=b; Path=/user/alice/", "c=d; Path=/user/alice/"]);
    assert!(!head.contains("Clear-Site-Data"), "{head}");
}

/// The hub's own answers, routes that no hub has made, users with hosts of their own, and the original's ways.
#[tokio::test]
async fn what_is_not_a_server_on_a_shared_host_is_left_alone_row_23() {
    let backend = Backend::fixed(ANSWER).await;
    let by_host = ProxyConfig { host_routing: true, ..ProxyConfig::default() };
    let compat = ProxyConfig { compat: true, ..ProxyConfig::default() };
    for (config, path, data) in [
        (ProxyConfig::default(), "/", json!({"hub": true, "jupyterhub": true})),
        (ProxyConfig::default(), "/user/alice", json!({"user": "alice"})),
        (by_host, "/proxy/user/alice", of("alice")),
        (compat, "/user/alice", of("alice")),
    ] {
        let proxy = TestProxy::start(config).await;
        proxy.route(path, backend.address, data);
        let head = with_cookies(&proxy, "/user/alice/lab").await;
        assert_eq!(cookies_of(backend.requests().last().unwrap()), Some(COOKIES), "{path}");
        assert_eq!(set_cookies(&head).len(), 4, "{path}");
        assert!(head.contains("Clear-Site-Data"), "{path}: {head}");
    }
}

/// Row 33 of the faults: an address may be another user's next.
#[tokio::test]
async fn what_goes_on_over_a_route_ends_with_it_row_33() {
    let (first, second) = (echo_server().await, echo_server().await);
    let proxy = TestProxy::start(ProxyConfig::default()).await;
    for way in ["removed", "led elsewhere"] {
        proxy.route("/user/alice", first, of("alice"));
        let url = format!("ws://{}/user/alice/channels", proxy.public);
        let (mut socket, _) = tokio_tungstenite::connect_async(&url).await.unwrap();
        // As the hub does it when it mends the table.
        proxy.route("/user/alice", first, of("alice"));
        socket.send(Message::text("still here")).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("still here"), "{way}");
        match way {
            "removed" => assert!(proxy.routes.remove("/user/alice")),
            _ => proxy.route("/user/alice", second, of("alice")),
        }
        let ended = tokio::time::timeout(PATIENCE, socket.next()).await.expect("the tunnel goes on");
        assert!(ended.is_none_or(|message| message.is_err()), "{way}");
    }
}

#[tokio::test]
async fn pooled_connections_end_with_their_route_row_33() {
    let backend = Backend::echo().await;
    let proxy = TestProxy::start(ProxyConfig::default()).await;
    // Another route keeps the pool of the address.
    proxy.route("/other", backend.address, json!({}));
    for user in ["alice", "bob"] {
        proxy.route(&format!("/user/{user}"), backend.address, of(user));
        for _ in 0..2 {
            proxy.get(&format!("/user/{user}/")).await;
        }
        proxy.routes.remove(&format!("/user/{user}"));
    }
    let connections = backend.connections.load(Ordering::SeqCst);
    assert_eq!(connections, 2, "one for each route");
}

#[tokio::test]
async fn a_request_that_waits_when_its_route_ends_reaches_nobody_row_33() {
    let backend = Backend::echo().await;
    let nobody = closed_port().await;
    let proxy = TestProxy::start(ProxyConfig::default()).await;
    // Requests for a hub wait while its address refuses.
    proxy.route("/", nobody, json!({"hub": true}));
    let mut client = proxy.client().await;
    client.send(&get("/hub/home")).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    proxy.route("/", backend.address, json!({"hub": true}));
    let stranger = Backend::at(nobody, ok).await;
    let answer = client.answer(false).await.unwrap();
    assert_eq!(answer.status, 503);
    assert_eq!(stranger.connections.load(Ordering::SeqCst), 0, "somebody else was asked");
    assert_eq!(proxy.get("/hub/home").await.status, 200);
}
