//! People and programs that want more than they have.

use axum::http::{Method, StatusCode};
use hub_crds::ServerLimits;
use serde_json::{Value, json};

use crate::{
    browser::Answer,
    test_hub::{ADMIN_TOKEN, ALICE_TOKEN, BOB_TOKEN, Settings, TestHub},
};

async fn patch(hub: &TestHub, user: &str, token: &str, body: Value) -> Answer {
    hub.api(Method::PATCH, &format!("/users/{user}"), token, Some(body)).await
}

async fn is_admin(hub: &TestHub, user: &str) -> bool {
    hub.get(&format!("/users/{user}"), ADMIN_TOKEN).await.json()["admin"] == true
}

#[tokio::test]
async fn nobody_gives_themselves_more_attack_row_45() {
    let hub = TestHub::new().await;
    hub.give("bob", &["admin:users", "groups", "tokens"]).await;
    // A role is edited in the settings only: those who may change users can't, and nobody else gets that far.
    for body in [json!({"roles": ["admin"]}), json!({"groups": ["staff"]}), json!({"scopes": ["shutdown"]})] {
        assert_eq!(patch(&hub, "alice", ALICE_TOKEN, body.clone()).await.status, StatusCode::FORBIDDEN, "{body}");
        assert_eq!(patch(&hub, "bob", BOB_TOKEN, body.clone()).await.status, StatusCode::BAD_REQUEST, "{body}");
    }
    // As upstream, a token that would do more than its owner is a bad request.
    for scopes in [json!(["shutdown"]), json!(["admin:servers"]), json!(["self", "servers!user=alice"])] {
        let made = hub.api(Method::POST, "/users/bob/tokens", BOB_TOKEN, Some(json!({"scopes": scopes}))).await;
        assert_eq!(made.status, StatusCode::BAD_REQUEST, "{scopes}");
    }
    for role in ["admin", "server", "user"] {
        let made = hub.api(Method::POST, "/users/bob/tokens", BOB_TOKEN, Some(json!({"roles": [role]}))).await;
        assert_eq!(made.status, StatusCode::BAD_REQUEST, "{role}");
    }
    // `self` and `inherit` mean the token's owner, whoever makes it.
    for scopes in [json!(["self"]), json!(["inherit"])] {
        let made = hub.api(Method::POST, "/users/alice/tokens", BOB_TOKEN, Some(json!({"scopes": scopes}))).await;
        let token = made.json()["token"].as_str().unwrap().to_owned();
        let user = hub.get("/user", &token).await.json();
        assert_eq!(user["name"], "alice");
        let scopes = user["scopes"].as_array().unwrap();
        assert!(scopes.iter().all(|scope| scope.as_str().unwrap().ends_with("!user=alice")), "{scopes:?}");
    }
}

/// A scope to manage groups would be a scope for everything that any group may do. Others one may add, since programs
/// do that for a living.
#[tokio::test]
async fn nobody_joins_a_group_that_does_more_than_they_do_attack_row_45() {
    let hub = TestHub::new().await;
    let groups = json!({"groups": ["admins", "plain", "readers"]});
    hub.api(Method::POST, "/groups", ADMIN_TOKEN, Some(groups)).await;
    hub.sql(
        "INSERT INTO roles (name, scopes, managed_by_auth) VALUES ('reader', '[\"list:groups\", \"self\"]', FALSE);
         INSERT INTO group_role_map (group_id, role_id, managed_by_auth)
             SELECT g.id, r.id, FALSE FROM groups g, roles r
             WHERE (g.name, r.name) IN (VALUES ('admins', 'admin'), ('readers', 'reader'))",
    )
    .await;
    hub.give("bob", &["groups"]).await;
    let add = async |group: &str, users: Value, token: &'static str| {
        let body = Some(json!({"users": users}));
        hub.api(Method::POST, &format!("/groups/{group}/users"), token, body).await
    };
    for users in [json!(["bob"]), json!(["alice", "bob"]), json!(["BOB"])] {
        let refused = add("admins", users, BOB_TOKEN).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        let message = refused.json()["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with("You can't join group admins: its roles hold "), "{message}");
    }
    assert_eq!(hub.get("/groups/admins", ADMIN_TOKEN).await.json()["users"], json!([]));
    for group in ["plain", "readers"] {
        assert_eq!(add(group, json!(["bob"]), BOB_TOKEN).await.status, StatusCode::OK, "{group}");
    }
    assert_eq!(add("admins", json!(["alice"]), BOB_TOKEN).await.status, StatusCode::OK);
    assert_eq!(add("admins", json!(["root"]), ADMIN_TOKEN).await.status, StatusCode::OK);
}

