//! Servers that nobody uses are stopped, and none that is in use.

use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use hub::{
    culling::rounds::round,
    proxy::{ProxyClient, ProxyToken},
    servers::{ServerStatus, StopOutcome},
};
use hub_crds::{Cull, ProfileCull, ServerLimits};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::{
    cell::Cell,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Duration,
};
use tokio::time::{Instant, sleep};

use crate::{
    attacks::log::Log,
    test_hub::{ADMIN_TOKEN, ALICE_TOKEN, BOB_TOKEN, Settings, TestHub},
};

thread_local! {
    /// Seconds by which this test's hub is ahead: a test and its hub run on one thread.
    static AHEAD: Cell<i64> = const { Cell::new(0) };
}

fn clock() -> Timestamp {
    Timestamp::now() + SignedDuration::from_secs(AHEAD.get())
}

fn settings() -> Settings {
    let limits = ServerLimits { allow_named_servers: true, ..ServerLimits::default() };
    Settings { clock, limits, ..Settings::default() }
}

fn seconds(timeout: u32) -> Cull {
    Cull { timeout, ..Cull::default() }
}

impl TestHub {
    fn runs(&self, user: &str, server: &str) -> bool {
        matches!(self.app.servers.status(user, server), ServerStatus::Ready { .. })
    }

