//! Login links that work once (S10 to S13), as `hub link` has them made.

use axum::http::{Method, StatusCode};
use futures::future::join_all;
use hub::{
    control,
    database::Revoked,
    login_links::{Wish, make},
    resets::end_sessions_after_reset,
    upkeep::end_sessions_after_change,
};
use std::{fs, process::Command};

use crate::{
    browser::Browser,
    test_hub::{ADMIN_TOKEN, ALICE_TOKEN, BOB_TOKEN, Settings, TestHub},
};

fn wish(user: Option<&str>) -> Wish {
    Wish { user: user.map(str::to_owned), seconds: 600 }
}

/// The token of a new link for alice.
async fn token(hub: &TestHub) -> String {
    let link = make(&hub.app, &wish(Some("alice")), "a test").await.unwrap();
    link.url.split_once("?token=").unwrap().1.to_owned()
}

async fn opens(browser: &mut Browser<'_>, token: &str) -> bool {
    let answer = browser.get(&format!("/hub/?token={token}")).await;
    assert_eq!(answer.set_cookies("jupyterhub-hub-login").is_empty(), answer.status == StatusCode::FORBIDDEN);
    answer.status == StatusCode::FOUND
}

async fn is_alice(browser: &mut Browser<'_>) -> bool {
    browser.get("/hub/home").await.text.contains("<span>alice</span>")
}

#[tokio::test]
async fn a_link_from_the_socket_works_once_and_the_cookie_goes_on_s10_s11_s12_s13() {
    let hub = TestHub::new().await;
    let socket = hub.path("control/hub.sock");
    let serving = tokio::spawn(control::serve(hub.app.clone(), control::listen(&socket).unwrap()));
    let link = control::ask_for_link(&socket, &wish(Some("Alice"))).await.unwrap();
    assert_eq!((link.user.as_str(), link.forward), ("alice", None));
    let (address, token) = link.url.split_once("?token=").unwrap();
    assert_eq!(address, format!("{}/", hub.proxy_url));
    assert!(token.len() == 48 && token.chars().all(|c| c.is_ascii_hexdigit()) && token != ALICE_TOKEN, "{token}");

    let mut browser = hub.browser();
    assert!(opens(&mut browser, token).await);
    let mut second = hub.browser();
    assert!(!opens(&mut second, token).await);
    assert!(!is_alice(&mut second).await);
    assert!(is_alice(&mut browser).await, "the cookie goes on working");
    browser.get("/hub/logout").await;
    assert!(!opens(&mut browser, token).await);

    // Without a name it is for the only administrator of the settings.
    assert_eq!(control::ask_for_link(&socket, &wish(None)).await.unwrap().user, "root");
    for (wish, message) in [
        (wish(Some("mallory")), "mallory may not log in at this hub"),
        (wish(Some("a/b")), "a/b may not log in at this hub"),
        (Wish { user: None, seconds: 0 }, "within a week"),
        (Wish { user: None, seconds: i64::MAX }, "within a week"),
    ] {
        let refused = control::ask_for_link(&socket, &wish).await.err().unwrap().to_string();
        assert!(refused.contains(message), "{refused}");
    }
    // The command prints the link alone, for scripts, and to people who it is for.
    let mut command = Command::new(env!("CARGO_BIN_EXE_hub"));
    command.args(["link", "--user", "alice", "--expires", "1h", "--socket"]).arg(&socket);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let (link, words) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success() && words.starts_with("It logs alice in, once, until "), "{words}");
    let (_, token) = link.trim_end().split_once("?token=").unwrap();
    assert!(opens(&mut hub.browser(), token).await && !words.contains(token), "{link}");
    hub.app.stopping.cancel();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn of_twenty_who_come_with_a_link_at_once_one_gets_in_s11() {
    let hub = TestHub::with(Settings::patient()).await;
    for _ in 0..5 {
        let token = token(&hub).await;
        let mut browsers: Vec<_> = (0..20).map(|_| hub.browser()).collect();
        let opened = join_all(browsers.iter_mut().map(|browser| opens(browser, &token))).await;
        assert_eq!(opened.iter().filter(|opened| **opened).count(), 1, "{opened:?}");
    }
}

