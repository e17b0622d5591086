//! What every way of logging in keeps to, whatever people prove themselves with: one suite, run with each.

use axum::http::StatusCode;
use hub_auth::password::phc;
use hub_crds::config::{AuthConfig, AuthenticatorConfig, TokenLogin};
use serde_json::{Value, json};
use std::{fs, path::Path};

use crate::{
    attacks::log::Log,
    browser::{Answer, Browser},
    oidc::me,
    provider::Provider,
    test_hub::{Settings, TestHub},
};

/// Who is in the lists; eve is in none.
fn with_lists(authenticator: AuthenticatorConfig) -> AuthConfig {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    AuthConfig {
        allowed_users: names(&["alice", "mallory"]),
        blocked_users: names(&["mallory"]),
        admin_users: names(&["root"]),
        ..AuthConfig::new(authenticator)
    }
}

/// `enter` logs somebody in, as their own, from a page with this `next=`, and returns the last answer.
async fn conforms(auth: AuthConfig, enter: impl AsyncFn(&mut Browser<'_>, &str, &str) -> Answer) {
    let hub = TestHub::with(Settings { auth: Some(auth), ..Settings::default() }).await;
    let log = Log::capture();
    let is_in = |answer: &Answer| !answer.set_cookies("jupyterhub-hub-login").is_empty();

    // Nobody comes in who is not named, and a block wins.
    for (name, is_welcome) in [("alice", true), ("root", true), ("eve", false), ("mallory", false)] {
        let mut browser = hub.browser();
        let answer = enter(&mut browser, name, "").await;
        assert_eq!(is_in(&answer), is_welcome, "{name}: {}", answer.status);
        if is_welcome {
            let me = me(&mut browser).await;
            assert_eq!((&me["name"], &me["admin"]), (&json!(name), &json!(name == "root")));
        } else {
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{name}");
            assert_eq!(me(&mut browser).await, Value::Null);
        }
    }
    // Names are written as people like.
    let mut browser = hub.browser();
    enter(&mut browser, "ALICE", "").await;
    assert_eq!(me(&mut browser).await["name"], "alice");

    // Nobody's session is another's, nor the one of before (attack row 37).
    let planted = "0".repeat(32);
    let mut browser = hub.browser();
    browser.set_cookie("jupyterhub-session-id", &planted, "/");
    enter(&mut browser, "alice", "").await;
    let first = browser.cookie("jupyterhub-session-id").unwrap().to_owned();
    assert_ne!(first, planted);
    browser.get("/hub/logout").await;
    assert_eq!(me(&mut browser).await, Value::Null);
    enter(&mut browser, "alice", "").await;
    assert_ne!(browser.cookie("jupyterhub-session-id").unwrap(), first);

    // Whoever has come in goes where they wanted, and never elsewhere (attack row 32).
    for (next, leads_to) in [
        ("/hub/token?a=1", "/hub/token?a=1"),
        ("//evil.example/", "/hub/spawn"),
        ("https://evil.example/", "/hub/spawn"),
        ("/\\evil.example", "/%5Cevil.example"),
    ] {
        assert_eq!(enter(&mut hub.browser(), "alice", next).await.location(), leads_to, "{next}");
    }

    // Each login is accounted for.
    let log = log.text();
    for [what, outcome] in [
        [r#"event="login" user="alice" address="unknown""#, r#"outcome="success""#],
        [r#"event="logout" user="alice" address="unknown""#, r#"outcome="success""#],
        [r#"event="login""#, r#"outcome="failure""#],
    ] {
        assert!(log.lines().any(|line| line.contains(what) && line.contains(outcome)), "{what} {outcome}: {log}");
    }
}

fn login_page(next: &str) -> String {
    let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
    format!("/hub/login?next={next}")
}

#[tokio::test]
async fn login_by_token_conforms() {
    let directory = tempfile::tempdir().unwrap();
    let token = |name: &str| format!("{:0<48}", hex::encode(name.to_lowercase()));
    let users = ["alice", "mallory", "root"].map(|name| {
        fs::write(directory.path().join(name), token(name)).unwrap();
        TokenLogin { name: name.to_owned(), admin: false }
    });
    let dir = directory.path().to_owned();
    let auth = with_lists(AuthenticatorConfig::Token { users: users.into(), tokens_dir: dir, log: false });
    conforms(auth, async |browser, name, next| browser.log_in(&login_page(next), name, &token(name)).await).await;
}

#[tokio::test]
async fn login_by_a_shared_password_conforms() {
    let directory = tempfile::tempdir().unwrap();
    let file = |path: &Path| path.join("password");
    fs::write(file(directory.path()), "the shared one").unwrap();
    let auth = with_lists(AuthenticatorConfig::Dummy { password_file: Some(file(directory.path())) });
    conforms(auth, async |browser, name, next| browser.log_in(&login_page(next), name, "the shared one").await).await;
}

#[tokio::test]
async fn login_by_a_password_of_ones_own_conforms() {
    let directory = tempfile::tempdir().unwrap();
    let password = |name: &str| format!("the password of {}", name.to_lowercase());
    for name in ["alice", "eve", "mallory", "root"] {
        fs::write(directory.path().join(name), phc(&password(name), [7; 16])).unwrap();
    }
    let users_dir = Some(directory.path().to_owned());
    let auth = with_lists(AuthenticatorConfig::Password { users_dir, first_use: false, min_length: 8 });
    conforms(auth, async |browser, name, next| browser.log_in(&login_page(next), name, &password(name)).await).await;
}

#[tokio::test]
async fn login_at_a_provider_conforms() {
    let provider = Provider::start().await;
    let auth = with_lists(provider.auth().authenticator);
    conforms(auth, async |browser, name, next| {
        let subject = format!("subject of {}", name.to_lowercase());
        provider.says(|word| word.user_data = json!({"sub": subject, "preferred_username": name}));
        provider.log_in(browser, next).await
    })
    .await;
}
