//! Logging in and out.

use axum::http::{Method, StatusCode};

use crate::test_hub::{ALICE_TOKEN, BOB_TOKEN, Settings, TestHub};

#[tokio::test]
async fn a_token_in_the_password_field_logs_its_user_in_s7() {
    let hub = TestHub::new().await;
    let mut browser = hub.browser();
    let answer = browser.log_in("/hub/login", "", ALICE_TOKEN).await;
    assert_eq!(answer.location(), "/hub/spawn");
    let home = browser.get("/hub/home").await;
    assert_eq!(home.status, StatusCode::OK);
    assert!(home.text.contains("<span>alice</span>"), "{}", home.text);
}

#[tokio::test]
async fn wrong_tokens_unknown_users_and_other_peoples_tokens_get_one_answer() {
    let hub = TestHub::new().await;
    let mut texts = Vec::new();
    for (username, password) in [("", "wrong-token-wrong-token"), ("nobody", "wrong"), ("bob", ALICE_TOKEN), ("", "")] {
        let mut browser = hub.browser();
        let answer = browser.log_in("/hub/login", username, password).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert!(answer.set_cookies("jupyterhub-hub-login").is_empty());
        let xsrf = browser.cookie("_xsrf").unwrap().to_owned();
        texts.push(answer.text.replace(&xsrf, "").replace(&format!("value=\"{username}\""), "value=\"\""));
    }
    assert!(texts[0].contains("Invalid token"));
    assert!(texts.windows(2).all(|pair| pair[0] == pair[1]), "{texts:#?}");
}

