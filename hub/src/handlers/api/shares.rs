//! `/hub/api/shares/{user}` and `/hub/api/shares/{user}/{server}`: who may do what with someone's servers.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use hub_auth::{
    names::full_server_name,
    scopes::{Definitions, Resource, share},
};
use serde_json::{Map, Value, json};

use super::{JsonBody, Pagination, models, no_content, users::find};
use crate::{
    app::App,
    audit::Act,
    database::{ServerRow, Share, ShareWith, SharedBy},
    error::{Failure, Result},
    form::Query,
    servers::ServerStatus,
    session::{Caller, Identity},
};

/// A server that is or may be shared: `alice/` in a path is alice's default one.
pub(super) struct SharedServer {
    pub owner: String,
    /// Empty for the default server.
    pub server: String,
}

impl SharedServer {
    /// The last two segments of a path, of which the server's may be left out.
    pub(super) fn from_path(mut segments: impl Iterator<Item = String>) -> Self {
        Self { owner: segments.next().unwrap_or_default(), server: segments.next().unwrap_or_default() }
    }

    pub(super) fn full_name(&self) -> String {
        full_server_name(&self.owner, &self.server)
    }

    /// Its row, if it has one.
    pub(super) async fn find(&self, app: &App) -> Result<Option<ServerRow>> {
        let Some(owner) = app.database.user_by_name(&self.owner).await? else { return Ok(None) };
        Ok(app.database.server(owner.id, &self.server).await?)
    }

    /// Its row, or 404. Every user has a default server, started or not: it gets its row here.
    pub(super) async fn get(&self, app: &App) -> Result<ServerRow> {
        let not_found = || Failure::new(StatusCode::NOT_FOUND, format!("No such server: {}", self.full_name()));
        let owner = app.database.user_by_name(&self.owner).await?.ok_or_else(not_found)?;
        match app.database.server(owner.id, &self.server).await? {
            Some(server) => Ok(server),
            None if self.server.is_empty() => Ok(app.database.save_server(owner.id, "").await?),
            None => Err(not_found()),
        }
    }

    /// The caller if it holds the scope for this server.
    pub(super) fn require<'a>(&self, caller: &'a Caller, scope: &'static str) -> Result<&'a Identity> {
        caller.require(&[scope], Some(Resource::server(&self.full_name())))
    }

    /// What somebody does to it, for the audit log.
    pub(super) fn act(&self, by: &Identity, event: &'static str) -> Act<'_> {
        Act::by(by, event).on(&self.owner).object(self.full_name())
    }

    /// What is shared if nothing else is asked for: its use.
    pub(super) fn default_scopes(&self) -> Vec<String> {
        share::rebind(&["access:servers"], &self.owner, &self.server)
    }
}

impl From<Path<Vec<String>>> for SharedServer {
    fn from(Path(segments): Path<Vec<String>>) -> Self {
        Self::from_path(segments.into_iter())
    }
}

/// Shares of all servers of a user.
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(owner): Path<String>,
    Query(query): Query,
) -> Result<Json<Value>> {
    let by = readable_of_user(&app, &caller, &owner).await?;
    let pagination = Pagination::read(&app, &caller.visitor, &query)?;
    page(&app, &caller, pagination, by).await
}

/// Shares of one server.
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    path: Path<Vec<String>>,
    Query(query): Query,
) -> Result<Json<Value>> {
    let by = readable_of_server(&app, &caller, path).await?;
    let pagination = Pagination::read(&app, &caller.visitor, &query)?;
    page(&app, &caller, pagination, by).await
}

/// A user's servers, for a caller who may read what is shared of them all.
pub(super) async fn readable_of_user(app: &App, caller: &Caller, owner: &str) -> Result<SharedBy> {
    caller.require(&["read:shares"], Some(Resource::user(owner)))?;
    Ok(SharedBy::Owner(find(app, owner).await?.id))
}

