//! A person lets their server know who they are: the whole way, and every wrong turn.

use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use std::collections::BTreeMap;
use url::form_urlencoded;

use crate::{
    browser::{Answer, Browser},
    test_hub::{ADMIN_TOKEN, ALICE_TOKEN, BOB_TOKEN, TestHub},
};

/// RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

pub(crate) type Environment = BTreeMap<String, String>;

pub(crate) fn authorize(server: &Environment, changes: &[(&str, &str)]) -> String {
    let mut fields = vec![
        ("client_id", server["JUPYTERHUB_CLIENT_ID"].as_str()),
        ("redirect_uri", server["JUPYTERHUB_OAUTH_CALLBACK_URL"].as_str()),
        ("response_type", "code"),
        ("state", "S"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in changes {
        fields.retain(|(n, _)| n != name);
        if !value.is_empty() {
            fields.push((name, value));
        }
    }
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    format!("/hub/api/oauth2/authorize?{query}")
}

pub(crate) async fn code(browser: &mut Browser<'_>, server: &Environment) -> String {
    let answer = browser.get(&authorize(server, &[])).await;
    let location = answer.location();
    let (callback, query) = location.split_once('?').unwrap_or_else(|| panic!("{location}"));
    assert_eq!(callback, server["JUPYTERHUB_OAUTH_CALLBACK_URL"]);
    let fields: BTreeMap<_, _> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    assert_eq!(fields["state"], "S");
    assert_eq!(fields["code"].len(), 30);
    fields["code"].clone()
}

pub(crate) async fn exchange(hub: &TestHub, server: &Environment, code: &str, changes: &[(&str, &str)]) -> Answer {
    let mut fields = vec![
        ("client_id", server["JUPYTERHUB_CLIENT_ID"].as_str()),
        ("client_secret", server["JUPYTERHUB_API_TOKEN"].as_str()),
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", server["JUPYTERHUB_OAUTH_CALLBACK_URL"].as_str()),
        ("code_verifier", VERIFIER),
    ];
    for (name, value) in changes {
        fields.retain(|(n, _)| n != name);
        if !value.is_empty() {
            fields.push((name, value));
        }
    }
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = Request::post("/hub/api/oauth2/token").header("content-type", "application/x-www-form-urlencoded");
    hub.send(request.body(Body::from(body)).unwrap()).await
}

#[tokio::test]
async fn a_server_learns_who_visits_it_and_logout_ends_that_s63_s64_s65_s71() {
    let hub = TestHub::new().await;
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    let session = browser.cookie("jupyterhub-session-id").unwrap().to_owned();
    let code = code(&mut browser, &server).await;

    let answer = exchange(&hub, &server, &code, &[]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!((answer.header("cache-control"), answer.header("pragma")), ("no-store", "no-cache"));
    let token = answer.json();
    assert_eq!((token["token_type"].as_str(), token["expires_in"].as_i64()), (Some("Bearer"), Some(1_209_600)));
    let token = token["access_token"].as_str().unwrap().to_owned();
    assert_eq!(token.len(), 30);

    let user = hub.get("/user", &token).await.json();
    assert_eq!((user["kind"].as_str(), user["name"].as_str()), (Some("user"), Some("alice")));
    assert_eq!(user["session_id"], session);
    assert!(user["token_id"].as_str().unwrap().starts_with('a'));
    let scopes: Vec<_> = user["scopes"].as_array().unwrap().iter().filter_map(|scope| scope.as_str()).collect();
    assert_eq!(scopes, ["access:servers!server=alice/", "read:users:groups!user=alice", "read:users:name!user=alice"]);

    browser.get("/hub/logout").await;
    assert_eq!(hub.get("/user", &token).await.status, StatusCode::FORBIDDEN);
    assert_eq!(hub.get("/user", &server["JUPYTERHUB_API_TOKEN"]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn logout_in_one_browser_leaves_the_other_logged_in() {
    let hub = TestHub::new().await;
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    let mut tokens = Vec::new();
    let mut browsers = Vec::new();
    for _ in 0..2 {
        let mut browser = hub.logged_in(ALICE_TOKEN).await;
        let code = code(&mut browser, &server).await;
        tokens.push(exchange(&hub, &server, &code, &[]).await.json()["access_token"].as_str().unwrap().to_owned());
        browsers.push(browser);
    }
    browsers[0].get("/hub/logout").await;
    assert_eq!(hub.get("/user", &tokens[0]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(hub.get("/user", &tokens[1]).await.status, StatusCode::OK);
    assert_eq!(browsers[1].get("/hub/home").await.status, StatusCode::OK);
}

/// Attack row 27.
#[tokio::test]
async fn a_code_works_once_only() {
    let hub = TestHub::new().await;
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    let code = code(&mut hub.logged_in(ALICE_TOKEN).await, &server).await;
    assert_eq!(exchange(&hub, &server, &code, &[]).await.status, StatusCode::OK);
    let again = exchange(&hub, &server, &code, &[]).await;
    assert_eq!((again.status, again.json()["error"].as_str()), (StatusCode::BAD_REQUEST, Some("invalid_grant")));
}

/// Attack rows 27 and 30.
#[tokio::test]
async fn a_code_is_only_for_who_asked_for_it() {
    let hub = TestHub::new().await;
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    let wrong = "A".repeat(43);
    for (change, status, error) in [
        (("client_secret", "not-the-secret-at-all"), StatusCode::UNAUTHORIZED, "invalid_client"),
        (("client_secret", ""), StatusCode::UNAUTHORIZED, "invalid_client"),
        (("client_id", "jupyterhub-user-nobody"), StatusCode::UNAUTHORIZED, "invalid_client"),
        (("client_id", "jupyterhub"), StatusCode::UNAUTHORIZED, "invalid_client"),
        (("code_verifier", wrong.as_str()), StatusCode::BAD_REQUEST, "invalid_grant"),
        (("code_verifier", ""), StatusCode::BAD_REQUEST, "invalid_request"),
        (("redirect_uri", "/user/bob/oauth_callback"), StatusCode::BAD_REQUEST, "invalid_request"),
        (("grant_type", "password"), StatusCode::BAD_REQUEST, "unsupported_grant_type"),
        (("code", "never-given-out"), StatusCode::BAD_REQUEST, "invalid_grant"),
        (("code", ""), StatusCode::BAD_REQUEST, "invalid_request"),
    ] {
        let code = code(&mut browser, &server).await;
        let answer = exchange(&hub, &server, &code, &[change]).await;
        assert_eq!((answer.status, answer.json()["error"].as_str()), (status, Some(error)), "{change:?}");
        if status == StatusCode::UNAUTHORIZED {
            assert_eq!(answer.header("www-authenticate"), "Bearer error=\"invalid_client\"");
        }
    }
}

/// Attack row 27.
#[tokio::test]
async fn a_code_of_one_server_is_of_no_use_to_another() {
    let hub = TestHub::new().await;
    let alices = hub.start_server("alice", ALICE_TOKEN).await;
    let bobs = hub.start_server("bob", BOB_TOKEN).await;
    let code = code(&mut hub.logged_in(ALICE_TOKEN).await, &alices).await;
    let answer = exchange(&hub, &bobs, &code, &[]).await;
    assert_eq!(answer.json()["error"], "invalid_grant");
}

#[tokio::test]
async fn another_user_gets_no_code_s1() {
    let hub = TestHub::new().await;
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    let answer = hub.logged_in(BOB_TOKEN).await.get(&authorize(&server, &[])).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.text.contains("You do not have permission to access"), "{}", answer.text);
    // Nor by posting the consent form that was never shown.
    let mut bob = hub.logged_in(BOB_TOKEN).await;
    bob.get("/hub/home").await;
    assert_eq!(bob.submit(&authorize(&server, &[]), &[]).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn an_administrator_is_asked_before_another_persons_server_learns_the_name() {
    let hub = TestHub::new().await;
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    let mut root = hub.logged_in(ADMIN_TOKEN).await;
    let address = authorize(&server, &[]);
    let page = root.get(&address).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    assert!(page.text.contains("<form class=\"card narrow\" method=\"post\" action=\"\">"), "{}", page.text);
    assert!(page.text.contains("name=\"scopes\" value=\"access:servers!server=alice/\""), "{}", page.text);

    assert_eq!(root.post(&address, &[]).await.status, StatusCode::FORBIDDEN, "without _xsrf");
    let granted = root.submit(&address, &[]).await;
    assert!(granted.location().starts_with("/user/alice/oauth_callback?code="));
}

#[tokio::test]
async fn unknown_clients_and_addresses_are_told_to_the_person_and_never_redirected_to() {
    let hub = TestHub::new().await;
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    for (change, message) in [
        (("client_id", "nobody"), "Invalid client_id parameter value."),
        (("client_id", "jupyterhub"), "Invalid client_id parameter value."),
        (("client_id", ""), "Missing client_id parameter."),
        (("redirect_uri", "https://evil.example/"), "Mismatching redirect URI."),
        (("redirect_uri", "/user/alice/oauth_callback/x"), "Mismatching redirect URI."),
    ] {
        let answer = browser.get(&authorize(&server, &[change])).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{change:?}");
        assert!(answer.text.contains(message), "{change:?} {}", answer.text);
    }
}

#[tokio::test]
async fn other_errors_go_back_to_the_client_with_its_state() {
    let hub = TestHub::new().await;
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    for (change, query) in [
        (("response_type", "token"), "error=unsupported_response_type&state=S"),
        (("response_type", ""), "error=invalid_request&error_description=Missing+response_type+parameter.&state=S"),
        (
            ("code_challenge_method", "S512"),
            "error=invalid_request&error_description=Transform+algorithm+not+supported.&state=S",
        ),
        (("scope", "admin:users"), "error=invalid_scope&state=S"),
        (("scope", "no-such-scope"), "error=invalid_scope&state=S"),
    ] {
        let answer = browser.get(&authorize(&server, &[change])).await;
        assert_eq!(answer.location(), format!("/user/alice/oauth_callback?{query}"));
    }
}

#[tokio::test]
async fn stopping_a_server_ends_every_token_that_it_got() {
    let hub = TestHub::new().await;
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    let code = code(&mut hub.logged_in(ALICE_TOKEN).await, &server).await;
    let token = exchange(&hub, &server, &code, &[]).await.json()["access_token"].as_str().unwrap().to_owned();
    hub.stop_server("alice", ALICE_TOKEN).await;
    assert_eq!(hub.get("/user", &token).await.status, StatusCode::FORBIDDEN);
    assert_eq!(hub.get("/user", &server["JUPYTERHUB_API_TOKEN"]).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn neither_codes_nor_tokens_are_in_the_database_in_the_clear_s32() {
    let hub = TestHub::new().await;
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    let used = code(&mut browser, &server).await;
    let waiting = code(&mut browser, &server).await;
    let token = exchange(&hub, &server, &used, &[]).await.json()["access_token"].as_str().unwrap().to_owned();
    let session = browser.cookie("jupyterhub-session-id").unwrap().to_owned();
    // The files hold what was deleted, too.
    let files = ["hub.sqlite", "hub.sqlite-wal"].map(|name| std::fs::read(hub.path(name)).unwrap_or_default());
    let stored = [files.concat(), hub.stored().await.concat().into_bytes()].concat();
    let holds = |text: &str| stored.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(holds(&session), "the test must see what is stored");
    for secret in [&used, &waiting, &token, &server["JUPYTERHUB_API_TOKEN"], ALICE_TOKEN] {
        assert!(!holds(secret));
    }
}

#[tokio::test]
async fn an_anonymous_visitor_logs_in_first_and_comes_back() {
    let hub = TestHub::new().await;
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    let mut browser = hub.browser();
    let login = browser.get(&authorize(&server, &[])).await.location().to_owned();
    assert!(login.starts_with("/hub/login?next="), "{login}");
    let back = browser.log_in(&login, "", ALICE_TOKEN).await.location().to_owned();
    assert!(back.starts_with("/hub/api/oauth2/authorize?"), "{back}");
    assert!(browser.get(&back).await.location().contains("code="));
    let answer = browser.request(Method::GET, "/hub/api/user", &[], None).await;
    assert_eq!(answer.json()["token_id"], serde_json::Value::Null);
}

/// CVE-2021-41247's kind of mistake, attack row 37: whoever logs in twice in one browser logs out of all of it.
#[tokio::test]
async fn a_second_login_takes_the_tokens_of_the_first_along_to_the_logout_s71() {
    let hub = TestHub::new().await;
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    let first = code(&mut browser, &server).await;
    let token = exchange(&hub, &server, &first, &[]).await.json()["access_token"].as_str().unwrap().to_owned();
    browser.log_in("/hub/login?next=%2Fhub%2Fhome", "", ALICE_TOKEN).await;
    browser.get(&format!("/hub/login?token={ALICE_TOKEN}")).await;
    let user = hub.get("/user", &token).await.json();
    assert_eq!(user["session_id"], browser.cookie("jupyterhub-session-id").unwrap());
    browser.get("/hub/logout").await;
    assert_eq!(hub.get("/user", &token).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn another_persons_login_ends_what_the_one_before_left_in_the_browser() {
    let hub = TestHub::new().await;
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    let code = code(&mut browser, &server).await;
    let token = exchange(&hub, &server, &code, &[]).await.json()["access_token"].as_str().unwrap().to_owned();
    let asked = browser.get(&format!("/hub/login?token={BOB_TOKEN}")).await;
    browser.agree_to_login(&asked).await;
    assert_eq!(hub.get("/user", &token).await.status, StatusCode::FORBIDDEN);
}
