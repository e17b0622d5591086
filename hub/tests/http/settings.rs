//! What the settings change for people and programs: where people land, how long a login lasts and what ends with it, how
//! lists are cut, and how exactly activity is known.

use axum::http::{Method, StatusCode};
use hub_crds::{ActivityTimes, ApiPages, Landing, Sessions};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

use crate::{
    faults::{DAY, HOUR, OFF, clock},
    oauth::{code, exchange},
    test_hub::{ADMIN_TOKEN, ALICE_TOKEN, Settings, TestHub},
};

async fn hub_of(sessions: Sessions) -> TestHub {
    OFF.set(0);
    TestHub::with(Settings { sessions, clock, ..Settings::default() }).await
}

#[tokio::test]
async fn people_land_where_the_settings_say_unless_they_ask_for_a_page() {
    let to = |address: &str| Landing { default_url: Some(address.to_owned()), ..Landing::default() };
    let home = Landing { redirect_to_server: false, default_url: None };
    let login = "/hub/login?next=%2Fhub%2F";
    for (landing, lands, anonymous) in [
        (Landing::default(), "/hub/spawn", login),
        (home, "/hub/home", login),
        (to("/hub/token"), "/hub/token", "/hub/token"),
        (Landing { redirect_to_server: false, ..to("/services/é") }, "/services/%C3%A9", "/services/%C3%A9"),
        (to("https://example.org"), "https://example.org/", "https://example.org/"),
    ] {
        let hub = TestHub::with(Settings { landing: landing.clone(), ..Settings::default() }).await;
        assert_eq!(hub.browser().get("/hub/").await.location(), anonymous, "{landing:?}");
        let mut browser = hub.browser();
        assert_eq!(browser.log_in("/hub/login", "", ALICE_TOKEN).await.location(), lands, "{landing:?}");
        for path in ["/hub/", "/hub/login"] {
            assert_eq!(browser.get(path).await.location(), lands, "{path} {landing:?}");
        }
        let asked = hub.browser().log_in("/hub/login?next=%2Fhub%2Fspawn%2Falice", "", ALICE_TOKEN).await;
        assert_eq!(asked.location(), "/hub/spawn/alice", "{landing:?}");
    }
}

#[tokio::test]
async fn people_land_at_their_server_if_it_runs_and_the_settings_lead_there() {
    for (redirect_to_server, lands) in [(true, "/user/alice/"), (false, "/hub/home")] {
        let landing = Landing { redirect_to_server, default_url: None };
        let hub = TestHub::with(Settings { landing, ..Settings::default() }).await;
        hub.start_server("alice", ALICE_TOKEN).await;
        assert_eq!(hub.browser().log_in("/hub/login", "", ALICE_TOKEN).await.location(), lands);
    }
}

#[tokio::test]
async fn a_logout_stops_the_persons_servers_if_the_settings_say_so() {
    for (shutdown_on_logout, consequence) in [(false, "Your servers run on."), (true, "Your servers stop.")] {
        let hub = hub_of(Sessions { shutdown_on_logout, ..Sessions::default() }).await;
        hub.start_server("alice", ALICE_TOKEN).await;
        hub.start_server("root", ADMIN_TOKEN).await;
        let mut browser = hub.logged_in(ALICE_TOKEN).await;
        browser.headers.push(("sec-fetch-site", "cross-site".into()));
        assert!(browser.get("/hub/logout").await.text.contains(consequence));
        assert_eq!(hub.get("/users/alice/server", ALICE_TOKEN).await.json()["ready"], true, "another site's doing");
        browser.headers.pop();
        browser.get("/hub/logout").await;
        let stops = |server: Value| server["pending"] == "stop" || server["stopped"] == true;
        let server = hub.get("/users/alice/server", ALICE_TOKEN).await.json();
        assert_eq!(stops(server.clone()), shutdown_on_logout, "{server}");
        let other = hub.get("/users/root/server", ADMIN_TOKEN).await.json();
        assert_eq!(other["ready"], true, "{other}");
    }
}

