//! Small facts that the hub keeps for itself, such as a fingerprint of the cookie secret.

use super::sql::{self, Connection};
use super::{Database, Result, failed};

impl Database {
    /// What was last stored under this name.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn hub_setting(&self, name: &str) -> Result<Option<String>> {
        const ACTION: &str = "read a setting of the hub";
        let row = sql::query("SELECT value FROM hub_settings WHERE name = $1").bind(name).fetch_optional(&self.pool);
        row.await.map_err(failed(ACTION))?.map(|row| row.try_get(0)).transpose().map_err(failed(ACTION))
    }

    /// Stores a value under a name, in place of the one before.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn set_hub_setting(&self, name: &str, value: &str) -> Result<()> {
        const ACTION: &str = "store a setting of the hub";
        let mut connection = self.pool.acquire().await.map_err(failed(ACTION))?;
        store(&mut connection, name, value).await.map_err(failed(ACTION))
    }
}

/// Stores a value under a name; also within another room's transaction.
pub(super) async fn store(connection: &mut Connection, name: &str, value: &str) -> sqlx::Result<()> {
    let insert = "INSERT INTO hub_settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    sql::query(insert).bind(name).bind(value).execute(connection).await.map(drop)
}
