//! Many at a time: the others must not notice.

use axum::http::StatusCode;
use futures::future::join_all;
use std::time::{Duration, Instant};

use crate::{
    oauth::exchange,
    test_hub::{ADMIN_TOKEN, ALICE_TOKEN, BOB_TOKEN, TestHub},
};

const CROWD: usize = 500;
/// Each of these costs a hash of 16384 rounds.
const GUESSES: usize = 1500;
/// Far more than it takes, and far less than it would if the guesses came first: this test has one thread, which a
/// single hash would hold for itself.
const PATIENCE: Duration = Duration::from_millis(200);

/// 500 people log in and 1500 client secrets are guessed, while somebody uses the API.
#[tokio::test]
async fn a_crowd_at_the_door_holds_nobody_up_inside_attack_row_36() {
    let hub = TestHub::new().await;
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    let mut door = hub.browser();
    door.get("/hub/login").await;
    let xsrf = door.cookie("_xsrf").unwrap().to_owned();
    let logins = join_all((0..CROWD).map(|number| {
        let (mut browser, xsrf) = (door.clone(), &xsrf);
        let token = if number % 2 == 0 { ALICE_TOKEN } else { BOB_TOKEN };
        async move { browser.post("/hub/login", &[("_xsrf", xsrf), ("password", token)]).await.status }
    }));
    let guesses = join_all((0..GUESSES).map(|number| {
        let (hub, server) = (&hub, &server);
        async move {
            let guess = format!("{number:064}");
            exchange(hub, server, "no-code", &[("client_secret", &guess)]).await.status
        }
    }));
    let crowd = async {
        let began = Instant::now();
        (futures::join!(logins, guesses), began.elapsed())
    };
    let mut crowd = std::pin::pin!(crowd);
    let mut waits = Vec::new();
    let ((logins, guesses), took) = loop {
        let one = async {
            let asked = Instant::now();
            assert_eq!(hub.get("/user", ADMIN_TOKEN).await.status, StatusCode::OK);
            asked.elapsed()
        };
        tokio::select! {
            biased;
            done = &mut crowd => break done,
            waited = one => waits.push(waited),
        }
    };
    assert!(logins.iter().all(|status| *status == StatusCode::FOUND));
    assert!(guesses.iter().all(|status| *status == StatusCode::UNAUTHORIZED));
    waits.sort_unstable();
    assert!(waits.len() >= 20, "only {} answers in {took:?}: {waits:?}", waits.len());
    let usual = waits[waits.len() / 2];
    assert!(usual < PATIENCE, "half of {} answers took longer than {usual:?}", waits.len());
}
