//! Named servers: their names, their number, and all that is done with them.

use axum::http::{Method, StatusCode};
use hub_crds::ServerLimits;
use serde_json::{Value, json};

use crate::test_hub::{ADMIN_TOKEN, ALICE_TOKEN, BOB_TOKEN, Settings, TestHub};

async fn hub(named_server_limit_per_user: u32) -> TestHub {
    let limits = ServerLimits { allow_named_servers: true, named_server_limit_per_user, ..ServerLimits::default() };
    TestHub::with(Settings { limits, ..Settings::default() }).await
}

async fn put(hub: &TestHub, server: &str, body: Value) -> (StatusCode, Value) {
    let answer = hub.api(Method::PUT, &format!("/users/alice/servers/{server}"), ALICE_TOKEN, Some(body)).await;
    (answer.status, answer.json())
}

async fn patch(hub: &TestHub, server: &str, body: Value) -> (StatusCode, Value) {
    let answer = hub.api(Method::PATCH, &format!("/users/alice/servers/{server}"), ALICE_TOKEN, Some(body)).await;
    (answer.status, answer.json())
}

#[tokio::test]
async fn named_servers_are_refused_unless_the_settings_allow_them() {
    let hub = TestHub::new().await;
    for method in [Method::PUT, Method::POST, Method::DELETE] {
        let answer = hub.api(method.clone(), "/users/alice/servers/lab", ALICE_TOKEN, None).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{method}");
        assert_eq!(answer.json()["message"], "Named servers are not enabled.", "{method}");
    }
    assert!(!hub.logged_in(ALICE_TOKEN).await.get("/hub/home").await.text.contains("Named servers"));
}

#[tokio::test]
async fn a_named_server_is_made_changed_and_removed() {
    let hub = hub(0).await;
    let (status, model) = put(&hub, "lab", json!({"display_name": "My lab", "user_options": {"size": "big"}})).await;
    assert_eq!(status, StatusCode::CREATED, "{model}");
    assert_eq!((&model["full_name"], &model["display_name"]), (&json!("alice/lab"), &json!("My lab")));
    assert_eq!((&model["url"], &model["stopped"]), (&json!("/user/alice/lab/"), &json!(true)));
    assert_eq!(model["user_options"], json!({"size": "big"}));

    let again = put(&hub, "lab", json!({})).await;
    assert_eq!(again, (StatusCode::CONFLICT, json!({"status": 409, "message": "User alice already has server lab"})));
    assert_eq!(put(&hub, "", json!({})).await.0, StatusCode::CONFLICT);

    let (status, model) = patch(&hub, "lab", json!({"name": "work", "user_options": {}})).await;
    assert_eq!(status, StatusCode::OK, "{model}");
    assert_eq!((&model["name"], &model["display_name"]), (&json!("work"), &json!("My lab")));
    assert_eq!(hub.get("/users/alice/servers/lab", ALICE_TOKEN).await.status, StatusCode::NOT_FOUND);

    put(&hub, "lab", json!({})).await;
    assert_eq!(patch(&hub, "lab", json!({"name": "work"})).await.0, StatusCode::CONFLICT);
    for (body, message) in [
        (json!({}), "Must specify at least one field to modify."),
        (json!({"colour": 1}), "Unexpected fields: colour, supported fields: name,display_name,user_options"),
        (json!({"name": "A b"}), "Invalid server_name: 'A b'"),
        (json!({"display_name": " x"}), "Invalid display_name: ' x'"),
        (json!({"display_name": 3}), "display_name must be a string"),
        (json!({"user_options": null}), "user_options must be a dict"),
    ] {
        let (status, answer) = patch(&hub, "lab", body).await;
        assert_eq!((status, answer["message"].as_str()), (StatusCode::BAD_REQUEST, Some(message)));
    }

    let remove = Some(json!({"remove": true}));
    let answer = hub.api(Method::DELETE, "/users/alice/servers/work", ALICE_TOKEN, remove.clone()).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(hub.get("/users/alice/servers/work", ALICE_TOKEN).await.status, StatusCode::NOT_FOUND);
    let default = hub.api(Method::DELETE, "/users/alice/server", ALICE_TOKEN, remove).await;
    assert_eq!(default.json()["message"], "Cannot delete the default server");
    let unknown = hub.api(Method::DELETE, "/users/alice/servers/none", ALICE_TOKEN, None).await;
    assert_eq!(unknown.json()["message"], "alice has no server named 'none'");
}