/// Attack rows 28 and 39: nobody is logged in by another site's form.
#[tokio::test]
async fn the_login_form_works_without_a_script_and_refuses_a_foreign_one() {
    let hub = TestHub::new().await;
    let mut browser = hub.browser();
    let page = browser.get("/hub/login").await;
    let xsrf = browser.cookie("_xsrf").unwrap().to_owned();
    assert!(page.text.contains(&format!("name=\"_xsrf\" value=\"{xsrf}\"")), "{}", page.text);
    assert!(page.set_cookies("_xsrf")[0].ends_with("; Max-Age=3600; Path=/hub/; SameSite=Lax"));

    for fields in [vec![("password", ALICE_TOKEN)], vec![("_xsrf", "wrong"), ("password", ALICE_TOKEN)]] {
        let answer = browser.clone().post("/hub/login", &fields).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert!(answer.text.contains("Login form invalid or expired. Try again."), "{}", answer.text);
    }
    // Another browser's token is of no use, although this hub signed it.
    let mut other = hub.browser();
    other.get("/hub/login").await;
    let answer = other.post("/hub/login", &[("_xsrf", &xsrf), ("password", ALICE_TOKEN)]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let answer = browser.post("/hub/login", &[("_xsrf", &xsrf), ("password", ALICE_TOKEN)]).await;
    assert_eq!(answer.status, StatusCode::FOUND);
}

#[tokio::test]
async fn the_login_cookie_is_restricted_to_the_hub_path_s61_and_the_session_id_is_not_s72() {
    let hub = TestHub::new().await;
    let answer = hub.browser().log_in("/hub/login", "", ALICE_TOKEN).await;
    let login = answer.set_cookies("jupyterhub-hub-login")[0].to_owned();
    assert!(login.starts_with("jupyterhub-hub-login=\"2|1:0|10:"), "{login}");
    assert!(login.contains("; HttpOnly") && login.ends_with("; Path=/hub/; SameSite=Lax"), "{login}");
    let session = answer.set_cookies("jupyterhub-session-id")[0].to_owned();
    assert!(session.ends_with("; HttpOnly; Path=/; SameSite=Lax"), "{session}");
}

/// What the hub's pages ask for is this cookie and nothing else.
#[tokio::test]
async fn the_login_cookie_opens_the_hubs_own_pages_s58_s59() {
    let hub = TestHub::new().await;
    let browser = hub.logged_in(ALICE_TOKEN).await;
    let login = browser.cookie("jupyterhub-hub-login").unwrap().to_owned();
    for page in ["/hub/home", "/hub/token"] {
        let mut other = hub.browser();
        other.set_cookie("jupyterhub-hub-login", &login, "/hub/");
        assert_eq!(other.get(page).await.status, StatusCode::OK, "{page}");
        let mut without = browser.clone();
        without.cookies.retain(|cookie| cookie.name != "jupyterhub-hub-login");
        assert!(without.get(page).await.location().starts_with("/hub/login"), "{page}");
    }
}

/// It opens nothing, and each login has another: one that somebody planted before does not survive (attack row 37).
#[tokio::test]
async fn the_session_id_is_random_and_opens_nothing_s70() {
    let hub = TestHub::new().await;
    let planted = "0123456789abcdef0123456789abcdef";
    let mut ids = Vec::new();
    for _ in 0..2 {
        let mut browser = hub.browser();
        browser.set_cookie("jupyterhub-session-id", planted, "/");
        browser.log_in("/hub/login", "", ALICE_TOKEN).await;
        ids.push(browser.cookie("jupyterhub-session-id").unwrap().to_owned());
    }
    assert!(ids.iter().all(|id| id.len() == 32 && id != planted) && ids[0] != ids[1], "{ids:?}");
    let mut thief = hub.browser();
    thief.set_cookie("jupyterhub-session-id", &ids[0], "/");
    assert!(thief.get("/hub/home").await.location().starts_with("/hub/login"));
}

#[tokio::test]
async fn cookies_are_secure_when_people_come_over_tls() {
    let public = Settings { public_url: Some("https://hub.test/"), ..Settings::default() };
    let hub = TestHub::with(public).await;
    let answer = hub.browser().log_in("/hub/login", "", ALICE_TOKEN).await;
    for name in ["jupyterhub-hub-login", "jupyterhub-session-id"] {
        assert!(answer.set_cookies(name)[0].ends_with("; Secure"), "{name}");
    }
    let hub = TestHub::new().await;
    let mut browser = hub.browser();
    browser.headers.push(("x-forwarded-proto", "https,http".into()));
    let answer = browser.log_in("/hub/login", "", ALICE_TOKEN).await;
    assert!(answer.set_cookies("jupyterhub-hub-login")[0].ends_with("; Secure"));
}

#[tokio::test]
async fn a_session_id_that_was_there_before_the_login_does_not_survive_it() {
    let hub = TestHub::new().await;
    let mut browser = hub.browser();
    let planted = "0123456789abcdef0123456789abcdef";
    browser.set_cookie("jupyterhub-session-id", planted, "/");
    browser.log_in("/hub/login", "", ALICE_TOKEN).await;
    assert_ne!(browser.cookie("jupyterhub-session-id").unwrap(), planted);
}

/// CVE-2019-10255, CVE-2026-33709.
#[tokio::test]
async fn next_leads_to_paths_of_this_hub_only() {
    let hub = TestHub::new().await;
    for (next, expected) in [
        ("%2Fuser%2Falice%2Flab%3Fa%3D1", "/user/alice/lab?a=1"),
        ("%2Fhub%2Fhome", "/hub/home"),
        ("http%3A%2F%2Fhub.test%2Fhub%2Ftoken", "/hub/token"),
        ("%2F%2Fevil.example%2F", "/hub/spawn"),
        ("https%3A%2F%2Fevil.example%2F", "/hub/spawn"),
        ("%2F%5Cevil.example", "/%5Cevil.example"),
        ("javascript%3Aalert(1)", "/hub/spawn"),
    ] {
        let answer = hub.browser().log_in(&format!("/hub/login?next={next}"), "", ALICE_TOKEN).await;
        assert_eq!(answer.location(), expected, "{next}");
    }
}

#[tokio::test]
async fn without_a_cookie_every_page_leads_to_the_login() {
    let hub = TestHub::new().await;
    for path in ["/hub/", "/hub/home", "/hub/spawn", "/hub/token", "/hub/user/alice/lab?x=1", "/hub/user-redirect/lab"]
    {
        let answer = hub.browser().get(path).await;
        let next: String = url::form_urlencoded::byte_serialize(path.as_bytes()).collect();
        assert_eq!(answer.location(), format!("/hub/login?next={next}"), "{path}");
    }
}

/// Attack row 44.
#[tokio::test]
async fn a_token_in_the_address_sets_cookies_and_leaves_the_address_s6() {
    let hub = TestHub::new().await;
    let mut browser = hub.browser();
    let answer = browser.get(&format!("/hub/login?next=%2Fhub%2Fhome&token={ALICE_TOKEN}")).await;
    assert_eq!(answer.location(), "/hub/login?next=%2Fhub%2Fhome");
    assert_eq!(answer.header("referrer-policy"), "no-referrer");
    let answer = browser.get("/hub/login?next=%2Fhub%2Fhome").await;
    assert_eq!(answer.location(), "/hub/home");

    let answer = hub.browser().get("/hub/login?token=wrong-wrong-wrong").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.set_cookies("jupyterhub-hub-login").is_empty());
}

