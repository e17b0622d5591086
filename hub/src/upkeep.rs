//! What goes on beside requests: activity is written, what has expired is removed, services' tokens are read again, and
//! a reset of the cookie secret is noticed.

use futures::future::BoxFuture;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

use crate::{activity, app::App};

/// Tokens and codes that have expired open nothing; this only keeps the tables small.
const PURGE_INTERVAL: Duration = Duration::from_secs(3600);
const SECRET_INTERVAL: Duration = Duration::from_secs(5);
/// Where the database keeps what tells the cookie secret from another one.
const FINGERPRINT: &str = "cookie_secret_fingerprint";

/// Runs until the hub stops, and writes what is left.
pub async fn run(app: App) {
    let work = async {
        tokio::join!(
            every(activity::INTERVAL, &app, |app| Box::pin(save_activity(app))),
            every(PURGE_INTERVAL, &app, |app| Box::pin(purge(app))),
            every(SECRET_INTERVAL, &app, |app| Box::pin(end_sessions_after_reset(app))),
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

async fn purge(app: &App) -> anyhow::Result<()> {
    Ok(app.database.delete_expired(app.now()).await?)
}

/// Another cookie secret makes every login at the hub void by itself (S60). What servers hold from these logins is
/// signed by the servers, so it has to end here (S68).
///
/// # Errors
/// The database can't be read or written, or the secret can't be used.
pub async fn end_sessions_after_reset(app: &App) -> anyhow::Result<()> {
    let keys = app.cookie_keys()?;
    let (stored, current) = (app.database.hub_setting(FINGERPRINT).await?, keys.fingerprint());
    if stored.as_ref() == Some(&current) {
        return Ok(());
    }
    if stored.is_some_and(|stored| !keys.has_fingerprint(&stored)) {
        let ended = app.database.delete_all_session_tokens().await?;
        tracing::warn!(
            audit = "cookie secret reset",
            tokens = ended,
            "the cookie secret is another one: all sessions have ended"
        );
    }
    Ok(app.database.set_hub_setting(FINGERPRINT, &current).await?)
}
