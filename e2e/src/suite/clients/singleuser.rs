//! `jupyterhub-singleuser` with JupyterLab, and `hub server` in its place: the way from the printed address into a notebook, the four cookies on it,
//! and the logout.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use cookie::{Cookie, time::OffsetDateTime};
use reqwest::Method;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::api::Api;
use crate::{
    clients::Clients,
    environments::Version,
    local_hub::{LocalHub, USER},
    suite::person::{Answer, Person},
};

const HUB_LOGIN: &str = "jupyterhub-hub-login";
const SESSION_ID: &str = "jupyterhub-session-id";
const SERVER: &str = "jupyterhub-user-ada";
const OAUTH_STATE: &str = "jupyterhub-user-ada-oauth-state";
const PREFIX: &str = "/user/ada/";
/// Until a server has said that it is in use: it does so when it starts.
const ACTIVITY: Duration = Duration::from_secs(20);

pub(super) async fn jupyterhub_6_works_with_the_hub(clients: &Clients) -> Result<()> {
    clients.with_hub("singleuser-6", Version::V6, async |hub| work(hub, "6.1.").await).await
}

pub(super) async fn jupyterhub_5_works_with_the_hub(clients: &Clients) -> Result<()> {
    clients.with_hub("singleuser-5", Version::V5, async |hub| work(hub, "5.4.").await).await
}

/// What people see of `jupyterhub-singleuser`, they see of `hub server`.
pub(super) async fn hub_server_works_with_the_hub_as_jupyterhub_does(clients: &Clients) -> Result<()> {
    clients.with_front("hub-server", Version::V6, async |hub| work(hub, "6.1.").await).await
}

/// The other way round: with JupyterHub itself, `hub server` is as good a server as JupyterHub's own.
pub(super) async fn hub_server_is_a_server_of_jupyterhub(clients: &Clients) -> Result<()> {
    clients
        .with_real_hub(async |hub| {
            let ada = Person::new(USER, &hub.base_url)?;
            ada.log_in_with_form("any password will do").await?;
            ada.start_server().await?;
            let lab = ada.open_lab().await?;
            cookies_are_as_documented(&ada)?;
            the_oauth_state_was_short_lived(&ada, &lab)?;
            let kernel = ada.start_kernel().await?;
            let answer = ada.connect(&kernel).await?.run("6*7").await?;
            ensure!(answer == "42", "6*7 is {answer}");

            let stranger = Person::new("stranger", &hub.base_url)?;
            stranger.fetch(Method::GET, "/user/ada/api/contents", None).await?.expect(&[403])?;
            stranger.log_in_with_form("nor does another").await?;
            let refused = stranger.visit("/user/ada/lab").await?;
            ensure!(refused.status == 403, "somebody else gets {} at {}", refused.status, refused.url);
            ada.log_out().await?;
            ada.fetch(Method::GET, "/user/ada/api/contents", None).await?.expect(&[403]).map(|_| ())
        })
        .await
}

