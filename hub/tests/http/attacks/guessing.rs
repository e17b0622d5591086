//! Passwords and tokens are guessed, and user names found out.

use axum::http::{Method, StatusCode};
use futures::future::join_all;
use hub_crds::LoginLimits;
use serde_json::json;
use std::fs;

use super::log::Log;
use crate::{
    browser::{Answer, Browser},
    faults::{OFF, clock},
    test_hub::{ADMIN_TOKEN, ALICE_TOKEN, BOB_TOKEN, Settings, TestHub},
};

const PASSWORD: &str = "open sesame";
const SHORT_TOKEN: &str = "bobs-short-one";
const HOME: &str = "203.0.113.7";
const ELSEWHERE: &str = "198.51.100.1";

const FORBIDDEN: StatusCode = StatusCode::FORBIDDEN;
const FOUND: StatusCode = StatusCode::FOUND;
const TOO_MANY: StatusCode = StatusCode::TOO_MANY_REQUESTS;

fn settings() -> Settings {
    let login_limits = LoginLimits { max_failures: 3, window_seconds: 60, lockout_seconds: 300 };
    Settings { dummy_password: Some(PASSWORD), login_limits, clock, ..Settings::default() }
}

async fn hub() -> TestHub {
    OFF.set(0);
    TestHub::with(settings()).await
}

/// Of a person whom the proxy says to come from there.
fn browser_at<'a>(hub: &'a TestHub, forwarded_for: &str) -> Browser<'a> {
    let mut browser = hub.browser();
    browser.headers.push(("x-forwarded-for", forwarded_for.to_owned()));
    browser
}

async fn log_in(hub: &TestHub, from: &str, user: &str, password: &str) -> Answer {
    browser_at(hub, from).log_in("/hub/login", user, password).await
}

async fn status(hub: &TestHub, from: &str, user: &str, password: &str) -> StatusCode {
    log_in(hub, from, user, password).await.status
}

/// Guesses until no more are looked at.
async fn lock_out(hub: &TestHub, from: &str, user: &str) {
    for guess in 0..3 {
        assert_eq!(status(hub, from, user, &format!("guess {guess}")).await, FORBIDDEN, "{guess}");
    }
    assert_eq!(status(hub, from, user, "guess").await, TOO_MANY);
}

#[tokio::test]
async fn who_guesses_is_locked_out_and_nobody_else_is_attack_row_34() {
    let hub = hub().await;
    let mut victim = browser_at(&hub, HOME);
    assert_eq!(victim.log_in("/hub/login", "alice", PASSWORD).await.status, FOUND);
    lock_out(&hub, HOME, "alice").await;

    let refused = log_in(&hub, HOME, "alice", PASSWORD).await;
    assert_eq!(refused.status, TOO_MANY, "the password is not even looked at");
    let wait: i64 = refused.header("retry-after").parse().unwrap();
    assert!((290..=300).contains(&wait), "{wait}");
    assert!(refused.text.contains(&format!("Try again in {wait} seconds.")), "{}", refused.text);
    assert_eq!(status(&hub, HOME, " ALICE ", PASSWORD).await, TOO_MANY, "the same user");

    assert_eq!(victim.get("/hub/home").await.status, StatusCode::OK, "who is logged in stays so");
    assert_eq!(status(&hub, ELSEWHERE, "alice", PASSWORD).await, FOUND, "the user is not locked out");
    assert_eq!(status(&hub, HOME, "bob", PASSWORD).await, FOUND, "nor is the address");

    OFF.set(299);
    assert_eq!(status(&hub, HOME, "alice", PASSWORD).await, TOO_MANY);
    OFF.set(301);
    assert_eq!(status(&hub, HOME, "alice", PASSWORD).await, FOUND);
}

#[tokio::test]
async fn a_few_wrong_passwords_now_and_then_lock_nobody_out() {
    let hub = hub().await;
    for minute in 0..4 {
        OFF.set(minute * 61);
        for _ in 0..2 {
            assert_eq!(status(&hub, HOME, "alice", "typo").await, FORBIDDEN, "{minute}");
        }
        assert_eq!(status(&hub, HOME, "alice", PASSWORD).await, FOUND, "{minute}");
    }
}

