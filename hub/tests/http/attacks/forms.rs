//! Requests that another site's page makes in somebody's name.

use axum::http::{Method, StatusCode};
use hub_crds::ServerLimits;
use serde_json::{Value, json};

use crate::{
    browser::Browser,
    test_hub::{ADMIN_TOKEN, ALICE_TOKEN, BOB_TOKEN, Settings, TestHub},
};

const JSON: (&str, &str) = ("content-type", "application/json");

/// A hub with something of everything to change.
async fn hub() -> TestHub {
    let limits = ServerLimits { allow_named_servers: true, ..ServerLimits::default() };
    let hub = TestHub::with(Settings { limits, ..Settings::default() }).await;
    let post = async |path: &str, body: Value| hub.api(Method::POST, path, ADMIN_TOKEN, Some(body)).await;
    post("/groups/g", json!({"users": ["bob"]})).await;
    post("/users/alice/tokens", json!({"note": "hers"})).await;
    post("/shares/alice/", json!({"user": "bob"})).await;
    hub.api(Method::PUT, "/users/alice/servers/lab", ADMIN_TOKEN, None).await;
    hub
}

/// All that the requests below could change, as an administrator sees it.
async fn state(hub: &TestHub) -> Vec<Value> {
    let mut state = Vec::new();
    for path in [
        "/users?include_stopped_servers=1",
        "/groups",
        "/users/alice/tokens",
        "/users/bob/tokens",
        "/shares/alice",
        "/share-codes/alice",
        "/services",
        "/proxy",
    ] {
        let mut seen = hub.get(path, ADMIN_TOKEN).await.json();
        forget_activity(&mut seen);
        state.push(seen);
    }
    state
}

fn forget_activity(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.remove("last_activity");
            map.values_mut().for_each(forget_activity);
        }
        Value::Array(list) => list.iter_mut().for_each(forget_activity),
        _ => {}
    }
}

/// Every request of the API that changes something.
fn changes() -> Vec<(Method, &'static str, Value)> {
    vec![
        (Method::POST, "/users", json!({"usernames": ["new"]})),
        (Method::POST, "/users/new", json!({})),
        (Method::PATCH, "/users/bob", json!({"admin": true})),
        (Method::DELETE, "/users/bob", json!({})),
        (Method::POST, "/users/bob/activity", json!({"last_activity": "2026-01-01T00:00:00Z"})),
        (Method::POST, "/users/alice/server", json!({})),
        (Method::DELETE, "/users/alice/server", json!({})),
        (Method::PUT, "/users/alice/servers/new", json!({})),
        (Method::POST, "/users/alice/servers/lab", json!({})),
        (Method::PATCH, "/users/alice/servers/lab", json!({"name": "other"})),
        (Method::DELETE, "/users/alice/servers/lab", json!({"remove": true})),
        (Method::POST, "/users/alice/tokens", json!({})),
        (Method::DELETE, "/users/alice/tokens/a1", json!({})),
        (Method::DELETE, "/users/alice/tokens", json!({})),
        (Method::DELETE, "/tokens", json!({})),
        (Method::POST, "/services/new", json!({})),
        (Method::DELETE, "/services/new", json!({})),
        (Method::DELETE, "/services/new/tokens", json!({})),
        (Method::POST, "/groups", json!({"groups": ["new"]})),
        (Method::POST, "/groups/new", json!({})),
        (Method::DELETE, "/groups/g", json!({})),
        (Method::POST, "/groups/g/users", json!({"users": ["alice"]})),
        (Method::DELETE, "/groups/g/users", json!({"users": ["bob"]})),
        (Method::PUT, "/groups/g/properties", json!({"x": 1})),
        (Method::POST, "/shares/alice/", json!({"user": "root"})),
        (Method::PATCH, "/shares/alice/", json!({"user": "bob"})),
        (Method::DELETE, "/shares/alice/", json!({})),
        (Method::POST, "/share-codes/alice/", json!({})),
        (Method::DELETE, "/share-codes/alice/", json!({})),
        (Method::DELETE, "/users/bob/shared/alice/", json!({})),
        (Method::POST, "/proxy", json!({})),
        (Method::PATCH, "/proxy", json!({"api_url": "http://evil.example/"})),
        (Method::POST, "/shutdown", json!({})),
    ]
}

async fn logged_in<'a>(hub: &'a TestHub, token: &str) -> Browser<'a> {
    let mut browser = hub.logged_in(token).await;
    browser.get("/hub/home").await;
    browser
}

