//! Bodies, names and arguments that no honest client sends.

use axum::{
    body::{Body, Bytes},
    http::{Method, Request, StatusCode},
};
use hub_crds::ServerLimits;
use serde_json::{Value, json};
use std::convert::Infallible;

use super::log::Log;
use crate::test_hub::{ADMIN_TOKEN, ALICE_TOKEN, Settings, TestHub};

/// Every request of the API that has a body, but those that end the hub or move its proxy.
const ROUTES: [(Method, &str); 33] = [
    (Method::POST, "/users"),
    (Method::POST, "/users/new"),
    (Method::PATCH, "/users/alice"),
    (Method::DELETE, "/users/nobody"),
    (Method::POST, "/users/alice/activity"),
    (Method::POST, "/users/alice/admin-access"),
    (Method::POST, "/users/alice/server"),
    (Method::PUT, "/users/alice/server"),
    (Method::PATCH, "/users/alice/server"),
    (Method::DELETE, "/users/alice/server"),
    (Method::POST, "/users/alice/servers/lab"),
    (Method::PUT, "/users/alice/servers/new"),
    (Method::PATCH, "/users/alice/servers/lab"),
    (Method::DELETE, "/users/alice/servers/lab"),
    (Method::POST, "/users/alice/tokens"),
    (Method::DELETE, "/users/alice/tokens"),
    (Method::DELETE, "/tokens"),
    (Method::POST, "/services/new"),
    (Method::DELETE, "/services/nothing"),
    (Method::DELETE, "/services/nothing/tokens"),
    (Method::POST, "/groups"),
    (Method::POST, "/groups/new"),
    (Method::DELETE, "/groups/nothing"),
    (Method::POST, "/groups/g/users"),
    (Method::DELETE, "/groups/g/users"),
    (Method::PUT, "/groups/g/properties"),
    (Method::POST, "/shares/alice/"),
    (Method::PATCH, "/shares/alice/"),
    (Method::DELETE, "/shares/alice/"),
    (Method::POST, "/share-codes/alice/"),
    (Method::DELETE, "/share-codes/alice/"),
    (Method::POST, "/proxy"),
    (Method::POST, "/oauth2/token"),
];
/// The others, each on a hub of its own.
const ENDING: [(Method, &str); 2] = [(Method::PATCH, "/proxy"), (Method::POST, "/shutdown")];

/// A hub on which one server runs and no other can start, so that wishes for servers cost nothing.
async fn hub() -> TestHub {
    let limits = ServerLimits { allow_named_servers: true, active_server_limit: 1, ..ServerLimits::default() };
    let hub = TestHub::with(Settings { limits, ..Settings::default() }).await;
    hub.start_server("root", ADMIN_TOKEN).await;
    hub.api(Method::POST, "/groups/g", ADMIN_TOKEN, Some(json!({"users": ["bob"]}))).await;
    hub.api(Method::PUT, "/users/alice/servers/lab", ADMIN_TOKEN, None).await;
    hub
}

async fn send(hub: &TestHub, method: &Method, path: &str, body: Body) -> StatusCode {
    let request = Request::builder()
        .method(method)
        .uri(format!("/hub/api{path}"))
        .header("authorization", format!("token {ADMIN_TOKEN}"))
        .header("content-type", "application/json");
    hub.send(request.body(body).unwrap()).await.status
}

async fn is_well(hub: &TestHub) -> bool {
    hub.get("/health", "").await.status == StatusCode::OK
        && hub.get("/users", ADMIN_TOKEN).await.status == StatusCode::OK
        && hub.get("/groups", ADMIN_TOKEN).await.status == StatusCode::OK
}

/// What isn't JSON, or more than can be one.
fn broken() -> Vec<Vec<u8>> {
    let mut texts: Vec<Vec<u8>> =
        ["{", "[1,", "{\"a\":}", "nul", "'a'", "{a:1}", "\"\\ud800\"", "1e400", "-1e400", "\u{feff}{}", "{}{}", "NaN"]
            .map(|text| text.as_bytes().to_vec())
            .into();
    texts.push(b"{\"name\": \"\xff\xfe\"}".to_vec());
    texts.push(b"\xc3\x28".to_vec());
    texts.push(vec![0; 100]);
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        texts.push(open.repeat(100_000).into_bytes());
        texts.push([open.repeat(100_000), "1".to_owned(), close.repeat(100_000)].concat().into_bytes());
    }
    texts.push(format!("{{\"expires_in\": 1e400, \"name\": {}}}", "9".repeat(100_000)).into_bytes());
    texts
}

