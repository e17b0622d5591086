//! Tokens, passwords and cookies.

use reqwest::{Client, Method, StatusCode};

use crate::front::{Front, Setup, TOKEN, location, passed};

#[tokio::test]
async fn a_token_is_on_by_default_made_at_the_start_and_logged_s2_s8_s9() {
    let front = Setup::new().guard().await;
    let token = front.url.split("/?token=").nth(1).unwrap().to_owned();
    assert_eq!(token.len(), 48);
    assert!(token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token}");
    assert!(!front.browser().is_in().await);
    let answer = front.browser().request(Method::GET, "/").bearer_auth(token).send().await.unwrap();
    assert!(passed(&answer));
}

#[tokio::test]
async fn every_request_needs_the_token_s1_s4() {
    let front = Front::with_token(TOKEN).await;
    let client = Client::new();
    for path in
        ["/", "/tree", "/api", "/api/contents", "/static/x.js", "/login/x", "/%2e%2e/tree", "//tree", "/_chp_healthz"]
    {
        for method in [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
            for credential in [
                "",
                "token ",
                "token wrong",
                &format!("Basic {TOKEN}"),
                &format!("token {TOKEN}x"),
                &format!("token{TOKEN}"),
            ] {
                let request = client.request(method.clone(), front.at(path)).header("Authorization", credential);
                let answer = request.send().await.unwrap();
                assert!(!passed(&answer), "{method} {path} {credential}");
            }
            for scheme in ["token", "Token", "bearer", "BEARER"] {
                let request = client.request(method.clone(), front.at(path));
                let answer = request.header("Authorization", format!("{scheme} {TOKEN}")).send().await.unwrap();
                assert!(passed(&answer), "{method} {path} {scheme}");
            }
        }
    }
}

