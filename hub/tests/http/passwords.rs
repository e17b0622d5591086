//! Login by name and password: who sets them, who changes them, and what ends then.

use axum::http::{Method, StatusCode};
use hub::{
    database::{NewToken, TokenOwner},
    upkeep::end_sessions_after_change,
};
use hub_auth::password::phc;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::fs;

use crate::{
    attacks::Log,
    browser::{Answer, Browser},
    test_hub::{Settings, TestHub},
};

const PASSWORD: &str = "correct horse";
const OTHER: &str = "battery staple";

pub(crate) fn settings(first_use: bool) -> Settings {
    Settings { passwords: Some(first_use), ..Settings::patient() }
}

pub(crate) async fn log_in<'a>(hub: &'a TestHub, user: &str, password: &str) -> (StatusCode, Browser<'a>) {
    let mut browser = hub.browser();
    let answer = browser.log_in("/hub/login", user, password).await;
    (answer.status, browser)
}

async fn status(hub: &TestHub, user: &str, password: &str) -> StatusCode {
    log_in(hub, user, password).await.0
}

/// A token that may do what this user may.
pub(crate) async fn token_of(hub: &TestHub, user: &str) -> String {
    let user = hub.app.admit(user).await.unwrap();
    let secret = format!("a-token-of-{}", user.name);
    let new = NewToken {
        owner: TokenOwner::User(user.id),
        token: &SecretString::from(secret.as_str()),
        client_id: None,
        session_id: None,
        note: "",
        scopes: &["inherit".to_owned()],
        expires_at: None,
    };
    hub.app.database.create_token(new, hub.app.now()).await.unwrap();
    secret
}

async fn set(hub: &TestHub, user: &str, token: &str, password: &str) -> Answer {
    hub.api(Method::PUT, &format!("/users/{user}/password"), token, Some(json!({"password": password}))).await
}

async fn is_in(browser: &mut Browser<'_>) -> bool {
    browser.get("/hub/home").await.status == StatusCode::OK
}

async fn change(browser: &mut Browser<'_>, old: &str, new: &str) -> Answer {
    browser.get("/hub/change-password").await;
    let fields = [("old_password", old), ("new_password", new), ("new_password_confirmation", new)];
    browser.submit("/hub/change-password", &fields).await
}

