//! Share codes: whoever has one may exchange it for a share, until it expires or is deleted. Only hashes are stored (S32).
//!
//! Whom a server's owner has shut out gets nothing from codes that were made before: `hub_refused_share_codes` says so.

use super::sql::{self, Connection, QueryBuilder, Row};
use super::{
    Database, FromRow, Page, Result, ServerRow, Share, ShareWith, SharedBy, Window, column, failed, failed_or_taken,
    shares,
};
use hub_auth::{scopes::share, token};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

/// What is known of a share code; not the code itself.
#[derive(Clone, Debug, PartialEq)]
pub struct ShareCode {
    pub id: i64,
    /// The id of the server's `spawners` row.
    pub server_id: i64,
    pub owner_id: i64,
    /// Whose server it is, by name.
    pub owner: String,
    /// Empty for the default server.
    pub server: String,
    /// Raw scopes, each for this server, sorted.
    pub scopes: Vec<String>,
    pub created_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub exchange_count: i64,
    pub last_exchanged_at: Option<Timestamp>,
}

const COLUMNS: &str = "c.id, c.spawner_id, s.user_id, u.name AS owner, coalesce(s.name, '') AS server, c.scopes,
    c.created_at, c.expires_at, coalesce(c.exchange_count, 0) AS exchange_count, c.last_exchanged_at";

/// What follows the columns; conditions follow it.
const FROM: &str = " FROM share_codes c JOIN spawners s ON s.id = c.spawner_id JOIN users u ON u.id = s.user_id
    WHERE (c.expires_at IS NULL OR c.expires_at > ";

impl FromRow for ShareCode {
    fn from_row(row: &Row) -> sqlx::Result<Self> {
        let (owner, server): (String, String) = (row.try_get("owner")?, row.try_get("server")?);
        Ok(Self {
            id: row.try_get("id")?,
            server_id: row.try_get("spawner_id")?,
            owner_id: row.try_get("user_id")?,
            scopes: share::rebind(&column::get_list(row, "scopes")?, &owner, &server),
            owner,
            server,
            created_at: row.try_get("created_at")?,
            expires_at: row.try_get("expires_at")?,
            exchange_count: row.try_get("exchange_count")?,
            last_exchanged_at: row.try_get("last_exchanged_at")?,
        })
    }
}

impl Database {
    /// Stores a code's hash. `scopes` must be bound to the server, see [`share::bind`].
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn create_share_code(
        &self,
        server: &ServerRow,
        code: &SecretString,
        scopes: &[String],
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<ShareCode> {
        const ACTION: &str = "add a share code";
        let text = code.expose_secret();
        let id: i64 = sql::query(
            "INSERT INTO share_codes
                 (hashed, prefix, exchange_count, created_at, scopes, expires_at, owner_id, spawner_id)
             VALUES ($1, $2, 0, $3, $4, $5, $6, $7) RETURNING id",
        )
        .bind(token::hash_token(text, token::GENERATED_ROUNDS, rand::random()))
        .bind(token::prefix(text))
        .bind(now)
        .bind(column::list_text(scopes))
        .bind(expires_at)
        .bind(server.user_id)
        .bind(server.id)
        .fetch_one(&self.pool)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(failed_or_taken(ACTION, "share code"))?;
        Ok(ShareCode {
            id,
            server_id: server.id,
            owner_id: server.user_id,
            owner: server.user.clone(),
            server: server.name.clone(),
            scopes: scopes.to_vec(),
            created_at: Some(now),
            expires_at: Some(expires_at),
            exchange_count: 0,
            last_exchanged_at: None,
        })
    }

    /// The codes that have not expired, by id.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn list_share_codes(&self, by: SharedBy, window: Window, now: Timestamp) -> Result<Page<ShareCode>> {
        self.page(COLUMNS, "c.id", window, "list share codes", |sql| {
            push_from(sql, now);
            match by {
                SharedBy::Owner(id) => sql.push("s.user_id = ").push_bind(id),
                SharedBy::Server(id) => sql.push("c.spawner_id = ").push_bind(id),
            };
        })
        .await
    }

    /// The code that this is, unless it has expired.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn share_code(&self, code: &str, now: Timestamp) -> Result<Option<ShareCode>> {
        const ACTION: &str = "find a share code";
        let mut connection = self.pool.acquire().await.map_err(failed(ACTION))?;
        find(&mut connection, code, now).await.map_err(failed(ACTION))
    }

    /// The same as far as this user may exchange it.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn share_code_for(&self, code: &str, user_id: i64, now: Timestamp) -> Result<Option<ShareCode>> {
        const ACTION: &str = "find a share code for a user";
        let mut connection = self.pool.acquire().await.map_err(failed(ACTION))?;
        find_for(&mut connection, code, user_id, now).await.map_err(failed(ACTION))
    }

    /// Exchanges a code for a share with this user, and counts it. `None` if there is no such code for this user: of an
    /// exchange and a deletion at once only one happens first.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn exchange_share_code(&self, code: &str, user_id: i64, now: Timestamp) -> Result<Option<Share>> {
        const ACTION: &str = "exchange a share code";
        let mut tx = self.write(ACTION).await?;
        let share = exchange(&mut tx, code, user_id, now).await.map_err(failed(ACTION))?;
        tx.commit().await.map_err(failed(ACTION))?;
        Ok(share)
    }

    /// Deletes a code of this server; says whether there was one.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn delete_share_code(&self, server_id: i64, id: i64) -> Result<bool> {
        let delete = sql::query("DELETE FROM share_codes WHERE spawner_id = $1 AND id = $2").bind(server_id).bind(id);
        let done = delete.execute(&self.pool).await.map_err(failed("delete a share code"))?;
        Ok(done.rows_affected() > 0)
    }

    /// Deletes all codes of a server; returns how many.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn delete_share_codes(&self, server_id: i64) -> Result<u64> {
        let delete = sql::query("DELETE FROM share_codes WHERE spawner_id = $1").bind(server_id);
        let done = delete.execute(&self.pool).await.map_err(failed("delete a server's share codes"))?;
        Ok(done.rows_affected())
    }
}