    async fn report_use(&self, user: &str) {
        let activity = json!({"servers": {"": {"last_activity": clock().to_string()}}});
        let answer = self.api(Method::POST, &format!("/users/{user}/activity"), ADMIN_TOKEN, Some(activity)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    }

    /// A request to the user's server, as people send it.
    async fn use_server(&self, user: &str) -> StatusCode {
        let request = Request::get(format!("/user/{user}/api")).body(Body::empty()).unwrap();
        self.send_to_proxy(request).await.status
    }
}

#[tokio::test]
async fn an_idle_server_is_stopped_and_one_that_says_that_it_is_used_stays() {
    let hub = TestHub::with(settings()).await;
    hub.start_server("alice", ALICE_TOKEN).await;
    hub.start_server("bob", BOB_TOKEN).await;
    let log = Log::capture();
    round(&hub.app, &seconds(3600)).await.unwrap();
    assert!(hub.runs("alice", "") && hub.runs("bob", ""), "they have just been started");

    AHEAD.set(3601);
    hub.report_use("bob").await;
    round(&hub.app, &seconds(3600)).await.unwrap();
    assert!(!hub.runs("alice", "") && hub.runs("bob", ""));
    let line = r#"event="server stopped" user="alice" actor="culling" object="alice/" outcome="success" reason="idle""#;
    assert_eq!(log.audit(), [line]);
    let metrics = hub.get("/metrics", ADMIN_TOKEN).await.text;
    assert!(metrics.contains("hub_culled_total{kind=\"server\",reason=\"idle\"} 1\n"), "{metrics}");

    // Age ends also what is in use; a server that was started anew is young.
    AHEAD.set(7300);
    hub.report_use("bob").await;
    let old = Cull { max_age: 7200, ..seconds(3600) };
    round(&hub.app, &old).await.unwrap();
    assert!(!hub.runs("bob", ""));
    assert!(log.audit().last().unwrap().ends_with(r#"reason="too old""#));
}

#[tokio::test]
async fn the_limits_of_a_servers_profile_count() {
    let hub = TestHub::with(settings()).await;
    let gpu = json!({"user_options": {"profile": "gpu"}});
    hub.api(Method::POST, "/users/alice/server", ALICE_TOKEN, Some(gpu)).await;
    hub.becomes_ready("alice", ALICE_TOKEN).await;
    hub.start_server("bob", BOB_TOKEN).await;
    AHEAD.set(1000);
    let profiles = vec![ProfileCull { slug: "gpu".to_owned(), timeout: Some(900), max_age: None }];
    round(&hub.app, &Cull { profiles, ..seconds(3600) }).await.unwrap();
    assert!(!hub.runs("alice", "") && hub.runs("bob", ""));
}

#[tokio::test]
async fn a_server_that_people_send_requests_to_stays_however_short_the_timeout() {
    let hub = TestHub::with(settings()).await;
    hub.start_server("alice", ALICE_TOKEN).await;
    hub.start_server("bob", BOB_TOKEN).await;
    let end = Instant::now() + Duration::from_secs(20);
    while hub.runs("bob", "") {
        assert!(Instant::now() < end, "bob's server is idle and runs on");
        assert_eq!(hub.use_server("alice").await, StatusCode::OK);
        round(&hub.app, &seconds(2)).await.unwrap();
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(hub.use_server("alice").await, StatusCode::OK);
    assert!(hub.runs("alice", ""));
}

#[tokio::test]
async fn where_the_proxy_cannot_be_asked_nothing_is_stopped() {
    let hub = TestHub::with(settings()).await;
    hub.start_server("alice", ALICE_TOKEN).await;
    AHEAD.set(7200);
    let nowhere = ProxyClient::new("http://127.0.0.1:1", ProxyToken::Value("the-proxy-token".to_owned().into()));
    let proxy = hub.app.servers.proxy();
    let here = proxy.elsewhere(None, None);
    proxy.relocate(&nowhere);
    round(&hub.app, &seconds(60)).await.unwrap_err();
    assert!(hub.runs("alice", ""));
    proxy.relocate(&here);
    round(&hub.app, &seconds(60)).await.unwrap();
    assert!(!hub.runs("alice", ""));
}

#[tokio::test]
async fn only_the_run_that_was_judged_is_stopped() {
    let hub = TestHub::with(settings()).await;
    hub.start_server("alice", ALICE_TOKEN).await;
    let ServerStatus::Ready { started, .. } = hub.app.servers.status("alice", "") else { panic!() };
    hub.stop_server("alice", ALICE_TOKEN).await;
    assert!(!hub.app.servers.stop_run("alice", "", started));
    hub.start_server("alice", ALICE_TOKEN).await;
    assert!(!hub.app.servers.stop_run("alice", "", started));
    assert!(hub.runs("alice", ""));
    let ServerStatus::Ready { started, .. } = hub.app.servers.status("alice", "") else { panic!() };
    assert!(hub.app.servers.stop_run("alice", "", started));
    assert!(!hub.app.servers.stop_run("alice", "", started), "it stops already");
}

#[tokio::test]
async fn named_servers_and_users_go_where_that_is_asked_for() {
    let hub = TestHub::with(settings()).await;
    for user in ["carol", "dora"] {
        hub.api(Method::POST, &format!("/users/{user}"), ADMIN_TOKEN, None).await;
    }
    hub.start_server("bob", BOB_TOKEN).await;
    hub.api(Method::POST, "/users/alice/servers/second", ALICE_TOKEN, None).await;
    let ready = async {
        while !hub.runs("alice", "second") {
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ready).await.unwrap();
    let names = async || -> Vec<String> {
        let users = hub.get("/users", ADMIN_TOKEN).await.json();
        users.as_array().unwrap().iter().map(|user| user["name"].as_str().unwrap().to_owned()).collect()
    };
    AHEAD.set(3700);
    hub.report_use("bob").await;
    let activity = json!({"last_activity": clock().to_string()});
    hub.api(Method::POST, "/users/dora/activity", ADMIN_TOKEN, Some(activity)).await;
    round(&hub.app, &Cull { remove_named_servers: true, ..seconds(3600) }).await.unwrap();
    let second = hub.get("/users/alice/servers/second", ALICE_TOKEN).await;
    assert_eq!(second.status, StatusCode::NOT_FOUND, "{}", second.text);
    assert_eq!(names().await.len(), 5, "users are not asked for");

    // alice has just asked for her server, and root for the list; carol was never seen, bob has a server.
    AHEAD.set(7500);
    hub.report_use("bob").await;
    let activity = json!({"last_activity": clock().to_string()});
    hub.api(Method::POST, "/users/dora/activity", ADMIN_TOKEN, Some(activity)).await;
    round(&hub.app, &Cull { users: true, admin_users: false, ..seconds(3600) }).await.unwrap();
    assert_eq!(names().await, ["bob", "root", "dora"]);
}

/// A storm of starts, uses and stops while idle servers are looked for all the time: no server goes that was used within
/// the timeout, and nobody sees an error of the hub's.
#[tokio::test]
async fn culling_never_races_those_who_come_back_row_43() {
    const TIMEOUT: Duration = Duration::from_secs(1);
    let hub = TestHub::with(settings()).await;
    let log = Log::capture();
    let (done, culled) = (AtomicBool::new(false), AtomicU32::new(0));
    let cull = async {
        while !done.load(Ordering::Relaxed) {
            round(&hub.app, &seconds(1)).await.unwrap();
            sleep(Duration::from_millis(5)).await;
        }
    };
    let person = async |user: &str, token: &str, pause: u64| {
        let path = format!("/users/{user}/server");
        for visit in 0..6u64 {
            let started = hub.api(Method::POST, &path, token, None).await;
            assert!(started.status.as_u16() < 500, "{user} {} {}", started.status, started.text);
            let end = Instant::now() + Duration::from_secs(20);
            while !hub.runs(user, "") {
                assert!(Instant::now() < end, "{user}'s server does not start");
                // It may have been stopped at the moment that it was asked for.
                let again = hub.api(Method::POST, &path, token, None).await;
                assert!(again.status.as_u16() < 500, "{user} {} {}", again.status, again.text);
                sleep(Duration::from_millis(20)).await;
            }
            let before = Instant::now();
            let answer = hub.use_server(user).await;
            if answer == StatusCode::OK {
                sleep(Duration::from_millis(pause * visit)).await;
                let (runs, since) = (hub.runs(user, ""), before.elapsed());
                assert!(runs || since > TIMEOUT, "{user}'s server was used {since:?} ago and is gone");
                culled.fetch_add(u32::from(!runs), Ordering::Relaxed);
            }
            let page = hub.get(&path, token).await;
            assert!(page.status.as_u16() < 500, "{} {}", page.status, page.text);
        }
    };
    let storm = async {
        tokio::join!(
            person("alice", ALICE_TOKEN, 100),
            person("bob", BOB_TOKEN, 250),
            person("root", ADMIN_TOKEN, 500)
        );
        // Nobody comes any more.
        let end = Instant::now() + Duration::from_secs(20);
        while ["alice", "bob", "root"].iter().any(|user| hub.runs(user, "")) {
            assert!(Instant::now() < end, "idle servers run on");
            sleep(Duration::from_millis(20)).await;
        }
        done.store(true, Ordering::Relaxed);
    };
    tokio::join!(cull, storm);
    let stops = log.audit().iter().filter(|line| line.contains(r#"actor="culling""#)).count();
    assert!(stops >= 3 && culled.load(Ordering::Relaxed) >= 1, "{stops} stops: it was no storm");
    assert_eq!(hub.app.servers.stop("alice", "").await, StopOutcome::Stopped);
}
