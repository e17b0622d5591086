//! Groups over the REST API, and lists in pages.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    browser::Answer,
    test_hub::{ADMIN_TOKEN, ALICE_TOKEN, BOB_TOKEN, TestHub},
};

impl TestHub {
    async fn as_admin(&self, method: Method, path: &str, body: Value) -> Answer {
        self.api(method, path, ADMIN_TOKEN, Some(body)).await
    }

    /// As a client asks that knows about pages.
    async fn get_page(&self, path: &str, token: &str) -> Value {
        let header = format!("token {token}");
        let headers =
            [("authorization", header.as_str()), ("accept", "text/html, application/jupyterhub-pagination+json")];
        self.browser().request(Method::GET, &format!("/hub/api{path}"), &headers, None).await.json()
    }
}

fn group(name: &str, users: &[&str]) -> Value {
    json!({"kind": "group", "name": name, "users": users, "roles": [], "properties": {}})
}

pub(crate) fn assert_refused(answer: &Answer, status: StatusCode, message: &str) {
    let expected = json!({"status": status.as_u16(), "message": message});
    assert_eq!((answer.status, answer.json()), (status, expected));
}

#[tokio::test]
async fn groups_are_made_changed_and_deleted_by_administrators() {
    let hub = TestHub::new().await;
    assert_eq!(hub.get("/groups", ADMIN_TOKEN).await.json(), json!([]));
    let made = hub.as_admin(Method::POST, "/groups", json!({"groups": ["x", "y"], "users": ["Alice"]})).await;
    let expected = json!([group("x", &["alice"]), group("y", &["alice"])]);
    assert_eq!((made.status, made.json()), (StatusCode::CREATED, expected));
    let made = hub.api(Method::POST, "/groups/empty", ADMIN_TOKEN, None).await;
    assert_eq!((made.status, made.json()), (StatusCode::CREATED, group("empty", &[])));
    let body = json!({"name": "another", "roles": ["admin"], "users": ["bob", "alice", "bob"]});
    let made = hub.as_admin(Method::POST, "/groups/with%20space", body).await;
    assert_eq!((made.status, made.json()), (StatusCode::CREATED, group("with space", &["alice", "bob"])));
    assert_eq!(hub.get("/groups/with%20space", ADMIN_TOKEN).await.json(), made.json());
    assert_eq!(hub.get("/users/bob", BOB_TOKEN).await.json()["groups"], json!(["with space"]));

    for _ in 0..2 {
        let added = hub.as_admin(Method::POST, "/groups/x/users", json!({"users": ["bob"]})).await;
        assert_eq!((added.status, added.json()), (StatusCode::OK, group("x", &["alice", "bob"])));
    }
    for _ in 0..2 {
        let removed = hub.as_admin(Method::DELETE, "/groups/x/users", json!({"users": ["alice", "ALICE"]})).await;
        assert_eq!((removed.status, removed.json()), (StatusCode::OK, group("x", &["bob"])));
    }
    let properties = json!({"quota": {"cpu": [1, 2.5]}});
    let changed = hub.as_admin(Method::PUT, "/groups/x/properties", properties.clone()).await;
    assert_eq!((changed.status, &changed.json()["properties"]), (StatusCode::OK, &properties));
    assert_eq!(hub.get("/groups/x", ADMIN_TOKEN).await.json()["properties"], properties);

    let deleted = hub.api(Method::DELETE, "/groups/x", ADMIN_TOKEN, None).await;
    assert_eq!((deleted.status, deleted.text.as_str()), (StatusCode::NO_CONTENT, ""));
    for (method, path) in [
        (Method::GET, "/groups/x"),
        (Method::DELETE, "/groups/x"),
        (Method::POST, "/groups/x/users"),
        (Method::DELETE, "/groups/x/users"),
        (Method::PUT, "/groups/x/properties"),
    ] {
        assert_refused(&hub.as_admin(method, path, json!({})).await, StatusCode::NOT_FOUND, "No such group: x");
    }
    assert_eq!(hub.get("/groups/y/properties", ADMIN_TOKEN).await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_bad_name_in_a_request_changes_nothing() {
    let hub = TestHub::new().await;
    hub.as_admin(Method::POST, "/groups/x", json!({"users": ["alice"]})).await;
    let before = hub.get("/groups", ADMIN_TOKEN).await.json();
    for (method, path, body, status, message) in [
        (Method::POST, "/groups/x", json!({}), StatusCode::CONFLICT, "Group x already exists"),
        (Method::POST, "/groups", json!({"groups": ["a", "x"]}), StatusCode::CONFLICT, "Group x already exists"),
        (Method::POST, "/groups", json!({"groups": ["a", "a"]}), StatusCode::CONFLICT, "Group a already exists"),
        (Method::POST, "/groups/a", json!({"users": ["bob", "zoe"]}), StatusCode::BAD_REQUEST, "No such user: zoe"),
        (
            Method::POST,
            "/groups",
            json!({"groups": ["a"], "users": ["zoe"]}),
            StatusCode::BAD_REQUEST,
            "No such user: zoe",
        ),
        (
            Method::POST,
            "/groups/x/users",
            json!({"users": ["bob", "zoe"]}),
            StatusCode::BAD_REQUEST,
            "No such user: zoe",
        ),
        (
            Method::DELETE,
            "/groups/x/users",
            json!({"users": ["alice", "zoe"]}),
            StatusCode::BAD_REQUEST,
            "No such user: zoe",
        ),
    ] {
        assert_refused(&hub.as_admin(method, path, body).await, status, message);
        assert_eq!(hub.get("/groups", ADMIN_TOKEN).await.json(), before);
    }
}

/// Attack row 50: upstream answers some of these with 500, or makes a group of them.
#[tokio::test]
async fn a_bad_body_of_a_group_is_told_what_is_wrong_attack_row_50() {
    let hub = TestHub::new().await;
    hub.as_admin(Method::POST, "/groups/x", json!({})).await;
    for (method, path, body, message) in [
        (Method::POST, "/groups", json!({}), "Must specify at least one group to create"),
        (Method::POST, "/groups", json!([]), "Must specify at least one group to create"),
        (Method::POST, "/groups", json!({"groups": []}), "Must specify at least one group to create"),
        (Method::POST, "/groups", json!({"groups": "abc"}), "group.groups must be a list of strings"),
        (Method::POST, "/groups", json!({"groups": [1]}), "group.groups must be a list of strings"),
        (
            Method::POST,
            "/groups",
            json!({"groups": [""]}),
            "Invalid group name: \"\"; it must have 1 to 255 characters, none of control",
        ),
        (Method::POST, "/groups", json!({"groups": ["a"], "users": "alice"}), "group.users must be a list of strings"),
        (
            Method::POST,
            "/groups",
            json!({"groups": ["a"], "x": 1}),
            "Invalid JSON keys: x; a group has name, users and roles",
        ),
        (Method::POST, "/groups/a", json!([1]), "Invalid JSON data: it must be an object"),
        (Method::POST, "/groups/a", json!({"users": [1]}), "group.users must be a list of strings"),
        (Method::POST, "/groups/a", json!({"name": 1}), "group.name must be a string"),
        (Method::POST, "/groups/a", json!({"roles": 1}), "group.roles must be a list of strings"),
        (Method::POST, "/groups/x/users", json!({}), "Must specify users to add"),
        (Method::DELETE, "/groups/x/users", json!({}), "Must specify users to delete"),
        (Method::PUT, "/groups/x/properties", json!([1]), "Must specify properties"),
        (Method::PUT, "/groups/x/properties", json!(null), "Must specify properties"),
    ] {
        assert_refused(&hub.as_admin(method, path, body).await, StatusCode::BAD_REQUEST, message);
    }
    let long = hub.api(Method::POST, &format!("/groups/{}", "x".repeat(256)), ADMIN_TOKEN, None).await;
    assert_eq!(long.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn what_one_may_not_see_of_groups_does_not_exist_attack_row_47() {
    let hub = TestHub::new().await;
    hub.as_admin(Method::POST, "/groups", json!({"groups": ["g1", "g2"], "users": ["alice"]})).await;
    for path in ["/groups", "/groups/g1"] {
        assert_refused(&hub.get(path, "").await, StatusCode::FORBIDDEN, "Missing or invalid credentials.");
    }
    let lacking = |scopes: &str| format!("Action is not authorized with current scopes; requires any of [{scopes}]");
    assert_refused(&hub.get("/groups", BOB_TOKEN).await, StatusCode::FORBIDDEN, &lacking("list:groups"));
    let read = lacking("read:groups, read:groups:name, read:roles:groups");
    assert_refused(&hub.get("/groups/g1", BOB_TOKEN).await, StatusCode::FORBIDDEN, &read);

    hub.give("alice", &["list:groups!group=g1", "groups!group=g1"]).await;
    hub.give("bob", &["list:groups!group=g1"]).await;
    assert_eq!(hub.get("/groups", BOB_TOKEN).await.json(), json!([{"kind": "group", "name": "g1"}]));
    assert_eq!(hub.get_page("/groups", BOB_TOKEN).await["_pagination"]["total"], 1, "not how many there are");
    let seen = json!([{"kind": "group", "name": "g1", "users": ["alice"], "properties": {}}]);
    assert_eq!(hub.get("/groups", ALICE_TOKEN).await.json(), seen, "roles are not for alice");

    let hidden = "No access to resources or resources not found";
    for (method, path) in [
        (Method::GET, "/groups/g2"),
        (Method::GET, "/groups/nothing"),
        (Method::POST, "/groups/g2/users"),
        (Method::DELETE, "/groups/nothing/users"),
        (Method::PUT, "/groups/g2/properties"),
    ] {
        let answer = hub.api(method, path, ALICE_TOKEN, Some(json!({"users": []}))).await;
        assert_refused(&answer, StatusCode::NOT_FOUND, hidden);
    }
    let added = hub.api(Method::POST, "/groups/g1/users", ALICE_TOKEN, Some(json!({"users": ["bob"]}))).await;
    assert_eq!(added.status, StatusCode::OK);
    for (method, path, scope) in
        [(Method::POST, "/groups/g3", "admin:groups"), (Method::DELETE, "/groups/g1", "delete:groups")]
    {
        let answer = hub.api(method, path, ALICE_TOKEN, None).await;
        assert_refused(&answer, StatusCode::FORBIDDEN, &lacking(scope));
    }
}

#[tokio::test]
async fn a_filter_that_says_nothing_of_groups_lists_none() {
    let hub = TestHub::new().await;
    hub.as_admin(Method::POST, "/groups/g1", json!({})).await;
    hub.give("alice", &["list:groups!user=alice", "list:groups!group=g1"]).await;
    let refused = hub.get("/groups", ALICE_TOKEN).await;
    assert_eq!((refused.status, refused.json()["message"].clone()), (StatusCode::FORBIDDEN, Value::Null));
}

#[tokio::test]
async fn membership_gives_and_takes_rights_at_once() {
    let hub = TestHub::new().await;
    hub.as_admin(Method::POST, "/groups/staff", json!({})).await;
    hub.sql(
        "INSERT INTO roles (name, scopes, managed_by_auth) VALUES ('lister', '[\"list:users\"]', FALSE);
         INSERT INTO group_role_map (group_id, role_id, managed_by_auth)
             SELECT g.id, r.id, FALSE FROM groups g, roles r WHERE g.name = 'staff' AND r.name = 'lister'",
    )
    .await;
    assert_eq!(hub.get("/groups/staff", ADMIN_TOKEN).await.json()["roles"], json!(["lister"]));
    let may = async || hub.get("/users", BOB_TOKEN).await.status == StatusCode::OK;
    assert!(!may().await);
    hub.as_admin(Method::POST, "/groups/staff/users", json!({"users": ["bob"]})).await;
    assert!(may().await);
    hub.as_admin(Method::DELETE, "/groups/staff/users", json!({"users": ["bob"]})).await;
    assert!(!may().await);
    hub.as_admin(Method::POST, "/groups/staff/users", json!({"users": ["bob"]})).await;
    assert!(may().await);
    hub.api(Method::DELETE, "/groups/staff", ADMIN_TOKEN, None).await;
    hub.as_admin(Method::POST, "/groups/staff", json!({"users": ["bob"]})).await;
    assert!(!may().await, "a new group of the old name has none of its roles");
}

#[tokio::test]
async fn lists_come_in_pages_for_clients_that_know_of_them_attack_row_51() {
    let hub = TestHub::new().await;
    hub.as_admin(Method::POST, "/groups", json!({"groups": ["a", "b", "c"]})).await;
    let names = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|group| group["name"].as_str().unwrap().to_owned()).collect()
    };
    let page = hub.get_page("/groups?limit=2&x=a%20b&offset=0", ADMIN_TOKEN).await;
    assert_eq!(names(&page["items"]), ["a", "b"]);
    let next = json!({"offset": 2, "limit": 2, "url": "http://hub.test/hub/api/groups?x=a%20b&offset=2&limit=2"});
    assert_eq!(page["_pagination"], json!({"offset": 0, "limit": 2, "total": 3, "next": next}));
    let page = hub.get_page("/groups?limit=2&offset=2", ADMIN_TOKEN).await;
    assert_eq!((names(&page["items"]), &page["_pagination"]["next"]), (vec!["c".to_owned()], &Value::Null));
    assert_eq!(hub.get_page("/groups", ADMIN_TOKEN).await["_pagination"]["limit"], 50);
    assert_eq!(hub.get_page("/groups?limit=1000", ADMIN_TOKEN).await["_pagination"]["limit"], 200);
    assert_eq!(names(&hub.get("/groups?offset=-1&limit=0", ADMIN_TOKEN).await.json()), ["b"]);
    for bad in ["limit=x", "offset=1e9", "limit=", "offset=99999999999999999999"] {
        let answer = hub.get(&format!("/groups?{bad}"), ADMIN_TOKEN).await;
        let message = "Invalid argument type, offset and limit must be integers";
        assert_refused(&answer, StatusCode::BAD_REQUEST, message);
    }
    assert_eq!(hub.get("/groups?offset=4294967295&limit=200", ADMIN_TOKEN).await.json(), json!([]));
}

#[tokio::test]
async fn the_proxys_table_comes_in_pages_or_bare() {
    let hub = TestHub::new().await;
    hub.start_server("alice", ALICE_TOKEN).await;
    hub.api(Method::POST, "/proxy", ADMIN_TOKEN, None).await;
    let bare = hub.get("/proxy", ADMIN_TOKEN).await.json();
    let paths: Vec<_> = bare.as_object().unwrap().keys().cloned().collect();
    assert!(paths.contains(&"/user/alice/".to_owned()), "{bare}");
    let first = hub.get_page("/proxy?limit=1", ADMIN_TOKEN).await;
    assert_eq!(first["items"], json!({"/": bare["/"]}), "{first}");
    assert_eq!(first["_pagination"]["total"], paths.len());
    let second = hub.get_page("/proxy?limit=1&offset=1", ADMIN_TOKEN).await;
    assert_eq!(second["items"], json!({paths[1].as_str(): bare[&paths[1]]}), "{second}");
    assert_eq!(hub.get("/proxy?limit=1", ADMIN_TOKEN).await.json(), first["items"]);
    assert_eq!(hub.get("/proxy", ALICE_TOKEN).await.status, StatusCode::FORBIDDEN);
}
