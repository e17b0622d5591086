//! Services: their rows, addresses, OAuth clients and tokens. Those of the settings come and go with them
//! ([`super::configured`]), those that were made over the API stay until they are deleted there.

use super::sql::{self, Connection, Row};
use super::{Database, DatabaseError, FromRow, NewClient, NewToken, Result, TokenOwner, column, configured, oauth};
use super::{all, failed, failed_or_taken, one, servers, tokens};
use hub_auth::{
    scopes::{self, Target, roles},
    token,
};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

/// What JupyterHub writes beside a token that was chosen for a service.
const TOKEN_NOTE: &str = "from config";

/// A service as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceRow {
    pub id: i64,
    pub name: String,
    pub admin: bool,
    /// As it was given; empty without one.
    pub url: String,
    /// Path below which the proxy leads to it; empty without a url.
    pub prefix: String,
    /// Whatever clients want to know of it; an object.
    pub info: Value,
    /// It is listed on the home page.
    pub display: bool,
    /// It is one of the settings; else it was made over the API.
    pub from_config: bool,
}

impl FromRow for ServiceRow {
    fn from_row(row: &Row) -> sqlx::Result<Self> {
        let text = |column| row.try_get::<Option<String>>(column).map(Option::unwrap_or_default);
        let flag = |column, default| row.try_get::<Option<bool>>(column).map(|flag| flag.unwrap_or(default));
        let info = match column::get_json(row, "info")? {
            Value::Null => Value::Object(Map::new()),
            info => info,
        };
        Ok(Self {
            id: row.try_get("id")?,
            name: text("name")?,
            admin: flag("admin", false)?,
            url: text("url")?,
            prefix: text("prefix")?,
            info,
            display: flag("display", true)?,
            from_config: flag("from_config", true)?,
        })
    }
}

/// A service to be stored.
#[derive(Clone, Debug, PartialEq)]
pub struct NewService {
    pub name: String,
    pub admin: bool,
    /// As it was given; empty without one.
    pub url: String,
    /// Where the proxy finds it.
    pub address: Option<ServiceAddress>,
    /// Path below which the proxy leads to it.
    pub prefix: String,
    pub info: Map<String, Value>,
    pub display: bool,
    /// Its client of the OAuth provider, if it logs people in.
    pub client: Option<ServiceClient>,
    /// Raw scopes that the client may ask for beside access to the service itself.
    pub allowed_scopes: Vec<String>,
    /// Nobody is asked whether it may know who they are.
    pub no_confirm: bool,
}

/// Where the proxy finds a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAddress {
    /// `http` or `https`.
    pub scheme: String,
    /// A name or an address; of IPv6 without brackets.
    pub host: String,
    pub port: u16,
}

/// A service as a client of the OAuth provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceClient {
    pub id: String,
    pub redirect_uri: String,
}

/// A query for services; the rest is ours, its values are bound.
macro_rules! select_service {
    ($rest:literal) => {
        concat!(
            "SELECT v.id, v.name, v.admin, v.url, a.base_url AS prefix, v.info, v.display, v.from_config
             FROM services v LEFT JOIN servers a ON a.id = v._server_id ",
            $rest
        )
    };
}