#[tokio::test]
async fn an_address_can_neither_be_changed_within_a_network_nor_made_up_attack_row_34() {
    OFF.set(0);
    let hub = TestHub::with(Settings { trusted_proxies: &["10.0.0.0/8"], ..settings() }).await;
    for guess in 0..3 {
        assert_eq!(status(&hub, &format!("2001:db8:0:1::{guess}"), "alice", "guess").await, FORBIDDEN);
        let forwarded = format!("192.0.2.{guess}, {HOME}");
        assert_eq!(status(&hub, &forwarded, "bob", "guess").await, FORBIDDEN);
    }
    assert_eq!(status(&hub, "2001:db8:0:1:ffff::9", "alice", PASSWORD).await, TOO_MANY);
    assert_eq!(status(&hub, "2001:db8:0:2::1", "alice", PASSWORD).await, FOUND);
    for forwarded in [HOME.to_owned(), format!("{ELSEWHERE}, {HOME}"), format!("{ELSEWHERE},{HOME}, 10.0.0.1")] {
        assert_eq!(status(&hub, &forwarded, "bob", PASSWORD).await, TOO_MANY, "{forwarded}");
    }
    assert_eq!(status(&hub, &format!("{HOME}, {ELSEWHERE}, 10.0.0.1"), "bob", PASSWORD).await, FOUND);
    // Whose address is not known is one with all such.
    let mut unknown = hub.browser();
    for _ in 0..3 {
        assert_eq!(unknown.log_in("/hub/login", "bob", "guess").await.status, FORBIDDEN);
    }
    assert_eq!(hub.browser().log_in("/hub/login", "bob", PASSWORD).await.status, TOO_MANY);
}

#[tokio::test]
async fn one_password_for_everybody_is_one_try_for_each_and_a_class_still_comes_in_attack_row_34() {
    let hub = hub().await;
    for user in 0..30 {
        for _ in 0..1 + user % 2 {
            assert_eq!(status(&hub, HOME, &format!("user-{user}"), "guess").await, FORBIDDEN, "{user}");
        }
    }
    assert_eq!(status(&hub, HOME, "user-30", "guess").await, FORBIDDEN);
    assert_eq!(status(&hub, HOME, "user-30", "guess").await, TOO_MANY);
    assert_eq!(status(&hub, HOME, "user-1", "guess").await, TOO_MANY);
    assert_eq!(status(&hub, HOME, "alice", PASSWORD).await, FOUND, "who knows the password comes in");
    assert_eq!(status(&hub, ELSEWHERE, "bob", "guess").await, FORBIDDEN);
}

#[tokio::test]
async fn guesses_at_once_are_no_more_than_one_after_the_other_attack_row_34() {
    let hub = hub().await;
    let mut door = browser_at(&hub, HOME);
    door.get("/hub/login").await;
    let xsrf = door.cookie("_xsrf").unwrap().to_owned();
    let answers = join_all((0..10_000).map(|number| {
        let (mut browser, xsrf) = (door.clone(), &xsrf);
        async move {
            let guess = format!("guess {number}");
            let fields = [("_xsrf", xsrf.as_str()), ("username", "alice"), ("password", &guess)];
            browser.post("/hub/login", &fields).await.status
        }
    }));
    let answers = answers.await;
    assert_eq!(answers.iter().filter(|status| **status == FORBIDDEN).count(), 3);
    assert_eq!(answers.iter().filter(|status| **status == TOO_MANY).count(), 9_997);
}

#[tokio::test]
async fn a_restart_forgives_nothing_and_what_no_longer_counts_is_removed() {
    let hub = hub().await;
    lock_out(&hub, HOME, "alice").await;
    status(&hub, HOME, "bob", "my-password-as-a-name").await;
    let hub = hub.restarted(settings()).await;
    assert_eq!(status(&hub, HOME, "alice", PASSWORD).await, TOO_MANY);
    assert_eq!(status(&hub, HOME, "bob", PASSWORD).await, FOUND);
    assert!(hub.stored().await.iter().any(|value| value == HOME));

    OFF.set(301);
    // Bob's session has the address, too, for as long as it lasts.
    let bob = hub.app.admit("bob").await.unwrap();
    hub.app.database.end_sessions_of(bob.id).await.unwrap();
    hub.app.database.delete_expired(hub.app.now()).await.unwrap();
    assert!(!hub.stored().await.iter().any(|value| value == HOME));
    let hub = hub.restarted(settings()).await;
    assert_eq!(status(&hub, HOME, "alice", PASSWORD).await, FOUND);
}

