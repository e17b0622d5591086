//! What goes on beside requests: activity is written, what has expired is removed, services' tokens are read again, a
//! reset of the cookie secret is noticed, and secrets that have rotated take the place of old ones.

use futures::future::BoxFuture;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    activity,
    app::App,
    audit::THE_HUB,
    auth_state::encrypt_anew,
    barred,
    database::UserQuery,
    resets::{SEALS, end_sessions_after_reset},
    revocation, rotation, session,
};

/// Tokens and codes that have expired open nothing; this only keeps the tables small.
const PURGE_INTERVAL: Duration = Duration::from_secs(3600);
const SECRET_INTERVAL: Duration = Duration::from_secs(5);
/// A reset is to end sessions at once.
const RESET_INTERVAL: Duration = Duration::from_secs(1);

/// Runs until the hub stops, and writes what is left.
pub async fn run(app: App) {
    let work = async {
        tokio::join!(
            every(activity::INTERVAL, &app, |app| Box::pin(save_activity(app))),
            every(PURGE_INTERVAL, &app, |app| Box::pin(purge(app))),
            every(RESET_INTERVAL, &app, |app| Box::pin(end_sessions_after_reset(app))),
            every(SECRET_INTERVAL, &app, |app| Box::pin(end_sessions_after_change(app))),
            every(SECRET_INTERVAL, &app, |app| Box::pin(encrypt_anew(app))),
            every(session::SEEN_INTERVAL, &app, |app| Box::pin(save_sessions(app))),
            every(SECRET_INTERVAL, &app, |app| Box::pin(barred::stop_servers(app))),
            every(PURGE_INTERVAL, &app, |app| Box::pin(rotation::retire(app))),
            app.service_tokens.follow(&app.database, app.clock),
        );
    };
    app.stopping.run_until_cancelled(work).await;
    if let Err(error) = save_activity(&app).await {
        tracing::warn!(error.message = format!("{error:#}"), "the last activity is lost");
    }
}

/// A failure is told once, until it works again.
async fn every(period: Duration, app: &App, work: for<'a> fn(&'a App) -> BoxFuture<'a, anyhow::Result<()>>) {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        ticks.tick().await;
        let result = work(app).await;
        if let (Err(error), false) = (&result, failing) {
            tracing::warn!(error.message = format!("{error:#}"), "upkeep failed and is tried again");
        }
        failing = result.is_err();
    }
}

async fn save_activity(app: &App) -> anyhow::Result<()> {
    Ok(app.activity.save(&app.database).await?)
}

async fn save_sessions(app: &App) -> anyhow::Result<()> {
    Ok(app.seen_sessions.save(&app.database, app.now().as_second()).await?)
}

async fn purge(app: &App) -> anyhow::Result<()> {
    Ok(app.database.delete_expired(app.now()).await?)
}

/// Whoever logged in with a token or password that is no longer valid is logged out (attack row 37).
///
/// # Errors
/// The database can't be read or written, or the cookie secret can't be used.
pub async fn end_sessions_after_change(app: &App) -> anyhow::Result<()> {
    let keys = app.cookie_keys()?;
    let stored: BTreeMap<String, String> = match app.database.hub_setting(SEALS).await? {
        Some(stored) => serde_json::from_str(&stored)?,
        None => BTreeMap::new(),
    };
    // One that can't be read at this moment keeps its seal: its change must be seen when it can.
    let mut current = stored.clone();
    for (user, digest) in app.authenticator.digests() {
        let name = user.as_deref().unwrap_or_default();
        if stored.get(name).is_some_and(|seal| !keys.is_seal_of(seal, &digest)) {
            end_sessions(app, user.as_deref()).await?;
        }
        // Also the seal of a secret that is the same, made with a key that will be dropped.
        current.insert(name.to_owned(), keys.seal(&digest));
    }
    if current != stored {
        app.database.set_hub_setting(SEALS, &serde_json::to_string(&current)?).await?;
    }
    Ok(())
}

async fn end_sessions(app: &App, user: Option<&str>) -> anyhow::Result<()> {
    let users = match user {
        Some(name) => app.database.user_by_name(name).await?.into_iter().collect(),
        None => app.database.list_users(&UserQuery::default()).await?.users,
    };
    for user in users {
        revocation::end_sessions(app, &user, THE_HUB, "the login token or password is another one").await?;
    }
    Ok(())
}
