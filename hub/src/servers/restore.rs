//! Taking up the servers that the last hub left.

use jiff::Timestamp;
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::Instant};
use tracing::{info, warn};

use super::{Entry, Inner, Pending, launch, status::LaunchError};
use crate::{
    database::{DatabaseError, ServerRow},
    spawner::{Health, ServerName, SpawnError},
};

const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

pub(super) async fn restore(inner: &Arc<Inner>) -> Result<(), DatabaseError> {
    let left = inner.database.active_servers().await?;
    if !left.is_empty() {
        info!(count = left.len(), "looking for the servers of the last run");
    }
    let begun = Instant::now();
    let mut looks = JoinSet::new();
    for server in left {
        let name = ServerName { user: server.user.clone(), server: server.name.clone() };
        let entry = Entry::new(server.started.unwrap_or_else(Timestamp::now), Pending::Check);
        entry.set_row(server.id);
        entry.set_state(server.state.clone());
        inner.lock().insert(name.clone(), entry.clone());
        looks.spawn(take_up(inner.clone(), name, server, entry));
    }
    let inner = inner.clone();
    tokio::spawn(async move {
        looks.join_all().await;
        inner.metrics.restores.record(&[], begun.elapsed());
    });
    Ok(())
}

async fn take_up(inner: Arc<Inner>, name: ServerName, server: ServerRow, entry: Entry) {
    let outcome = tokio::select! {
        () = entry.cancel.cancelled() => Err(LaunchError::Cancelled),
        outcome = find(&inner, &name, &server, &entry) => outcome,
    };
    launch::settle(&inner, &name, &entry, outcome).await;
}

/// Asks the spawner until it knows. A server that was ready is so at once; one that was starting must answer first.
async fn find(inner: &Inner, name: &ServerName, server: &ServerRow, entry: &Entry) -> Result<String, LaunchError> {
    let deadline = Instant::now() + inner.spawner.start_timeout();
    let mut pause = FIRST_WAIT;
    loop {
        match inner.poll(name, &server.state).await {
            Ok(Health::Running { address }) if server.address.as_ref() == Some(&address) => {
                return Ok(launch::target(&address));
            }
            Ok(Health::Running { address }) if server.address.is_some() => {
                match inner.database.save_server_address(server.id, &address).await {
                    Ok(()) => return Ok(launch::target(&address)),
                    // A database that is away for a moment is no reason to end what runs.
                    Err(error) => warn!(user.name = name.user, %error, "server's address is not stored yet"),
                }
            }
            Ok(Health::Running { address }) => return launch::admit(inner, name, entry, &address).await,
            Ok(Health::Stopped { reason }) => return Err(LaunchError::Ended(reason)),
            Ok(Health::Starting) if Instant::now() > deadline => {
                let after = inner.spawner.start_timeout();
                return Err(SpawnError::Timeout { after, last: None }.into());
            }
            Ok(Health::Starting) => {}
            // The API server is away: people go on working, and what is not known is not touched.
            Err(error) => warn!(user.name = name.user, %error, "server's state is not known yet"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_WAIT);
    }
}