/// It is no login, and may not be allowed to stop servers.
#[tokio::test]
async fn a_token_of_the_api_logs_nobody_out_and_stops_nothing() {
    let hub = hub_of(Sessions { shutdown_on_logout: true, ..Sessions::default() }).await;
    hub.start_server("alice", ALICE_TOKEN).await;
    let body = json!({"scopes": ["read:users:name!user"]});
    let made = hub.api(Method::POST, "/users/alice/tokens", ALICE_TOKEN, Some(body)).await.json();
    let authorization = format!("token {}", made["token"].as_str().unwrap());
    let headers = [("authorization", authorization.as_str())];
    assert_eq!(hub.browser().request(Method::GET, "/hub/logout", &headers, None).await.location(), "/hub/login");
    let server = hub.get("/users/alice/server", ALICE_TOKEN).await.json();
    assert_eq!(server["ready"], true, "{server}");
}

#[tokio::test]
async fn a_login_lasts_as_many_days_as_the_settings_say() {
    for (days, after, is_in) in [(14, 13, true), (14, 15, false), (1, 2, false), (100, 99, true), (100, 101, false)] {
        let hub = hub_of(Sessions { cookie_max_age_days: days, ..Sessions::default() }).await;
        let mut browser = hub.browser();
        let answer = browser.log_in("/hub/login", "", ALICE_TOKEN).await;
        let cookie = answer.set_cookies("jupyterhub-hub-login")[0];
        let expires = cookie.split("; ").find_map(|part| part.strip_prefix("expires=")).unwrap();
        let expires = jiff::fmt::rfc2822::parse(expires).unwrap().timestamp();
        assert!(expires.as_second() >= clock().as_second() + i64::from(days) * DAY - 5, "{cookie}");
        OFF.set(after * DAY);
        let home = browser.get("/hub/home").await;
        assert_eq!(home.status == StatusCode::OK, is_in, "{days} days, after {after}");
    }
}

/// Attack row 37: whoever has a copy of the cookie waits for longer logins in vain.
#[tokio::test]
async fn what_a_logout_ended_stays_ended_when_logins_last_longer() {
    let mut hub = hub_of(Sessions { cookie_max_age_days: 1, ..Sessions::default() }).await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    let copy = browser.cookie("jupyterhub-hub-login").unwrap().to_owned();
    let mut left = hub.logged_in(ALICE_TOKEN).await;
    let other = left.cookie("jupyterhub-hub-login").unwrap().to_owned();
    browser.get("/hub/logout").await;
    OFF.set(3 * DAY);
    assert!(left.get("/hub/home").await.status.is_redirection());
    hub.app.database.delete_expired(clock()).await.unwrap();
    hub.restart(Settings { clock, ..Settings::default() }).await;
    for (cookie, is_in) in [(copy, false), (other, true)] {
        let mut browser = hub.browser();
        browser.set_cookie("jupyterhub-hub-login", &cookie, "/hub/");
        assert_eq!(browser.get("/hub/home").await.status == StatusCode::OK, is_in);
    }
}

