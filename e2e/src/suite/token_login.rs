//! How people come in by tokens: by the login URL in the hub's log and in a Secret, by a token in any address, and by links
//! that `hub link` makes in the pod. And what runs, as `hub server list` tells it there.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use hub_crds::{
    HttpsType, Hub, forwarded_url, login_url,
    names::{child, path},
};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;

use super::{hubs::Place, people, person::Person};
use crate::cluster::{Cluster, HUB, NAMESPACE};

/// The example Hub names no public address, so that the one of a forwarded port is told.
fn url_of(token: &str) -> String {
    login_url(&forwarded_url(HttpsType::None, "/"), token)
}

pub(super) async fn the_login_url_is_logged_and_in_a_secret_that_the_status_names_s9(cluster: &Cluster) -> Result<()> {
    let hubs: Api<Hub> = cluster.api(NAMESPACE);
    let status = hubs.get(HUB).await?.status.context("the Hub has a status")?;
    let name = status.login_urls_secret.context("the status names no Secret with login URLs")?;
    let secrets: Api<Secret> = cluster.api(NAMESPACE);
    let data = secrets.get(&name).await?.data.unwrap_or_default();
    let described = cluster.kubectl(&["--namespace", NAMESPACE, "describe", "hub", HUB]).await?;
    ensure!(described.contains(&name), "kubectl describe does not show {name}");
    let deployment = format!("deployment/{}", child::hub(HUB));
    let log = cluster.kubectl(&["--namespace", NAMESPACE, "logs", &deployment]).await?;
    let (_, after) = log.split_once("The Hub is running at:\n").context("the hub's log does not say where it is")?;
    ensure!(after.trim_start().starts_with(&url_of("")), "the log goes on with another line than an address");
    for user in ["ada", "grace"] {
        let url = url_of(&people::login_token(cluster, NAMESPACE, HUB, user).await?);
        let stored = data.get(user).with_context(|| format!("Secret {name} has no key {user}"))?;
        ensure!(stored.0 == url.as_bytes(), "Secret {name} has another login URL of {user}");
        ensure!(log.lines().any(|line| line.trim() == url), "the log does not hold the login URL of {user}");
    }
    Ok(())
}

/// At the root, at a page of the hub and at a server that runs; the page that asks if somebody else is logged in.
pub(super) async fn a_token_in_any_address_logs_in_and_leaves_it_s6_s16_s18(cluster: &Cluster) -> Result<()> {
    let ada = people::ada(cluster).await?;
    let grace = people::grace(cluster).await?;
    grace.log_in_with_url(&grace.token).await?;
    grace.start_server().await?;
    for path in ["/", "/hub/home", "/user/grace/lab"] {
        let browser = Person::new("grace", &cluster.base_url)?;
        let answer = browser.visit(&format!("{path}?token={}", grace.token)).await?.expect(&[200])?;
        ensure!(!answer.url.as_str().contains(&grace.token), "{path}: the token stays in {}", answer.path());
        ensure!(browser.is_logged_in().await?, "{path}: the token does not log in");
        browser.open_lab().await?;
    }
    ada.log_in_with_url(&ada.token).await?;
    let asked = ada.visit(&format!("/user/grace/lab?token={}", grace.token)).await?.expect(&[200])?;
    ensure!(asked.body.contains("Log in as grace?"), "{} does not ask", asked.path());
    let agreed = ada.submit(&asked, &BTreeMap::new()).await?.expect(&[200])?;
    ensure!(agreed.path() == "/user/grace/lab", "agreeing leads to {}", agreed.url);
    Ok(())
}

pub(super) async fn a_link_from_the_pod_works_once_s10_s11_s12_s13(cluster: &Cluster) -> Result<()> {
    let grace = people::grace(cluster).await?;
    let link = Place::example(cluster).command(&["link", "--user", "grace", "--expires", "5m"]).await?;
    let token = link.trim().strip_prefix(&url_of("")).context("hub link prints a login URL")?;
    ensure!(token != grace.token, "the link holds the login token");
    let address = format!("/hub/home?token={token}");
    let answer = grace.visit(&address).await?.expect(&[200])?;
    ensure!(answer.path() == "/hub/home" && grace.is_logged_in().await?, "the link leads to {}", answer.path());
    let second = Person::new("grace", &cluster.base_url)?;
    second.visit(&address).await?.expect(&[403])?;
    ensure!(!second.is_logged_in().await? && grace.is_logged_in().await?, "a link works twice, or not for long");
    Ok(())
}

/// In the page's format; users' servers have no token that anybody knows.
pub(super) async fn the_pod_lists_what_runs_s14_s15_s17(cluster: &Cluster) -> Result<()> {
    let grace = people::grace(cluster).await?;
    grace.log_in_with_url(&grace.token).await?;
    grace.start_server().await?;
    let list = Place::example(cluster).command(&["server", "list"]).await?;
    ensure!(list.starts_with("Currently running servers:\n"), "the list begins otherwise: {list}");
    let (own, server) = (url_of(&grace.token), format!("{}user/grace/", forwarded_url(HttpsType::None, "/")));
    for line in [format!("{own} :: {}", path::DATA_DIR), format!("{server} :: /home/jovyan")] {
        ensure!(list.lines().any(|listed| listed == line), "{} is not listed", line.replace(&grace.token, "TOKEN"));
    }
    Ok(())
}
