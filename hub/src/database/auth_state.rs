//! What logins left, encrypted: JupyterHub's `users.encrypted_auth_state`. This room never sees it in the clear.

use super::sql::{self, Row};
use super::{Database, Result, failed};

/// One user's state.
#[derive(Debug, PartialEq, Eq)]
pub struct EncryptedState {
    pub user_id: i64,
    pub token: Vec<u8>,
}

impl Database {
    /// What one user's login left.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn encrypted_state(&self, user_id: i64) -> Result<Option<Vec<u8>>> {
        const ACTION: &str = "read what a login left";
        let query = sql::query("SELECT encrypted_auth_state FROM users WHERE id = $1").bind(user_id);
        let row = query.fetch_optional(&self.pool).await.map_err(failed(ACTION))?;
        Ok(row.map(|row| row.try_get(0)).transpose().map_err(failed(ACTION))?.flatten())
    }

    /// Keeps what a login left, in place of what was kept before.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn set_encrypted_state(&self, user_id: i64, token: &str) -> Result<()> {
        let update = sql::query("UPDATE users SET encrypted_auth_state = $1 WHERE id = $2");
        let update = update.bind(token.as_bytes()).bind(user_id).execute(&self.pool).await;
        update.map(drop).map_err(failed("keep what a login left"))
    }

    /// The next states by the id of their user, at most `limit`.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn encrypted_states(&self, after: i64, limit: u32) -> Result<Vec<EncryptedState>> {
        const ACTION: &str = "read what logins left";
        let query = sql::query(
            "SELECT id, encrypted_auth_state FROM users WHERE id > $1 AND encrypted_auth_state IS NOT NULL
             ORDER BY id LIMIT $2",
        );
        let rows = query.bind(after).bind(i64::from(limit)).fetch_all(&self.pool).await.map_err(failed(ACTION))?;
        let read = |row: &Row| Ok(EncryptedState { user_id: row.try_get(0)?, token: row.try_get(1)? });
        rows.iter().map(read).collect::<sqlx::Result<_>>().map_err(failed(ACTION))
    }

    /// Puts new encryptions in the place of old ones, all or none. What somebody else has changed since it was read stays as
    /// it is.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn replace_encrypted_states(&self, changes: &[(EncryptedState, String)]) -> Result<()> {
        const ACTION: &str = "encrypt anew what logins left";
        let mut tx = self.write(ACTION).await?;
        for (before, after) in changes {
            let update = "UPDATE users SET encrypted_auth_state = $1 WHERE id = $2 AND encrypted_auth_state = $3";
            let update = sql::query(update).bind(after.as_bytes()).bind(before.user_id).bind(before.token.as_slice());
            update.execute(&mut *tx).await.map_err(failed(ACTION))?;
        }
        tx.commit().await.map_err(failed(ACTION))
    }
}
