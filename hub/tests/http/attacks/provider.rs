//! A hostile provider, and people who come from a good one with something in mind (attack rows 28, 31 and 54).

use axum::http::{Method, StatusCode};
use hub_crds::config::{AuthConfig, OidcProvider};
use ring::hmac;
use serde_json::{Value, json};
use std::{sync::LazyLock, time::Duration};
use url::Url;

use super::log::Log;
use crate::{
    browser::{Answer, Browser},
    oidc::{change, hub, hub_with, me},
    provider::{Provider, Signer, encode},
    test_hub::{ALICE_TOKEN, TestHub},
};

/// Somebody's whom the provider does not know.
static ATTACKER: LazyLock<Signer> = LazyLock::new(|| Signer::new("k1"));
/// The public key of RFC 7515 appendix A.2.
const N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";

fn unsigned(message: &str) -> String {
    format!("{message}.")
}

/// With what is public as the secret.
fn by_hmac(message: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, N.as_bytes());
    format!("{message}.{}", encode(hmac::sign(&key, message.as_bytes())))
}

fn by_attacker(message: &str) -> String {
    ATTACKER.sign(message)
}

/// From now on tokens have this header and the attacker's signature.
fn sign_as_attacker(provider: &Provider, header: Value) {
    provider.says(|word| {
        word.header = header;
        word.sign = Some(by_attacker);
    });
}

fn assert_outside(answer: &Answer, what: &str) {
    assert!(answer.status.is_client_error(), "{what}: {}", answer.status);
    assert!(answer.set_cookies("jupyterhub-hub-login").is_empty(), "{what}");
}

#[tokio::test]
async fn no_token_of_a_hostile_provider_logs_anybody_in_row_31() {
    let provider = Provider::start().await;
    provider.says(|word| word.keys = vec![json!({"kty": "RSA", "kid": "r1", "n": N, "e": "AQAB"})]);
    let hub = hub(&provider).await;
    let good = provider.word().clone();
    let now = jiff::Timestamp::now().as_second();
    type Sign = Option<fn(&str) -> String>;
    let cases: Vec<(&str, Value, Value, Sign)> = vec![
        ("alg none", json!({"alg": "none"}), json!({}), Some(unsigned)),
        ("alg none with the key's id left out", json!({"alg": "none", "kid": null}), json!({}), Some(unsigned)),
        ("no signature", json!({}), json!({}), Some(unsigned)),
        ("HS256 with the RSA key", json!({"alg": "HS256", "kid": "r1"}), json!({}), Some(by_hmac)),
        ("HS256 said to be RS256", json!({"alg": "RS256", "kid": "r1"}), json!({}), Some(by_hmac)),
        ("another key of the same id", json!({}), json!({}), Some(by_attacker)),
        ("a key that is brought along", json!({"jwk": ATTACKER.jwk()}), json!({}), Some(by_attacker)),
        ("a key elsewhere", json!({"jku": "http://127.0.0.1:1/keys"}), json!({}), Some(by_attacker)),
        (
            "a certificate elsewhere",
            json!({"x5u": "http://127.0.0.1:1/c", "x5c": ["MII"]}),
            json!({}),
            Some(by_attacker),
        ),
        ("a key's id that is a path", json!({"kid": "../../../dev/null"}), json!({}), Some(by_attacker)),
        ("a key's id that is SQL", json!({"kid": "k1' UNION SELECT 'x"}), json!({}), Some(by_attacker)),
        ("what must be understood", json!({"crit": ["exp"]}), json!({}), None),
        ("another issuer", json!({}), json!({"iss": "https://evil.example"}), None),
        ("another client", json!({}), json!({"aud": "another-client"}), None),
        ("two clients, for the other one", json!({}), json!({"aud": ["the-hub", "other"], "azp": "other"}), None),
        ("another login's nonce", json!({}), json!({"nonce": "0".repeat(64)}), None),
        ("no nonce", json!({}), json!({"nonce": null}), None),
        ("expired", json!({}), json!({"exp": now - 120}), None),
        ("not issued yet", json!({}), json!({"iat": now + 3600}), None),
        ("no subject", json!({}), json!({"sub": null}), None),
        ("another subject than the user data's", json!({}), json!({"sub": "u2"}), None),
    ];
    for (what, header, claims, sign) in cases {
        provider.says(|word| (word.header, word.claims, word.sign) = (header, claims, sign));
        let answer = provider.log_in(&mut hub.browser(), "").await;
        assert_outside(&answer, what);
        assert!(answer.text.contains("You were not logged in"), "{what}: {}", answer.text);
    }
    provider.says(|word| *word = good);
    assert!(provider.log_in(&mut hub.browser(), "").await.status.is_redirection(), "a good one is let in");
}

