//! Clocks that jump, servers that never come, and an idle culler that races the people (fault rows 39, 41 and 43).

use axum::http::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::{cell::Cell, time::Duration};

use crate::{
    oauth::{code, exchange},
    test_hub::{ADMIN_TOKEN, ALICE_TOKEN, Settings, TestHub},
};

thread_local! {
    /// How far the hub's clock is off, in seconds: each test and its hub have a thread of their own.
    pub(crate) static OFF: Cell<i64> = const { Cell::new(0) };
}

pub(crate) fn clock() -> Timestamp {
    Timestamp::now() + SignedDuration::from_secs(OFF.get())
}

async fn hub() -> TestHub {
    TestHub::with(Settings { clock, ..Settings::default() }).await
}

pub(crate) const HOUR: i64 = 3600;
pub(crate) const DAY: i64 = 24 * HOUR;

/// Fault row 39. An hour is less than what a login or a token lives, a day too; a code lives for minutes.
#[tokio::test]
async fn a_clock_that_jumps_logs_nobody_out_and_keeps_no_code_alive() {
    for jump in [HOUR, -HOUR, DAY, -DAY] {
        OFF.set(0);
        let hub = hub().await;
        let server = hub.start_server("alice", ALICE_TOKEN).await;
        let mut browser = hub.logged_in(ALICE_TOKEN).await;
        let made = hub.api(Method::POST, "/users/alice/tokens", ALICE_TOKEN, None).await.json();
        let (first, second) = (code(&mut browser, &server).await, code(&mut browser, &server).await);
        let token = exchange(&hub, &server, &first, &[]).await.json()["access_token"].as_str().unwrap().to_owned();

        OFF.set(jump);
        assert_eq!(browser.get("/hub/home").await.status, StatusCode::OK, "{jump}");
        for token in [token.as_str(), made["token"].as_str().unwrap()] {
            assert_eq!(hub.get("/user", token).await.status, StatusCode::OK, "{jump}");
        }
        let late = exchange(&hub, &server, &second, &[]).await.status;
        assert_eq!(late == StatusCode::OK, jump < 0, "a code after {jump} s: {late}");
        let seen = hub.get("/users/alice", ALICE_TOKEN).await.json()["last_activity"].clone();
        OFF.set(0);
        let again = hub.get("/users/alice", ALICE_TOKEN).await.json()["last_activity"].clone();
        assert!(again.as_str() >= seen.as_str(), "activity moved backwards: {seen} {again}");
    }
}

/// Fault row 39: what expires does so by the clock of the moment, and a purge at a wrong time deletes nothing that the
/// right time would have kept, but what has expired by then.
#[tokio::test]
async fn a_token_that_expired_while_the_clock_was_ahead_works_again_after_it() {
    OFF.set(0);
    let hub = hub().await;
    let body = json!({"expires_in": 2 * HOUR});
    let made = hub.api(Method::POST, "/users/alice/tokens", ALICE_TOKEN, Some(body)).await.json();
    let token = made["token"].as_str().unwrap();
    OFF.set(DAY);
    assert_eq!(hub.get("/user", token).await.status, StatusCode::FORBIDDEN);
    OFF.set(0);
    assert_eq!(hub.get("/user", token).await.status, StatusCode::OK);
}

/// Fault row 41: a start that never gets there says so all the time, can be cancelled, and leaves nothing behind.
#[tokio::test]
async fn a_start_that_never_ends_can_be_watched_and_cancelled() {
    OFF.set(0);
    let silent = "import time; time.sleep(600)";
    let hub = TestHub::with(Settings { server: silent, ..Settings::default() }).await;
    let started = hub.api(Method::POST, "/users/alice/server", ALICE_TOKEN, None).await;
    assert_eq!(started.status, StatusCode::ACCEPTED);
    let again = hub.api(Method::POST, "/users/alice/server", ALICE_TOKEN, None).await;
    assert_eq!(again.status, StatusCode::ACCEPTED);
    let server = hub.get("/users/alice/server", ALICE_TOKEN).await.json();
    assert_eq!((&server["pending"], &server["ready"]), (&json!("spawn"), &json!(false)));
    let (events, cancelled) = tokio::join!(
        tokio::time::timeout(Duration::from_secs(20), hub.get("/users/alice/server/progress", ALICE_TOKEN)),
        async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            hub.api(Method::DELETE, "/users/alice/server", ALICE_TOKEN, None).await
        }
    );
    assert!(cancelled.status.is_success(), "{}", cancelled.text);
    let events = events.expect("the stream ends with the start").text;
    assert!(events.contains("Server requested") && events.contains("\"failed\":true"), "{events}");
    hub.stop_server("alice", ALICE_TOKEN).await;
    let server = hub.get("/users/alice/server", ALICE_TOKEN).await.json();
    assert_eq!((&server["pending"], &server["stopped"]), (&json!(null), &json!(true)));
    assert!(hub.get("/proxy", ADMIN_TOKEN).await.json().get("/user/alice/").is_none());
}

/// Fault row 43, jupyterhub#1754: whoever stops servers while people start them meets no error of the hub's, and whoever
/// has just started one was active since then.
#[tokio::test]
async fn stops_that_race_starts_end_in_no_error() {
    OFF.set(0);
    let hub = TestHub::new().await;
    for round in 0..15 {
        let (start, stop, check, list) = tokio::join!(
            hub.api(Method::POST, "/users/alice/server", ALICE_TOKEN, None),
            hub.api(Method::DELETE, "/users/alice/server", ADMIN_TOKEN, None),
            hub.api(Method::POST, "/proxy", ADMIN_TOKEN, None),
            hub.get("/users?state=active", ADMIN_TOKEN),
        );
        for answer in [&start, &stop, &check, &list] {
            assert!(!answer.status.is_server_error(), "round {round}: {} {}", answer.status, answer.text);
        }
        tokio::time::sleep(Duration::from_millis(round * 20)).await;
    }
    hub.stop_server("alice", ALICE_TOKEN).await;
    let before = hub.app.now();
    hub.start_server("alice", ALICE_TOKEN).await;
    let server = hub.get("/users/alice/server", ALICE_TOKEN).await.json();
    let active: Timestamp = server["last_activity"].as_str().unwrap().parse().unwrap();
    assert!(active >= before, "a culler would take {active} for idle since before {before}");
}
