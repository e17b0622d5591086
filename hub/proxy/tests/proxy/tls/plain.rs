//! The port without TLS, and what tells browsers to leave it (row 67 of the attacks).

use std::net::SocketAddr;

use hub_proxy::{Hsts, ProxyConfig, Redirect};
use serde_json::json;

use super::Secured;
use crate::backend::Backend;
use crate::harness::{Answer, Client, loopback};

async fn start(to: Option<u16>) -> (Secured, SocketAddr) {
    let redirect = Some(Redirect { bind: loopback(), to });
    let backend = Backend::with(|request| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nSet-Cookie: a=b\r\n\r\n", request.len());
        (head + request).into_bytes()
    })
    .await;
    let secured = Secured::start(backend, ProxyConfig { redirect, ..ProxyConfig::default() }).await;
    let address = secured.proxy.redirect.unwrap();
    (secured, address)
}

async fn ask(address: SocketAddr, request: &str) -> Answer {
    let mut client = Client::connect(address).await;
    client.send(request).await;
    client.answer(request.starts_with("HEAD")).await.unwrap()
}

#[tokio::test]
async fn nothing_is_served_without_tls_row_67() {
    let (secured, address) = start(Some(443)).await;
    secured.proxy.route("/.well-known/acme-challenge", Backend::echo().await.address, json!({}));
    for (request, status, location) in [
        (
            "GET /hub/login?next=%2Fa HTTP/1.1\r\nHost: hub.example.org",
            301,
            "https://hub.example.org/hub/login?next=%2Fa",
        ),
        ("HEAD / HTTP/1.1\r\nHost: hub.example.org:80", 301, "https://hub.example.org/"),
        ("POST /hub/login HTTP/1.1\r\nHost: a\r\nContent-Length: 0", 308, "https://a/hub/login"),
        ("DELETE /hub/api/users/a HTTP/1.1\r\nHost: a", 308, "https://a/hub/api/users/a"),
        ("GET http://a/x HTTP/1.1\r\nHost: b", 301, "https://a/x"),
        (
            "GET /.well-known/acme-challenge/../../hub/login HTTP/1.1\r\nHost: a",
            301,
            "https://a/.well-known/acme-challenge/../../hub/login",
        ),
        (
            "POST /.well-known/acme-challenge/t HTTP/1.1\r\nHost: a\r\nContent-Length: 0",
            308,
            "https://a/.well-known/acme-challenge/t",
        ),
        (
            "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            301,
            "https://a/ws",
        ),
    ] {
        let answer = ask(address, &format!("{request}\r\nCookie: secret=1\r\n\r\n")).await;
        assert_eq!((answer.status, answer.field("location")), (status, Some(location)), "{request}");
        assert_eq!((answer.field("set-cookie"), answer.field("strict-transport-security")), (None, None));
    }
    for bad in
        ["GET / HTTP/1.1", "GET / HTTP/1.0", "GET / HTTP/1.1\r\nHost: a b", "GET / HTTP/1.1\r\nHost: a\r\nHost: b"]
    {
        assert_eq!(ask(address, &format!("{bad}\r\n\r\n")).await.status, 400, "{bad}");
    }
    for health in ["/_chp_healthz", "/_hub_proxy_readyz"] {
        assert_eq!(ask(address, &format!("GET {health} HTTP/1.1\r\nHost: a\r\n\r\n")).await.status, 200, "{health}");
    }
    assert!(secured.backend.requests().is_empty(), "{:?}", secured.backend.requests());
}

#[tokio::test]
async fn the_port_of_https_is_kept_unless_it_is_the_usual_one() {
    let (secured, address) = start(None).await;
    let answer = ask(address, "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let expected = format!("https://localhost:{}/a", secured.proxy.public.port());
    assert_eq!(answer.field("location"), Some(expected.as_str()));
}

/// A challenge of an ACME authority is routed, if there is a route for it, and carries nothing that is somebody's.
#[tokio::test]
async fn challenges_are_routed_without_cookies_row_67() {
    const CHALLENGE: &str =
        "GET /.well-known/acme-challenge/token HTTP/1.1\r\nHost: a\r\nCookie: secret=1\r\nAuthorization: x\r\n\r\n";
    let (secured, address) = start(Some(443)).await;
    // The route for everything doesn't take it, nor does one that only begins the same way.
    assert_eq!(ask(address, CHALLENGE).await.status, 301);
    secured.proxy.route("/.well-known", secured.backend.address, json!({}));
    assert_eq!(ask(address, CHALLENGE).await.status, 301);
    secured.proxy.route("/.well-known/acme-challenge", secured.backend.address, json!({}));
    let answer = ask(address, CHALLENGE).await;
    assert_eq!((answer.status, answer.field("set-cookie")), (200, None));
    let text = answer.text().to_lowercase();
    assert!(
        text.starts_with("get /.well-known/acme-challenge/token http/1.1")
            && text.contains("x-forwarded-proto: http\r\n"),
        "{text}"
    );
    assert!(!text.contains("cookie") && !text.contains("authorization"), "{text}");
}

#[tokio::test]
async fn hsts_is_ours_and_on_every_answer_over_tls_row_67() {
    let hsts = Some(Hsts { max_age: 600, include_subdomains: true });
    let redirect = Some(Redirect { bind: loopback(), to: None });
    let backend = Backend::fixed(
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nStrict-Transport-Security: max-age=1\r\nstrict-transport-security: x\r\n\r\n",
    )
    .await;
    let secured = Secured::start(backend, ProxyConfig { hsts, redirect, ..ProxyConfig::default() }).await;
    let count = |answer: &str| answer.to_lowercase().matches("strict-transport-security").count();
    // From a target, of the proxy's own, and a refusal.
    for path in ["/", "/_chp_healthz", "/%"] {
        let answer = secured.get(path).await;
        assert!(answer.contains("Strict-Transport-Security: max-age=600; includeSubDomains\r\n"), "{answer}");
        assert_eq!(count(&answer), 1, "{answer}");
    }
    let plain = ask(secured.proxy.redirect.unwrap(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(count(&plain.head), 0);
}