/// CVE-2020-36191: the administrator's browser is where another site would change users.
#[tokio::test]
async fn cve_2020_36191_the_api_changes_nothing_for_another_site_attack_row_39() {
    let hub = hub().await;
    let root = logged_in(&hub, ADMIN_TOKEN).await;
    let bobs = logged_in(&hub, BOB_TOKEN).await.cookie("_xsrf").unwrap().to_owned();
    let own = root.cookie("_xsrf").unwrap().to_owned();
    let before = state(&hub).await;
    let ways: [&[(&str, &str)]; 10] = [
        &[JSON],
        &[JSON, ("x-xsrftoken", "")],
        &[JSON, ("x-xsrftoken", &bobs)],
        &[JSON, ("sec-fetch-mode", "no-cors"), ("sec-fetch-site", "same-origin")],
        &[JSON, ("sec-fetch-mode", "navigate"), ("sec-fetch-site", "same-site")],
        &[JSON, ("sec-fetch-mode", "websocket"), ("sec-fetch-site", "cross-site")],
        &[JSON, ("sec-fetch-mode", "cors"), ("origin", "http://hub.test")],
        &[("content-type", "application/x-www-form-urlencoded")],
        &[("content-type", "text/plain")],
        &[("content-type", "multipart/form-data; boundary=application/json")],
    ];
    for (method, path, body) in changes() {
        for headers in ways {
            let path = format!("/hub/api{path}");
            let answer = root.clone().request(method.clone(), &path, headers, Some(body.to_string())).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {path} {headers:?} {}", answer.text);
        }
        // The right token doesn't help where a form could have sent it: a POST that isn't JSON.
        for kind in ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data"] {
            if method == Method::POST {
                let headers = [("content-type", kind), ("x-xsrftoken", own.as_str())];
                let path = format!("/hub/api{path}");
                let answer = root.clone().request(method.clone(), &path, &headers, Some(body.to_string())).await;
                assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} {kind}");
            }
        }
        // Nobody reads that another method was meant.
        for (method, path) in [(Method::GET, format!("{path}?_method={method}")), (Method::GET, path.to_owned())] {
            let other = [("x-http-method-override", "DELETE"), ("x-method-override", "POST"), JSON];
            let path = format!("/hub/api{path}");
            let answer = root.clone().request(method, &path, &other, Some(body.to_string())).await;
            assert!(!answer.status.is_server_error(), "{path}");
        }
    }
    assert!(!hub.app.stopping.is_cancelled());
    assert_eq!(state(&hub).await, before);
}

