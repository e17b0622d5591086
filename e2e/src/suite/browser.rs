//! A person's way through Chromium: pages, progress, JupyterLab, and a cell that is typed in.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{
    people,
    webdriver::{Browser, ENTER, SHIFT},
};
use crate::cluster::Cluster;

/// Login, spawn with progress, Lab, 42; a file that outlives the server.
pub(super) async fn a_person_works_in_chromium(cluster: &Cluster) -> Result<()> {
    let grace = people::grace(cluster).await?;
    grace.log_in_with_url(&grace.token).await?;
    grace.stop_server().await?;
    Browser::with(cluster.output()?, "browser", async |browser| {
        work(browser, &cluster.base_url, &grace.name, &grace.token).await
    })
    .await
}

async fn work(browser: &Browser, base_url: &str, user: &str, password: &str) -> Result<()> {
    browser.goto(&format!("{base_url}/hub/")).await?;
    browser.await_path(|path| path == "/hub/login").await?;
    browser.screenshot("1-login").await?;
    if browser.shows("input[name=username]").await? {
        browser.type_into("input[name=username]", user).await?;
    }
    browser.type_into("input[name=password]", &format!("{password}{ENTER}")).await?;

    let pending = format!("/hub/spawn-pending/{user}");
    let lab = format!("/user/{user}/lab");
    browser.await_path(|path| path == pending).await.context("the login does not lead to the spawn")?;
    browser.find("progress, [role=progressbar]").await?;
    browser.screenshot("2-spawn-progress").await?;
    browser.await_path(|path| path.starts_with(&lab)).await.context("the spawn does not lead to JupyterLab")?;
    // A workspace that was left open in an earlier run would be opened again.
    browser.goto(&format!("{base_url}{lab}?reset")).await?;
    run_a_cell(browser).await?;
    browser.screenshot("3-lab").await?;

    write_file(browser, user, "kept in chromium").await?;
    stop_and_start(browser, base_url, user).await?;
    browser.await_path(|path| path.starts_with(&lab)).await?;
    let text = read_file(browser, user).await?;
    ensure!(text == "kept in chromium", "the file holds {text} after a stop and a start");
    stop(browser, base_url).await
}

/// A notebook from the launcher, a cell typed into it, and what comes out below.
pub(super) async fn run_a_cell(browser: &Browser) -> Result<()> {
    browser.click(".jp-LauncherCard[data-category=Notebook]").await?;
    // A cell that is run before that is dropped.
    browser.await_text("#jp-main-statusbar", "| Idle").await?;
    browser.type_into(".jp-Notebook .jp-CodeCell .cm-content", &format!("6*7{SHIFT}{ENTER}")).await?;
    browser.await_text(".jp-Notebook .jp-OutputArea-output", "42").await
}

/// The home page's buttons, and the pages behind them.
async fn stop_and_start(browser: &Browser, base_url: &str, user: &str) -> Result<()> {
    stop(browser, base_url).await?;
    while !browser.shows("#start").await? {
        browser.goto(&format!("{base_url}/hub/home")).await?; // it says that the server is stopping
    }
    browser.click("#start").await?;
    browser
        .await_path(|path| path.starts_with("/hub/spawn-pending/") || path.starts_with(&format!("/user/{user}/")))
        .await
}

async fn stop(browser: &Browser, base_url: &str) -> Result<()> {
    browser.goto(&format!("{base_url}/hub/home")).await?;
    browser.click_away("#stop").await
}

async fn write_file(browser: &Browser, user: &str, text: &str) -> Result<()> {
    let file = json!({"type": "file", "format": "text", "content": text});
    contents(browser, user, "PUT", file).await.map(|_| ())
}

async fn read_file(browser: &Browser, user: &str) -> Result<String> {
    let file = contents(browser, user, "GET", Value::Null).await?;
    file["content"].as_str().map(str::to_owned).context("the file has no text")
}

/// Asks for a file as JupyterLab's own scripts do.
async fn contents(browser: &Browser, user: &str, method: &str, body: Value) -> Result<Value> {
    let script = "
        const xsrf = document.cookie.split('; ').find(it => it.startsWith('_xsrf=')).slice(6);
        const answer = await fetch(args[0], {
            method: args[1], headers: {'X-XSRFToken': xsrf, 'Content-Type': 'application/json'},
            body: args[2] && JSON.stringify(args[2]),
        });
        if (!answer.ok) throw new Error(answer.status + ' ' + await answer.text());
        return await answer.json();";
    browser.script(script, json!([format!("/user/{user}/api/contents/e2e-browser.txt"), method, body])).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the person's test beside JupyterHub itself: see `person/tests.rs`.
    #[tokio::test]
    #[ignore = "needs a JupyterHub and Chromium"]
    async fn chromium_works_at_a_peer() {
        let base_url = std::env::var("HUB_E2E_PEER").expect("HUB_E2E_PEER names a JupyterHub");
        let password = std::env::var("HUB_E2E_PEER_PASSWORD").expect("HUB_E2E_PEER_PASSWORD is its password");
        let bea = super::super::person::Person::new("bea", &base_url).unwrap();
        bea.log_in_with_form(&password).await.unwrap();
        bea.stop_server().await.unwrap();
        Browser::with(std::env::temp_dir(), "peer", async |browser| work(browser, &base_url, "bea", &password).await)
            .await
            .unwrap();
    }
}