/// Pages lead to the login, scripts are told.
#[tokio::test]
async fn who_may_not_pass_is_told_so_that_they_understand() {
    let front = Front::with_token(TOKEN).await;
    let page = front.browser().get("/lab/tree/a b?x=1").await;
    assert_eq!((page.status(), location(&page)), (StatusCode::FOUND, "/login?next=%2Flab%2Ftree%2Fa%2520b%3Fx%3D1"));
    let api = front.browser().get("/api/contents").await;
    assert_eq!(api.status(), StatusCode::FORBIDDEN);
    assert_eq!(api.json::<serde_json::Value>().await.unwrap()["message"], "Forbidden");
    let post = front.browser().request(Method::POST, "/tree").send().await.unwrap();
    assert_eq!(post.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_token_in_the_address_sets_a_cookie_and_leaves_the_address_s6_s12_s16_s18() {
    let front = Front::with_token(TOKEN).await;
    let browser = front.browser();
    let answer = browser.get(&format!("/lab?a=1&token={TOKEN}&b=%2F")).await;
    assert_eq!((answer.status(), location(&answer)), (StatusCode::FOUND, "/lab?a=1&b=%2F"));
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.starts_with(&format!("username-localhost-{}=", front.port())), "{cookie}");
    for attribute in ["; HttpOnly", "; Path=/;", "; SameSite=Lax"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains(TOKEN));
    let seen = browser.get("/lab").await.text().await.unwrap();
    assert!(!seen.contains("username-localhost"), "the program sees the login: {seen}");
    assert!(!front.browser().is_in().await, "another browser has no cookie (S19)");
    // Scripts follow no redirects; the program does not get to see the token.
    let answer = Client::new().get(front.at(&format!("/api?x=1&token={TOKEN}"))).send().await.unwrap();
    let seen = answer.text().await.unwrap();
    assert!(seen.starts_with("GET /api?x=1\n") && !seen.contains(TOKEN), "{seen}");
    let answer = Client::new().get(front.at("/api")).bearer_auth(TOKEN).send().await.unwrap();
    assert!(!answer.text().await.unwrap().contains(TOKEN));
}

#[tokio::test]
async fn a_token_in_the_password_field_logs_in_s7() {
    let front = Front::with_token(TOKEN).await;
    let browser = front.browser();
    let wrong = browser.log_in("wrong").await;
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
    assert!(wrong.text().await.unwrap().contains("Invalid credentials"));
    assert!(!browser.is_in().await);
    let right = browser.post_form("/login?next=%2Flab%3Fx%3D1", &[("password", TOKEN)]).await;
    assert_eq!((right.status(), location(&right)), (StatusCode::FOUND, "/lab?x=1"));
    assert!(browser.is_in().await);
    let again = browser.get("/login?next=/lab").await;
    assert_eq!(location(&again), "/lab", "who is logged in sees no form");
    browser.get("/logout").await;
    assert!(!browser.is_in().await);
}

#[tokio::test]
async fn a_login_leads_to_this_server_only() {
    let front = Setup::new().env("JUPYTER_TOKEN", TOKEN).args(["--base-url", "x"]).guard().await;
    let own = front.port();
    for (next, expected) in [
        ("/x/lab".to_owned(), "/x/lab"),
        (format!("http://localhost:{own}/x/lab"), "/x/lab"),
        ("//evil.example/x/".to_owned(), "/x/"),
        ("https://evil.example/x/".to_owned(), "/x/"),
        ("/\\evil.example".to_owned(), "/x/"),
        ("/other".to_owned(), "/x/"),
        ("javascript:alert(1)".to_owned(), "/x/"),
    ] {
        let path = format!("/login?next={}", url::form_urlencoded::byte_serialize(next.as_bytes()).collect::<String>());
        let answer = front.browser().post_form(&path, &[("password", TOKEN)]).await;
        assert_eq!(location(&answer), expected, "{next}");
    }
}

#[tokio::test]
async fn a_form_of_another_site_does_not_log_in() {
    let front = Front::with_token(TOKEN).await;
    let browser = front.browser();
    for fields in [vec![("password", TOKEN)], vec![("password", TOKEN), ("_xsrf", "guess")]] {
        let answer = browser.request(Method::POST, "/login").form(&fields).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{fields:?}");
    }
    assert!(!browser.is_in().await);
}

fn hash() -> String {
    hub_auth::password::hash("a good password", [7; 16])
}

#[tokio::test]
async fn with_a_password_there_is_no_token_s3_s17_s20() {
    let front = Setup::new().args([&*format!("--PasswordIdentityProvider.hashed_password={}", hash())]).guard().await;
    assert!(!front.url.contains("token"), "{}", front.url);
    assert_eq!((front.info("token"), front.info("password")), ("".into(), true.into()));
    let browser = front.browser();
    for wrong in ["", "wrong", "a good passwor", &hash()] {
        assert_eq!(browser.log_in(wrong).await.status(), StatusCode::UNAUTHORIZED, "{wrong}");
    }
    assert_eq!(browser.log_in("a good password").await.status(), StatusCode::FOUND);
    assert!(browser.is_in().await);
    let header = Client::new().get(front.at("/api")).bearer_auth("a good password").send().await.unwrap();
    assert!(!passed(&header), "a password is no token");
}

/// A changed password ends what was logged in with the old one, and the settings file keeps the rest.
#[tokio::test]
async fn a_password_set_in_the_form_ends_every_login_before_it() {
    let setup = Setup::new().env("JUPYTER_TOKEN", TOKEN);
    let file = setup.dir.path().join(".jupyter/jupyter_server_config.json");
    std::fs::create_dir(file.parent().unwrap()).unwrap();
    std::fs::write(&file, r#"{"ServerApp": {"allow_origin": ""}}"#).unwrap();
    let front = setup.guard().await;
    let (before, setter) = (front.browser(), front.browser());
    before.log_in(TOKEN).await;
    assert!(before.is_in().await);
    let wrong = setter.post_form("/login", &[("password", "wrong"), ("new_password", "new")]).await;
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
    let set = setter.post_form("/login", &[("password", TOKEN), ("new_password", "a new password")]).await;
    assert_eq!(set.status(), StatusCode::FOUND);
    assert!(setter.is_in().await && !before.is_in().await);
    assert_eq!(before.log_in("a new password").await.status(), StatusCode::FOUND);
    let written: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(written["ServerApp"]["allow_origin"], "");
    assert!(written["IdentityProvider"]["hashed_password"].as_str().unwrap().starts_with("argon2:$argon2id$"));
}

#[tokio::test]
async fn both_empty_switch_authentication_off_with_a_warning_s24_s25_s26() {
    let front = Setup::new().args(["--ServerApp.token=", "--ServerApp.password="]).guard().await;
    assert!(front.browser().is_in().await);
    assert!(!front.url.contains("token"));
    let warning = "All authentication is disabled.  Anyone who can connect to this server will be able to run code.";
    assert!(front.log().contains(warning), "{}", front.log());
}

#[tokio::test]
async fn what_is_empty_alone_switches_nothing_off_s24() {
    for (arguments, variable) in [
        (vec!["--ServerApp.token="], ""),
        (vec!["--ServerApp.password="], ""),
        (vec!["--IdentityProvider.token="], ""),
        (vec![], "JUPYTER_TOKEN"),
        (vec!["--PasswordIdentityProvider.hashed_password="], "JUPYTER_TOKEN"),
    ] {
        let mut setup = Setup::new().args(arguments.iter().copied());
        if !variable.is_empty() {
            setup = setup.env(variable, "");
        }
        let front = setup.guard().await;
        assert!(!front.browser().is_in().await, "{arguments:?} {variable}");
        assert!(front.url.contains("/?token="), "{arguments:?} {variable}");
    }
}

#[tokio::test]
async fn a_token_that_could_be_guessed_is_guarded_from_guessing() {
    let front = Front::with_token("weak").await;
    let browser = front.browser();
    browser.log_in("weak").await;
    let client = Client::new();
    let guess = async |token: String| client.get(front.at("/api")).bearer_auth(token).send().await.unwrap();
    let mut statuses = Vec::new();
    for attempt in 0..12 {
        statuses.push(guess(format!("guess{attempt}")).await.status().as_u16());
    }
    assert_eq!(statuses, [[403; 10].as_slice(), &[429; 2]].concat());
    let right = guess("weak".to_owned()).await;
    assert_eq!(right.status(), StatusCode::TOO_MANY_REQUESTS, "further guesses are not looked at");
    let wait: u64 = right.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=61).contains(&wait), "{wait}");
    assert_eq!(front.browser().log_in("weak").await.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(browser.is_in().await, "who is logged in goes on");
}

#[tokio::test]
async fn a_login_survives_a_restart_while_its_secret_does_s19() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = dir.path().join("runtime");
    let front = Setup::new().env("JUPYTER_TOKEN", TOKEN).env("JUPYTER_RUNTIME_DIR", &runtime).guard().await;
    let cookie = front.browser().get(&format!("/?token={TOKEN}")).await.headers()["set-cookie"].clone();
    let pair = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
    let port = front.port().to_string();
    front.stop().await;
    let again = async || {
        let setup = Setup::new().env("JUPYTER_TOKEN", TOKEN).env("JUPYTER_RUNTIME_DIR", &runtime);
        let upstream = format!("http://{}", crate::front::program().await);
        setup.args(["--port", &port, "--upstream", &upstream]).start().await
    };
    let front = again().await;
    let answer = Client::new().get(front.at("/api")).header("Cookie", &pair).send().await.unwrap();
    assert!(passed(&answer));
    front.stop().await;
    std::fs::remove_file(runtime.join("jupyter_cookie_secret")).unwrap();
    let front = again().await;
    let answer = Client::new().get(front.at("/api")).header("Cookie", &pair).send().await.unwrap();
    assert!(!passed(&answer));
}

