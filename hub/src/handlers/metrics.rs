//! `/hub/metrics` and `/hub/api/metrics`: for Prometheus, which brings a token with the scope `read:metrics`.

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use jiff::SignedDuration;

use crate::{
    app::App,
    error::Result,
    metrics::{CONTENT_TYPE, gauge},
    servers::ServerStatus,
    session::Caller,
};

const DAY: SignedDuration = SignedDuration::from_hours(24);

pub async fn get(State(app): State<App>, caller: Caller) -> Result<Response> {
    if app.clients.authenticate_prometheus {
        caller.require(&["read:metrics"], None)?;
    }
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], render(&app).await?).into_response())
}

async fn render(app: &App) -> Result<String> {
    let now = app.now();
    let users = app.database.count_users([now - DAY, now - DAY * 7, now - DAY * 30]).await?;
    let ready = |status: &ServerStatus| matches!(status, ServerStatus::Ready { .. });
    let running = app.servers.active().iter().filter(|(_, status)| ready(status)).count() as u64;
    let [day, week, month] = users.active;

    let mut text = String::new();
    gauge(&mut text, "jupyterhub_total_users", "Users in the database.", &[("", users.total)]);
    let periods = [("period=\"24h\"", day), ("period=\"7d\"", week), ("period=\"30d\"", month)];
    let help = "Users who were active in the last day, week and month.";
    gauge(&mut text, "jupyterhub_active_users", help, &periods);
    let help = "Servers that are ready.";
    gauge(&mut text, "jupyterhub_running_servers", help, &[("", running)]);
    app.metrics().render(&mut text);
    Ok(text)
}
