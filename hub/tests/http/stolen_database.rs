//! Whoever reads the database gains nothing to log in with (S33).

use axum::http::{Method, StatusCode};
use hub::login_links::{Wish, make};
use serde_json::{Value, json};
use std::collections::BTreeSet;

use crate::{
    oauth::{code, exchange},
    test_hub::{ADMIN_TOKEN, ALICE_TOKEN, BOB_TOKEN, Settings, TestHub},
};

/// Every value of every row of every table, and every leaf of those that are JSON.
async fn values(hub: &TestHub) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for value in hub.stored().await {
        if let Ok(json) = serde_json::from_str(&value) {
            add_leaves(&json, &mut found);
        }
        found.extend(value.split(':').map(str::to_owned));
        found.insert(value);
    }
    found
}

fn add_leaves(json: &Value, found: &mut BTreeSet<String>) {
    match json {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            found.insert(key.clone());
            add_leaves(value, found);
        }),
        Value::Array(items) => items.iter().for_each(|item| add_leaves(item, found)),
        Value::String(text) => drop(found.insert(text.clone())),
        other => drop(found.insert(other.to_string())),
    }
}

#[tokio::test]
async fn no_value_of_the_database_opens_anything_s33() {
    let hub = TestHub::with(Settings::patient()).await;
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    let used = code(&mut browser, &server).await;
    let session_token = exchange(&hub, &server, &used, &[]).await.json()["access_token"].clone();
    let waiting = code(&mut browser, &server).await;
    let made = hub.api(Method::POST, "/users/alice/tokens", ALICE_TOKEN, None).await.json()["token"].clone();
    let shared = hub.api(Method::POST, "/share-codes/alice/", ADMIN_TOKEN, Some(json!({}))).await;
    let wish = Wish { user: Some("alice".into()), seconds: 600 };
    let link = make(&hub.app, &wish, "a test").await.unwrap().url;
    // What opens something, to see that the trials below would notice.
    for token in [&session_token, &made] {
        assert_eq!(hub.get("/user", token.as_str().unwrap()).await.status, StatusCode::OK);
    }

    let values = values(&hub).await;
    assert!(values.len() > 80 && values.contains("sha512") && values.contains("alice"), "{values:?}");
    for value in &values {
        let printable = !value.is_empty() && value.chars().all(|c| c.is_ascii_graphic());
        if printable {
            assert_eq!(hub.get("/user", value).await.status, StatusCode::FORBIDDEN, "bearer {value}");
            let mut thief = hub.browser();
            for (name, path) in [("jupyterhub-hub-login", "/hub/"), ("jupyterhub-session-id", "/"), ("_xsrf", "/hub/")]
            {
                thief.set_cookie(name, value, path);
            }
            let home = thief.get("/hub/home").await;
            assert!(home.location().starts_with("/hub/login"), "cookie {value}");
        }
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("token", value).finish();
        let by_address = hub.browser().get(&format!("/hub/login?{query}")).await;
        assert_eq!(by_address.status, StatusCode::FORBIDDEN, "?token={value}");
        let by_form = hub.browser().log_in("/hub/login", "alice", value).await;
        assert_eq!(by_form.status, StatusCode::FORBIDDEN, "password {value}");
        let as_code = exchange(&hub, &server, value, &[]).await;
        assert_eq!(as_code.status, StatusCode::BAD_REQUEST, "code {value}");
        let as_secret = exchange(&hub, &server, "no code", &[("client_secret", value)]).await;
        assert_ne!(as_secret.status, StatusCode::OK, "client secret {value}");
    }
    // The trials used nothing up: the right code still works.
    let (_, link) = link.split_once("?token=").unwrap();
    assert!(!values.contains(link));
    assert_eq!(hub.browser().get(&format!("/hub/home?token={link}")).await.location(), "/hub/home");
    let last = exchange(&hub, &server, &waiting, &[]).await;
    assert_eq!(last.status, StatusCode::OK, "{}", last.text);

    // Share codes, offered a few times only: guessing is limited.
    let shared = shared.json()["code"].as_str().unwrap().to_owned();
    assert!(!values.contains(&shared));
    let mut bob = hub.logged_in(BOB_TOKEN).await;
    for value in values.iter().filter(|value| value.len() == 4 || value.len() == 128).take(5) {
        let refused = bob.get(&format!("/hub/accept-share?code={value}")).await;
        assert!(refused.status.is_client_error(), "share code {value}");
    }
}
