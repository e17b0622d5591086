//! Who may do nothing at this hub: users whom the settings block, and users whom an administrator has disabled at run time.
//! Neither a login nor a token of theirs is known, whoever made it; their servers are stopped. Whoever is let in again
//! logs in anew: sessions and tokens have ended for good.

use std::collections::BTreeSet;

use crate::{
    app::App,
    audit::Act,
    database::{DatabaseError, Revoked, User},
};

/// Disables a user: everything of theirs ends at once.
///
/// # Errors
/// The database can't be written.
pub async fn disable(app: &App, user: &User, actor: &str) -> Result<(), DatabaseError> {
    app.database.disable_user(user.id, app.now()).await?;
    end_everything(app, user).await?;
    app.servers.stop_of(&user.name).await;
    Act::of(actor, "user disabled").on(&user.name).done("asked for");
    Ok(())
}

/// Lets a user in again, who still has to log in.
///
/// # Errors
/// The database can't be written.
pub async fn enable(app: &App, user: &User, actor: &str) -> Result<(), DatabaseError> {
    app.database.enable_user(user.id).await?;
    Act::of(actor, "user enabled").on(&user.name).done("asked for");
    Ok(())
}

/// Whoever is blocked in the settings that the hub starts with loses what an earlier hub gave.
///
/// # Errors
/// The database can't be read or written.
pub async fn end_blocked(app: &App) -> Result<(), DatabaseError> {
    for name in app.allow.blocked() {
        if let Some(user) = app.database.user_by_name(name).await? {
            end_everything(app, &user).await?;
        }
    }
    Ok(())
}

async fn end_everything(app: &App, user: &User) -> Result<(), DatabaseError> {
    app.database.end_sessions_of(user.id).await?;
    app.database.revoke_tokens(Revoked::User(&user.name)).await.map(drop)
}

/// Stops what runs of those who are barred: also what was starting, or was found again, when they came to be.
///
/// # Errors
/// The database can't be read.
pub async fn stop_servers(app: &App) -> anyhow::Result<()> {
    let disabled = app.database.disabled_users().await?;
    let running: BTreeSet<_> = app.servers.active().into_iter().map(|(server, _)| server.user).collect();
    for user in running.iter().filter(|user| disabled.contains(*user) || app.allow.blocks(user)) {
        tracing::info!(user.name = user, "stopping the servers of a user who is blocked or disabled");
        app.servers.stop_of(user).await;
    }
    Ok(())
}
