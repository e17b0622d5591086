//! Fuzzing of the REST API of a real proxy: whatever is sent, no answer is 5xx, and the table is what a plain map says.
//!
//! An input is a sequence of calls, one a line: method, path, `Authorization`, body, and one more field, with tabs between
//! them. Corpus and time are as in the fuzzing of what is pure, in `src/fuzz.rs`.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::panic::AssertUnwindSafe;

use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

use crate::api::{TOKEN, guarded};
use crate::harness::{Answer, Client, TestProxy};

#[path = "../../src/fuzz/mutation.rs"]
mod mutation;

/// Fields that say how a call is framed, or that the line says elsewhere.
const OURS: [&str; 5] = ["authorization", "connection", "content-length", "expect", "transfer-encoding"];
/// A target that is as good as any.
const TARGET: &str = "http://127.0.0.1:1";

#[test]
fn api_calls() {
    let runtime = Runtime::new().unwrap();
    let proxy = runtime.block_on(guarded());
    // Each input begins with an empty table, whatever became of the one before.
    let shared = AssertUnwindSafe((runtime, proxy));
    mutation::fuzz(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proxy"), "api_calls", |input| {
        let (runtime, proxy) = &*shared;
        for path in listed(proxy).keys() {
            assert!(proxy.routes.remove(path), "{path:?} stays");
        }
        runtime.block_on(run(proxy, input));
    });
}

fn listed(proxy: &TestProxy) -> Map<String, Value> {
    serde_json::from_value(json!(proxy.routes.all(None))).unwrap()
}

/// Makes the calls, each of them on the proxy and on the model.
async fn run(proxy: &TestProxy, input: &[u8]) {
    let mut model = BTreeMap::new();
    for line in input.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let call = Call::read(line);
        let answer = call.send(proxy).await;
        call.assert_answer(&answer, &mut model);
        let table = listed(proxy).into_iter().map(|(path, route)| (path, without_activity(route)));
        assert_eq!(table.collect::<BTreeMap<_, _>>(), model, "after {call:?}: {answer:?}");
    }
}

#[derive(Debug)]
struct Call {
    method: String,
    path: String,
    authorization: String,
    body: String,
    field: String,
}

impl Call {
    fn read(line: &[u8]) -> Self {
        let line = String::from_utf8_lossy(line);
        let mut parts = line.split('\t').map(str::to_owned);
        let mut part = || parts.next().unwrap_or_default();
        let mut call = Self { method: part(), path: part(), authorization: part(), body: part(), field: part() };
        let name = call.field.split(':').next().unwrap_or_default().trim().to_ascii_lowercase();
        if OURS.contains(&name.as_str()) {
            call.field.clear();
        }
        call
    }

    async fn send(&self, proxy: &TestProxy) -> Answer {
        let Self { method, path, authorization, body, field } = self;
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        if !authorization.is_empty() {
            head += &format!("Authorization: {authorization}\r\n");
        }
        if !field.is_empty() {
            head += &format!("{field}\r\n");
        }
        let mut client = Client::connect(proxy.api).await;
        client.send(format!("{head}\r\n{body}")).await;
        client.answer(method == "HEAD").await.unwrap_or_else(|| panic!("no answer to {self:?}"))
    }

    /// What is asked for below `/api/routes`, decoded; nothing if that is malformed.
    fn route(&self) -> Option<String> {
        let uri: http::Uri = self.path.parse().ok()?;
        let rest = uri.path().strip_prefix("/api/routes").filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
        percent_encoding::percent_decode_str(rest).decode_utf8().ok().map(String::from)
    }

    fn is_admitted(&self) -> bool {
        self.authorization.split(' ').filter(|word| !word.is_empty()).eq(["token", TOKEN])
    }

    fn data(&self) -> Option<Map<String, Value>> {
        serde_json::from_str(&self.body).ok()
    }