#[tokio::test]
async fn the_database_holds_no_name_that_was_typed() {
    let hub = hub().await;
    status(&hub, HOME, "my-password-in-the-wrong-field", "x").await;
    assert!(!hub.stored().await.iter().any(|value| value.contains("my-password")));
}

#[tokio::test]
async fn the_api_and_the_form_count_together_attack_row_34() {
    let hub = hub().await;
    let ask = async |password: &str| {
        let body = json!({"auth": {"username": "alice", "password": password}}).to_string();
        let headers = [("x-forwarded-for", HOME), ("content-type", "application/json")];
        hub.browser().request(Method::POST, "/hub/api/users/alice/tokens", &headers, Some(body)).await
    };
    assert_eq!(ask(PASSWORD).await.status, StatusCode::CREATED);
    assert_eq!(status(&hub, HOME, "alice", "guess").await, FORBIDDEN);
    for _ in 0..2 {
        assert_eq!(ask("guess").await.status, FORBIDDEN);
    }
    assert_eq!(status(&hub, HOME, "alice", PASSWORD).await, TOO_MANY);
    let refused = ask(PASSWORD).await;
    assert_eq!(refused.status, TOO_MANY);
    assert!(refused.json()["message"].as_str().unwrap().starts_with("Too many failed logins."));
    assert!(!refused.header("retry-after").is_empty());
}

/// A token that a person chose may be short enough to guess. The others are not, and whoever has one comes in.
#[tokio::test]
async fn guesses_at_tokens_are_limited_where_they_could_succeed_attack_row_34() {
    for (by_form, by_address, by_header) in [(3, 0, 0), (0, 3, 0), (0, 0, 3), (1, 1, 1)] {
        OFF.set(0);
        let hub = TestHub::with(Settings { dummy_password: None, ..settings() }).await;
        fs::write(hub.path("tokens/bob"), SHORT_TOKEN).unwrap();
        let visit = async |token: &str| browser_at(&hub, HOME).get(&format!("/hub/home?token={token}")).await;
        let ask = async |token: &str| {
            let authorization = format!("token {token}");
            let headers = [("authorization", authorization.as_str())];
            browser_at(&hub, HOME).request(Method::GET, "/hub/api/user", &headers, None).await.status
        };
        for guess in 0..by_form {
            // A made-up name is no way to further guesses.
            assert_eq!(status(&hub, HOME, &format!("x{guess}"), "bobs-guess").await, FORBIDDEN);
        }
        for _ in 0..by_address {
            assert_eq!(visit("bobs-guess").await.status, FORBIDDEN);
        }
        for _ in 0..by_header {
            assert_eq!(ask("bobs-guess").await, FORBIDDEN);
        }
        assert_eq!(
            ask(SHORT_TOKEN).await,
            FORBIDDEN,
            "a program is told what it is told of any token that is not known"
        );
        assert_eq!(ask(ALICE_TOKEN).await, StatusCode::OK);
        assert_eq!(status(&hub, HOME, "", SHORT_TOKEN).await, TOO_MANY);
        assert_eq!(visit(SHORT_TOKEN).await.status, TOO_MANY);
        assert!(!visit(SHORT_TOKEN).await.header("retry-after").is_empty());
        assert_eq!(visit(BOB_TOKEN).await.status, TOO_MANY, "no longer bob's");
        assert_eq!(visit(ALICE_TOKEN).await.location(), "/hub/home");
        assert_eq!(status(&hub, HOME, "", ADMIN_TOKEN).await, FOUND);
        assert_eq!(status(&hub, ELSEWHERE, "", SHORT_TOKEN).await, FOUND);
    }
}