#[tokio::test]
async fn a_body_that_is_no_json_is_a_bad_request_everywhere_attack_row_50() {
    let hub = hub().await;
    for text in broken() {
        for (method, path) in &ROUTES {
            let status = send(&hub, method, path, Body::from(text.clone())).await;
            let start = String::from_utf8_lossy(&text[..text.len().min(30)]).into_owned();
            assert!(!status.is_server_error(), "{method} {path} {start}: {status}");
            if reads_json(method, path) {
                assert_eq!(status, StatusCode::BAD_REQUEST, "{method} {path} {start}");
            }
        }
    }
    assert!(is_well(&hub).await);
}

/// Some routes have no use for a body, and one takes a form.
fn reads_json(method: &Method, path: &str) -> bool {
    let without = ["/proxy", "/oauth2/token", "/users/alice/admin-access"].contains(&path);
    let deletes_all = *method == Method::DELETE && !path.contains("/server") && !path.ends_with("/users");
    // Of a default server it is known that it exists before anything is read.
    !without && !deletes_all && (method, path) != (&Method::PUT, "/users/alice/server")
}

/// 100 MB come in pieces; nobody keeps more than the first of them.
#[tokio::test]
async fn a_body_of_a_hundred_megabytes_is_refused_everywhere_attack_row_50() {
    const PIECE: Bytes = Bytes::from_static(&[b' '; 1 << 16]);
    let hub = hub().await;
    for (method, path) in ROUTES.iter().chain(&ENDING) {
        if !reads_json(method, path) {
            continue;
        }
        let pieces = futures::stream::iter((0..1600).map(|_| Ok::<_, Infallible>(PIECE)));
        let status = send(&hub, method, path, Body::from_stream(pieces)).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{method} {path}");
    }
    let pieces = futures::stream::iter((0..1600).map(|_| Ok::<_, Infallible>(PIECE)));
    let form = send(&hub, &Method::POST, "/oauth2/token", Body::from_stream(pieces)).await;
    assert_eq!(form, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(is_well(&hub).await && !hub.app.stopping.is_cancelled());
}

/// Each field that any route knows, with each kind of value that it isn't.
fn odd_bodies() -> Vec<Value> {
    // Names come last: alice has another one then.
    const FIELDS: [&str; 23] = [
        "admin",
        "usernames",
        "groups",
        "users",
        "roles",
        "scopes",
        "expires_in",
        "note",
        "user",
        "group",
        "display_name",
        "user_options",
        "remove",
        "last_activity",
        "servers",
        "auth",
        "auth_state",
        "auth_token",
        "proxy",
        "url",
        "oauth_redirect_uri",
        "info",
        "name",
    ];
    let values = [
        json!(null),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e308),
        json!("\u{0}"),
        json!("-009999-01-01T00:00:00Z"),
        json!([null, {}, [[]]]),
        json!({"": {"last_activity": {"a": []}}, "username": [], "password": 3}),
    ];
    let of_field = |field: &'static str| values.clone().map(|value| json!({field: value}));
    let whole = [json!([]), json!("x"), json!(1), json!(true), json!({"": ""}), json!({"__proto__": {"admin": true}})];
    FIELDS.into_iter().flat_map(of_field).chain(whole).collect()
}

