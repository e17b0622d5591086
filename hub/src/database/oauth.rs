//! Clients of the hub's OAuth provider, and the codes that they exchange for tokens. Secrets and codes are stored as hashes.

use super::sql::{self, Connection, Row};
use super::{Database, FromRow, Key, NewToken, Result, TokenOwner, column, failed, hashing, one, tokens};
use hub_auth::{pkce, token};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use std::fmt;

/// What a client stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientTarget {
    /// A user's server; `server` is empty for the default one.
    Server { user_id: i64, user: String, server: String },
    /// A service, by name.
    Service(String),
}

/// A client of the OAuth provider.
#[derive(Clone)]
pub struct OAuthClient {
    pub identifier: String,
    pub description: String,
    /// The only address that codes are sent to: a path, or a whole address.
    pub redirect_uri: String,
    /// Raw scopes that it may ask for.
    pub allowed_scopes: Vec<String>,
    /// `None` for a client whose server or service is gone.
    pub target: Option<ClientTarget>,
    /// Nobody is asked whether it may know who they are.
    pub no_confirm: bool,
    secret: String,
}

impl fmt::Debug for OAuthClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuthClient")
            .field("identifier", &self.identifier)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl OAuthClient {
    /// Whether it can redeem a code at all.
    pub fn has_secret(&self) -> bool {
        !self.secret.is_empty()
    }

    /// Whether this is the client's secret. A client without one has none that passes.
    ///
    /// # Errors
    /// If the hub is ending.
    pub async fn verify_secret(&self, secret: &str) -> Result<bool> {
        hashing::verify(&self.secret, secret).await
    }
}

/// A client to be stored, or changed if its identifier is there already.
#[derive(Clone, Copy, Debug)]
pub struct NewClient<'a> {
    pub identifier: &'a str,
    pub secret: &'a SecretString,
    pub redirect_uri: &'a str,
    pub description: &'a str,
    pub allowed_scopes: &'a [String],
}

/// A code to be stored.
#[derive(Clone, Copy, Debug)]
pub struct NewCode<'a> {
    pub code: &'a SecretString,
    pub client_id: &'a str,
    pub user_id: i64,
    /// As the request gave it: the exchange must give the same.
    pub redirect_uri: &'a str,
    pub session_id: &'a str,
    /// Raw scopes that were granted.
    pub scopes: &'a [String],
    pub challenge: Option<(&'a str, pkce::Method)>,
    pub expires_at: Timestamp,
}

/// What a code was given for.
#[derive(Clone, Debug, PartialEq)]
pub struct OAuthCode {
    pub client_id: String,
    pub user_id: i64,
    pub redirect_uri: String,
    pub session_id: Option<String>,
    pub scopes: Vec<String>,
    pub challenge: Option<(String, pkce::Method)>,
}

impl FromRow for OAuthClient {
    fn from_row(row: &Row) -> sqlx::Result<Self> {
        let text = |column| row.try_get::<Option<String>>(column).map(Option::unwrap_or_default);
        let target = match (row.try_get("user_id")?, row.try_get("user_name")?, row.try_get("service_name")?) {
            (Some(user_id), Some(user), _) => {
                Some(ClientTarget::Server { user_id, user, server: text("server_name")? })
            }
            (_, _, Some(service)) => Some(ClientTarget::Service(service)),
            _ => None,
        };
        Ok(Self {
            identifier: text("identifier")?,
            description: text("description")?,
            redirect_uri: text("redirect_uri")?,
            allowed_scopes: column::get_list(row, "allowed_scopes")?,
            target,
            no_confirm: row.try_get::<Option<bool>>("oauth_no_confirm")?.unwrap_or_default(),
            secret: text("secret")?,
        })
    }
}

impl FromRow for OAuthCode {
    fn from_row(row: &Row) -> sqlx::Result<Self> {
        let challenge: Option<String> = row.try_get("code_challenge")?;
        let method: Option<String> = row.try_get("code_challenge_method")?;
        let challenge = match challenge.filter(|challenge| !challenge.is_empty()) {
            None => None,
            Some(challenge) => {
                // RFC 7636 section 4.3: without a method it is plain. A method that nobody knows must not pass as none.
                let method =
                    pkce::Method::parse(method.as_deref().filter(|method| !method.is_empty()).unwrap_or("plain"))
                        .ok_or_else(|| sqlx::Error::Decode("unknown code challenge method".into()))?;
                Some((challenge, method))
            }
        };
        Ok(Self {
            client_id: row.try_get("client_id")?,
            user_id: row.try_get("user_id")?,
            redirect_uri: row.try_get::<Option<String>>("redirect_uri")?.unwrap_or_default(),
            session_id: row.try_get("session_id")?,
            scopes: column::get_list(row, "scopes")?,
            challenge,
        })
    }
}

