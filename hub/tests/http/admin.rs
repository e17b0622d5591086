//! The admin page: it shows and does what the API does for the same person, and no more.

use axum::http::{Method, StatusCode};
use hub_crds::ServerLimits;
use serde_json::json;
use std::time::{Duration, Instant};

use crate::test_hub::{ADMIN_TOKEN, ALICE_TOKEN, BOB_TOKEN, Settings, TestHub};

async fn names(hub: &TestHub) -> Vec<String> {
    let users = hub.get("/users", ADMIN_TOKEN).await.json();
    users.as_array().unwrap().iter().map(|user| user["name"].as_str().unwrap().to_owned()).collect()
}

async fn is_admin(hub: &TestHub, user: &str) -> bool {
    hub.get(&format!("/users/{user}"), ADMIN_TOKEN).await.json()["admin"] == true
}

#[tokio::test]
async fn the_page_is_for_those_with_its_scope() {
    let hub = TestHub::new().await;
    let mut alice = hub.logged_in(ALICE_TOKEN).await;
    assert!(!alice.get("/hub/home").await.text.contains("/hub/admin"));
    for path in ["/hub/admin", "/hub/admin/delete?user=bob"] {
        assert_eq!(alice.get(path).await.status, StatusCode::FORBIDDEN, "{path}");
        assert!(hub.browser().get(path).await.location().starts_with("/hub/login?next="), "{path}");
    }
    let refused = alice.submit("/hub/admin", &[("make-admin", "alice")]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(!is_admin(&hub, "alice").await);
    let mut root = hub.logged_in(ADMIN_TOKEN).await;
    assert!(root.get("/hub/home").await.text.contains("href=\"/hub/admin\""));
    let page = root.get("/hub/admin").await;
    assert!(page.text.contains("1–3 of 3") && page.text.contains("alice"), "{}", page.text);
}

#[tokio::test]
async fn servers_are_started_opened_and_stopped() {
    let limits = ServerLimits { allow_named_servers: true, ..ServerLimits::default() };
    let hub = TestHub::with(Settings { limits, ..Settings::default() }).await;
    hub.api(Method::PUT, "/users/alice/servers/lab", ALICE_TOKEN, Some(json!({"display_name": "My <b> lab"}))).await;
    let mut root = hub.logged_in(ADMIN_TOKEN).await;
    let page = root.get("/hub/admin?name_filter=ali").await;
    assert!(page.text.contains("My &#60;b&#62; lab") && !page.text.contains(">bob<"), "{}", page.text);
    let start = [("start", "alice/")];
    let answer = root.submit("/hub/admin?name_filter=ali", &start).await;
    assert_eq!(answer.location(), "/hub/admin?name_filter=ali&done=start");
    hub.becomes_ready("alice", ALICE_TOKEN).await;
    let page = root.get("/hub/admin?name_filter=ali&done=start").await;
    assert!(
        page.text.contains("role=\"status\">The server is starting.") && page.text.contains("href=\"/user/alice/\""),
        "{}",
        page.text
    );
    let active = root.get("/hub/admin?state=active").await;
    assert!(active.text.contains("1–1 of 1"), "{}", active.text);
    let again = root.submit("/hub/admin", &start).await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST);
    assert!(again.text.contains("role=\"alert\">alice is already running"), "{}", again.text);
    root.submit("/hub/admin", &[("stop", "alice/")]).await;
    hub.stop_server("alice", ALICE_TOKEN).await;
    let answer = root.submit("/hub/admin", &[("start", "alice/lab")]).await;
    assert_eq!(answer.location(), "/hub/admin?done=start");
}

#[tokio::test]
async fn a_user_is_logged_out_everywhere_disabled_and_enabled_row_37() {
    let hub = TestHub::new().await;
    let mut root = hub.logged_in(ADMIN_TOKEN).await;
    let mut alice = hub.logged_in(ALICE_TOKEN).await;
    root.get("/hub/admin").await;
    let answer = root.submit("/hub/admin", &[("end-sessions", "alice")]).await;
    assert_eq!(answer.location(), "/hub/admin?done=end-sessions");
    assert!(alice.get("/hub/home").await.location().starts_with("/hub/login"));

    let mut alice = hub.logged_in(ALICE_TOKEN).await;
    assert_eq!(root.submit("/hub/admin", &[("disable", "alice")]).await.location(), "/hub/admin?done=disable");
    assert!(alice.get("/hub/home").await.location().starts_with("/hub/login"));
    let page = root.get("/hub/admin?name_filter=alice").await.text;
    assert!(page.contains(">disabled<") && page.contains("value=\"alice\">Enable"), "{page}");
    assert_eq!(root.submit("/hub/admin", &[("enable", "alice")]).await.location(), "/hub/admin?done=enable");
    assert!(!root.get("/hub/admin?name_filter=alice").await.text.contains(">disabled<"));
    let own = root.submit("/hub/admin", &[("disable", "root")]).await;
    assert!(own.text.contains("role=\"alert\">Cannot disable yourself!"), "{}", own.text);
}

