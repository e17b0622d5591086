//! Tokens of users and services. Only their hashes are stored (S32).

use super::sql::{self, Connection, QueryBuilder, Row};
use super::{
    Database, FromRow, Key, Result, Subject, all, column, failed, failed_or_taken, hashing, one, schema::OWN_CLIENT,
};
use hub_auth::token;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

/// Whose token it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenOwner {
    /// A user's id.
    User(i64),
    /// A service's id.
    Service(i64),
}

impl TokenOwner {
    fn user_id(self) -> Option<i64> {
        match self {
            Self::User(id) => Some(id),
            Self::Service(_) => None,
        }
    }

    fn service_id(self) -> Option<i64> {
        match self {
            Self::User(_) => None,
            Self::Service(id) => Some(id),
        }
    }
}

/// Whose tokens are revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoked<'a> {
    All,
    /// By name.
    User(&'a str),
    /// By name.
    Service(&'a str),
}

/// How many tokens were revoked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RevokedCounts {
    /// Of users: what is counted below is among them.
    pub users: u64,
    pub services: u64,
    /// Given out in browser sessions.
    pub sessions: u64,
    /// Servers' own: these servers have to be started anew.
    pub servers: u64,
    /// Login links that were not used yet; not among the tokens above.
    pub links: u64,
}

impl RevokedCounts {
    /// Everything that ended.
    pub fn total(&self) -> u64 {
        self.users + self.services + self.links
    }
}

/// What is known of a token; not the token itself.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiToken {
    pub id: i64,
    pub owner: TokenOwner,
    /// The OAuth client that it was given to; `jupyterhub` if it isn't from OAuth.
    pub client_id: String,
    /// The browser session in which it was given out: logout ends all of one session (S65, S71).
    pub session_id: Option<String>,
    pub created: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub last_activity: Option<Timestamp>,
    pub note: Option<String>,
    /// Raw scopes.
    pub scopes: Vec<String>,
}

impl ApiToken {
    /// Whether it was given to an OAuth client.
    pub fn is_oauth(&self) -> bool {
        self.client_id != OWN_CLIENT
    }
}

/// A token to be stored.
#[derive(Clone, Copy, Debug)]
pub struct NewToken<'a> {
    pub owner: TokenOwner,
    /// One that a hub generated: its hash has a single round.
    pub token: &'a SecretString,
    /// `None` if it isn't from OAuth.
    pub client_id: Option<&'a str>,
    pub session_id: Option<&'a str>,
    pub note: &'a str,
    /// Raw scopes. Whether the owner holds them must have been checked.
    pub scopes: &'a [String],
    pub expires_at: Option<Timestamp>,
}

/// All of a token but its hash, which only [`Database::find_token`] reads. The columns follow `SELECT`.
macro_rules! select_token {
    ($rest:literal) => {
        concat!(
            "SELECT id, user_id, service_id, client_id, session_id, created, expires_at, last_activity, note, scopes",
            $rest
        )
    };
}

impl FromRow for ApiToken {
    fn from_row(row: &Row) -> sqlx::Result<Self> {
        let owner = match (row.try_get::<Option<i64>>("user_id")?, row.try_get("service_id")?) {
            (Some(user), _) => TokenOwner::User(user),
            (None, Some(service)) => TokenOwner::Service(service),
            (None, None) => return Err(sqlx::Error::RowNotFound),
        };
        Ok(Self {
            id: row.try_get("id")?,
            owner,
            client_id: row.try_get::<Option<String>>("client_id")?.unwrap_or_else(|| OWN_CLIENT.to_owned()),
            session_id: row.try_get("session_id")?,
            created: row.try_get("created")?,
            expires_at: row.try_get("expires_at")?,
            last_activity: row.try_get("last_activity")?,
            note: row.try_get("note")?,
            scopes: column::get_list(row, "scopes")?,
        })
    }
}