/// One server, for a caller who may read what is shared of it.
pub(super) async fn readable_of_server(app: &App, caller: &Caller, path: Path<Vec<String>>) -> Result<SharedBy> {
    let shared = SharedServer::from(path);
    shared.require(caller, "read:shares")?;
    Ok(SharedBy::Server(shared.get(app).await?.id))
}

async fn page(app: &App, caller: &Caller, pagination: Pagination, by: SharedBy) -> Result<Json<Value>> {
    let page = app.database.list_shares(by, pagination.window, app.now()).await?;
    let items: Vec<_> = page.items.iter().map(|share| model(app, share)).collect();
    Ok(Json(pagination.page(app, &caller.visitor, items.into(), page.total)))
}

/// Shares a server with a user or a group, who must be known to the caller.
pub async fn grant(
    State(app): State<App>,
    caller: Caller,
    path: Path<Vec<String>>,
    body: JsonBody,
) -> Result<Json<Value>> {
    let shared = SharedServer::from(path);
    let identity = shared.require(&caller, "shares")?;
    let body = read_body(body, &["user", "group", "scopes"])?;
    let (with, scopes) = (
        Named::read(&body)?,
        read_scopes(app.database.definitions(), &body, &shared)?.unwrap_or_else(|| shared.default_scopes()),
    );
    let server = shared.get(&app).await?;
    check_may_grant(identity, &scopes, &shared)?;
    with.check_is_known_to(identity)?;
    let found = with.find(&app).await?.ok_or_else(|| Failure::bad_request(format!("No such {with}")))?;
    let share = app.database.grant_share(&server, found, &scopes, app.now()).await?;
    shared.act(identity, "share made").object(format!("{} with {with}", shared.full_name())).done("asked for");
    Ok(Json(share.map_or_else(|| json!({}), |share| model(&app, &share))))
}

/// Takes scopes, or all, away from a user or a group. Whether they exist is not told.
pub async fn revoke(
    State(app): State<App>,
    caller: Caller,
    path: Path<Vec<String>>,
    body: JsonBody,
) -> Result<Json<Value>> {
    let shared = SharedServer::from(path);
    let identity = shared.require(&caller, "shares")?;
    let body = read_body(body, &["user", "group", "scopes"])?;
    let (with, scopes) = (Named::read(&body)?, read_scopes(app.database.definitions(), &body, &shared)?);
    let server = shared.get(&app).await?;
    let Some(found) = with.find(&app).await? else { return Ok(Json(json!({}))) };
    let left = app.database.revoke_share(server.id, found, scopes.as_deref(), app.now()).await?;
    shared.act(identity, "share revoked").object(format!("{} with {with}", shared.full_name())).done("asked for");
    Ok(Json(left.map_or_else(|| json!({}), |share| model(&app, &share))))
}

/// Ends all sharing of a server.
pub async fn revoke_all(State(app): State<App>, caller: Caller, path: Path<Vec<String>>) -> Result<Response> {
    let shared = SharedServer::from(path);
    let identity = shared.require(&caller, "shares")?;
    let server = shared.get(&app).await?;
    let shares = app.database.revoke_shares(server.id).await?;
    shared.act(identity, "shares revoked").count(shares).done("asked for");
    Ok(no_content())
}

/// With whom a request wants to share.
enum Named {
    User(String),
    Group(String),
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User(name) => write!(f, "user: {name}"),
            Self::Group(name) => write!(f, "group: {name}"),
        }
    }
}

