//! Cookies: copied, forged, planted and outlived.

use axum::http::StatusCode;
use hub::upkeep::end_sessions_after_change;
use hub_auth::cookie::{self, Keys};
use std::fs;

use crate::{
    browser::Browser,
    oauth::{authorize, code, exchange},
    test_hub::{ADMIN_TOKEN, ALICE_TOKEN, BOB_TOKEN, Settings, TestHub},
};

/// A page sends to the login, and the API refuses.
async fn assert_is_out(browser: &mut Browser<'_>, why: &str) {
    for page in ["/hub/home", "/hub/spawn", "/hub/token"] {
        let answer = browser.get(page).await;
        assert_eq!(answer.status, StatusCode::FOUND, "{why}: {page}");
        assert!(answer.location().starts_with("/hub/login"), "{why}: {page}");
    }
    assert_eq!(browser.get("/hub/api/user").await.status, StatusCode::FORBIDDEN, "{why}");
}

async fn is_in(browser: &mut Browser<'_>) -> bool {
    browser.get("/hub/home").await.status == StatusCode::OK
        && browser.get("/hub/api/user").await.status == StatusCode::OK
}

/// Whoever copied the cookies has nothing after the logout, also without the session id that names the session.
#[tokio::test]
async fn a_copied_login_ends_with_the_logout_attack_row_37() {
    let hub = TestHub::new().await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    let mut other = hub.logged_in(ALICE_TOKEN).await;
    let mut copy = browser.clone();
    let mut bare = browser.clone();
    bare.cookies.retain(|cookie| cookie.name == "jupyterhub-hub-login");
    // A signature can be written in capitals.
    let (signed, signature) = bare.cookie("jupyterhub-hub-login").unwrap().rsplit_once('|').unwrap();
    let shouted = format!("{signed}|{}", signature.to_ascii_uppercase());
    let mut shouting = hub.browser();
    shouting.set_cookie("jupyterhub-hub-login", &shouted, "/hub/");
    for browser in [&mut copy, &mut bare, &mut shouting] {
        assert!(is_in(browser).await);
    }
    browser.get("/hub/logout").await;
    for browser in [&mut copy, &mut bare, &mut shouting] {
        assert_is_out(browser, "logout").await;
    }
    assert!(is_in(&mut other).await, "another browser's login is its own");
}

#[tokio::test]
async fn a_login_ends_with_the_next_one_in_its_browser_attack_row_37() {
    let hub = TestHub::new().await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    let mut copy = browser.clone();
    let asked = browser.get(&format!("/hub/login?token={BOB_TOKEN}")).await;
    assert!(is_in(&mut copy).await, "nothing happens before somebody agrees");
    browser.agree_to_login(&asked).await;
    assert_is_out(&mut copy, "another login").await;
    assert!(is_in(&mut browser).await);
}

#[tokio::test]
async fn a_login_ends_when_its_user_is_blocked_or_deleted_attack_row_37() {
    let mut hub = TestHub::new().await;
    let cookies = hub.logged_in(ALICE_TOKEN).await.cookies;
    hub.restart(Settings::default()).await;
    let mut alice = hub.browser();
    alice.cookies.clone_from(&cookies);
    assert!(is_in(&mut alice).await, "a restart alone ends nothing");

    hub.restart(Settings { blocked: &["alice"], ..Settings::default() }).await;
    let mut alice = hub.browser();
    alice.cookies.clone_from(&cookies);
    assert_is_out(&mut alice, "blocked").await;

    let mut bob = hub.logged_in(BOB_TOKEN).await;
    let deleted = hub.api(axum::http::Method::DELETE, "/users/bob", ADMIN_TOKEN, None).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    assert_is_out(&mut bob, "deleted").await;
}