fn push_from(sql: &mut QueryBuilder, now: Timestamp) {
    sql.push(FROM).push_bind(now).push(") AND ");
}

async fn find(connection: &mut Connection, code: &str, now: Timestamp) -> sqlx::Result<Option<ShareCode>> {
    if !token::LENGTH.contains(&code.len()) {
        return Ok(None);
    }
    let mut sql = QueryBuilder::new("SELECT c.hashed, ");
    sql.push(COLUMNS);
    push_from(&mut sql, now);
    sql.push("c.prefix = ").push_bind(token::prefix(code).to_owned());
    for row in sql.build().fetch_all(connection).await? {
        let hashed: Option<String> = row.try_get("hashed")?;
        if token::verify_token(&hashed.unwrap_or_default(), code) {
            return ShareCode::from_row(&row).map(Some);
        }
    }
    Ok(None)
}

async fn find_for(
    connection: &mut Connection,
    code: &str,
    user_id: i64,
    now: Timestamp,
) -> sqlx::Result<Option<ShareCode>> {
    let Some(found) = find(connection, code, now).await? else { return Ok(None) };
    let refused = sql::query("SELECT 1 FROM hub_refused_share_codes WHERE share_code_id = $1 AND user_id = $2")
        .bind(found.id)
        .bind(user_id)
        .fetch_optional(connection)
        .await?;
    Ok(refused.is_none().then_some(found))
}

async fn exchange(
    connection: &mut Connection,
    code: &str,
    user_id: i64,
    now: Timestamp,
) -> sqlx::Result<Option<Share>> {
    let Some(code) = find_for(connection, code, user_id, now).await? else { return Ok(None) };
    sql::query(
        "UPDATE share_codes SET exchange_count = coalesce(exchange_count, 0) + 1, last_exchanged_at = $1 WHERE id = $2",
    )
    .bind(now)
    .bind(code.id)
    .execute(&mut *connection)
    .await?;
    shares::grant(connection, (code.server_id, code.owner_id), ShareWith::User(user_id), &code.scopes, now).await
}

/// From now on the codes that a server has are nothing to this user.
pub(super) async fn refuse(connection: &mut Connection, server_id: i64, user_id: i64) -> sqlx::Result<()> {
    sql::query(
        "INSERT INTO hub_refused_share_codes (share_code_id, user_id)
         SELECT id, $1 FROM share_codes WHERE spawner_id = $2 ON CONFLICT DO NOTHING",
    )
    .bind(user_id)
    .bind(server_id)
    .execute(connection)
    .await
    .map(drop)
}

/// The same for every user that the server is shared with.
pub(super) async fn refuse_to_all(connection: &mut Connection, server_id: i64) -> sqlx::Result<()> {
    sql::query(
        "INSERT INTO hub_refused_share_codes (share_code_id, user_id)
         SELECT c.id, h.user_id FROM share_codes c JOIN shares h ON h.spawner_id = c.spawner_id
         WHERE c.spawner_id = $1 AND h.user_id IS NOT NULL ON CONFLICT DO NOTHING",
    )
    .bind(server_id)
    .execute(connection)
    .await
    .map(drop)
}
