//! Each user has a host of their own, and cookies may be named so that no other host can set them.

use axum::http::{Method, StatusCode};
use hub_auth::cookie;
use serde_json::{Value, json};

use crate::{
    browser::Browser,
    oauth::{authorize, code, exchange},
    test_hub::{ALICE_TOKEN, BOB_TOKEN, Settings, TestHub},
};

const ALICES: &str = "https://alice.hub.test";

async fn with_subdomains() -> TestHub {
    TestHub::with(Settings { subdomain_host: Some("https://hub.test"), ..Settings::default() }).await
}

async fn with_prefix() -> TestHub {
    let subdomain_host = Some("https://hub.test");
    TestHub::with(Settings { subdomain_host, cookie_host_prefix: true, ..Settings::default() }).await
}

/// A browser on another host than the hub's.
fn on<'a>(hub: &'a TestHub, host: &str) -> Browser<'a> {
    let mut browser = hub.browser();
    browser.go_to(host);
    browser
}

#[tokio::test]
async fn a_server_is_told_its_users_host() {
    let hub = with_subdomains().await;
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    for (name, expected) in [
        ("HOST", "https://hub.test"),
        ("PUBLIC_URL", "https://alice.hub.test/user/alice/"),
        ("PUBLIC_HUB_URL", "https://hub.test/hub/"),
        ("OAUTH_CALLBACK_URL", "https://alice.hub.test/user/alice/oauth_callback"),
        ("SERVICE_PREFIX", "/user/alice/"),
        ("BASE_URL", "/"),
        ("COOKIE_HOST_PREFIX_ENABLED", "0"),
    ] {
        assert_eq!(server[&format!("JUPYTERHUB_{name}")], expected, "{name}");
    }
}

#[tokio::test]
async fn the_api_shows_servers_at_their_users_hosts_and_the_rest_at_the_hubs() {
    let hub = with_subdomains().await;
    hub.start_server("alice", ALICE_TOKEN).await;
    let user = hub.get("/users/alice", ALICE_TOKEN).await.json();
    assert_eq!(user["server"], "https://alice.hub.test/user/alice/");
    let server = &user["servers"][""];
    for (field, expected) in [
        ("url", "https://alice.hub.test/user/alice/"),
        ("full_url", "https://alice.hub.test/user/alice/"),
        ("progress_url", "/hub/api/users/alice/server/progress"),
        ("full_progress_url", "https://hub.test/hub/api/users/alice/server/progress"),
    ] {
        assert_eq!(server[field], expected, "{field}");
    }
    let events = hub.get("/users/alice/server/progress", ALICE_TOKEN).await.text;
    let last: Value = serde_json::from_str(events.trim().rsplit("data: ").next().unwrap()).unwrap();
    assert_eq!(last["url"], "https://alice.hub.test/user/alice/");
    assert_eq!(last["message"], "Server ready at https://alice.hub.test/user/alice/");

    hub.give("bob", &["proxy"]).await;
    let routes = hub.get("/proxy", BOB_TOKEN).await.json();
    let names: Vec<_> = routes.as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["/", "alice.hub.test/user/alice/"]);
    assert_eq!(routes["alice.hub.test/user/alice/"]["routespec"], "alice.hub.test/user/alice/");
}

/// The proxy notes the host in its routes: that alone must not make them look wrong at each check.
#[tokio::test]
async fn a_right_table_is_left_alone() {
    let hub = with_subdomains().await;
    hub.start_server("alice", ALICE_TOKEN).await;
    hub.app.servers.check_routes().await.unwrap();
    let before = hub.app.servers.routes().await.unwrap();
    assert_eq!(before["/alice.hub.test/user/alice"].data["host"], "alice.hub.test");
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    hub.app.servers.check_routes().await.unwrap();
    assert_eq!(hub.app.servers.routes().await.unwrap(), before, "a route that is put again is active again");
}

