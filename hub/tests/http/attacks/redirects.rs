//! Links to the hub that want to lead elsewhere.

use axum::http::{Method, StatusCode};
use serde_json::json;
use url::{Url, form_urlencoded::byte_serialize};

use crate::test_hub::{ALICE_TOKEN, BOB_TOKEN, Settings, TestHub};

const EVIL: [&str; 37] = [
    "//evil.example",
    "///evil.example",
    "////evil.example/%2e%2e",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "\t//evil.example",
    " //evil.example",
    "\u{a0}//evil.example",
    "\u{2028}//evil.example",
    "/%09/evil.example",
    "/%5cevil.example",
    "/%2f/evil.example",
    "/..//evil.example",
    "/.//evil.example",
    "/hub/..//evil.example",
    "https://evil.example",
    "https:evil.example",
    "https:/evil.example",
    "http:///evil.example",
    "HtTpS://evil.example/",
    "//evil.example@hub.test/",
    "http://hub.test@evil.example/",
    "http://hub.test:80@evil.example/",
    "http://hub.test.evil.example/",
    "http://hub.testevil.example/",
    "http://hub.test//evil.example/",
    "http://hub.test\\@evil.example/",
    "//hub.test@evil.example/",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "//\u{ff45}vil.example",
    "/hub/home\r\nlocation: https://evil.example/",
    "/\u{0}/evil.example",
    "@evil.example",
];

/// Where a browser ends that is sent from a page of the hub to this address.
fn assert_stays(location: &str, from: &str) {
    assert!(!location.chars().any(char::is_control), "{from} led to {location:?}");
    let page = Url::parse("http://hub.test/hub/login").unwrap();
    let there = page.join(location).unwrap_or_else(|error| panic!("{from} led to {location}: {error}"));
    assert_eq!(there.origin(), page.origin(), "{from} led to {location}");
}

/// CVE-2019-10255, CVE-2026-33709, attack row 32: with and without a login, and wherever an address is passed on.
#[tokio::test]
async fn cve_2019_10255_cve_2026_33709_no_next_leads_off_the_hub() {
    let hub = TestHub::new().await;
    hub.start_server("alice", ALICE_TOKEN).await;
    hub.sql(
        "INSERT INTO roles (name, scopes, managed_by_auth) VALUES ('sharer', '[\"shares!user=alice\"]', FALSE);
         INSERT INTO user_role_map (user_id, role_id, managed_by_auth)
             SELECT u.id, r.id, FALSE FROM users u, roles r WHERE u.name = 'alice' AND r.name = 'sharer'",
    )
    .await;
    let shared = hub.api(Method::POST, "/share-codes/alice/", ALICE_TOKEN, Some(json!({}))).await.json();
    let code = shared["code"].as_str().unwrap();
    let long = format!("/{}/evil.example", "/".repeat(20_000));
    let mut alice = hub.logged_in(ALICE_TOKEN).await;
    let mut bob = hub.logged_in(BOB_TOKEN).await;
    alice.get("/hub/home").await;
    bob.get("/hub/home").await;
    for next in EVIL.into_iter().chain([long.as_str()]) {
        let next: String = byte_serialize(next.as_bytes()).collect();
        let login = hub.browser().log_in(&format!("/hub/login?next={next}"), "", ALICE_TOKEN).await;
        assert_eq!(login.status, StatusCode::FOUND, "{next}");
        assert_stays(login.location(), &next);
        for path in ["/hub/login", "/hub/", "/hub/spawn", "/hub/spawn/alice", "/hub/spawn-pending/alice"] {
            let answer = alice.get(&format!("{path}?next={next}")).await;
            assert_eq!(answer.status, StatusCode::FOUND, "{path} {next}");
            assert_stays(answer.location(), &format!("{path} {next}"));
        }
        let answer = bob.submit(&format!("/hub/accept-share?next={next}"), &[("code", code)]).await;
        assert_eq!(answer.status, StatusCode::FOUND, "{next}");
        assert_stays(answer.location(), &format!("accept-share {next}"));
        let link = hub.browser().get(&format!("/hub/login?token={ALICE_TOKEN}&next={next}")).await;
        assert_stays(link.location(), &format!("token {next}"));
    }
}

/// Paths that are passed on as they came, and a `Host` that somebody made up: links are never built from it where the
/// public address is known.
#[tokio::test]
async fn cve_2026_33709_no_path_and_no_host_leads_off_the_hub() {
    let hub = TestHub::with(Settings { public_url: Some("http://hub.test/"), ..Settings::default() }).await;
    let mut alice = hub.logged_in(ALICE_TOKEN).await;
    for path in [
        "//evil.example/",
        "//evil.example/hub/",
        "/%2fevil.example/",
        "/\\evil.example",
        "/hub//evil.example/",
        "/hub/user-redirect//evil.example/",
        "/hub/user-redirect/%2f%2fevil.example",
        "/hub/user//evil.example/",
        "/user//evil.example/",
    ] {
        let Ok(path) = path.parse::<axum::http::Uri>() else { continue };
        let answer = alice.get(&path.to_string()).await;
        if answer.status.is_redirection() {
            assert_stays(answer.location(), &path.to_string());
        }
    }
    // The same login, by a client that names another host.
    let login = alice.cookie("jupyterhub-hub-login").unwrap().to_owned();
    alice.go_to("evil.example");
    alice.set_cookie("jupyterhub-hub-login", &login, "/hub/");
    for path in ["/hub/", "/hub/login?next=http%3A%2F%2Fevil.example%2F", "/hub/spawn", "/hub/user/alice/api/status"] {
        let answer = alice.get(path).await;
        if answer.status.is_redirection() {
            assert_stays(answer.location(), path);
        }
        assert!(!answer.text.contains("evil.example"), "{}", answer.text);
    }
}
