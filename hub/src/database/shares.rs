//! Shares: what a user's server lets another user, or a group, do with it. Their scopes are read as bound to the server
//! under its name of that moment, see [`share::rebind`].

use super::sql::{self, Connection, QueryBuilder, Row};
use super::{Database, FromRow, Page, Result, ServerRow, Window, column, failed, one, share_codes};
use hub_auth::scopes::share;
use jiff::Timestamp;
use std::collections::BTreeSet;

/// With whom a server is shared, by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShareWith {
    User(i64),
    Group(i64),
}

impl ShareWith {
    fn user_id(self) -> Option<i64> {
        match self {
            Self::User(id) => Some(id),
            Self::Group(_) => None,
        }
    }

    fn group_id(self) -> Option<i64> {
        match self {
            Self::User(_) => None,
            Self::Group(id) => Some(id),
        }
    }
}

/// Whose shares or share codes: all of an owner, or those of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedBy {
    /// A user's id.
    Owner(i64),
    /// A server's id.
    Server(i64),
}

/// A server that is shared with someone.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    pub id: i64,
    /// Whose server it is, by name.
    pub owner: String,
    /// Empty for the default server.
    pub server: String,
    /// Raw scopes, each for this server, sorted.
    pub scopes: Vec<String>,
    /// The user it is shared with, by name, if it is not a group.
    pub user: Option<String>,
    pub group: Option<String>,
    pub created_at: Option<Timestamp>,
}

const COLUMNS: &str = "h.id, u.name AS owner, coalesce(s.name, '') AS server, h.scopes, w.name AS user_name,
    g.name AS group_name, h.created_at";

/// What follows the columns; conditions follow it.
const FROM: &str = " FROM shares h JOIN spawners s ON s.id = h.spawner_id JOIN users u ON u.id = s.user_id
    LEFT JOIN users w ON w.id = h.user_id LEFT JOIN groups g ON g.id = h.group_id
    WHERE (h.expires_at IS NULL OR h.expires_at > ";

impl FromRow for Share {
    fn from_row(row: &Row) -> sqlx::Result<Self> {
        let (owner, server): (String, String) = (row.try_get("owner")?, row.try_get("server")?);
        Ok(Self {
            id: row.try_get("id")?,
            scopes: share::rebind(&column::get_list(row, "scopes")?, &owner, &server),
            owner,
            server,
            user: row.try_get("user_name")?,
            group: row.try_get("group_name")?,
            created_at: row.try_get("created_at")?,
        })
    }
}

impl Database {
    /// What an owner shares, by id.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn list_shares(&self, by: SharedBy, window: Window, now: Timestamp) -> Result<Page<Share>> {
        self.page(COLUMNS, "h.id", window, "list shares", |sql| {
            push_from(sql, now);
            match by {
                SharedBy::Owner(id) => sql.push("s.user_id = ").push_bind(id),
                SharedBy::Server(id) => sql.push("h.spawner_id = ").push_bind(id),
            };
        })
        .await
    }

    /// What is shared with a group, or with a user and all groups that the user is in; by id.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn list_shared_with(&self, with: ShareWith, window: Window, now: Timestamp) -> Result<Page<Share>> {
        self.page(COLUMNS, "h.id", window, "list what is shared", |sql| {
            push_from(sql, now);
            match with {
                ShareWith::Group(id) => sql.push("h.group_id = ").push_bind(id),
                ShareWith::User(id) => {
                    sql.push("(h.user_id = ").push_bind(id);
                    sql.push(" OR h.group_id IN (SELECT group_id FROM user_group_map WHERE user_id = ").push_bind(id);
                    sql.push("))")
                }
            };
        })
        .await
    }

    /// The share of this server with exactly this user or group.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn share(&self, server_id: i64, with: ShareWith, now: Timestamp) -> Result<Option<Share>> {
        const ACTION: &str = "find a share";
        let mut connection = self.pool.acquire().await.map_err(failed(ACTION))?;
        find(&mut connection, server_id, with, now).await.map_err(failed(ACTION))
    }

    /// Shares a server, or adds to what is shared of it already. `scopes` must be bound to it, see [`share::bind`].
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn grant_share(
        &self,
        server: &ServerRow,
        with: ShareWith,
        scopes: &[String],
        now: Timestamp,
    ) -> Result<Option<Share>> {
        const ACTION: &str = "share a server";
        let mut tx = self.write(ACTION).await?;
        let share = grant(&mut tx, (server.id, server.user_id), with, scopes, now).await.map_err(failed(ACTION))?;
        tx.commit().await.map_err(failed(ACTION))?;
        Ok(share)
    }

    /// Takes scopes away from a share; without any, or with all of them, the share itself. What is left is returned. The
    /// codes that this server has by now don't bring it back.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn revoke_share(
        &self,
        server_id: i64,
        with: ShareWith,
        scopes: Option<&[String]>,
        now: Timestamp,
    ) -> Result<Option<Share>> {
        const ACTION: &str = "revoke a share";
        let mut tx = self.write(ACTION).await?;
        let left = revoke(&mut tx, server_id, with, scopes, now).await.map_err(failed(ACTION))?;
        tx.commit().await.map_err(failed(ACTION))?;
        Ok(left)
    }

    /// Ends all sharing of a server; returns with how many it was shared. Codes stay, but not for those who lose it here.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn revoke_shares(&self, server_id: i64) -> Result<u64> {
        const ACTION: &str = "revoke the shares of a server";
        let mut tx = self.write(ACTION).await?;
        share_codes::refuse_to_all(&mut tx, server_id).await.map_err(failed(ACTION))?;
        let delete = sql::query("DELETE FROM shares WHERE spawner_id = $1").bind(server_id).execute(&mut *tx).await;
        let deleted = delete.map_err(failed(ACTION))?.rows_affected();
        tx.commit().await.map_err(failed(ACTION))?;
        Ok(deleted)
    }

    /// Ends a share because its holder gives it up: a code may bring it back.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn delete_share(&self, id: i64) -> Result<()> {
        let delete = sql::query("DELETE FROM shares WHERE id = $1").bind(id).execute(&self.pool).await;
        delete.map(drop).map_err(failed("delete a share"))
    }
}

