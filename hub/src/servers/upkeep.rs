//! What goes on while servers run: the proxy's table is kept right, that of services too, and servers that end, move or are
//! used are noticed.

use futures::{StreamExt, future::join_all, stream};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tracing::{debug, info, warn};

use super::{Entry, Inner, ServerStatus, launch, status::CheckError};
use crate::{
    database::{DatabaseError, Subject},
    proxy::{ProxyApi, Route, table},
    spawner::{Change, Health, ServerName},
};

/// A table that someone tampered with, or that a restarted proxy lost, is right again within 5 s: this and the time of
/// the requests.
const CHECK_INTERVAL: Duration = Duration::from_secs(3);
/// Changes of the table at a time.
const CONCURRENCY: usize = 10;

/// Runs for as long as it is polled.
pub(super) async fn run(inner: &Arc<Inner>) {
    let (sender, changes) = mpsc::unbounded_channel();
    inner.spawner.watch(sender);
    tokio::join!(keep_routes(inner), follow_all(inner, changes));
}

async fn keep_routes(inner: &Inner) {
    let mut ticks = interval(CHECK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    let mut last_activity = Instant::now();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            // A new pod of the proxy waits for its table.
            () = inner.proxy.members_changed() => {}
        }
        match check_routes(inner).await {
            Ok(routes) => {
                if std::mem::take(&mut failing) {
                    info!("the proxy is back");
                }
                if inner.settings.activity_interval.is_some_and(|interval| last_activity.elapsed() >= interval) {
                    last_activity = Instant::now();
                    save_activity(inner, &routes).await;
                }
            }
            // Once, not every 3 s.
            Err(error) if !failing => {
                failing = true;
                warn!(%error, "the proxy's routes could not be checked");
            }
            Err(_) => {}
        }
    }
}

/// Reads the table of each of the proxy's pods and mends what differs. Returns what they were, as one.
pub(super) async fn check_routes(inner: &Inner) -> Result<BTreeMap<String, Route>, CheckError> {
    let begun = Instant::now();
    let checks = inner.proxy.apis().into_iter().map(async |(api, counts)| match check_pod(inner, &api).await {
        Err(error) if !counts => {
            debug!(%error, "a pod of the proxy that is not ready");
            Ok(BTreeMap::new())
        }
        checked => checked,
    });
    let mut merged = BTreeMap::new();
    for routes in join_all(checks).await {
        table::merge(&mut merged, routes?);
    }
    inner.metrics.route_checks.record(&[], begun.elapsed());
    Ok(merged)
}

async fn check_pod(inner: &Inner, proxy: &ProxyApi) -> Result<BTreeMap<String, Route>, CheckError> {
    let begun = Instant::now();
    let actual = proxy.routes().await?;
    inner.metrics.proxy_reads.record(&[], begun.elapsed());
    // Read after the table: a server that became ready meanwhile is added twice at worst.
    let (wanted, pending) = wanted_and_pending(inner).await?;
    let difference = table::difference(&wanted, &actual, &pending);
    let changes = difference
        .add
        .into_iter()
        .map(|(path, route)| (path, Some(route)))
        .chain(difference.remove.into_iter().map(|path| (path, None)));
    let results: Vec<Result<(), CheckError>> = stream::iter(changes)
        .map(|(path, route)| mend(inner, proxy, path, route))
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await;
    results.into_iter().collect::<Result<(), CheckError>>()?;
    Ok(actual)
}

/// One change, if it is still right: servers come and go while others are mended.
async fn mend(inner: &Inner, proxy: &ProxyApi, path: String, route: Option<Route>) -> Result<(), CheckError> {
    let (wanted, pending) = wanted_and_pending(inner).await?;
    if pending.contains(&path) || wanted.get(&path) != route.as_ref() {
        return Ok(());
    }
    info!(route = path, "mending the proxy's table");
    Ok(timeout(CHECK_INTERVAL, proxy.set(&path, route.as_ref())).await.unwrap_or(Ok(()))?)
}

/// The routes of the hub, of all services and of all ready servers, and the paths that are in motion.
async fn wanted_and_pending(inner: &Inner) -> Result<(BTreeMap<String, Route>, BTreeSet<String>), DatabaseError> {
    let of_hub = table::path_of_prefix(inner.settings.urls.hub_route());
    let mut wanted = BTreeMap::from([(of_hub, Route::of_hub(&inner.settings.connect_url))]);
    for (name, target) in inner.database.service_targets().await? {
        let path = table::path_of_prefix(&inner.settings.urls.service_route(&name));
        wanted.insert(path, Route::of_service(&target, &name));
    }
    let mut pending = BTreeSet::new();
    for (name, _, status) in inner.active() {
        let path = inner.route(&name);
        match status {
            ServerStatus::Ready { target, .. } => {
                wanted.insert(path, inner.route_to(&target, &name));
            }
            _ => {
                pending.insert(path);
            }
        }
    }
    Ok((wanted, pending))
}

/// When people last used their servers, as the proxy saw it.
async fn save_activity(inner: &Inner, routes: &BTreeMap<String, Route>) {
    let used = |(name, entry, status): (ServerName, Entry, ServerStatus)| {
        let route =
            routes.get(&inner.route(&name)).filter(|route| route.server() == Some((&name.user, &name.server)))?;
        matches!(status, ServerStatus::Ready { .. }).then_some(())?;
        Some((Subject::Server(entry.row()?), route.last_activity?))
    };
    let seen: Vec<_> = inner.active().into_iter().filter_map(used).collect();
    if let Err(error) = inner.database.save_activity(&seen).await {
        warn!(%error, "activity could not be saved");
    }
}

async fn follow_all(inner: &Arc<Inner>, mut changes: mpsc::UnboundedReceiver<Change>) {
    while let Some(change) = changes.recv().await {
        // Each in its own task: one that waits for the proxy holds up no other.
        tokio::spawn(follow(inner.clone(), change));
    }
    // A spawner that has nothing to tell must not end the checks beside it.
    std::future::pending::<()>().await;
}

/// A ready server ended or moved. What the change says may be old: the spawner is asked how it is now.
async fn follow(inner: Arc<Inner>, change: Change) {
    let Some(entry) = inner.entry(&change.name) else { return };
    let name = change.name;
    let ServerStatus::Ready { target, started } = entry.status.borrow().clone() else { return };
    match inner.poll(&name, &entry.state()).await {
        Ok(Health::Stopped { reason }) if inner.begin_stop(&entry) => {
            info!(user.name = name.user, server.name = name.server, reason, "server ended");
            launch::stop(inner, name, entry).await;
        }
        Ok(Health::Running { address }) if launch::target(&address) != target => {
            info!(user.name = name.user, server.name = name.server, "server moved");
            let moved = ServerStatus::Ready { target: launch::target(&address), started };
            let old = ServerStatus::Ready { target, started };
            if !entry.status.send_if_modified(|status| *status == old && std::mem::replace(status, moved) == old) {
                return;
            }
            if let Some(row) = entry.row()
                && let Err(error) = inner.database.save_server_address(row, &address).await
            {
                warn!(user.name = name.user, %error, "the new address could not be saved");
            }
            if let Err(error) = check_routes(&inner).await {
                warn!(user.name = name.user, %error, "the route of a moved server is not mended yet");
            }
        }
        _ => {}
    }
}
