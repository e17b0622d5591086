//! Sharing of servers: over the REST API, by codes, and on the page that accepts a code.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    browser::{Answer, Browser},
    groups::assert_refused,
    oauth::{authorize, exchange},
    test_hub::{ADMIN_TOKEN, ALICE_TOKEN, BOB_TOKEN, Settings, TestHub},
};

const ACCESS: &str = "access:servers!server=alice/";
const HIDDEN: &str = "No access to resources or resources not found";

/// A hub where alice may share her servers, and look up bob, zoe and the group staff.
async fn hub_with_sharer() -> TestHub {
    with_sharer(TestHub::new().await).await
}

async fn with_sharer(hub: TestHub) -> TestHub {
    let names = ["read:users:name!user=bob", "read:users:name!user=zoe", "read:groups:name!group=staff"];
    hub.give("alice", &[["self", "shares!user"].as_slice(), &names].concat()).await;
    hub.api(Method::POST, "/groups/staff", ADMIN_TOKEN, Some(json!({"users": ["bob"]}))).await;
    hub
}

impl TestHub {
    async fn as_alice(&self, method: Method, path: &str, body: Value) -> Answer {
        self.api(method, path, ALICE_TOKEN, Some(body)).await
    }

    async fn share_with_bob(&self, scopes: Value) -> Value {
        let answer = self.as_alice(Method::POST, "/shares/alice/", json!({"user": "bob", "scopes": scopes})).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.json()
    }

    /// What bob may do with alice's servers.
    async fn bob_may(&self) -> Vec<String> {
        self.seen_by(BOB_TOKEN).await
    }

    async fn seen_by(&self, token: &str) -> Vec<String> {
        let user = self.get("/user", token).await.json();
        let scopes = user["scopes"].as_array().unwrap().iter().map(|scope| scope.as_str().unwrap().to_owned());
        scopes.filter(|scope| scope.contains("!server=")).collect()
    }