#[tokio::test]
async fn an_allowed_users_first_password_becomes_theirs_and_nobody_else_gets_in() {
    let hub = TestHub::with(settings(true)).await;
    let log = Log::capture();
    for (user, password, expected) in [
        ("alice", "short", StatusCode::FORBIDDEN),
        ("Alice", PASSWORD, StatusCode::FOUND),
        ("alice", OTHER, StatusCode::FORBIDDEN),
        ("alice", "", StatusCode::FORBIDDEN),
        ("alice", PASSWORD, StatusCode::FOUND),
        ("eve", PASSWORD, StatusCode::FORBIDDEN),
        ("bob", OTHER, StatusCode::FOUND),
        ("a/b", PASSWORD, StatusCode::FORBIDDEN),
    ] {
        assert_eq!(status(&hub, user, password).await, expected, "{user} {password}");
    }
    assert!(hub.app.database.user_by_name("eve").await.unwrap().is_none());
    assert!(!hub.stored().await.iter().any(|value| value.contains(PASSWORD) || value.contains(OTHER)));
    let text = log.text();
    assert!(text.contains(r#"event="password set" user="alice" actor="alice""#), "{text}");
    assert!(!text.contains(PASSWORD) && !text.contains(OTHER), "{text}");
}

#[tokio::test]
async fn of_two_first_logins_at_once_one_is_first() {
    let hub = TestHub::with(settings(true)).await;
    let (one, other) = futures::join!(status(&hub, "alice", PASSWORD), status(&hub, "alice", OTHER));
    assert_eq!([one, other].iter().filter(|status| **status == StatusCode::FOUND).count(), 1, "{one} {other}");
}

#[tokio::test]
async fn an_administrator_sets_passwords_and_takes_them_away() {
    let hub = TestHub::with(settings(false)).await;
    assert_eq!(status(&hub, "alice", PASSWORD).await, StatusCode::FORBIDDEN);
    let (root, alice) = (token_of(&hub, "root").await, token_of(&hub, "alice").await);
    assert_eq!(set(&hub, "alice", &alice, PASSWORD).await.status, StatusCode::FORBIDDEN, "by alice herself");
    assert_eq!(set(&hub, "alice", &root, "short").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(set(&hub, "nobody", &root, PASSWORD).await.status, StatusCode::NOT_FOUND);
    assert_eq!(set(&hub, "alice", &root, PASSWORD).await.status, StatusCode::NO_CONTENT);
    let (entered, mut browser) = log_in(&hub, "alice", PASSWORD).await;
    assert!(entered == StatusCode::FOUND && is_in(&mut browser).await);

    assert_eq!(set(&hub, "alice", &root, OTHER).await.status, StatusCode::NO_CONTENT);
    assert!(!is_in(&mut browser).await, "whoever knew the old one is out");
    assert_eq!(status(&hub, "alice", PASSWORD).await, StatusCode::FORBIDDEN);
    assert_eq!(status(&hub, "alice", OTHER).await, StatusCode::FOUND);
    let removed = hub.api(Method::DELETE, "/users/alice/password", &root, None).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT);
    assert_eq!(status(&hub, "alice", OTHER).await, StatusCode::FORBIDDEN);
    assert_eq!(hub.get("/user", &alice).await.status, StatusCode::OK, "tokens that were made go on");

    hub.give("bob", &["admin:users"]).await;
    let bob = token_of(&hub, "bob").await;
    assert_eq!(set(&hub, "alice", &bob, PASSWORD).await.status, StatusCode::NO_CONTENT);
    assert_eq!(set(&hub, "root", &bob, PASSWORD).await.status, StatusCode::FORBIDDEN, "an administrator's");
}

#[tokio::test]
async fn where_people_have_no_passwords_none_is_set() {
    let hub = TestHub::new().await;
    let answer = set(&hub, "alice", crate::test_hub::ADMIN_TOKEN, PASSWORD).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    let mut browser = hub.logged_in(crate::test_hub::ALICE_TOKEN).await;
    assert_eq!(browser.get("/hub/change-password").await.status, StatusCode::NOT_FOUND);
    assert!(!browser.get("/hub/token").await.text.contains("change-password"));
}

#[tokio::test]
async fn a_changed_password_logs_every_other_browser_out_attack_row_37() {
    let hub = TestHub::with(settings(true)).await;
    let (_, mut here) = log_in(&hub, "alice", PASSWORD).await;
    let (_, mut elsewhere) = log_in(&hub, "alice", PASSWORD).await;
    let mut copy = here.clone();
    assert!(here.get("/hub/token").await.text.contains("change-password"));
    assert_eq!(change(&mut here, "wrong", OTHER).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(change(&mut here, PASSWORD, "short").await.status, StatusCode::BAD_REQUEST);
    assert!(is_in(&mut elsewhere).await, "nothing has changed");
    assert_eq!(change(&mut here, PASSWORD, OTHER).await.location(), "/hub/home");
    assert!(is_in(&mut here).await && !is_in(&mut elsewhere).await && !is_in(&mut copy).await);
    assert_eq!(status(&hub, "alice", PASSWORD).await, StatusCode::FORBIDDEN);
    assert_eq!(status(&hub, "alice", OTHER).await, StatusCode::FOUND);
}

#[tokio::test]
async fn a_wrong_old_password_is_a_failed_login() {
    let mut few = settings(true);
    few.login_limits.max_failures = 3;
    let hub = TestHub::with(few).await;
    let (_, mut alice) = log_in(&hub, "alice", PASSWORD).await;
    for _ in 0..3 {
        assert_eq!(change(&mut alice, "wrong", OTHER).await.status, StatusCode::BAD_REQUEST);
    }
    let refused = change(&mut alice, PASSWORD, OTHER).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0));
    assert_eq!(status(&hub, "alice", PASSWORD).await, StatusCode::TOO_MANY_REQUESTS, "by the form, too");
    assert!(is_in(&mut alice).await, "the session goes on");
}

#[tokio::test]
async fn another_site_changes_no_password() {
    let hub = TestHub::with(settings(true)).await;
    let (_, mut alice) = log_in(&hub, "alice", PASSWORD).await;
    let fields = [("old_password", PASSWORD), ("new_password", OTHER), ("new_password_confirmation", OTHER)];
    assert_eq!(alice.post("/hub/change-password", &fields).await.status, StatusCode::FORBIDDEN);
    assert_eq!(status(&hub, "alice", PASSWORD).await, StatusCode::FOUND);
}

#[tokio::test]
async fn a_password_in_the_secret_is_the_only_one_and_its_change_ends_sessions_attack_row_37() {
    let hub = TestHub::with(settings(true)).await;
    fs::write(hub.path("passwords/alice"), phc(PASSWORD, [3; 16])).unwrap();
    fs::write(hub.path("passwords/bob"), "in the clear").unwrap();
    end_sessions_after_change(&hub.app).await.unwrap();
    assert_eq!(status(&hub, "alice", OTHER).await, StatusCode::FORBIDDEN);
    assert_eq!(status(&hub, "bob", "in the clear").await, StatusCode::FORBIDDEN);
    let (entered, mut alice) = log_in(&hub, "alice", PASSWORD).await;
    assert!(entered == StatusCode::FOUND && is_in(&mut alice).await);
    let refused = change(&mut alice, PASSWORD, OTHER).await;
    assert!(refused.status == StatusCode::BAD_REQUEST && refused.text.contains("usersSecretRef"), "{}", refused.text);
    let root = token_of(&hub, "root").await;
    assert_eq!(set(&hub, "alice", &root, OTHER).await.status, StatusCode::CONFLICT);

    fs::write(hub.path("passwords/alice"), phc(OTHER, [4; 16])).unwrap();
    end_sessions_after_change(&hub.app).await.unwrap();
    assert!(!is_in(&mut alice).await);
    assert_eq!(status(&hub, "alice", PASSWORD).await, StatusCode::FORBIDDEN);
    assert_eq!(status(&hub, "alice", OTHER).await, StatusCode::FOUND);
}

/// Made with argon2-cffi's defaults for `correct horse`.
const OUTDATED: &str =
    "$argon2id$v=19$m=65536,t=3,p=4$4yRqKH+RDDbulciYwWiZjw$/YZBGw1zJoqSmYJKdwiz1mECebe2X+7A0cMJ02f73Eo";

#[tokio::test]
async fn a_hash_of_other_costs_is_replaced_at_the_next_login() {
    let hub = TestHub::with(settings(false)).await;
    let alice = hub.app.admit("alice").await.unwrap();
    hub.app.database.set_password(alice.id, Some(OUTDATED), hub.app.now()).await.unwrap();
    assert_eq!(status(&hub, "alice", OTHER).await, StatusCode::FORBIDDEN);
    assert_eq!(hub.app.database.password_hash("alice").await.unwrap().as_deref(), Some(OUTDATED));
    assert_eq!(status(&hub, "alice", PASSWORD).await, StatusCode::FOUND);
    let anew = hub.app.database.password_hash("alice").await.unwrap().unwrap();
    assert!(anew.starts_with("$argon2id$v=19$m=10240,t=10,p=8$"), "{anew}");
    assert_eq!(status(&hub, "alice", PASSWORD).await, StatusCode::FOUND);
}

/// The command asks over the hub's socket, where nobody else is.
#[tokio::test]
async fn a_command_sets_a_password() {
    let hub = TestHub::with(settings(false)).await;
    let wish =
        |user: &str, password: &str| hub::passwords::PasswordWish { user: user.into(), password: password.into() };
    for (user, password, refusal) in
        [("eve", PASSWORD, "no such user"), ("alice", "short", "at least 8 characters"), ("Alice", PASSWORD, "")]
    {
        let answer = hub::passwords::set_by_command(&hub.app, &wish(user, password)).await.unwrap();
        assert!(answer.as_ref().err().is_some_and(|error| error.contains(refusal)) || refusal.is_empty(), "{answer:?}");
    }
    assert_eq!(status(&hub, "alice", PASSWORD).await, StatusCode::FOUND);
}

/// A program that knows a user's password gets a token of the user's, and leaves one line.
#[tokio::test]
async fn a_program_logs_in_with_a_password_for_a_token() {
    let hub = TestHub::with(settings(true)).await;
    let body = |password: &str| -> Value { json!({"auth": {"username": "alice", "password": password}}) };
    let made = hub.api(Method::POST, "/users/alice/tokens", "", Some(body(PASSWORD))).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let refused = hub.api(Method::POST, "/users/alice/tokens", "", Some(body(OTHER))).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
}