#[tokio::test]
async fn names_and_numbers_are_bounded() {
    let hub = hub(1).await;
    for bad in ["UPPER", "1a", "a--b", "..", "a_b", &"x".repeat(31)] {
        let (status, answer) = put(&hub, bad, json!({})).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{bad}: {answer}");
    }
    assert_eq!(put(&hub, "one", json!({})).await.0, StatusCode::CREATED);
    let (status, answer) = put(&hub, "two", json!({})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(answer["message"].as_str().unwrap().contains("the maximum of 1 named servers"), "{answer}");
    assert_eq!(patch(&hub, "one", json!({"name": "two"})).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_named_server_runs_beside_the_default_one() {
    let hub = hub(0).await;
    hub.start_server("alice", ALICE_TOKEN).await;
    let answer = hub.api(Method::POST, "/users/alice/servers/lab", ALICE_TOKEN, None).await;
    assert!(answer.status.is_success(), "{}", answer.text);
    let events = hub.get("/users/alice/servers/lab/progress", ALICE_TOKEN).await;
    assert!(events.text.contains(r#""url":"/user/alice/lab/""#), "{}", events.text);
    let alice = hub.get("/users/alice", ALICE_TOKEN).await.json();
    let servers: Vec<_> = alice["servers"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(servers, ["", "lab"]);
    let routes = hub.get("/proxy", ADMIN_TOKEN).await.json();
    assert!(routes["/user/alice/lab/"]["data"]["server_name"] == "lab" && routes.get("/user/alice/").is_some());

    let active = patch(&hub, "lab", json!({"name": "other"})).await;
    assert_eq!(active.0, StatusCode::BAD_REQUEST);
    let stop = hub.api(Method::DELETE, "/users/alice/servers/lab", ALICE_TOKEN, Some(json!({"remove": true}))).await;
    assert_eq!(stop.status, StatusCode::ACCEPTED);
    for _ in 0..200 {
        if hub.get("/users/alice/servers/lab", ALICE_TOKEN).await.status == StatusCode::NOT_FOUND {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(hub.get("/users/alice/servers/lab", ALICE_TOKEN).await.status, StatusCode::NOT_FOUND);
    assert_eq!(hub.get("/users/alice/server", ALICE_TOKEN).await.json()["ready"], true);
}

#[tokio::test]
async fn pages_know_named_servers() {
    let hub = hub(0).await;
    put(&hub, "lab", json!({"display_name": "My <lab>"})).await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    let home = browser.get("/hub/home").await.text;
    assert!(home.contains("My &#60;lab&#62;") && home.contains("/hub/spawn/alice/lab"), "{home}");
    assert_eq!(browser.get("/hub/home?new=second").await.location(), "/hub/spawn/alice/second");
    assert_eq!(browser.get("/hub/spawn/alice/No").await.status, StatusCode::BAD_REQUEST);
    let not_running = browser.get("/hub/user/alice/lab/tree").await;
    assert_eq!(not_running.status, StatusCode::FAILED_DEPENDENCY);
    assert!(not_running.text.contains("/hub/spawn/alice/lab?next="), "{}", not_running.text);
    let other = hub.logged_in(BOB_TOKEN).await.get("/hub/spawn/alice/lab").await;
    assert_eq!(other.status, StatusCode::NOT_FOUND);
}

/// Attack row 49, CVE-2020-15110: the server `b` of `a` and the user `a-b` are two.
#[tokio::test]
async fn joined_names_of_two_people_are_two_servers() {
    let hub = hub(0).await;
    for user in ["a", "a-b"] {
        let made = hub.api(Method::POST, &format!("/users/{user}"), ADMIN_TOKEN, None).await;
        assert_eq!(made.status, StatusCode::CREATED);
    }
    for path in ["/users/a/servers/b", "/users/a-b/server"] {
        let started = hub.api(Method::POST, path, ADMIN_TOKEN, None).await;
        assert!(started.status.is_success(), "{}", started.text);
        let events = hub.get(&format!("{path}/progress"), ADMIN_TOKEN).await;
        assert!(events.text.contains("\"ready\":true"), "{}", events.text);
    }
    let environment = |user: &str| -> Value {
        serde_json::from_slice(&std::fs::read(hub.path(&format!("{user}.json"))).unwrap()).unwrap()
    };
    let (first, second) = (environment("a"), environment("a-b"));
    for variable in ["JUPYTERHUB_CLIENT_ID", "JUPYTERHUB_API_TOKEN", "JUPYTERHUB_SERVICE_PREFIX"] {
        assert_ne!(first[variable], second[variable], "{variable}");
    }
}

#[tokio::test]
async fn starts_are_throttled_and_told_when_to_come_again() {
    let limits = ServerLimits { active_server_limit: 1, ..ServerLimits::default() };
    let hub = TestHub::with(Settings { limits, ..Settings::default() }).await;
    hub.start_server("alice", ALICE_TOKEN).await;
    let full = hub.api(Method::POST, "/users/bob/server", BOB_TOKEN, None).await;
    assert_eq!(full.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(full.json()["message"], "Active user limit exceeded. Try again in a few minutes.");
    assert_eq!(full.header("retry-after"), "");
    let page = hub.logged_in(BOB_TOKEN).await.get("/hub/spawn").await;
    assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS);
    hub.stop_server("alice", ALICE_TOKEN).await;
    hub.start_server("bob", BOB_TOKEN).await;
}