#[tokio::test]
async fn users_are_added_promoted_and_deleted() {
    let hub = TestHub::new().await;
    let mut root = hub.logged_in(ADMIN_TOKEN).await;
    root.get("/hub/admin").await;
    let answer = root.submit("/hub/admin?sort=name", &[("add", ""), ("names", "carol, Dan\r\nerin")]).await;
    assert_eq!(answer.location(), "/hub/admin?sort=name&done=add");
    let all = names(&hub).await;
    assert!(["carol", "dan", "erin"].iter().all(|name| all.iter().any(|known| known == name)), "{all:?}");
    let bad = root.submit("/hub/admin", &[("add", ""), ("names", "a/b")]).await;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST);
    assert!(bad.text.contains("role=\"alert\">Invalid username: a/b"), "{}", bad.text);
    assert_eq!(root.submit("/hub/admin", &[("add", ""), ("names", "carol")]).await.status, StatusCode::CONFLICT);

    assert_eq!(root.submit("/hub/admin", &[("make-admin", "carol")]).await.status, StatusCode::FOUND);
    assert!(is_admin(&hub, "carol").await);
    root.submit("/hub/admin", &[("remove-admin", "carol")]).await;
    assert!(!is_admin(&hub, "carol").await);

    let asked = root.get("/hub/admin/delete?sort=name&user=carol").await;
    assert!(
        asked.text.contains("Delete carol?") && asked.text.contains("action=\"/hub/admin?sort=name\""),
        "{}",
        asked.text
    );
    assert!(names(&hub).await.contains(&"carol".to_owned()), "a look deletes nobody");
    let answer = root.submit("/hub/admin?sort=name", &[("delete", "carol")]).await;
    assert_eq!(answer.location(), "/hub/admin?sort=name&done=delete");
    assert!(!names(&hub).await.contains(&"carol".to_owned()));
    assert_eq!(root.get("/hub/admin/delete?user=carol").await.status, StatusCode::NOT_FOUND);
    let own = root.submit("/hub/admin", &[("delete", "root")]).await;
    assert!(own.text.contains("Cannot delete yourself!"), "{}", own.text);
}

/// Whoever has the page and a part of the rights sees and does that part: an administrator's word is no way around (CVE-2024-41942).
#[tokio::test]
async fn the_page_gives_nobody_more_than_their_scopes_attack_rows_45_46_and_47() {
    let hub = TestHub::new().await;
    hub.api(Method::POST, "/groups/class", ADMIN_TOKEN, Some(json!({"users": ["bob"]}))).await;
    hub.give(
        "alice",
        &[
            "admin-ui",
            "list:users!group=class",
            "read:users!group=class",
            "admin:users!group=class",
            "read:servers!group=class",
        ],
    )
    .await;
    let mut alice = hub.logged_in(ALICE_TOKEN).await;
    let page = alice.get("/hub/admin").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(
        page.text.contains("1–1 of 1") && page.text.contains("bob") && !page.text.contains("root"),
        "{}",
        page.text
    );
    assert!(!page.text.contains("name=\"make-admin\"") && !page.text.contains("name=\"start\""), "{}", page.text);
    for (fields, status) in [
        ([("make-admin", "bob")], StatusCode::FORBIDDEN),
        ([("make-admin", "alice")], StatusCode::NOT_FOUND),
        ([("remove-admin", "root")], StatusCode::NOT_FOUND),
        ([("delete", "root")], StatusCode::NOT_FOUND),
        ([("start", "bob/")], StatusCode::NOT_FOUND),
        ([("stop", "root/")], StatusCode::NOT_FOUND),
        ([("sudo", "bob/")], StatusCode::BAD_REQUEST),
    ] {
        let answer = alice.submit("/hub/admin", &fields).await;
        assert_eq!(answer.status, status, "{fields:?} {}", answer.text);
    }
    let added = alice.submit("/hub/admin", &[("add", ""), ("names", "mallory")]).await;
    assert_eq!(added.status, StatusCode::FORBIDDEN, "{}", added.text);
    assert_eq!(names(&hub).await.len(), 3);
    assert!(!is_admin(&hub, "bob").await && !is_admin(&hub, "alice").await && is_admin(&hub, "root").await);
    assert!(hub.app.servers.active().is_empty());
}

