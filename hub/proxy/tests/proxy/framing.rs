//! Requests that two readers could understand differently, on raw sockets: none may reach a backend as more than one. Those
//! that are refused by their head stand in `attacks`.

use std::sync::atomic::Ordering;

use serde_json::json;

use crate::backend::{Backend, ok};
use crate::harness::{TestProxy, get};

#[tokio::test]
async fn doubtful_chunks_end_the_request_row_5() {
    let backend = Backend::fixed(ok("")).await;
    let proxy = TestProxy::to(backend.address).await;
    let extension = format!("1;{}\r\na\r\n0\r\n\r\n", "a".repeat(1024 * 1024));
    let bodies = [
        "0x1\r\na\r\n0\r\n\r\n",
        "+1\r\na\r\n",
        "-1\r\n",
        "1_0\r\n",
        "11111111111111111\r\n",
        "1\na\n0\n\n",
        "1\r\nab\r\n",
        &extension,
    ];
    for body in bodies {
        let mut client = proxy.client().await;
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        client.send(body).await;
        let answer = client.answer(false).await.unwrap();
        assert_eq!(answer.status, 400, "{:?}", &body[..body.len().min(40)]);
        assert!(client.rest().await.is_empty());
    }
    assert_eq!(backend.requests(), Vec::<String>::new());
}

/// CVE-2026-29057: the original forwards these bodies behind `Content-Length: 0`, where they become requests.
#[tokio::test]
async fn bodies_of_delete_and_options_stay_bodies_row_2() {
    let backend = Backend::fixed(ok("")).await;
    let proxy = TestProxy::to(backend.address).await;
    let hidden = get("/admin");
    for method in ["DELETE", "OPTIONS", "GET"] {
        let mut client = proxy.client().await;
        let head = format!("{method} /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send(format!("{head}{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len())).await;
        assert_eq!(client.answer(false).await.unwrap().status, 200);
    }
    let requests = backend.requests();
    assert_eq!(requests.len(), 3, "{requests:#?}");
    for request in requests {
        assert!(request.contains("Transfer-Encoding: chunked\r\n") && request.ends_with("0\r\n\r\n"), "{request}");
    }
}

#[tokio::test]
async fn h2c_is_not_offered_to_backends_row_14() {
    let backend = Backend::echo().await;
    let proxy = TestProxy::to(backend.address).await;
    let mut client = proxy.client().await;
    let fields = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n";
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).await;
    let seen = client.answer(false).await.unwrap().text().to_lowercase();
    assert!(!seen.contains("upgrade") && !seen.contains("http2-settings"), "{seen}");
}

/// Whatever way a path is written, it leads where its normal form leads, and that form goes on.
#[tokio::test]
async fn paths_cannot_lead_past_their_route_row_19() {
    let (hub, a, b) = (Backend::echo().await, Backend::echo().await, Backend::echo().await);
    let proxy = TestProxy::to(hub.address).await;
    proxy.route("/user/a", a.address, json!({}));
    proxy.route("/user/b", b.address, json!({}));
    for (path, backend, forwarded) in [
        ("/user/a/../b/", &b, "/user/b/"),
        ("/user/a/%2e%2e/b/", &b, "/user/b/"),
        ("/user/a/%252e%252e/b/", &a, "/user/a/%252e%252e/b/"),
        ("/user/a/..%2Fb/", &a, "/user/a/..%2Fb/"),
        ("//user/b", &hub, "//user/b"),
        ("/user/a;/../b", &b, "/user/b"),
        ("/user/a;x", &hub, "/user/a;x"),
    ] {
        proxy.get(path).await;
        let last = backend.requests().pop().unwrap_or_default();
        assert!(last.starts_with(&format!("GET {forwarded} HTTP/1.1\r\n")), "{path} became {last}");
    }
}

/// A client cannot hide its credentials or its address from the backend by calling them hop-by-hop.
#[tokio::test]
async fn credentials_cannot_be_nominated_away_row_16() {
    let backend = Backend::echo().await;
    let proxy = TestProxy::to(backend.address).await;
    let mut client = proxy.client().await;
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Authorization, Cookie, X-Forwarded-For, X-Mine\r\nAuthorization: token t\r\nCookie: c\r\nX-Mine: m\r\n\r\n")
        .await;
    let seen = client.answer(false).await.unwrap().text();
    assert!(seen.contains("Authorization: token t\r\n") && seen.contains("Cookie: c\r\n"), "{seen}");
    assert!(seen.contains("X-Forwarded-For: 127.0.0.1\r\n") && !seen.contains("X-Mine"), "{seen}");
}

#[tokio::test]
async fn a_client_that_pipelines_and_leaves_harms_nobody_row_12() {
    let backend = Backend::fixed(ok("x")).await;
    let proxy = TestProxy::to(backend.address).await;
    for _ in 0..20 {
        let mut client = proxy.client().await;
        client.send(get("/").repeat(1000)).await;
        drop(client);
    }
    assert_eq!(proxy.get("/").await.text(), "x");
    assert!(backend.connections.load(Ordering::SeqCst) <= 22);
}
