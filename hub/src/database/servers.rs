//! Servers: in JupyterHub's words a row of `spawners` for each server that a user has, and while it is active a row of
//! `servers` with its address.

use super::sql::{self, Connection, Row, Transaction};
use super::{
    Database, FromRow, NewClient, NewToken, Result, TokenOwner, User, all, column, configured, failed, hashing, oauth,
    one, tokens,
};
use hub_auth::{
    names,
    scopes::{self, Target, roles},
};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

/// Scopes with any of which a server's token can report activity.
const ACTIVITY: [&str; 3] = ["users:activity!user", "users:activity", scopes::tree::INHERIT];

/// A server that a user has, running or not.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerRow {
    /// The id of its `spawners` row.
    pub id: i64,
    pub user_id: i64,
    pub user: String,
    /// Empty for the default server.
    pub name: String,
    pub display_name: Option<String>,
    /// Whether it was started and not stopped since.
    pub active: bool,
    /// Scheme, host and port, once it has them.
    pub address: Option<Url>,
    /// The spawner's own notes; an object.
    pub state: Value,
    pub started: Option<Timestamp>,
    pub last_activity: Option<Timestamp>,
    /// What the user chose at the last start; an object.
    pub user_options: Value,
    pub oauth_client_id: Option<String>,
}

/// A start, as far as the database is concerned.
#[derive(Clone, Copy, Debug)]
pub struct ServerStart<'a> {
    pub user: &'a User,
    /// Empty for the default server.
    pub name: &'a str,
    /// Of the hub, ends with `/`.
    pub base_url: &'a str,
    pub user_options: &'a Value,
    /// The server's own token, which is its OAuth client's secret, too. One that a hub generated.
    pub token: &'a SecretString,
    /// Where its OAuth codes go: a path of the hub's host, or an address.
    pub redirect_uri: &'a str,
}

impl FromRow for ServerRow {
    fn from_row(row: &Row) -> sqlx::Result<Self> {
        let object = |column| match column::get_json(row, column)? {
            Value::Null => Ok::<_, sqlx::Error>(Value::Object(Default::default())),
            value => Ok(value),
        };
        Ok(Self {
            id: row.try_get("id")?,
            user_id: row.try_get("user_id")?,
            user: row.try_get("user_name")?,
            name: row.try_get::<Option<String>>("name")?.unwrap_or_default(),
            display_name: row.try_get("display_name")?,
            active: row.try_get::<Option<i64>>("server_id")?.is_some(),
            address: address(row)?,
            state: object("state")?,
            started: row.try_get("started")?,
            last_activity: row.try_get("last_activity")?,
            user_options: object("user_options")?,
            oauth_client_id: row.try_get("oauth_client_id")?,
        })
    }
}

pub(super) fn address(row: &Row) -> sqlx::Result<Option<Url>> {
    let text = |column| row.try_get::<Option<String>>(column).map(Option::unwrap_or_default);
    let (proto, ip) = (text("proto")?, text("ip")?);
    let port = row.try_get::<Option<i64>>("port")?.and_then(|port| u16::try_from(port).ok());
    let Some(port) = port.filter(|port| *port != 0 && !ip.is_empty()) else { return Ok(None) };
    // A bare IPv6 address needs brackets in a URL.
    let host = if ip.contains(':') && !ip.starts_with('[') { format!("[{ip}]") } else { ip };
    Ok(Url::parse(&format!("{proto}://{host}:{port}")).ok())
}

/// A query for servers; the rest is ours, its values are bound.
macro_rules! select_server {
    ($rest:literal) => {
        concat!(
            "SELECT s.id, s.user_id, u.name AS user_name, s.name, s.display_name, s.server_id, s.state, s.started,
                    s.last_activity, s.user_options, s.oauth_client_id, a.proto, a.ip, a.port
             FROM spawners s JOIN users u ON u.id = s.user_id LEFT JOIN servers a ON a.id = s.server_id ",
            $rest
        )
    };
}

pub(super) use select_server;

