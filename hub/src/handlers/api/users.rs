//! `/hub/api/users` and `/hub/api/users/{name}`.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use hub_auth::{
    names::{MAX_LENGTH, normalize_user, valid_user},
    scopes::{Entity, Resource},
};
use serde_json::{Map, Value};
use std::collections::HashSet;

use super::{JsonBody, NOT_AN_OBJECT, Pagination, models, user::include_stopped};
use crate::{
    app::App,
    audit::Act,
    auth_state::auth_state,
    database::{DatabaseError, User, UserPage, UserQuery, UserSort, Visible, Window},
    error::{Failure, Result},
    form::{Fields, Query},
    loggable::loggable,
    servers::{Pending, ServerStatus, StopOutcome},
    session::{Caller, Identity},
};

/// Scopes that show something of a user.
const READ_USER: [&str; 6] =
    ["read:users", "read:users:name", "read:servers", "read:users:groups", "read:users:activity", "read:roles:users"];

pub async fn list(State(app): State<App>, caller: Caller, Query(query): Query) -> Result<Json<Value>> {
    let identity = caller.holds("list:users")?;
    let pagination = Pagination::read(&app, &caller.visitor, &query)?;
    let page = listed(&app, identity, &query, pagination.window).await?;
    let items = models::users(&app, identity, &page.users, include_stopped(&query)).await?;
    Ok(Json(pagination.answer(&app, &caller.visitor, items.into(), page.total)))
}

/// The users that a query asks for and this caller may list.
pub async fn listed(app: &App, identity: &Identity, query: &Fields, window: Window) -> Result<UserPage> {
    let (wanted, ready_only) = read_query(query, identity, window)?;
    let mut page = app.database.list_users(&wanted).await?;
    if ready_only {
        let ready = app.servers.active().into_iter().filter(|(_, status)| matches!(status, ServerStatus::Ready { .. }));
        let ready: HashSet<_> = ready.map(|(name, _)| name.user).collect();
        page.users.retain(|user| ready.contains(&user.name));
    }
    Ok(page)
}

/// The query, and whether only users with a ready server are wanted: the database can't tell.
fn read_query(query: &Fields, identity: &Identity, window: Window) -> Result<(UserQuery, bool)> {
    let (active, ready_only) = match query.get("state").filter(|state| !state.is_empty()) {
        None => (None, false),
        Some("active") => (Some(true), false),
        Some("ready") => (Some(true), true),
        Some("inactive") => (Some(false), false),
        Some(other) => return Err(Failure::bad_request(format!("Unrecognized state filter: '{other}'"))),
    };
    let given = query.get("sort").filter(|sort| !sort.is_empty()).unwrap_or("id");
    let sort = match given.trim_start_matches('-') {
        "id" => UserSort::Id,
        "name" => UserSort::Name,
        "last_activity" => UserSort::LastActivity,
        _ => {
            let message = format!("sort must be 'id', 'name', or 'last_activity', not '{given}'");
            return Err(Failure::bad_request(message));
        }
    };
    let names = |entity| identity.scopes.names("list:users", entity);
    let owned = |list: Vec<&str>| list.into_iter().map(str::to_owned).collect();
    let visible = names(Entity::User)
        .zip(names(Entity::Group))
        .map(|(users, groups)| Visible { users: owned(users), groups: owned(groups) });
    let name_filter = query.get("name_filter").filter(|text| !text.is_empty());
    if name_filter.is_some_and(|text| text.chars().count() > MAX_LENGTH || text.chars().any(char::is_control)) {
        let message = format!("name_filter must be a part of a name: at most {MAX_LENGTH} characters, none of control");
        return Err(Failure::bad_request(message));
    }
    let query = UserQuery {
        active,
        name_filter: name_filter.map(str::to_owned),
        sort,
        descending: given.starts_with('-'),
        offset: window.offset,
        limit: Some(window.limit),
        visible,
    };
    Ok((query, ready_only))
}