impl Named {
    fn read(body: &Map<String, Value>) -> Result<Self> {
        let name = |field: &str| match body.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(name)) => Ok(Some(name.clone()).filter(|name| !name.is_empty())),
            Some(_) => Err(Failure::bad_request(format!("{field} must be a string"))),
        };
        match (name("user")?, name("group")?) {
            (Some(user), None) => Ok(Self::User(user)),
            (None, Some(group)) => Ok(Self::Group(group)),
            (None, None) => Err(Failure::bad_request("Specify exactly one of `user` or `group`")),
            (Some(_), Some(_)) => Err(Failure::bad_request("Expected exactly one of `user` or `group`, not both.")),
        }
    }

    /// Sharing by name must not tell who exists.
    fn check_is_known_to(&self, identity: &Identity) -> Result<()> {
        let (scope, kind, known) = match self {
            Self::User(name) => ("read:users:name", "users", identity.may("read:users:name", Resource::user(name))),
            Self::Group(name) => {
                ("read:groups:name", "groups", identity.may("read:groups:name", Resource::group(name)))
            }
        };
        if known {
            Ok(())
        } else {
            Err(Failure::forbidden(format!("Need scope '{scope}' to share with {kind} by name")))
        }
    }

    async fn find(&self, app: &App) -> Result<Option<ShareWith>> {
        Ok(match self {
            Self::User(name) => app.database.user_by_name(name).await?.map(|user| ShareWith::User(user.id)),
            Self::Group(name) => app.database.group(name).await?.map(|group| ShareWith::Group(group.id)),
        })
    }
}

/// An object with no other fields than these.
pub(super) fn read_body(body: JsonBody, fields: &[&str]) -> Result<Map<String, Value>> {
    let body = body.object("Body must be a JSON object")?;
    match body.keys().find(|key| !fields.contains(&key.as_str())) {
        None => Ok(body),
        Some(key) => {
            let message = format!("{key}: Extra inputs are not permitted; there may be {}", fields.join(", "));
            Err(Failure::bad_request(message))
        }
    }
}

/// The wanted scopes, bound to the server; `None` if the request names none.
pub(super) fn read_scopes(
    definitions: &Definitions,
    body: &Map<String, Value>,
    shared: &SharedServer,
) -> Result<Option<Vec<String>>> {
    let Some(value) = body.get("scopes").filter(|value| !value.is_null()) else { return Ok(None) };
    let scopes: Option<Vec<_>> = value.as_array().and_then(|list| list.iter().map(Value::as_str).collect());
    let scopes = scopes.ok_or_else(|| Failure::bad_request("scopes must be a list of strings"))?;
    for scope in &scopes {
        definitions.validate(scope).map_err(|error| Failure::bad_request(error.to_string()))?;
    }
    let bound = share::bind(&scopes, &shared.owner, &shared.server);
    let bound = bound.map_err(|error| Failure::bad_request(error.to_string()))?;
    Ok(Some(bound).filter(|scopes| !scopes.is_empty()))
}

/// Nobody shares what they don't have.
pub(super) fn check_may_grant(identity: &Identity, scopes: &[String], shared: &SharedServer) -> Result<()> {
    let full_name = shared.full_name();
    let lacking = scopes.iter().find(|scope| !identity.may(share::name(scope), Resource::server(&full_name)));
    match lacking {
        None => Ok(()),
        Some(scope) => Err(Failure::forbidden(format!("Do not have permission to grant share with scope {scope}"))),
    }
}

/// What is told about a server to those who share it.
pub(super) fn server_model(app: &App, owner: &str, server: &str) -> Value {
    json!({
        "user": {"name": owner},
        "name": server,
        "full_url": app.urls.whole_server(owner, server),
        "url": app.urls.server(owner, server),
        "ready": matches!(app.servers.status(owner, server), ServerStatus::Ready { .. }),
    })
}

/// A share, as everyone sees it who may.
pub(super) fn model(app: &App, share: &Share) -> Value {
    let named = |name: &Option<String>| name.as_ref().map(|name| json!({"name": name}));
    json!({
        "server": server_model(app, &share.owner, &share.server),
        "scopes": share.scopes,
        "user": named(&share.user),
        "group": named(&share.group),
        "kind": if share.group.is_some() { "group" } else { "user" },
        "created_at": models::time(share.created_at),
    })
}