/// GHSA-69wv-m5fw-2fhp: what is filtered by a group ends at the group.
#[tokio::test]
async fn ghsa_69wv_m5fw_2fhp_an_administrator_of_a_group_is_nobody_outside_it() {
    let hub = TestHub::new().await;
    hub.api(Method::POST, "/users/carol", ADMIN_TOKEN, None).await;
    hub.api(Method::POST, "/groups/g", ADMIN_TOKEN, Some(json!({"users": ["carol"]}))).await;
    hub.give("bob", &["admin:users!group=g", "admin:servers!group=g", "tokens!group=g"]).await;
    let api = async |method: Method, path: &str, body: Value| hub.api(method, path, BOB_TOKEN, Some(body)).await.status;
    for user in ["alice", "nobody"] {
        for (method, path, body) in [
            (Method::GET, "", json!({})),
            (Method::PATCH, "", json!({"name": "mallory"})),
            (Method::PATCH, "", json!({"admin": true})),
            (Method::DELETE, "", json!({})),
            (Method::POST, "/server", json!({})),
            (Method::DELETE, "/server", json!({})),
            (Method::GET, "/tokens", json!({})),
            (Method::DELETE, "/tokens/a1", json!({})),
            (Method::POST, "/activity", json!({"last_activity": "2026-01-01T00:00:00Z"})),
        ] {
            let path = format!("/users/{user}{path}");
            assert_eq!(api(method.clone(), &path, body).await, StatusCode::NOT_FOUND, "{method} {path}");
        }
        assert_eq!(api(Method::POST, &format!("/users/{user}/tokens"), json!({})).await, StatusCode::FORBIDDEN);
    }
    // Neither a new user nor one under another name is in the group.
    assert_eq!(api(Method::POST, "/users/dave", json!({})).await, StatusCode::NOT_FOUND);
    assert_eq!(api(Method::POST, "/users", json!({"usernames": ["dave"]})).await, StatusCode::FORBIDDEN);
    assert_eq!(api(Method::PATCH, "/users/carol", json!({"name": "dave"})).await, StatusCode::NOT_FOUND);
    assert_eq!(api(Method::PATCH, "/users/carol", json!({"admin": true})).await, StatusCode::FORBIDDEN);
    let seen = hub.get("/users", BOB_TOKEN).await.json();
    assert_eq!(seen.as_array().unwrap().iter().map(|user| &user["name"]).collect::<Vec<_>>(), ["carol"]);
    assert_eq!(api(Method::PATCH, "/users/carol", json!({"admin": false})).await, StatusCode::OK, "inside it is one");
}