#[tokio::test]
async fn who_may_see_no_servers_sees_the_users_all_the_same() {
    let hub = TestHub::new().await;
    hub.api(Method::POST, "/groups/class", ADMIN_TOKEN, Some(json!({"users": ["bob"]}))).await;
    hub.give("alice", &["admin-ui", "list:users!group=class", "read:users!group=class"]).await;
    let page = hub.logged_in(ALICE_TOKEN).await.get("/hub/admin").await;
    assert!(page.text.contains("<th scope=\"row\">bob</th>") && !page.text.contains(">stopped<"), "{}", page.text);
}

/// CVE-2020-36191: what changes users needs the form's own token.
#[tokio::test]
async fn another_sites_form_changes_no_users_attack_row_39() {
    let hub = TestHub::new().await;
    let mut root = hub.logged_in(ADMIN_TOKEN).await;
    root.get("/hub/admin").await;
    let mut bob = hub.logged_in(BOB_TOKEN).await;
    bob.get("/hub/home").await;
    let bobs = bob.cookie("_xsrf").unwrap().to_owned();
    for action in ["start", "stop", "add", "delete", "make-admin", "remove-admin"] {
        for xsrf in [None, Some(""), Some(bobs.as_str())] {
            let mut fields = vec![(action, "bob"), ("names", "mallory")];
            fields.extend(xsrf.map(|xsrf| ("_xsrf", xsrf)));
            assert_eq!(root.post("/hub/admin", &fields).await.status, StatusCode::FORBIDDEN, "{action} {xsrf:?}");
        }
    }
    assert_eq!(bob.post("/hub/spawn-pending/bob", &[]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(names(&hub).await.len(), 3);
    assert!(!is_admin(&hub, "bob").await && hub.app.servers.active().is_empty());
}

/// A name may hold what HTML means something by; nothing of an address is told on the page.
#[tokio::test]
async fn names_and_addresses_are_text_attack_row_42() {
    let hub = TestHub::new().await;
    let hostile = "\"><img src=x onerror=alert(1)>'&{{7*7}}";
    let body = Some(json!({"usernames": [hostile]}));
    assert_eq!(hub.api(Method::POST, "/users", ADMIN_TOKEN, body).await.status, StatusCode::CREATED);
    let mut root = hub.logged_in(ADMIN_TOKEN).await;
    let query = url::form_urlencoded::byte_serialize(hostile.as_bytes()).collect::<String>();
    for path in [
        "/hub/admin".to_owned(),
        format!("/hub/admin?name_filter={query}&sort=name&done={query}"),
        format!("/hub/admin/delete?user={query}&name_filter={query}"),
        format!("/hub/user/{}/", query.replace('+', "%20")),
    ] {
        let page = root.get(&path).await;
        assert!(matches!(page.status, StatusCode::OK | StatusCode::FAILED_DEPENDENCY), "{path} {}", page.text);
        assert!(!page.text.contains("<img src=x") && !page.text.contains("alert(1)>'"), "{path} {}", page.text);
        let policy = page.header("content-security-policy");
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("script-src 'self'"), "{policy}");
    }
}

#[tokio::test]
async fn ten_thousand_users_are_looked_through_page_by_page() {
    const FAST: Duration = Duration::from_millis(250);
    let hub = TestHub::new().await;
    let values: Vec<_> = (0..10_000).map(|n| format!("('u{n:05}', 'c{n:05}', FALSE, '2026-01-01 00:00:00')")).collect();
    hub.sql(&format!("INSERT INTO users (name, cookie_id, admin, created) VALUES {}", values.join(", "))).await;
    let mut root = hub.logged_in(ADMIN_TOKEN).await;
    for (path, range, has) in [
        ("/hub/admin", "1–50 of 10003", "rel=\"next\" href=\"/hub/admin?offset=50\""),
        (
            "/hub/admin?sort=name&offset=9950",
            "9951–10000 of 10003",
            "rel=\"prev\" href=\"/hub/admin?sort=name&#38;offset=9900\"",
        ),
        ("/hub/admin?name_filter=u0999", "1–10 of 10", "u09993"),
        ("/hub/admin?name_filter=nobody", "none of 0", "No user is like that."),
        ("/hub/admin?sort=-last_activity&state=inactive", "1–50 of 10003", "u0"),
    ] {
        let begun = Instant::now();
        let page = root.get(path).await;
        let took = begun.elapsed();
        assert!(page.text.contains(range) && page.text.contains(has), "{path} {}", page.text);
        assert!(took < FAST, "{path} took {took:?}");
        println!("{path}: {took:?}, {} bytes", page.text.len());
    }
}
