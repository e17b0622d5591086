//! The database: JupyterHub's own schema in SQLite, so that either hub can run on the file. What is ours beyond it lives
//! in tables named `hub_*`, which JupyterHub never reads.
//!
//! Operations are methods of [`Database`], in one file for each group of tables. Nothing is cached: other programs may
//! write to the file at any time. The SQL keeps to what PostgreSQL understands as well. Secrets are hashed in here, so that
//! no caller can store one in the clear (S32).

use sqlx::{SqlitePool, sqlite::SqliteRow};
use std::{fs::File, path::PathBuf, sync::Arc};

mod activity;
mod column;
mod identity;
mod oauth;
mod open;
mod schema;
mod servers;
mod settings;
#[cfg(test)]
mod tests;
mod tokens;
mod user_list;
mod users;

pub use activity::Subject;
pub use identity::{Principal, Service};
pub use oauth::{ClientTarget, NewClient, NewCode, OAuthClient, OAuthCode, Redeemed};
pub use schema::REVISION;
pub use servers::{ServerRow, ServerStart};
pub use tokens::{ApiToken, NewToken, Revoked, RevokedCounts, TokenOwner};
pub use user_list::{UserPage, UserQuery, UserSort, Visible};
pub use users::User;

/// Connections to the database. Clones share them.
#[derive(Clone, Debug)]
pub struct Database {
    pool: SqlitePool,
    /// Held for as long as any clone lives: no second hub may use the file.
    _lock: Option<Arc<File>>,
}

/// Why the database could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// A unique value, such as a user's name, is in use.
    #[error("{what} is already taken")]
    Taken { what: &'static str },
    #[error("database {} is in use by another hub; stop that one first", .path.display())]
    InUse { path: PathBuf },
    #[error(
        "database {} has revision {found}, this hub needs {}; bring it there with `jupyterhub upgrade-db` of JupyterHub 6.1",
        .path.display(), REVISION
    )]
    Revision { path: PathBuf, found: String },
    #[error("failed to lock database {}", .path.display())]
    Lock { path: PathBuf, source: std::io::Error },
    #[error("failed to open database {}", .path.display())]
    Open { path: PathBuf, source: sqlx::Error },
    #[error("failed to {action} in the database")]
    Sql { action: &'static str, source: sqlx::Error },
}

type Result<T, E = DatabaseError> = std::result::Result<T, E>;

/// Names what failed: `.map_err(failed("find a user"))`.
fn failed(action: &'static str) -> impl Fn(sqlx::Error) -> DatabaseError {
    move |source| DatabaseError::Sql { action, source }
}

/// The same where a unique value may be taken already: `.map_err(failed_or_taken("add a user", "user name"))`.
fn failed_or_taken(action: &'static str, what: &'static str) -> impl Fn(sqlx::Error) -> DatabaseError {
    move |source| match source.as_database_error() {
        Some(error) if error.is_unique_violation() => DatabaseError::Taken { what },
        _ => DatabaseError::Sql { action, source },
    }
}

/// A type that one row of a query holds.
trait FromRow: Sized {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self>;
}

fn one<T: FromRow>(row: Option<SqliteRow>) -> sqlx::Result<Option<T>> {
    row.as_ref().map(T::from_row).transpose()
}

fn all<T: FromRow>(rows: Vec<SqliteRow>) -> sqlx::Result<Vec<T>> {
    rows.iter().map(T::from_row).collect()
}