#[tokio::test]
async fn a_token_in_the_authorization_header_is_its_users_s5() {
    let hub = TestHub::new().await;
    for kind in ["token", "Bearer", "TOKEN"] {
        let mut browser = hub.browser();
        let header = format!("{kind} {BOB_TOKEN}");
        let answer = browser.request(Method::GET, "/hub/api/user", &[("authorization", &header)], None).await;
        assert_eq!(answer.json()["name"], "bob", "{kind}");
    }
    assert_eq!(hub.get("/user", "wrong-wrong-wrong").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_blocked_user_is_refused_even_with_the_right_token() {
    let hub = TestHub::with(Settings { blocked: &["alice"], ..Settings::default() }).await;
    let answer = hub.browser().log_in("/hub/login", "", ALICE_TOKEN).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(hub.get("/user", ALICE_TOKEN).await.status, StatusCode::FORBIDDEN);
    assert_eq!(hub.browser().log_in("/hub/login", "", BOB_TOKEN).await.status, StatusCode::FOUND);
}

#[tokio::test]
async fn the_dummy_password_lets_in_whom_the_lists_allow_only() {
    let hub = TestHub::with(Settings { dummy_password: Some("open sesame"), ..Settings::default() }).await;
    for (name, password, status) in [
        ("alice", "open sesame", StatusCode::FOUND),
        (" Alice", "open sesame", StatusCode::FOUND),
        ("mallory", "open sesame", StatusCode::FORBIDDEN),
        ("alice", "wrong", StatusCode::FORBIDDEN),
    ] {
        let answer = hub.browser().log_in("/hub/login", name, password).await;
        assert_eq!(answer.status, status, "{name} {password}");
    }
}

#[tokio::test]
async fn a_reset_of_the_cookie_secret_ends_every_login_s60() {
    let hub = TestHub::new().await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    assert_eq!(browser.get("/hub/home").await.status, StatusCode::OK);
    std::fs::write(hub.path("cookie-secret"), "00".repeat(32) + "\n").unwrap();
    assert!(browser.get("/hub/home").await.location().starts_with("/hub/login"));
}

/// Attack row 38.
#[tokio::test]
async fn a_changed_cookie_is_no_login_s59() {
    let hub = TestHub::new().await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    let good = browser.cookie("jupyterhub-hub-login").unwrap().to_owned();
    let last = good.trim_end_matches('"').chars().last().unwrap();
    let other = if last == '0' { '1' } else { '0' };
    let bad = format!("{}{other}\"", &good[..good.len() - 2]);
    browser.set_cookie("jupyterhub-hub-login", &bad, "/hub/");
    assert!(browser.get("/hub/home").await.location().starts_with("/hub/login"));
}

#[tokio::test]
async fn logout_clears_the_cookies_s71() {
    let hub = TestHub::new().await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    browser.get("/hub/home").await;
    let answer = browser.get("/hub/logout").await;
    assert_eq!(answer.location(), "/hub/login");
    for name in ["jupyterhub-hub-login", "jupyterhub-session-id", "_xsrf"] {
        assert_eq!(browser.cookie(name), None, "{name}");
    }
    assert!(browser.get("/hub/home").await.location().starts_with("/hub/login"));
}

#[tokio::test]
async fn all_works_below_a_base_url() {
    let hub = TestHub::with(Settings { base_url: "/@team/", ..Settings::default() }).await;
    let mut browser = hub.browser();
    let answer = browser.log_in("/@team/hub/login", "", ALICE_TOKEN).await;
    assert_eq!(answer.location(), "/@team/hub/spawn");
    assert!(answer.set_cookies("jupyterhub-hub-login")[0].ends_with("; Path=/@team/hub/; SameSite=Lax"));
    assert!(answer.set_cookies("jupyterhub-session-id")[0].ends_with("; Path=/@team/; SameSite=Lax"));
    assert_eq!(browser.get("/@team/hub/home").await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_unencrypted_login_is_warned_of_unless_nobody_can_listen_s30() {
    let hub = TestHub::with(Settings { secure: false, ..Settings::default() }).await;
    for (host, proto, warned) in [
        ("hub.test", "http", true),
        ("hub.test", "https", false),
        ("127.0.0.1:8000", "http", false),
        ("localhost", "http", false),
    ] {
        let mut browser = hub.browser();
        browser.headers = vec![("host", host.into()), ("x-forwarded-proto", proto.into())];
        let page = browser.get("/hub/login").await;
        assert_eq!(page.text.contains("unencrypted connection"), warned, "{host} {proto}");
    }
}

/// Attack row 40: another site's link or image must not end a login.
#[tokio::test]
async fn a_logout_that_another_site_asks_for_is_asked_about() {
    let hub = TestHub::new().await;
    for site in ["cross-site", "same-site"] {
        let mut browser = hub.logged_in(ALICE_TOKEN).await;
        browser.headers.push(("sec-fetch-site", site.into()));
        let asked = browser.get("/hub/logout").await;
        assert_eq!(asked.status, StatusCode::OK, "{site}");
        assert!(asked.text.contains("Log out?") && asked.set_cookies("jupyterhub-hub-login").is_empty());
        assert_eq!(browser.get("/hub/home").await.status, StatusCode::OK);
        browser.headers.pop();
        browser.headers.push(("sec-fetch-site", "same-origin".into()));
        assert_eq!(browser.get("/hub/logout").await.location(), "/hub/login");
        assert!(browser.get("/hub/home").await.location().starts_with("/hub/login"));
    }
}
