//! Guessing at passwords of users: what is told by time, what a crowd costs, and what nobody can type.

use axum::http::{Method, StatusCode};
use futures::future::join_all;
use std::time::{Duration, Instant};

use crate::{
    passwords::{log_in, settings, token_of},
    test_hub::TestHub,
};

const PASSWORD: &str = "correct horse";

/// Each pair is measured one after the other, so that what else goes on slows both. Without a hash for whoever has none, one
/// would take a hundredth of the other.
const PAIRS: usize = 15;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[tokio::test]
async fn an_unknown_user_takes_as_long_as_a_known_one_attack_row_35() {
    let hub = TestHub::with(settings(true)).await;
    assert_eq!(log_in(&hub, "alice", PASSWORD).await.0, StatusCode::FOUND);
    let mut times: [Vec<Duration>; 4] = Default::default();
    for _ in 0..PAIRS {
        // Known; allowed and without a password that fits; not allowed; not even a name.
        for (kind, user) in ["alice", "bob", "nobody", "a/b"].into_iter().enumerate() {
            let mut browser = hub.browser();
            browser.get("/hub/login").await;
            let xsrf = browser.cookie("_xsrf").unwrap().to_owned();
            let began = Instant::now();
            let fields = [("_xsrf", xsrf.as_str()), ("username", user), ("password", "wrong")];
            let answer = browser.post("/hub/login", &fields).await;
            times[kind].push(began.elapsed());
            assert_eq!(answer.status, StatusCode::FORBIDDEN);
        }
    }
    let [known, others @ ..] = times.map(median);
    println!("median of a known user {known:?}, of others {others:?}");
    for other in others {
        assert!(other > known / 2 && other < known * 2, "known {known:?}, other {other:?}");
    }
}

/// 500 people log in with passwords, while somebody uses the API: those who would wait too long are told to come again.
#[tokio::test]
async fn a_crowd_with_passwords_holds_nobody_up_inside_attack_row_36() {
    const CROWD: usize = 500;
    /// Far more than it takes, and far less than it would if hashes came first: this test has one thread.
    const PATIENCE: Duration = Duration::from_millis(200);
    let hub = TestHub::with(settings(true)).await;
    let token = token_of(&hub, "root").await;
    assert_eq!(log_in(&hub, "alice", PASSWORD).await.0, StatusCode::FOUND);
    let mut door = hub.browser();
    door.get("/hub/login").await;
    let xsrf = door.cookie("_xsrf").unwrap().to_owned();
    let crowd = join_all((0..CROWD).map(|_| {
        let (mut browser, xsrf) = (door.clone(), &xsrf);
        async move {
            let fields = [("_xsrf", xsrf.as_str()), ("username", "alice"), ("password", PASSWORD)];
            let answer = browser.post("/hub/login", &fields).await;
            (answer.status, answer.header("retry-after").to_owned())
        }
    }));
    let mut crowd = std::pin::pin!(crowd);
    let mut waits = Vec::new();
    let answers = loop {
        let one = async {
            let asked = Instant::now();
            assert_eq!(hub.get("/user", &token).await.status, StatusCode::OK);
            let waited = asked.elapsed();
            tokio::time::sleep(Duration::from_millis(5)).await;
            waited
        };
        tokio::select! {
            biased;
            answers = &mut crowd => break answers,
            waited = one => waits.push(waited),
        }
    };
    waits.sort_unstable();
    let [usual, most] = [waits.len() / 2, waits.len() * 99 / 100].map(|at| waits[at]);
    let entered = answers.iter().filter(|(status, _)| *status == StatusCode::FOUND).count();
    println!("{entered} of {CROWD} entered; {} API answers, median {usual:?}, p99 {most:?}", waits.len());
    assert!(entered >= 100, "{entered}");
    assert!(waits.len() >= 20 && usual < PATIENCE, "half of {} answers took longer than {usual:?}", waits.len());
    for (status, retry_after) in answers.iter().filter(|(status, _)| *status != StatusCode::FOUND) {
        assert!(*status == StatusCode::SERVICE_UNAVAILABLE && retry_after == "10", "{status} {retry_after}");
    }
}

/// What is too long is not hashed; what is only odd is a password like any other.
#[tokio::test]
async fn what_nobody_can_type_is_refused_before_it_is_hashed_attack_row_33() {
    let hub = TestHub::with(settings(true)).await;
    let huge = "x".repeat(1_000_000);
    for (user, password) in [(huge.as_str(), PASSWORD), ("alice", huge.as_str()), (&huge[..10_000], &huge[..10_000])] {
        let mut browser = hub.browser();
        let answer = browser.log_in("/hub/login", user, password).await;
        assert!(
            matches!(answer.status, StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN),
            "{} {} {}",
            user.len(),
            password.len(),
            answer.status
        );
    }
    for user in ["al\0ice", "al\nice", "\u{202e}ecila", "álice"] {
        assert_eq!(log_in(&hub, user, PASSWORD).await.0, StatusCode::FORBIDDEN, "{user:?}");
    }
    let root = token_of(&hub, "root").await;
    let set = async |password: &str| {
        let body = serde_json::json!({"password": password});
        hub.api(Method::PUT, "/users/alice/password", &root, Some(body)).await.status
    };
    assert_eq!(set(&huge[..1025]).await, StatusCode::BAD_REQUEST);
    for odd in ["with\0zero\0bytes", "of two\nlines", "\u{202e}\u{200f}סיסמה עברית", "ÿþýüûúùø"] {
        assert_eq!(set(odd).await, StatusCode::NO_CONTENT, "{odd:?}");
        assert_eq!(log_in(&hub, "alice", odd).await.0, StatusCode::FOUND, "{odd:?}");
    }
}
