//! The end of everybody's logins at once.

use super::sql;
use super::{Database, Result, failed, schema::OWN_CLIENT, settings, users::new_cookie_id};

/// What a reset ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// Every login at the hub and what came of it: tokens of browser sessions and of OAuth, codes, and login links.
    Sessions,
    /// All other tokens as well, those of servers and services among them.
    Tokens,
}

/// How much ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResetCounts {
    pub tokens: u64,
    pub links: u64,
}

impl Database {
    /// Ends everybody's logins, and notes down these settings of the hub in the same transaction: whoever is killed
    /// meanwhile does it again as a whole.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn reset(&self, what: Reset, notes: &[(&str, &str)]) -> Result<ResetCounts> {
        const ACTION: &str = "end all sessions";
        let mut tx = self.write(ACTION).await?;
        let users = sql::query("SELECT id FROM users").fetch_all(&mut *tx).await.map_err(failed(ACTION))?;
        for user in users {
            let id: i64 = user.try_get(0).map_err(failed(ACTION))?;
            let update = sql::query("UPDATE users SET cookie_id = $1 WHERE id = $2").bind(new_cookie_id()).bind(id);
            update.execute(&mut *tx).await.map_err(failed(ACTION))?;
        }
        // Codes and links first: one that is used later would make a token again.
        sql::query("DELETE FROM oauth_codes").execute(&mut *tx).await.map_err(failed(ACTION))?;
        let links = sql::query("DELETE FROM hub_login_links").execute(&mut *tx).await.map_err(failed(ACTION))?;
        sql::query("DELETE FROM hub_sessions").execute(&mut *tx).await.map_err(failed(ACTION))?;
        let tokens = match what {
            Reset::Sessions => {
                sql::query("DELETE FROM api_tokens WHERE session_id IS NOT NULL OR client_id <> $1").bind(OWN_CLIENT)
            }
            Reset::Tokens => sql::query("DELETE FROM api_tokens"),
        };
        let tokens = tokens.execute(&mut *tx).await.map_err(failed(ACTION))?;
        for (name, value) in notes {
            settings::store(&mut tx, name, value).await.map_err(failed(ACTION))?;
        }
        tx.commit().await.map_err(failed(ACTION))?;
        Ok(ResetCounts { tokens: tokens.rows_affected(), links: links.rows_affected() })
    }
}
