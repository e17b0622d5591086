//! Our proxy in the place of configurable-http-proxy: JupyterHub itself starts it, uses it, and notices nothing.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::{Instant, sleep};

use crate::{clients::Clients, local_hub::USER, program::Program, real_hub::RealHub, suite::person::Person};

/// From the proxy's death until JupyterHub has started another and given it its routes: it looks every 5 s, and waits longer
/// each time.
const BACK: Duration = Duration::from_secs(40);

pub(super) async fn jupyterhub_runs_it_and_notices_nothing(clients: &Clients) -> Result<()> {
    clients.with_drop_in(false, work).await
}

/// The same with TLS between hub, proxy and servers, each with a certificate of its own.
pub(super) async fn jupyterhub_runs_it_with_internal_ssl(clients: &Clients) -> Result<()> {
    clients.with_drop_in(true, work).await
}

async fn work(hub: &RealHub) -> Result<()> {
    let ada = Person::new(USER, &hub.base_url)?;
    ada.log_in_with_form("any password will do").await?;
    ada.start_server().await?;
    ada.open_lab().await?;
    let id = ada.start_kernel().await?;
    let answer = ada.connect(&id).await?.run("6*7").await?;
    ensure!(answer == "42", "6*7 is {answer}");
    nothing_was_noticed(hub)?;

    let before = hub.proxy_pid().await?;
    Program::new("kill").args(["-9", &before.to_string()]).output().await?;
    let end = Instant::now() + BACK;
    let again = loop {
        match reconnected(hub, &id).await {
            Ok(answer) => break answer,
            Err(error) if Instant::now() > end => return Err(error.context("after the proxy's death")),
            Err(_) => sleep(Duration::from_millis(250)).await,
        }
    };
    ensure!(again == "42", "after the proxy's death 6*7 is {again}");
    ensure!(hub.proxy_pid().await? != before, "it is the same proxy");
    let ada = logged_in(hub).await?;
    ada.log_out().await?;
    let lab = ada.visit("/user/ada/lab").await?;
    ensure!(lab.path() == "/hub/login", "after logout the server's page leads to {}", lab.url);
    // JupyterHub leaves behind what does not end within ten seconds of its own end, and the kernels of a server that it killed.
    let ada = logged_in(hub).await?;
    ada.end_kernel(&id).await?;
    ada.stop_server().await
}

async fn logged_in(hub: &RealHub) -> Result<Person> {
    let ada = Person::new(USER, &hub.base_url)?;
    ada.log_in_with_form("any password will do").await?;
    ada.open_lab().await?;
    Ok(ada)
}

/// In a browser that has no connection yet.
async fn reconnected(hub: &RealHub, kernel: &str) -> Result<String> {
    logged_in(hub).await?.connect(kernel).await?.run("6*7").await
}

/// JupyterHub warns when its proxy does not start, answers slowly or lacks a route.
fn nothing_was_noticed(hub: &RealHub) -> Result<()> {
    let log = hub.log();
    let is_about_proxy = |line: &&str| {
        let is_bad = ["[W ", "[E ", "[C "].iter().any(|level| line.starts_with(level));
        // This is about people's side.
        let is_known = line.contains("Running JupyterHub without SSL");
        is_bad && !is_known && ["proxy", "Proxy", "route"].iter().any(|word| line.contains(word))
    };
    let noticed: Vec<_> = log.lines().filter(is_about_proxy).collect();
    ensure!(noticed.is_empty(), "JupyterHub noticed something: {noticed:#?}");
    log.lines().find(|line| line.contains("Adding route")).context("JupyterHub has added no route")?;
    Ok(())
}
