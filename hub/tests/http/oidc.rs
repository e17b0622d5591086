//! Login at a provider: names, groups, administrators, refreshes and logouts.

use axum::http::{Method, StatusCode};
use hub_crds::config::{AuthConfig, AuthenticatorConfig, OidcProvider};
use serde_json::{Value, json};
use std::{fs, time::Duration};

use crate::{
    browser::Browser,
    provider::Provider,
    test_hub::{CRYPT_KEYS, Settings, TestHub},
};

pub(crate) async fn hub(provider: &Provider) -> TestHub {
    hub_with(provider.auth()).await
}

pub(crate) async fn hub_with(auth: AuthConfig) -> TestHub {
    TestHub::with(Settings { auth: Some(auth), ..Settings::default() }).await
}

/// The hub keeps `auth_state`, and asks the provider again after `seconds`.
async fn hub_that_asks_again(provider: &Provider, seconds: u32) -> TestHub {
    let mut auth = AuthConfig { enable_auth_state: true, manage_groups: true, ..provider.auth() };
    change(&mut auth, |provider| {
        provider.refresh_seconds = seconds;
        provider.admin_groups = vec!["ops".to_owned()];
    });
    let settings = |auth: &AuthConfig| Settings { auth: Some(auth.clone()), ..Settings::default() };
    let hub = TestHub::with(settings(&auth)).await;
    let file = hub.path(CRYPT_KEYS);
    hub.restarted_after(settings(&auth), || {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "6b".repeat(32)).unwrap();
    })
    .await
}

pub(crate) fn change(auth: &mut AuthConfig, change: impl FnOnce(&mut OidcProvider)) {
    let AuthenticatorConfig::Oidc { provider, .. } = &mut auth.authenticator else { panic!("a provider") };
    change(provider);
}

/// What the hub says of whoever is logged in in a browser.
pub(crate) async fn me(browser: &mut Browser<'_>) -> Value {
    let answer = browser.get("/hub/api/user").await;
    if answer.status == StatusCode::OK { answer.json() } else { Value::Null }
}

#[tokio::test]
async fn a_person_logs_in_at_the_provider_and_comes_back_to_where_they_wanted() {
    let provider = Provider::start().await;
    let hub = hub(&provider).await;
    let mut browser = hub.browser();
    let page = browser.get("/hub/login?next=%2Fhub%2Ftoken").await;
    let button = r#"href="/hub/oauth_login?next=%2Fhub%2Ftoken">Sign in with Test &#60;Login&#62;</a>"#;
    assert!(page.text.contains(button), "{}", page.text);
    assert!(!page.text.contains("password_input"), "{}", page.text);
    let answer = provider.log_in(&mut browser, "/hub/token?a=1").await;
    assert_eq!((answer.status, answer.location()), (StatusCode::FOUND, "/hub/token?a=1"));
    let me = me(&mut browser).await;
    assert_eq!((&me["name"], &me["admin"]), (&json!("ada"), &json!(false)));
    // Once they are there the way to the provider leads on.
    assert_eq!(browser.get("/hub/oauth_login").await.location(), "/hub/spawn");
    // A form with a name and a password is nobody's.
    let answer = hub.browser().log_in("/hub/login", "ada", "ada").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}

