//! What goes on beside requests: activity is written, what has expired is removed, services' tokens are read again, and
//! a reset of the cookie secret is noticed.

use futures::future::BoxFuture;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::{MissedTickBehavior, interval};

use crate::{activity, app::App, database::UserQuery};

/// Tokens and codes that have expired open nothing; this only keeps the tables small.
const PURGE_INTERVAL: Duration = Duration::from_secs(3600);
const SECRET_INTERVAL: Duration = Duration::from_secs(5);
/// Where the database keeps what tells the cookie secret from another one.
const FINGERPRINT: &str = "cookie_secret_fingerprint";
/// The same for login tokens and passwords, by user; the empty name is everybody.
const SEALS: &str = "login_seals";

/// Runs until the hub stops, and writes what is left.
pub async fn run(app: App) {
    let work = async {
        tokio::join!(
            every(activity::INTERVAL, &app, |app| Box::pin(save_activity(app))),
            every(PURGE_INTERVAL, &app, |app| Box::pin(purge(app))),
            every(SECRET_INTERVAL, &app, |app| Box::pin(end_sessions_after_reset(app))),
            every(SECRET_INTERVAL, &app, |app| Box::pin(end_sessions_after_change(app))),
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
        let name = user.unwrap_or_default();
        match stored.get(name) {
            Some(seal) if keys.is_seal_of(seal, &digest) => {}
            before => {
                if before.is_some() {
                    end_sessions(app, user).await?;
                }
                current.insert(name.to_owned(), keys.seal(&digest));
            }
        }
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
        app.database.end_sessions_of(user.id).await?;
        let audit = "login secret changed";
        tracing::warn!(audit, user.name = user.name, "the login token or password is another one: sessions have ended");
    }
    Ok(())
}
