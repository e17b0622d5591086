//! Who may not: strangers, other users, and those who logged out.

use anyhow::{Context, Result, ensure};
use reqwest::Method;

use super::{hubs::Place, people, person::Person};
use crate::cluster::Cluster;

/// Whatever is asked for, whoever has no cookie gets to see the login page.
pub(super) async fn without_a_cookie_every_page_leads_to_login(cluster: &Cluster) -> Result<()> {
    let ada = people::ada(cluster).await?;
    ada.log_in_with_url(&ada.token).await?;
    ada.start_server().await?;
    let paths = [
        "/",
        "/hub",
        "/hub/",
        "/hub/home",
        "/hub/token",
        "/hub/spawn",
        "/hub/spawn/ada",
        "/hub/spawn-pending/ada",
        "/hub/user/ada/",
        "/hub/user-redirect/lab",
        "/hub/api/oauth2/authorize?client_id=jupyterhub-user-ada&redirect_uri=%2Fuser%2Fada%2Foauth_callback&response_type=code",
        "/user/ada/", // runs
        "/user/ada/lab",
        "/user/grace/lab", // may or may not run
        "/user/nobody/",
    ];
    for path in paths {
        let stranger = Person::new("stranger", &cluster.base_url)?;
        let answer = stranger.visit(path).await?;
        ensure!(
            answer.path() == "/hub/login" && answer.status == 200,
            "{path} leads to {}: {}",
            answer.url,
            answer.status
        );
    }
    for path in ["/hub/api/user", "/hub/api/users", "/hub/api/users/ada", "/hub/api/proxy", "/user/ada/api/contents"] {
        let stranger = Person::new("stranger", &cluster.base_url)?;
        stranger.fetch(Method::GET, path, None).await?.expect(&[403])?;
    }
    Ok(())
}

pub(super) async fn a_second_user_cannot_open_the_first_ones_server(cluster: &Cluster) -> Result<()> {
    let ada = people::ada(cluster).await?;
    let grace = people::grace(cluster).await?;
    ada.log_in_with_url(&ada.token).await?;
    ada.start_server().await?;
    ada.open_lab().await?;
    grace.log_in_with_url(&grace.token).await?;
    let answer = grace.visit("/user/ada/lab").await?;
    ensure!(answer.status == 403, "grace gets {} at {}", answer.status, answer.url);
    ensure!(answer.body.contains("<html"), "the refusal is no page: {}", answer.body);
    grace.fetch(Method::GET, "/user/ada/api/contents", None).await?.expect(&[403])?;
    for (method, path) in [
        (Method::GET, "/hub/api/users/ada"),
        (Method::DELETE, "/hub/api/users/ada/server"),
        (Method::POST, "/hub/api/users/ada/server"),
        (Method::POST, "/hub/api/users/ada/tokens"),
    ] {
        grace.fetch(method, path, None).await?.expect(&[403, 404])?;
    }
    ada.open_lab().await.map(|_| ())
}

/// The server's own cookie, kept or stolen from before the logout, opens nothing after it.
pub(super) async fn logout_ends_the_access_to_hub_and_server(cluster: &Cluster) -> Result<()> {
    let ada = people::ada(cluster).await?;
    ada.log_in_with_url(&ada.token).await?;
    ada.start_server().await?;
    ada.open_lab().await?;
    let session = ada.jar().value("jupyterhub-session-id", "/").map(str::to_owned);
    ensure!(session.is_some(), "the login gave no session id: {:?}", ada.jar().names());
    // The server's own cookie is what counts there, whatever the session id says. The server asks the hub once for each
    // session id, none among them, and believes the answer for five minutes: so each browser here has one of its own.
    let [before, after] = [Person::new("ada", &cluster.base_url)?, Person::new("ada", &cluster.base_url)?];
    before.steal(&ada, "jupyterhub-user-ada");
    after.steal(&ada, "jupyterhub-user-ada");
    before.plant("jupyterhub-session-id=fedcba9876543210fedcba9876543210; Path=/");
    after.plant("jupyterhub-session-id=0123456789abcdef0123456789abcdef; Path=/");
    before.open_lab().await?;

    ada.log_out().await?;
    ensure!(!ada.is_logged_in().await?, "the hub's pages are open after logout");
    for person in [&*ada, &after] {
        let answer = person.visit("/user/ada/lab").await?;
        ensure!(answer.path() == "/hub/login", "after logout the server's page leads to {}", answer.url);
    }
    ada.log_in_with_url(&ada.token).await?;
    let renewed = ada.jar().value("jupyterhub-session-id", "/").map(str::to_owned);
    ensure!(renewed != session, "the session id survives logout and login");
    Ok(())
}

/// `hub token revoke` in the hub's pod, where there is no shell (S34): what was revoked is counted, and opens nothing.
pub(super) async fn an_administrator_revokes_tokens_in_the_hubs_pod_s34(cluster: &Cluster) -> Result<()> {
    let grace = people::grace(cluster).await?;
    grace.log_in_with_url(&grace.token).await?;
    grace.visit("/hub/home").await?.expect(&[200])?;
    let made = grace.fetch(Method::POST, "/hub/api/users/grace/tokens", None).await?.expect(&[201])?.json()?;
    let token = made["token"].as_str().context("a new token has its text")?;
    ensure!(token_works(cluster, token).await?, "a new token is refused");
    let words = Place::example(cluster).command(&["token", "revoke", "--user", "grace"]).await?;
    ensure!(words.starts_with("revoked ") && !words.starts_with("revoked 0"), "the command says: {words}");
    ensure!(!token_works(cluster, token).await?, "a revoked token works");
    ensure!(grace.is_logged_in().await?, "a revocation of tokens is no logout");
    Ok(())
}

async fn token_works(cluster: &Cluster, token: &str) -> Result<bool> {
    let request = reqwest::Client::builder().no_proxy().build()?.get(format!("{}/hub/api/user", cluster.base_url));
    Ok(request.header("Authorization", format!("token {token}")).send().await?.status().is_success())
}