impl Database {
    /// A user's server of this name, if it was ever started or saved.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn server(&self, user_id: i64, name: &str) -> Result<Option<ServerRow>> {
        let query = sql::query(select_server!("WHERE s.user_id = $1 AND s.name = $2 ORDER BY s.id LIMIT 1"));
        let row = query.bind(user_id).bind(name).fetch_optional(&self.pool).await;
        row.and_then(one).map_err(failed("find a server"))
    }

    /// A user's servers, running or not, by id.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn servers_of(&self, user_id: i64) -> Result<Vec<ServerRow>> {
        let rows =
            sql::query(select_server!("WHERE s.user_id = $1 ORDER BY s.id")).bind(user_id).fetch_all(&self.pool).await;
        rows.and_then(all).map_err(failed("list a user's servers"))
    }

    /// All servers that were started and not stopped since: a hub that starts looks for each of them.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn active_servers(&self) -> Result<Vec<ServerRow>> {
        let rows =
            sql::query(select_server!("WHERE s.server_id IS NOT NULL ORDER BY s.id")).fetch_all(&self.pool).await;
        rows.and_then(all).map_err(failed("list active servers"))
    }

    /// A user's server of this name, added if there is none. It isn't started.
    ///
    /// # Errors
    /// If the database cannot be read or written.
    pub async fn save_server(&self, user_id: i64, name: &str) -> Result<ServerRow> {
        const ACTION: &str = "add a server";
        let mut tx = self.write(ACTION).await?;
        let id = ensure_row(&mut tx, user_id, name).await.map_err(failed(ACTION))?;
        let row = read(&mut tx, id).await.map_err(failed(ACTION))?;
        tx.commit().await.map_err(failed(ACTION))?;
        Ok(row)
    }

    /// What pages call the server; `None` for its name.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn set_display_name(&self, id: i64, display_name: Option<&str>) -> Result<()> {
        let update = sql::query("UPDATE spawners SET display_name = $1 WHERE id = $2").bind(display_name).bind(id);
        update.execute(&self.pool).await.map(drop).map_err(failed("name a server"))
    }

    /// What a server's next start is made with, unless it is told otherwise.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn set_user_options(&self, id: i64, options: &Value) -> Result<()> {
        let update = sql::query("UPDATE spawners SET user_options = $1 WHERE id = $2").bind(options.to_string());
        update.bind(id).execute(&self.pool).await.map(drop).map_err(failed("store a server's options"))
    }

    /// Gives a server that has stopped another name.
    ///
    /// # Errors
    /// [`super::DatabaseError::Taken`] if the user has a server of that name.
    pub async fn rename_server(&self, server: &ServerRow, name: &str) -> Result<()> {
        const ACTION: &str = "rename a server";
        let mut tx = self.write(ACTION).await?;
        let taken = sql::query("SELECT 1 FROM spawners WHERE user_id = $1 AND name = $2").bind(server.user_id);
        if taken.bind(name).fetch_optional(&mut *tx).await.map_err(failed(ACTION))?.is_some() {
            return Err(super::DatabaseError::Taken { what: "server name" });
        }
        remove_traces(&mut tx, server.id).await.map_err(failed(ACTION))?;
        let update =
            sql::query("UPDATE spawners SET name = $1, server_id = NULL, oauth_client_id = NULL WHERE id = $2");
        update.bind(name).bind(server.id).execute(&mut *tx).await.map_err(failed(ACTION))?;
        tx.commit().await.map_err(failed(ACTION))
    }

    /// Removes a server that has stopped, with what is shared of it.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn delete_server(&self, id: i64) -> Result<()> {
        const ACTION: &str = "delete a server";
        let mut tx = self.write(ACTION).await?;
        remove_traces(&mut tx, id).await.map_err(failed(ACTION))?;
        sql::query("DELETE FROM spawners WHERE id = $1").bind(id).execute(&mut *tx).await.map_err(failed(ACTION))?;
        tx.commit().await.map_err(failed(ACTION))
    }

    /// Notes that a server is being started: its rows, its token and its OAuth client, all or none. What an earlier start
    /// left of these ends here.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn start_server(&self, start: ServerStart<'_>, now: Timestamp) -> Result<ServerRow> {
        const ACTION: &str = "note the start of a server";
        let secret = hashing::hash(start.token.expose_secret()).await?;
        let mut tx = self.write(ACTION).await?;
        let id = ensure_row(&mut tx, start.user.id, start.name).await.map_err(failed(ACTION))?;
        remove_traces(&mut tx, id).await.map_err(failed(ACTION))?;
        save_start(&mut tx, id, start, &secret, now).await.map_err(failed(ACTION))?;
        let row = read(&mut tx, id).await.map_err(failed(ACTION))?;
        tx.commit().await.map_err(failed(ACTION))?;
        Ok(row)
    }

    /// Stores the spawner's notes.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn save_server_state(&self, id: i64, state: &Value) -> Result<()> {
        let update = sql::query("UPDATE spawners SET state = $1 WHERE id = $2").bind(state.to_string()).bind(id);
        update.execute(&self.pool).await.map(drop).map_err(failed("store a server's state"))
    }

    /// Stores where an active server is. Only scheme, host and port of the address count.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn save_server_address(&self, id: i64, address: &Url) -> Result<()> {
        sql::query(
            "UPDATE servers SET proto = $1, ip = $2, port = $3 WHERE id = (SELECT server_id FROM spawners WHERE id = $4)",
        )
        .bind(address.scheme())
        .bind(address.host_str().unwrap_or_default())
        .bind(address.port_or_known_default().map(i64::from))
        .bind(id)
        .execute(&self.pool)
        .await
        .map(drop)
        .map_err(failed("store a server's address"))
    }

    /// Notes that a server has stopped: its address, its token and its OAuth client go, and with the client every token
    /// that a browser got for this server.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn stop_server(&self, id: i64, state: &Value, now: Timestamp) -> Result<()> {
        const ACTION: &str = "note the stop of a server";
        let mut tx = self.write(ACTION).await?;
        remove_traces(&mut tx, id).await.map_err(failed(ACTION))?;
        sql::query("UPDATE spawners SET state = $1, started = NULL, last_activity = $2 WHERE id = $3")
            .bind(state.to_string())
            .bind(now)
            .bind(id)
            .execute(&mut *tx)
            .await
            .map_err(failed(ACTION))?;
        tx.commit().await.map_err(failed(ACTION))
    }

    /// A transaction that takes the lock for writing at once: one that reads first and writes later would fail instead of
    /// waiting when another program wrote in between.
    pub(super) async fn write(&self, action: &'static str) -> Result<Transaction> {
        self.pool.begin_writing().await.map_err(failed(action))
    }
}

