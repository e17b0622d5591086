//! One-time login links (S10 to S13). Only their hashes are stored (S32).

use hub_auth::token;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::sql;
use super::{Database, Result, User, failed};

impl Database {
    /// Stores a link's hash. It lets the user in once, before `expires_at`.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn create_login_link(&self, user_id: i64, text: &SecretString, expires_at: Timestamp) -> Result<()> {
        sql::query("INSERT INTO hub_login_links (link, user_id, expires_at) VALUES ($1, $2, $3)")
            .bind(token::hash_code(text.expose_secret()))
            .bind(user_id)
            .bind(expires_at.as_second())
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(failed("store a login link"))
    }

    /// Whom a link would let in now. It can still be used.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn user_by_login_link(&self, text: &str, now: Timestamp) -> Result<Option<User>> {
        const SELECT: &str = "SELECT user_id FROM hub_login_links WHERE link = $1 AND expires_at > $2";
        self.user_of_link(SELECT, text, now).await
    }

    /// The same, and uses the link up: of all who come with it at once, one gets the user.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn redeem_login_link(&self, text: &str, now: Timestamp) -> Result<Option<User>> {
        const DELETE: &str = "DELETE FROM hub_login_links WHERE link = $1 AND expires_at > $2 RETURNING user_id";
        self.user_of_link(DELETE, text, now).await
    }

    async fn user_of_link(&self, statement: &'static str, text: &str, now: Timestamp) -> Result<Option<User>> {
        const ACTION: &str = "find a login link";
        let query = sql::query(statement).bind(token::hash_code(text)).bind(now.as_second());
        let Some(row) = query.fetch_optional(&self.pool).await.map_err(failed(ACTION))? else { return Ok(None) };
        self.user(row.try_get("user_id").map_err(failed(ACTION))?).await
    }
}