/// Makes several users.
pub async fn create_many(State(app): State<App>, caller: Caller, body: JsonBody) -> Result<Response> {
    let identity = caller.require(&["admin:users"], None)?;
    let none = "Must specify at least one user to create";
    let body = body.object(none)?;
    let names = body.get("usernames").and_then(Value::as_array).filter(|names| !names.is_empty());
    let names = names.ok_or_else(|| Failure::bad_request(none))?;
    let admin = wants_admin(&body, identity)?;
    let names: Vec<_> = names.iter().map(|name| normalize_user(name.as_str().unwrap_or_default())).collect();
    let invalid: Vec<_> = names.iter().filter(|name| !valid_user(name)).map(String::as_str).collect();
    match invalid.as_slice() {
        [] => {}
        [one] => return Err(Failure::bad_request(format!("Invalid username: {}", loggable(one)))),
        several => {
            let several: Vec<_> = several.iter().map(|name| loggable(name)).collect();
            return Err(Failure::bad_request(format!("Invalid usernames: {}", several.join(", "))));
        }
    }
    for name in &names {
        check_may_name(&app, identity, name)?;
    }
    let mut created = Vec::new();
    for name in &names {
        match app.database.create_user(name, admin, app.now()).await {
            Ok(user) => {
                made(identity, &user);
                created.extend(models::user(&app, identity, &user, false).await?);
            }
            Err(DatabaseError::Taken { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if created.is_empty() {
        return Err(Failure::new(StatusCode::CONFLICT, format!("All {} users already exist", names.len())));
    }
    Ok((StatusCode::CREATED, Json(created)).into_response())
}

fn made(identity: &Identity, user: &User) {
    Act::by(identity, "user made").on(&user.name).object(role(user.admin)).done("asked for");
}

/// What somebody is, in the audit log.
fn role(admin: bool) -> &'static str {
    if admin { "administrator" } else { "user" }
}

/// Only an administrator makes another one.
fn wants_admin(body: &Map<String, Value>, identity: &Identity) -> Result<bool> {
    match body.get("admin") {
        None | Some(Value::Bool(false)) => Ok(false),
        Some(Value::Bool(true)) if identity.is_admin() => Ok(true),
        Some(Value::Bool(true)) => Err(Failure::forbidden("Only admins can grant admin permissions")),
        Some(_) => Err(Failure::bad_request("user.admin must be a boolean")),
    }
}

/// Whoever has the name of an administrator of the settings is one from the next login on, so only an administrator
/// gives that name (CVE-2024-41942).
fn check_may_name(app: &App, identity: &Identity, name: &str) -> Result<()> {
    match app.allow.is_admin(name) && !identity.is_admin() {
        true => Err(Failure::forbidden("Only admins can grant admin permissions")),
        false => Ok(()),
    }
}

/// Whoever may change users may still not change administrators.
pub(super) fn check_may_rule(identity: &Identity, user: &User) -> Result<()> {
    match user.admin && !identity.is_admin() {
        true => Err(Failure::forbidden("Only admins can modify other admins")),
        false => Ok(()),
    }
}

pub async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query,
) -> Result<Json<Map<String, Value>>> {
    let identity = caller.require(&READ_USER, Some(Resource::user(&name)))?;
    let user = find(&app, &name).await?;
    let model = models::user(&app, identity, &user, include_stopped(&query)).await?;
    let mut model = model.ok_or_else(Failure::no_access)?;
    // Not in lists: as in JupyterHub, and since each has to be decrypted.
    if let Some(shown) = model.get_mut("auth_state") {
        *shown = auth_state(&app, &user).await?;
    }
    Ok(Json(model))
}

pub async fn create(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    body: JsonBody,
) -> Result<Response> {
    let identity = caller.require(&["admin:users"], Some(Resource::user(&name)))?;
    let exists = || Failure::new(StatusCode::CONFLICT, format!("User {name} already exists"));
    let admin = wants_admin(&body.object(NOT_AN_OBJECT)?, identity)?;
    if app.database.user_by_name(&name).await?.is_some() {
        return Err(exists());
    }
    if !valid_user(&name) {
        return Err(Failure::bad_request(format!("Failed to create user: {name}")));
    }
    check_may_name(&app, identity, &name)?;
    let user = match app.database.create_user(&name, admin, app.now()).await {
        Err(DatabaseError::Taken { .. }) => return Err(exists()),
        other => other?,
    };
    made(identity, &user);
    let model = models::user(&app, identity, &user, false).await?;
    Ok((StatusCode::CREATED, Json(model)).into_response())
}

/// Changes a user: name, whether they administer the hub.
pub async fn change(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    body: JsonBody,
) -> Result<Json<Map<String, Value>>> {
    let identity = caller.require(&["admin:users"], Some(Resource::user(&name)))?;
    let user = find(&app, &name).await?;
    let change = UserChange::read(&body.object(NOT_AN_OBJECT)?)?;
    let new_name = change.new_name(&app, &user).await?;
    check_may_rule(identity, &user)?;
    if change.admin == Some(true) && !identity.is_admin() {
        return Err(Failure::forbidden("Only admins can grant admin permissions"));
    }
    if let Some(new_name) = &new_name {
        // A scope for some users doesn't reach others, who may come to be called so.
        caller.require(&["admin:users"], Some(Resource::user(new_name)))?;
        check_may_name(&app, identity, new_name)?;
        rename(&app, &user, new_name).await?;
        Act::by(identity, "user renamed").on(&user.name).object(new_name).done("asked for");
    }
    if let Some(admin) = change.admin.filter(|admin| *admin != user.admin) {
        app.database.set_admin(user.id, admin).await?;
        Act::by(identity, "role changed").on(&user.name).object(role(admin)).done("asked for");
    }
    let user = app.database.user(user.id).await?.ok_or_else(Failure::not_found)?;
    let mut model = models::user(&app, identity, &user, false).await?.unwrap_or_default();
    model.insert("auth_state".into(), Value::Null);
    Ok(Json(model))
}

/// What the body of a PATCH asks for.
struct UserChange {
    name: Option<String>,
    admin: Option<bool>,
}

impl UserChange {
    fn read(body: &Map<String, Value>) -> Result<Self> {
        for (key, value) in body {
            let (fits, kind) = match key.as_str() {
                "name" => (value.is_string(), "a string"),
                "admin" => (value.is_boolean(), "a boolean"),
                "groups" | "roles" => (false, "left out: change it with the API of groups, or in the settings"),
                "auth_state" => (false, "left out: this hub keeps none"),
                _ => {
                    let message = format!("Invalid JSON keys: {key}; a user has name and admin");
                    return Err(Failure::bad_request(message));
                }
            };
            if !fits {
                return Err(Failure::bad_request(format!("user.{key} must be {kind}")));
            }
        }
        let name = body.get("name").and_then(Value::as_str).map(str::to_owned);
        Ok(Self { name, admin: body.get("admin").and_then(Value::as_bool) })
    }

    /// The name that the user gets, if it is another one, valid and free.
    async fn new_name(&self, app: &App, user: &User) -> Result<Option<String>> {
        let Some(name) = self.name.as_deref().filter(|name| *name != user.name).map(normalize_user) else {
            return Ok(None);
        };
        if !valid_user(&name) {
            return Err(Failure::bad_request(format!("Invalid username: {}", loggable(&name))));
        }
        if app.database.user_by_name(&name).await?.is_some() {
            return Err(Failure::bad_request(format!("User {name} already exists, username must be unique")));
        }
        Ok(Some(name))
    }
}

/// Paths, pods and tokens of a server that runs hold its user's name, so it must have stopped.
async fn rename(app: &App, user: &User, new_name: &str) -> Result<()> {
    for row in app.database.servers_of(user.id).await? {
        if !matches!(app.servers.status(&user.name, &row.name), ServerStatus::Stopped { .. }) {
            let message = format!("{} has a server that runs. Please stop it before renaming the user.", user.name);
            return Err(Failure::bad_request(message));
        }
    }
    match app.database.rename_user(user.id, new_name).await {
        Err(DatabaseError::Taken { .. }) => {
            Err(Failure::bad_request(format!("User {new_name} already exists, username must be unique")))
        }
        other => Ok(other?),
    }
}

/// Deletes a user with servers and volumes, as far as the policy says so.
pub async fn delete(State(app): State<App>, caller: Caller, Path(name): Path<String>) -> Result<StatusCode> {
    let identity = caller.require(&["delete:users"], Some(Resource::user(&name)))?;
    let user = find(&app, &name).await?;
    if identity.user().is_some_and(|own| own.id == user.id) {
        return Err(Failure::bad_request("Cannot delete yourself!"));
    }
    if user.admin && !identity.is_admin() {
        return Err(Failure::forbidden("Only admins can delete other admins"));
    }
    for row in app.database.servers_of(user.id).await? {
        let stopping = app.servers.status(&name, &row.name) == ServerStatus::Pending(Pending::Stop);
        if stopping || app.servers.stop(&name, &row.name).await == StopOutcome::Stopping {
            let message = format!("{name}'s server is in the process of stopping, please wait.");
            return Err(Failure::bad_request(message));
        }
    }
    remove(&app, &user).await?;
    Act::by(identity, "user deleted").on(&name).done("asked for");
    Ok(StatusCode::NO_CONTENT)
}

/// Removes a user whose servers have stopped, with what is theirs.
///
/// # Errors
/// The spawner or the database fails.
pub async fn remove(app: &App, user: &User) -> Result<()> {
    for row in app.database.servers_of(user.id).await? {
        app.servers.forget(user, &row.name).await?;
    }
    Ok(app.database.delete_user(user.id).await?)
}

/// An old way for administrators into servers, which JupyterHub has switched off: OAuth lets them in.
pub async fn admin_access(caller: Caller, Path(name): Path<String>) -> Result<StatusCode> {
    let identity = caller.require(&["servers"], Some(Resource::user(&name)))?;
    Act::by(identity, "admin access").on(&loggable(&name)).refused("OAuth is the way into servers");
    Err(Failure::forbidden("admin access to user servers disabled"))
}

/// The user of that name, or 404.
pub async fn find(app: &App, name: &str) -> Result<User> {
    app.database.user_by_name(name).await?.ok_or_else(Failure::not_found)
}
