//! The pages around a server, and what every answer has.

use axum::http::{Method, StatusCode};
use hub_crds::{PageLink, ServerLimits, config::PagesConfig};
use std::time::Duration;

use crate::test_hub::{ALICE_TOKEN, BOB_TOKEN, Settings, TestHub};

#[tokio::test]
async fn a_person_starts_a_server_follows_it_and_stops_it_without_a_script() {
    let hub = TestHub::new().await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    let home = browser.get("/hub/home").await;
    assert!(home.text.contains("id=\"start\"") && home.text.contains("/hub/spawn/alice"), "{}", home.text);

    let answer = browser.get("/hub/spawn/alice?next=%2Fuser%2Falice%2Flab").await;
    assert_eq!(answer.location(), "/hub/spawn-pending/alice?next=%2Fuser%2Falice%2Flab");
    let pending = answer.location().to_owned();
    let mut seen_progress = false;
    for _ in 0..200 {
        let page = browser.get(&pending).await;
        if page.status == StatusCode::FOUND {
            assert_eq!(page.location(), "/user/alice/lab");
            break;
        }
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        assert!(page.text.contains("<noscript><meta http-equiv=\"refresh\""), "{}", page.text);
        assert!(page.text.contains("data-events=\"/hub/api/users/alice/server/progress?_xsrf="), "{}", page.text);
        seen_progress = true;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(seen_progress);
    assert!(browser.get("/hub/home").await.text.contains("id=\"stop\""));
    assert_eq!(browser.get("/hub/spawn").await.location(), "/user/alice/");

    let answer = browser.submit("/hub/home", &[("stop", "")]).await;
    assert_eq!(answer.location(), "/hub/home");
    hub.stop_server("alice", ALICE_TOKEN).await;
    assert!(browser.get("/hub/home").await.text.contains("id=\"start\""));
}

#[tokio::test]
async fn the_progress_stream_is_followed_with_the_cookie_and_the_forms_token() {
    let hub = TestHub::new().await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    browser.get("/hub/spawn").await;
    browser.get("/hub/home").await;
    let script = [("sec-fetch-mode", "cors"), ("sec-fetch-site", "same-origin")];
    let path = "/hub/api/users/alice/server/progress";
    let refused = browser.request(Method::GET, path, &script, None).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(refused.json()["message"], "'_xsrf' argument missing from GET");
    let path = format!("{path}?_xsrf={}", browser.cookie("_xsrf").unwrap());
    let events = browser.request(Method::GET, &path, &script, None).await;
    assert_eq!(events.header("content-type"), "text/event-stream");
    assert!(events.text.starts_with("\n\ndata: {"), "{}", events.text);
    assert!(events.text.contains("\"ready\":true"), "{}", events.text);
}

/// Attack row 40.
#[tokio::test]
async fn another_site_cannot_start_a_server_by_a_link() {
    let hub = TestHub::new().await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    let foreign = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
    let page = browser.request(Method::GET, "/hub/spawn", &foreign, None).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("<form"), "{}", page.text);
    assert_eq!(hub.get("/users/alice/server", ALICE_TOKEN).await.json()["stopped"], true);
    assert_eq!(browser.post("/hub/spawn", &[]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.submit("/hub/spawn", &[]).await.location(), "/hub/spawn-pending/alice");
}

#[tokio::test]
async fn a_server_that_does_not_run_is_424_to_programs_and_a_page_to_people() {
    let hub = TestHub::new().await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    let page = browser.get("/hub/user/alice/lab?x=1").await;
    assert_eq!(page.status, StatusCode::FAILED_DEPENDENCY);
    assert!(page.text.contains("/hub/spawn/alice?next=%2Fhub%2Fuser%2Falice%2Flab%3Fx%3D1"), "{}", page.text);

    let accept = [("accept", "application/json")];
    for (path, headers) in [("/hub/user/alice/api/status", &[][..]), ("/hub/user/alice/lab", &accept[..])] {
        let answer = browser.request(Method::GET, path, headers, None).await;
        assert_eq!(answer.status, StatusCode::FAILED_DEPENDENCY);
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        let start = format!("JupyterHub server no longer running at {}", path.trim_start_matches("/hub"));
        assert!(message.starts_with(&start), "{message}");
        assert!(message.ends_with(" Restart the server at http://hub.test/hub/spawn/alice"), "{message}");
    }
    let token = [("authorization", format!("token {ALICE_TOKEN}"))];
    let token: Vec<_> = token.iter().map(|(name, value)| (*name, value.as_str())).collect();
    for (method, status) in [
        (Method::POST, StatusCode::FAILED_DEPENDENCY),
        (Method::DELETE, StatusCode::FAILED_DEPENDENCY),
        (Method::PUT, StatusCode::METHOD_NOT_ALLOWED),
    ] {
        let answer = hub.browser().request(method.clone(), "/hub/user/alice/api/kernels", &token, None).await;
        assert_eq!(answer.status, status, "{method}");
    }
    let answer = browser.post("/hub/user/alice/api/kernels", &[]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}

/// Attack row 47.
#[tokio::test]
async fn a_second_user_cannot_see_the_first_ones_server() {
    let hub = TestHub::new().await;
    hub.start_server("alice", ALICE_TOKEN).await;
    let mut bob = hub.logged_in(BOB_TOKEN).await;
    for path in [
        "/hub/user/alice/lab",
        "/hub/spawn/alice",
        "/hub/spawn-pending/alice",
        "/hub/user/nobody/",
        "/hub/spawn/nobody",
    ] {
        let answer = bob.get(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert!(answer.text.contains("No access to resources or resources not found"), "{path}");
    }
}

#[tokio::test]
async fn a_ready_server_without_a_route_is_tried_again_and_a_loop_ends() {
    let hub = TestHub::new().await;
    hub.start_server("alice", ALICE_TOKEN).await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    let answer = browser.get("/hub/user/alice/lab?a=1").await;
    assert_eq!(answer.location(), "/user/alice/lab?a=1&redirects=1");
    let answer = browser.get("/hub/user/alice/lab?redirects=4").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(answer.text.contains("Redirect loop detected."));
}

#[tokio::test]
async fn tokens_are_made_shown_once_and_revoked_without_a_script_s34() {
    let hub = TestHub::new().await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    browser.get("/hub/token").await;
    let page = browser.submit("/hub/token", &[("note", "reports <b>"), ("expires_in", "3600"), ("scopes", "")]).await;
    let token = page.text.split("id=\"token-result\">").nth(1).unwrap().split('<').next().unwrap().to_owned();
    assert_eq!(token.len(), 32, "{token}");
    assert!(!page.text.contains("<b>"));
    assert_eq!(hub.get("/user", &token).await.json()["name"], "alice");
    let page = browser.get("/hub/token").await;
    assert!(!page.text.contains(&token));
    let id = page.text.split("name=\"revoke\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert_eq!(browser.post("/hub/token", &[("revoke", &id)]).await.status, StatusCode::FORBIDDEN, "without _xsrf");
    assert_eq!(browser.submit("/hub/token", &[("revoke", &id)]).await.location(), "/hub/token");
    assert_eq!(hub.get("/user", &token).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn every_answer_says_its_version_and_what_a_page_may_do() {
    let hub = TestHub::new().await;
    let mut browser = hub.browser();
    for path in ["/hub/login", "/hub/home", "/hub/api", "/hub/api/nothing", "/hub/nothing", "/hub/health"] {
        let answer = browser.get(path).await;
        assert_eq!(answer.header("x-jupyterhub-version"), "6.1.1", "{path}");
        assert_eq!(answer.header("access-control-allow-headers"), "accept, content-type, authorization");
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("frame-ancestors 'none'; report-uri /hub/security/csp-report; "), "{policy}");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    }
    for path in ["/hub/static/hub.css", "/hub/static/progress.js", "/hub/logo"] {
        let answer = browser.get(path).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.header("x-jupyterhub-version"), "", "{path}");
    }
    assert_eq!(browser.get("/hub/static/../../etc/passwd").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn no_page_holds_a_script_or_a_style_of_its_own() {
    let hub = TestHub::new().await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    let anonymous = hub.browser().get("/hub/login").await.text;
    let mut pages = vec![anonymous];
    for path in ["/hub/home", "/hub/token", "/hub/user/alice/", "/hub/nothing", "/hub/error/503"] {
        pages.push(browser.get(path).await.text);
    }
    for page in pages {
        assert!(page.starts_with("<!doctype html>"), "{page}");
        for part in page.split("<script").skip(1) {
            assert!(part.starts_with(" src="), "{part}");
        }
        assert!(!page.contains("<style") && !page.contains(" style=") && !page.contains(" onclick="));
    }
}

#[tokio::test]
async fn a_start_is_cancelled_from_its_page() {
    let hub = TestHub::with(Settings { server: "import time; time.sleep(60)", ..Settings::default() }).await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    assert_eq!(browser.get("/hub/spawn").await.location(), "/hub/spawn-pending/alice");
    let page = browser.get("/hub/spawn-pending/alice").await;
    assert!(
        page.text.contains("id=\"progress-cancel\" method=\"post\" action=\"/hub/spawn-pending/alice\""),
        "{}",
        page.text
    );
    assert_eq!(browser.submit("/hub/spawn-pending/alice", &[]).await.location(), "/hub/home");
    hub.stop_server("alice", ALICE_TOKEN).await;
    assert!(browser.get("/hub/home").await.text.contains("id=\"start\""));
    // Another's start is nobody else's business.
    let mut bob = hub.logged_in(BOB_TOKEN).await;
    bob.get("/hub/home").await;
    assert_eq!(bob.submit("/hub/spawn-pending/alice", &[]).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_named_server_is_removed_from_the_home_page() {
    let limits = ServerLimits { allow_named_servers: true, ..ServerLimits::default() };
    let hub = TestHub::with(Settings { limits, ..Settings::default() }).await;
    assert_eq!(hub.api(Method::PUT, "/users/alice/servers/lab", ALICE_TOKEN, None).await.status, StatusCode::CREATED);
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    let page = browser.get("/hub/home").await;
    assert!(page.text.contains("name=\"remove\" value=\"lab\""), "{}", page.text);
    assert_eq!(browser.post("/hub/home", &[("remove", "lab")]).await.status, StatusCode::FORBIDDEN, "without _xsrf");
    assert_eq!(browser.submit("/hub/home", &[("remove", "")]).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(browser.submit("/hub/home", &[("remove", "lab")]).await.location(), "/hub/home");
    assert!(!browser.get("/hub/home").await.text.contains("value=\"lab\""));
}

/// What the administrator writes is text, on every page, an error's and a stranger's among them.
#[tokio::test]
async fn title_announcement_links_and_logo_are_the_administrators_attack_row_42() {
    let directory = tempfile::tempdir().unwrap();
    let logo = directory.path().join("logo.svg");
    std::fs::write(&logo, "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>").unwrap();
    let link = |text: &str, url: &str| PageLink { text: text.to_owned(), url: url.to_owned() };
    let pages = PagesConfig {
        title: Some("Physics & <b>".to_owned()),
        logo_file: Some(logo.clone()),
        announcement: Some("Down on <script>alert(1)</script> Friday".to_owned()),
        links: vec![link("Help \"x\"", "https://example.org/?a=1&b=\"2"), link("Imprint", "/services/imprint/")],
    };
    let hub = TestHub::with(Settings { pages, ..Settings::default() }).await;
    let mut alice = hub.logged_in(ALICE_TOKEN).await;
    let mut answers = vec![hub.browser().get("/hub/login").await];
    for path in ["/hub/home", "/hub/token", "/hub/nothing", "/hub/error/503", "/hub/user/alice/"] {
        answers.push(alice.get(path).await);
    }
    for answer in answers {
        let page = &answer.text;
        assert!(page.contains("Physics &#38; &#60;b&#62;</title>"), "{page}");
        assert!(page.contains("Down on &#60;script&#62;alert(1)&#60;/script&#62; Friday"), "{page}");
        assert!(page.contains("href=\"https://example.org/?a=1&#38;b=&#34;2\">Help &#34;x&#34;</a>"), "{page}");
        assert!(page.contains("href=\"/services/imprint/\""), "{page}");
        assert!(!page.contains("<script>") && !page.contains("<b>"), "{page}");
    }
    let shown = alice.get("/hub/logo").await;
    assert!(shown.text.contains("<svg") && shown.header("content-type") == "image/svg+xml");
    let policy = shown.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'") && policy.ends_with("sandbox"), "{policy}");
    // It may come later, and it may be gone.
    std::fs::remove_file(&logo).unwrap();
    assert!(alice.get("/hub/logo").await.text.contains("aria-label=\"Hub\""));
}

#[tokio::test]
async fn the_small_routes_lead_where_they_should() {
    let hub = TestHub::new().await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    for (path, status, location) in [
        ("/hub", StatusCode::MOVED_PERMANENTLY, "/hub/"),
        ("/hub/", StatusCode::FOUND, "/hub/spawn"),
        ("/", StatusCode::FOUND, "/hub/"),
        ("/user/alice/lab?a=1", StatusCode::FOUND, "/hub/user/alice/lab?a=1"),
        (
            "/hub/user-redirect/lab/tree/a%20b?x=1",
            StatusCode::FOUND,
            "/hub/spawn/alice?next=%2Fuser%2Falice%2Flab%2Ftree%2Fa%2520b%3Fx%3D1",
        ),
    ] {
        let answer = browser.get(path).await;
        assert_eq!((answer.status, answer.location()), (status, location), "{path}");
    }
    assert_eq!(browser.post("/user/alice/api/kernels", &[]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.get("/hub/nothing").await.status, StatusCode::NOT_FOUND);
    for (method, path, status) in [
        (Method::HEAD, "/hub/health", StatusCode::OK),
        (Method::HEAD, "/hub/spawn", StatusCode::METHOD_NOT_ALLOWED),
        (Method::PUT, "/hub/home", StatusCode::METHOD_NOT_ALLOWED),
        (Method::OPTIONS, "/hub/api/users", StatusCode::OK),
    ] {
        assert_eq!(browser.request(method.clone(), path, &[], None).await.status, status, "{method} {path}");
    }
}

#[tokio::test]
async fn the_proxys_error_pages_escape_the_address() {
    let hub = TestHub::new().await;
    let answer = hub.browser().get("/hub/error/404?url=%2F%3Cscript%3E").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(!answer.text.contains("<script>"), "{}", answer.text);
    assert_eq!(hub.browser().get("/hub/error/503").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(hub.browser().get("/hub/error/200").await.status, StatusCode::NOT_FOUND);
}