#[tokio::test]
async fn a_servers_token_for_a_person_lives_as_long_as_a_login_or_as_the_settings_say() {
    for (oauth_token_expires_in, seconds, after_two_hours) in
        [(0, 7 * DAY, StatusCode::OK), (3600, HOUR, StatusCode::FORBIDDEN)]
    {
        let sessions = Sessions { cookie_max_age_days: 7, oauth_token_expires_in, ..Sessions::default() };
        let hub = hub_of(sessions).await;
        let server = hub.start_server("alice", ALICE_TOKEN).await;
        let code = code(&mut hub.logged_in(ALICE_TOKEN).await, &server).await;
        let granted = exchange(&hub, &server, &code, &[]).await.json();
        assert_eq!(granted["expires_in"], seconds);
        let token = granted["access_token"].as_str().unwrap();
        assert_eq!(hub.get("/user", token).await.status, StatusCode::OK);
        OFF.set(2 * HOUR);
        assert_eq!(hub.get("/user", token).await.status, after_two_hours);
        OFF.set(seconds + 1);
        assert_eq!(hub.get("/user", token).await.status, StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn every_list_is_cut_as_the_settings_say() {
    for (api_pages, default, most) in [
        (ApiPages::default(), 50, 200),
        (ApiPages { default_limit: 2, max_limit: 3 }, 2, 3),
        (ApiPages { default_limit: 9, max_limit: 3 }, 3, 3),
    ] {
        let hub = TestHub::with(Settings { api_pages, ..Settings::default() }).await;
        for name in ["a", "b", "c", "d"] {
            hub.api(Method::POST, &format!("/groups/{name}"), ADMIN_TOKEN, None).await;
        }
        let without_pages = hub.get("/groups", ADMIN_TOKEN).await.json();
        assert_eq!(without_pages.as_array().unwrap().len(), most.min(4));
        for path in [
            "users",
            "groups",
            "proxy",
            "users/alice/shared",
            "groups/a/shared",
            "shares/alice",
            "shares/alice/",
            "share-codes/alice",
            "share-codes/alice/",
        ] {
            for (query, limit) in [("", default), ("?limit=1000", most), ("?limit=0", 1)] {
                let headers = [
                    ("authorization", &*format!("token {ADMIN_TOKEN}")),
                    ("accept", "application/jupyterhub-pagination+json"),
                ];
                let address = format!("/hub/api/{path}{query}");
                let page = hub.browser().request(Method::GET, &address, &headers, None).await;
                assert_eq!(page.json()["_pagination"]["limit"], limit, "{address}: {}", page.text);
            }
        }
    }
}

#[tokio::test]
async fn activity_is_noted_anew_after_as_many_seconds_as_the_settings_say() {
    for (resolution, is_noted) in [(30, true), (3600, false), (0, true)] {
        OFF.set(0);
        let activity = ActivityTimes { resolution, ..ActivityTimes::default() };
        let hub = TestHub::with(Settings { activity, clock, ..Settings::default() }).await;
        let seen = async || {
            hub.app.activity.save(&hub.app.database).await.unwrap();
            hub.get("/users/alice", ADMIN_TOKEN).await.json()["last_activity"].clone()
        };
        hub.get("/user", ALICE_TOKEN).await;
        let before = seen().await;
        OFF.set(60);
        hub.get("/user", ALICE_TOKEN).await;
        assert_eq!(seen().await != before, is_noted, "{resolution}");
    }
}

#[tokio::test]
async fn the_proxy_is_asked_who_uses_servers_as_often_as_the_settings_say() {
    let hub = async |interval| {
        let activity = ActivityTimes { interval, ..ActivityTimes::default() };
        let hub = TestHub::with(Settings { activity, ..Settings::default() }).await;
        hub.start_server("alice", ALICE_TOKEN).await;
        hub
    };
    let (asks, never_asks) = tokio::join!(hub(1), hub(0));
    let visited = Timestamp::now();
    for hub in [&asks, &never_asks] {
        let mut browser = hub.browser();
        browser.reaches_servers = true;
        assert_eq!(browser.get("/user/alice/lab").await.status, StatusCode::OK);
    }
    let is_noted = async |hub: &TestHub| {
        let server = hub.get("/users/alice/server", ALICE_TOKEN).await.json();
        let active: Option<Timestamp> = server["last_activity"].as_str().map(|time| time.parse().unwrap());
        active.is_some_and(|active| active >= visited)
    };
    for _ in 0..100 {
        if is_noted(&asks).await {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(is_noted(&asks).await);
    assert!(!is_noted(&never_asks).await);
}
