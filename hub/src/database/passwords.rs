//! Passwords of users, as hashes.

use super::sql;
use super::{Database, Result, failed};
use jiff::Timestamp;

impl Database {
    /// The hash of the password of the user of this name (a PHC string).
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn password_hash(&self, name: &str) -> Result<Option<String>> {
        const ACTION: &str = "find a password";
        let select = "SELECT p.hash FROM hub_passwords p JOIN users u ON u.id = p.user_id WHERE u.name = $1";
        let row = sql::query(select).bind(name).fetch_optional(&self.pool).await.map_err(failed(ACTION))?;
        row.map(|row| row.try_get(0)).transpose().map_err(failed(ACTION))
    }

    /// Stores a first password. Of all who come at once, one does; false for the others.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn claim_password(&self, user_id: i64, hash: &str, now: Timestamp) -> Result<bool> {
        let insert = "INSERT INTO hub_passwords (user_id, hash, changed_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        let insert = sql::query(insert).bind(user_id).bind(hash).bind(now.as_second());
        let done = insert.execute(&self.pool).await.map_err(failed("store a first password"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Stores a hash of the same password in place of the one that is there; if that is another one by now, nothing.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn rehash_password(&self, name: &str, before: &str, hash: &str) -> Result<()> {
        let update = "UPDATE hub_passwords SET hash = $1
                      WHERE hash = $2 AND user_id = (SELECT id FROM users WHERE name = $3)";
        let update = sql::query(update).bind(hash).bind(before).bind(name);
        update.execute(&self.pool).await.map(drop).map_err(failed("hash a password anew"))
    }

    /// Stores a user's password, or removes it.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn set_password(&self, user_id: i64, hash: Option<&str>, now: Timestamp) -> Result<()> {
        let change = match hash {
            Some(hash) => sql::query(
                "INSERT INTO hub_passwords (user_id, hash, changed_at) VALUES ($1, $2, $3)
                 ON CONFLICT (user_id) DO UPDATE SET hash = excluded.hash, changed_at = excluded.changed_at",
            )
            .bind(user_id)
            .bind(hash)
            .bind(now.as_second()),
            None => sql::query("DELETE FROM hub_passwords WHERE user_id = $1").bind(user_id),
        };
        change.execute(&self.pool).await.map(drop).map_err(failed("set a password"))
    }
}
