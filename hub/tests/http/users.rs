//! Changing users through the API.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::test_hub::{ADMIN_TOKEN, ALICE_TOKEN, TestHub};

async fn patch(hub: &TestHub, user: &str, token: &str, body: Value) -> (StatusCode, Value) {
    let answer = hub.api(Method::PATCH, &format!("/users/{user}"), token, Some(body)).await;
    (answer.status, answer.json())
}

/// A token of alice's that may do what `scopes` say, which her own roles don't hold: through the administrator.
async fn token_with(hub: &TestHub, scopes: &[&str]) -> String {
    let body = json!({"scopes": scopes});
    let answer = hub.api(Method::POST, "/users/root/tokens", ADMIN_TOKEN, Some(body)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    answer.json()["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_administrator_renames_and_promotes() {
    let hub = TestHub::new().await;
    let (status, model) = patch(&hub, "bob", ADMIN_TOKEN, json!({"name": "Robert", "admin": true})).await;
    assert_eq!(status, StatusCode::OK, "{model}");
    assert_eq!((&model["name"], &model["admin"]), (&json!("robert"), &json!(true)));
    assert_eq!((&model["roles"], &model["auth_state"]), (&json!(["admin", "user"]), &Value::Null));
    assert_eq!(hub.get("/users/bob", ADMIN_TOKEN).await.status, StatusCode::NOT_FOUND);
    let (_, model) = patch(&hub, "robert", ADMIN_TOKEN, json!({"admin": false})).await;
    assert_eq!(model["roles"], json!(["user"]));
}

#[tokio::test]
async fn bad_changes_are_refused_with_their_reason() {
    let hub = TestHub::new().await;
    for (body, message) in [
        (json!({"name": "alice"}), "User alice already exists, username must be unique"),
        (json!({"name": "a/b"}), "Invalid username: a/b"),
        (json!({"name": 7}), "user.name must be a string"),
        (json!({"admin": "yes"}), "user.admin must be a boolean"),
        (json!({"colour": "red"}), "Invalid JSON keys: colour; a user has name and admin"),
        (json!([]), "Invalid JSON data: it must be an object"),
    ] {
        let (status, answer) = patch(&hub, "bob", ADMIN_TOKEN, body).await;
        assert_eq!((status, answer["message"].as_str()), (StatusCode::BAD_REQUEST, Some(message)));
    }
    assert_eq!(patch(&hub, "nobody", ADMIN_TOKEN, json!({"admin": true})).await.0, StatusCode::NOT_FOUND);
    assert_eq!(patch(&hub, "bob", ALICE_TOKEN, json!({"admin": true})).await.0, StatusCode::FORBIDDEN);
}

/// CVE-2024-41942, attack row 46. The scope alone doesn't make an administrator; the token's owner must be one.
#[tokio::test]
async fn the_scope_to_change_users_is_not_enough_to_promote_anyone() {
    let hub = TestHub::new().await;
    let promoted = patch(&hub, "alice", ALICE_TOKEN, json!({"admin": true})).await;
    assert_eq!(promoted.0, StatusCode::FORBIDDEN);
    let token = token_with(&hub, &["admin:users"]).await;
    // Made by an administrator for an administrator, it acts for one.
    assert_eq!(patch(&hub, "alice", &token, json!({"admin": true})).await.0, StatusCode::OK);
    // Once its owner is none, neither is it, though the scope's name is still written in it.
    assert_eq!(patch(&hub, "root", &token, json!({"admin": false})).await.0, StatusCode::OK);
    assert_eq!(patch(&hub, "bob", &token, json!({"admin": true})).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_user_whose_server_runs_is_not_renamed() {
    let hub = TestHub::new().await;
    hub.start_server("alice", ALICE_TOKEN).await;
    let (status, answer) = patch(&hub, "alice", ADMIN_TOKEN, json!({"name": "alicia"})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(answer["message"].as_str().unwrap().contains("stop it before renaming"), "{answer}");
}