impl Database {
    /// The client with this identifier, and what it stands for.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn oauth_client(&self, identifier: &str) -> Result<Option<OAuthClient>> {
        let query = "SELECT c.identifier, c.description, c.secret, c.redirect_uri, c.allowed_scopes,
                            u.id AS user_id, u.name AS user_name, s.name AS server_name, v.name AS service_name,
                            v.oauth_no_confirm
                     FROM oauth_clients c
                     LEFT JOIN spawners s ON s.oauth_client_id = c.identifier LEFT JOIN users u ON u.id = s.user_id
                     LEFT JOIN services v ON v.oauth_client_id = c.identifier
                     WHERE c.identifier = $1";
        let read = async {
            let row = sql::query(query).bind(identifier).fetch_optional(&self.pool).await;
            row.and_then(one).map_err(failed("find an OAuth client"))
        };
        self.memo.remember(Key::Client(identifier.to_owned()), |_| Some(Vec::new()), read).await
    }

    /// Stores a client, with its secret hashed. Servers have theirs stored by [`Database::start_server`].
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn save_oauth_client(&self, client: NewClient<'_>) -> Result<()> {
        const ACTION: &str = "store an OAuth client";
        let secret = hashing::hash(client.secret.expose_secret()).await?;
        let mut connection = self.pool.acquire().await.map_err(failed(ACTION))?;
        save_client(&mut connection, client, &secret).await.map_err(failed(ACTION))
    }

    /// Removes a client, and all tokens and codes that it got.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn delete_oauth_client(&self, identifier: &str) -> Result<()> {
        let delete = sql::query("DELETE FROM oauth_clients WHERE identifier = $1").bind(identifier);
        delete.execute(&self.pool).await.map(drop).map_err(failed("delete an OAuth client"))
    }

    /// Stores a code's hash, for one exchange until it expires.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn create_code(&self, new: &NewCode<'_>) -> Result<()> {
        sql::query(
            "INSERT INTO oauth_codes (client_id, code, expires_at, redirect_uri, session_id, user_id, scopes,
                                      code_challenge, code_challenge_method)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(new.client_id)
        .bind(token::hash_code(new.code.expose_secret()))
        .bind(new.expires_at.as_second())
        .bind(new.redirect_uri)
        .bind(new.session_id)
        .bind(new.user_id)
        .bind(column::list_text(new.scopes))
        .bind(new.challenge.map(|(challenge, _)| challenge))
        .bind(new.challenge.map(|(_, method)| method.name()))
        .execute(&self.pool)
        .await
        .map(drop)
        .map_err(failed("store an OAuth code"))
    }

    /// Exchanges a code for `token` in one transaction, if `exchange` agrees: it says until when the token lives. Whatever comes of it, the code is
    /// used up; of two exchanges at once only one gets a token, and the other one ends it.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn redeem_code<E>(
        &self,
        code: &str,
        now: Timestamp,
        token: &SecretString,
        exchange: impl FnOnce(&OAuthCode) -> Result<Timestamp, E>,
    ) -> Result<Redeemed<E>> {
        const ACTION: &str = "exchange an OAuth code";
        let hashed = token::hash_code(code);
        let mut tx = self.write(ACTION).await?;
        let redeemed = match take_code(&mut tx, &hashed, now).await.map_err(failed(ACTION))? {
            None => end_replayed(&mut tx, &hashed).await.map_err(failed(ACTION))?,
            Some(code) => {
                let (token_id, redeemed) = match exchange(&code) {
                    Err(error) => (None, Redeemed::Refused(error)),
                    Ok(expires_at) => {
                        let id = tokens::insert(&mut tx, code.token(token, expires_at), now).await;
                        (Some(id.map_err(failed(ACTION))?), Redeemed::Granted(code))
                    }
                };
                remember_code(&mut tx, &hashed, token_id, now).await.map_err(failed(ACTION))?;
                redeemed
            }
        };
        tx.commit().await.map_err(failed(ACTION))?;
        Ok(redeemed)
    }
}

/// Seconds for which a used code is remembered: twice the time in which it could be exchanged.
const REMEMBERED: i64 = 600;

