//! Chromium, with JupyterLab behind our pages: what it keeps as cookies, what it complains of, and a logout while
//! another tab is at work.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    clients::Clients,
    environments::Version,
    local_hub::{LocalHub, USER},
    suite::webdriver::{Browser, ENTER},
};

/// How long a tab that was left open goes on after a logout: JupyterLab asks its server every few seconds.
const LEFT_ALONE: Duration = Duration::from_secs(5);
const LAB: &str = "/user/ada/lab";

/// Pages of ours that a person sees, but for those that lead on.
const PAGES: [&str; 4] = ["/hub/home", "/hub/token", "/hub/user/grace/", "/hub/no-such-page"];

pub(super) async fn pages_and_cookies_satisfy_chromium(clients: &Clients) -> Result<()> {
    with_browser(clients, "chromium", async |browser, hub| {
        log_in(browser, hub).await?;
        browser.await_path(|path| path == "/hub/spawn-pending/ada").await?;
        no_complaints(browser, "/hub/spawn-pending/ada").await?;
        browser.await_path(|path| path.starts_with(LAB)).await?;
        kept_as_sent(browser, hub).await?;
        browser.console().await?; // what JupyterLab says is not ours to judge
        for page in PAGES {
            browser.goto(&format!("{}{page}", hub.base_url)).await?;
            no_complaints(browser, page).await?;
        }
        Ok(())
    })
    .await
}

/// A tab that works on while another logs out must not bring the login back (CVE-2021-41247).
pub(super) async fn a_logout_ends_every_tab(clients: &Clients) -> Result<()> {
    with_browser(clients, "chromium-logout", log_out_in_one_of_two_tabs).await
}

/// `hub server` keeps its cookies in a browser as JupyterHub's own server does, and loses them alike.
pub(super) async fn hub_server_satisfies_chromium(clients: &Clients) -> Result<()> {
    let output = clients.output()?;
    let name = "chromium-front";
    clients
        .with_front(name, Version::V6, async |hub| {
            Browser::with(output, name, async |browser| {
                log_out_in_one_of_two_tabs(browser, hub).await?;
                browser.console().await?; // what JupyterLab said of its end
                log_in(browser, hub).await?;
                browser.await_path(|path| path.starts_with(LAB)).await?;
                kept_as_sent(browser, hub).await
            })
            .await
        })
        .await
}

async fn log_out_in_one_of_two_tabs(browser: &Browser, hub: &LocalHub) -> Result<()> {
    log_in(browser, hub).await?;
    browser.await_path(|path| path.starts_with(LAB)).await?;
    let first = browser.tab().await?;
    let second = browser.open_tab().await?;
    browser.goto(&format!("{}{LAB}", hub.base_url)).await?;
    browser.find("#jp-main-dock-panel").await?;
    ensure!(status_of_contents(browser).await? == 200, "a logged in tab has no access");

    browser.switch_to(&first).await?;
    // Where JupyterLab's own menu leads: the server forgets its cookie and hands over to the hub.
    browser.goto(&format!("{}/user/ada/logout", hub.base_url)).await?;
    browser.await_path(|path| path == "/hub/login").await?;
    browser.switch_to(&second).await?;
    sleep(LEFT_ALONE).await;
    let status = status_of_contents(browser).await?;
    ensure!(status == 403, "the tab that was left open gets {status}");
    for tab in [&second, &first] {
        browser.switch_to(tab).await?;
        browser.goto(&format!("{}{LAB}", hub.base_url)).await?;
        let url = browser.url().await?;
        ensure!(url.path() == "/hub/login", "after the logout a tab is at {url}");
    }
    Ok(())
}

/// A hub and a browser of a test's own.
pub(super) async fn with_browser(
    clients: &Clients,
    name: &str,
    test: impl AsyncFnOnce(&Browser, &LocalHub) -> Result<()>,
) -> Result<()> {
    let output = clients.output()?;
    clients
        .with_hub(name, Version::V6, async |hub| {
            Browser::with(output, name, async |browser| test(browser, hub).await).await
        })
        .await
}

