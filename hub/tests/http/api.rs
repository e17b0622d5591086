//! The REST API: who may do what, and how it is said.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::test_hub::{ADMIN_TOKEN, ALICE_TOKEN, BOB_TOKEN, TestHub};

#[tokio::test]
async fn the_version_is_for_anyone_and_the_rest_is_not() {
    let hub = TestHub::new().await;
    for path in ["", "/"] {
        let answer = hub.get(path, "").await;
        assert_eq!((answer.status, answer.json()), (StatusCode::OK, json!({"version": "6.1.1"})));
        assert_eq!(answer.header("access-control-allow-origin"), "*");
    }
    assert_eq!(hub.get("/user", "").await.json(), json!({"status": 403, "message": null}));
    let anonymous = json!({"status": 403, "message": "Missing or invalid credentials."});
    for path in ["/users", "/users/alice", "/info", "/proxy", "/users/alice/server", "/users/alice/tokens"] {
        assert_eq!(hub.get(path, "").await.json(), anonymous, "{path}");
    }
    assert_eq!(hub.get("/nothing", "").await.json(), json!({"status": 404, "message": null}));
    let answer = hub.api(Method::PUT, "/user", ALICE_TOKEN, None).await;
    assert_eq!(answer.json(), json!({"status": 405, "message": null}));
}