impl Database {
    /// Stores a token's hash.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn create_token(&self, new: NewToken<'_>, now: Timestamp) -> Result<ApiToken> {
        const ACTION: &str = "add a token";
        let mut connection = self.pool.acquire().await.map_err(failed(ACTION))?;
        let id = insert(&mut connection, new, now).await.map_err(failed_or_taken(ACTION, "token"))?;
        let row = sql::query(select_token!(" FROM api_tokens WHERE id = $1")).bind(id).fetch_one(&mut connection).await;
        row.and_then(|row| ApiToken::from_row(&row)).map_err(failed(ACTION))
    }

    /// The token that this is, unless it has expired or its user is disabled.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn find_token(&self, text: &str, now: Timestamp) -> Result<Option<ApiToken>> {
        if !token::LENGTH.contains(&text.len()) {
            return Ok(None);
        }
        let about = |found: &Option<ApiToken>| Some(found.iter().map(|token| Subject::Token(token.id)).collect());
        let key = Key::Token(Sha256::digest(text).into());
        let found = self.memo.remember(key, about, self.match_token(text)).await?;
        Ok(found.filter(|token| token.expires_at.is_none_or(|end| end > now)))
    }

    /// The token that this is, expired or not: one look-up by its prefix, and a comparison of hashes in constant time.
    async fn match_token(&self, text: &str) -> Result<Option<ApiToken>> {
        const ACTION: &str = "find a token";
        let query = select_token!(
            ", hashed FROM api_tokens t WHERE prefix = $1 AND (user_id IS NOT NULL OR service_id IS NOT NULL)
             AND NOT EXISTS (SELECT 1 FROM hub_disabled_users d WHERE d.user_id = t.user_id)"
        );
        let rows = sql::query(query).bind(token::prefix(text)).fetch_all(&self.pool).await;
        for row in rows.map_err(failed(ACTION))? {
            let hashed: String = row.try_get("hashed").map_err(failed(ACTION))?;
            if hashing::verify(&hashed, text).await? {
                return ApiToken::from_row(&row).map(Some).map_err(failed(ACTION));
            }
        }
        Ok(None)
    }

    /// A user's tokens that have not expired, by id.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn tokens_of(&self, user_id: i64, now: Timestamp) -> Result<Vec<ApiToken>> {
        let query = select_token!(
            " FROM api_tokens WHERE user_id = $1 AND (expires_at IS NULL OR expires_at > $2) ORDER BY id"
        );
        let rows = sql::query(query).bind(user_id).bind(now).fetch_all(&self.pool).await;
        rows.and_then(all).map_err(failed("list tokens"))
    }

    /// One token of a user, unless it has expired.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn token(&self, user_id: i64, id: i64, now: Timestamp) -> Result<Option<ApiToken>> {
        let query = select_token!(
            " FROM api_tokens WHERE user_id = $1 AND id = $2 AND (expires_at IS NULL OR expires_at > $3)"
        );
        let row = sql::query(query).bind(user_id).bind(id).bind(now).fetch_optional(&self.pool).await;
        row.and_then(one).map_err(failed("find a token by id"))
    }

    /// Ends a token. With one that an OAuth client got, all that the client got from the same owner end.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn delete_token(&self, token: &ApiToken) -> Result<()> {
        const ACTION: &str = "delete a token";
        if let (true, TokenOwner::User(user_id)) = (token.is_oauth(), token.owner) {
            return self.delete_client_tokens(user_id, &token.client_id).await.map(drop);
        }
        let delete = sql::query("DELETE FROM api_tokens WHERE id = $1").bind(token.id);
        delete.execute(&self.pool).await.map(drop).map_err(failed(ACTION))
    }

    /// Ends all tokens that an OAuth client got from a user; returns how many.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn delete_client_tokens(&self, user_id: i64, client_id: &str) -> Result<u64> {
        let delete =
            sql::query("DELETE FROM api_tokens WHERE user_id = $1 AND client_id = $2").bind(user_id).bind(client_id);
        delete.execute(&self.pool).await.map(|done| done.rows_affected()).map_err(failed("delete a client's tokens"))
    }

    /// Ends all tokens and codes of a browser session: what logout does (S71). Returns how many tokens.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn delete_session_tokens(&self, user_id: i64, session_id: &str) -> Result<u64> {
        const ACTION: &str = "delete a session's tokens";
        let mut tx = self.write(ACTION).await?;
        let mut deleted = 0;
        // Codes first: one that is exchanged later would make a token again.
        for statement in [
            "DELETE FROM oauth_codes WHERE user_id = $1 AND session_id = $2",
            "DELETE FROM api_tokens WHERE user_id = $1 AND session_id = $2",
        ] {
            let done =
                sql::query(statement).bind(user_id).bind(session_id).execute(&mut *tx).await.map_err(failed(ACTION))?;
            deleted = done.rows_affected();
        }
        tx.commit().await.map_err(failed(ACTION))?;
        Ok(deleted)
    }

    /// The browser of one session begins another, since its user logged in again: what servers hold goes along, so that
    /// the next logout ends it. What somebody else left in this browser ends here.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn continue_session(&self, user_id: i64, before: &str, now: &str) -> Result<()> {
        const ACTION: &str = "continue a session";
        let mut tx = self.write(ACTION).await?;
        for statement in [
            "DELETE FROM oauth_codes WHERE session_id = $1",
            "DELETE FROM api_tokens WHERE session_id = $1 AND user_id <> $2",
            "UPDATE api_tokens SET session_id = $3 WHERE session_id = $1 AND user_id = $2",
        ] {
            let change = sql::query(statement).bind(before).bind(user_id).bind(now);
            change.execute(&mut *tx).await.map_err(failed(ACTION))?;
        }
        tx.commit().await.map_err(failed(ACTION))
    }

    /// Ends every login of a user and what came of them: login cookies, login links, and the tokens and codes of browser
    /// sessions.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn end_sessions_of(&self, user_id: i64) -> Result<()> {
        const ACTION: &str = "end a user's sessions";
        self.rotate_cookie_id(user_id).await?;
        let mut tx = self.write(ACTION).await?;
        // Codes first: one that is exchanged later would make a token again.
        for statement in [
            "DELETE FROM oauth_codes WHERE user_id = $1",
            "DELETE FROM hub_login_links WHERE user_id = $1",
            "DELETE FROM hub_sessions WHERE user_id = $1",
            "DELETE FROM api_tokens WHERE user_id = $1 AND session_id IS NOT NULL",
        ] {
            sql::query(statement).bind(user_id).execute(&mut *tx).await.map_err(failed(ACTION))?;
        }
        tx.commit().await.map_err(failed(ACTION))
    }

    /// Ends tokens, and all codes that could become some (S34). Those of a server's own are among them: it has to be
    /// started anew.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn revoke_tokens(&self, whose: Revoked<'_>) -> Result<RevokedCounts> {
        const ACTION: &str = "revoke tokens";
        let (condition, name) = match whose {
            Revoked::All => ("$1 = ''", ""),
            Revoked::User(name) => ("user_id = (SELECT id FROM users WHERE name = $1)", name),
            Revoked::Service(name) => ("service_id = (SELECT id FROM services WHERE name = $1)", name),
        };
        let mut tx = self.write(ACTION).await?;
        let count = format!(
            "SELECT count(user_id), count(service_id), count(session_id), count(s.token_id) FROM api_tokens t
             LEFT JOIN hub_server_tokens s ON s.token_id = t.id WHERE {condition}"
        );
        let row = QueryBuilder::new(count).build().bind(name).fetch_one(&mut *tx).await.map_err(failed(ACTION))?;
        let number = |column: usize| row.try_get::<i64>(column).map(i64::unsigned_abs).map_err(failed(ACTION));
        let mut counts = RevokedCounts {
            users: number(0)?,
            services: number(1)?,
            sessions: number(2)?,
            servers: number(3)?,
            links: 0,
        };
        // Codes and links first: one that is used later would make a token again. A service has none.
        let of_people: &[_] = match whose {
            Revoked::Service(_) => &[],
            Revoked::All | Revoked::User(_) => &["oauth_codes", "hub_login_links"],
        };
        for table in of_people.iter().chain(&["api_tokens"]) {
            let delete = format!("DELETE FROM {table} WHERE {condition}");
            let done = QueryBuilder::new(delete).build().bind(name).execute(&mut *tx).await.map_err(failed(ACTION))?;
            if *table == "hub_login_links" {
                counts.links = done.rows_affected();
            }
        }
        tx.commit().await.map_err(failed(ACTION))?;
        Ok(counts)
    }

    /// Removes what has expired: tokens, codes, login links, shares and share codes.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn delete_expired(&self, now: Timestamp) -> Result<()> {
        const ACTION: &str = "delete what has expired";
        let tokens = sql::query("DELETE FROM api_tokens WHERE expires_at <= $1").bind(now);
        tokens.execute(&self.pool).await.map_err(failed(ACTION))?;
        for statement in [
            "DELETE FROM oauth_codes WHERE expires_at <= $1",
            "DELETE FROM hub_used_codes WHERE expires_at <= $1",
            "DELETE FROM hub_ended_logins WHERE expires_at <= $1",
            "DELETE FROM hub_login_links WHERE expires_at <= $1",
            "DELETE FROM hub_oidc_sessions WHERE expires_at <= $1",
            "DELETE FROM hub_sessions WHERE expires_at <= $1",
            "DELETE FROM hub_login_failures WHERE expires_at <= $1",
        ] {
            sql::query(statement).bind(now.as_second()).execute(&self.pool).await.map_err(failed(ACTION))?;
        }
        for statement in ["DELETE FROM shares WHERE expires_at <= $1", "DELETE FROM share_codes WHERE expires_at <= $1"]
        {
            sql::query(statement).bind(now).execute(&self.pool).await.map_err(failed(ACTION))?;
        }
        Ok(())
    }
}

/// Adds the row of a token and returns its id; also within another room's transaction.
pub(super) async fn insert(connection: &mut Connection, new: NewToken<'_>, now: Timestamp) -> sqlx::Result<i64> {
    insert_hashed(connection, new, token::GENERATED_ROUNDS, now).await
}

/// As [`insert`], for a token that a person may have chosen: its hash has these rounds.
pub(super) async fn insert_hashed(
    connection: &mut Connection,
    new: NewToken<'_>,
    rounds: u32,
    now: Timestamp,
) -> sqlx::Result<i64> {
    let text = new.token.expose_secret();
    sql::query(
        "INSERT INTO api_tokens
             (user_id, service_id, hashed, prefix, client_id, session_id, created, expires_at, note, scopes)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id",
    )
    .bind(new.owner.user_id())
    .bind(new.owner.service_id())
    .bind(token::hash_token(text, rounds, rand::random()))
    .bind(token::prefix(text))
    .bind(new.client_id.unwrap_or(OWN_CLIENT))
    .bind(new.session_id)
    .bind(now)
    .bind(new.expires_at)
    .bind(new.note)
    .bind(column::list_text(new.scopes))
    .fetch_one(connection)
    .await?
    .try_get(0)
}
