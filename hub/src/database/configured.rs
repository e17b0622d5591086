//! What the settings declare is brought into the database when a hub starts: roles, groups, services, and who has which
//! role. In one transaction, as JupyterHub does it at its start: a list that the settings give is the whole list, and
//! services and roles that they no longer name are gone, with every right that came from them.

use super::sql::{self, Connection, QueryBuilder};
use super::{Database, NewService, Result, column, failed, services, users};
use hub_auth::scopes::roles;
use hub_crds::{HubGroup, HubRole};
use jiff::Timestamp;
use secrecy::SecretString;
use std::collections::BTreeSet;

/// What the settings declare. Users' names are normalised.
#[derive(Clone, Debug, Default)]
pub struct Configured {
    /// Each with the token that was chosen for it.
    pub services: Vec<(NewService, Option<SecretString>)>,
    pub roles: Vec<HubRole>,
    pub groups: Vec<HubGroup>,
}

impl Database {
    /// Makes the database what the settings say. Without any nothing is written.
    ///
    /// # Errors
    /// If the database cannot be read or written.
    pub async fn configure(&self, configured: &Configured, now: Timestamp) -> Result<()> {
        const ACTION: &str = "bring the settings into the database";
        let mut tx = self.write(ACTION).await?;
        apply(&mut tx, configured, now).await.map_err(failed(ACTION))?;
        tx.commit().await.map_err(failed(ACTION))
    }

    /// Raw scopes of the roles of these names together; `None` if one of them does not exist.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn scopes_of_roles(&self, names: &[String]) -> Result<Option<Vec<String>>> {
        const ACTION: &str = "read roles by name";
        let mut connection = self.pool.acquire().await.map_err(failed(ACTION))?;
        let mut all = Vec::new();
        for name in names {
            match role_scopes(&mut connection, name).await.map_err(failed(ACTION))? {
                Some(scopes) => all.extend(scopes),
                None => return Ok(None),
            }
        }
        Ok(Some(all))
    }
}

/// Raw scopes of a role; `None` if there is none of this name.
pub(super) async fn role_scopes(connection: &mut Connection, name: &str) -> sqlx::Result<Option<Vec<String>>> {
    let row = sql::query("SELECT scopes FROM roles WHERE name = $1").bind(name).fetch_optional(connection).await?;
    row.map(|row| column::get_list(&row, "scopes")).transpose()
}

async fn apply(connection: &mut Connection, configured: &Configured, now: Timestamp) -> sqlx::Result<()> {
    save_roles(connection, &configured.roles).await?;
    for group in &configured.groups {
        save_group(connection, group, now).await?;
    }
    save_services(connection, &configured.services, now).await?;
    for role in &configured.roles {
        assign(connection, role, now).await?;
    }
    let admin = configured.roles.iter().find(|role| role.name == roles::ADMIN);
    settle_admins(connection, &USERS, admin.is_some_and(|role| role.users.is_some())).await?;
    settle_admins(connection, &SERVICES, admin.is_some_and(|role| role.services.is_some())).await
}

/// The roles that every hub has, as far as the settings don't change them, and those of the settings; no others.
async fn save_roles(connection: &mut Connection, configured: &[HubRole]) -> sqlx::Result<()> {
    let own = roles::DEFAULTS.iter().filter(|default| configured.iter().all(|role| role.name != default.name));
    for role in own {
        save_role(connection, role.name, Some(role.description), role.scopes).await?;
    }
    for role in configured {
        let default = roles::default_role(&role.name);
        let description = role.description.as_deref().or(default.map(|default| default.description));
        match (&role.scopes, default) {
            (Some(scopes), _) => save_role(connection, &role.name, description, scopes).await?,
            (None, Some(default)) => save_role(connection, &role.name, description, default.scopes).await?,
            (None, None) => save_role::<&str>(connection, &role.name, description, &[]).await?,
        }
    }
    let names = roles::DEFAULTS.iter().map(|role| role.name).chain(configured.iter().map(|role| role.name.as_str()));
    let mut delete = QueryBuilder::new("DELETE FROM roles WHERE managed_by_auth = FALSE AND name NOT IN (");
    delete.push_list(names).push(")").build().execute(connection).await.map(drop)
}