/// What became of a code.
#[derive(Clone, Debug, PartialEq)]
pub enum Redeemed<E> {
    /// The token is stored.
    Granted(OAuthCode),
    /// It was a good code, but not for this exchange.
    Refused(E),
    /// It was exchanged before. The token of that time has ended.
    Replayed,
    /// There is no such code, or it has expired.
    Unknown,
}

impl OAuthCode {
    /// The token belongs to the session in which the code was granted (S65).
    fn token<'a>(&'a self, token: &'a SecretString, expires_at: Timestamp) -> NewToken<'a> {
        NewToken {
            owner: TokenOwner::User(self.user_id),
            token,
            client_id: Some(&self.client_id),
            session_id: self.session_id.as_deref(),
            note: "",
            scopes: &self.scopes,
            expires_at: Some(expires_at),
        }
    }
}

async fn take_code(connection: &mut Connection, hashed: &str, now: Timestamp) -> sqlx::Result<Option<OAuthCode>> {
    let query = "DELETE FROM oauth_codes WHERE code = $1 AND user_id IS NOT NULL AND client_id IS NOT NULL
                 RETURNING client_id, user_id, expires_at, redirect_uri, session_id, scopes, code_challenge,
                           code_challenge_method";
    let Some(row) = sql::query(query).bind(hashed).fetch_optional(connection).await? else { return Ok(None) };
    if row.try_get::<i64>("expires_at")? <= now.as_second() {
        return Ok(None);
    }
    OAuthCode::from_row(&row).map(Some)
}

async fn remember_code(
    connection: &mut Connection,
    hashed: &str,
    token_id: Option<i64>,
    now: Timestamp,
) -> sqlx::Result<()> {
    sql::query("INSERT INTO hub_used_codes (code, token_id, expires_at) VALUES ($1, $2, $3)")
        .bind(hashed)
        .bind(token_id)
        .bind(now.as_second() + REMEMBERED)
        .execute(connection)
        .await
        .map(drop)
}

/// Whoever has a used code may have been first: nobody keeps what it was exchanged for.
async fn end_replayed<E>(connection: &mut Connection, hashed: &str) -> sqlx::Result<Redeemed<E>> {
    let found = sql::query("SELECT token_id FROM hub_used_codes WHERE code = $1").bind(hashed);
    let Some(row) = found.fetch_optional(&mut *connection).await? else { return Ok(Redeemed::Unknown) };
    if let Some(token) = row.try_get::<Option<i64>>("token_id")? {
        sql::query("DELETE FROM api_tokens WHERE id = $1").bind(token).execute(&mut *connection).await?;
    }
    Ok(Redeemed::Replayed)
}

/// As [`save_client`], but leaves a client alone that is as it should be: hashing its secret is the slow part of a start.
/// It hashes where it is called, for services only: at the hub's start, and when the settings change.
pub(super) async fn ensure_client(connection: &mut Connection, client: NewClient<'_>) -> sqlx::Result<()> {
    let query = "SELECT secret FROM oauth_clients WHERE identifier = $1 AND description = $2 AND redirect_uri = $3
                 AND allowed_scopes = $4";
    let row = sql::query(query)
        .bind(client.identifier)
        .bind(client.description)
        .bind(client.redirect_uri)
        .bind(column::list_text(client.allowed_scopes))
        .fetch_optional(&mut *connection)
        .await?;
    let stored = row.map(|row| row.try_get::<Option<String>>("secret")).transpose()?.map(Option::unwrap_or_default);
    let secret = client.secret.expose_secret();
    match stored {
        Some(hashed) if hashed.is_empty() && secret.is_empty() || token::verify_token(&hashed, secret) => Ok(()),
        _ => {
            let hashed = match secret {
                "" => String::new(),
                secret => token::hash_token(secret, token::CONFIGURED_ROUNDS, rand::random()),
            };
            save_client(connection, client, &hashed).await
        }
    }
}

/// Adds or changes a client whose secret was hashed; also within another room's transaction, which must not wait for the
/// hash.
pub(super) async fn save_client(connection: &mut Connection, client: NewClient<'_>, hashed: &str) -> sqlx::Result<()> {
    sql::query(
        "INSERT INTO oauth_clients (identifier, description, secret, redirect_uri, allowed_scopes)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (identifier) DO UPDATE SET description = excluded.description, secret = excluded.secret,
             redirect_uri = excluded.redirect_uri, allowed_scopes = excluded.allowed_scopes",
    )
    .bind(client.identifier)
    .bind(client.description)
    .bind(hashed)
    .bind(client.redirect_uri)
    .bind(column::list_text(client.allowed_scopes))
    .execute(connection)
    .await
    .map(drop)
}
