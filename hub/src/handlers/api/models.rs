//! How users, servers and tokens look in the API: only the fields that the caller's scopes show.

use hub_auth::{names::full_server_name, scopes::Resource, token::token_id};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

use crate::{
    app::App,
    database::{ApiToken, ServerRow, Subject, User, UserDetails, Wanted},
    error::Result,
    servers::ServerStatus,
    session::Identity,
};

/// Which fields of a user each scope shows.
const USER_FIELDS: [(&str, &[&str]); 7] = [
    (
        "read:users",
        &["kind", "name", "user_info", "admin", "roles", "groups", "server", "pending", "created", "last_activity"],
    ),
    ("read:users:name", &["kind", "name", "user_info", "admin"]),
    ("read:users:groups", &["kind", "name", "groups"]),
    ("read:users:activity", &["kind", "name", "last_activity"]),
    ("read:servers", &["kind", "name", "servers"]),
    ("read:roles:users", &["kind", "name", "roles", "admin"]),
    ("admin:auth_state", &["kind", "name", "auth_state"]),
];

/// A user as this caller may see it; `None` if not at all.
pub async fn user(app: &App, caller: &Identity, user: &User, with_stopped: bool) -> Result<Option<Map<String, Value>>> {
    let details = app.database.details_of(user.id, wanted(caller)).await?;
    Ok(show_user(app, caller, user, &details, with_stopped))
}

/// Those of several users whom this caller may see, as [`user`] shows each.
pub async fn users(
    app: &App,
    caller: &Identity,
    users: &[User],
    with_stopped: bool,
) -> Result<Vec<Map<String, Value>>> {
    let ids: Vec<_> = users.iter().map(|user| user.id).collect();
    let mut details = app.database.details_of_all(&ids, wanted(caller)).await?;
    let show = |user: &User| show_user(app, caller, user, &details.remove(&user.id).unwrap_or_default(), with_stopped);
    Ok(users.iter().filter_map(show).collect())
}

/// What this caller may see of some user at least.
fn wanted(caller: &Identity) -> Wanted {
    let holds = |scopes: &[&str]| scopes.iter().any(|scope| caller.scopes.holds(scope));
    Wanted {
        roles: holds(&["read:users", "read:roles:users"]),
        groups: holds(&["read:users", "read:users:groups"]),
        servers: holds(&["read:servers"]),
    }
}

fn show_user(
    app: &App,
    caller: &Identity,
    user: &User,
    details: &UserDetails,
    with_stopped: bool,
) -> Option<Map<String, Value>> {
    let resource = Resource::user(&user.name);
    let shown: BTreeSet<&str> = USER_FIELDS
        .iter()
        .filter(|(scope, _)| caller.may(scope, resource))
        .flat_map(|(_, fields)| fields.iter().copied())
        .collect();
    if shown.is_empty() {
        return None;
    }
    let field = |name: &&str| Some(((*name).to_owned(), user_field(app, user, details, name)?));
    let mut model: Map<_, _> = shown.iter().filter_map(field).collect();
    let servers = servers(app, caller, user, &details.servers, with_stopped);
    if shown.contains("servers") || !servers.is_empty() {
        model.insert("servers".into(), Value::Object(servers));
    }
    Some(model)
}

fn user_field(app: &App, user: &User, details: &UserDetails, field: &str) -> Option<Value> {
    let status = || app.servers.status(&user.name, "");
    Some(match field {
        "kind" => json!("user"),
        "name" => json!(user.name),
        "admin" => json!(user.admin),
        "user_info" => user.user_info.clone(),
        "roles" => json!(details.roles),
        "groups" => json!(details.groups),
        "server" => match status() {
            ServerStatus::Ready { .. } => json!(app.urls.server(&user.name, "")),
            _ => Value::Null,
        },
        "pending" => json!(pending(&status())),
        "created" => json!(time(user.created)),
        "last_activity" => json!(time(app.activity.latest(Subject::User(user.id), user.last_activity))),
        "auth_state" => Value::Null,
        _ => return None,
    })
}

fn servers(app: &App, caller: &Identity, user: &User, rows: &[ServerRow], with_stopped: bool) -> Map<String, Value> {
    let mut servers = Map::new();
    // A start that was just asked for, or cancelled at once, has no row yet.
    let without_row = rows.iter().all(|row| !row.name.is_empty()).then_some(("", None));
    for (name, row) in rows.iter().map(|row| (row.name.as_str(), Some(row))).chain(without_row) {
        let active = !matches!(app.servers.status(&user.name, name), ServerStatus::Stopped { .. });
        let full_name = full_server_name(&user.name, name);
        if (active || with_stopped && row.is_some()) && caller.may("read:servers", Resource::server(&full_name)) {
            servers.insert(name.to_owned(), server(app, caller, &user.name, name, row));
        }
    }
    servers
}

/// A server; without a row it never ran.
pub fn server(app: &App, caller: &Identity, user: &str, name: &str, row: Option<&ServerRow>) -> Value {
    let status = app.servers.status(user, name);
    let started = match &status {
        ServerStatus::Ready { started, .. } => Some(*started),
        _ => row.and_then(|row| row.started),
    };
    let full_name = full_server_name(user, name);
    let progress_url = app.urls.progress(user, name);
    let mut model = json!({
        "name": name,
        "display_name": row.and_then(|row| row.display_name.as_deref()).unwrap_or_default(),
        "full_name": full_name,
        "last_activity": time(row.and_then(|row| app.activity.latest(Subject::Server(row.id), row.last_activity))),
        "started": time(started),
        "pending": pending(&status),
        "ready": matches!(status, ServerStatus::Ready { .. }),
        "stopped": matches!(status, ServerStatus::Stopped { .. }),
        "full_url": app.urls.whole_server(user, name),
        "full_progress_url": app.urls.absolute(&progress_url),
        "url": app.urls.server(user, name),
        "user_options": row.map(|row| &row.user_options).filter(|options| !options.is_null()).unwrap_or(&json!({})),
        "progress_url": progress_url,
    });
    if caller.may("admin:server_state", Resource::server(&full_name)) {
        let state = row.map(|row| row.state.clone()).filter(|state| !state.is_null());
        model["state"] = state.unwrap_or_else(|| json!({}));
    }
    model
}

fn pending(status: &ServerStatus) -> Option<&'static str> {
    match status {
        ServerStatus::Pending(pending) => Some(pending.as_str()),
        _ => None,
    }
}

/// A token of a user, without the token itself.
pub async fn token(app: &App, user: &User, token: &ApiToken) -> Result<Map<String, Value>> {
    let scopes = app.database.token_scopes(token).await?.map(|(_, scopes)| scopes.list()).unwrap_or_default();
    let client = app.database.oauth_client(&token.client_id).await?;
    let client = client
        .map(|client| client.description)
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| token.client_id.clone());
    let model = json!({
        "user": user.name,
        "id": token_id(token.id),
        "kind": "api_token",
        "roles": [],
        "scopes": scopes,
        "created": time(token.created),
        "last_activity": time(app.activity.latest(Subject::Token(token.id), token.last_activity)),
        "expires_at": time(token.expires_at),
        "note": token.note,
        "session_id": token.session_id,
        "oauth_client": client,
    });
    match model {
        Value::Object(model) => Ok(model),
        _ => Ok(Map::new()),
    }
}

/// ISO 8601 in UTC, with microseconds as the database has them.
pub fn time(time: Option<Timestamp>) -> Option<String> {
    time.map(|time| format!("{time:.6}"))
}
