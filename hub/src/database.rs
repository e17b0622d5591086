//! The database: JupyterHub's own schema in SQLite or PostgreSQL, so that either hub can run on it. What is ours beyond it
//! lives in tables named `hub_*`, which JupyterHub never reads.
//!
//! Operations are methods of [`Database`], in one file for each group of tables, written once for both ([`sql`]). Other
//! programs may write at any time, so what was read is kept for as long as nobody commits, and no longer ([`memo`]). Secrets
//! are hashed in here, so that no caller can store one in the clear (S32).

use hub_auth::scopes::Definitions;
use std::sync::Arc;

mod activity;
mod auth_state;
mod backup;
mod column;
mod configured;
mod details;
mod disabled;
mod fault;
mod groups;
mod hashing;
mod identities;
mod identity;
mod login_failures;
mod login_links;
mod memo;
mod oauth;
mod open;
mod passwords;
mod place;
mod postgres;
mod resets;
mod schema;
mod servers;
mod services;
mod sessions;
mod settings;
mod share_codes;
mod shares;
mod sql;
#[cfg(test)]
mod tests;
mod tokens;
mod upgrade;
mod user_list;
mod users;

use memo::{Key, Memo};
use open::Hold;
use sql::{Pool, QueryBuilder, Row};

pub use activity::Subject;
pub use auth_state::EncryptedState;
pub use backup::{BackupError, Incoming};
pub use configured::Configured;
pub use details::{UserDetails, Wanted};
pub use fault::Fault;
pub use groups::{Group, GroupError};
pub use identities::{Found, Identity, ProviderSession};
pub use identity::{Principal, Service};
pub use oauth::{ClientTarget, NewClient, NewCode, OAuthClient, OAuthCode, Redeemed};
pub use place::Place;
pub use resets::{Reset, ResetCounts};
pub use schema::REVISION;
pub use servers::{ServerRow, ServerStart};
pub use services::{NewService, ServiceAddress, ServiceClient, ServiceRow};
pub use sessions::Session;
pub use share_codes::ShareCode;
pub use shares::{Share, ShareWith, SharedBy};
pub use tokens::{ApiToken, NewToken, Revoked, RevokedCounts, TokenOwner};
pub use user_list::{UserPage, UserQuery, UserSort, Visible};
pub use users::{User, UserCounts};

/// Connections to the database. Clones share them.
#[derive(Clone, Debug)]
pub struct Database {
    pool: Pool,
    place: Place,
    memo: Arc<Memo>,
    /// What the scopes in it mean.
    definitions: Arc<Definitions>,
    /// Held for as long as any clone lives: no second hub may use the database.
    hold: Arc<Hold>,
}

impl Database {
    /// The same database, at a hub where these scopes exist.
    #[must_use]
    pub fn with_scopes(self, definitions: Definitions) -> Self {
        Self { definitions: Arc::new(definitions), ..self }
    }

    /// The scopes that exist at this hub.
    pub fn definitions(&self) -> &Definitions {
        &self.definitions
    }
}

/// Why the database could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// A unique value, such as a user's name, is in use.
    #[error("{what} is already taken")]
    Taken { what: &'static str },
    #[error("database {place} is in use by another hub; stop that one first")]
    InUse { place: Place },
    #[error(
        "database {place} has revision {found}, this hub needs {REVISION}; bring it there with `jupyterhub upgrade-db` of JupyterHub 6.1"
    )]
    Revision { place: Place, found: String },
    #[error("failed to lock database {place}")]
    Lock { place: Place, source: std::io::Error },
    #[error("failed to open database {place}")]
    Open { place: Place, source: sqlx::Error },
    #[error(
        "database {place} is damaged ({found}): put a backup in its place with `hub restore --database`, or a copy of the volume"
    )]
    Damaged { place: Place, found: String },
    #[error("failed to copy database {place} before it is upgraded")]
    Copy { place: Place, source: std::io::Error },
    #[error("failed to put the backup that waits beside database {place} in its place")]
    Restore { place: Place, source: std::io::Error },
    #[error("failed to hash a secret")]
    Hash { source: tokio::task::JoinError },
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
    fn from_row(row: &Row) -> sqlx::Result<Self>;
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in `and_then` behind a query")]
fn one<T: FromRow>(row: Option<Row>) -> sqlx::Result<Option<T>> {
    row.as_ref().map(T::from_row).transpose()
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in `and_then` behind a query")]
fn all<T: FromRow>(rows: Vec<Row>) -> sqlx::Result<Vec<T>> {
    rows.iter().map(T::from_row).collect()
}

/// Which part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// How many entries to leave out.
    pub offset: u32,
    /// At most so many.
    pub limit: u32,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// How many there are in all pages together.
    pub total: u64,
}

impl Database {
    /// A part of a list, and its length. `rest` writes what follows the columns: `FROM` and the conditions.
    async fn page<T: FromRow>(
        &self,
        columns: &'static str,
        order: &'static str,
        window: Window,
        action: &'static str,
        rest: impl Fn(&mut QueryBuilder),
    ) -> Result<Page<T>> {
        let mut list = QueryBuilder::new("SELECT ");
        list.push(columns);
        rest(&mut list);
        list.push(" ORDER BY ").push(order);
        list.push(" LIMIT ").push_bind(i64::from(window.limit));
        list.push(" OFFSET ").push_bind(i64::from(window.offset));
        let items = list.build().fetch_all(&self.pool).await.and_then(all).map_err(failed(action))?;

        let mut count = QueryBuilder::new("SELECT count(*)");
        rest(&mut count);
        let total = count.build().fetch_one(&self.pool).await.and_then(|row| row.try_get::<i64>(0));
        Ok(Page { items, total: total.map_err(failed(action))?.unsigned_abs() })
    }
}