    /// Nothing about it is a reason to refuse it.
    fn is_plain(&self) -> bool {
        let is_route = |route: &str| {
            route.len() < 1000 && !route.contains("//") && route.chars().all(|c| c == '/' || c.is_alphanumeric())
        };
        self.method == "POST"
            && self.is_admitted()
            && self.field.is_empty()
            && self.route().as_deref().is_some_and(is_route)
            && self.data().is_some_and(|data| data.get("target") == Some(&TARGET.into()))
    }

    /// The answer is one that the call may have, and the model changes with it.
    fn assert_answer(&self, answer: &Answer, model: &mut BTreeMap<String, Value>) {
        let is_read = self.method == "GET" && self.is_admitted();
        match answer.status {
            200 => assert!(is_read && self.shows(answer, model), "{self:?}: {answer:?}"),
            201 => {
                let (route, data) = (self.assert_good_route(), self.data().unwrap());
                assert!(self.method == "POST" && self.is_admitted(), "{self:?}");
                assert_good_target(data["target"].as_str().unwrap());
                model.insert(route, without_activity(Value::Object(data)));
            }
            204 => {
                assert!(self.method == "DELETE" && self.is_admitted(), "{self:?}");
                assert!(model.remove(&stored(&self.route().unwrap()).unwrap()).is_some(), "{self:?}: {model:?}");
            }
            400 | 414 | 431 => assert!(!self.is_plain(), "{self:?}: {answer:?}"),
            403 => assert!(!self.is_admitted(), "{self:?}"),
            404 => {
                let known = self.route().and_then(|route| model.get(&stored(&route)?));
                assert!(known.is_none() && !self.is_plain(), "{self:?}: {model:?}");
            }
            405 => assert!(!["GET", "POST", "DELETE"].contains(&self.method.as_str()), "{self:?}"),
            _ => panic!("{self:?}: {answer:?}"),
        }
    }

    /// The answer to a GET holds what the model does: one route, all, or those that were not used for a time.
    fn shows(&self, answer: &Answer, model: &BTreeMap<String, Value>) -> bool {
        let route = self.route().unwrap();
        let shown: Value = serde_json::from_slice(&answer.body).unwrap();
        if !matches!(route.as_str(), "" | "/") {
            return model.get(&stored(&route).unwrap()) == Some(&without_activity(shown));
        }
        let shown = shown.as_object().unwrap();
        let is_in_model = shown.iter().all(|(path, route)| model.get(path) == Some(&without_activity(route.clone())));
        is_in_model && (shown.len() == model.len() || self.path.contains("inactive"))
    }

    /// The path of a route that was taken, as it is stored: one that requests can have and that means one thing.
    fn assert_good_route(&self) -> String {
        let escapes = self.path.split('?').next().unwrap_or_default().split('%').skip(1);
        let is_escape = |rest: &str| rest.len() > 1 && rest.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit);
        assert!(escapes.into_iter().all(is_escape), "{self:?}");
        let route = stored(&self.route().unwrap()).unwrap();
        let is_segment = |segment: &str| !matches!(segment, "." | "..") && !segment.contains(char::is_control);
        assert!(route.split('/').all(is_segment) && route.len() <= 2048, "{self:?}");
        route
    }
}

/// A route's path as the table has it; none has an empty segment.
fn stored(route: &str) -> Option<String> {
    (!route.contains("//")).then(|| format!("/{}", route.trim_matches('/')))
}

fn assert_good_target(target: &str) {
    let (scheme, rest) = target.split_once("://").unwrap();
    let authority = rest.split(['/', '?']).next().unwrap();
    let is_known = ["http", "https", "http+unix", "unix+http"].contains(&scheme.to_ascii_lowercase().as_str());
    assert!(is_known && !authority.is_empty() && !authority.contains('@'), "{target:?}");
    assert!(!target.contains(|c: char| c.is_control() || c.is_whitespace() || matches!(c, '\\' | '#')), "{target:?}");
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    assert!(!host.parse().is_ok_and(|address: Ipv4Addr| address.is_link_local()), "{target:?}");
}

fn without_activity(mut route: Value) -> Value {
    route.as_object_mut().unwrap().remove("last_activity");
    route
}