async fn work(hub: &LocalHub, version: &str) -> Result<()> {
    let ada = Person::new(USER, &hub.base_url)?;
    ada.log_in_with_url(&hub.token).await?.leaves_behind(&hub.token)?;
    the_login_cookie_opens_the_hubs_pages(&ada, hub).await?;

    let progress: Vec<i64> = ada.start_server().await?.iter().filter_map(|event| event["progress"].as_i64()).collect();
    ensure!(progress.is_sorted() && progress.first() == Some(&0), "progress runs {progress:?}");
    ensure!(ada.jar().received(OAUTH_STATE).is_empty(), "there is an OAuth state before there is OAuth");
    let lab = ada.open_lab().await?;
    let server_version = lab.headers.get("x-jupyterhub-version").context("the server does not say its version")?;
    ensure!(server_version.to_str()?.starts_with(version), "the server is of JupyterHub {server_version:?}");
    ensure!(lab.body.contains(r#""hubPrefix": "/hub/""#), "JupyterLab does not know the way to the hub");
    cookies_are_as_documented(&ada)?;
    the_oauth_state_was_short_lived(&ada, &lab)?;

    let kernel = ada.start_kernel().await?;
    let answer = ada.connect(&kernel).await?.run("6*7").await?;
    ensure!(answer == "42", "6*7 is {answer}");
    let stranger = Person::new("stranger", &hub.base_url)?;
    stranger.fetch(Method::GET, "/user/ada/api/contents", None).await?.expect(&[403])?;
    the_hubs_answer_is_cached_by_token_and_session_id(&ada, hub).await?;
    activity_arrives(hub).await?;
    logout_ends_all_access(&ada, hub).await
}

/// S58, S59, S61.
async fn the_login_cookie_opens_the_hubs_pages(ada: &Person, hub: &LocalHub) -> Result<()> {
    let other = Person::new(USER, &hub.base_url)?;
    ensure!(!other.is_logged_in().await?, "the hub's pages are open to everyone");
    other.steal(ada, HUB_LOGIN);
    ensure!(other.is_logged_in().await?, "{HUB_LOGIN} does not open the hub's pages");
    ensure!(ada.jar().value(HUB_LOGIN, PREFIX).is_none(), "{HUB_LOGIN} goes to servers");
    Ok(())
}

/// Names, paths and flags of the cookies that stay (S58-S72), and how long they do.
fn cookies_are_as_documented(ada: &Person) -> Result<()> {
    let jar = ada.jar();
    for (name, path) in [(HUB_LOGIN, "/hub/"), (SESSION_ID, "/"), (SERVER, PREFIX)] {
        let cookie = *jar.received(name).last().with_context(|| format!("there is no {name}"))?;
        ensure!(cookie.path() == Some(path), "{name} has path {:?}, not {path}", cookie.path());
        ensure!(cookie.http_only() == Some(true), "scripts can read {name}");
        ensure!(cookie.secure() != Some(true), "{name} would not come back over plain HTTP");
        ensure!(cookie.domain().is_none(), "{name} goes to other hosts: {:?}", cookie.domain());
        // The session ends with the browser, the logins after a month.
        ensure!(
            lifetime(cookie).is_none_or(|days| (29..=30).contains(&days)),
            "{name} stays {:?} days",
            lifetime(cookie)
        );
        ensure!(lifetime(cookie).is_some() == (name != SESSION_ID), "{name} stays {:?} days", lifetime(cookie));
    }
    let session_id = jar.value(SESSION_ID, "/").unwrap_or_default();
    ensure!(session_id.len() == 32 && session_id.chars().all(|c| c.is_ascii_hexdigit()), "{SESSION_ID}={session_id}");
    let shared: Vec<_> = jar.names().into_iter().filter(|(_, path)| *path == "/").collect();
    ensure!(shared == [(SESSION_ID, "/")], "hub and servers share {shared:?}");
    Ok(())
}

/// Whole days that a cookie stays; `None`: until the browser ends.
fn lifetime(cookie: &Cookie<'_>) -> Option<i64> {
    Some((cookie.expires_datetime()? + cookie::time::Duration::minutes(1) - OffsetDateTime::now_utc()).whole_days())
}

/// S73-S77.
fn the_oauth_state_was_short_lived(ada: &Person, lab: &Answer) -> Result<()> {
    let jar = ada.jar();
    ensure!(!jar.names().iter().any(|(name, _)| name.starts_with(OAUTH_STATE)), "it is still there: {:?}", jar.names());
    let received = jar.received(OAUTH_STATE);
    let first = received.first().context("there was no OAuth state")?;
    ensure!(first.path() == Some(PREFIX) && first.http_only() == Some(true), "{first}");
    ensure!(first.max_age() == Some(cookie::time::Duration::minutes(10)), "it would stay {:?}", first.max_age());
    let authorize = lab.redirects.iter().find(|url| url.path() == "/hub/api/oauth2/authorize");
    let authorize = authorize.context("the way to JupyterLab leads past OAuth")?;
    let state = authorize.query_pairs().find(|(name, _)| name == "state").context("there is no state")?.1;
    ensure!(signed_value(first.value_trimmed())? == state, "the cookie holds more than the state");
    Ok(())
}

/// S66, S67: the server asks once for each pair of them.
async fn the_hubs_answer_is_cached_by_token_and_session_id(ada: &Person, hub: &LocalHub) -> Result<()> {
    let asked = || hub.log().lines().filter(|line| line.contains(" GET /hub/api/user ")).count();
    // A page, not its API: what a page asks for with a stolen cookie lacks the page's own `_xsrf`.
    let visit = async |person: &Person| person.look("/user/ada/lab").await?.expect(&[200]);
    visit(ada).await?;
    let before = asked();
    visit(ada).await?;
    visit(ada).await?;
    ensure!(asked() == before, "the server asked the hub again");
    // Not without any session id: the hub's answer to that would be remembered beyond the logout.
    let other = Person::new(USER, &hub.base_url)?;
    other.steal(ada, SERVER);
    other.plant(&format!("{SESSION_ID}=0123456789abcdef0123456789abcdef; Path=/"));
    visit(&other).await?;
    ensure!(asked() == before + 1, "for another session id the server asked the hub {} times", asked() - before);
    Ok(())
}

async fn activity_arrives(hub: &LocalHub) -> Result<()> {
    let arrived = |line: &str| line.contains("POST /hub/api/users/ada/activity") && line.contains("status=200");
    let end = Instant::now() + ACTIVITY;
    while !hub.log().lines().any(arrived) {
        ensure!(Instant::now() < end, "the server did not say that it is in use");
        sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// S62-S65, S71: the server's cookie holds a token of this session, which ends with it.
async fn logout_ends_all_access(ada: &Person, hub: &LocalHub) -> Result<()> {
    let (token, session_id) = {
        let jar = ada.jar();
        let cookie = jar.value(SERVER, PREFIX).context("the server set no cookie")?;
        (signed_value(cookie)?, jar.value(SESSION_ID, "/").map(str::to_owned))
    };
    let whose = Api::new(hub, &token);
    let owner = whose.expect(Method::GET, "/user", None, &[200]).await?;
    ensure!(owner["name"] == USER && owner["session_id"] == Value::from(session_id), "the token is that of {owner}");

    let logged_out = ada.log_out().await?;
    ensure!(logged_out.path() == "/hub/login", "the logout leads to {}", logged_out.url);
    let left: Vec<_> = ada.jar().names().into_iter().map(|(name, _)| name.to_owned()).collect();
    ensure!(!left.iter().any(|name| name == HUB_LOGIN || name == SESSION_ID), "after logout there are {left:?}");
    ensure!(!ada.is_logged_in().await?, "the hub's pages are open after logout");
    whose.expect(Method::GET, "/user", None, &[403]).await?;
    ada.fetch(Method::GET, "/user/ada/api/contents", None).await?.expect(&[403])?;
    let lab = ada.visit("/user/ada/lab").await?;
    ensure!(lab.path() == "/hub/login", "after logout JupyterLab's address leads to {}", lab.url);
    Ok(())
}

/// What a signed cookie holds: `2|1:0|10:TIME|LENGTH:NAME|LENGTH:BASE64|SIGNATURE`.
fn signed_value(cookie: &str) -> Result<String> {
    let field = cookie.split('|').nth(4).and_then(|field| field.split_once(':')).context("the cookie is not signed")?;
    Ok(String::from_utf8(BASE64_STANDARD.decode(field.1)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_cookies_value_is_read() {
        let cookie = "2|1:0|10:1795440749|20:jupyterhub-hub-login|4:YWJj|2415ea38";
        assert_eq!(signed_value(cookie).unwrap(), "abc");
        assert!(signed_value("abc").is_err());
    }

    #[test]
    fn a_lifetime_counts_whole_days() {
        let in_days = |days| {
            let mut cookie = Cookie::new("a", "b");
            cookie.set_expires(OffsetDateTime::now_utc() + cookie::time::Duration::days(days));
            lifetime(&cookie)
        };
        assert_eq!((in_days(30), in_days(0)), (Some(30), Some(0)));
        assert_eq!(lifetime(&Cookie::new("a", "b")), None);
    }
}