/// Attack row 47.
#[tokio::test]
async fn scopes_are_checked_and_what_is_filtered_away_does_not_exist() {
    let hub = TestHub::new().await;
    let lacking = hub.get("/info", ALICE_TOKEN).await;
    assert_eq!(lacking.status, StatusCode::FORBIDDEN);
    let message = "Action is not authorized with current scopes; requires any of [read:hub]";
    assert_eq!(lacking.json()["message"], message);
    for name in ["bob", "nobody"] {
        let hidden = hub.get(&format!("/users/{name}"), ALICE_TOKEN).await;
        let body = json!({"status": 404, "message": "No access to resources or resources not found"});
        assert_eq!((hidden.status, hidden.json()), (StatusCode::NOT_FOUND, body), "{name}");
    }
    for (method, path) in
        [(Method::POST, "/users/bob/server"), (Method::DELETE, "/users/bob/server"), (Method::GET, "/users/bob/tokens")]
    {
        assert_eq!(hub.api(method, path, ALICE_TOKEN, None).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(hub.get("/info", ADMIN_TOKEN).await.json()["version"], "6.1.1");
}

#[tokio::test]
async fn a_user_sees_oneself_whole() {
    let hub = TestHub::new().await;
    let mut alice = hub.get("/users/alice", ALICE_TOKEN).await.json();
    assert!(alice["created"].as_str().unwrap().ends_with('Z'));
    alice["created"] = Value::Null;
    let expected = json!({
        "kind": "user", "name": "alice", "admin": false, "roles": ["user"], "groups": [], "server": null,
        "pending": null, "created": null, "last_activity": alice["last_activity"], "servers": {}, "user_info": alice["user_info"],
    });
    assert_eq!(alice, expected);
}

#[tokio::test]
async fn lists_hold_who_may_be_seen_in_pages() {
    let hub = TestHub::new().await;
    let names = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|user| user["name"].as_str().unwrap().to_owned()).collect()
    };
    let all = hub.get("/users", ADMIN_TOKEN).await.json();
    assert_eq!(names(&all), ["alice", "bob", "root"]);
    assert_eq!(hub.get("/users", ALICE_TOKEN).await.status, StatusCode::FORBIDDEN);
    assert_eq!(names(&hub.get("/users?sort=-name&limit=2", ADMIN_TOKEN).await.json()), ["root", "bob"]);
    assert_eq!(names(&hub.get("/users?name_filter=LIC", ADMIN_TOKEN).await.json()), ["alice"]);
    assert_eq!(hub.get("/users?sort=x", ADMIN_TOKEN).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(hub.get("/users?state=x", ADMIN_TOKEN).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(hub.get("/users?limit=x", ADMIN_TOKEN).await.status, StatusCode::BAD_REQUEST);

    let header = format!("token {ADMIN_TOKEN}");
    let headers = [("authorization", header.as_str()), ("accept", "application/jupyterhub-pagination+json")];
    let page = hub.browser().request(Method::GET, "/hub/api/users?limit=2", &headers, None).await.json();
    assert_eq!(names(&page["items"]), ["alice", "bob"]);
    let next = json!({"offset": 2, "limit": 2, "url": "http://hub.test/hub/api/users?offset=2&limit=2"});
    assert_eq!(page["_pagination"], json!({"offset": 0, "limit": 2, "total": 3, "next": next}));
}

#[tokio::test]
async fn users_are_made_and_deleted_by_administrators() {
    let hub = TestHub::new().await;
    let post = |path: &'static str, token: &'static str, body: Option<Value>| hub.api(Method::POST, path, token, body);
    assert_eq!(post("/users/carol", ALICE_TOKEN, None).await.status, StatusCode::FORBIDDEN);
    let carol = post("/users/carol", ADMIN_TOKEN, None).await;
    assert_eq!((carol.status, carol.json()["name"].as_str()), (StatusCode::CREATED, Some("carol")));
    assert_eq!(post("/users/carol", ADMIN_TOKEN, None).await.status, StatusCode::CONFLICT);
    let bad = post("/users/%20x", ADMIN_TOKEN, None).await;
    assert_eq!(
        (bad.status, bad.json()["message"].as_str()),
        (StatusCode::BAD_REQUEST, Some("Failed to create user:  x"))
    );

    let several = post("/users", ADMIN_TOKEN, Some(json!({"usernames": ["Dave", "carol"]}))).await;
    assert_eq!(several.status, StatusCode::CREATED);
    assert_eq!(several.json().as_array().unwrap().len(), 1);
    for (body, status) in [
        (json!({"usernames": ["dave", "carol"]}), StatusCode::CONFLICT),
        (json!({"usernames": []}), StatusCode::BAD_REQUEST),
        (json!({"usernames": ["a/b"]}), StatusCode::BAD_REQUEST),
        (json!([]), StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(post("/users", ADMIN_TOKEN, Some(body.clone())).await.status, status, "{body}");
    }
    let delete = |path: &'static str| hub.api(Method::DELETE, path, ADMIN_TOKEN, None);
    assert_eq!(delete("/users/carol").await.status, StatusCode::NO_CONTENT);
    assert_eq!(delete("/users/carol").await.status, StatusCode::NOT_FOUND);
    assert_eq!(delete("/users/root").await.json()["message"], "Cannot delete yourself!");
}

#[tokio::test]
async fn a_server_is_started_seen_and_stopped() {
    let hub = TestHub::new().await;
    let stopped = hub.get("/users/alice/server", ALICE_TOKEN).await.json();
    assert_eq!((&stopped["stopped"], &stopped["ready"]), (&json!(true), &json!(false)));
    assert_eq!(stopped["progress_url"], "/hub/api/users/alice/server/progress");
    assert_eq!(hub.get("/users/alice/server/progress", ALICE_TOKEN).await.status, StatusCode::BAD_REQUEST);

    let answer =
        hub.api(Method::POST, "/users/alice/server", ALICE_TOKEN, Some(json!({"user_options": {"a": 1}}))).await;
    assert!(matches!(answer.status, StatusCode::ACCEPTED | StatusCode::CREATED), "{} {}", answer.status, answer.text);
    assert_eq!(answer.header("content-type"), "text/plain");
    hub.becomes_ready("alice", ALICE_TOKEN).await;
    let user = hub.get("/users/alice", ALICE_TOKEN).await.json();
    let server = &user["servers"][""];
    assert_eq!((&user["server"], &server["ready"]), (&json!("/user/alice/"), &json!(true)));
    assert_eq!(server["user_options"], json!({"a": 1}));
    assert_eq!(server.get("state"), None, "only with admin:server_state");
    let again = hub.api(Method::POST, "/users/alice/server", ALICE_TOKEN, None).await;
    assert_eq!(
        (again.status, again.json()["message"].as_str()),
        (StatusCode::BAD_REQUEST, Some("alice is already running"))
    );
    assert_eq!(hub.api(Method::PUT, "/users/alice/server", ALICE_TOKEN, None).await.status, StatusCode::CONFLICT);

    let routes = hub.get("/proxy", ADMIN_TOKEN).await.json();
    assert_eq!(routes["/user/alice/"]["data"]["user"], "alice", "{routes}");
    assert_eq!(hub.api(Method::POST, "/proxy", ADMIN_TOKEN, None).await.status, StatusCode::OK);

    let unclear = hub.api(Method::DELETE, "/users/alice/server", ALICE_TOKEN, Some(json!({"remove": "no"}))).await;
    assert_eq!(unclear.json()["message"], "remove must be true or false");
    let stop = hub.api(Method::DELETE, "/users/alice/server", ALICE_TOKEN, None).await;
    assert!(matches!(stop.status, StatusCode::ACCEPTED | StatusCode::NO_CONTENT), "{}", stop.status);
    hub.stop_server("alice", ALICE_TOKEN).await;
    assert_eq!(hub.get("/proxy", ADMIN_TOKEN).await.json().get("/user/alice/"), None);
}

#[tokio::test]
async fn a_proxy_that_can_not_be_used_does_not_take_the_place_of_one_that_can() {
    let hub = TestHub::new().await;
    for body in [
        json!({"api_url": "http://127.0.0.1:1"}),
        json!({"api_url": "ftp://127.0.0.1"}),
        json!({"auth_token": "wrong"}),
        json!({"auth_token": "not\na header"}),
    ] {
        let refused = hub.api(Method::PATCH, "/proxy", ADMIN_TOKEN, Some(body.clone())).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(hub.get("/proxy", ADMIN_TOKEN).await.status, StatusCode::OK, "after {body}");
    }
    let same = hub.api(Method::PATCH, "/proxy", ADMIN_TOKEN, Some(json!({"auth_token": "the-proxy-token"}))).await;
    assert_eq!(same.status, StatusCode::OK, "{}", same.text);
}

#[tokio::test]
async fn a_server_reports_activity_which_never_moves_backwards() {
    let hub = TestHub::new().await;
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    let token = server["JUPYTERHUB_API_TOKEN"].as_str();
    let now = jiff::Timestamp::now();
    let (later, earlier) = (now.to_string(), (now - jiff::SignedDuration::from_hours(1)).to_string());
    let report = |time: &str| json!({"last_activity": time, "servers": {"": {"last_activity": time}}});
    for time in [&later, &earlier] {
        let answer = hub.api(Method::POST, "/users/alice/activity", token, Some(report(time))).await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, ""));
    }
    let user = hub.get("/users/alice", ALICE_TOKEN).await.json();
    let seen: jiff::Timestamp = user["servers"][""]["last_activity"].as_str().unwrap().parse().unwrap();
    assert_eq!(seen.as_microsecond(), now.as_microsecond());

    for body in [
        json!({}),
        json!([]),
        json!({"last_activity": "2999-01-01T00:00:00Z"}),
        json!({"last_activity": "yesterday"}),
        json!({"servers": {"other": {"last_activity": later}}}),
        json!({"servers": {"": {}}}),
    ] {
        let answer = hub.api(Method::POST, "/users/alice/activity", token, Some(body.clone())).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
    }
    let foreign = hub.api(Method::POST, "/users/bob/activity", token, Some(report(&later))).await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
    let me = hub.get("/user", token).await.json();
    assert_eq!(me["name"], "alice");
    assert_eq!(hub.api(Method::POST, "/users/alice/server", token, None).await.status, StatusCode::FORBIDDEN);
}

/// Attack row 45: as upstream, scopes that the owner lacks are a bad request.
#[tokio::test]
async fn tokens_are_made_listed_and_revoked_and_never_do_more_than_their_owner() {
    let hub = TestHub::new().await;
    let make = |token: &'static str, body: Value| hub.api(Method::POST, "/users/alice/tokens", token, Some(body));
    let made = make(ALICE_TOKEN, json!({"note": "n", "expires_in": 60, "scopes": ["read:servers!user"]})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let made = made.json();
    let (token, id) = (made["token"].as_str().unwrap(), made["id"].as_str().unwrap());
    assert_eq!((made["kind"].as_str(), made["note"].as_str(), token.len()), (Some("api_token"), Some("n"), 32));
    assert!(made["expires_at"].is_string());
    assert_eq!(hub.get("/users/alice/server", token).await.status, StatusCode::OK);
    assert_eq!(hub.api(Method::POST, "/users/alice/server", token, None).await.status, StatusCode::FORBIDDEN);

    let list = hub.get("/users/alice/tokens", ALICE_TOKEN).await;
    assert!(!list.text.contains(token));
    assert_eq!(list.json()["api_tokens"][0]["id"], id);
    for (body, status) in [
        (json!({"scopes": ["admin:users"]}), StatusCode::BAD_REQUEST),
        (json!({"scopes": ["no-such-scope"]}), StatusCode::BAD_REQUEST),
        (json!({"scopes": "self"}), StatusCode::BAD_REQUEST),
        (json!({"expires_in": "1"}), StatusCode::BAD_REQUEST),
        (json!({"expires_in": -1}), StatusCode::BAD_REQUEST),
        (json!({"note": ["n"]}), StatusCode::BAD_REQUEST),
        (json!([1]), StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(make(ALICE_TOKEN, body.clone()).await.status, status, "{body}");
    }
    assert_eq!(make(BOB_TOKEN, json!({})).await.status, StatusCode::FORBIDDEN);
    let unknown = hub.api(Method::POST, "/users/nobody/tokens", ADMIN_TOKEN, None).await;
    assert_eq!(unknown.status, StatusCode::FORBIDDEN);
    assert_eq!(make("", json!({"auth": {"username": "", "password": ALICE_TOKEN}})).await.status, StatusCode::CREATED);
    assert_eq!(
        make("", json!({"auth": {"username": "alice", "password": "wrong"}})).await.status,
        StatusCode::FORBIDDEN
    );

    let path = format!("/users/alice/tokens/{id}");
    assert_eq!(hub.get(&path, ALICE_TOKEN).await.json()["id"], id);
    assert_eq!(hub.api(Method::DELETE, &path, ALICE_TOKEN, None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(hub.api(Method::DELETE, &path, ALICE_TOKEN, None).await.status, StatusCode::NOT_FOUND);
    assert_eq!(hub.get("/user", token).await.status, StatusCode::FORBIDDEN);
}

/// Attack row 39.
#[tokio::test]
async fn a_cookie_posts_json_with_the_forms_token_only() {
    let hub = TestHub::new().await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    browser.get("/hub/home").await;
    let xsrf = browser.cookie("_xsrf").unwrap().to_owned();
    let path = "/hub/api/users/alice/tokens";
    let json_type = ("content-type", "application/json");
    let missing = browser.request(Method::POST, path, &[json_type], Some("{}".into())).await;
    assert_eq!(missing.json()["message"], "'_xsrf' argument missing from POST");
    let wrong = browser.request(Method::POST, path, &[json_type, ("x-xsrftoken", "wrong")], Some("{}".into())).await;
    assert_eq!(wrong.json()["message"], "XSRF cookie does not match POST argument");
    let form = ("content-type", "text/plain");
    let refused = browser.request(Method::POST, path, &[form, ("x-xsrftoken", &xsrf)], Some("{}".into())).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let right = browser.request(Method::POST, path, &[json_type, ("x-xsrftoken", &xsrf)], Some("{}".into())).await;
    assert_eq!(right.status, StatusCode::CREATED);
    let bad = browser.request(Method::POST, path, &[json_type, ("x-xsrftoken", &xsrf)], Some("{".into())).await;
    assert_eq!(bad.json(), json!({"status": 400, "message": "Invalid JSON in body of request"}));
}

#[tokio::test]
async fn a_failed_start_says_why_and_can_be_tried_again() {
    let hub = TestHub::new().await;
    // Where the server would write its environment there is a directory: it ends at once.
    std::fs::create_dir(hub.path("alice.json.new")).unwrap();
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    browser.get("/hub/spawn").await;
    let events = hub.get("/users/alice/server/progress", ALICE_TOKEN).await;
    assert!(events.text.contains("\"failed\":true"), "{}", events.text);
    let page = browser.get("/hub/spawn-pending/alice").await;
    assert_eq!(page.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(page.text.contains("Try again"), "{}", page.text);
    std::fs::remove_dir(hub.path("alice.json.new")).unwrap();
    browser.get("/hub/spawn").await;
    hub.becomes_ready("alice", ALICE_TOKEN).await;
}

#[tokio::test]
async fn someones_own_request_is_activity_and_a_servers_is_not() {
    let hub = TestHub::new().await;
    let seen = async || hub.get("/users/bob", ADMIN_TOKEN).await.json()["last_activity"].clone();
    let before = seen().await;
    let server = hub.start_server("bob", ADMIN_TOKEN).await;
    hub.get("/user", &server["JUPYTERHUB_API_TOKEN"]).await;
    assert_eq!(seen().await, before);
    let tokens = hub.get("/users/bob/tokens", ADMIN_TOKEN).await.json();
    assert!(tokens["api_tokens"][0]["last_activity"].is_string(), "{tokens}");
    hub.get("/user", BOB_TOKEN).await;
    assert_ne!(seen().await, before);
}
