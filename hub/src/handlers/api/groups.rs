//! `/hub/api/groups`, `/hub/api/groups/{group}`, and its users and properties.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use hub_auth::{
    names::{normalize_user, valid_group},
    scopes::{self, Entity, Resource},
};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

use super::{JsonBody, NOT_AN_OBJECT, Pagination, no_content};
use crate::{
    app::App,
    database::{Group, GroupError},
    error::{Failure, Result},
    form::Query,
    session::{Caller, Identity},
};

/// Which fields of a group each scope shows.
const FIELDS: [(&str, &[&str]); 3] = [
    ("read:groups", &["kind", "name", "users", "properties"]),
    ("read:groups:name", &["kind", "name"]),
    ("read:roles:groups", &["kind", "name", "roles"]),
];

pub async fn list(State(app): State<App>, caller: Caller, Query(query): Query) -> Result<Json<Value>> {
    let identity = caller.holds("list:groups")?;
    let pagination = Pagination::read(&app, &caller.visitor, &query)?;
    let visible = visible(identity)?;
    let page = app.database.list_groups(visible.as_deref(), pagination.window).await?;
    let models = models(&app, identity, &page.items).await?;
    Ok(Json(pagination.answer(&app, &caller.visitor, models.into(), page.total)))
}

/// Names of the groups that may be listed; `None` for all. No other filter says anything about groups.
fn visible(identity: &Identity) -> Result<Option<Vec<&str>>> {
    let names = |entity| identity.scopes.names("list:groups", entity);
    let is_foreign = |entity| names(entity).is_some_and(|names| !names.is_empty());
    if [Entity::User, Entity::Server, Entity::Service].into_iter().any(is_foreign) {
        return Err(Failure::bare(StatusCode::FORBIDDEN));
    }
    Ok(names(Entity::Group))
}

/// Makes several groups with the same members.
pub async fn create_many(State(app): State<App>, caller: Caller, body: JsonBody) -> Result<Response> {
    const NONE: &str = "Must specify at least one group to create";
    let identity = caller.require(&["admin:groups"], None)?;
    let mut body = body.object(NONE)?;
    let groups = body.remove("groups").filter(|groups| *groups != json!([]));
    let groups = texts("groups", &groups.ok_or_else(|| Failure::bad_request(NONE))?)?;
    let members = read_model(&body)?.unwrap_or_default();
    let created = create_all(&app, &groups, &members).await?;
    Ok((StatusCode::CREATED, Json(models(&app, identity, &created).await?)).into_response())
}

pub async fn get(State(app): State<App>, caller: Caller, Path(name): Path<String>) -> Result<Json<Value>> {
    let scopes = FIELDS.map(|(scope, _)| scope);
    let identity = caller.require(&scopes, Some(Resource::group(&name)))?;
    let group = find(&app, &name).await?;
    Ok(Json(model(&app, identity, &group).await?))
}

pub async fn create(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    body: JsonBody,
) -> Result<Response> {
    let identity = caller.require(&["admin:groups"], Some(Resource::group(&name)))?;
    let members = read_model(&body.object(NOT_AN_OBJECT)?)?.unwrap_or_default();
    let created = create_all(&app, &[name], &members).await?;
    let models = models(&app, identity, &created).await?;
    Ok((StatusCode::CREATED, Json(models.into_iter().next())).into_response())
}

async fn create_all(app: &App, names: &[String], members: &[String]) -> Result<Vec<Group>> {
    if !members.is_empty() {
        check_members_are_ours(app)?;
    }
    if let Some(name) = names.iter().find(|name| !valid_group(name)) {
        let message = format!("Invalid group name: {name:?}; it must have 1 to 255 characters, none of control");
        return Err(Failure::bad_request(message));
    }
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let created = app.database.create_groups(&names, members).await.map_err(refused)?;
    for group in &created {
        tracing::info!(group.name = group.name, members = members.len(), "made a group");
    }
    Ok(created)
}

pub async fn delete(State(app): State<App>, caller: Caller, Path(name): Path<String>) -> Result<Response> {
    caller.require(&["delete:groups"], Some(Resource::group(&name)))?;
    app.database.delete_group(find(&app, &name).await?.id).await?;
    tracing::info!(group.name = name, "deleted a group");
    Ok(no_content())
}

pub async fn add_members(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    body: JsonBody,
) -> Result<Json<Value>> {
    let (identity, group) = changeable(&app, &caller, &name).await?;
    check_members_are_ours(&app)?;
    let members = read_members(body, "Must specify users to add")?;
    check_may_join(&app, identity, &group, &members).await?;
    app.database.add_members(group.id, &members).await.map_err(refused)?;
    tracing::info!(group.name = name, users = members.len(), "added users to a group");
    Ok(Json(model(&app, identity, &group).await?))
}

/// Where the provider says who is in which group, nobody else does (JupyterHub's `manage_groups`).
fn check_members_are_ours(app: &App) -> Result<()> {
    match app.authenticator.oidc() {
        Some(oidc) if oidc.manages_groups => Err(Failure::bad_request("Group management via the API is disabled")),
        _ => Ok(()),
    }
}

