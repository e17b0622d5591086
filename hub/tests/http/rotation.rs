//! Secrets that rotate log nobody out; a reset does (S34, S60, S68).

use axum::http::{Method, StatusCode};
use hub::{
    proxy::{ProxyClient, ProxyToken, Route},
    resets::end_sessions_after_reset,
    upkeep::end_sessions_after_change,
};
use hub_auth::crypt_keys::{CryptKeys, Opened};
use secrecy::ExposeSecret;
use serde_json::json;
use std::{fs, path::Path, time::Duration};
use tokio_util::sync::CancellationToken;

use crate::{
    browser::Browser,
    oauth::{code, exchange},
    test_hub::{ALICE_TOKEN, CRYPT_KEYS, Settings, TestHub},
};

/// Publishes a state of a secret as the operator does, of values that repeat two digits.
fn publish(file: &Path, values: &[(u32, &str)], versions: &serde_json::Value) {
    for (version, digits) in values {
        fs::write(hub::versioned::version_file(file, *version), digits.repeat(32)).unwrap();
    }
    let path = hub::versioned::versions_file(file);
    fs::write(path.with_extension("new"), versions.to_string()).unwrap();
    fs::rename(path.with_extension("new"), path).unwrap();
}

/// A token of the API, and one of a browser session.
async fn tokens(hub: &TestHub, browser: &mut Browser<'_>) -> (String, String) {
    let made = hub.api(Method::POST, "/users/alice/tokens", ALICE_TOKEN, None).await;
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    let code = code(browser, &server).await;
    let session = exchange(hub, &server, &code, &[]).await.json();
    (made.json()["token"].as_str().unwrap().to_owned(), session["access_token"].as_str().unwrap().to_owned())
}

async fn works(hub: &TestHub, token: &str) -> bool {
    hub.get("/user", token).await.status == StatusCode::OK
}

