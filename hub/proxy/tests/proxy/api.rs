//! The REST API, code by code. The table also runs against the original (see `parity`).

use std::net::SocketAddr;

use hub_proxy::{ProxyConfig, Token};
use serde_json::{Value, json};

use crate::harness::{Answer, Client, TestProxy};

pub(crate) const TOKEN: &str = "a-token-of-hub-and-proxy";

/// A call and its answer, in an order that matters.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) token: &'static str,
    pub(crate) body: &'static str,
    pub(crate) status: u16,
    /// The whole body, `None` if it does not matter.
    pub(crate) answer: Option<&'static str>,
}

const fn call(method: &'static str, path: &'static str, body: &'static str, status: u16) -> Call {
    Call { method, path, token: "token a-token-of-hub-and-proxy", body, status, answer: None }
}

const fn by(token: &'static str, call: Call) -> Call {
    Call { token, ..call }
}

const fn says(answer: &'static str, call: Call) -> Call {
    Call { answer: Some(answer), ..call }
}

const TARGET: &str = r#"{"target": "http://127.0.0.1:1", "user": "a", "jupyterhub": true}"#;

/// What the original and this proxy answer alike.
pub(crate) const CALLS: &[Call] = &[
    says("{}", call("GET", "/api/routes", "", 200)),
    says("{}", call("GET", "/api/routes/", "", 200)),
    says("", call("GET", "/api/routes/user/a", "", 404)),
    says("", call("POST", "/api/routes/user/a/", TARGET, 201)),
    call("GET", "/api/routes/user/a", "", 200),
    call("GET", "/api/routes/user/a/", "", 200),
    says("", call("POST", "/api/routes/user/foo%40bar", TARGET, 201)),
    call("GET", "/api/routes/user/foo@bar", "", 200),
    says("Must specify 'target' as string", call("POST", "/api/routes/x", "{}", 400)),
    says("Must specify 'target' as string", call("POST", "/api/routes/x", r#"{"target": 1}"#, 400)),
    says("Must specify 'target' as string", call("POST", "/api/routes/x", "null", 400)),
    says("Must specify 'target' as string", call("POST", "/api/routes/x", "[]", 400)),
    call("POST", "/api/routes/x", "{", 400),
    call("POST", "/api/routes/x", "", 400),
    by("token wrong", call("POST", "/api/routes/x", "{", 400)),
    says("", by("", call("POST", "/api/routes/x", TARGET, 403))),
    says("", by("token wrong", call("POST", "/api/routes/x", TARGET, 403))),
    says("", by("token a-token-of-hub-and-prox", call("GET", "/api/routes", "", 403))),
    says("", by("bearer a-token-of-hub-and-proxy", call("GET", "/api/routes", "", 403))),
    says("", by("", call("GET", "/api/routes?token=a-token-of-hub-and-proxy", "", 403))),
    says("", by("", call("DELETE", "/api/routes/user/a", "", 403))),
    says("Method not supported", by("", call("PUT", "/api/routes", "", 405))),
    says("Method not supported", call("PATCH", "/api/routes/user/a", "", 405)),
    says("Not Found", by("", call("GET", "/", "", 404))),
    says("Not Found", call("GET", "/api/routesx", "", 404)),
    says("Not Found", call("GET", "/api", "", 404)),
    says(
        "Invalid datestamp 'endoftheuniverse' must be ISO8601.",
        call("GET", "/api/routes?inactive_since=endoftheuniverse", "", 400),
    ),
    says("{}", call("GET", "/api/routes?inactive_since=2001-01-01T00:00:00.000Z", "", 200)),
    says("{}", call("GET", "/api/routes?inactiveSince=2001-01-01T00:00:00.000Z", "", 200)),
    says("", call("POST", "/api/routes", r#"{"target": "http://127.0.0.1:2"}"#, 201)),
    call("GET", "/api/routes/", "", 200),
    says("", call("DELETE", "/api/routes/user/a", "", 204)),
    says("", call("DELETE", "/api/routes/user/a", "", 404)),
    says("", call("DELETE", "/api/routes/user/foo%40bar", "", 204)),
    says("", call("DELETE", "/api/routes/", "", 204)),
    says("{}", call("GET", "/api/routes", "", 200)),
];

pub(crate) async fn send(api: SocketAddr, call: &Call) -> Answer {
    let Call { method, path, token, body, .. } = call;
    let authorization = if token.is_empty() { String::new() } else { format!("Authorization: {token}\r\n") };
    let length = body.len();
    let mut client = Client::connect(api).await;
    client
        .send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{authorization}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"))
        .await;
    client.answer(false).await.unwrap_or_else(|| panic!("no answer to {method} {path}"))
}

pub(crate) async fn run_calls(api: SocketAddr) {
    for (n, call) in CALLS.iter().enumerate() {
        let answer = send(api, call).await;
        let what = format!("{n}: {} {} {:?} {:?}", call.method, call.path, call.token, call.body);
        assert_eq!(answer.status, call.status, "{what}: {}", answer.text());
        if let Some(expected) = call.answer {
            assert_eq!(answer.text(), expected, "{what}");
        }
    }
}

pub(crate) async fn guarded() -> TestProxy {
    TestProxy::start(ProxyConfig { token: Token::Value(TOKEN.to_owned()), ..ProxyConfig::default() }).await
}

#[tokio::test]
async fn every_call_has_the_originals_answer_row_21() {
    run_calls(guarded().await.api).await;
}

/// As the original does it: whoever reaches the API is let in, and the log warns of that.
#[tokio::test]
async fn a_proxy_may_have_no_token_s50() {
    let proxy = TestProxy::start(ProxyConfig { token: Token::None, ..ProxyConfig::default() }).await;
    for token in ["", "token any"] {
        let answer = send(proxy.api, &by(token, call("POST", "/api/routes/user/a", TARGET, 201))).await;
        assert_eq!(answer.status, 201, "{token:?}: {}", answer.text());
    }
}

#[tokio::test]
async fn routes_are_shown_as_they_were_posted() {
    let proxy = guarded().await;
    send(proxy.api, &call("POST", "/api/routes/user/a", TARGET, 201)).await;
    let table: Value =
        serde_json::from_slice(&send(proxy.api, &call("GET", "/api/routes", "", 200)).await.body).unwrap();
    let mut route = table["/user/a"].clone();
    let last_activity = route.as_object_mut().unwrap().remove("last_activity").unwrap();
    assert_eq!(route, serde_json::from_str::<Value>(TARGET).unwrap());
    assert!(last_activity.as_str().unwrap().ends_with('Z'));
}

/// Beyond the original, which takes anything: what could lead somewhere that nobody meant.
#[tokio::test]
async fn routes_that_lead_nowhere_good_are_refused_row_20() {
    let proxy = guarded().await;
    let long: &'static str = format!("/api/routes/{}", "a".repeat(10_240)).leak();
    for path in
        ["/api/routes/a/../b", "/api/routes/a//b", "/api/routes/a%00b", "/api/routes/a%0d%0ab", "/api/routes/%zz", long]
    {
        let answer = send(proxy.api, &call("POST", path, TARGET, 400)).await;
        assert_eq!(answer.status, 400, "{path}");
    }
    for target in ["file:///etc/passwd", "http://u:p@a", "http://a\\r\\nX: y", "http://169.254.169.254", "ftp://a", "x"]
    {
        let body: &'static str = json!({"target": target.replace("\\r\\n", "\r\n")}).to_string().leak();
        let answer = send(proxy.api, &call("POST", "/api/routes/x", body, 400)).await;
        assert_eq!(answer.status, 400, "{target}");
    }
    let huge: &'static str = format!("{{\"target\": \"{}\"}}", "a".repeat(2 * 1024 * 1024)).leak();
    assert_eq!(send(proxy.api, &call("POST", "/api/routes/x", huge, 400)).await.status, 400);
    let mut client = Client::connect(proxy.api).await;
    client.send(b"POST /api/routes/x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n\xff\xfe").await;
    assert_eq!(client.answer(false).await.unwrap().status, 400);
    assert!(proxy.routes.is_empty());
}