/// However many tokens name unknown keys, the provider is asked for its keys now and then only.
#[tokio::test]
async fn unknown_keys_do_not_make_the_hub_ask_again_and_again_row_31() {
    let provider = Provider::start().await;
    let hub = hub(&provider).await;
    sign_as_attacker(&provider, json!({"kid": "none"}));
    for _ in 0..5 {
        assert_outside(&provider.log_in(&mut hub.browser(), "").await, "an unknown key");
        let token = provider.logout_token(&json!({}));
        hub.browser().post("/hub/oidc/backchannel-logout", &[("logout_token", &token)]).await;
    }
    assert_eq!(provider.word().keys_asked, 1);
}

#[tokio::test]
async fn names_that_pretend_or_are_not_vouched_for_stay_outside_row_31() {
    let provider = Provider::start().await;
    let mut auth = AuthConfig { allow_all: true, ..provider.auth() };
    change(&mut auth, |provider| provider.username_claim = "email".to_owned());
    let by_mail = hub_with(auth.clone()).await;
    for (user_data, what) in [
        (json!({"sub": "u1", "email": "ada@good.com"}), "an address that nobody verified"),
        (json!({"sub": "u1", "email": "ada@good.com", "email_verified": false}), "one that was not"),
        (json!({"sub": "u1", "email": "a@evil.com@good.com", "email_verified": true}), "two domains"),
        (json!({"sub": "u1", "email_verified": true}), "no address"),
    ] {
        // The verification of one address is none of another.
        let claims = json!({"email": "me@evil.com", "email_verified": true});
        let has_email = user_data.get("email").is_some();
        provider.says(|word| (word.user_data, word.claims) = (user_data, if has_email { claims } else { json!({}) }));
        assert_outside(&provider.log_in(&mut by_mail.browser(), "").await, what);
    }
    change(&mut auth, |provider| provider.username_claim = "preferred_username".to_owned());
    let by_name = hub_with(auth).await;
    for name in ["\u{430}lice", "\u{ff41}lice", "ali\u{200b}ce", "a/b", "..", " ada", "ada\n", "", "a@b@c"] {
        provider.says(|word| {
            (word.user_data, word.claims) = (json!({"sub": "u1", "preferred_username": name}), json!({}));
        });
        assert_outside(&provider.log_in(&mut by_name.browser(), "").await, name);
    }
    assert_eq!(
        by_name.app.database.count_users([jiff::Timestamp::now(); 3]).await.unwrap().total,
        1,
        "ada, of the list"
    );
}