/// Once within two seconds: the hub looks by itself.
async fn ends(hub: &TestHub, token: &str) -> bool {
    for _ in 0..40 {
        if !works(hub, token).await {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

#[tokio::test]
async fn a_rotation_of_the_cookie_secret_logs_nobody_out_across_restarts() {
    let mut hub = TestHub::new().await;
    let secret = hub.path("cookie-secret");
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    let (api, session) = tokens(&hub, &mut browser).await;
    // The token of a form that stays open all the while.
    let form = browser.cookie("_xsrf").unwrap().to_owned();
    let mut cookies = browser.cookies.clone();
    for (versions, restart) in [
        (json!({"current": 0, "accepted": [0, 1]}), false),
        (json!({"current": 0, "accepted": [0, 1]}), true),
        (json!({"current": 1, "accepted": [0, 1]}), false),
        (json!({"current": 1, "accepted": [0, 1]}), true),
    ] {
        publish(&secret, &[(0, "6b"), (1, "6c")], &versions);
        if restart {
            hub.restart(Settings::default()).await;
        }
        end_sessions_after_reset(&hub.app).await.unwrap();
        end_sessions_after_change(&hub.app).await.unwrap();
        let mut browser = hub.browser();
        browser.cookies.clone_from(&cookies);
        assert_eq!(browser.get("/hub/home").await.status, StatusCode::OK, "{versions}");
        let posted = browser.post("/hub/api/users/alice/tokens", &[("_xsrf", &form)]).await;
        assert_ne!(posted.status, StatusCode::FORBIDDEN, "{versions}: {}", posted.text);
        assert!(works(&hub, &api).await && works(&hub, &session).await, "{versions}");
        cookies.clone_from(&browser.cookies);
    }

    // Whoever logs in now is signed with the new version, and outlives the old one; so does what servers hold.
    let mut newcomer = hub.logged_in(ALICE_TOKEN).await;
    assert!(newcomer.cookie("jupyterhub-hub-login").unwrap().trim_start_matches('"').starts_with("2|1:1|"));
    publish(&secret, &[], &json!({"current": 1, "accepted": [1]}));
    fs::remove_file(hub::versioned::version_file(&secret, 0)).unwrap();
    end_sessions_after_reset(&hub.app).await.unwrap();
    end_sessions_after_change(&hub.app).await.unwrap();
    assert_eq!(newcomer.get("/hub/home").await.status, StatusCode::OK);
    assert!(works(&hub, &api).await && works(&hub, &session).await);
    let mut old = hub.browser();
    old.cookies = cookies;
    assert!(old.get("/hub/home").await.location().starts_with("/hub/login"));
}

#[tokio::test]
async fn a_reset_of_sessions_ends_them_while_the_hub_runs_s60_s68() {
    let hub = TestHub::new().await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    let (api, session) = tokens(&hub, &mut browser).await;
    let reset = json!({"current": 0, "accepted": [0], "resets": {"sessions": 1, "tokens": 0}});
    publish(&hub.path("cookie-secret"), &[(0, "6b")], &reset);
    assert!(ends(&hub, &session).await);
    assert!(
        browser.get("/hub/home").await.location().starts_with("/hub/login"),
        "the key is the same, the login is void"
    );
    assert!(works(&hub, &api).await);
    // It is carried out once.
    let mut again = hub.logged_in(ALICE_TOKEN).await;
    end_sessions_after_reset(&hub.app).await.unwrap();
    assert_eq!(again.get("/hub/home").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_full_reset_ends_api_tokens_too_s34() {
    let hub = TestHub::new().await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    let (api, session) = tokens(&hub, &mut browser).await;
    let reset = json!({"current": 1, "accepted": [1], "resets": {"sessions": 1, "tokens": 1}});
    publish(&hub.path("cookie-secret"), &[(1, "6c")], &reset);
    assert!(ends(&hub, &api).await && !works(&hub, &session).await);
    assert!(browser.get("/hub/home").await.location().starts_with("/hub/login"));
}

/// A hub that was down while the secret was reset carries it out before it serves.
#[tokio::test]
async fn a_reset_while_the_hub_is_down_is_seen_at_its_start_s60_s68() {
    let hub = TestHub::new().await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    let (api, session) = tokens(&hub, &mut browser).await;
    let reset = json!({"current": 0, "accepted": [0], "resets": {"sessions": 3, "tokens": 0}});
    let secret = hub.path("cookie-secret");
    let hub = hub.restarted_after(Settings::default(), || publish(&secret, &[(0, "6b")], &reset)).await;
    assert!(works(&hub, &api).await && !works(&hub, &session).await);
}

/// Those of a number of users whose `auth_state` this version of the crypt keys opens, each as it was.
async fn encrypted_with(hub: &TestHub, key: &str) -> usize {
    let key = key.repeat(32);
    let keys = CryptKeys::parse([(0, key.as_bytes())]).unwrap();
    let states = hub.app.database.encrypted_states(0, 10_000).await.unwrap();
    let opened = states.iter().filter_map(|state| Some((state.user_id, keys.decrypt(&state.token)?)));
    let is_as_it_was = |(id, opened): &(i64, Opened)| {
        assert_eq!((opened.data.expose_secret(), opened.time), (format!(r#"{{"of":{id}}}"#).as_bytes(), 7));
    };
    opened.inspect(is_as_it_was).count()
}

/// Encryption goes on where a hub was ended in the middle, and a state that no key opens stays what it is.
#[tokio::test]
async fn crypt_keys_rotate_in_the_background_across_a_restart() {
    const USERS: i64 = 400;
    let hub = TestHub::new().await;
    let file = hub.path(CRYPT_KEYS);
    fs::create_dir(file.parent().unwrap()).unwrap();
    fs::write(&file, "61".repeat(32)).unwrap();
    let before = json!({"current": 0, "accepted": [0]});
    let hub = hub.restarted_after(Settings::default(), || publish(&file, &[(0, "61")], &before)).await;
    let old = "61".repeat(32);
    let keys = CryptKeys::parse([(0, old.as_bytes())]).unwrap();
    let rows = (1000..1000 + USERS).map(|id| {
        let token = keys.encrypt(format!(r#"{{"of":{id}}}"#).as_bytes(), 7, [u8::try_from(id % 256).unwrap(); 16]);
        format!("({id}, 'user{id}', FALSE, 'c{id}', {})", hub.blob(&token))
    });
    let rows = rows.chain([format!("(2000, 'lost', FALSE, 'lost', {})", hub.blob("not encrypted"))]);
    let rows = rows.collect::<Vec<_>>().join(", ");
    hub.sql(&format!("INSERT INTO users (id, name, admin, cookie_id, encrypted_auth_state) VALUES {rows}")).await;

    fs::write(&file, "62".repeat(32)).unwrap();
    publish(&file, &[(0, "61"), (1, "62")], &json!({"current": 1, "accepted": [0, 1]}));
    let count = usize::try_from(USERS).unwrap();
    let in_the_middle = async || loop {
        match encrypted_with(&hub, "62").await {
            0 => tokio::time::sleep(Duration::from_millis(5)).await,
            renewed => break renewed,
        }
    };
    let renewed =
        tokio::time::timeout(Duration::from_secs(10), in_the_middle()).await.expect("nothing is encrypted anew");
    assert!(renewed < count, "it was done before it could be interrupted");
    assert!(hub.app.crypt_keys.as_ref().unwrap().in_use().contains(&0), "the old version is still needed");

    let hub = hub.restarted(Settings::default()).await;
    let is_done = async || {
        while hub.app.crypt_keys.as_ref().unwrap().in_use() != [1].into() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), is_done()).await.expect("the rest is not encrypted anew");
    assert_eq!((encrypted_with(&hub, "62").await, encrypted_with(&hub, "61").await), (count, 0));
    let states = hub.app.database.encrypted_states(0, 10_000).await.unwrap();
    assert_eq!(states.last().unwrap().token, b"not encrypted");
}

/// Rows 15 and 16: emptied or broken by hand, the hub goes on with what it has.
#[tokio::test]
async fn a_broken_cookie_secret_ends_nothing() {
    let hub = TestHub::new().await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    let secret = hub.path("cookie-secret");
    for broken in ["", "not hexadecimal"] {
        fs::write(&secret, broken).unwrap();
        end_sessions_after_reset(&hub.app).await.unwrap();
        assert_eq!(browser.get("/hub/home").await.status, StatusCode::OK, "{broken}");
    }
    fs::write(hub::versioned::versions_file(&secret), "{").unwrap();
    end_sessions_after_reset(&hub.app).await.unwrap();
    assert_eq!(browser.get("/hub/home").await.status, StatusCode::OK);
    assert_eq!(hub.logged_in(ALICE_TOKEN).await.get("/hub/home").await.status, StatusCode::OK);
}

/// A real proxy that got the new token before the hub, and after it.
#[tokio::test]
async fn a_proxy_that_refuses_the_token_in_use_gets_another_version_s49() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("proxy-token");
    let state =
        |current: u32| publish(&file, &[(0, "aa"), (1, "bb")], &json!({"current": current, "accepted": [0, 1]}));
    for (of_proxy, in_use) in [("bb", 0), ("aa", 1), ("bb", 1)] {
        let proxy = hub_proxy::bind(hub_proxy::ProxyConfig {
            token: hub_proxy::Token::Value(of_proxy.repeat(32)),
            ..hub_proxy::ProxyConfig::default()
        });
        let proxy = proxy.await.unwrap();
        let api = format!("http://{}", proxy.api_addr().unwrap().socket_addr().unwrap());
        let stopping = CancellationToken::new();
        let running = tokio::spawn(proxy.run(stopping.clone()));
        state(in_use);
        let client = ProxyClient::new(&api, ProxyToken::file(&file));
        client.add("/user/alice", &Route::of_server("http://127.0.0.1:9", "alice", "")).await.unwrap();
        assert!(client.routes().await.unwrap().contains_key("/user/alice"));
        let took = client.accepted_versions(&[0, 1].into()).await.unwrap();
        assert_eq!(took, [if of_proxy == "bb" { 1 } else { 0 }].into());
        stopping.cancel();
        running.await.unwrap().unwrap();
    }
}