/// However guesses come: at the front's own pages, all at once, or with an address that can't be read.
#[tokio::test]
async fn guesses_are_counted_wherever_they_come_from() {
    let front = Front::with_token("weak").await;
    let client = Client::new();
    for attempt in 0..10 {
        let path = ["/login", "/logout", "/x"][attempt % 3];
        client.get(front.at(&format!("{path}?token=guess{attempt}"))).send().await.unwrap();
    }
    let right = client.get(front.at("/login?token=weak")).send().await.unwrap();
    assert_eq!(right.status(), StatusCode::TOO_MANY_REQUESTS);

    let front = Setup::new().args([&*format!("--PasswordIdentityProvider.hashed_password={}", hash())]).guard().await;
    let hidden = reqwest::header::HeaderValue::from_bytes(b"\xff").unwrap();
    let xsrf = front.browser();
    let form = xsrf.get("/login").await;
    let pair = form.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let value = pair.split('=').nth(1).unwrap().to_owned();
    let guesses = (0..30).map(|_| {
        let request = client.post(front.at("/login")).header("X-Forwarded-For", hidden.clone()).header("Cookie", &pair);
        let request = request.form(&[("password", "wrong"), ("_xsrf", value.as_str())]);
        tokio::spawn(async move { request.send().await.unwrap().status().as_u16() })
    });
    let mut statuses = Vec::new();
    for guess in guesses.collect::<Vec<_>>() {
        statuses.push(guess.await.unwrap());
    }
    let looked_at = statuses.iter().filter(|status| **status == 401).count();
    assert_eq!((looked_at, statuses.len()), (10, 30), "{statuses:?}");
}

/// Where only a password is set there is no token to guess: a picture in another site's page must lock nobody out.
#[tokio::test]
async fn wrong_tokens_lock_nobody_out_where_none_is_right() {
    let front = Setup::new().args([&*format!("--PasswordIdentityProvider.hashed_password={}", hash())]).guard().await;
    for _ in 0..15 {
        Client::new().get(front.at("/x?token=guess")).send().await.unwrap();
    }
    assert_eq!(front.browser().log_in("a good password").await.status(), StatusCode::FOUND);
}

/// The token may come twice; the program gets it not once.
#[tokio::test]
async fn a_token_in_two_places_reaches_the_program_in_none() {
    let front = Front::with_token(TOKEN).await;
    let seen = Client::new().get(front.at(&format!("/api?token={TOKEN}&a=1"))).bearer_auth(TOKEN).send().await.unwrap();
    let seen = seen.text().await.unwrap();
    assert!(seen.starts_with("GET /api?a=1\n") && !seen.contains(TOKEN), "{seen}");
}
