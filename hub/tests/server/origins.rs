//! Pages of other sites, and other names for this machine.

use reqwest::{Client, Method, StatusCode};

use crate::front::{Front, Setup, TOKEN, passed};

#[tokio::test]
async fn another_sites_page_changes_nothing_with_a_login() {
    let front = Front::with_token(TOKEN).await;
    let browser = front.browser();
    browser.log_in(TOKEN).await;
    let own = format!("http://localhost:{}", front.port());
    for (method, header, value, passes) in [
        (Method::POST, "Origin", own.as_str(), true),
        (Method::POST, "Origin", "http://evil.example", false),
        (Method::DELETE, "Origin", "null", false),
        (Method::PUT, "Origin", "http://localhost:1", false),
        (Method::POST, "Sec-Fetch-Site", "cross-site", false),
        (Method::POST, "Sec-Fetch-Site", "same-origin", true),
        (Method::GET, "Origin", "http://evil.example", true),
        (Method::POST, "Sec-Fetch-Site", "same-site", false),
        (Method::POST, "X-Nothing", "x", true),
    ] {
        let answer = browser.request(method.clone(), "/api").header(header, value).send().await.unwrap();
        assert_eq!(passed(&answer), passes, "{method} {header}: {value}");
    }
}

#[tokio::test]
async fn another_sites_page_opens_no_websocket_with_a_login() {
    let front = Front::with_token(TOKEN).await;
    let browser = front.browser();
    browser.log_in(TOKEN).await;
    for (origin, passes) in
        [("http://evil.example".to_owned(), false), (format!("http://localhost:{}", front.port()), true)]
    {
        let request = browser.request(Method::GET, "/api/kernels/1/channels").header("Origin", &origin);
        let request = request.header("Connection", "Upgrade").header("Upgrade", "websocket");
        let request =
            request.header("Sec-WebSocket-Version", "13").header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
        let answer = request.send().await.unwrap();
        assert_eq!(passed(&answer), passes, "{origin}");
        assert!(passes || answer.status() == StatusCode::FORBIDDEN);
    }
}

/// Who has the token is no browser that was tricked; the program need not check again.
#[tokio::test]
async fn the_token_may_come_from_any_origin() {
    let front = Front::with_token(TOKEN).await;
    let request = Client::new().post(front.at("/api")).bearer_auth(TOKEN).header("Origin", "http://other.example");
    let answer = request.header("Cookie", "_xsrf=x; a=1").send().await.unwrap();
    assert_eq!(answer.headers()["access-control-allow-origin"], "http://other.example");
    let seen = answer.text().await.unwrap();
    assert!(!seen.contains("origin:") && seen.contains("cookie: a=1; _xsrf=checked-by-the-front\n"), "{seen}");
    assert!(seen.contains("x-xsrftoken: checked-by-the-front\n"), "{seen}");
}

#[tokio::test]
async fn an_origin_that_the_settings_name_is_admitted() {
    let setup = Setup::new().env("JUPYTER_TOKEN", TOKEN);
    let front = setup.args([r"--ServerApp.allow_origin_pat=https://[a-z]+\.example$"]).guard().await;
    let browser = front.browser();
    browser.log_in(TOKEN).await;
    for (origin, passes) in
        [("https://good.example", true), ("https://good.example.evil", false), ("http://good.example", false)]
    {
        let answer = browser.request(Method::POST, "/api").header("Origin", origin).send().await.unwrap();
        assert_eq!(passed(&answer), passes, "{origin}");
        let preflight =
            Client::new().request(Method::OPTIONS, front.at("/api")).header("Origin", origin).send().await.unwrap();
        assert_eq!(preflight.headers().contains_key("access-control-allow-origin"), passes, "{origin}");
    }
}

#[tokio::test]
async fn other_names_for_this_machine_are_refused_unless_remote_access_is_allowed() {
    let rebound = async |front: &Front| {
        let client = Client::new();
        client.get(front.at("/api")).bearer_auth(TOKEN).header("Host", "evil.example:8888").send().await.unwrap()
    };
    let front = Front::with_token(TOKEN).await;
    let answer = rebound(&front).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert!(front.log().contains("allow_remote_access"), "{}", front.log());
    let setup = Setup::new().env("JUPYTER_TOKEN", TOKEN).args(["--ServerApp.allow_remote_access=True"]);
    assert!(passed(&rebound(&setup.guard().await).await));
}

#[tokio::test]
async fn the_program_cannot_take_the_login_away() {
    let front = Front::with_token(TOKEN).await;
    let named = Setup::new()
        .env("JUPYTER_TOKEN", TOKEN)
        .args(["--IdentityProvider.cookie_name=username-planted"])
        .guard()
        .await;
    for (front, passes) in [(front, true), (named, false)] {
        let answer = Client::new().get(front.at("/api")).bearer_auth(TOKEN).send().await.unwrap();
        assert!(passed(&answer));
        assert_eq!(answer.headers().contains_key("set-cookie"), passes);
    }
}

/// A script or a picture of another site may not be made of what is here; links from there may lead here.
#[tokio::test]
async fn another_sites_page_includes_nothing_with_a_login() {
    let front = Front::with_token(TOKEN).await;
    let browser = front.browser();
    browser.log_in(TOKEN).await;
    for (site, mode, passes) in [
        ("same-site", "no-cors", false),
        ("cross-site", "no-cors", false),
        ("cross-site", "navigate", true),
        ("same-origin", "no-cors", true),
        ("none", "navigate", true),
    ] {
        let request =
            browser.request(Method::GET, "/api").header("Sec-Fetch-Site", site).header("Sec-Fetch-Mode", mode);
        assert_eq!(passed(&request.send().await.unwrap()), passes, "{site} {mode}");
    }
}

/// Browsers send the cookies of all ports of a host, and anybody's page of one may set some.
#[tokio::test]
async fn cookies_of_neighbours_reach_neither_the_program_nor_the_login() {
    let front = Front::with_token(TOKEN).await;
    let request = Client::new().get(front.at("/api")).bearer_auth(TOKEN);
    let seen =
        request.header("Cookie", "username-localhost-9999=theirs; a=1").send().await.unwrap().text().await.unwrap();
    assert!(!seen.contains("theirs") && seen.contains("a=1"), "{seen}");

    let browser = front.browser();
    let login = browser.log_in(TOKEN).await.headers()["set-cookie"].to_str().unwrap().to_owned();
    let mut cookies = login.split(';').next().unwrap().as_bytes().to_vec();
    cookies.extend_from_slice(b"; x=\xff\xc3");
    let header = reqwest::header::HeaderValue::from_bytes(&cookies).unwrap();
    assert!(passed(&Client::new().get(front.at("/api")).header("Cookie", header).send().await.unwrap()));

    let other = Setup::new().env("JUPYTER_TOKEN", TOKEN).env("HOME", front.dir.path()).guard().await;
    let pair = login.split(';').next().unwrap();
    let host = format!("localhost:{}", front.port());
    let stray = Client::new().get(other.at("/api")).header("Cookie", pair).header("Host", host).send().await.unwrap();
    assert!(!passed(&stray), "a login at one server is none at another");
}