impl Database {
    /// All services, by id.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn services(&self) -> Result<Vec<ServiceRow>> {
        let rows = sql::query(select_service!("ORDER BY v.id")).fetch_all(&self.pool).await;
        rows.and_then(all).map_err(failed("list services"))
    }

    /// The service of this name.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn service_by_name(&self, name: &str) -> Result<Option<ServiceRow>> {
        let row = sql::query(select_service!("WHERE v.name = $1")).bind(name).fetch_optional(&self.pool).await;
        row.and_then(one).map_err(failed("find a service by name"))
    }

    /// Names of the roles that a service has, sorted.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn roles_of_service(&self, service_id: i64) -> Result<Vec<String>> {
        let query = "SELECT r.name FROM roles r JOIN service_role_map m ON m.role_id = r.id WHERE m.service_id = $1 ORDER BY r.name";
        self.names(query, service_id, "list a service's roles").await
    }

    /// The services that the proxy leads to, by name, with scheme, host and port of each: `http://10.0.0.7:8080`.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn service_targets(&self) -> Result<Vec<(String, String)>> {
        const ACTION: &str = "list the addresses of services";
        let query = "SELECT v.name, a.proto, a.ip, a.port FROM services v JOIN servers a ON a.id = v._server_id";
        let rows = sql::query(query).fetch_all(&self.pool).await.map_err(failed(ACTION))?;
        let target = |row: &Row| {
            let Some(url) = servers::address(row)? else { return Ok(None) };
            let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
            Ok(Some((row.try_get("name")?, format!("{}://{host}:{port}", url.scheme()))))
        };
        rows.iter().filter_map(|row| target(row).transpose()).collect::<sqlx::Result<_>>().map_err(failed(ACTION))
    }

    /// Adds a service at run time, with the token that was chosen for it.
    ///
    /// # Errors
    /// [`DatabaseError::Taken`] if another service has its name or its client's id.
    pub async fn create_service(
        &self,
        new: &NewService,
        token: Option<&SecretString>,
        now: Timestamp,
    ) -> Result<ServiceRow> {
        const ACTION: &str = "add a service";
        let mut tx = self.write(ACTION).await?;
        if let Some(client) = &new.client
            && is_client_of_a_service(&mut tx, &client.id).await.map_err(failed(ACTION))?
        {
            return Err(DatabaseError::Taken { what: "oauth_client_id" });
        }
        let id = insert(&mut tx, &new.name, false).await.map_err(failed_or_taken(ACTION, "service name"))?;
        save(&mut tx, id, new, token, now).await.map_err(failed(ACTION))?;
        let row = sql::query(select_service!("WHERE v.id = $1")).bind(id).fetch_one(&mut *tx).await;
        let row = row.and_then(|row| ServiceRow::from_row(&row)).map_err(failed(ACTION))?;
        tx.commit().await.map_err(failed(ACTION))?;
        Ok(row)
    }

    /// Removes a service with all that is its own: tokens, OAuth client, and what people's browsers got for it.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn delete_service(&self, id: i64) -> Result<()> {
        const ACTION: &str = "delete a service";
        let mut tx = self.write(ACTION).await?;
        remove(&mut tx, id).await.map_err(failed(ACTION))?;
        tx.commit().await.map_err(failed(ACTION))
    }

    /// Gives a service another token in place of all that it had, and its OAuth client the same secret. What people's
    /// browsers got stays good. A service that is gone is no error.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn replace_service_token(&self, name: &str, token: &SecretString, now: Timestamp) -> Result<()> {
        const ACTION: &str = "change a service's token";
        let mut tx = self.write(ACTION).await?;
        rotate(&mut tx, name, token, now).await.map_err(failed(ACTION))?;
        tx.commit().await.map_err(failed(ACTION))
    }
}

async fn rotate(connection: &mut Connection, name: &str, token: &SecretString, now: Timestamp) -> sqlx::Result<()> {
    let query = sql::query("SELECT id, oauth_client_id FROM services WHERE name = $1").bind(name);
    let Some(row) = query.fetch_optional(&mut *connection).await? else { return Ok(()) };
    save_token(connection, row.try_get("id")?, Some(token), now).await?;
    let hashed = token::hash_token(token.expose_secret(), token::CONFIGURED_ROUNDS, rand::random());
    sql::query("UPDATE oauth_clients SET secret = $1 WHERE identifier = $2")
        .bind(hashed)
        .bind(row.try_get::<Option<String>>("oauth_client_id")?)
        .execute(connection)
        .await
        .map(drop)
}

/// Adds a bare row and returns its id.
pub(super) async fn insert(connection: &mut Connection, name: &str, from_config: bool) -> sqlx::Result<i64> {
    sql::query("INSERT INTO services (name, admin, timeout, from_config) VALUES ($1, FALSE, 30, $2) RETURNING id")
        .bind(name)
        .bind(from_config)
        .fetch_one(connection)
        .await?
        .try_get(0)
}

/// Makes a service's row and all that belongs to it what it should be.
pub(super) async fn save(
    connection: &mut Connection,
    id: i64,
    new: &NewService,
    token: Option<&SecretString>,
    now: Timestamp,
) -> sqlx::Result<()> {
    sql::query(
        "UPDATE services SET admin = $1, url = $2, info = $3, display = $4, oauth_client_allowed_scopes = $5,
             oauth_no_confirm = $6, command = NULL WHERE id = $7",
    )
    .bind(new.admin)
    .bind(Some(&new.url).filter(|url| !url.is_empty()))
    .bind(Value::Object(new.info.clone()).to_string())
    .bind(new.display)
    .bind(column::list_text(&new.allowed_scopes))
    .bind(new.no_confirm)
    .bind(id)
    .execute(&mut *connection)
    .await?;
    save_address(connection, id, new).await?;
    save_client(connection, id, new, token).await?;
    save_token(connection, id, token, now).await?;
    save_admin_role(connection, id, new.admin).await
}

