//! The logins of browsers, as people see and end their own, and administrators everybody's. A login is a signed cookie with
//! the user's `cookie_id`: one ends by its digest ([`Database::end_session`]), all of a user's by another `cookie_id`.
//!
//! [`Database::end_session`]: crate::database::Database::end_session

use crate::{
    app::App,
    audit::Act,
    database::{DatabaseError, Session, User},
    revocation::end_sessions,
    session::forgotten_at,
};

/// A user's sessions, as they are at this moment.
///
/// # Errors
/// The database can't be read or written.
pub async fn list(app: &App, user: &User) -> Result<Vec<Session>, DatabaseError> {
    app.seen_sessions.save(&app.database, app.now().as_second()).await?;
    app.database.sessions_of(user.id, app.now()).await
}

/// Ends one of them, by the digest of its login; false if there is none.
///
/// # Errors
/// The database can't be written.
pub async fn end(app: &App, user: &User, login: &str, actor: &str) -> Result<bool, DatabaseError> {
    app.seen_sessions.save(&app.database, app.now().as_second()).await?;
    let ended = app.database.end_session(user.id, login, forgotten_at(app.now())).await?;
    if ended {
        Act::of(actor, "session ended").on(&user.name).done("asked for");
    }
    Ok(ended)
}

/// Ends all of them, those among them that nobody has seen yet, with login links and what servers hold.
///
/// # Errors
/// The database can't be written.
pub async fn end_all(app: &App, user: &User, actor: &str) -> Result<(), DatabaseError> {
    end_sessions(app, user, actor, "asked for").await
}
