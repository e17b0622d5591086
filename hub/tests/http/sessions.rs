//! Where people are logged in, and the end of it: by themselves, by an administrator, and of everything of a user's.

use axum::http::{Method, StatusCode};
use hub::upkeep;
use serde_json::Value;
use std::time::Duration;

use crate::{
    attacks::Log,
    browser::Browser,
    oauth::{code, exchange},
    test_hub::{ADMIN_TOKEN, ALICE_TOKEN, BOB_TOKEN, Settings, TestHub},
};

async fn is_in(browser: &mut Browser<'_>) -> bool {
    browser.get("/hub/home").await.status == StatusCode::OK
}

/// A browser of this name at this address, in which alice logged in.
async fn alice_in<'a>(hub: &'a TestHub, agent: &str, address: &str) -> Browser<'a> {
    let mut browser = hub.browser();
    browser.headers.retain(|(name, _)| *name != "user-agent");
    browser.headers.extend([("user-agent", agent.to_owned()), ("x-forwarded-for", address.to_owned())]);
    assert_eq!(browser.log_in("/hub/login", "", ALICE_TOKEN).await.status, StatusCode::FOUND);
    browser
}

async fn sessions(hub: &TestHub, user: &str, token: &str) -> Vec<Value> {
    let answer = hub.get(&format!("/users/{user}/sessions"), token).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer.json()["sessions"].as_array().unwrap().clone()
}

/// The id of the session of the browser of this name.
async fn id_of(hub: &TestHub, agent: &str) -> String {
    let sessions = sessions(hub, "alice", ALICE_TOKEN).await;
    let found = sessions.iter().find(|session| session["user_agent"] == agent).unwrap();
    found["id"].as_str().unwrap().to_owned()
}

async fn delete(hub: &TestHub, path: &str, token: &str) -> StatusCode {
    hub.api(Method::DELETE, path, token, None).await.status
}

#[tokio::test]
async fn people_see_where_they_are_logged_in_and_end_it_there() {
    let hub = TestHub::new().await;
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    let mut here = alice_in(&hub, "Here/1", "203.0.113.7").await;
    let mut lost = alice_in(&hub, "<Lost>/1", "2001:db8::7").await;
    let code = code(&mut lost, &server).await;
    let of_lost = exchange(&hub, &server, &code, &[]).await.json()["access_token"].as_str().unwrap().to_owned();

    let page = here.get("/hub/token").await.text;
    let rows = page.split("<tr>").filter_map(|row| row.split("</tr>").next());
    let rows: Vec<_> = rows.filter(|row| row.contains("/1</td>")).collect();
    assert_eq!(rows.len(), 2, "{page}");
    let [own, other] = ["Here/1", "&#60;Lost&#62;/1"].map(|name| rows.iter().find(|row| row.contains(name)).unwrap());
    assert!(own.contains("203.0.113.7") && own.contains("This browser") && !own.contains("<button"), "{own}");
    assert!(other.contains("2001:db8::7") && other.contains("name=\"end\""), "{other}");
    let id = other.split_once("name=\"end\" value=\"").unwrap().1.split_once('"').unwrap().0.to_owned();

    let forged = here.post("/hub/sessions", &[("end", &id)]).await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN, "by another site's form");
    assert_eq!(here.submit("/hub/sessions", &[("end", &id)]).await.location(), "/hub/token");
    assert!(!is_in(&mut lost).await && is_in(&mut here).await);
    assert_eq!(hub.get("/user", &of_lost).await.status, StatusCode::FORBIDDEN, "what its server got");
    assert!(!here.get("/hub/token").await.text.contains("&#60;Lost&#62;"));
}

#[tokio::test]
async fn log_out_everywhere_leaves_no_browser_and_no_servers_token_attack_row_37() {
    let hub = TestHub::new().await;
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    let mut here = alice_in(&hub, "Here/1", "203.0.113.7").await;
    let (mut other, mut copy) = (alice_in(&hub, "Other/1", "203.0.113.8").await, here.clone());
    let mut bob = hub.logged_in(BOB_TOKEN).await;
    let code = code(&mut other, &server).await;
    let of_other = exchange(&hub, &server, &code, &[]).await.json()["access_token"].as_str().unwrap().to_owned();
    here.get("/hub/token").await;
    let answer = here.submit("/hub/sessions", &[("everywhere", "1")]).await;
    assert_eq!(answer.location(), "/hub/login");
    assert!(here.cookie("jupyterhub-hub-login").is_none());
    assert!(!is_in(&mut other).await && !is_in(&mut copy).await && is_in(&mut bob).await);
    assert_eq!(hub.get("/user", &of_other).await.status, StatusCode::FORBIDDEN);
    assert_eq!(sessions(&hub, "alice", ALICE_TOKEN).await, Vec::<Value>::new());
}

