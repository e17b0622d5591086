//! The browser that the server opens, and its token that works once.

use reqwest::{Client, Method, StatusCode};
use std::{path::PathBuf, time::Duration};

use crate::front::{Front, Setup, location, passed, write_script};

/// A front that has opened a browser: one that writes down what it was told.
async fn launched() -> (Front, PathBuf, String) {
    let setup = Setup::new();
    let (script, told) = (setup.dir.path().join("browser"), setup.dir.path().join("told"));
    write_script(&script, &format!("#!/bin/sh\necho \"$@\" > {0}.new && mv {0}.new {0}\n", told.display()));
    let front = setup.env("BROWSER", &script).args(["--browser"]).guard().await;
    while !told.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let told = std::fs::read_to_string(told).unwrap().trim().to_owned();
    let file = PathBuf::from(told.strip_prefix("file://").unwrap());
    let page = std::fs::read_to_string(&file).unwrap();
    let token = page.split("?token=").nth(1).unwrap().split('"').next().unwrap().to_owned();
    (front, file, token)
}

#[tokio::test]
async fn the_browser_is_opened_with_a_token_that_works_once_s10_s11_s12_s13() {
    use std::os::unix::fs::PermissionsExt;
    let (front, file, token) = launched().await;
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(file.parent(), Some(&*front.runtime_dir()));
    assert_eq!(token.len(), 48);
    assert!(!front.url.contains(&token) && !front.log().contains(&token), "it is an additional one");

    let browser = front.browser();
    let first = browser.get(&format!("/?token={token}")).await;
    assert_eq!((first.status(), location(&first)), (StatusCode::FOUND, "/"));
    assert!(browser.is_in().await);
    let second = front.browser().get(&format!("/?token={token}")).await;
    assert!(location(&second).starts_with("/login?next="), "{second:?}");
    assert!(second.headers().get("set-cookie").is_none());
    let api = Client::new().get(front.at("/api")).bearer_auth(&token).send().await.unwrap();
    assert!(!passed(&api), "it is good for nothing else");
    assert!(browser.is_in().await, "the cookie goes on working");
    let again = browser.get(&format!("/lab?token={token}&a=1")).await;
    assert_eq!(location(&again), "/lab?a=1", "its own browser leaves it out of the address");
    for _ in 0..100 {
        if !file.exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the file with the spent token is still there");
}

#[tokio::test]
async fn of_twenty_simultaneous_first_uses_one_gets_a_cookie_s11() {
    let (front, _, token) = launched().await;
    let uses = (0..20).map(|_| {
        let browser = front.browser();
        let request = browser.request(Method::GET, &format!("/?token={token}"));
        tokio::spawn(async move { request.send().await.unwrap().headers().contains_key("set-cookie") })
    });
    let mut logged_in = 0;
    for attempt in uses.collect::<Vec<_>>() {
        logged_in += usize::from(attempt.await.unwrap());
    }
    assert_eq!(logged_in, 1);
}

#[tokio::test]
async fn looking_ahead_does_not_spend_the_token() {
    let (front, _, token) = launched().await;
    let path = format!("/?token={token}");
    let head = front.browser().request(Method::HEAD, &path).send().await.unwrap();
    assert!(head.headers().get("set-cookie").is_none());
    for (name, value) in [
        ("Sec-Purpose", "prefetch"),
        ("Sec-Purpose", "prefetch;prerender"),
        ("Purpose", "prefetch"),
        ("X-Moz", "prefetch"),
    ] {
        let ahead = front.browser().request(Method::GET, &path).header(name, value).send().await.unwrap();
        assert!(ahead.headers().get("set-cookie").is_none() && !ahead.status().is_redirection(), "{name}: {value}");
    }
    let wrong = front.browser().get("/?token=wrong").await;
    assert!(wrong.headers().get("set-cookie").is_none());
    assert!(front.browser().get(&path).await.headers().contains_key("set-cookie"));
}

#[tokio::test]
async fn no_browser_is_opened_unless_asked() {
    let setup = Setup::new();
    let script = setup.dir.path().join("browser");
    let told = setup.dir.path().join("told");
    write_script(&script, &format!("#!/bin/sh\ntouch {}\n", told.display()));
    let front = setup.env("BROWSER", &script).args(["--ServerApp.open_browser=True", "--no-browser"]).guard().await;
    front.browser().get("/").await;
    assert!(!told.exists());
}
