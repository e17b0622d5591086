//! A person's way from a token to a cell's result, request by request.

use anyhow::{Context, Result, ensure};

use super::{
    installed,
    people::{self, Borrowed},
    person::ServerState,
};
use crate::cluster::Cluster;

/// With the login URL: spawn, progress, Lab, 42; a file that outlives the server.
pub(super) async fn a_cell_runs_after_login_by_url(cluster: &Cluster) -> Result<()> {
    let ada = people::ada(cluster).await?;
    let landed = ada.log_in_with_url(&ada.token).await?;
    let first = landed.redirects.first().context("a login leads on")?;
    ensure!(first.path() == "/hub/login", "the login starts at {first}");
    landed.leaves_behind(&ada.token)?;
    work(cluster, &ada).await
}

/// With the token in the form's password field.
pub(super) async fn the_forms_password_field_takes_the_token(cluster: &Cluster) -> Result<()> {
    let grace = people::grace(cluster).await?;
    let refused = grace.log_in_with_form("0123456789abcdef").await?;
    ensure!(refused.status == 403 && !grace.is_logged_in().await?, "a wrong token answered {}", refused.status);
    grace.log_in_with_form(&grace.token).await?;
    ensure!(grace.is_logged_in().await?, "the token in the form does not log in");
    let user = grace.fetch(reqwest::Method::GET, "/hub/api/user", None).await?.expect(&[200])?.json()?;
    ensure!(user["name"] == "grace" && user["admin"] == false, "the token logs in as {user}");
    Ok(())
}

async fn work(cluster: &Cluster, ada: &Borrowed) -> Result<()> {
    ada.stop_server().await?;
    let events = ada.start_server().await?;
    let progress: Vec<i64> = events.iter().filter_map(|event| event["progress"].as_i64()).collect();
    ensure!(progress.is_sorted() && progress.first() == Some(&0), "progress runs {progress:?}");
    ensure!(ada.server_state().await? == ServerState::Ready, "the stream ended before the server was ready");
    installed::every_pod_passes_restricted(cluster).await?;

    ada.open_lab().await?;
    let kernel = ada.start_kernel().await?;
    let answer = ada.connect(&kernel).await?.run("6*7").await?;
    ensure!(answer == "42", "6*7 is {answer}");

    ada.write_file("e2e-notebook.txt", &kernel).await?;
    ada.stop_server().await?;
    ada.start_server().await?;
    ada.open_lab().await?;
    let text = ada.read_file("e2e-notebook.txt").await?;
    ensure!(text == kernel, "after a stop and a start the file holds {text}, not {kernel}");
    ada.stop_server().await
}