/// From the hub's address to whatever a login leads to.
async fn log_in(browser: &Browser, hub: &LocalHub) -> Result<()> {
    browser.goto(&format!("{}/hub/", hub.base_url)).await?;
    browser.await_path(|path| path == "/hub/login").await?;
    no_complaints(browser, "/hub/login").await?;
    if browser.shows("input[name=username]").await? {
        browser.type_into("input[name=username]", USER).await?;
    }
    browser.type_into("input[name=password]", &format!("{}{ENTER}", hub.token)).await
}

/// Nothing that a page of ours does is against its own policy, and nothing that it asks for is missing.
async fn no_complaints(browser: &Browser, page: &str) -> Result<()> {
    let complaints: Vec<_> = browser.console().await?.iter().filter_map(|entry| complaint(entry, page)).collect();
    ensure!(complaints.is_empty(), "the console says at {page}:\n{}", complaints.join("\n"));
    Ok(())
}

/// Hints of the browser's are none, nor is that a page of an error is loaded with that error's status.
fn complaint(entry: &Value, page: &str) -> Option<String> {
    let (level, source) = (entry["level"].as_str()?, entry["source"].as_str()?);
    let message = entry["message"].as_str()?;
    let is_the_page_itself = source == "network" && message.split(' ').next().is_some_and(|url| url.ends_with(page));
    (matches!(level, "WARNING" | "SEVERE") && !is_the_page_itself).then(|| format!("{level} {source}: {message}"))
}

/// S58-S72 as the browser understood them.
async fn kept_as_sent(browser: &Browser, hub: &LocalHub) -> Result<()> {
    let at_server = browser.cookies().await?;
    browser.goto(&format!("{}/hub/home", hub.base_url)).await?;
    let at_hub = browser.cookies().await?;
    for (name, path, there, elsewhere) in [
        ("jupyterhub-user-ada", "/user/ada/", &at_server, &at_hub),
        ("jupyterhub-hub-login", "/hub/", &at_hub, &at_server),
    ] {
        let cookie = named(there, name).with_context(|| format!("there is no {name}"))?;
        ensure!(cookie["path"] == path && cookie["httpOnly"] == true, "{cookie}");
        ensure!(named(elsewhere, name).is_none(), "{name} is sent elsewhere");
    }
    let session = named(&at_hub, "jupyterhub-session-id").context("there is no session id")?;
    ensure!(session["path"] == "/" && session["httpOnly"] == true && session["expiry"].is_null(), "{session}");
    ensure!(named(&at_server, "jupyterhub-session-id").is_some(), "the server gets no session id");
    let states: Vec<_> = at_server.iter().filter(|cookie| cookie["name"].to_string().contains("oauth-state")).collect();
    ensure!(states.is_empty(), "the OAuth state is still there: {states:?}");
    Ok(())
}

fn named<'a>(cookies: &'a [Value], name: &str) -> Option<&'a Value> {
    cookies.iter().find(|cookie| cookie["name"] == name)
}

/// What a script of JupyterLab's page gets from the server.
pub(super) async fn status_of_contents(browser: &Browser) -> Result<u64> {
    let script = "
        const xsrf = document.cookie.split('; ').find(it => it.startsWith('_xsrf='))?.slice(6) ?? '';
        return (await fetch('/user/ada/api/contents', {headers: {'X-XSRFToken': xsrf}})).status;";
    browser.script(script, json!([])).await?.as_u64().context("a status is a number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_and_the_pages_own_status_are_no_complaints() {
        let complains = |level: &str, source: &str, url: &str| {
            let message = format!("{url} - Failed to load resource: the server responded with a status of 424 ()");
            complaint(&json!({"level": level, "source": source, "message": message}), "/hub/user/grace/").is_some()
        };
        let page = "http://127.0.0.1:8000/hub/user/grace/";
        assert!(!complains("SEVERE", "network", page));
        assert!(complains("SEVERE", "network", "http://127.0.0.1:8000/hub/static/style.css"));
        assert!(complains("SEVERE", "security", page));
        assert!(!complains("DEBUG", "recommendation", "http://127.0.0.1:8000/hub/login"));
    }
}
