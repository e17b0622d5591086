//! A database that JupyterHub made is taken up by our hub, and JupyterHub goes on with it afterwards. One settings file, one
//! cookie secret and one proxy serve both: whoever uses the hub notices nothing but a short wait.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::json;
use tokio::time::sleep;

use super::one_machine::{Place, SERVICE_TOKEN, Side};
use crate::{clients::Clients, postgres::Postgres, suite::person::Person};

/// From a hub's start until it knows how the servers are that it found.
const FOUND: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

pub(super) async fn jupyterhubs_sqlite_is_taken_up_and_given_back(clients: &Clients) -> Result<()> {
    let place = Place::new(clients, "sqlite:///jupyterhub.sqlite").await?;
    place.finish(there_and_back(&place, Side::Theirs)).await
}

/// Its schema is brought to that of 6, and it is kept beside it as it was.
pub(super) async fn a_database_of_jupyterhub_5_is_upgraded_and_given_to_6(clients: &Clients) -> Result<()> {
    let place = Place::new(clients, "sqlite:///jupyterhub.sqlite").await?;
    place.finish(there_and_back(&place, Side::Before)).await?;
    ensure!(place.dir().join("jupyterhub.sqlite.before-upgrade").exists(), "no copy was made before the upgrade");
    Ok(())
}

pub(super) async fn jupyterhubs_postgresql_is_taken_up_and_given_back(clients: &Clients) -> Result<()> {
    let postgres = Postgres::start().await?;
    // SQLAlchemy wants to be told which driver it has; our hub passes that over.
    let url = postgres.database("jupyterhub").await?.replace("postgresql://", "postgresql+psycopg2://");
    let place = Place::new(clients, &url).await?;
    place.finish(there_and_back(&place, Side::Theirs)).await
}

async fn there_and_back(place: &Place<'_>, from: Side) -> Result<()> {
    let ada = Person::new("ada", &place.base_url)?;
    let mut tokens = Vec::new();

    let theirs = place.start(from).await?;
    ada.log_in_with_form("any").await?;
    tokens.push(place.token_of(&ada).await?);
    furnish(place, &tokens[0]).await?;
    ada.start_server().await.context("the server that is to go on")?;
    ada.open_lab().await?;
    let kernel = ada.start_kernel().await?;
    theirs.stop().await?;

    for side in [Side::Ours, Side::Theirs, Side::Ours] {
        let hub = place.start(side).await?;
        check(place, &ada, &tokens, &kernel).await.with_context(|| format!("{side:?} goes on"))?;
        tokens.push(work(place, side).await.with_context(|| format!("{side:?} works"))?);
        hub.stop().await?;
    }
    Ok(())
}

/// A user and a group, as an administrator makes them.
async fn furnish(place: &Place<'_>, token: &str) -> Result<()> {
    place.api(token, Method::POST, "/users", Some(json!({"usernames": ["kept"]})), 201).await?;
    place.api(token, Method::POST, "/groups/class", Some(json!({"users": ["eve", "kept"]})), 201).await?;
    Ok(())
}

/// What was there before is there still: the browser's logins, tokens, rights, and the server that runs.
async fn check(place: &Place<'_>, ada: &Person, tokens: &[String], kernel: &str) -> Result<()> {
    ensure!(ada.is_logged_in().await?, "the browser is no longer logged in");
    for token in tokens {
        let user = place.api(token, Method::GET, "/user", None, 200).await?;
        ensure!(user["name"] == "ada" && user["admin"] == true, "the token is {user}'s");
    }
    let service = place.api(SERVICE_TOKEN, Method::GET, "/user", None, 200).await?;
    ensure!(service["kind"] == "service" && service["name"] == "watcher", "the service is {service}");
    let groups = place.api(&tokens[0], Method::GET, "/groups/class", None, 200).await?;
    // Neither hub promises an order.
    let users =
        groups["users"].as_array().map(|users| users.iter().filter_map(|user| user.as_str()).collect::<BTreeSet<_>>());
    ensure!(users == Some(BTreeSet::from(["eve", "kept"])), "the group is {groups}");
    let eve = place.api(SERVICE_TOKEN, Method::GET, "/users/eve", None, 200).await?;
    ensure!(eve["groups"] == json!(["class"]), "eve is {eve}");
    server_is_found(place, &tokens[0]).await?;
    // The same browser, without another login at hub or server.
    ada.open_lab().await?;
    let answer = ada.connect(kernel).await?.run("6*7").await?;
    ensure!(answer == "42", "the kernel that goes on says {answer}");
    Ok(())
}

async fn server_is_found(place: &Place<'_>, token: &str) -> Result<()> {
    let end = Instant::now() + FOUND;
    loop {
        let user = place.api(token, Method::GET, "/users/ada", None, 200).await?;
        if user["servers"][""]["ready"] == true {
            return Ok(());
        }
        ensure!(Instant::now() < end, "the running server is not found: {user}");
        sleep(POLL).await;
    }
}

/// Everything that writes: a login, a server, a token, a group, and the end of each. Gives a token of ada's that stays.
async fn work(place: &Place<'_>, side: Side) -> Result<String> {
    let ada = Person::new("ada", &place.base_url)?;
    ada.log_in_with_form("any").await?;
    let token = place.token_of(&ada).await?;
    let eve = Person::new("eve", &place.base_url)?;
    eve.log_in_with_form("any").await?;
    eve.start_server().await?;
    eve.open_lab().await?;
    eve.stop_server().await?;
    let brief = place.token_of(&eve).await?;
    let tokens = place.api(&token, Method::GET, "/users/eve/tokens", None, 200).await?;
    let id = tokens["api_tokens"].as_array().and_then(|all| all.last()).context("eve has a token")?["id"].clone();
    let path = format!("/users/eve/tokens/{}", id.as_str().context("a token's id is a text")?);
    place.api(&token, Method::DELETE, &path, None, 204).await?;
    place.api(&brief, Method::GET, "/user", None, 403).await?;
    let group = format!("/groups/{side:?}").to_lowercase();
    place.api(&token, Method::POST, &group, Some(json!({"users": ["ada"]})), 201).await?;
    place.api(&token, Method::DELETE, &group, None, 204).await?;
    place.api(&token, Method::POST, "/users/guest", None, 201).await?;
    place.api(&token, Method::DELETE, "/users/guest", None, 204).await?;
    eve.log_out().await?;
    ensure!(!eve.is_logged_in().await?, "a logout logs nobody out");
    Ok(token)
}