/// Whoever may say who is in a group must not become more by it: nobody joins a group with roles that do more than they
/// may already. Others they may add; that is what the scope is for.
async fn check_may_join(app: &App, identity: &Identity, group: &Group, members: &[String]) -> Result<()> {
    if !identity.user().is_some_and(|user| members.contains(&user.name)) {
        return Ok(());
    }
    let raw = app.database.scopes_of_group(group.id).await?;
    let gained = app.database.definitions().expand(&raw, Some(identity.principal.owner()), None);
    let gained = scopes::excess(&gained, &identity.scopes, &identity.groups);
    match gained.first() {
        None => Ok(()),
        Some(scope) => {
            let message = format!("You can't join group {}: its roles hold {scope}, which you don't have", group.name);
            Err(Failure::forbidden(message))
        }
    }
}

pub async fn remove_members(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    body: JsonBody,
) -> Result<Json<Value>> {
    let (identity, group) = changeable(&app, &caller, &name).await?;
    check_members_are_ours(&app)?;
    let members = read_members(body, "Must specify users to delete")?;
    app.database.remove_members(group.id, &members).await.map_err(refused)?;
    tracing::info!(group.name = name, users = members.len(), "removed users from a group");
    Ok(Json(model(&app, identity, &group).await?))
}

pub async fn set_properties(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    body: JsonBody,
) -> Result<Json<Value>> {
    let (identity, group) = changeable(&app, &caller, &name).await?;
    let properties = body.0.filter(Value::is_object);
    let properties = properties.ok_or_else(|| Failure::bad_request("Must specify properties"))?;
    app.database.set_group_properties(group.id, &properties).await?;
    tracing::info!(group.name = name, "changed a group's properties");
    Ok(Json(model(&app, identity, &Group { properties, ..group }).await?))
}

/// The caller if it may say who is in a group and what its properties are, and the group.
async fn changeable<'a>(app: &App, caller: &'a Caller, name: &str) -> Result<(&'a Identity, Group)> {
    let identity = caller.require(&["groups"], Some(Resource::group(name)))?;
    Ok((identity, find(app, name).await?))
}

/// The group of that name, or 404.
pub(super) async fn find(app: &App, name: &str) -> Result<Group> {
    let not_found = || Failure::new(StatusCode::NOT_FOUND, format!("No such group: {name}"));
    app.database.group(name).await?.ok_or_else(not_found)
}

fn refused(error: GroupError) -> Failure {
    let status = match error {
        GroupError::Exists(_) => StatusCode::CONFLICT,
        GroupError::NoSuchUser(_) => StatusCode::BAD_REQUEST,
        GroupError::Database(error) => return error.into(),
    };
    Failure::new(status, error.to_string())
}

/// The users of a group's model, as they are called; `None` if it names none. Name and roles may be there, but the path
/// names the group, and only the settings give roles.
fn read_model(model: &Map<String, Value>) -> Result<Option<Vec<String>>> {
    for (key, value) in model {
        match key.as_str() {
            "users" => {}
            "name" if value.is_string() => {}
            "roles" if value.is_array() => {}
            "name" => return Err(Failure::bad_request("group.name must be a string")),
            "roles" => return Err(Failure::bad_request("group.roles must be a list of strings")),
            _ => {
                return Err(Failure::bad_request(format!(
                    "Invalid JSON keys: {key}; a group has name, users and roles"
                )));
            }
        }
    }
    let Some(users) = model.get("users") else { return Ok(None) };
    Ok(Some(texts("users", users)?.iter().map(|name| normalize_user(name)).collect()))
}

fn read_members(body: JsonBody, missing: &'static str) -> Result<Vec<String>> {
    read_model(&body.object(NOT_AN_OBJECT)?)?.ok_or_else(|| Failure::bad_request(missing))
}

fn texts(field: &str, value: &Value) -> Result<Vec<String>> {
    let texts = value.as_array().and_then(|list| list.iter().map(|text| text.as_str().map(str::to_owned)).collect());
    texts.ok_or_else(|| Failure::bad_request(format!("group.{field} must be a list of strings")))
}

async fn models(app: &App, caller: &Identity, groups: &[Group]) -> Result<Vec<Value>> {
    let mut models = Vec::with_capacity(groups.len());
    for group in groups {
        models.push(model(app, caller, group).await?);
    }
    Ok(models)
}

/// A group as this caller may see it.
async fn model(app: &App, caller: &Identity, group: &Group) -> Result<Value> {
    let resource = Resource::group(&group.name);
    let shown = FIELDS.iter().filter(|(scope, _)| caller.may(scope, resource));
    let fields: BTreeSet<&str> = shown.flat_map(|(_, fields)| fields.iter().copied()).collect();
    let mut model = Map::new();
    for field in fields {
        let value = match field {
            "name" => json!(group.name),
            "users" => json!(app.database.members_of(group.id).await?),
            "roles" => json!(app.database.roles_of_group(group.id).await?),
            "properties" => group.properties.clone(),
            _ => json!("group"),
        };
        model.insert(field.to_owned(), value);
    }
    Ok(model.into())
}