/// The cookie and what servers got end; a token that the user made stays until it is revoked.
#[tokio::test]
async fn a_login_ends_when_its_token_is_another_one_attack_row_37() {
    let hub = TestHub::new().await;
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    let (mut alice, mut bob) = (hub.logged_in(ALICE_TOKEN).await, hub.logged_in(BOB_TOKEN).await);
    let code = code(&mut alice, &server).await;
    let session = exchange(&hub, &server, &code, &[]).await.json()["access_token"].as_str().unwrap().to_owned();
    end_sessions_after_change(&hub.app).await.unwrap();
    assert!(is_in(&mut alice).await, "nothing has changed");

    fs::write(hub.path("tokens/alice"), "a-new-token-for-alice-only").unwrap();
    end_sessions_after_change(&hub.app).await.unwrap();
    assert_is_out(&mut alice, "token changed").await;
    assert_eq!(hub.get("/user", &session).await.status, StatusCode::FORBIDDEN);
    assert_eq!(hub.get("/user", &server["JUPYTERHUB_API_TOKEN"]).await.status, StatusCode::OK);
    assert!(is_in(&mut bob).await);
    let mut again = hub.logged_in("a-new-token-for-alice-only").await;
    end_sessions_after_change(&hub.app).await.unwrap();
    assert!(is_in(&mut again).await);
}

/// The same while the hub was down, and for the shared password of everybody.
#[tokio::test]
async fn a_login_ends_when_the_password_changed_behind_the_hubs_back_attack_row_37() {
    let settings = |password| Settings { dummy_password: Some(password), ..Settings::default() };
    let mut hub = TestHub::with(settings("open sesame")).await;
    let mut browser = hub.browser();
    browser.log_in("/hub/login", "alice", "open sesame").await;
    let cookies = browser.cookies.clone();
    hub.restart(settings("close sesame")).await;
    let mut browser = hub.browser();
    browser.cookies = cookies;
    assert_is_out(&mut browser, "password changed").await;
}

