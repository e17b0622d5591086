//! The same requests to the original, where it is installed: `CHP` holds its command, say `npx configurable-http-proxy`.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hub_proxy::{ProxyConfig, Token};
use serde_json::json;

use crate::api::{TOKEN, run_calls};
use crate::backend::{Backend, closed_port};
use crate::harness::{Client, TestProxy, get};

pub(crate) struct Original {
    child: Child,
    pub(crate) public: SocketAddr,
    api: SocketAddr,
}

impl Original {
    /// Adds a route.
    pub(crate) async fn lead(&self, path: &str, target: SocketAddr) {
        let body = format!("{{\"target\": \"http://{target}\"}}");
        let mut client = Client::connect(self.api).await;
        let length = body.len();
        client
            .send(format!("POST /api/routes{path} HTTP/1.1\r\nHost: a\r\nAuthorization: token {TOKEN}\r\nContent-Length: {length}\r\n\r\n{body}"))
            .await;
        assert_eq!(client.answer(false).await.unwrap().status, 201);
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) async fn start_original() -> Option<Original> {
    let Ok(command) = std::env::var("CHP") else {
        println!("skipped: CHP does not name a configurable-http-proxy");
        return None;
    };
    let (public, api) = (closed_port().await, closed_port().await);
    let mut words = command.split_whitespace();
    let child = Command::new(words.next().expect("CHP is empty"))
        .args(words)
        .args(["--ip", "127.0.0.1", "--api-ip", "127.0.0.1", "--log-level", "error"])
        .args(["--port", &public.port().to_string(), "--api-port", &api.port().to_string()])
        .env("CONFIGPROXY_AUTH_TOKEN", TOKEN)
        .stdout(Stdio::null())
        .spawn()
        .expect("failed to start CHP");
    let original = Original { child, public, api };
    let deadline = Instant::now() + Duration::from_secs(30);
    while tokio::net::TcpStream::connect(public).await.is_err() || tokio::net::TcpStream::connect(api).await.is_err() {
        assert!(Instant::now() < deadline, "CHP does not listen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Some(original)
}

#[tokio::test]
async fn the_original_answers_every_call_alike() {
    if let Some(original) = start_original().await {
        run_calls(original.api).await;
    }
}

/// The parts of a request that a backend acts on.
fn essence(request: &str) -> Vec<String> {
    let mut lines: Vec<String> = request
        .lines()
        .take_while(|line| !line.is_empty())
        .filter(|line| !line.to_lowercase().starts_with("connection: keep-alive"))
        .map(|line| match line.split_once(": ") {
            Some((name, value)) => format!("{}: {value}", name.to_lowercase()),
            None => line.to_owned(),
        })
        .collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn backends_see_the_same_requests() {
    let Some(original) = start_original().await else { return };
    let backend = Backend::echo().await;
    let ours = TestProxy::start(ProxyConfig { token: Token::Value(TOKEN.to_owned()), ..ProxyConfig::default() }).await;
    ours.route("/user/a@b", backend.address, json!({}));
    original.lead("/user/a@b", backend.address).await;

    for wire in [
        get("/user/a@b/lab?x=1"),
        get("/user/a%40b/lab"),
        get("/user/x/../a@b/"),
        get("/user/a@b/%2e%2e/a@b/x"),
        get("/user/nobody"),
        get("/_chp_healthz"),
        "GET /user/a@b HTTP/1.1\r\nHost: hub.example:8443\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: h\r\n\r\n".to_owned(),
        "POST /user/a@b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc".to_owned(),
        "PUT /user/a@b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_owned(),
    ] {
        let mut seen = Vec::new();
        for address in [original.public, ours.public] {
            let mut client = Client::connect(address).await;
            client.send(&wire).await;
            let answer = client.answer(false).await.unwrap();
            let text = answer.text();
            let comparable = if answer.status == 200 && text.contains("HTTP/1.1") { essence(&text) } else { Vec::new() };
            seen.push((answer.status, comparable));
        }
        assert_eq!(seen[0], seen[1], "the original and ours differ for {wire:?}");
    }
}
