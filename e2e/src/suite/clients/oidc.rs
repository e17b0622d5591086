//! Login in Chromium at a real provider, with oauthenticator's settings.

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use super::one_machine::{Place, SERVICE_TOKEN, Side};
use crate::{
    bench::free_ports,
    clients::Clients,
    oidc_provider::{CLIENT_ID, CLIENT_SECRET, OidcProvider},
    suite::webdriver::{Browser, ENTER},
};

/// From the button to the notebook; groups of the provider's; a second login that asks nothing; and nobody without a group.
pub(super) async fn people_log_in_at_a_real_provider(clients: &Clients) -> Result<()> {
    let [address] = free_ports()?;
    let issuer = format!("http://{address}");
    let place = Place::with(clients, "sqlite:///hub.sqlite", |hub| settings(&issuer, hub)).await?;
    let port = address.port();
    let provider = OidcProvider::start(clients.node_packages(), port, &place.base_url, &people("staff")).await?;
    let hub = place.start(Side::Ours).await?;
    let output = clients.output()?;
    let test = async {
        Browser::with(output.clone(), "oidc", async |browser| grace_works(browser, &place, &provider).await).await?;
        Browser::with(output, "oidc-outside", async |browser| mallory_stays_outside(browser, &place).await).await
    };
    place.finish(test).await?;
    hub.stop().await
}

async fn grace_works(browser: &Browser, place: &Place<'_>, provider: &OidcProvider) -> Result<()> {
    browser.goto(&format!("{}/hub/", place.base_url)).await?;
    browser.await_path(|path| path == "/hub/login").await?;
    log_in_at_provider(browser, "u1").await?;
    // A page that asks whether she meant it would be in the way.
    browser.await_path(|path| path.starts_with("/user/grace/lab")).await?;
    let user = place.api(SERVICE_TOKEN, Method::GET, "/users/grace", None, 200).await?;
    ensure!(user["groups"] == json!(["staff"]) && user["admin"] == false, "grace is {user}");

    provider.set_people(&people("ops"))?;
    browser.goto(&format!("{}/hub/logout", place.base_url)).await?;
    browser.await_path(|path| path == "/hub/logout" || path == "/hub/login").await?;
    if browser.shows("a[href$='/hub/logout']").await? {
        browser.click("a.button[href$='/hub/logout']").await?;
        browser.await_path(|path| path == "/hub/login").await?;
    }
    // She is logged in at the provider still, which asks nothing.
    browser.click("#login_provider").await?;
    browser.await_path(|path| path.starts_with("/user/grace/lab")).await?;
    let user = place.api(SERVICE_TOKEN, Method::GET, "/users/grace", None, 200).await?;
    ensure!(user["groups"] == json!(["ops"]) && user["admin"] == true, "grace is {user}");
    Ok(())
}

/// Grace is in this group, and mallory in none.
fn people(group: &str) -> Value {
    json!({
        "u1": {"preferred_username": "Grace", "groups": [group]},
        "u2": {"preferred_username": "mallory", "groups": []},
    })
}

async fn mallory_stays_outside(browser: &Browser, place: &Place<'_>) -> Result<()> {
    browser.goto(&format!("{}/hub/login", place.base_url)).await?;
    log_in_at_provider(browser, "u2").await?;
    browser.await_path(|path| path == "/hub/oauth_callback").await?;
    let said = browser.script("return document.querySelector('.message.bad').textContent", json!([])).await?;
    let said = said.as_str().context("a message is text")?;
    ensure!(said.contains("You are not allowed to use this hub"), "the page says: {said}");
    Ok(())
}

async fn log_in_at_provider(browser: &Browser, subject: &str) -> Result<()> {
    browser.click("#login_provider").await?;
    browser.await_path(|path| path.starts_with("/interaction/")).await?;
    browser.type_into("input[name=login]", subject).await?;
    browser.type_into("input[name=password]", &format!("x{ENTER}")).await
}

fn settings(issuer: &str, hub: &str) -> String {
    format!(
        "
c.JupyterHub.authenticator_class = 'generic-oauth'
c.GenericOAuthenticator.client_id = '{CLIENT_ID}'
c.GenericOAuthenticator.client_secret = '{CLIENT_SECRET}'
c.GenericOAuthenticator.authorize_url = '{issuer}/auth'
c.GenericOAuthenticator.token_url = '{issuer}/token'
c.GenericOAuthenticator.userdata_url = '{issuer}/me'
c.GenericOAuthenticator.oauth_callback_url = '{hub}/hub/oauth_callback'
c.GenericOAuthenticator.login_service = 'the provider'
c.GenericOAuthenticator.scope = ['openid', 'profile']
c.GenericOAuthenticator.username_claim = 'preferred_username'
c.GenericOAuthenticator.claim_groups_key = 'groups'
c.GenericOAuthenticator.allowed_groups = {{'staff'}}
c.GenericOAuthenticator.admin_groups = {{'ops'}}
c.GenericOAuthenticator.manage_groups = True
"
    )
}