/// The forms of pages, each with what a form of another site could send. `?_xsrf=` passes as upstream's own spawn form
/// sends it, but only with the right token.
#[tokio::test]
async fn cve_2026_40864_no_form_of_another_site_is_taken_attack_row_39() {
    let hub = hub().await;
    let shared = hub.api(Method::POST, "/share-codes/alice/", ADMIN_TOKEN, Some(json!({}))).await.json();
    let accept = format!("/hub/accept-share?code={}", shared["code"].as_str().unwrap());
    let bob = logged_in(&hub, BOB_TOKEN).await;
    let alices = logged_in(&hub, ALICE_TOKEN).await.cookie("_xsrf").unwrap().to_owned();
    let before = state(&hub).await;
    let ways: [&[(&str, &str)]; 7] = [
        &[],
        &[("sec-fetch-mode", "no-cors"), ("sec-fetch-site", "same-origin")],
        &[("sec-fetch-mode", "no-cors"), ("sec-fetch-site", "cross-site")],
        &[("sec-fetch-mode", "navigate"), ("sec-fetch-site", "same-site")],
        &[("sec-fetch-mode", "cors"), ("sec-fetch-site", "same-origin")],
        &[("sec-fetch-mode", "websocket")],
        &[("x-xsrftoken", &alices)],
    ];
    let form = ("content-type", "application/x-www-form-urlencoded");
    for path in ["/hub/spawn", "/hub/spawn/bob", "/hub/spawn/bob/lab", "/hub/home", "/hub/token", &accept] {
        for headers in ways {
            for fields in ["start=&stop=&note=x", &format!("_xsrf={alices}"), "_xsrf="] {
                let headers: Vec<_> = headers.iter().copied().chain([form]).collect();
                let answer = bob.clone().request(Method::POST, path, &headers, Some(fields.into())).await;
                assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} {headers:?} {fields}");
            }
        }
        let separator = if path.contains('?') { '&' } else { '?' };
        let answer = bob.clone().post(&format!("{path}{separator}_xsrf={alices}"), &[]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(state(&hub).await, before);

    let own = bob.cookie("_xsrf").unwrap().to_owned();
    let answer = bob.clone().post(&format!("/hub/spawn?_xsrf={own}"), &[]).await;
    assert_eq!(answer.location(), "/hub/spawn-pending/bob");
}

/// CVE-2026-40864: an image or a script on a page of the same origin asks in mode `no-cors`. Only a visit that the person
/// makes starts, ends or accepts something.
#[tokio::test]
async fn cve_2026_40864_only_a_visit_of_ones_own_changes_something_attack_row_40() {
    let hub = hub().await;
    let shared = hub.api(Method::POST, "/share-codes/alice/", ADMIN_TOKEN, Some(json!({}))).await.json();
    let accept = format!("/hub/accept-share?code={}", shared["code"].as_str().unwrap());
    let bob = logged_in(&hub, BOB_TOKEN).await;
    let before = state(&hub).await;
    for (mode, site) in [
        ("no-cors", "same-origin"),
        ("no-cors", "cross-site"),
        ("cors", "same-origin"),
        ("same-origin", "same-origin"),
        ("navigate", "cross-site"),
        ("navigate", "same-site"),
        ("websocket", "same-origin"),
    ] {
        let mut browser = bob.clone();
        browser.headers.extend([("sec-fetch-mode", mode.to_owned()), ("sec-fetch-site", site.to_owned())]);
        for path in ["/hub/spawn", "/hub/spawn/bob?opt-size=big", "/hub/spawn/bob/lab", "/hub/logout", &accept] {
            let answer = browser.get(path).await;
            assert_eq!(answer.status, StatusCode::OK, "{path} {mode} {site}: {}", answer.text);
        }
    }
    assert_eq!(state(&hub).await, before);
    let mut browser = bob.clone();
    assert_eq!(browser.get("/hub/home").await.status, StatusCode::OK, "still logged in");

    // Accepting a share always asks; the others act, as upstream, on a visit of one's own.
    for (mode, site) in [("navigate", "none"), ("navigate", "same-origin")] {
        browser.headers.truncate(2);
        browser.headers.extend([("sec-fetch-mode", mode.to_owned()), ("sec-fetch-site", site.to_owned())]);
        assert_eq!(browser.get(&accept).await.status, StatusCode::OK, "{site}");
    }
    assert_eq!(state(&hub).await, before);
    assert_eq!(browser.get("/hub/spawn").await.location(), "/hub/spawn-pending/bob");
    assert_eq!(browser.get("/hub/logout").await.location(), "/hub/login");
}

/// The hub has no WebSockets; its event streams are read by its own pages only.
#[tokio::test]
async fn no_other_origin_reads_or_opens_a_stream_attack_row_41() {
    let hub = hub().await;
    hub.start_server("bob", BOB_TOKEN).await;
    let bob = logged_in(&hub, BOB_TOKEN).await;
    let path = "/hub/api/users/bob/server/progress";
    for origin in ["https://evil.example", "null", "http://hub.test.evil.example", "http://evil.hub.test", "hub.test"] {
        for mode in ["websocket", "cors", "navigate"] {
            let headers = [
                ("origin", origin),
                ("sec-fetch-mode", mode),
                ("connection", "Upgrade"),
                ("upgrade", "websocket"),
                ("sec-websocket-version", "13"),
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ];
            let answer = bob.clone().request(Method::GET, path, &headers, None).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{origin} {mode}");
        }
        let old_browser = bob.clone().request(Method::GET, path, &[("origin", origin)], None).await;
        assert_eq!(old_browser.status, StatusCode::FORBIDDEN, "{origin}");
    }
    for origin in ["http://hub.test", "https://hub.test"] {
        let own = bob.clone().request(Method::GET, path, &[("origin", origin)], None).await;
        assert_eq!(own.status, StatusCode::OK, "{origin}");
    }
    let upgrade = [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-fetch-mode", "websocket")];
    for path in ["/hub/user/alice/api/kernels/k/channels", "/hub/home", "/hub/api/user"] {
        let answer = bob.clone().request(Method::GET, path, &upgrade, None).await;
        assert_ne!(answer.status, StatusCode::SWITCHING_PROTOCOLS, "{path}");
    }
}

/// What is for anyone, the version, may be read from anywhere; nothing else, and nothing with cookies.
#[tokio::test]
async fn no_origin_is_let_in_by_cors_attack_row_43() {
    let hub = hub().await;
    let bob = logged_in(&hub, BOB_TOKEN).await;
    let paths = ["/user", "/users/bob", "/users", "/info", "/nothing", "/users/bob/tokens", "/oauth2/token"];
    let pages = ["/hub/home", "/hub/login", "/hub/nothing", "/hub/health", "/hub/static/hub.css", "/user/bob/"];
    let paths = paths.iter().map(|path| format!("/hub/api{path}")).chain(pages.map(str::to_owned));
    for path in paths {
        for origin in ["https://evil.example", "null", "http://hub.test", "https://hub.test.evil.example"] {
            for method in [Method::GET, Method::OPTIONS, Method::POST] {
                let headers = [
                    ("origin", origin),
                    ("access-control-request-method", "DELETE"),
                    ("access-control-request-headers", "authorization, x-xsrftoken"),
                ];
                let answer = bob.clone().request(method.clone(), &path, &headers, None).await;
                for header in ["origin", "credentials", "methods"] {
                    let header = format!("access-control-allow-{header}");
                    assert_eq!(answer.header(&header), "", "{method} {path} for {origin}");
                }
            }
        }
    }
    let version = bob.clone().request(Method::GET, "/hub/api", &[("origin", "https://evil.example")], None).await;
    assert_eq!(version.header("access-control-allow-origin"), "*");
    assert_eq!(version.header("access-control-allow-credentials"), "");
    assert_eq!(version.json(), json!({"version": "6.1.1"}));
}