async fn save_address(connection: &mut Connection, id: i64, new: &NewService) -> sqlx::Result<()> {
    sql::query("DELETE FROM servers WHERE id = (SELECT _server_id FROM services WHERE id = $1)")
        .bind(id)
        .execute(&mut *connection)
        .await?;
    let Some(address) = &new.address else { return Ok(()) };
    let server_id: i64 = sql::query(
        "INSERT INTO servers (proto, ip, port, base_url, cookie_name) VALUES ($1, $2, $3, $4, $5) RETURNING id",
    )
    .bind(&address.scheme)
    .bind(&address.host)
    .bind(i64::from(address.port))
    .bind(&new.prefix)
    .bind(new.client.as_ref().map(|client| client.id.as_str()).unwrap_or_default())
    .fetch_one(&mut *connection)
    .await?
    .try_get(0)?;
    let update = sql::query("UPDATE services SET _server_id = $1 WHERE id = $2").bind(server_id).bind(id);
    update.execute(connection).await.map(drop)
}

/// A client that was not this service's begins anew: what it was given must not become this service's.
async fn save_client(
    connection: &mut Connection,
    id: i64,
    new: &NewService,
    token: Option<&SecretString>,
) -> sqlx::Result<()> {
    let wanted = new.client.as_ref().map(|client| client.id.as_str());
    let own: Option<String> = sql::query("SELECT oauth_client_id FROM services WHERE id = $1")
        .bind(id)
        .fetch_one(&mut *connection)
        .await?
        .try_get(0)?;
    if own.as_deref() != wanted {
        sql::query("DELETE FROM oauth_clients WHERE identifier = $1 OR identifier = $2")
            .bind(own)
            .bind(wanted)
            .execute(&mut *connection)
            .await?;
    }
    let Some(client) = &new.client else { return Ok(()) };
    let mut allowed_scopes = new.allowed_scopes.clone();
    allowed_scopes.push(scopes::access(Target::Service(&new.name)));
    allowed_scopes.sort();
    allowed_scopes.dedup();
    let description = format!("JupyterHub service {}", new.name);
    let no_secret = SecretString::default();
    let client = NewClient {
        identifier: &client.id,
        secret: token.unwrap_or(&no_secret),
        redirect_uri: &client.redirect_uri,
        description: &description,
        allowed_scopes: &allowed_scopes,
    };
    oauth::ensure_client(connection, client).await?;
    let update = sql::query("UPDATE services SET oauth_client_id = $1 WHERE id = $2").bind(client.identifier).bind(id);
    update.execute(connection).await.map(drop)
}

/// A service has the token that was chosen for it, and no other.
async fn save_token(
    connection: &mut Connection,
    id: i64,
    token: Option<&SecretString>,
    now: Timestamp,
) -> sqlx::Result<()> {
    let query = sql::query("SELECT id, hashed FROM api_tokens WHERE service_id = $1").bind(id);
    let mut is_there = false;
    for row in query.fetch_all(&mut *connection).await? {
        let hashed: String = row.try_get::<Option<String>>("hashed")?.unwrap_or_default();
        if token.is_some_and(|token| token::verify_token(&hashed, token.expose_secret())) {
            is_there = true;
            continue;
        }
        let delete = sql::query("DELETE FROM api_tokens WHERE id = $1").bind(row.try_get::<i64>("id")?);
        delete.execute(&mut *connection).await?;
    }
    let Some(token) = token.filter(|_| !is_there) else { return Ok(()) };
    let scopes = configured::role_scopes(connection, roles::TOKEN).await?;
    let new = NewToken {
        owner: TokenOwner::Service(id),
        token,
        client_id: None,
        session_id: None,
        note: TOKEN_NOTE,
        scopes: &scopes.unwrap_or_default(),
        expires_at: None,
    };
    tokens::insert_hashed(connection, new, token::CONFIGURED_ROUNDS, now).await.map(drop)
}

async fn save_admin_role(connection: &mut Connection, id: i64, admin: bool) -> sqlx::Result<()> {
    let statement = match admin {
        true => {
            "INSERT INTO service_role_map (service_id, role_id, managed_by_auth)
             SELECT $1, id, FALSE FROM roles WHERE name = $2 ON CONFLICT DO NOTHING"
        }
        false => {
            "DELETE FROM service_role_map WHERE service_id = $1 AND role_id IN (SELECT id FROM roles WHERE name = $2)"
        }
    };
    sql::query(statement).bind(id).bind(roles::ADMIN).execute(connection).await.map(drop)
}

/// Removes a service and what the schema's own cascades leave.
pub(super) async fn remove(connection: &mut Connection, id: i64) -> sqlx::Result<()> {
    for statement in [
        "DELETE FROM oauth_clients WHERE identifier = (SELECT oauth_client_id FROM services WHERE id = $1)",
        "DELETE FROM servers WHERE id = (SELECT _server_id FROM services WHERE id = $1)",
        "DELETE FROM services WHERE id = $1",
    ] {
        sql::query(statement).bind(id).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn is_client_of_a_service(connection: &mut Connection, client_id: &str) -> sqlx::Result<bool> {
    let query = sql::query("SELECT 1 FROM services WHERE oauth_client_id = $1").bind(client_id);
    Ok(query.fetch_optional(connection).await?.is_some())
}