/// Attack row 25.
#[tokio::test]
async fn the_proxy_takes_host_and_path_together_to_a_server_and_leaves_the_rest_to_the_hub() {
    let hub = with_subdomains().await;
    hub.start_server("alice", ALICE_TOKEN).await;
    hub.app.servers.check_routes().await.unwrap();
    let client = hub_server::http_client().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let get = async |host: &str, path: &str| {
        let answer = client.get(format!("{}{path}", hub.proxy_url)).header("host", host).send().await.unwrap();
        let location = answer.headers().get("location").map(|to| to.to_str().unwrap().to_owned());
        (answer.status().as_u16(), location)
    };
    for (host, path) in [
        ("alice.hub.test", "/user/alice/"),
        ("alice.hub.test:8443", "/user/alice/lab"),
        ("ALICE.Hub.Test", "/user/alice/"),
    ] {
        assert_eq!(get(host, path).await, (200, None), "{host}{path}");
    }
    for (host, path) in [
        ("alice.hub.test", "/user/bob/"),
        ("alice.hub.test", "/"),
        ("hub.test", "/user/alice/"),
        ("bob.hub.test", "/user/alice/"),
        ("nobody.hub.test", "/user/alice/"),
        ("xn--alice-0ya.hub.test", "/user/alice/"),
        ("x.alice.hub.test", "/user/alice/"),
        ("alice.hub.test.", "/user/alice/"),
        ("alice.hub.test.evil.org", "/user/alice/"),
        ("evil", "/user/alice/"),
        ("evil", "/alice.hub.test/user/alice/"),
    ] {
        assert_eq!(get(host, path).await, (302, Some(format!("https://hub.test/hub{path}"))), "{host}{path}");
    }
}

#[tokio::test]
async fn what_no_server_takes_is_led_to_the_hubs_own_host() {
    let hub = with_subdomains().await;
    for host in ["alice.hub.test", "nobody.hub.test", "xn--alice-0ya.hub.test", "alice.hub.test.", "hub.test", "evil"] {
        let mut browser = on(&hub, host);
        for (path, expected) in [
            ("/user/alice/lab?x=1", "https://hub.test/hub/user/alice/lab?x=1"),
            ("/user/alice/", "https://hub.test/hub/user/alice/"),
            ("/", "https://hub.test/hub/"),
        ] {
            assert_eq!(browser.get(path).await.location(), expected, "{host}{path}");
        }
        assert_eq!(browser.post("/user/alice/api/kernels", &[]).await.status, StatusCode::FORBIDDEN);
    }
}

/// On a user's host they would be of the origin of that user's server.
#[tokio::test]
async fn the_hubs_pages_are_on_no_users_host() {
    let hub = with_subdomains().await;
    for host in ["alice.hub.test", "ALICE.hub.test:443", "nobody.hub.test", "alice.hub.test."] {
        let mut browser = on(&hub, host);
        for path in ["/hub", "/hub/", "/hub/login?next=%2Fhub%2Fhome", "/hub/api/oauth2/authorize?a=b", "/hub/nothing"]
        {
            let answer = browser.get(path).await;
            assert_eq!(answer.location(), format!("https://hub.test{path}"), "{host}");
        }
        let answer = browser.post("/hub/login", &[("password", ALICE_TOKEN)]).await;
        assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST);
        assert!(answer.text.contains("The hub is at https://hub.test/hub/"), "{}", answer.text);
        assert!(browser.cookies.is_empty());
        assert_eq!(browser.get("/hub/static/hub.css").await.status, StatusCode::OK);
        let token = format!("token {ALICE_TOKEN}");
        let answer = browser.request(Method::GET, "/hub/api/user", &[("authorization", &token)], None).await;
        assert_eq!(answer.json()["name"], "alice");
    }
    // The hub's own host, and how proxy and servers call it.
    for host in ["hub.test", "hub.test:443", "jhub-hub.jupyter:8081", "10.0.0.1:8081"] {
        assert_eq!(on(&hub, host).get("/hub/login").await.status, StatusCode::OK, "{host}");
    }
}

