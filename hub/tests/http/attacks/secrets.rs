//! Secrets stay where they belong: out of logs, metrics and other sites' hands.

use axum::http::{Method, StatusCode};
use hub::login_links::{Wish, make};
use serde_json::json;
use url::form_urlencoded::byte_serialize;

use super::log::Log;
use crate::{
    oauth::{authorize, exchange},
    test_hub::{ADMIN_TOKEN, ALICE_TOKEN, BOB_TOKEN, TestHub},
};

/// Everything that opens something and was seen in a session.
#[derive(Default)]
struct Secrets(Vec<(&'static str, String)>);

impl Secrets {
    fn add(&mut self, what: &'static str, secret: &str) -> String {
        assert!(secret.len() >= 8, "{what} {secret}");
        self.0.push((what, secret.to_owned()));
        secret.to_owned()
    }
}

#[tokio::test]
async fn no_secret_of_a_whole_session_is_logged_or_counted_attack_row_44() {
    let log = Log::capture();
    let mut secrets = Secrets::default();
    let hub = TestHub::new().await;
    hub.give("alice", &["shares!user=alice", "read:users:name"]).await;
    secrets.add("login token", ALICE_TOKEN);
    secrets.add("login token", BOB_TOKEN);
    secrets.add("login token", ADMIN_TOKEN);
    secrets.add("cookie secret", &"6b".repeat(32));
    secrets.add("proxy token", "the-proxy-token");

    // Logins that fail, in every field where a secret may be typed.
    let typed = secrets.add("mistyped token", "a-token-with-a-typing-error");
    hub.browser().log_in("/hub/login", "", &typed).await;
    hub.browser().get(&format!("/hub/login?token={typed}")).await;
    hub.browser().get(&format!("/hub/login?password={typed}&access_token={typed}#token={typed}")).await;
    let nested: String = byte_serialize(format!("/hub/user/alice/lab?token={typed}").as_bytes()).collect();
    hub.browser().get(&format!("/hub/login?next={nested}")).await;
    hub.browser().get(&format!("/hub/user/alice/lab?token={typed}")).await;
    hub.browser().get(&format!("/hub/error/404?url={nested}")).await;
    hub.get("/user", &typed).await;
    let auth = json!({"auth": {"username": "alice", "password": typed}});
    hub.api(Method::POST, "/users/alice/tokens", "", Some(auth)).await;

    // A login by address, a server, OAuth.
    let mut alice = hub.browser();
    alice.get(&format!("/hub/login?token={ALICE_TOKEN}&next=%2Fhub%2Fhome")).await;
    alice.get("/hub/home").await;
    for name in ["jupyterhub-hub-login", "jupyterhub-session-id", "_xsrf"] {
        secrets.add(name, alice.cookie(name).unwrap().trim_matches('"'));
    }
    let login = alice.cookie("jupyterhub-hub-login").unwrap().trim_matches('"').to_owned();
    secrets.add("signature", login.rsplit('|').next().unwrap());
    let user = hub.app.database.user_by_name("alice").await.unwrap().unwrap();
    secrets.add("cookie id", &user.cookie_id);
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    let server_token = secrets.add("server's token", &server["JUPYTERHUB_API_TOKEN"]);
    hub.get("/user", &server_token).await;
    let state = secrets.add("state", "a-state-of-the-client");
    let granted = alice.get(&authorize(&server, &[("state", &state)])).await.location().to_owned();
    let code = granted.split("code=").nth(1).unwrap().split('&').next().unwrap();
    let code = secrets.add("code", code);
    secrets.add("code verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    exchange(&hub, &server, &code, &[("client_secret", "not-the-right-one")]).await;
    let exchanged = exchange(&hub, &server, &code, &[]).await.json();
    let access_token = secrets.add("access token", exchanged["access_token"].as_str().unwrap());
    exchange(&hub, &server, &code, &[]).await;
    hub.get("/user", &access_token).await;
    hub.get(&format!("/authorizations/token/{access_token}"), &server_token).await;
    hub.get(&format!("/authorizations/cookie/jupyterhub-hub-login/{}", login.replace('|', "%7C")), ALICE_TOKEN).await;

    // A login link, shown to somebody else first.
    let wish = Wish { user: Some("alice".into()), seconds: 600 };
    let link = make(&hub.app, &wish, "a test").await.unwrap().url;
    let link = secrets.add("login link", link.split_once("?token=").unwrap().1);
    let mut bob = hub.logged_in(BOB_TOKEN).await;
    let asked = bob.get(&format!("/hub/home?token={link}")).await;
    bob.agree_to_login(&asked).await;
    bob.get(&format!("/hub/home?token={link}")).await;
    for audit in ["login link made", "login link used"] {
        assert!(log.text().contains(&format!("event=\"{audit}\" user=\"alice\"")), "{audit}: {}", log.text());
    }

    // Tokens and share codes.
    let made = hub.api(Method::POST, "/users/alice/tokens", ALICE_TOKEN, Some(json!({"note": "n"}))).await.json();
    let api_token = secrets.add("API token", made["token"].as_str().unwrap());
    let page = alice.submit("/hub/token", &[("note", "n")]).await.text;
    secrets.add("API token", page.split("id=\"token-result\">").nth(1).unwrap().split('<').next().unwrap());
    let shared = hub.api(Method::POST, "/share-codes/alice/", ALICE_TOKEN, Some(json!({}))).await.json();
    let share_code = secrets.add("share code", shared["code"].as_str().unwrap());
    let accept = format!("/hub/accept-share?code={share_code}");
    let mut bob = hub.browser();
    let to_login = bob.get(&accept).await.location().to_owned();
    bob.log_in(&to_login, "", BOB_TOKEN).await;
    bob.get(&accept).await;
    secrets.add("_xsrf", bob.cookie("_xsrf").unwrap());
    bob.submit(&accept, &[]).await;
    bob.get(&format!("/hub/accept-share?code={typed}")).await;
    let report = json!({"csp-report": {"document-uri": format!("http://hub.test{accept}"), "blocked-uri": accept}});
    let sent = bob.request(Method::POST, "/hub/security/csp-report", &[], Some(report.to_string())).await;
    assert_eq!(sent.status, StatusCode::OK);
    hub.api(Method::DELETE, &format!("/share-codes/alice/?code={share_code}"), ALICE_TOKEN, None).await;

    // Another proxy, which there is none of; revocation; failures; the end.
    let elsewhere = secrets.add("proxy password", "a-password-of-a-proxy");
    let proxy_token = secrets.add("other proxy token", "another-proxy-token");
    hub.api(Method::DELETE, "/users/alice/tokens", &api_token, None).await;
    hub.get("/user", &api_token).await;
    hub.stop_server("alice", ALICE_TOKEN).await;
    let body = json!({"api_url": format!("http://u:{elsewhere}@127.0.0.1:1/"), "auth_token": proxy_token});
    hub.api(Method::PATCH, "/proxy", ADMIN_TOKEN, Some(body)).await;
    std::fs::write(hub.path("cookie-secret"), "not a secret").unwrap();
    alice.get("/hub/home").await;
    alice.get("/hub/logout").await;

    let metrics = hub.get("/metrics", ADMIN_TOKEN).await;
    assert_eq!(metrics.status, StatusCode::OK);
    let text = log.text();
    for expected in [
        "outcome=\"failure\"",
        "reason=\"token in the address\"",
        "an OAuth code came twice",
        "event=\"share code made\"",
        "broke its content security policy",
        "kept the last good content of a file",
        "the proxy is at another place",
        "/hub/api/authorizations/redacted",
    ] {
        assert!(text.contains(expected), "{expected} was not logged, so this test tells nothing of it");
    }
    for (what, secret) in &secrets.0 {
        let encoded: String = byte_serialize(secret.as_bytes()).collect();
        for form in [secret, &encoded] {
            let line = text.lines().find(|line| line.contains(form.as_str()));
            assert_eq!(line, None, "{what}");
            assert!(!metrics.text.contains(form.as_str()), "{what}");
        }
    }
}

/// Pages are told to their own site at most, and one whose address holds a secret to nobody.
#[tokio::test]
async fn an_address_with_a_secret_is_no_referrer_attack_row_44() {
    let hub = TestHub::new().await;
    let mut alice = hub.logged_in(ALICE_TOKEN).await;
    let nested: String = byte_serialize(b"/hub/accept-share?code=x").collect();
    for (path, policy) in [
        ("/hub/home", "same-origin"),
        ("/hub/login?next=%2Fhub%2Fhome", "same-origin"),
        ("/hub/nothing", "same-origin"),
        ("/hub/api/user", "same-origin"),
        ("/hub/login?token=wrong-wrong-wrong", "no-referrer"),
        (&format!("/hub/login?token={ALICE_TOKEN}"), "no-referrer"),
        (&format!("/hub/login?next={nested}"), "no-referrer"),
        ("/hub/accept-share?code=wrong", "no-referrer"),
        ("/hub/user/alice/lab?token=x", "no-referrer"),
        ("/user/alice/lab?token=x", "no-referrer"),
    ] {
        let answer = alice.get(path).await;
        assert_eq!(answer.header("referrer-policy"), policy, "{path}");
        assert!(!answer.text.contains("name=\"referrer\""), "a page must not say otherwise");
    }
}