async fn read(connection: &mut Connection, id: i64) -> sqlx::Result<ServerRow> {
    let row = sql::query(select_server!("WHERE s.id = $1")).bind(id).fetch_one(connection).await?;
    ServerRow::from_row(&row)
}

/// The schema has no unique (user, name), so the row is looked for within the transaction that adds it.
async fn ensure_row(connection: &mut Connection, user_id: i64, name: &str) -> sqlx::Result<i64> {
    let found = sql::query("SELECT id FROM spawners WHERE user_id = $1 AND name = $2 ORDER BY id LIMIT 1")
        .bind(user_id)
        .bind(name)
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(row) = found {
        return row.try_get(0);
    }
    let insert =
        sql::query("INSERT INTO spawners (user_id, name) VALUES ($1, $2) RETURNING id").bind(user_id).bind(name);
    insert.fetch_one(connection).await?.try_get(0)
}

/// Ends what belongs to one run of a server.
async fn remove_traces(connection: &mut Connection, id: i64) -> sqlx::Result<()> {
    for statement in [
        "DELETE FROM servers WHERE id = (SELECT server_id FROM spawners WHERE id = $1)",
        "DELETE FROM api_tokens WHERE id = (SELECT token_id FROM hub_server_tokens WHERE spawner_id = $1)",
        "DELETE FROM oauth_clients WHERE identifier = (SELECT oauth_client_id FROM spawners WHERE id = $1)",
    ] {
        sql::query(statement).bind(id).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn save_start(
    connection: &mut Connection,
    id: i64,
    start: ServerStart<'_>,
    secret: &str,
    now: Timestamp,
) -> sqlx::Result<()> {
    let ServerStart { user, name, base_url, .. } = start;
    let path = names::server_path(base_url, &user.name, name);
    let client_id = names::server_client_id(&user.name, name);
    let note = format!("Server at {path}");
    let target = Target::Server { user: &user.name, server: name };
    let client = NewClient {
        identifier: &client_id,
        secret: start.token,
        redirect_uri: start.redirect_uri,
        description: &note,
        allowed_scopes: &[scopes::access(target)],
    };
    oauth::save_client(connection, client, secret).await?;

    // The role `server`, with this server's name: the token isn't the client's, so `!server` would mean nothing.
    let filter = format!("={}", names::full_server_name(&user.name, name));
    let role = configured::role_scopes(connection, roles::SERVER).await?.unwrap_or_default();
    let with_name = |scope: String| if scope.ends_with("!server") { scope + &filter } else { scope };
    let mut token_scopes: Vec<_> = role.into_iter().map(with_name).collect();
    // Without it a server could not say that it is used, whatever the settings make of the role.
    if !token_scopes.iter().any(|scope| ACTIVITY.contains(&scope.as_str())) {
        token_scopes.push(ACTIVITY[0].to_owned());
    }
    let token = NewToken {
        owner: TokenOwner::User(user.id),
        token: start.token,
        client_id: None,
        session_id: None,
        note: &note,
        scopes: &token_scopes,
        expires_at: None,
    };
    let token_id = tokens::insert(connection, token, now).await?;
    sql::query("INSERT INTO hub_server_tokens (spawner_id, token_id) VALUES ($1, $2)")
        .bind(id)
        .bind(token_id)
        .execute(&mut *connection)
        .await?;

    let server_id: i64 = sql::query(
        "INSERT INTO servers (proto, ip, port, base_url, cookie_name) VALUES ('http', '', 0, $1, $2) RETURNING id",
    )
    .bind(&path)
    .bind(&client_id)
    .fetch_one(&mut *connection)
    .await?
    .try_get(0)?;
    sql::query(
        "UPDATE spawners SET server_id = $1, oauth_client_id = $2, user_options = $3, started = $4, last_activity = $4
         WHERE id = $5",
    )
    .bind(server_id)
    .bind(&client_id)
    .bind(start.user_options.to_string())
    .bind(now)
    .bind(id)
    .execute(connection)
    .await
    .map(drop)
}
