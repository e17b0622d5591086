//! The revocation of tokens in numbers (S34): one rule for the REST API and for `hub token revoke`. And the end of a user's
//! sessions where somebody else says so.

use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    audit::Act,
    database::{DatabaseError, Revoked, RevokedCounts, User},
};

/// What the audit log calls it.
pub const TOKENS_REVOKED: &str = "tokens revoked";

/// Whose tokens end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    All,
    User(String),
    Service(String),
}

/// Why nothing was revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevocationError {
    #[error("No such user: {0}")]
    NoUser(String),
    #[error("No such service: {0}")]
    NoService(String),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Ends the tokens and leaves a line in the audit log. `act` says who wanted it.
///
/// # Errors
/// There is no such user or service, or the database can't be written.
pub async fn revoke(app: &App, whose: &Whose, act: Act<'_>) -> Result<RevokedCounts, RevocationError> {
    let revoked = match whose {
        Whose::All => Revoked::All,
        Whose::User(name) => match app.database.user_by_name(name).await? {
            Some(_) => Revoked::User(name),
            None => return Err(RevocationError::NoUser(name.clone())),
        },
        Whose::Service(name) => match app.database.service_by_name(name).await? {
            Some(_) => Revoked::Service(name),
            None => return Err(RevocationError::NoService(name.clone())),
        },
    };
    let counts = app.database.revoke_tokens(revoked).await?;
    let act = match whose {
        Whose::All => act.object("all"),
        Whose::User(name) => act.object(format!("user {name}")),
        Whose::Service(name) => act.object(format!("service {name}")),
    };
    act.count(counts.total()).done("asked for");
    Ok(counts)
}

/// Ends the sessions of a user, in every browser and at every server; the audit log has `reason`.
///
/// # Errors
/// The database can't be written.
pub async fn end_sessions(app: &App, user: &User, actor: &str, reason: &'static str) -> Result<(), DatabaseError> {
    app.database.end_sessions_of(user.id).await?;
    Act::of(actor, "sessions ended").on(&user.name).done(reason);
    Ok(())
}