#[tokio::test]
async fn a_user_is_one_subject_of_the_provider_whatever_it_is_called_row_31() {
    let provider = Provider::start().await;
    let hub = hub_with(AuthConfig { allow_all: true, ..provider.auth() }).await;
    let log = Log::capture();
    let mut browser = hub.browser();
    provider.log_in(&mut browser, "").await;
    // Somebody else gets the name at the provider, or takes it.
    provider.says(|word| word.user_data = json!({"sub": "u2", "preferred_username": "Ada"}));
    let answer = provider.log_in(&mut hub.browser(), "").await;
    assert_outside(&answer, "another subject");
    assert!(answer.text.contains("belongs to somebody else"), "{}", answer.text);
    let refused = r#"outcome="failure" reason="the name is another person's"#;
    let log = log.text();
    assert!(
        log.lines().any(|line| line.contains(r#"user="ada" address="unknown""#) && line.contains(refused)),
        "{log}"
    );
    // The person of before goes by another name now, and is who they were.
    provider.says(|word| word.user_data = json!({"sub": "u1", "preferred_username": "ada2"}));
    let mut renamed = hub.browser();
    provider.log_in(&mut renamed, "").await;
    assert_eq!(
        (me(&mut renamed).await["name"].clone(), me(&mut browser).await["name"].clone()),
        (json!("ada"), json!("ada"))
    );
}

#[tokio::test]
async fn a_login_is_finished_in_the_browser_that_began_it_and_once_row_28() {
    let provider = Provider::start().await;
    let hub = hub(&provider).await;
    let begin = async |browser: &mut Browser<'_>| {
        let there = browser.get("/hub/oauth_login").await;
        let cookie = there.set_cookies("jupyterhub-oidc-browser")[0].to_owned();
        assert!(cookie.contains("; HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
        provider.approve(there.location())
    };
    // An attacker's own answer in a victim's browser: login CSRF.
    let attackers = begin(&mut hub.browser()).await;
    let (mut fresh, mut begun) = (hub.browser(), hub.browser());
    begin(&mut begun).await;
    for victim in [&mut fresh, &mut begun] {
        let answer = victim.get(&attackers).await;
        assert_outside(&answer, "another browser's answer");
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    }
    // A victim's code with an attacker's state, from the attacker's browser.
    let mut attacker = hub.browser();
    let own = begin(&mut attacker).await;
    let stolen = begin(&mut hub.browser()).await;
    let code = |path: &str| path.split_once("code=").unwrap().1.split('&').next().unwrap().to_owned();
    let mixed = own.replace(&code(&own), &code(&stolen));
    assert_outside(&attacker.get(&mixed).await, "a stolen code: neither verifier nor nonce fit");
    // Fields that come twice, no state, no code.
    for change in ["&code=other", "&state=x", "&iss=a&iss=b"] {
        let mut browser = hub.browser();
        let back = begin(&mut browser).await;
        assert_outside(&browser.get(&format!("{back}{change}")).await, change);
    }
    assert_outside(&begun.get("/hub/oauth_callback?code=x").await, "no state");
    // The same answer again, with every cookie of then, at a provider that takes codes twice.
    provider.says(|word| word.repeats = true);
    let mut browser = hub.browser();
    let back = begin(&mut browser).await;
    let mut copy = browser.clone();
    assert!(browser.get(&back).await.status.is_redirection());
    assert_outside(&copy.get(&back).await, "a replay");
}

#[tokio::test]
async fn the_answer_of_another_provider_is_not_taken_to_this_one_row_28() {
    let provider = Provider::start().await;
    let hub = hub(&provider).await;
    let mut browser = hub.browser();
    let there = browser.get("/hub/oauth_login").await;
    let back = provider.approve(there.location());
    let answer = browser.get(&format!("{back}&iss=https%3A%2F%2Fevil.example")).await;
    assert_outside(&answer, "mix-up");
    // A provider that says it names itself always does.
    let silent = Provider::start().await;
    silent.says(|word| word.metadata = json!({"authorization_response_iss_parameter_supported": true}));
    let hub = self::hub(&silent).await;
    assert_outside(&silent.log_in(&mut hub.browser(), "").await, "an answer of nobody");
}

#[tokio::test]
async fn the_providers_words_are_escaped_and_lead_nowhere_row_42() {
    let provider = Provider::start().await;
    let hub = hub(&provider).await;
    let mut browser = hub.browser();
    let there = browser.get("/hub/oauth_login?next=https%3A%2F%2Fevil.example%2F").await;
    let state = Url::parse(there.location()).unwrap();
    let state = state.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    let state: String = url::form_urlencoded::byte_serialize(state.as_bytes()).collect();
    let words = "%3Cscript%3Ealert(1)%3C%2Fscript%3E%0D%0Ax:y";
    let answer =
        browser.get(&format!("/hub/oauth_callback?error=access_denied&error_description={words}&state={state}")).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.text.contains("&#60;script&#62;") && !answer.text.contains("<script>"), "{}", answer.text);
    for next in ["https://evil.example/", "//evil.example", "javascript:alert(1)"] {
        let answer = provider.log_in(&mut hub.browser(), next).await;
        assert_eq!(answer.location(), "/hub/spawn", "{next}");
    }
}

#[tokio::test]
async fn logout_tokens_of_others_and_used_ones_end_nothing_row_31() {
    let provider = Provider::start().await;
    let hub = hub(&provider).await;
    let mut browser = hub.browser();
    provider.log_in(&mut browser, "").await;
    let post = async |token: String| {
        hub.browser().post("/hub/oidc/backchannel-logout", &[("logout_token", &token)]).await.status
    };
    for changes in [
        json!({"iss": "https://evil.example"}),
        json!({"aud": "another-client"}),
        json!({"exp": 1}),
        json!({"events": null}),
        json!({"nonce": "n"}),
        json!({"sub": null}),
        json!({"jti": null}),
    ] {
        assert_eq!(post(provider.logout_token(&changes)).await, StatusCode::BAD_REQUEST, "{changes}");
    }
    assert_eq!(post(String::new()).await, StatusCode::BAD_REQUEST);
    let good = provider.logout_token(&json!({"sub": "u9"}));
    assert_eq!([post(good.clone()).await, post(good).await], [StatusCode::OK, StatusCode::BAD_REQUEST]);
    provider.says(|word| word.sign = Some(by_attacker));
    assert_eq!(post(provider.logout_token(&json!({}))).await, StatusCode::BAD_REQUEST);
    assert_eq!(me(&mut browser).await["name"], "ada");
}

#[tokio::test]
async fn a_google_account_is_of_the_domain_that_google_says_row_31() {
    let provider = Provider::start().await;
    let mut auth = AuthConfig { allow_all: true, ..provider.auth() };
    change(&mut auth, |settings| {
        let google = OidcProvider { hosted_domains: vec!["good.com".to_owned()], ..OidcProvider::google("the-hub") };
        *settings = OidcProvider { issuer: settings.issuer.clone(), ..google };
    });
    let hub: TestHub = hub_with(auth).await;
    for (hd, is_in) in [(json!("good.com"), true), (json!("evil.com"), false), (json!(null), false)] {
        provider.says(|word| {
            word.user_data = json!({"sub": "u1", "email": "ada@good.com", "email_verified": true, "hd": hd});
        });
        let answer = provider.log_in(&mut hub.browser(), "").await;
        assert_eq!(answer.status.is_redirection(), is_in, "{hd}");
    }
}

/// Addresses that the hub asks are an administrator's: of services, of the proxy, and of the provider. Where others can write one,
/// nobody is asked.
#[tokio::test]
async fn nobody_but_an_administrator_names_an_address_that_the_hub_asks_row_54() {
    let trap = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", trap.local_addr().unwrap());
    let hub = TestHub::new().await;
    for (method, path, body) in
        [(Method::POST, "/services/mine", json!({"url": url})), (Method::PATCH, "/proxy", json!({"api_url": url}))]
    {
        assert_eq!(hub.api(method, path, ALICE_TOKEN, Some(body)).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    hub.browser().get(&format!("/hub/login?next={url}")).await;
    let provider = Provider::start().await;
    let hub = self::hub(&provider).await;
    for header in [json!({"jku": url}), json!({"x5u": url}), json!({"kid": url})] {
        sign_as_attacker(&provider, header);
        assert_outside(&provider.log_in(&mut hub.browser(), &url).await, "a token that points elsewhere");
        let token = provider.logout_token(&json!({"sub": url}));
        hub.browser().post("/hub/oidc/backchannel-logout", &[("logout_token", &token)]).await;
    }
    provider.says(|word| (word.header, word.sign, word.user_data["picture"]) = (json!({}), None, json!(url)));
    provider.log_in(&mut hub.browser(), "").await;
    let asked = tokio::time::timeout(Duration::from_millis(200), trap.accept()).await;
    assert!(asked.is_err(), "somebody was asked");
}