/// A redirect would go on as the provider's own request, and `/hub/spawn` would ask whether the person meant it.
#[tokio::test]
async fn a_page_of_ours_leads_on_where_the_browser_comes_from_another_site() {
    let provider = Provider::start().await;
    let hub = hub(&provider).await;
    let mut browser = hub.browser();
    let there = browser.get("/hub/oauth_login").await;
    let back = provider.approve(there.location());
    let headers = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
    let answer = browser.request(Method::GET, &back, &headers, None).await;
    assert_eq!((answer.status, answer.header("refresh")), (StatusCode::OK, "0; url=/hub/spawn"));
    assert!(answer.text.contains(r#"href="/hub/spawn">Continue"#), "{}", answer.text);
    assert_eq!(me(&mut browser).await["name"], "ada");
}

#[tokio::test]
async fn two_tabs_log_in_side_by_side() {
    let provider = Provider::start().await;
    let hub = hub(&provider).await;
    let mut browser = hub.browser();
    let mut ways = Vec::new();
    for _ in 0..2 {
        let there = browser.get("/hub/oauth_login?next=%2Fhub%2Fhome").await;
        ways.push(provider.approve(there.location()));
    }
    assert_eq!(browser.get(&ways[1]).await.location(), "/hub/home");
    assert_eq!(browser.get(&ways[0]).await.location(), "/hub/spawn", "the other is logged in already");
}

#[tokio::test]
async fn the_login_page_leads_on_at_once_if_the_settings_say_so_but_not_after_a_logout() {
    let provider = Provider::start().await;
    let hub = hub_with(AuthConfig { auto_login: true, ..provider.auth() }).await;
    let mut browser = hub.browser();
    let answer = browser.get("/hub/login?next=%2Fhub%2Fhome").await;
    assert_eq!(answer.location(), "/hub/oauth_login?next=%2Fhub%2Fhome");
    provider.log_in(&mut browser, "").await;
    let out = browser.get("/hub/logout").await;
    let url = url::Url::parse(out.location()).unwrap();
    assert!(url.as_str().starts_with(&format!("{}/logout?client_id=the-hub", provider.url)), "{url}");
    let back = url.query_pairs().find(|(name, _)| name == "post_logout_redirect_uri").unwrap().1.into_owned();
    assert_eq!(back, "http://hub.test/hub/logout");
    assert_eq!(me(&mut browser).await, Value::Null);
    let page = browser.get("/hub/logout").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains(r#"href="/hub/oauth_login">"#), "{}", page.text);
    // What fails is told, and does not go round in circles.
    let failed = browser.get("/hub/oauth_callback?error=access_denied&state=x").await;
    assert_eq!(failed.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn groups_let_people_in_and_make_administrators() {
    let provider = Provider::start().await;
    let mut auth = AuthConfig { allowed_users: vec![], allowed_groups: vec!["staff".to_owned()], ..provider.auth() };
    change(&mut auth, |provider| provider.admin_groups = vec!["ops".to_owned()]);
    let hub = hub_with(auth).await;
    let mut browser = hub.browser();
    assert!(provider.log_in(&mut browser, "").await.status.is_redirection());
    assert_eq!(me(&mut browser).await["admin"], false);
    assert_eq!(me(&mut browser).await["groups"], json!([]), "the hub's own groups are another matter");
    provider.says(|word| word.user_data["groups"] = json!(["ops"]));
    provider.log_in(&mut hub.browser(), "").await;
    assert_eq!(me(&mut browser).await["admin"], true);
    provider.says(|word| word.user_data["groups"] = json!(["staff"]));
    provider.log_in(&mut hub.browser(), "").await;
    assert_eq!(me(&mut browser).await["admin"], false);
    // Out of every group: no login, and the ones that were there end.
    provider.says(|word| word.user_data["groups"] = json!(["Staff"]));
    assert_eq!(provider.log_in(&mut hub.browser(), "").await.status, StatusCode::FORBIDDEN);
    assert_eq!(me(&mut browser).await, Value::Null);
}

#[tokio::test]
async fn the_hubs_groups_are_the_providers_if_the_settings_say_so() {
    let provider = Provider::start().await;
    let hub = hub_with(AuthConfig { manage_groups: true, admin_users: vec!["ada".into()], ..provider.auth() }).await;
    let mut browser = hub.browser();
    provider.log_in(&mut browser, "").await;
    assert_eq!(me(&mut browser).await["groups"], json!(["staff"]));
    let xsrf = browser.cookie("_xsrf").unwrap_or_default().to_owned();
    let page = browser.get("/hub/home").await;
    assert_eq!(page.status, StatusCode::OK);
    let xsrf = browser.cookie("_xsrf").map_or(xsrf, str::to_owned);
    let headers = [("content-type", "application/json"), ("x-xsrftoken", xsrf.as_str())];
    let members = Some(json!({"users": ["ada"]}).to_string());
    let answer = browser.request(Method::POST, "/hub/api/groups/staff/users", &headers, members).await;
    assert_eq!(
        (answer.status, answer.json()["message"].as_str()),
        (StatusCode::BAD_REQUEST, Some("Group management via the API is disabled"))
    );
    provider.says(|word| word.user_data["groups"] = json!(["ops", "new"]));
    provider.log_in(&mut hub.browser(), "").await;
    assert_eq!(me(&mut browser).await["groups"], json!(["new", "ops"]));
}

#[tokio::test]
async fn what_the_provider_gave_is_kept_encrypted_in_oauthenticators_names() {
    let provider = Provider::start().await;
    provider.says(|word| word.user_data["groups"] = json!(["ops"]));
    let hub = hub_that_asks_again(&provider, 300).await;
    let mut browser = hub.browser();
    provider.log_in(&mut browser, "").await;
    let state = browser.get("/hub/api/users/ada").await.json()["auth_state"].clone();
    assert_eq!(state["access_token"], "the-access-token");
    assert_eq!(state["refresh_token"], "the-refresh-token-0");
    assert_eq!((&state["scope"], &state["oauth_user"]["sub"]), (&json!(["openid", "profile"]), &json!("u1")));
    assert_eq!(state["token_response"]["token_type"], "Bearer");
    let stored = hub.stored().await;
    assert!(!stored.iter().any(|value| value.contains("the-access-token") || value.contains("the-refresh-token")));
    let out = browser.get("/hub/logout").await;
    let hint = url::Url::parse(out.location()).unwrap();
    let hint = hint.query_pairs().find(|(name, _)| name == "id_token_hint").unwrap().1.into_owned();
    assert_eq!(hint, state["id_token"].as_str().unwrap());
}

#[tokio::test]
async fn a_refresh_takes_groups_along_and_a_provider_that_is_down_logs_nobody_out() {
    let provider = Provider::start().await;
    let hub = hub_that_asks_again(&provider, 1).await;
    let mut browser = hub.browser();
    provider.log_in(&mut browser, "").await;
    let later = || tokio::time::sleep(Duration::from_millis(1100));
    provider.says(|word| word.user_data["groups"] = json!(["ops"]));
    assert_eq!(me(&mut browser).await["admin"], false, "it is not time yet");
    later().await;
    let refreshed = me(&mut browser).await;
    assert_eq!((&refreshed["admin"], &refreshed["groups"]), (&json!(true), &json!(["ops"])));
    assert_eq!(provider.word().refreshed, 1);
    // Each refresh token works once: the newest is the one that is kept.
    later().await;
    me(&mut browser).await;
    assert_eq!(provider.word().refreshed, 2);

    provider.says(|word| word.is_down = true);
    later().await;
    assert_eq!(me(&mut browser).await["name"], "ada");
    provider.says(|word| word.is_down = false);

    let server = hub.api(Method::POST, "/users/ada/tokens", "", None).await;
    assert_eq!(server.status, StatusCode::FORBIDDEN);
    provider.says(|word| word.denies = true);
    later().await;
    assert_eq!(me(&mut browser).await, Value::Null);
    assert_eq!(browser.get("/hub/home").await.location(), "/hub/login?next=%2Fhub%2Fhome");
}

#[tokio::test]
async fn a_refresh_that_is_about_somebody_else_ends_the_session_row_31() {
    let provider = Provider::start().await;
    let hub = hub_that_asks_again(&provider, 1).await;
    let mut browser = hub.browser();
    provider.log_in(&mut browser, "").await;
    provider.says(|word| word.user_data["sub"] = json!("u2"));
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(me(&mut browser).await, Value::Null);
}

#[tokio::test]
async fn the_provider_ends_sessions_by_its_back_channel() {
    let provider = Provider::start().await;
    let hub = hub(&provider).await;
    let post = async |token: &str| {
        let answer = hub.browser().post("/hub/oidc/backchannel-logout", &[("logout_token", token)]).await;
        assert_eq!(answer.header("cache-control"), "no-store");
        answer.status
    };
    // One session of the provider's, and not another one.
    let (mut first, mut second) = (hub.browser(), hub.browser());
    provider.log_in(&mut first, "").await;
    provider.says(|word| word.claims = json!({"sid": "session-2"}));
    provider.log_in(&mut second, "").await;
    assert_eq!(post(&provider.logout_token(&json!({"sid": "session-1"}))).await, StatusCode::OK);
    assert_eq!((me(&mut first).await, me(&mut second).await["name"].clone()), (Value::Null, json!("ada")));
    // All of a person's, and nobody else's.
    assert_eq!(post(&provider.logout_token(&json!({"sub": "u9"}))).await, StatusCode::OK);
    assert_eq!(me(&mut second).await["name"], "ada");
    assert_eq!(post(&provider.logout_token(&json!({}))).await, StatusCode::OK);
    assert_eq!(me(&mut second).await, Value::Null);
}

#[tokio::test]
async fn github_is_asked_for_organisations_and_teams() {
    let provider = Provider::start().await;
    provider.says(|word| word.user_data = json!({"id": 583_231, "login": "Octocat"}));
    let mut auth = provider.auth_by_endpoints(OidcProvider::github(""));
    auth.allowed_groups = vec!["jupyter:docs".to_owned()];
    auth.manage_groups = true;
    let hub = hub_with(auth.clone()).await;
    let mut browser = hub.browser();
    assert!(provider.log_in(&mut browser, "").await.status.is_redirection());
    let me = me(&mut browser).await;
    assert_eq!((&me["name"], &me["groups"]), (&json!("octocat"), &json!(["jupyter", "jupyter:docs"])));
    // There is no page for a logout.
    assert_eq!(browser.get("/hub/logout").await.location(), "/hub/login");
    // Without the scope nobody is in any group.
    change(&mut auth, |provider| provider.scopes = vec!["user:email".to_owned()]);
    let hub = hub_with(auth).await;
    assert_eq!(provider.log_in(&mut hub.browser(), "").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_hub_without_a_provider_has_no_such_pages() {
    let hub = TestHub::new().await;
    for path in ["/hub/oauth_login", "/hub/oauth_callback?code=a&state=b"] {
        assert_eq!(hub.browser().get(path).await.status, StatusCode::NOT_FOUND);
    }
    let answer = hub.browser().post("/hub/oidc/backchannel-logout", &[("logout_token", "x")]).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_provider_that_is_down_or_another_ones_is_told_and_nothing_breaks() {
    let provider = Provider::start().await;
    provider.says(|word| word.is_down = true);
    let hub = hub(&provider).await;
    let answer = hub.browser().get("/hub/oauth_login").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.text.contains("The provider does not answer"), "{}", answer.text);
    provider.says(|word| (word.is_down, word.metadata) = (false, json!({"issuer": "https://evil.example"})));
    tokio::time::sleep(Duration::from_secs(3)).await;
    let answer = hub.browser().get("/hub/oauth_login").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert!(!answer.text.contains("evil.example"), "{}", answer.text);
}