    async fn make_code(&self, body: Value) -> Value {
        let answer = self.as_alice(Method::POST, "/share-codes/alice/", body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.json()
    }

    /// A code alone.
    async fn code(&self) -> String {
        self.make_code(json!({})).await["code"].as_str().unwrap().to_owned()
    }
}

/// The page of a code, and the answer to its button.
async fn accept(browser: &mut Browser<'_>, code: &str) -> Answer {
    browser.get(&format!("/hub/accept-share?code={code}")).await;
    browser.submit("/hub/accept-share", &[("code", code)]).await
}

#[tokio::test]
async fn a_server_is_shared_with_a_user_or_a_group_seen_and_revoked() {
    let hub = hub_with_sharer().await;
    let model = |scopes: Value, user: Value, group: Value, kind: &str, share: &Value| {
        json!({
            "server": {"user": {"name": "alice"}, "name": "", "url": "/user/alice/", "full_url": null, "ready": false},
            "scopes": scopes, "user": user, "group": group, "kind": kind, "created_at": share["created_at"],
        })
    };
    let share = hub.share_with_bob(json!(null)).await;
    assert!(share["created_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(share, model(json!([ACCESS]), json!({"name": "bob"}), Value::Null, "user", &share));
    let more = hub.share_with_bob(json!(["start:servers", ACCESS])).await;
    let both = json!([ACCESS, "start:servers!server=alice/"]);
    assert_eq!(more, model(both, json!({"name": "bob"}), Value::Null, "user", &share));
    let by_group = hub.as_alice(Method::POST, "/shares/alice/", json!({"group": "staff", "scopes": []})).await.json();
    assert_eq!(by_group, model(json!([ACCESS]), Value::Null, json!({"name": "staff"}), "group", &by_group));

    let all = json!({
        "items": [more, by_group],
        "_pagination": {"offset": 0, "limit": 200, "total": 2, "next": null},
    });
    for path in ["/shares/alice", "/shares/alice/"] {
        assert_eq!(hub.get(path, ALICE_TOKEN).await.json(), all, "{path}");
    }
    assert_eq!(hub.get("/users/bob/shared", BOB_TOKEN).await.json(), all);
    let part = hub.get("/shares/alice/?limit=1&offset=1", ALICE_TOKEN).await.json();
    assert_eq!(part["items"], json!([by_group]));
    assert_eq!(hub.get("/groups/staff/shared", ADMIN_TOKEN).await.json()["items"], json!([by_group]));
    assert_eq!(hub.get("/users/bob/shared/alice/", BOB_TOKEN).await.json(), more);
    assert_eq!(hub.get("/groups/staff/shared/alice/", ADMIN_TOKEN).await.json(), by_group);

    let patch = async |body: Value| hub.as_alice(Method::PATCH, "/shares/alice/", body).await.json();
    let left = patch(json!({"user": "bob", "scopes": ["start:servers!server=alice/"]})).await;
    assert_eq!(left["scopes"], json!([ACCESS]));
    assert_eq!(patch(json!({"user": "bob", "scopes": ["read:servers"]})).await["scopes"], json!([ACCESS]));
    assert_eq!(
        patch(json!({"user": "bob", "scopes": ["access:servers"]})).await,
        json!({}),
        "a bare name means it, too"
    );
    for body in [json!({"user": "bob"}), json!({"user": "nobody"}), json!({"group": "nothing"})] {
        assert_eq!(patch(body).await, json!({}));
    }
    let gone = hub.get("/users/bob/shared/alice/", BOB_TOKEN).await;
    assert_refused(&gone, StatusCode::NOT_FOUND, "No such share for user bob on alice/");

    let delete = async |path: &str, token: &str| hub.api(Method::DELETE, path, token, None).await.status;
    assert_eq!(delete("/groups/staff/shared/alice/", ADMIN_TOKEN).await, StatusCode::NO_CONTENT);
    assert_eq!(delete("/groups/staff/shared/alice/", ADMIN_TOKEN).await, StatusCode::NOT_FOUND);
    hub.share_with_bob(json!(null)).await;
    assert_eq!(delete("/users/bob/shared/alice/", BOB_TOKEN).await, StatusCode::NO_CONTENT);
    assert_eq!(delete("/users/bob/shared/alice/", BOB_TOKEN).await, StatusCode::NOT_FOUND);
    hub.share_with_bob(json!(null)).await;
    for _ in 0..2 {
        assert_eq!(delete("/shares/alice/", ALICE_TOKEN).await, StatusCode::NO_CONTENT);
    }
    assert_eq!(hub.get("/shares/alice", ALICE_TOKEN).await.json()["_pagination"]["total"], 0);
}

#[tokio::test]
async fn named_servers_are_shared_each_for_itself() {
    let hub = hub_with_sharer().await;
    hub.sql("INSERT INTO spawners (user_id, name) SELECT id, 's1' FROM users WHERE name = 'alice'").await;
    let share = hub.as_alice(Method::POST, "/shares/alice/s1", json!({"user": "bob"})).await.json();
    assert_eq!(share["server"]["url"], "/user/alice/s1/");
    assert_eq!(hub.bob_may().await, ["access:servers!server=alice/s1"]);
    assert_eq!(hub.get("/users/bob/shared/alice/s1", BOB_TOKEN).await.json(), share);
    assert_eq!(hub.get("/users/bob/shared/alice/", BOB_TOKEN).await.status, StatusCode::NOT_FOUND);
    assert_eq!(hub.get("/shares/alice/", ALICE_TOKEN).await.json()["items"], json!([]));
    hub.api(Method::DELETE, "/shares/alice/", ALICE_TOKEN, None).await;
    assert_eq!(hub.bob_may().await.len(), 1, "that was another server");
    hub.api(Method::DELETE, "/users/bob/shared/alice/s1", BOB_TOKEN, None).await;
    assert_eq!(hub.bob_may().await, [""; 0]);
    for (method, path) in [
        (Method::GET, "/shares/alice/none"),
        (Method::POST, "/shares/alice/none"),
        (Method::PATCH, "/shares/alice/none"),
        (Method::DELETE, "/shares/alice/none"),
        (Method::GET, "/share-codes/alice/none"),
        (Method::POST, "/share-codes/alice/none"),
        (Method::DELETE, "/share-codes/alice/none"),
    ] {
        let body = if path.starts_with("/shares") { json!({"user": "bob"}) } else { json!({}) };
        let answer = hub.as_alice(method, path, body).await;
        assert_refused(&answer, StatusCode::NOT_FOUND, "No such server: alice/none");
    }
}

#[tokio::test]
async fn whose_shares_one_may_not_see_do_not_exist_attack_rows_47_and_48() {
    let hub = hub_with_sharer().await;
    hub.share_with_bob(json!(null)).await;
    for path in ["/shares/alice", "/shares/alice/", "/share-codes/alice/", "/users/bob/shared", "/groups/staff/shared"]
    {
        assert_refused(&hub.get(path, "").await, StatusCode::FORBIDDEN, "Missing or invalid credentials.");
    }
    for path in [
        "/shares/alice",
        "/shares/alice/",
        "/shares/alice/s1",
        "/shares/nobody",
        "/shares/nobody/",
        "/share-codes/alice",
        "/share-codes/alice/",
        "/share-codes/nobody/",
        "/users/alice/shared",
        "/users/alice/shared/bob/",
        "/users/nobody/shared",
    ] {
        assert_refused(&hub.get(path, BOB_TOKEN).await, StatusCode::NOT_FOUND, HIDDEN);
    }
    for (method, path) in [
        (Method::POST, "/shares/bob/"),
        (Method::PATCH, "/shares/bob/"),
        (Method::DELETE, "/shares/bob/"),
        (Method::POST, "/share-codes/bob/"),
        (Method::DELETE, "/share-codes/bob/"),
        (Method::DELETE, "/users/bob/shared/alice/"),
    ] {
        let answer = hub.as_alice(method, path, json!({})).await;
        assert_refused(&answer, StatusCode::NOT_FOUND, HIDDEN);
        let path = path.replace("bob", "nobody");
        assert_eq!(hub.api(Method::DELETE, &path, ALICE_TOKEN, None).await.status, StatusCode::NOT_FOUND);
    }
    let lacking = |scope: &str| format!("Action is not authorized with current scopes; requires any of [{scope}]");
    let own = hub.api(Method::POST, "/shares/bob/", BOB_TOKEN, Some(json!({"user": "alice"}))).await;
    assert_refused(&own, StatusCode::FORBIDDEN, &lacking("shares"));
    let group = hub.get("/groups/staff/shared", BOB_TOKEN).await;
    assert_refused(&group, StatusCode::FORBIDDEN, &lacking("read:groups:shares"));

    for (path, message) in [
        ("/shares/nobody", Value::Null),
        ("/share-codes/nobody", Value::Null),
        ("/shares/nobody/", json!("No such server: nobody/")),
        ("/users/nobody/shared/alice/", json!("No such share for user nobody on alice/")),
        ("/users/bob/shared/nobody/", json!("No such share for user bob on nobody/")),
        ("/users/nobody/shared", json!("No such user: nobody")),
        ("/groups/nothing/shared", json!("No such group: nothing")),
        ("/groups/staff/shared/alice/", json!("No such share for group staff on alice/")),
    ] {
        let answer = hub.get(path, ADMIN_TOKEN).await;
        let expected = json!({"status": 404, "message": message});
        assert_eq!((answer.status, answer.json()), (StatusCode::NOT_FOUND, expected), "{path}");
    }
    for method in [Method::POST, Method::PATCH, Method::DELETE] {
        for path in ["/shares/alice", "/share-codes/alice"] {
            let status = hub.as_alice(method.clone(), path, json!({})).await.status;
            assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_bad_wish_to_share_is_told_what_is_wrong_attack_row_50() {
    let hub = hub_with_sharer().await;
    let neither = "Specify exactly one of `user` or `group`";
    let bob = |field: &str, value: Value| json!({"user": "bob", field: value});
    for (body, status, message) in [
        (json!(null), 400, neither.to_owned()),
        (json!({}), 400, neither.to_owned()),
        (json!({"user": ""}), 400, neither.to_owned()),
        (bob("group", json!("staff")), 400, "Expected exactly one of `user` or `group`, not both.".to_owned()),
        (json!([]), 400, "Body must be a JSON object".to_owned()),
        (json!({"user": 1}), 400, "user must be a string".to_owned()),
        (bob("x", json!(1)), 400, "x: Extra inputs are not permitted; there may be user, group, scopes".to_owned()),
        (bob("scopes", json!("servers")), 400, "scopes must be a list of strings".to_owned()),
        (bob("scopes", json!([1])), 400, "scopes must be a list of strings".to_owned()),
        (bob("scopes", json!(["nope"])), 400, "Scope 'nope' does not exist".to_owned()),
        (
            bob("scopes", json!(["servers!user=alice"])),
            400,
            "!user=alice not allowed on sharing servers!user=alice, only !server=alice/".to_owned(),
        ),
        (
            bob("scopes", json!(["servers!server=bob/"])),
            400,
            "!server=bob/ not allowed on sharing servers!server=bob/, only !server=alice/".to_owned(),
        ),
        (json!({"user": "root"}), 403, "Need scope 'read:users:name' to share with users by name".to_owned()),
        (json!({"user": "nobody"}), 403, "Need scope 'read:users:name' to share with users by name".to_owned()),
        (json!({"group": "other"}), 403, "Need scope 'read:groups:name' to share with groups by name".to_owned()),
        (json!({"user": "zoe"}), 400, "No such user: zoe".to_owned()),
    ] {
        let answer = hub.as_alice(Method::POST, "/shares/alice/", body).await;
        assert_refused(&answer, StatusCode::from_u16(status).unwrap(), &message);
    }
    for body in
        [json!({}), json!({"user": "bob", "group": "staff"}), json!({"user": "bob", "scopes": ["servers!user"]})]
    {
        assert_eq!(hub.as_alice(Method::PATCH, "/shares/alice/", body).await.status, StatusCode::BAD_REQUEST);
    }
    for body in [json!([]), json!({"user": "bob"}), json!({"expires_in": 59}), json!({"scopes": ["nope"]})] {
        let answer = hub.as_alice(Method::POST, "/share-codes/alice/", body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
    }
    assert_eq!(hub.get("/shares/alice", ALICE_TOKEN).await.json()["items"], json!([]));
}

#[tokio::test]
async fn ghsa_c4gm_pwx9_9w8j_nobody_shares_what_they_do_not_have() {
    let hub = hub_with_sharer().await;
    let refusal = |scope: &str| format!("Do not have permission to grant share with scope {scope}!server=alice/");
    for scope in ["admin:servers", "admin:users", "admin:server_state", "inherit", "self", "read:hub", "admin-ui"] {
        for (path, body) in [
            ("/shares/alice/", json!({"user": "bob", "scopes": ["servers", scope]})),
            ("/share-codes/alice/", json!({"scopes": [scope]})),
        ] {
            let answer = hub.as_alice(Method::POST, path, body).await;
            assert_refused(&answer, StatusCode::FORBIDDEN, &refusal(scope));
        }
    }
    let undeclared = json!({"user": "bob", "scopes": ["custom:x:y"]});
    let answer = hub.as_alice(Method::POST, "/shares/alice/", undeclared).await;
    assert_refused(&answer, StatusCode::BAD_REQUEST, "Scope 'custom:x:y' does not exist");
    assert_eq!(hub.bob_may().await, [""; 0]);

    // A token that may share, and nothing else, shares no more than access.
    let made = hub.as_alice(
        Method::POST,
        "/users/alice/tokens",
        json!({"scopes": ["shares!user", "read:users:name!user=bob"]}),
    );
    let token = made.await.json()["token"].as_str().unwrap().to_owned();
    let share = async |scopes: Value| {
        hub.api(Method::POST, "/shares/alice/", &token, Some(json!({"user": "bob", "scopes": scopes}))).await
    };
    assert_refused(&share(json!(["servers"])).await, StatusCode::FORBIDDEN, &refusal("servers"));
    assert_eq!(share(json!(null)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn ghsa_c4gm_pwx9_9w8j_a_share_opens_one_server_and_nothing_else_of_its_owner() {
    let hub = hub_with_sharer().await;
    let everything = json!(["servers", "shares", "tokens", "read:users", "users:activity", "access:servers"]);
    hub.share_with_bob(everything).await;
    for scope in hub.bob_may().await {
        assert!(scope.ends_with("!server=alice/") && !scope.starts_with("read:user"), "{scope}");
    }
    assert_eq!(hub.get("/users/alice/server", BOB_TOKEN).await.status, StatusCode::OK);
    for (method, path) in [
        (Method::GET, "/users/alice"),
        (Method::GET, "/users/alice/tokens"),
        (Method::POST, "/users/alice/activity"),
        (Method::GET, "/users/alice/shared"),
        (Method::GET, "/shares/alice"),
        (Method::GET, "/shares/alice/s1"),
        (Method::POST, "/shares/alice/s1"),
        (Method::GET, "/users/root/server"),
    ] {
        let answer = hub.api(method.clone(), path, BOB_TOKEN, Some(json!({"user": "bob"}))).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path}: {}", answer.text);
    }
    let token = hub.api(Method::POST, "/users/alice/tokens", BOB_TOKEN, Some(json!({}))).await;
    assert_eq!(token.status, StatusCode::FORBIDDEN);
    assert_eq!(hub.get("/users", BOB_TOKEN).await.status, StatusCode::FORBIDDEN);

    // Who was given the right to share passes on what they were given, and no more.
    let pass_on = async |scope: &str| {
        let body = json!({"user": "bob", "scopes": [scope]});
        hub.api(Method::POST, "/shares/alice/", BOB_TOKEN, Some(body)).await.status
    };
    assert_eq!(pass_on("servers").await, StatusCode::OK);
    assert_eq!(pass_on("admin:servers").await, StatusCode::FORBIDDEN);
}

/// An administrator may share more than a server's use; it stays bound to the server.
#[tokio::test]
async fn ghsa_c4gm_pwx9_9w8j_an_administrators_share_makes_no_administrator() {
    let hub = hub_with_sharer().await;
    let scopes = json!([
        "admin:users",
        "admin:servers",
        "admin:groups",
        "admin:services",
        "tokens",
        "shares",
        "proxy",
        "read:hub"
    ]);
    let body = json!({"user": "bob", "scopes": scopes});
    let shared = hub.api(Method::POST, "/shares/alice/", ADMIN_TOKEN, Some(body)).await;
    assert_eq!(shared.status, StatusCode::OK, "{}", shared.text);
    for (method, path) in [
        (Method::GET, "/groups"),
        (Method::GET, "/groups/staff"),
        (Method::POST, "/groups/new"),
        (Method::GET, "/info"),
        (Method::GET, "/proxy"),
        (Method::GET, "/users/alice"),
        (Method::DELETE, "/users/alice"),
        (Method::POST, "/users/carol"),
        (Method::GET, "/users/alice/tokens"),
        (Method::GET, "/users/root/server"),
    ] {
        let status = hub.api(method.clone(), path, BOB_TOKEN, None).await.status;
        assert!(matches!(status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND), "{method} {path}: {status}");
    }
    let users = hub.get("/users", BOB_TOKEN).await;
    assert!(users.status == StatusCode::FORBIDDEN || users.json() == json!([]), "{}", users.text);
    assert!(hub.get("/users/alice/server", BOB_TOKEN).await.json()["state"].is_object());
}

#[tokio::test]
async fn ghsa_c4gm_pwx9_9w8j_a_revoked_share_ends_access_at_once() {
    let hub = hub_with_sharer().await;
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    let mut bob = hub.logged_in(BOB_TOKEN).await;
    let page = authorize(&server, &[("scope", "")]);
    assert_eq!(bob.get(&page).await.status, StatusCode::FORBIDDEN);
    assert_eq!(bob.get("/hub/user/alice/").await.status, StatusCode::NOT_FOUND);

    hub.share_with_bob(json!(null)).await;
    assert_eq!(bob.get("/hub/user/alice/").await.location(), "/user/alice/?redirects=1");
    let code = async |bob: &mut Browser<'_>| {
        bob.get(&page).await;
        let answer = bob.submit(&page, &[]).await;
        answer.location().split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned()
    };
    let first = code(&mut bob).await;
    let token = exchange(&hub, &server, &first, &[]).await.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(hub.seen_by(&token).await, [ACCESS]);
    let second = code(&mut bob).await;

    hub.as_alice(Method::PATCH, "/shares/alice/", json!({"user": "bob"})).await;
    assert_eq!(hub.seen_by(&token).await, [""; 0], "the server asks this for every visitor");
    assert_eq!(bob.get("/hub/user/alice/").await.status, StatusCode::NOT_FOUND);
    assert_eq!(bob.get(&page).await.status, StatusCode::FORBIDDEN);
    let late = exchange(&hub, &server, &second, &[]).await;
    let token = late.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(hub.seen_by(&token).await, [""; 0], "by a code from before");
}

#[tokio::test]
async fn ghsa_c4gm_pwx9_9w8j_access_by_a_group_ends_with_the_membership() {
    let hub = hub_with_sharer().await;
    hub.as_alice(Method::POST, "/shares/alice/", json!({"group": "staff"})).await;
    assert_eq!(hub.bob_may().await, [ACCESS]);
    hub.api(Method::DELETE, "/groups/staff/users", ADMIN_TOKEN, Some(json!({"users": ["bob"]}))).await;
    assert_eq!(hub.bob_may().await, [""; 0]);
    hub.api(Method::POST, "/groups/staff/users", ADMIN_TOKEN, Some(json!({"users": ["bob"]}))).await;
    assert_eq!(hub.bob_may().await, [ACCESS]);
    hub.api(Method::DELETE, "/groups/staff", ADMIN_TOKEN, None).await;
    hub.api(Method::POST, "/groups/staff", ADMIN_TOKEN, Some(json!({"users": ["bob"]}))).await;
    assert_eq!(hub.bob_may().await, [""; 0], "another group of the same name");
}

#[tokio::test]
async fn ghsa_c4gm_pwx9_9w8j_a_new_user_of_an_old_name_shares_nothing() {
    let hub = hub_with_sharer().await;
    hub.share_with_bob(json!(null)).await;
    hub.sql("UPDATE users SET name = 'alicia' WHERE name = 'alice'").await;
    assert_eq!(hub.bob_may().await, ["access:servers!server=alicia/"]);
    // Alice's login token makes her anew.
    hub.get("/user", ALICE_TOKEN).await;
    assert_eq!(hub.bob_may().await, ["access:servers!server=alicia/"]);
    let shared = hub.get("/users/bob/shared", BOB_TOKEN).await.json();
    assert_eq!(shared["items"][0]["server"]["user"]["name"], "alicia");
    hub.api(Method::DELETE, "/users/alicia", ADMIN_TOKEN, None).await;
    hub.api(Method::POST, "/users/alicia", ADMIN_TOKEN, None).await;
    assert_eq!(hub.bob_may().await, [""; 0]);
}

#[tokio::test]
async fn a_share_that_expired_gives_nothing() {
    let hub = hub_with_sharer().await;
    hub.share_with_bob(json!(null)).await;
    hub.sql("UPDATE shares SET expires_at = '2020-01-01 00:00:00.000000'").await;
    assert_eq!(hub.bob_may().await, [""; 0]);
    assert_eq!(hub.get("/users/bob/shared", BOB_TOKEN).await.json()["_pagination"]["total"], 0);
    assert_eq!(hub.get("/users/bob/shared/alice/", BOB_TOKEN).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn share_codes_are_made_listed_and_deleted_and_told_once() {
    let hub =
        with_sharer(TestHub::with(Settings { public_url: Some("https://hub.test/"), ..Settings::default() }).await)
            .await;
    let made = hub.make_code(json!({"expires_in": 3600, "scopes": ["servers"]})).await;
    let code = made["code"].as_str().unwrap();
    assert_eq!(code.len(), 43);
    assert!(code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{code}");
    let times =
        ["created_at", "expires_at"].map(|name| made[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap());
    assert_eq!(times[1].duration_since(times[0]), jiff::SignedDuration::from_hours(1));
    let url = "https://hub.test/user/alice/";
    let listed = json!({
        "server": {"user": {"name": "alice"}, "name": "", "url": "/user/alice/", "full_url": url, "ready": false},
        "scopes": ["servers!server=alice/"], "id": "sc_1", "exchange_count": 0, "last_exchanged_at": null,
        "created_at": made["created_at"], "expires_at": made["expires_at"],
    });
    let mut told = listed.clone();
    told["code"] = json!(code);
    told["accept_url"] = json!(format!("/hub/accept-share?code={code}"));
    told["full_accept_url"] = json!(format!("https://hub.test/hub/accept-share?code={code}"));
    assert_eq!(made, told);
    for path in ["/share-codes/alice", "/share-codes/alice/"] {
        let list = hub.get(path, ALICE_TOKEN).await;
        assert_eq!(list.json()["items"], json!([listed]), "{path}");
        assert!(!list.text.contains(code));
    }

    let other = hub.code().await;
    let page = hub.get("/share-codes/alice/?limit=1", ALICE_TOKEN).await.json();
    assert_eq!((&page["items"], &page["_pagination"]["total"]), (&json!([listed]), &json!(2)));
    hub.code().await;
    let delete =
        async |query: String, token| hub.api(Method::DELETE, &format!("/share-codes/{query}"), token, None).await;
    let no_id = |id: &str| format!("No code found matching id={id}");
    for id in ["nope", "sc_", "sc_999", "sc_1abc", "sc_-1", "1"] {
        assert_refused(&delete(format!("alice/?id={id}"), ALICE_TOKEN).await, StatusCode::NOT_FOUND, &no_id(id));
    }
    assert_refused(
        &delete("alice/?code=nope".into(), ALICE_TOKEN).await,
        StatusCode::NOT_FOUND,
        "No matching code found",
    );
    let foreign = delete(format!("bob/?code={code}"), ADMIN_TOKEN).await;
    assert_refused(&foreign, StatusCode::NOT_FOUND, "No matching code found");
    assert_refused(&delete("bob/?id=sc_1".into(), ADMIN_TOKEN).await, StatusCode::NOT_FOUND, &no_id("sc_1"));
    assert_eq!(delete(format!("alice/?code={code}"), ALICE_TOKEN).await.status, StatusCode::NO_CONTENT);
    assert_eq!(delete(format!("alice/?code={code}"), ALICE_TOKEN).await.status, StatusCode::NOT_FOUND);
    assert_eq!(delete("alice/?id=sc_2".into(), ALICE_TOKEN).await.status, StatusCode::NO_CONTENT);
    assert_eq!(delete("alice/".into(), ALICE_TOKEN).await.status, StatusCode::NO_CONTENT);
    assert_eq!(hub.get("/share-codes/alice", ALICE_TOKEN).await.json()["items"], json!([]));
    let mut bob = hub.logged_in(BOB_TOKEN).await;
    bob.get("/hub/home").await;
    for code in [code, &other] {
        assert_eq!(accept(&mut bob, code).await.status, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn accepting_asks_first_and_then_leads_to_the_server_attack_row_40() {
    let hub = hub_with_sharer().await;
    let code = hub.make_code(json!({"scopes": ["access:servers", "start:servers"]})).await["code"].clone();
    let path = format!("/hub/accept-share?code={}", code.as_str().unwrap());
    let mut bob = hub.browser();
    let login = bob.get(&path).await.location().to_owned();
    assert_eq!(login, format!("/hub/login?next=%2Fhub%2Faccept-share%3Fcode%3D{}", code.as_str().unwrap()));
    assert_eq!(bob.log_in(&login, "", BOB_TOKEN).await.location(), path);

    let page = bob.get(&path).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("<strong>alice</strong> shares"), "{}", page.text);
    assert!(page.text.contains("It is not running."));
    for scope in ["access:servers", "start:servers"] {
        assert!(page.text.contains(&format!("<code>{scope}</code>")), "{}", page.text);
    }
    assert!(!page.text.contains("<script") && !page.text.contains("<style"));
    assert_eq!((page.header("referrer-policy"), page.header("cache-control")), ("no-referrer", "no-store"));
    assert_eq!(hub.bob_may().await, [""; 0], "looking at it gives nothing");

    let accepted = bob.submit("/hub/accept-share", &[("code", code.as_str().unwrap())]).await;
    assert_eq!((accepted.status, accepted.location()), (StatusCode::FOUND, "/user/alice/"));
    assert_eq!(accepted.header("referrer-policy"), "no-referrer", "attack row 44");
    assert_eq!(hub.bob_may().await, [ACCESS, "start:servers!server=alice/"]);
    let codes = hub.get("/share-codes/alice/", ALICE_TOKEN).await.json();
    assert_eq!(codes["items"][0]["exchange_count"], 1);
    assert!(codes["items"][0]["last_exchanged_at"].is_string());
    let shares = hub.get("/shares/alice/", ALICE_TOKEN).await.json();
    assert_eq!(shares["items"][0]["user"], json!({"name": "bob"}));
    assert_eq!(shares["_pagination"]["total"], 1, "for nobody else");
}

#[tokio::test]
async fn accepting_leads_on_to_this_hub_only_attack_row_32() {
    let hub = hub_with_sharer().await;
    let code = hub.code().await;
    let mut bob = hub.logged_in(BOB_TOKEN).await;
    let page = bob.get(&format!("/hub/accept-share?code={code}&next=%2Fuser%2Falice%2Flab%22%3E%3Cb%3E")).await;
    assert!(page.text.contains("name=\"next\"") && !page.text.contains("<b>"), "{}", page.text);
    for (next, location) in [
        ("/user/alice/lab?x=1", "/user/alice/lab?x=1"),
        ("https://evil.example/", "/user/alice/"),
        ("//evil.example", "/user/alice/"),
        ("/\\evil.example", "/%5Cevil.example"),
        ("javascript:alert(1)", "/user/alice/"),
    ] {
        let answer = bob.submit("/hub/accept-share", &[("code", &code), ("next", next)]).await;
        assert_eq!(answer.location(), location, "{next}");
    }
}

/// Attack row 39; advisory GHSA-m68r-v472-jgq9 named this page.
#[tokio::test]
async fn another_site_cannot_accept_in_someones_name_attack_row_39() {
    let hub = hub_with_sharer().await;
    let code = hub.code().await;
    let mut bob = hub.logged_in(BOB_TOKEN).await;
    bob.get(&format!("/hub/accept-share?code={code}")).await;
    let path = format!("/hub/accept-share?code={code}");
    assert_eq!(bob.post(&path, &[("code", &code)]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(bob.post(&path, &[("code", &code), ("_xsrf", "wrong")]).await.status, StatusCode::FORBIDDEN);
    let alice = hub.logged_in(ALICE_TOKEN).await;
    let others = alice.cookie("_xsrf").unwrap_or("none").to_owned();
    assert_eq!(bob.post(&path, &[("code", &code), ("_xsrf", &others)]).await.status, StatusCode::FORBIDDEN);
    for (mode, site) in
        [("no-cors", "cross-site"), ("no-cors", "same-site"), ("no-cors", "same-origin"), ("cors", "same-site")]
    {
        let headers =
            [("sec-fetch-mode", mode), ("sec-fetch-site", site), ("content-type", "application/x-www-form-urlencoded")];
        let answer = bob.request(Method::POST, &path, &headers, Some(format!("code={code}"))).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{mode} {site}");
    }
    assert_eq!(hub.bob_may().await, [""; 0]);
    assert_eq!(bob.submit(&path, &[]).await.location(), "/user/alice/", "with the form's own token");
}

#[tokio::test]
async fn a_code_is_nothing_to_its_owner_once_expired_or_if_unknown_attack_row_48() {
    let hub = hub_with_sharer().await;
    let code = hub.code().await;
    let get = |code: &str| format!("/hub/accept-share?code={code}");
    let mut alice = hub.logged_in(ALICE_TOKEN).await;
    let own = alice.get(&get(&code)).await;
    assert_eq!(own.status, StatusCode::FORBIDDEN);
    assert!(own.text.contains("You can&#39;t share with yourself!"), "{}", own.text);
    alice.get("/hub/home").await;
    let own = alice.submit("/hub/accept-share", &[("code", &code)]).await;
    assert_eq!(own.status, StatusCode::BAD_REQUEST);

    let mut bob = hub.logged_in(BOB_TOKEN).await;
    bob.get("/hub/home").await;
    let (cut, long) = (&code[..42], "x".repeat(5000));
    for wrong in [cut, &long, "%00", "nope"] {
        let page = bob.get(&get(wrong)).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND);
        assert!(page.text.contains("Share not found or expired"), "{}", page.text);
        let answer = bob.submit("/hub/accept-share", &[("code", wrong)]).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert!(!answer.text.contains(wrong), "a code is not echoed");
    }
    for path in ["/hub/accept-share", "/hub/accept-share?code=", "/hub/accept-share?code=%20"] {
        assert_eq!(bob.get(path).await.status, StatusCode::BAD_REQUEST);
    }
    hub.sql("UPDATE share_codes SET expires_at = '2020-01-01 00:00:00.000000'").await;
    assert_eq!(bob.get(&get(&code)).await.status, StatusCode::NOT_FOUND);
    assert_eq!(bob.submit("/hub/accept-share", &[("code", &code)]).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(hub.bob_may().await, [""; 0]);
    assert_eq!(hub.get("/share-codes/alice/", ALICE_TOKEN).await.json()["items"], json!([]));
}

#[tokio::test]
async fn ghsa_c4gm_pwx9_9w8j_a_code_is_exchanged_again_but_not_after_a_revocation_attack_row_48() {
    let hub = hub_with_sharer().await;
    let code = hub.code().await;
    let mut bob = hub.logged_in(BOB_TOKEN).await;
    for _ in 0..2 {
        assert_eq!(accept(&mut bob, &code).await.location(), "/user/alice/");
        assert_eq!(hub.get("/shares/alice/", ALICE_TOKEN).await.json()["_pagination"]["total"], 1);
    }
    // Who gives a share up may take it again.
    hub.api(Method::DELETE, "/users/bob/shared/alice/", BOB_TOKEN, None).await;
    assert_eq!(accept(&mut bob, &code).await.location(), "/user/alice/");

    let revocations = [
        (Method::PATCH, "/shares/alice/", ALICE_TOKEN),
        (Method::DELETE, "/shares/alice/", ALICE_TOKEN),
        (Method::DELETE, "/users/bob/shared/alice/", ADMIN_TOKEN),
    ];
    for (method, path, token) in revocations {
        let code = hub.code().await;
        assert_eq!(accept(&mut bob, &code).await.location(), "/user/alice/");
        let body = Some(json!({"user": "bob"}));
        let answer = hub.api(method.clone(), path, token, body).await;
        assert!(answer.status.is_success(), "{method} {path}: {}", answer.text);
        assert_eq!(bob.get(&format!("/hub/accept-share?code={code}")).await.status, StatusCode::NOT_FOUND);
        assert_eq!(bob.submit("/hub/accept-share", &[("code", &code)]).await.status, StatusCode::BAD_REQUEST);
        assert_eq!(hub.bob_may().await, [""; 0]);
    }
}

#[tokio::test]
async fn guessing_codes_is_slowed_down_for_the_one_who_guesses_attack_row_48() {
    let hub = hub_with_sharer().await;
    let code = hub.code().await;
    let path = format!("/hub/accept-share?code={code}");
    let mut bob = hub.logged_in(BOB_TOKEN).await;
    bob.get("/hub/home").await;
    for guess in 0..5 {
        let guess = format!("{}{guess}", &code[..41]);
        assert_eq!(bob.get(&format!("/hub/accept-share?code={guess}")).await.status, StatusCode::NOT_FOUND);
        let answer = bob.submit("/hub/accept-share", &[("code", &guess)]).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    }
    let limited = [bob.get(&path).await, bob.submit("/hub/accept-share", &[("code", &code)]).await];
    for answer in limited {
        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{}", answer.text);
        let wait: u64 = answer.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
    }
    assert_eq!(hub.bob_may().await, [""; 0]);
    let mut root = hub.logged_in(ADMIN_TOKEN).await;
    assert_eq!(accept(&mut root, &code).await.location(), "/user/alice/", "others go on");
}

/// A token with few rights would give its owner more, without a question.
#[tokio::test]
async fn a_token_accepts_nothing_for_its_owner_attack_row_45() {
    let hub = hub_with_sharer().await;
    let code = hub.code().await;
    let made =
        hub.api(Method::POST, "/users/bob/tokens", BOB_TOKEN, Some(json!({"scopes": ["read:users!user"]}))).await;
    let header = format!("token {}", made.json()["token"].as_str().unwrap());
    let path = format!("/hub/accept-share?code={code}");
    let headers = [("authorization", header.as_str())];
    let mut program = hub.browser();
    assert!(program.request(Method::GET, &path, &headers, None).await.location().starts_with("/hub/login?next="));
    let answer = program.request(Method::POST, &path, &headers, Some(String::new())).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(hub.bob_may().await, [""; 0]);
}