#[tokio::test]
async fn wrong_types_and_double_keys_break_nothing_attack_row_50() {
    let hub = hub().await;
    for body in odd_bodies() {
        for (method, path) in &ROUTES {
            let status = send(&hub, method, path, Body::from(body.to_string())).await;
            assert!(!status.is_server_error(), "{method} {path} {body}: {status}");
        }
        assert!(is_well(&hub).await, "{body}");
    }
    // As in Python the last of two keys counts, and there is one reader only.
    for (text, status) in [
        (r#"{"admin": true, "admin": "no"}"#, StatusCode::BAD_REQUEST),
        (r#"{"admin": "no", "admin": false}"#, StatusCode::OK),
    ] {
        assert_eq!(send(&hub, &Method::PATCH, "/users/bob", Body::from(text)).await, status, "{text}");
    }
    assert_eq!(hub.get("/users/bob", ADMIN_TOKEN).await.json()["admin"], false);
}

#[tokio::test]
async fn what_ends_the_hub_or_moves_its_proxy_is_read_strictly_attack_row_50() {
    let hub = TestHub::new().await;
    for (method, path) in &ENDING {
        for text in broken() {
            assert_eq!(send(&hub, method, path, Body::from(text)).await, StatusCode::BAD_REQUEST, "{method} {path}");
        }
    }
    for (path, body) in [
        ("/proxy", json!([])),
        ("/proxy", json!(null)),
        ("/proxy", json!({"api_url": 7})),
        ("/proxy", json!({"auth_token": ["x"]})),
        ("/shutdown", json!([])),
        ("/shutdown", json!("x")),
        ("/shutdown", json!({"proxy": "no"})),
        ("/shutdown", json!({"servers": 1})),
    ] {
        let method = if path == "/proxy" { Method::PATCH } else { Method::POST };
        let status = send(&hub, &method, path, Body::from(body.to_string())).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path} {body}");
    }
    for url in ["file:///etc/passwd", "gopher://x", "", "http://", "javascript:1", "//x"] {
        let body = json!({"api_url": url}).to_string();
        assert_eq!(send(&hub, &Method::PATCH, "/proxy", Body::from(body)).await, StatusCode::BAD_REQUEST, "{url}");
    }
    assert!(!hub.app.stopping.is_cancelled() && is_well(&hub).await);
}

/// Names that are another's with other letters, or none at all.
#[tokio::test]
async fn names_that_are_paths_or_look_like_others_are_refused_or_apart_attack_row_49() {
    let hub = TestHub::new().await;
    let long = "x".repeat(300);
    for name in ["a%2Fb", "..", "%2e%2e", ".", "%20a", "a%0Ab", "%00", "a%2F..%2F..%2Fetc", long.as_str()] {
        let status = hub.api(Method::POST, &format!("/users/{name}"), ADMIN_TOKEN, None).await.status;
        assert!(status.is_client_error(), "{name}: {status}");
    }
    let mut names = vec!["-x", ".hidden", "%F0%9F%98%80", "A", "a", "a%25", "a--b", "%C3%A9", "e%CC%81"];
    for name in &names {
        let made = hub.api(Method::POST, &format!("/users/{name}"), ADMIN_TOKEN, None).await;
        assert_eq!(made.status, StatusCode::CREATED, "{name} {}", made.text);
    }
    names.extend(["alice", "bob", "root"]);
    let seen = hub.get("/users", ADMIN_TOKEN).await.json();
    assert_eq!(seen.as_array().unwrap().len(), names.len(), "no two are one");
    for name in names {
        let server = hub.get(&format!("/users/{name}/server"), ADMIN_TOKEN).await.json();
        let url = server["url"].as_str().unwrap();
        assert!(url.starts_with("/user/") && !url.contains("/../") && url.matches('/').count() == 3, "{url}");
    }
}

/// Every list, with every argument that it takes.
#[tokio::test]
async fn windows_and_filters_of_lists_are_bounded_and_no_sql_attack_row_51() {
    let hub = hub().await;
    let names: Vec<_> = (0..250).map(|number| format!("user-{number:03}")).collect();
    let made = hub.api(Method::POST, "/users", ADMIN_TOKEN, Some(json!({"usernames": names}))).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let lists = [
        "/users",
        "/groups",
        "/proxy",
        "/shares/alice",
        "/shares/alice/",
        "/share-codes/alice",
        "/share-codes/alice/",
        "/users/alice/shared",
        "/groups/g/shared",
    ];
    let bad = StatusCode::BAD_REQUEST;
    let ok = StatusCode::OK;
    for list in lists {
        for (query, expected) in [
            ("offset=-1&limit=-1", ok),
            ("offset=4294967295&limit=4294967295", ok),
            ("limit=0", ok),
            ("limit=1000000", ok),
            ("offset=4294967296", bad),
            ("offset=99999999999999999999999", bad),
            ("limit=-99999999999999999999999", bad),
            ("limit=1e3", bad),
            ("limit=0x10", bad),
            ("limit=", bad),
            ("limit=1;DROP TABLE users", bad),
            ("offset=1%20OR%201=1", bad),
            ("offset=%00", bad),
            ("limit=1&limit=x", bad),
        ] {
            let query = query.replace(' ', "%20");
            for accept in ["application/json", "application/jupyterhub-pagination+json"] {
                let authorization = format!("token {ADMIN_TOKEN}");
                let headers = [("authorization", authorization.as_str()), ("accept", accept)];
                let path = format!("/hub/api{list}?{query}");
                let answer = hub.browser().request(Method::GET, &path, &headers, None).await;
                assert_eq!(answer.status, expected, "{list} {query} {}", answer.text);
                if expected == ok && answer.json().get("_pagination").is_some() {
                    let limit = answer.json()["_pagination"]["limit"].as_u64().unwrap();
                    assert!((1..=200).contains(&limit), "{list} {query} {limit}");
                }
            }
        }
    }
    for limit in ["", "?limit=1000", "?limit=201"] {
        let users = hub.get(&format!("/users{limit}"), ADMIN_TOKEN).await.json();
        assert_eq!(users.as_array().unwrap().len(), 200, "{limit}");
    }

    let filtered = async |argument: &str, value: &str| {
        let value: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
        hub.get(&format!("/users?{argument}={value}"), ADMIN_TOKEN).await
    };
    for text in ["' OR 1=1 --", "%", "_", "\\", "'; DROP TABLE users; --", "user-0*", "%user%", "\u{1f600}"] {
        let found = filtered("name_filter", text).await;
        assert_eq!((found.status, found.json()), (ok, json!([])), "{text}");
        for argument in ["sort", "state"] {
            assert_eq!(filtered(argument, text).await.status, bad, "{argument}={text}");
        }
    }
    assert_eq!(filtered("name_filter", "USER-00").await.json().as_array().unwrap().len(), 10);
    // SQLite fails on a pattern that is too long, and reads one up to a NUL only.
    for text in ["x".repeat(256), "x".repeat(60_000), "\u{0}".to_owned(), "a\nb".to_owned()] {
        let refused = filtered("name_filter", &text).await;
        assert_eq!(refused.status, bad, "{text:?}");
        let message = "name_filter must be a part of a name: at most 255 characters, none of control";
        assert_eq!(refused.json()["message"], message);
    }
    assert!(is_well(&hub).await);
}

/// CVE-2026-54338: anyone can fail to log in with as many letters as they like.
#[tokio::test]
async fn cve_2026_54338_what_anyone_sends_is_logged_in_short() {
    let hub = TestHub::with(Settings { dummy_password: Some("open sesame"), ..Settings::default() }).await;
    let log = Log::capture();
    let long = "x\n\u{1b}[31m".repeat(50_000);
    let refused = hub.browser().log_in("/hub/login", &long, "wrong").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.text.len() < 10_000, "nor does the page hold it");
    let body = json!({"auth": {"username": long, "password": "wrong"}});
    hub.api(Method::POST, "/users/alice/tokens", "", Some(body)).await;
    hub.browser().log_in("/hub/login?username=x", &"x".repeat(2_000_000), "wrong").await;

    let path = format!("/hub/{}", "y".repeat(60_000));
    hub.browser().get(&path).await;
    hub.browser().get(&format!("/hub/login{}", "?next=".repeat(10_000))).await;
    let method = Method::from_bytes(&[b'M'; 50_000]).unwrap();
    hub.browser().request(method, "/hub/home", &[], None).await;
    let mut alice = hub.browser();
    alice.log_in("/hub/login", "alice", "open sesame").await;
    let part = &long[..70_000];
    let report = json!({"csp-report": {"document-uri": part, "blocked-uri": part, "violated-directive": part}});
    alice.request(Method::POST, "/hub/security/csp-report", &[], Some(report.to_string())).await;
    alice.get(&format!("/hub/accept-share?code={}", "z".repeat(50_000))).await;

    let lines = log.lines();
    assert!(lines.iter().any(|line| line.contains("outcome=\"failure\"")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("broke its content security policy")), "{lines:?}");
    for line in lines {
        assert!(line.len() < 1024, "{} bytes: {}", line.len(), &line[..200]);
        assert!(!line.contains('\u{1b}'), "{line}");
    }
    assert_eq!(hub.get("/user", ALICE_TOKEN).await.status, StatusCode::FORBIDDEN);
}
