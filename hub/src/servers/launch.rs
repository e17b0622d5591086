//! The tasks that bring a server up and take it down.

use hub_crds::Overrides;
use jiff::Timestamp;
use serde_json::Value;
use std::{sync::Arc, time::Instant};
use tokio::sync::mpsc;
use tracing::{info, warn};
use url::Url;

use super::{
    Entry, Inner, Pending, ProgressEvent, ServerStatus, environment::environment, readiness, status::LaunchError,
};
use crate::{
    database::{ServerStart, User},
    proxy::ProxyError,
    spawner::{Progress, ServerName, StartRequest, Started},
};

/// What a start is asked to be.
pub(super) struct Wish {
    /// As the user chose, and as they are kept for the next start.
    pub(super) options: Value,
    /// What the chosen profile changes, in order.
    pub(super) overrides: Vec<Overrides>,
}

/// Starts a server that was made pending, to whichever end.
pub(super) async fn start(inner: Arc<Inner>, user: User, name: ServerName, entry: Entry, wish: Wish) {
    let begun = Instant::now();
    entry.log.push(ProgressEvent::step(0, "Server requested"));
    let outcome = tokio::select! {
        () = entry.cancel.cancelled() => Err(LaunchError::Cancelled),
        outcome = bring_up(&inner, &user, &name, &entry, wish) => outcome,
    };
    let status = if outcome.is_ok() { "success" } else { "failure" };
    inner.metrics.starts.record(&[status, ""], begun.elapsed());
    settle(&inner, &name, &entry, outcome).await;
}

/// Stops a server that was made pending.
pub(super) async fn stop(inner: Arc<Inner>, name: ServerName, entry: Entry) {
    // Nobody is sent to a server that is going. A route that stays is removed by the next check.
    if let Err(error) = remove_route(&inner, &name).await {
        warn!(user.name = name.user, server.name = name.server, %error, "the route of a stopping server stays for now");
    }
    take_down(&inner, &name, &entry).await;
    entry.status.send_replace(ServerStatus::Stopped { last_failure: None });
    info!(user.name = name.user, server.name = name.server, "server stopped");
}

/// Rows, pod or process, an answer over HTTP, a route: in this order. Returns where it is.
async fn bring_up(
    inner: &Inner,
    user: &User,
    name: &ServerName,
    entry: &Entry,
    wish: Wish,
) -> Result<String, LaunchError> {
    let request = note_start(inner, user, name, entry, wish).await?;
    let started = spawn(inner, entry, &request).await?;
    entry.set_state(started.state.clone());
    if let Some(row) = entry.row() {
        inner.database.save_server_state(row, &started.state).await?;
    }
    admit(inner, name, entry, &started.address).await
}

/// Notes the start in the database, with a new token, and makes of it what the spawner needs.
async fn note_start(
    inner: &Inner,
    user: &User,
    name: &ServerName,
    entry: &Entry,
    wish: Wish,
) -> Result<StartRequest, LaunchError> {
    let before = inner.database.server(user.id, &name.server).await?;
    let state = before.map(|row| row.state).unwrap_or_default();
    let api_token = hub_auth::token::new_token(rand::random());
    let callback = inner.settings.urls.server_callback(&name.user, &name.server);
    let start = ServerStart {
        user,
        name: &name.server,
        base_url: inner.settings.urls.base(),
        user_options: &wish.options,
        token: &api_token,
        redirect_uri: &callback,
    };
    let row = inner.database.start_server(start, entry.started).await?;
    entry.set_row(row.id);
    entry.set_state(state.clone());
    Ok(StartRequest {
        name: name.clone(),
        environment: environment(&inner.settings, name),
        prefix: inner.settings.urls.server_path(&name.user, &name.server),
        api_token,
        user_options: wish.options,
        overrides: wish.overrides,
        state,
    })
}

/// Runs the spawner and hands its progress on.
async fn spawn(inner: &Inner, entry: &Entry, request: &StartRequest) -> Result<Started, LaunchError> {
    let (sender, mut lines) = mpsc::unbounded_channel::<Progress>();
    let start = async move { inner.spawner.start(request, &sender).await };
    let hand_on = async {
        while let Some(line) = lines.recv().await {
            let raw_event = line.raw_event;
            entry.log.push(ProgressEvent { raw_event, ..ProgressEvent::step(line.percent.min(99), &line.message) });
        }
    };
    let (started, ()) = tokio::join!(start, hand_on);
    Ok(started?)
}

/// Waits until a server that has an address answers, and lets people in. Returns the target of its route.
pub(super) async fn admit(
    inner: &Inner,
    name: &ServerName,
    entry: &Entry,
    address: &Url,
) -> Result<String, LaunchError> {
    readiness::wait(inner, name, entry, address).await?;
    let target = target(address);
    let (path, route) = (inner.route(name), inner.route_to(&target, name));
    inner.metrics.route_additions.time(inner.proxy.add(&path, &route)).await?;
    // Only now: a hub that restarts takes a server with an address for one that was ready.
    if let Some(row) = entry.row() {
        inner.database.save_server_address(row, address).await?;
    }
    Ok(target)
}

/// Ends a start or a check: the server is ready, or nothing of it is left.
pub(super) async fn settle(inner: &Inner, name: &ServerName, entry: &Entry, outcome: Result<String, LaunchError>) {
    let error = match outcome {
        Ok(target) if become_ready(entry, &target) => {
            info!(user.name = name.user, server.name = name.server, "server ready");
            entry.log.push(ProgressEvent::ready(&inner.url(name)));
            return;
        }
        Ok(_) => LaunchError::Cancelled,
        Err(error) => error,
    };
    warn!(user.name = name.user, server.name = name.server, %error, "server did not start");
    if let Err(error) = remove_route(inner, name).await {
        warn!(user.name = name.user, server.name = name.server, %error, "the route of a failed server stays for now");
    }
    take_down(inner, name, entry).await;
    let message = error.to_string();
    entry.status.send_replace(ServerStatus::Stopped { last_failure: Some(message.clone()) });
    entry.log.push(ProgressEvent::failed(&message));
}

/// A cancellation that came before this moment wins, one that comes after it finds a ready server to stop.
fn become_ready(entry: &Entry, target: &str) -> bool {
    entry.status.send_if_modified(|status| {
        let goes_on =
            !entry.cancel.is_cancelled() && matches!(status, ServerStatus::Pending(Pending::Spawn | Pending::Check));
        if goes_on {
            *status = ServerStatus::Ready { target: target.to_owned(), started: entry.started };
        }
        goes_on
    })
}

async fn remove_route(inner: &Inner, name: &ServerName) -> Result<(), ProxyError> {
    inner.metrics.route_removals.time(inner.proxy.remove(&inner.route(name))).await
}

/// The pod or process first, then what lets it speak to the hub.
async fn take_down(inner: &Inner, name: &ServerName, entry: &Entry) {
    let state = entry.state();
    if let Err(error) = inner.metrics.stops.time(inner.spawner.stop(name, &state)).await {
        // Its token goes all the same; what runs on is replaced at the next start.
        warn!(user.name = name.user, server.name = name.server, %error, "server could not be stopped");
    }
    let Some(row) = entry.row() else { return };
    if let Err(error) = inner.database.stop_server(row, &entry.state(), Timestamp::now()).await {
        warn!(user.name = name.user, server.name = name.server, %error, "rows of a stopped server stay");
    }
}

/// An address as the proxy takes it: scheme, host and port.
pub(super) fn target(address: &Url) -> String {
    address.origin().ascii_serialization()
}
