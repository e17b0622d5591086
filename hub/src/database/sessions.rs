//! The logins of browsers, as their users and administrators see and end them. A login is known by the digest of its
//! cookie ([`hub_auth::cookie::digest`]), which opens nothing.

use super::sql::{self, Row};
use super::{Database, FromRow, Result, all, failed, users};
use jiff::Timestamp;

/// A login in a browser, as it was seen last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The digest of the login cookie.
    pub login: String,
    pub user_id: i64,
    /// What its tokens have (S65): `jupyterhub-session-id`, if the browser has one.
    pub session_id: Option<String>,
    pub created_at: Timestamp,
    pub seen_at: Timestamp,
    /// The cookie logs nobody in after that.
    pub expires_at: Timestamp,
    /// Of the last request, if the proxy told.
    pub address: Option<String>,
    /// As the browser names itself; cut.
    pub user_agent: String,
}

impl FromRow for Session {
    fn from_row(row: &Row) -> sqlx::Result<Self> {
        let time = |column: &str| {
            let seconds: i64 = row.try_get(column)?;
            Timestamp::from_second(seconds).map_err(|error| sqlx::Error::Decode(error.into()))
        };
        Ok(Self {
            login: row.try_get("login")?,
            user_id: row.try_get("user_id")?,
            session_id: row.try_get("session_id")?,
            created_at: time("created_at")?,
            seen_at: time("seen_at")?,
            expires_at: time("expires_at")?,
            address: row.try_get("address")?,
            user_agent: row.try_get("user_agent")?,
        })
    }
}

/// What is told of sessions. `$1` is always the user.
macro_rules! select_session {
    ($rest:literal) => {
        concat!(
            "SELECT login, user_id, session_id, created_at, seen_at, expires_at, address, user_agent
             FROM hub_sessions WHERE user_id = $1 AND ",
            $rest
        )
    };
}

impl Database {
    /// Notes who was seen, all of it in one commit: each with the `users.cookie_id` of its cookie. A login that has ended
    /// meanwhile does not come back.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn save_sessions(&self, seen: &[(Session, String)]) -> Result<()> {
        const ACTION: &str = "note sessions";
        const UPSERT: &str = "
            INSERT INTO hub_sessions
                (login, user_id, session_id, created_at, seen_at, expires_at, address, user_agent)
            SELECT $1, $2, $3, $4, $5, $6, $7, $8
            WHERE EXISTS (SELECT 1 FROM users WHERE id = $2 AND cookie_id = $9)
              AND NOT EXISTS (SELECT 1 FROM hub_ended_logins WHERE login = $1)
            ON CONFLICT (login) DO UPDATE SET session_id = excluded.session_id, seen_at = excluded.seen_at,
                address = excluded.address, user_agent = excluded.user_agent";
        let mut tx = self.write(ACTION).await?;
        let before = self.memo.version();
        for (session, cookie_id) in seen {
            let upsert = sql::query(UPSERT)
                .bind(&session.login)
                .bind(session.user_id)
                .bind(session.session_id.as_deref())
                .bind(session.created_at.as_second())
                .bind(session.seen_at.as_second())
                .bind(session.expires_at.as_second())
                .bind(session.address.as_deref())
                .bind(&session.user_agent)
                .bind(cookie_id);
            upsert.execute(&mut *tx).await.map_err(failed(ACTION))?;
        }
        tx.commit().await.map_err(failed(ACTION))?;
        // Nothing of it is kept in memory.
        self.memo.pass(before, &[]);
        Ok(())
    }

    /// A user's sessions, the one that was seen last first.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn sessions_of(&self, user_id: i64, now: Timestamp) -> Result<Vec<Session>> {
        let query = sql::query(select_session!("expires_at > $2 ORDER BY seen_at DESC, login"));
        let rows = query.bind(user_id).bind(now.as_second()).fetch_all(&self.pool).await;
        rows.and_then(all).map_err(failed("list sessions"))
    }

    /// Ends one session of a user with all tokens and codes that came of it; false if there is none.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn end_session(&self, user_id: i64, login: &str, expires_at: Timestamp) -> Result<bool> {
        const ACTION: &str = "end a session";
        let mut tx = self.write(ACTION).await?;
        let query = sql::query(select_session!("login = $2")).bind(user_id).bind(login);
        let row = query.fetch_optional(&mut *tx).await.map_err(failed(ACTION))?;
        let Some(row) = row else { return Ok(false) };
        let Session { session_id, .. } = Session::from_row(&row).map_err(failed(ACTION))?;
        users::end_login(&mut tx, login, expires_at).await.map_err(failed(ACTION))?;
        // Codes first: one that is exchanged later would make a token again.
        for statement in [
            "DELETE FROM oauth_codes WHERE user_id = $1 AND session_id = $2",
            "DELETE FROM api_tokens WHERE user_id = $1 AND session_id = $2",
        ] {
            let delete = sql::query(statement).bind(user_id).bind(session_id.as_deref());
            delete.execute(&mut *tx).await.map_err(failed(ACTION))?;
        }
        tx.commit().await.map_err(failed(ACTION))?;
        Ok(true)
    }
}