#[tokio::test]
async fn rights_that_were_taken_are_gone_at_once_attack_row_37() {
    let hub = TestHub::new().await;
    let mut root = hub.logged_in(ADMIN_TOKEN).await;
    assert_eq!(root.get("/hub/api/users").await.status, StatusCode::OK);
    hub.sql("DELETE FROM user_role_map WHERE role_id = (SELECT id FROM roles WHERE name = 'admin')").await;
    assert_eq!(root.get("/hub/api/users").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn forged_cut_and_huge_cookies_log_nobody_in_attack_row_38() {
    let hub = TestHub::new().await;
    let alice = hub.app.database.user_by_name("alice").await.unwrap().unwrap();
    let (keys, now) = (Keys::new(0, &[0x6b; 32]), hub.app.now().as_second());
    let sign = |keys: &Keys, name: &str, value: &[u8], time| cookie::sign(keys, name, value, time);
    let right = sign(&keys, cookie::LOGIN, alice.cookie_id.as_bytes(), now);
    let mut cases = vec![
        alice.cookie_id.clone(),
        sign(&Keys::new(0, &[0; 32]), cookie::LOGIN, alice.cookie_id.as_bytes(), now),
        sign(&Keys::new(1, &[0x6b; 32]), cookie::LOGIN, alice.cookie_id.as_bytes(), now),
        sign(&keys, "_xsrf", alice.cookie_id.as_bytes(), now),
        sign(&keys, cookie::LOGIN, b"alice", now),
        sign(&keys, cookie::LOGIN, b"", now),
        sign(&keys, cookie::LOGIN, &[0xff; 32], now),
        sign(&keys, cookie::LOGIN, alice.cookie_id.as_bytes(), now - 15 * cookie::DAY),
        sign(&keys, cookie::LOGIN, alice.cookie_id.as_bytes(), i64::MIN),
        right.replace("2|1:0|", "1|"),
        "2|99999999999999999999:0|".to_owned(),
        "|".repeat(10_000),
        "x".repeat(100_000),
        "\"".to_owned(),
        "\"\\777\"".to_owned(),
    ];
    cases.extend((1..right.len()).step_by(7).map(|end| right[..end].to_owned()));
    for value in cases {
        let mut browser = hub.browser();
        browser.set_cookie(cookie::LOGIN, &value, "/hub/");
        let answer = browser.get("/hub/home").await;
        assert_eq!(answer.status, StatusCode::FOUND, "{value}");
        assert_eq!(browser.get("/hub/api/user").await.status, StatusCode::FORBIDDEN, "{value}");
    }
    let mut browser = hub.browser();
    browser.set_cookie(cookie::LOGIN, &right, "/hub/");
    assert_eq!(browser.get("/hub/home").await.status, StatusCode::OK, "the test signs as the hub does");
}

/// A sibling domain can plant a cookie of the same name, which the browser sends before the hub's own.
#[tokio::test]
async fn a_planted_login_neither_replaces_nor_hides_the_persons_own_attack_row_38() {
    let hub = TestHub::new().await;
    let (alice, bob) = (hub.logged_in(ALICE_TOKEN).await, hub.logged_in(BOB_TOKEN).await);
    let bobs = bob.cookie(cookie::LOGIN).unwrap().to_owned();
    let with = |planted: &str| {
        let mut browser = alice.clone();
        browser.plant_cookie(cookie::LOGIN, planted, "/hub/home");
        browser
    };
    for rubbish in ["rubbish", "", "\"2|1:0|\""] {
        assert!(with(rubbish).get("/hub/home").await.text.contains("<span>alice</span>"), "{rubbish}");
    }
    // Of two people's logins nobody can tell the right one: rather none than the attacker's.
    let answer = with(&bobs).get("/hub/home").await;
    assert!(answer.location().starts_with("/hub/login"), "{}", answer.text);
}

/// CVE-2024-28233: `_xsrf` and the session id of the attacker, planted from a sibling domain, neither let the attacker's
/// forms pass nor keep the person's own from passing; and what is in a cookie reaches no page.
#[tokio::test]
async fn cve_2024_28233_planted_form_cookies_gain_nothing_attack_row_38() {
    let hub = TestHub::new().await;
    let mut bob = hub.logged_in(BOB_TOKEN).await;
    bob.get("/hub/home").await;
    let mut anonymous = hub.browser();
    anonymous.get("/hub/login").await;
    for attacker in [&bob, &anonymous] {
        let planted = attacker.cookie("_xsrf").unwrap().to_owned();
        let mut alice = hub.logged_in(ALICE_TOKEN).await;
        alice.get("/hub/token").await;
        let own = alice.cookie("_xsrf").unwrap().to_owned();
        alice.plant_cookie("_xsrf", &planted, "/hub/token");
        let forged = alice.clone().post("/hub/token", &[("_xsrf", &planted), ("note", "x")]).await;
        assert_eq!(forged.status, StatusCode::FORBIDDEN);
        let right = alice.post("/hub/token", &[("_xsrf", &own), ("note", "x")]).await;
        assert_eq!(right.status, StatusCode::CREATED, "{}", right.text);
    }
    let session = bob.cookie(cookie::SESSION_ID).unwrap().to_owned();
    let mut alice = hub.logged_in(ALICE_TOKEN).await;
    alice.set_cookie(cookie::SESSION_ID, &session, "/");
    alice.set_cookie("_xsrf", bob.cookie("_xsrf").unwrap(), "/hub/");
    let forged = alice.submit("/hub/token", &[("note", "x")]).await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN, "the token is bound to the user, too");

    let mut alice = hub.logged_in(ALICE_TOKEN).await;
    alice.set_cookie("_xsrf", "\"><script>alert(1)</script>", "/hub/");
    alice.set_cookie("jupyterhub-hub-anonymous", "\"><script>alert(1)</script>", "/hub/");
    for page in ["/hub/home", "/hub/token", "/hub/error/404", "/hub/nothing"] {
        assert!(!alice.get(page).await.text.contains("<script>alert"), "{page}");
    }
}

/// CVE-2021-41247: tokens that several tabs got, under every session id that the browser sends, end with one logout.
#[tokio::test]
async fn cve_2021_41247_a_logout_ends_what_every_tab_got() {
    let hub = TestHub::new().await;
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    let mut tokens = Vec::new();
    for _ in 0..3 {
        let code = code(&mut browser, &server).await;
        tokens.push(exchange(&hub, &server, &code, &[]).await.json()["access_token"].as_str().unwrap().to_owned());
    }
    // One tab has waited with its code until after the logout.
    let waiting = code(&mut browser, &server).await;
    // A planted session id comes first: it must not hide the one to end.
    browser.plant_cookie(cookie::SESSION_ID, "0123456789abcdef0123456789abcdef", "/hub/logout");
    assert_eq!(browser.get("/hub/logout").await.location(), "/hub/login");
    for token in &tokens {
        assert_eq!(hub.get("/user", token).await.status, StatusCode::FORBIDDEN);
    }
    assert_eq!(exchange(&hub, &server, &waiting, &[]).await.status, StatusCode::BAD_REQUEST);
    assert!(browser.get(&authorize(&server, &[])).await.location().starts_with("/hub/login"));
}