fn push_from(sql: &mut QueryBuilder, now: Timestamp) {
    sql.push(FROM).push_bind(now).push(") AND ");
}

async fn find(
    connection: &mut Connection,
    server_id: i64,
    with: ShareWith,
    now: Timestamp,
) -> sqlx::Result<Option<Share>> {
    let mut sql = QueryBuilder::new("SELECT ");
    sql.push(COLUMNS);
    push_from(&mut sql, now);
    sql.push("h.spawner_id = ").push_bind(server_id);
    match with {
        ShareWith::User(id) => sql.push(" AND h.user_id = ").push_bind(id),
        ShareWith::Group(id) => sql.push(" AND h.group_id = ").push_bind(id),
    };
    sql.push(" ORDER BY h.id LIMIT 1");
    one(sql.build().fetch_optional(connection).await?)
}

/// As [`Database::grant_share`], within another room's transaction; `server` and `owner` are ids.
pub(super) async fn grant(
    connection: &mut Connection,
    (server, owner): (i64, i64),
    with: ShareWith,
    scopes: &[String],
    now: Timestamp,
) -> sqlx::Result<Option<Share>> {
    match find(connection, server, with, now).await? {
        Some(share) => {
            let both = share.scopes.iter().chain(scopes).cloned().collect::<BTreeSet<_>>();
            set_scopes(connection, share.id, &both.into_iter().collect::<Vec<_>>()).await?;
        }
        None => {
            // One that has expired must not stay beside the new one: JupyterHub knows one at most.
            sql::query("DELETE FROM shares WHERE spawner_id = $1 AND (user_id = $2 OR group_id = $3)")
                .bind(server)
                .bind(with.user_id())
                .bind(with.group_id())
                .execute(&mut *connection)
                .await?;
            sql::query(
                "INSERT INTO shares (user_id, group_id, created_at, scopes, owner_id, spawner_id)
                 VALUES ($1, $2, $3, $4, $5, $6)",
            )
            .bind(with.user_id())
            .bind(with.group_id())
            .bind(now)
            .bind(column::list_text(scopes))
            .bind(owner)
            .bind(server)
            .execute(&mut *connection)
            .await?;
        }
    }
    find(connection, server, with, now).await
}

async fn revoke(
    connection: &mut Connection,
    server_id: i64,
    with: ShareWith,
    scopes: Option<&[String]>,
    now: Timestamp,
) -> sqlx::Result<Option<Share>> {
    if let ShareWith::User(user_id) = with {
        share_codes::refuse(connection, server_id, user_id).await?;
    }
    let Some(share) = find(connection, server_id, with, now).await? else { return Ok(None) };
    let is_kept = |scope: &&String| scopes.is_some_and(|revoked| !revoked.contains(scope));
    let left: Vec<_> = share.scopes.iter().filter(is_kept).cloned().collect();
    if left.is_empty() {
        sql::query("DELETE FROM shares WHERE id = $1").bind(share.id).execute(connection).await?;
        return Ok(None);
    }
    set_scopes(connection, share.id, &left).await?;
    Ok(Some(Share { scopes: left, ..share }))
}

async fn set_scopes(connection: &mut Connection, id: i64, scopes: &[String]) -> sqlx::Result<()> {
    let update = sql::query("UPDATE shares SET scopes = $1 WHERE id = $2").bind(column::list_text(scopes)).bind(id);
    update.execute(connection).await.map(drop)
}