async fn save_role<S: AsRef<str>>(
    connection: &mut Connection,
    name: &str,
    description: Option<&str>,
    scopes: &[S],
) -> sqlx::Result<()> {
    sql::query(
        "INSERT INTO roles (name, description, scopes, managed_by_auth) VALUES ($1, $2, $3, FALSE)
         ON CONFLICT (name) DO UPDATE SET description = excluded.description, scopes = excluded.scopes
         WHERE roles.description IS DISTINCT FROM excluded.description OR roles.scopes IS DISTINCT FROM excluded.scopes",
    )
    .bind(name)
    .bind(description)
    .bind(column::list_text(scopes))
    .execute(connection)
    .await
    .map(drop)
}

/// Members and properties that came from elsewhere stay.
async fn save_group(connection: &mut Connection, group: &HubGroup, now: Timestamp) -> sqlx::Result<()> {
    let id = ensure_group(connection, &group.name).await?;
    if let Some(properties) = &group.properties {
        sql::query("UPDATE groups SET properties = $1 WHERE id = $2 AND properties IS DISTINCT FROM $1")
            .bind(serde_json::to_string(properties).map_err(|error| sqlx::Error::Encode(error.into()))?)
            .bind(id)
            .execute(&mut *connection)
            .await?;
    }
    for user in &group.users {
        let user = ensure_user(connection, user, now).await?;
        sql::query("INSERT INTO user_group_map (user_id, group_id) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(user)
            .bind(id)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// The services of the settings; of the rest those that were made over the API.
async fn save_services(
    connection: &mut Connection,
    configured: &[(NewService, Option<SecretString>)],
    now: Timestamp,
) -> sqlx::Result<()> {
    let rows = sql::query("SELECT id, name, from_config FROM services").fetch_all(&mut *connection).await?;
    let mut kept = Vec::new();
    for row in rows {
        let (id, name): (i64, String) = (row.try_get("id")?, row.try_get("name")?);
        let is_ours = row.try_get::<Option<bool>>("from_config")?.unwrap_or(true);
        let is_wanted = configured.iter().any(|(service, _)| service.name == name);
        if is_ours && is_wanted {
            kept.push((name, id));
        } else if is_ours {
            services::remove(connection, id).await?;
            tracing::info!(service.name = name, "removed a service that is no longer in the settings");
        } else if is_wanted {
            // Whoever made it over the API knows its token, and must not get what the settings give to this name.
            services::remove(connection, id).await?;
            tracing::warn!(service.name = name, "a service of the settings takes the place of one made over the API");
        }
    }
    for (service, token) in configured {
        let id = match kept.iter().find(|(name, _)| *name == service.name) {
            Some((_, id)) => *id,
            None => services::insert(connection, &service.name, true).await?,
        };
        services::save(connection, id, service, token.as_ref(), now).await?;
    }
    Ok(())
}

/// Who can have a role, and where that is stored.
struct Kind {
    table: &'static str,
    map: &'static str,
    id: &'static str,
}

const USERS: Kind = Kind { table: "users", map: "user_role_map", id: "user_id" };
const GROUPS: Kind = Kind { table: "groups", map: "group_role_map", id: "group_id" };
const SERVICES: Kind = Kind { table: "services", map: "service_role_map", id: "service_id" };

/// Gives a role to those whom the settings list, and takes it from all others.
async fn assign(connection: &mut Connection, role: &HubRole, now: Timestamp) -> sqlx::Result<()> {
    let id: i64 = sql::query("SELECT id FROM roles WHERE name = $1")
        .bind(&role.name)
        .fetch_one(&mut *connection)
        .await?
        .try_get(0)?;
    let is_admin = role.name == roles::ADMIN;
    // Everybody is a user, and whoever administers the hub is an administrator, unless there is a list.
    if role.users.is_some() || !(is_admin || role.name == roles::USER) {
        let mut members = BTreeSet::new();
        for name in role.users.iter().flatten() {
            members.insert(ensure_user(connection, name, now).await?);
        }
        replace(connection, &USERS, id, &members).await?;
    }
    let mut members = BTreeSet::new();
    for name in role.groups.iter().flatten() {
        members.insert(ensure_group(connection, name).await?);
    }
    replace(connection, &GROUPS, id, &members).await?;
    if role.services.is_some() || !is_admin {
        let mut members = BTreeSet::new();
        for name in role.services.iter().flatten() {
            let row = sql::query("SELECT id FROM services WHERE name = $1").bind(name);
            members.extend(row.fetch_optional(&mut *connection).await?.map(|row| row.try_get::<i64>(0)).transpose()?);
        }
        replace(connection, &SERVICES, id, &members).await?;
    }
    Ok(())
}

async fn replace(connection: &mut Connection, kind: &Kind, role_id: i64, members: &BTreeSet<i64>) -> sqlx::Result<()> {
    let Kind { map, id, .. } = kind;
    let mut query = QueryBuilder::new(format!("SELECT {id} FROM {map} WHERE role_id = "));
    let rows = query.push_bind(role_id).build().fetch_all(&mut *connection).await?;
    let had = rows.iter().map(|row| row.try_get(0)).collect::<sqlx::Result<BTreeSet<i64>>>()?;
    for member in had.difference(members) {
        let mut delete = QueryBuilder::new(format!("DELETE FROM {map} WHERE role_id = "));
        delete.push_bind(role_id).push(format!(" AND {id} = ")).push_bind(*member);
        delete.build().execute(&mut *connection).await?;
    }
    for member in members.difference(&had) {
        let mut insert = QueryBuilder::new(format!("INSERT INTO {map} ({id}, role_id, managed_by_auth) VALUES ("));
        insert.push_bind(*member).push(", ").push_bind(role_id).push(", FALSE)");
        insert.build().execute(&mut *connection).await?;
    }
    Ok(())
}

/// Whoever has the role `admin` is marked as an administrator. Who is marked without having it gets it, unless the settings
/// list who has it.
async fn settle_admins(connection: &mut Connection, kind: &Kind, is_listed: bool) -> sqlx::Result<()> {
    let Kind { table, map, id } = kind;
    let with_role = format!("(SELECT m.{id} FROM {map} m JOIN roles r ON r.id = m.role_id WHERE r.name = ");
    let mut mark = QueryBuilder::new(format!(
        "UPDATE {table} SET admin = TRUE WHERE admin IS DISTINCT FROM TRUE AND id IN {with_role}"
    ));
    mark.push_bind(roles::ADMIN).push(")").build().execute(&mut *connection).await?;
    let mut rest = if is_listed {
        QueryBuilder::new(format!("UPDATE {table} SET admin = FALSE WHERE admin = TRUE AND id NOT IN {with_role}"))
    } else {
        QueryBuilder::new(format!(
            "INSERT INTO {map} ({id}, role_id, managed_by_auth) SELECT t.id, a.id, FALSE FROM {table} t, roles a
             WHERE a.name = '{}' AND t.admin = TRUE AND t.id NOT IN {with_role}",
            roles::ADMIN
        ))
    };
    rest.push_bind(roles::ADMIN).push(")").build().execute(connection).await.map(drop)
}

async fn ensure_group(connection: &mut Connection, name: &str) -> sqlx::Result<i64> {
    let found = sql::query("SELECT id FROM groups WHERE name = $1").bind(name).fetch_optional(&mut *connection).await?;
    if let Some(row) = found {
        return row.try_get(0);
    }
    let insert = sql::query("INSERT INTO groups (name, properties) VALUES ($1, '{}') RETURNING id").bind(name);
    insert.fetch_one(connection).await?.try_get(0)
}

async fn ensure_user(connection: &mut Connection, name: &str, now: Timestamp) -> sqlx::Result<i64> {
    let found = sql::query("SELECT id FROM users WHERE name = $1").bind(name).fetch_optional(&mut *connection).await?;
    match found {
        Some(row) => row.try_get(0),
        None => users::insert(connection, name, false, now).await,
    }
}
