use std::collections::BTreeMap;

use super::*;
use axum::body::{Body, to_bytes};
use jiff::SignedDuration;
use serde_json::json;
use tower::ServiceExt;

use super::super::state::Challenge;

#[derive(Clone)]
struct One(Challenges);

impl Lookup for One {
    fn challenges(&self, namespace: &str, hub: &str) -> Challenges {
        if (namespace, hub) == ("lab", "physics") { self.0.clone() } else { Challenges::default() }
    }
}

fn challenge(host: &str, minutes: i64) -> Challenge {
    let expires = Timestamp::now() + SignedDuration::from_mins(minutes);
    Challenge { host: host.to_owned(), answer: "live-token.thumbprint".to_owned(), expires }
}

fn lookup() -> One {
    One(BTreeMap::from([
        ("live-token".to_owned(), challenge("hub.test", 5)),
        ("old-token".to_owned(), challenge("hub.test", -5)),
    ]))
}

async fn ask(method: &str, path: &str, hosts: &[&str]) -> (StatusCode, String) {
    let mut request = http::Request::builder().method(method).uri(path);
    for host in hosts {
        request = request.header(HOST, *host);
    }
    let response = router(lookup(), Arc::default()).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status();
    (status, String::from_utf8(to_bytes(response.into_body(), 4096).await.unwrap().to_vec()).unwrap())
}

#[tokio::test]
async fn a_live_token_is_answered_for_its_own_host() {
    const PATH: &str = "/lab/physics/.well-known/acme-challenge/live-token";
    let answer = (StatusCode::OK, "live-token.thumbprint".to_owned());
    for host in ["hub.test", "HUB.test", "hub.test:80", "hub.test:8080", "hub.test."] {
        assert_eq!(ask("GET", PATH, &[host]).await, answer, "{host}");
    }
    assert_eq!(ask("HEAD", PATH, &["hub.test"]).await.0, StatusCode::OK);
}

#[tokio::test]
async fn everything_else_is_not_found_and_looks_alike_row_65() {
    let live = "/lab/physics/.well-known/acme-challenge/live-token";
    let long = format!("/lab/physics/.well-known/acme-challenge/{}", "a".repeat(9000));
    let cases: &[(&str, &str, &[&str])] = &[
        ("guessed", "/lab/physics/.well-known/acme-challenge/live-tokem", &["hub.test"]),
        ("expired", "/lab/physics/.well-known/acme-challenge/old-token", &["hub.test"]),
        ("another host", live, &["other.test"]),
        ("a host below", live, &["x.hub.test"]),
        ("no host", live, &[]),
        ("two hosts", live, &["hub.test", "hub.test"]),
        ("another Hub", "/lab/chemistry/.well-known/acme-challenge/live-token", &["hub.test"]),
        ("another namespace", "/other/physics/.well-known/acme-challenge/live-token", &["hub.test"]),
        ("no Hub", "/.well-known/acme-challenge/live-token", &["hub.test"]),
        ("empty", "/lab/physics/.well-known/acme-challenge/", &["hub.test"]),
        ("traversal", "/lab/physics/.well-known/acme-challenge/../acme-challenge/live-token", &["hub.test"]),
        ("traversal of Hubs", "/lab/chemistry/../physics/.well-known/acme-challenge/live-token", &["hub.test"]),
        ("escaped", "/lab/physics/.well-known/acme-challenge/%6cive-token", &["hub.test"]),
        ("escaped slash", "/lab/physics/.well-known/acme-challenge%2flive-token", &["hub.test"]),
        ("double slash", "/lab/physics//.well-known/acme-challenge/live-token", &["hub.test"]),
        ("trailing slash", "/lab/physics/.well-known/acme-challenge/live-token/", &["hub.test"]),
        ("long", &long, &["hub.test"]),
        ("root", "/", &["hub.test"]),
    ];
    for (what, path, hosts) in cases {
        assert_eq!(ask("GET", path, hosts).await, (StatusCode::NOT_FOUND, "not found\n".to_owned()), "{what}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        assert_eq!(ask(method, live, &["hub.test"]).await.0, StatusCode::NOT_FOUND, "{method}");
    }
}

#[test]
fn only_a_secret_that_the_operator_made_and_that_is_live_is_looked_into_row_65() {
    let (store, mut writer) = kube::runtime::reflector::store::<Secret>();
    let mut secret = |name: &str, labels: serde_json::Value| {
        let data = state::State { challenges: lookup().0, ..state::State::default() }.write();
        let metadata = json!({"name": name, "namespace": "lab", "labels": labels});
        let mut secret: Secret = serde_json::from_value(json!({"metadata": metadata})).unwrap();
        secret.data = Some(data);
        writer.apply_watcher_event(&watcher::Event::Apply(secret));
    };
    let labels = |hub: &str, namespace: &str, acme: &str| json!({label::HUB: hub, label::HUB_NAMESPACE: namespace, label::MANAGED_BY: label_value::OPERATOR, label::ACME: acme});
    secret("physics-acme", labels("physics", "lab", LIVE));
    secret("quiet-acme", labels("quiet", "lab", "no"));
    secret("forged-acme", labels("physics", "lab", LIVE));
    secret("foreign-acme", labels("foreign", "elsewhere", LIVE));
    assert_eq!(store.challenges("lab", "physics").len(), 2);
    for hub in ["quiet", "forged", "foreign", "none"] {
        assert!(store.challenges("lab", hub).is_empty(), "{hub}");
    }
}