#[tokio::test]
async fn wrong_tokens_of_programs_are_no_guesses_where_none_could_succeed() {
    let hub = TestHub::with(Settings { dummy_password: None, ..settings() }).await;
    for _ in 0..10 {
        assert_eq!(hub.get("/user", "guess").await.status, FORBIDDEN);
    }
    assert_eq!(hub.app.database.login_failures(hub.app.now()).await.unwrap(), []);
}

/// Programs behind a server have tokens of their own, which the hub doesn't know.
#[tokio::test]
async fn tokens_of_servers_go_on_to_them_however_many_there_are() {
    OFF.set(0);
    let hub = TestHub::with(Settings { dummy_password: None, ..settings() }).await;
    fs::write(hub.path("tokens/bob"), SHORT_TOKEN).unwrap();
    let mut alice = browser_at(&hub, HOME);
    alice.log_in("/hub/login", "", ALICE_TOKEN).await;
    let before = alice.get("/user/alice/app?token=its-own").await.status;
    for _ in 0..10 {
        assert_eq!(alice.get("/user/alice/app?token=its-own").await.status, before);
    }
    assert_eq!(
        alice.get(&format!("/user/alice/app?token={SHORT_TOKEN}")).await.status,
        before,
        "nor is bob's told apart"
    );
    assert_eq!(status(&hub, HOME, "", SHORT_TOKEN).await, FOUND, "others are not kept out");
}

#[tokio::test]
async fn an_unknown_user_is_answered_as_a_known_one_attack_row_35() {
    OFF.set(0);
    let hub = TestHub::with(Settings { blocked: &["bob"], ..settings() }).await;
    hub.app.admit("carol").await.unwrap();
    let long = "x".repeat(10_000);
    let mut answers = Vec::new();
    for (user, password) in [
        ("alice", "wrong"),
        ("nobody", "wrong"),
        ("nobody", PASSWORD),
        ("bob", PASSWORD),
        ("carol", PASSWORD),
        ("a/b", PASSWORD),
        ("alice", &long),
    ] {
        for _ in 0..4 {
            let mut browser = browser_at(&hub, user);
            let answer = browser.log_in("/hub/login", user, password).await;
            let xsrf = browser.cookie("_xsrf").unwrap().to_owned();
            let text = answer.text.replace(&xsrf, "").replace(&format!("value=\"{user}\""), "value=\"\"");
            let text: String = text.chars().filter(|c| !c.is_ascii_digit()).collect();
            answers.push((answer.status, text));
        }
        OFF.set(OFF.get() + 1000);
    }
    for answer in answers.chunks(4) {
        assert_eq!(
            answer.iter().map(|(status, _)| *status).collect::<Vec<_>>(),
            [FORBIDDEN, FORBIDDEN, FORBIDDEN, TOO_MANY]
        );
        assert_eq!(answer, &answers[..4]);
    }
}

#[tokio::test]
async fn every_login_failure_lockout_and_logout_is_in_the_audit_log() {
    let hub = hub().await;
    let log = Log::capture();
    let mut alice = browser_at(&hub, HOME);
    alice.log_in("/hub/login", "alice", PASSWORD).await;
    alice.get("/hub/logout").await;
    lock_out(&hub, ELSEWHERE, "eve\n\u{1b}").await;
    let failure = format!(
        r#"event="login" user="eve\\n\\u{{1b}}" address="{ELSEWHERE}" outcome="failure" reason="invalid credentials""#
    );
    let expected = [
        format!(r#"event="login" user="alice" address="{HOME}" outcome="success" reason="password""#),
        format!(r#"event="logout" user="alice" address="{HOME}" outcome="success" reason="asked for""#),
        failure.clone(),
        failure.clone(),
        failure.clone(),
        failure
            .replace("login", "lockout")
            .replace("failure", "begun")
            .replace("invalid credentials", "too many failures"),
        failure.replace("failure", "refused").replace("invalid credentials", "too many failures"),
    ];
    assert_eq!(log.audit(), expected);
    assert!(!log.text().contains(PASSWORD) && !log.text().contains("guess 0"));
}