#[tokio::test]
async fn a_login_leads_on_to_ones_own_host_only() {
    let hub = with_subdomains().await;
    for (next, expected) in [
        ("https://alice.hub.test/user/alice/lab?x=1", "https://alice.hub.test/user/alice/lab?x=1"),
        ("/user/alice/lab", "https://alice.hub.test/user/alice/lab"),
        ("https://hub.test/hub/home", "/hub/home"),
        ("https://bob.hub.test/user/alice/lab", "https://alice.hub.test/user/alice/lab"),
        ("https://bob.hub.test/user/bob/lab", "/user/bob/lab"),
        ("https://bob.hub.test//evil.org", "/hub/spawn"),
        ("https://evil.org/user/alice/", "/hub/spawn"),
        ("https://evilhub.test/user/alice/", "/hub/spawn"),
    ] {
        let login = hub.app.urls.login(next);
        assert_eq!(hub.browser().log_in(&login, "", ALICE_TOKEN).await.location(), expected, "{next}");
    }
    // Whether someone may go to another's server is seen on the hub's host.
    let mut alice = hub.logged_in(ALICE_TOKEN).await;
    assert_eq!(alice.get("/user/bob/lab").await.location(), "https://hub.test/hub/user/bob/lab");
    assert_eq!(alice.get("/hub/user/bob/lab").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn every_way_to_a_server_ends_at_its_users_host() {
    let hub = with_subdomains().await;
    let mut alice = hub.logged_in(ALICE_TOKEN).await;
    let spawn = alice.get("/hub/user-redirect/lab/tree/x?y=1").await.location().to_owned();
    assert_eq!(
        spawn,
        format!("/hub/spawn/alice?next={}", "https%3A%2F%2Falice.hub.test%2Fuser%2Falice%2Flab%2Ftree%2Fx%3Fy%3D1")
    );
    let pending = alice.get(&spawn).await.location().to_owned();
    let page = alice.get(&pending).await;
    if page.status == StatusCode::OK {
        assert!(page.text.contains("https://alice.hub.test/user/alice/lab/tree/x?y=1"), "{}", page.text);
    }
    hub.becomes_ready("alice", ALICE_TOKEN).await;
    for (path, expected) in [
        (pending.as_str(), "/user/alice/lab/tree/x?y=1"),
        (spawn.as_str(), "/user/alice/lab/tree/x?y=1"),
        ("/hub/spawn", "/user/alice/"),
        ("/hub/", "/user/alice/"),
        ("/hub/user/alice/lab?a=1", "/user/alice/lab?a=1&redirects=1"),
    ] {
        assert_eq!(alice.get(path).await.location(), format!("{ALICES}{expected}"), "{path}");
    }
    let home = alice.get("/hub/home").await.text;
    assert!(home.contains("href=\"https://alice.hub.test/user/alice/\""), "{home}");
}

#[tokio::test]
async fn codes_go_to_the_servers_host_and_nowhere_else() {
    let hub = with_subdomains().await;
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    let mut alice = hub.logged_in(ALICE_TOKEN).await;
    let code = code(&mut alice, &server).await;
    let token = exchange(&hub, &server, &code, &[]).await.json();
    let user = hub.get("/user", token["access_token"].as_str().unwrap()).await.json();
    assert_eq!(user["session_id"], alice.cookie("jupyterhub-session-id").unwrap());
    for uri in [
        "/user/alice/oauth_callback",
        "https://hub.test/user/alice/oauth_callback",
        "https://bob.hub.test/user/alice/oauth_callback",
        "http://alice.hub.test/user/alice/oauth_callback",
        "https://alice.hub.test:443/user/alice/oauth_callback",
        "https://alice.hub.test@evil.org/user/alice/oauth_callback",
    ] {
        let answer = alice.get(&authorize(&server, &[("redirect_uri", uri)])).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{uri}");
        assert!(answer.text.contains("Mismatching redirect URI."), "{uri}");
    }
}

#[tokio::test]
async fn only_the_session_id_reaches_other_hosts_s70_s71() {
    let hub = with_subdomains().await;
    let mut alice = hub.browser();
    // As a hub without subdomains left it.
    alice.set_cookie("jupyterhub-session-id", &"0".repeat(32), "/");
    let answer = alice.log_in("/hub/login", "", ALICE_TOKEN).await;
    let [old, new] = answer.set_cookies("jupyterhub-session-id")[..] else { panic!("{:?}", answer.headers) };
    assert!(old.starts_with("jupyterhub-session-id=\"\";") && !old.contains("Domain"), "{old}");
    assert!(new.contains("; Domain=hub.test; ") && new.contains("; Path=/;") && new.contains("Secure"), "{new}");
    assert_eq!(alice.cookies.iter().filter(|cookie| cookie.name == "jupyterhub-session-id").count(), 1);
    for name in ["jupyterhub-hub-login", "_xsrf", "jupyterhub-hub-anonymous"] {
        assert!(answer.set_cookies(name).iter().all(|line| !line.contains("Domain")), "{name}");
    }

    let login = alice.cookie("jupyterhub-hub-login").unwrap().to_owned();
    assert_eq!(alice.get("/hub/home").await.status, StatusCode::OK);
    let answer = alice.get("/hub/logout").await;
    assert_eq!(answer.set_cookies("jupyterhub-session-id").len(), 2);
    assert!(alice.cookies.iter().all(|cookie| cookie.name != "jupyterhub-session-id" && cookie.value != login));
}

#[tokio::test]
async fn the_hubs_own_cookies_carry_the_prefix_if_the_settings_say_so() {
    let hub = with_prefix().await;
    let mut alice = hub.browser();
    let form = alice.get("/hub/login").await;
    let anonymous = form.set_cookies("__Host-jupyterhub-hub-anonymous")[0];
    assert!(anonymous.contains("; Path=/;") && anonymous.ends_with("; Secure"), "{anonymous}");
    let answer = alice.log_in("/hub/login", "", ALICE_TOKEN).await;
    let login = answer.set_cookies("__Host-jupyterhub-hub-login")[0];
    assert!(login.contains("; HttpOnly;") && login.contains("; Path=/;") && login.ends_with("; Secure"), "{login}");
    assert!(!login.contains("Domain"), "{login}");
    assert!(answer.set_cookies("jupyterhub-hub-login").is_empty());
    // Servers know the session id by this name only.
    assert!(answer.set_cookies("jupyterhub-session-id")[1].contains("; Domain=hub.test; "));
    assert_eq!(alice.get("/hub/home").await.status, StatusCode::OK);

    let server = hub.start_server("alice", ALICE_TOKEN).await;
    assert_eq!(server["JUPYTERHUB_COOKIE_HOST_PREFIX_ENABLED"], "1");
    let value = alice.cookie("__Host-jupyterhub-hub-login").unwrap().trim_matches('"').to_owned();
    let asked = |name: &str| format!("/authorizations/cookie/{name}/{}", value.replace('|', "%7C"));
    assert_eq!(hub.get(&asked("__Host-jupyterhub-hub-login"), ALICE_TOKEN).await.json()["name"], "alice");
    assert_eq!(hub.get(&asked("jupyterhub-hub-login"), ALICE_TOKEN).await.status, StatusCode::NOT_FOUND);

    let answer = alice.get("/hub/logout").await;
    assert!(answer.set_cookies("__Host-jupyterhub-hub-login")[0].starts_with("__Host-jupyterhub-hub-login=\"\";"));
    assert_eq!(alice.cookie("__Host-jupyterhub-hub-login"), None);
    assert!(alice.get("/hub/home").await.location().starts_with("/hub/login"));
}

/// CVE-2024-28233, attack row 38: a page of a neighbouring host sets cookies for the hub's.
#[tokio::test]
async fn cookies_that_another_host_can_set_log_nobody_in() {
    let hub = with_prefix().await;
    let mut mallory = hub.logged_in(BOB_TOKEN).await;
    mallory.get("/hub/home").await;
    let bob = hub.app.database.user_by_name("bob").await.unwrap().unwrap();
    let now = hub.app.now().as_second();
    let signed = cookie::sign(&hub.app.cookie_keys().unwrap(), cookie::LOGIN, bob.cookie_id.as_bytes(), now);
    let own = mallory.cookie("__Host-jupyterhub-hub-login").unwrap().to_owned();
    for value in [signed.as_str(), own.as_str()] {
        let mut victim = hub.browser();
        victim.set_cookie("jupyterhub-hub-login", value, "/hub/");
        assert!(victim.get("/hub/home").await.location().starts_with("/hub/login"));
    }

    // Neither can a login form be sent in the victim's browser with the attacker's token of the form.
    let mut attacker = hub.browser();
    attacker.get("/hub/login").await;
    let xsrf = attacker.cookie("_xsrf").unwrap().to_owned();
    let anonymous = attacker.cookie("__Host-jupyterhub-hub-anonymous").unwrap().to_owned();
    let mut victim = hub.browser();
    victim.set_cookie("_xsrf", &xsrf, "/");
    victim.set_cookie("jupyterhub-hub-anonymous", &anonymous, "/");
    let answer = victim.post("/hub/login", &[("_xsrf", &xsrf), ("password", BOB_TOKEN)]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(victim.cookie("__Host-jupyterhub-hub-login"), None);
}

/// Nor do such cookies keep anyone from what they could do without them.
#[tokio::test]
async fn a_token_of_a_form_that_another_host_set_hinders_nobody() {
    let hub = with_prefix().await;
    let mut attacker = hub.browser();
    attacker.get("/hub/login").await;
    let foreign = attacker.cookie("_xsrf").unwrap().to_owned();
    let mut alice = hub.logged_in(ALICE_TOKEN).await;
    alice.get("/hub/home").await;
    let own = alice.cookie("_xsrf").unwrap().to_owned();
    alice.cookies.insert(0, attacker.cookies.iter().find(|cookie| cookie.value == foreign).unwrap().clone());
    let answer = alice.post("/hub/home", &[("_xsrf", &own), ("stop", "")]).await;
    assert_eq!(answer.location(), "/hub/home");
    assert_eq!(alice.post("/hub/home", &[("_xsrf", &foreign), ("stop", "")]).await.status, StatusCode::FORBIDDEN);
}

/// Attack row 25, without subdomains.
#[tokio::test]
async fn where_the_public_address_is_known_no_link_is_made_of_the_host_asked_for() {
    let hub = TestHub::with(Settings { public_url: Some("https://hub.test/"), ..Settings::default() }).await;
    let mut browser = on(&hub, "evil");
    for path in ["/", "/user/alice/", "/hub", "/hub/", "/hub/home"] {
        assert!(browser.get(path).await.location().starts_with("/hub/"), "{path}");
    }
    let login = hub.app.urls.login("https://evil/hub/home");
    assert_eq!(browser.log_in(&login, "", ALICE_TOKEN).await.location(), "/hub/spawn");
    let json = [("accept", "application/json")];
    let answer = browser.request(Method::GET, "/hub/user/alice/api/status", &json, None).await;
    let message = "JupyterHub server no longer running at /user/alice/api/status. \
                   Restart the server at https://hub.test/hub/spawn/alice";
    assert_eq!(answer.json(), json!({"message": message}));
    let token = format!("token {ALICE_TOKEN}");
    let server = browser.request(Method::GET, "/hub/api/users/alice/server", &[("authorization", &token)], None).await;
    assert_eq!(server.json()["full_url"], "https://hub.test/user/alice/");
}

#[tokio::test]
async fn a_token_at_a_users_host_logs_in_at_the_hubs_and_leads_back_s6() {
    let hub = with_subdomains().await;
    let mut browser = on(&hub, "alice.hub.test");
    let first = browser.get(&format!("/user/alice/tree?token={ALICE_TOKEN}")).await.location().to_owned();
    assert_eq!(first, format!("https://hub.test/hub/user/alice/tree?token={ALICE_TOKEN}"));
    browser.go_to("hub.test");
    let login = browser.get(first.strip_prefix("https://hub.test").unwrap()).await;
    assert_eq!(login.location(), format!("{ALICES}/user/alice/tree"));
    // Of somebody else's server the hub says first whether one may go there.
    let bobs = browser.get(&format!("/hub/user/bob/tree?token={ALICE_TOKEN}")).await;
    assert_eq!(bobs.location(), "/user/bob/tree");
}
