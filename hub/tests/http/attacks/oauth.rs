//! OAuth: where codes go, who exchanges them, and how.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use hub_crds::ClientRules;
use std::collections::BTreeMap;
use url::form_urlencoded;

use super::log::Log;
use crate::{
    oauth::{Environment, authorize, code, exchange},
    test_hub::{ALICE_TOKEN, BOB_TOKEN, Settings, TestHub},
};

fn arguments(location: &str) -> BTreeMap<String, String> {
    let query = location.split_once('?').map_or("", |(_, query)| query);
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

#[tokio::test]
async fn a_redirect_address_that_only_looks_right_is_told_to_the_person_attack_row_26() {
    let hub = TestHub::new().await;
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    browser.get("/hub/home").await;
    let own = "/user/alice/oauth_callback";
    let registered = "http://localhost:8888/oauth_callback";
    for (registered, given) in [
        (own, "/user/alice/oauth_callbac"),
        (own, "/user/alice/oauth_callbackk"),
        (own, "/user/alice/oauth_callback/"),
        (own, "/user/alice/oauth_callback?x=1"),
        (own, "/user/alice/oauth_callback#x"),
        (own, "/user/alice/oauth_callback "),
        (own, "/user/alice/../alice/oauth_callback"),
        (own, "/user/Alice/oauth_callback"),
        (own, "/user%2Falice/oauth_callback"),
        (own, "/user/%61lice/oauth_callback"),
        (own, "//evil.example/user/alice/oauth_callback"),
        (own, "http://hub.test/user/alice/oauth_callback"),
        (own, "javascript:alert(1)"),
        (registered, "http://127.0.0.1:8888/oauth_callback"),
        (registered, "http://localhost/oauth_callback"),
        (registered, "http://LOCALHOST:8888/oauth_callback"),
        (registered, "https://localhost:8888/oauth_callback"),
        (registered, "http://a@localhost:8888/oauth_callback"),
        (registered, "http://localhost:8888@evil.example/oauth_callback"),
        (registered, "http://localhost:8888.evil.example/oauth_callback"),
        (registered, "http://localhost:8888/oauth_callback\r\nx: y"),
        (registered, "/oauth_callback"),
    ] {
        hub.sql(&format!("UPDATE oauth_clients SET redirect_uri = '{registered}' WHERE secret <> ''")).await;
        let address = authorize(&server, &[("redirect_uri", given)]);
        for answer in [browser.get(&address).await, browser.submit(&address, &[]).await] {
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{given}");
            assert_eq!(answer.header("location"), "", "{given}");
            assert!(answer.text.contains("Mismatching redirect URI."), "{given}: {}", answer.text);
        }
    }
    // What is registered works, so that the test above says something.
    let answer = browser.get(&authorize(&server, &[("redirect_uri", registered)])).await;
    assert!(answer.location().starts_with("http://localhost:8888/oauth_callback?code="));
}

#[tokio::test]
async fn a_code_that_expired_or_was_tried_wrongly_is_of_no_use_attack_row_27() {
    let hub = TestHub::new().await;
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    let expired = code(&mut browser, &server).await;
    hub.sql("UPDATE oauth_codes SET expires_at = expires_at - 3600").await;
    let answer = exchange(&hub, &server, &expired, &[]).await;
    assert_eq!((answer.status, answer.json()["error"].as_str()), (StatusCode::BAD_REQUEST, Some("invalid_grant")));

    // One wrong guess uses it up, so that nobody guesses twice.
    let wrong = "A".repeat(43);
    for change in [("code_verifier", wrong.as_str()), ("code_verifier", ""), ("redirect_uri", "/elsewhere")] {
        let guessed = code(&mut browser, &server).await;
        assert_eq!(exchange(&hub, &server, &guessed, &[change]).await.status, StatusCode::BAD_REQUEST, "{change:?}");
        let right = exchange(&hub, &server, &guessed, &[]).await;
        assert_eq!((right.status, right.json()["error"].as_str()), (StatusCode::BAD_REQUEST, Some("invalid_grant")));
    }
}

/// Without the setting as upstream: a challenge is optional, and may be `plain`.
#[tokio::test]
async fn a_code_needs_pkce_with_s256_where_the_settings_say_so_attack_row_27() {
    let verifier = "v".repeat(43);
    let ways: [(&[(&str, &str)], &str); 4] = [
        (&[("code_challenge", ""), ("code_challenge_method", "")], "Code challenge required."),
        (&[("code_challenge", ""), ("code_challenge_method", "S256")], "Code challenge required."),
        (&[("code_challenge", &verifier), ("code_challenge_method", "plain")], "Transform algorithm not supported."),
        (&[("code_challenge", &verifier), ("code_challenge_method", "")], "Transform algorithm not supported."),
    ];
    for require_pkce in [false, true] {
        let clients = ClientRules { require_pkce, ..ClientRules::default() };
        let hub = TestHub::with(Settings { clients, ..Settings::default() }).await;
        let server = hub.start_server("alice", ALICE_TOKEN).await;
        let mut browser = hub.logged_in(ALICE_TOKEN).await;
        for (changes, description) in ways {
            let answer = browser.get(&authorize(&server, changes)).await;
            let told = arguments(answer.location());
            assert_eq!(told["state"], "S");
            if require_pkce {
                assert_eq!(
                    (told["error"].as_str(), told["error_description"].as_str()),
                    ("invalid_request", description)
                );
                assert!(!told.contains_key("code"));
            } else {
                let exchanged = exchange(&hub, &server, &told["code"], &[("code_verifier", &verifier)]).await;
                assert_eq!(exchanged.status, StatusCode::OK, "{changes:?} {}", exchanged.text);
            }
        }
        let strong = code(&mut browser, &server).await;
        assert_eq!(exchange(&hub, &server, &strong, &[]).await.status, StatusCode::OK);
    }
}

/// A client recognises the answer to its own request by the state, which the hub neither loses nor reads.
#[tokio::test]
async fn a_state_comes_back_as_it_was_and_nothing_else_does_attack_row_28() {
    let hub = TestHub::new().await;
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    for state in ["a b&c=d", "x\r\nset-cookie: a=b", "\"<script>", "é\u{1f600}", "code=stolen&state=other"] {
        let answer = browser.get(&authorize(&server, &[("state", state), ("iss", "https://evil.example/")])).await;
        let told = arguments(answer.location());
        assert_eq!(told["state"], state);
        assert_eq!(told.keys().collect::<Vec<_>>(), ["code", "state"]);
        assert_eq!(answer.header("set-cookie"), "");
    }
    let without = arguments(browser.get(&authorize(&server, &[("state", "")])).await.location());
    assert_eq!(without.keys().collect::<Vec<_>>(), ["code"]);
    let twice = format!("{}&state=other", authorize(&server, &[]));
    assert_eq!(browser.get(&twice).await.status, StatusCode::BAD_REQUEST);
}

/// A link on another site holds the attacker's own token: whoever follows it would work in the attacker's name.
#[tokio::test]
async fn another_site_logs_nobody_in_by_a_link_attack_row_28() {
    let hub = TestHub::new().await;
    let link = format!("/hub/login?token={BOB_TOKEN}");
    for (site, mode) in [("cross-site", "navigate"), ("same-site", "navigate"), ("same-origin", "no-cors")] {
        let mut browser = hub.logged_in(ALICE_TOKEN).await;
        browser.headers.extend([("sec-fetch-site", site.to_owned()), ("sec-fetch-mode", mode.to_owned())]);
        let asked = browser.get(&link).await;
        assert_eq!(asked.status, StatusCode::OK, "{site}");
        assert!(asked.text.contains("Log in as bob?"), "{}", asked.text);
        assert_eq!(asked.header("referrer-policy"), "no-referrer");
        browser.headers.truncate(2);
        assert!(browser.get("/hub/home").await.text.contains("<span>alice</span>"), "{site}");
        // Nor does a page of another user's server, which has the hub's origin: it can't read what the form needs.
        browser.headers.extend([("sec-fetch-site", "same-origin".into()), ("sec-fetch-mode", "navigate".into())]);
        assert_eq!(browser.get(&link).await.status, StatusCode::OK);
        assert_eq!(browser.clone().post("/hub/login", &[("token", BOB_TOKEN)]).await.status, StatusCode::FORBIDDEN);
        // A person who agrees presses the button of the hub's own page.
        assert_eq!(browser.agree_to_login(&asked).await.location(), "/hub/login");
        assert!(browser.get("/hub/home").await.text.contains("<span>bob</span>"), "{site}");
    }
}

#[tokio::test]
async fn no_other_flow_is_spoken_attack_row_29() {
    let hub = TestHub::new().await;
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    for kind in ["token", "id_token", "code token", "code id_token", "none", "CODE", "code "] {
        let answer = browser.get(&authorize(&server, &[("response_type", kind)])).await;
        let told = arguments(answer.location());
        assert_eq!(told["error"], "unsupported_response_type", "{kind}");
        assert!(!told.contains_key("code") && !answer.location().contains("access_token"), "{kind}");
    }
    for kind in ["password", "client_credentials", "refresh_token", "implicit", "AUTHORIZATION_CODE", ""] {
        let code = code(&mut browser, &server).await;
        let changes = [("grant_type", kind), ("username", "alice"), ("password", ALICE_TOKEN)];
        let answer = exchange(&hub, &server, &code, &changes).await;
        assert_eq!(
            (answer.status, answer.json()["error"].as_str()),
            (StatusCode::BAD_REQUEST, Some("unsupported_grant_type"))
        );
    }
}

/// The token endpoint, with a form, an address and an `Authorization` header of one's own.
async fn exchange_by(
    hub: &TestHub,
    server: &Environment,
    code: &str,
    query: &str,
    authorization: &str,
    secret: Option<&str>,
) -> (StatusCode, String) {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("client_id", &server["JUPYTERHUB_CLIENT_ID"]).append_pair("grant_type", "authorization_code");
    form.append_pair("code", code).append_pair("code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    form.append_pair("redirect_uri", &server["JUPYTERHUB_OAUTH_CALLBACK_URL"]);
    if let Some(secret) = secret {
        form.append_pair("client_secret", secret);
    }
    let mut request = Request::post(format!("/hub/api/oauth2/token{query}"))
        .header("content-type", "application/x-www-form-urlencoded");
    if !authorization.is_empty() {
        request = request.header("authorization", authorization);
    }
    let answer = hub.send(request.body(Body::from(form.finish())).unwrap()).await;
    (answer.status, answer.json()["error"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_client_authenticates_by_its_form_alone_and_its_secret_is_not_logged_attack_row_30() {
    let hub = TestHub::new().await;
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    let log = Log::capture();
    let secret = server["JUPYTERHUB_API_TOKEN"].as_str();
    let in_query = format!("?client_secret={secret}");
    // The text is base64 of nothing that matters: whatever it holds, it isn't read.
    let basic = "Basic anVweXRlcmh1YjpzZWNyZXQ=";
    let by_token = format!("token {secret}");
    let (unauthorized, bad) = (StatusCode::UNAUTHORIZED, StatusCode::BAD_REQUEST);
    for (query, authorization, in_form, status, error) in [
        (in_query.as_str(), "", None, unauthorized, "invalid_client"),
        ("", basic, None, unauthorized, "invalid_client"),
        ("", basic, Some(secret), bad, "invalid_request"),
        ("", by_token.as_str(), None, unauthorized, "invalid_client"),
        ("", "", Some("a-wrong-secret-of-a-client"), unauthorized, "invalid_client"),
        ("", by_token.as_str(), Some(secret), StatusCode::OK, ""),
    ] {
        let code = code(&mut browser, &server).await;
        let answer = exchange_by(&hub, &server, &code, query, authorization, in_form).await;
        assert_eq!(answer, (status, error.to_owned()), "{query} {authorization} {in_form:?}");
    }
    let long = "x".repeat(500_000);
    assert_eq!(exchange(&hub, &server, "c", &[("client_id", &long)]).await.status, unauthorized);
    let text = log.text();
    assert!(text.contains("refused an OAuth token") && text.contains("client_secret=redacted"), "{text}");
    assert!(!text.contains(secret) && !text.contains("a-wrong-secret-of-a-client"), "{text}");
    assert!(log.lines().iter().all(|line| line.len() < 1024));
}
