//! Tokens in addresses, in Chromium with JupyterLab behind the hub: of a server that runs, on another site's page, and of
//! a link that works once.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{
    api::Api,
    chromium::{status_of_contents, with_browser},
};
use crate::{
    clients::Clients,
    local_hub::{LocalHub, USER},
    suite::{person::Person, webdriver::Browser},
};

const LAB: &str = "/user/ada/lab";
/// Until a browser has asked ahead.
const PREFETCH: Duration = Duration::from_secs(20);

/// The hub takes the token, so that the real server gets what it gets from any login: a token of this session, which ends
/// with it. What logs in never reaches the server.
pub(super) async fn a_token_at_a_running_server_logs_in_at_the_hub_s6(clients: &Clients) -> Result<()> {
    with_browser(clients, "token-at-a-server", async |browser, hub| {
        Api::admin(hub).start_server(USER).await?;
        browser.goto(&format!("{}/user/ada/tree?token={}", hub.base_url, hub.token)).await?;
        browser.await_path(|path| path.starts_with("/user/ada/")).await?;
        leaves_no_token(browser, hub).await?;
        browser.goto(&format!("{}{LAB}?token={}", hub.base_url, hub.token)).await?;
        browser.find("#jp-main-dock-panel").await?;
        leaves_no_token(browser, hub).await?;
        ensure!(status_of_contents(browser).await? == 200, "the login gave no access to the server");
        let config = "return JSON.parse(document.getElementById('jupyter-config-data').textContent).token;";
        let token = browser.script(config, json!([])).await?;
        ensure!(token.as_str().is_some_and(|token| token != hub.token), "the page holds the login token");
        ensure!(!hub.server_logs()?.contains(&hub.token), "the server got the login token");
        ensure!(!hub.log().contains(&hub.token), "the hub logged the login token");

        browser.goto(&format!("{}/hub/logout", hub.base_url)).await?;
        is_logged_out(browser, hub).await?;
        another_sites_link_is_asked_about(browser, hub).await
    })
    .await
}

/// Attack row 28: by a link of another site's page nobody works in the name of whoever made it.
async fn another_sites_link_is_asked_about(browser: &Browser, hub: &LocalHub) -> Result<()> {
    let link = format!("{}{LAB}?token={}", hub.base_url, hub.token);
    browser.goto(&format!("data:text/html,<a id=link href='{link}'>free lunch</a>")).await?;
    browser.click("#link").await?;
    browser.await_text("h1", "Log in as ada?").await?;
    is_logged_out(browser, hub).await?;
    browser.goto(&format!("data:text/html,<a id=link href='{link}'>free lunch</a>")).await?;
    browser.click("#link").await?;
    browser.click("#login_submit").await?;
    browser.await_path(|path| path.starts_with(LAB)).await?;
    leaves_no_token(browser, hub).await
}

async fn leaves_no_token(browser: &Browser, hub: &LocalHub) -> Result<()> {
    let url = browser.url().await?;
    ensure!(!url.as_str().contains(&hub.token), "the token stays in the address {}", url.path());
    Ok(())
}

async fn is_logged_out(browser: &Browser, hub: &LocalHub) -> Result<()> {
    browser.goto(&format!("{}{LAB}", hub.base_url)).await?;
    let url = browser.url().await?;
    ensure!(url.path() == "/hub/login", "without a login JupyterLab's address leads to {url}");
    Ok(())
}

/// `hub link`: a browser that asks ahead does not use it up, the first visit does, and its cookie goes on working.
pub(super) async fn a_link_logs_in_once_s10_s11_s12_s13(clients: &Clients) -> Result<()> {
    with_browser(clients, "link", async |browser, hub| {
        let link = hub.ask(&["link", "--user", USER, "--expires", "5m"]).await?.trim().to_owned();
        ensure!(link.starts_with(&format!("{}/?token=", hub.base_url)), "the link is {link}");
        Api::admin(hub).start_server(USER).await?;
        browser.goto(&format!("{}{LAB}?token={}", hub.base_url, hub.token)).await?;
        browser.find("#jp-main-dock-panel").await?;
        is_asked_for_ahead(browser, hub, &link).await?;
        browser.goto(&format!("{}/hub/logout", hub.base_url)).await?;

        browser.goto(&link).await?;
        browser.await_path(|path| path.starts_with(LAB)).await?;
        let stranger = Person::new("stranger", &hub.base_url)?;
        let (_, token) = link.split_once("?token=").context("a link has a token")?;
        stranger.log_in_with_url(token).await?.expect(&[403])?;
        ensure!(!stranger.is_logged_in().await?, "a link that was used logs in");
        browser.goto(&format!("{}/hub/home", hub.base_url)).await?;
        ensure!(browser.url().await?.path() == "/hub/home", "the cookie of the link does not go on working");

        let listed = hub.ask(&["server", "list"]).await?;
        let (own, server) =
            (format!("{}/?token={} :: ", hub.base_url, hub.token), format!("{}/user/ada/ :: ", hub.base_url));
        for (line, start) in listed.lines().zip(["Currently running servers:", &own, &server]) {
            ensure!(line.starts_with(start), "the list says {line}, not {start}");
        }
        ensure!(listed.lines().count() == 3, "the list is:\n{listed}");
        for secret in [&hub.token, token] {
            ensure!(!hub.log().contains(secret), "a token is logged");
        }
        Ok(())
    })
    .await
}

/// Has the browser fetch the link before anybody follows it, and waits until it has. The hub's own pages let nothing be
/// fetched so; a server's do.
async fn is_asked_for_ahead(browser: &Browser, hub: &LocalHub, link: &str) -> Result<()> {
    let script = "
        const link = Object.assign(document.createElement('link'), {rel: 'prefetch', href: args[0]});
        document.head.append(link);";
    browser.script(script, json!([link])).await?;
    let end = Instant::now() + PREFETCH;
    while !hub.log().lines().any(|line| line.contains("token=redacted") && line.contains("status=503")) {
        ensure!(Instant::now() < end, "the browser did not fetch the link ahead:\n{}", hub.last_words());
        sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}