#[tokio::test]
async fn a_link_is_used_up_by_a_visit_only_s13() {
    let hub = TestHub::new().await;
    let token = token(&hub).await;
    let address = format!("/hub/?token={token}");
    let mut browser = hub.browser();
    for (method, header, status) in [
        (Method::HEAD, ("x-none", ""), StatusCode::METHOD_NOT_ALLOWED),
        (Method::GET, ("sec-purpose", "prefetch;prerender"), StatusCode::SERVICE_UNAVAILABLE),
        (Method::GET, ("purpose", "prefetch"), StatusCode::SERVICE_UNAVAILABLE),
        (Method::GET, ("x-moz", "prefetch"), StatusCode::SERVICE_UNAVAILABLE),
        (Method::GET, ("sec-fetch-site", "cross-site"), StatusCode::OK),
        (Method::GET, ("sec-fetch-mode", "no-cors"), StatusCode::OK),
    ] {
        let answer = browser.request(method, &address, &[header], None).await;
        assert_eq!(answer.status, status, "{header:?}");
    }
    // Nor by what is no visit of a page: it is no token of the API, and no password.
    assert_eq!(hub.get("/user", &token).await.status, StatusCode::FORBIDDEN);
    assert_eq!(hub.browser().log_in("/hub/login", "", &token).await.status, StatusCode::FORBIDDEN);
    assert_eq!(hub.browser().log_in("/hub/login", "alice", &token).await.status, StatusCode::FORBIDDEN);

    // Somebody else is logged in: the page that asks uses nothing up, and agreeing does.
    let mut bob = hub.logged_in(BOB_TOKEN).await;
    let asked = bob.get(&address).await;
    assert!(asked.text.contains("Log in as alice"), "{}", asked.text);
    let agreed = bob.agree_to_login(&asked).await;
    assert_eq!(agreed.location(), "/hub/");
    assert!(is_alice(&mut bob).await && !opens(&mut browser, &token).await);
    let again = bob.agree_to_login(&asked).await;
    assert_eq!(again.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn an_unused_link_expires_and_is_removed() {
    let hub = TestHub::new().await;
    let token = token(&hub).await;
    hub.sql(&format!("UPDATE hub_login_links SET expires_at = {}", hub.app.now().as_second())).await;
    assert!(!opens(&mut hub.browser(), &token).await);
    hub.app.database.delete_expired(hub.app.now()).await.unwrap();
    let counts = hub.app.database.revoke_tokens(Revoked::All).await.unwrap();
    assert_eq!(counts.links, 0, "it is gone from the table");
}

#[tokio::test]
async fn a_link_outlives_a_restart_of_the_hub() {
    let hub = TestHub::new().await;
    let token = token(&hub).await;
    let hub = hub.restarted(Settings::default()).await;
    assert!(opens(&mut hub.browser(), &token).await && !opens(&mut hub.browser(), &token).await);
}

#[tokio::test]
async fn a_link_ends_with_whatever_ends_its_users_sessions_s34_s60() {
    let mut hub = TestHub::new().await;
    let mut ended = Vec::new();
    let revoked = token(&hub).await;
    let of_bob = hub.app.database.revoke_tokens(Revoked::User("bob")).await.unwrap();
    let of_alice = hub.app.database.revoke_tokens(Revoked::User("alice")).await.unwrap();
    assert_eq!((of_bob.links, of_alice.links), (0, 1));
    ended.push(("its user's tokens were revoked", revoked));

    let revoked = token(&hub).await;
    let counts = hub.api(Method::DELETE, "/tokens", ADMIN_TOKEN, None).await.json();
    assert_eq!(counts["links"], 1);
    ended.push(("all tokens were revoked", revoked));

    let changed = token(&hub).await;
    fs::write(hub.path("tokens/alice"), "another-token-of-alice").unwrap();
    end_sessions_after_change(&hub.app).await.unwrap();
    ended.push(("its user's login token changed", changed));

    let reset = token(&hub).await;
    fs::write(hub.path("cookie-secret"), "6c".repeat(32)).unwrap();
    end_sessions_after_reset(&hub.app).await.unwrap();
    // What tells a changed login token was sealed with the old one.
    end_sessions_after_change(&hub.app).await.unwrap();
    ended.push(("the cookie secret was reset", reset));

    let deleted = token(&hub).await;
    assert_eq!(hub.api(Method::DELETE, "/users/alice", ADMIN_TOKEN, None).await.status, StatusCode::NO_CONTENT);
    ended.push(("its user was deleted", deleted));

    let blocked = token(&hub).await;
    hub.restart(Settings { blocked: &["alice"], ..Settings::default() }).await;
    assert!(!opens(&mut hub.browser(), &blocked).await, "its user is blocked");
    ended.push(("its user was blocked", blocked));
    hub.restart(Settings::default()).await;
    for (why, token) in ended {
        assert!(!opens(&mut hub.browser(), &token).await, "{why}");
    }
    let good = token(&hub).await;
    assert!(opens(&mut hub.browser(), &good).await, "a link that nothing ended");
}

/// Where people log in in another way, a link is the only token that an address may hold.
#[tokio::test]
async fn a_link_works_with_every_way_of_logging_in() {
    let hub = TestHub::with(Settings { dummy_password: Some("open sesame"), ..Settings::default() }).await;
    let token = token(&hub).await;
    let mut browser = hub.browser();
    assert!(opens(&mut browser, &token).await && is_alice(&mut browser).await);
    let nobody = make(&hub.app, &wish(None), "a test").await.err().unwrap().to_string();
    assert_eq!(nobody, "say for whom, with --user: alice, bob");
}