/// CVE-2024-41942, attack row 46: by every way that leads to an administrator.
#[tokio::test]
async fn cve_2024_41942_the_scope_for_users_makes_no_administrator_attack_row_46() {
    let hub = TestHub::new().await;
    hub.give("bob", &["admin:users"]).await;
    let refused = async |method: Method, path: &str, body: Value| {
        let answer = hub.api(method.clone(), path, BOB_TOKEN, Some(body)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {path} {}", answer.text);
    };
    for user in ["alice", "bob", "root"] {
        refused(Method::PATCH, &format!("/users/{user}"), json!({"admin": true})).await;
    }
    refused(Method::POST, "/users/new", json!({"admin": true})).await;
    refused(Method::POST, "/users", json!({"usernames": ["new"], "admin": true})).await;
    for change in [json!({"admin": false}), json!({"name": "toor"})] {
        refused(Method::PATCH, "/users/root", change).await;
    }
    // Who has the name of an administrator of the settings becomes one: by deleting it and taking it over.
    refused(Method::DELETE, "/users/root", json!({})).await;
    hub.sql("DELETE FROM users WHERE name = 'root'").await;
    refused(Method::PATCH, "/users/bob", json!({"name": "root"})).await;
    refused(Method::PATCH, "/users/bob", json!({"name": "ROOT"})).await;
    refused(Method::POST, "/users/root", json!({})).await;
    refused(Method::POST, "/users", json!({"usernames": ["new", "Root"]})).await;
    for user in ["alice", "bob"] {
        assert!(!is_admin(&hub, user).await, "{user}");
    }
    assert_eq!(hub.get("/users/new", ADMIN_TOKEN).await.status, StatusCode::NOT_FOUND);
    assert_eq!(patch(&hub, "alice", BOB_TOKEN, json!({"name": "alicia"})).await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_is_others_is_not_found_by_its_id_attack_row_47() {
    let limits = ServerLimits { allow_named_servers: true, ..ServerLimits::default() };
    let hub = TestHub::with(Settings { limits, ..Settings::default() }).await;
    let made = hub.api(Method::POST, "/users/bob/tokens", BOB_TOKEN, None).await.json();
    let id = made["id"].as_str().unwrap();
    hub.api(Method::PUT, "/users/bob/servers/secret", BOB_TOKEN, None).await;
    let answers = async |user: &str, server: &str| {
        let mut answers = Vec::new();
        for (method, path, body) in [
            (Method::GET, format!("/users/{user}"), json!({})),
            (Method::GET, format!("/users/{user}/tokens"), json!({})),
            (Method::POST, format!("/users/{user}/tokens"), json!({})),
            (Method::GET, format!("/users/{user}/tokens/{id}"), json!({})),
            (Method::DELETE, format!("/users/{user}/tokens/{id}"), json!({})),
            (Method::GET, format!("/users/{user}/servers/{server}"), json!({})),
            (Method::POST, format!("/users/{user}/servers/{server}"), json!({})),
            (Method::PUT, format!("/users/{user}/servers/{server}"), json!({})),
            (Method::PATCH, format!("/users/{user}/servers/{server}"), json!({"name": "mine"})),
            (Method::DELETE, format!("/users/{user}/servers/{server}"), json!({"remove": true})),
            (Method::GET, format!("/users/{user}/servers/{server}/progress"), json!({})),
            (Method::GET, format!("/users/{user}/shared"), json!({})),
            (Method::GET, format!("/users/{user}/shared/alice/"), json!({})),
            (Method::GET, format!("/shares/{user}/{server}"), json!({})),
            (Method::GET, format!("/share-codes/{user}/{server}"), json!({})),
            (Method::POST, format!("/users/{user}/activity"), json!({"last_activity": "2026-01-01T00:00:00Z"})),
        ] {
            let answer = hub.api(method.clone(), &path, ALICE_TOKEN, Some(body)).await;
            // Of a wish for a token upstream says that the user doesn't exist, in 403 for all that one may not ask.
            let is_token = path.ends_with("/tokens") && method == Method::POST;
            let expected = if is_token { StatusCode::FORBIDDEN } else { StatusCode::NOT_FOUND };
            assert_eq!(answer.status, expected, "{method} {path} {}", answer.text);
            answers.push(answer.text.replace(user, "").replace(server, ""));
        }
        answers
    };
    let there = answers("bob", "secret").await;
    assert_eq!(there, answers("nobody", "secret").await, "nobody learns who exists");
    assert_eq!(there, answers("bob", "nothing").await, "nor what they have");

    for (method, path) in [(Method::GET, "tokens"), (Method::DELETE, "tokens")] {
        let path = format!("/users/alice/{path}/{id}");
        assert_eq!(hub.api(method, &path, ALICE_TOKEN, None).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(
        hub.get(&format!("/users/bob/tokens/{id}"), BOB_TOKEN).await.status,
        StatusCode::OK,
        "it is still there"
    );

    // A request that ends at the hub since no such server runs.
    let by_token = format!("token {ALICE_TOKEN}");
    let mut told = Vec::new();
    for server in ["secret", "nothing"] {
        let path = format!("/hub/user/bob/{server}/api/status");
        let headers = [("authorization", by_token.as_str())];
        let answer = hub.browser().request(Method::POST, &path, &headers, None).await;
        assert_eq!(answer.status, StatusCode::FAILED_DEPENDENCY);
        told.push(answer.text.replace(server, ""));
    }
    assert_eq!(told[0], told[1], "which named servers somebody has");
}

#[tokio::test]
async fn a_servers_token_is_of_use_to_its_own_server_while_it_runs_attack_row_53() {
    let hub = TestHub::new().await;
    let alices = hub.start_server("alice", ALICE_TOKEN).await["JUPYTERHUB_API_TOKEN"].clone();
    let bobs = hub.start_server("bob", BOB_TOKEN).await["JUPYTERHUB_API_TOKEN"].clone();
    let activity =
        json!({"last_activity": "2026-01-01T00:00:00Z", "servers": {"": {"last_activity": "2026-01-01T00:00:00Z"}}});
    let report = async |user: &str, token: &str| {
        let path = format!("/users/{user}/activity");
        hub.api(Method::POST, &path, token, Some(activity.clone())).await.status
    };
    assert_eq!(report("alice", &alices).await, StatusCode::OK);
    assert_eq!(report("alice", &bobs).await, StatusCode::NOT_FOUND);
    for (method, path) in [
        (Method::GET, "/users/alice"),
        (Method::GET, "/users/alice/server"),
        (Method::POST, "/users/alice/server"),
        (Method::DELETE, "/users/alice/server"),
        (Method::GET, "/users/alice/tokens"),
        (Method::POST, "/users/alice/tokens"),
        (Method::GET, "/users/alice/server/progress"),
        (Method::POST, "/shares/alice/"),
        (Method::GET, "/users"),
        (Method::GET, "/proxy"),
        (Method::GET, "/metrics"),
    ] {
        for token in [&alices, &bobs] {
            let status = hub.api(method.clone(), path, token, None).await.status;
            // Its own user it may see the activity of, with the name.
            let own = token == &alices && (method.clone(), path) == (Method::GET, "/users/alice");
            let refused = matches!(status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND);
            assert_eq!(refused, !own, "{method} {path} {status}");
        }
    }
    hub.stop_server("alice", ALICE_TOKEN).await;
    assert_eq!(report("alice", &alices).await, StatusCode::FORBIDDEN, "stopped");
    assert_eq!(hub.get("/user", &alices).await.status, StatusCode::FORBIDDEN);

    let made = hub.api(Method::POST, "/users/bob/tokens", BOB_TOKEN, None).await.json();
    let own = made["token"].as_str().unwrap();
    hub.stop_server("bob", BOB_TOKEN).await;
    assert_eq!(hub.get("/user", own).await.status, StatusCode::OK);
    let deleted = hub.api(Method::DELETE, "/users/bob", ADMIN_TOKEN, None).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT, "{}", deleted.text);
    hub.api(Method::POST, "/users/bob", ADMIN_TOKEN, None).await;
    for token in [own, &bobs] {
        assert_eq!(hub.get("/user", token).await.status, StatusCode::FORBIDDEN, "deleted, and another of the old name");
    }
}
