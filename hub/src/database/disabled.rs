//! Users whom an administrator has disabled. The queries by which a login cookie or a token is known
//! ([`Database::user_by_login`], [`Database::find_token`]) pass them over.

use super::sql;
use super::{Database, Key, Result, failed};
use jiff::Timestamp;
use std::collections::BTreeSet;

impl Database {
    /// From now on the user is known by no login and no token.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn disable_user(&self, user_id: i64, now: Timestamp) -> Result<()> {
        let insert = "INSERT INTO hub_disabled_users (user_id, disabled_at) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        let insert = sql::query(insert).bind(user_id).bind(now.as_second());
        insert.execute(&self.pool).await.map(drop).map_err(failed("disable a user"))
    }

    /// Ends that.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn enable_user(&self, user_id: i64) -> Result<()> {
        let delete = sql::query("DELETE FROM hub_disabled_users WHERE user_id = $1").bind(user_id);
        delete.execute(&self.pool).await.map(drop).map_err(failed("enable a user"))
    }

    /// The names of all who are disabled.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn disabled_users(&self) -> Result<BTreeSet<String>> {
        const ACTION: &str = "list disabled users";
        let read = async {
            let select = "SELECT u.name FROM hub_disabled_users d JOIN users u ON u.id = d.user_id";
            let rows = sql::query(select).fetch_all(&self.pool).await.map_err(failed(ACTION))?;
            rows.iter().map(|row| row.try_get(0)).collect::<sqlx::Result<_>>().map_err(failed(ACTION))
        };
        self.memo.remember(Key::DisabledUsers, |_| Some(Vec::new()), read).await
    }
}