#[tokio::test]
async fn programs_see_and_end_sessions_of_whom_they_may() {
    let hub = TestHub::new().await;
    let log = Log::capture();
    let mut first = alice_in(&hub, "First/1", "203.0.113.7").await;
    let mut second = alice_in(&hub, "Second/1", "203.0.113.8").await;
    let known = sessions(&hub, "alice", ADMIN_TOKEN).await;
    assert_eq!(known.len(), 2);
    let session_id = first.cookie("jupyterhub-session-id").unwrap().to_owned();
    let login = first.cookie("jupyterhub-hub-login").unwrap().to_owned();
    let told = Value::from(known).to_string();
    assert!(told.contains("203.0.113.7") && !told.contains(&session_id) && !told.contains(&login), "{told}");
    assert_eq!(hub.get("/users/alice/sessions", BOB_TOKEN).await.status, StatusCode::NOT_FOUND);
    assert_eq!(hub.get("/users/alice/sessions", "").await.status, StatusCode::FORBIDDEN);

    let id = id_of(&hub, "First/1").await;
    assert_eq!(delete(&hub, &format!("/users/alice/sessions/{id}"), BOB_TOKEN).await, StatusCode::NOT_FOUND);
    assert_eq!(delete(&hub, &format!("/users/bob/sessions/{id}"), BOB_TOKEN).await, StatusCode::NOT_FOUND);
    assert!(is_in(&mut first).await);
    assert_eq!(delete(&hub, &format!("/users/alice/sessions/{id}"), ALICE_TOKEN).await, StatusCode::NO_CONTENT);
    assert!(!is_in(&mut first).await && is_in(&mut second).await);
    assert_eq!(delete(&hub, &format!("/users/alice/sessions/{id}"), ALICE_TOKEN).await, StatusCode::NOT_FOUND);
    assert_eq!(delete(&hub, "/users/alice/sessions", ADMIN_TOKEN).await, StatusCode::NO_CONTENT);
    assert!(!is_in(&mut second).await);
    let text = log.text();
    for line in
        [r#"event="session ended" user="alice" actor="alice""#, r#"event="sessions ended" user="alice" actor="root""#]
    {
        assert!(text.contains(line), "{line}: {text}");
    }
}

/// A browser that came from JupyterHub has a cookie and no row: it goes on, is seen, and can be ended.
#[tokio::test]
async fn a_login_from_before_goes_on_is_seen_and_can_be_ended() {
    let mut hub = TestHub::new().await;
    let cookies = alice_in(&hub, "Old/1", "203.0.113.7").await.cookies;
    assert_eq!(sessions(&hub, "alice", ALICE_TOKEN).await.len(), 1);
    hub.restart(Settings::default()).await;
    hub.sql("DELETE FROM hub_sessions").await;
    assert_eq!(sessions(&hub, "alice", ALICE_TOKEN).await.len(), 0);
    let mut old = hub.browser();
    old.cookies = cookies;
    assert!(is_in(&mut old).await);
    let id = id_of(&hub, "Test/1").await;
    assert_eq!(delete(&hub, &format!("/users/alice/sessions/{id}"), ALICE_TOKEN).await, StatusCode::NO_CONTENT);
    assert!(!is_in(&mut old).await);
}

/// A logout is no session that waits for its end, and what was seen before it does not come back.
#[tokio::test]
async fn a_session_that_ended_is_in_the_list_no_more() {
    let hub = TestHub::new().await;
    let mut browser = alice_in(&hub, "Here/1", "203.0.113.7").await;
    is_in(&mut browser).await;
    browser.get("/hub/logout").await;
    assert_eq!(sessions(&hub, "alice", ALICE_TOKEN).await.len(), 0);
    let mut browser = alice_in(&hub, "Here/1", "203.0.113.7").await;
    is_in(&mut browser).await;
    assert_eq!(delete(&hub, "/users/alice/sessions", ADMIN_TOKEN).await, StatusCode::NO_CONTENT);
    assert_eq!(sessions(&hub, "alice", ALICE_TOKEN).await.len(), 0);
}

async fn stops(hub: &TestHub, user: &str) {
    for _ in 0..200 {
        if hub.get(&format!("/users/{user}/server"), ADMIN_TOKEN).await.json()["stopped"] == true {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the server of {user} goes on");
}

#[tokio::test]
async fn everything_of_a_disabled_user_ends_at_once_attack_row_37() {
    let hub = TestHub::new().await;
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    let mut alice = hub.logged_in(ALICE_TOKEN).await;
    let code = code(&mut alice, &server).await;
    let session = exchange(&hub, &server, &code, &[]).await.json()["access_token"].as_str().unwrap().to_owned();
    let made = hub.api(Method::POST, "/users/alice/tokens", ALICE_TOKEN, None).await.json();
    let own = made["token"].as_str().unwrap().to_owned();
    let put = async |user: &str, token: &str| {
        hub.api(Method::PUT, &format!("/users/{user}/disabled"), token, None).await.status
    };
    let is_disabled = async || hub.get("/users/alice/disabled", ADMIN_TOKEN).await.json()["disabled"] == true;
    assert_eq!(put("alice", ALICE_TOKEN).await, StatusCode::FORBIDDEN, "by alice herself");
    assert_eq!(put("alice", BOB_TOKEN).await, StatusCode::FORBIDDEN);
    assert_eq!(put("root", ADMIN_TOKEN).await, StatusCode::BAD_REQUEST, "nobody locks themselves out");
    assert!(!is_disabled().await && is_in(&mut alice).await);

    let log = Log::capture();
    assert_eq!(put("alice", ADMIN_TOKEN).await, StatusCode::NO_CONTENT);
    assert!(
        is_disabled().await && log.text().contains(r#"event="user disabled" user="alice" actor="root""#),
        "{}",
        log.text()
    );
    assert!(alice.get("/hub/home").await.location().starts_with("/hub/login"), "the cookie");
    for (what, token) in [
        ("a token of the API", own.as_str()),
        ("what a server got", &session),
        ("the server's own", &server["JUPYTERHUB_API_TOKEN"]),
        ("the login token", ALICE_TOKEN),
    ] {
        assert_eq!(hub.get("/user", token).await.status, StatusCode::FORBIDDEN, "{what}");
    }
    let answer = hub.browser().log_in("/hub/login", "", ALICE_TOKEN).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "a login");
    let answer = hub.browser().get(&format!("/hub/home?token={ALICE_TOKEN}")).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "a login by the address");
    stops(&hub, "alice").await;
    // Nor does what an administrator makes for such a user open anything.
    let made = hub.api(Method::POST, "/users/alice/tokens", ADMIN_TOKEN, None).await.json();
    assert_eq!(hub.get("/user", made["token"].as_str().unwrap()).await.status, StatusCode::FORBIDDEN);

    assert_eq!(delete(&hub, "/users/alice/disabled", ADMIN_TOKEN).await, StatusCode::NO_CONTENT);
    assert!(!is_in(&mut alice).await, "the old login has ended for good");
    assert_eq!(hub.get("/user", &own).await.status, StatusCode::FORBIDDEN);
    let mut again = hub.logged_in(ALICE_TOKEN).await;
    assert!(is_in(&mut again).await);
}

/// The settings say so, and the hub starts with them: nothing from before is good, also after they say otherwise.
#[tokio::test]
async fn everything_of_a_user_whom_the_settings_block_ends_attack_row_37() {
    let mut hub = TestHub::new().await;
    hub.start_server("alice", ALICE_TOKEN).await;
    let made = hub.api(Method::POST, "/users/alice/tokens", ALICE_TOKEN, None).await.json();
    let own = made["token"].as_str().unwrap().to_owned();
    let cookies = hub.logged_in(ALICE_TOKEN).await.cookies;
    hub.restart(Settings { blocked: &["alice"], ..Settings::default() }).await;
    assert_eq!(hub.get("/user", &own).await.status, StatusCode::FORBIDDEN);
    let made = hub.api(Method::POST, "/users/alice/tokens", ADMIN_TOKEN, None).await.json();
    assert_eq!(hub.get("/user", made["token"].as_str().unwrap()).await.status, StatusCode::FORBIDDEN);
    tokio::spawn(upkeep::run(hub.app.clone()));
    stops(&hub, "alice").await;
    hub.restart(Settings::default()).await;
    let mut alice = hub.browser();
    alice.cookies = cookies;
    assert!(!is_in(&mut alice).await);
    assert_eq!(hub.get("/user", &own).await.status, StatusCode::FORBIDDEN);
}

/// Whoever may change users may not shut administrators out.
#[tokio::test]
async fn only_administrators_disable_administrators() {
    let hub = TestHub::new().await;
    hub.give("bob", &["admin:users"]).await;
    let put = async |user: &str| hub.api(Method::PUT, &format!("/users/{user}/disabled"), BOB_TOKEN, None).await.status;
    assert_eq!(put("root").await, StatusCode::FORBIDDEN);
    assert_eq!(put("alice").await, StatusCode::NO_CONTENT);
    assert_eq!(put("nobody").await, StatusCode::NOT_FOUND);
}
