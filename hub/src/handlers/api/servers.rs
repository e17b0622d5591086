//! `/hub/api/users/{name}/server` and `/servers/{server}`: look at, start and stop a server.

use axum::{
    Json,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use hub_auth::{
    names::{display_name, full_server_name},
    scopes::Resource,
};
use serde_json::Value;

use super::{JsonBody, models, users::find};
use crate::{
    app::App,
    audit::Act,
    database::{DatabaseError, ServerRow, User},
    error::{Failure, Result},
    loggable::loggable,
    servers::{
        Pending, ServerStatus, StartError, StartOutcome, StopOutcome,
        limits::{NamedServerError, check_named},
    },
    session::{Caller, Identity},
};

/// `alice` for the default server, or `(alice, second)`.
pub struct Name {
    user: String,
    server: String,
}

impl Name {
    fn full(&self) -> String {
        full_server_name(&self.user, &self.server)
    }

    /// As messages name it.
    fn spoken(&self) -> String {
        if self.server.is_empty() { self.user.clone() } else { format!("{}:{}", self.user, self.server) }
    }
}

/// The path that names a server, for pages that leave something to this API.
pub fn path(user: &str, server: &str) -> Path<Vec<String>> {
    Path([user, server].into_iter().filter(|part| !part.is_empty()).map(str::to_owned).collect())
}

impl From<Path<Vec<String>>> for Name {
    fn from(Path(parts): Path<Vec<String>>) -> Self {
        let mut parts = parts.into_iter();
        Self { user: parts.next().unwrap_or_default(), server: parts.next().unwrap_or_default() }
    }
}

pub async fn get(State(app): State<App>, caller: Caller, path: Path<Vec<String>>) -> Result<Json<Value>> {
    let name = Name::from(path);
    let identity = caller.require(&["read:servers"], Some(Resource::server(&name.full())))?;
    let user = find(&app, &name.user).await?;
    let row = app.database.server(user.id, &name.server).await?;
    if row.is_none() && !name.server.is_empty() {
        return Err(Failure::not_found());
    }
    Ok(Json(models::server(&app, identity, &user.name, &name.server, row.as_ref())))
}

pub async fn start(
    State(app): State<App>,
    caller: Caller,
    path: Path<Vec<String>>,
    body: JsonBody,
) -> Result<Response> {
    let name = Name::from(path);
    let identity = caller.require(&["start:servers"], Some(Resource::server(&name.full())))?;
    let user = find(&app, &name.user).await?;
    let wish = Wish::read(body)?;
    if !name.server.is_empty() {
        ensure_named(&app, &user, &name.server, wish.display_name.as_deref()).await?;
    }
    match app.servers.start(&user, &name.server, wish.user_options).await {
        Ok(outcome) => {
            act_on_others(identity, "server started", &user, &name.server);
            Ok(empty(if outcome == StartOutcome::Started { StatusCode::CREATED } else { StatusCode::ACCEPTED }))
        }
        Err(StartError::Pending(Pending::Spawn)) => Ok(empty(StatusCode::ACCEPTED)),
        Err(error) => Err(refusal(&name.spoken(), error)),
    }
}

/// Notes in the audit log what somebody does to a server that is another person's.
pub fn act_on_others(identity: &Identity, event: &'static str, owner: &User, server: &str) {
    if identity.user().is_none_or(|actor| actor.id != owner.id) {
        Act::by(identity, event).on(&owner.name).object(full_server_name(&owner.name, server)).done("asked for");
    }
}

/// What a start that was not accepted is answered with.
fn refusal(server: &str, error: StartError) -> Failure {
    match error {
        StartError::Cancelled | StartError::Refused(_) => Failure::bad_request(error.to_string()),
        StartError::Database(error) => error.into(),
        StartError::Running => Failure::bad_request(format!("{server} is already running")),
        StartError::Pending(pending) => Failure::bad_request(format!("{server} is pending {}", pending.as_str())),
        StartError::Throttled { .. } | StartError::Full => Failure::Status {
            status: StatusCode::TOO_MANY_REQUESTS,
            message: Some(error.to_string()),
            retry_after: error.retry_after(),
        },
        StartError::Failed(message) => Failure::new(StatusCode::INTERNAL_SERVER_ERROR, message),
    }
}

/// The row of a named server, made if there is room for it; it is called `display_name` from now on, if that is given.
pub async fn ensure_named(app: &App, user: &User, server: &str, display_name: Option<&str>) -> Result<ServerRow> {
    let display_name = display_name.filter(|name| !name.is_empty());
    let rows = app.database.servers_of(user.id).await?;
    let names: Vec<_> = rows.iter().map(|row| row.name.as_str()).collect();
    let shown = check_named(app.servers.limits(), &user.name, &names, server, display_name.unwrap_or(server))
        .map_err(|error| Failure::bad_request(error.to_string()))?;
    let is_new = !names.contains(&server);
    let row = app.database.save_server(user.id, server).await?;
    if (is_new || display_name.is_some()) && row.display_name.as_deref() != Some(&shown) {
        app.database.set_display_name(row.id, Some(&shown)).await?;
        return Ok(ServerRow { display_name: Some(shown), ..row });
    }
    Ok(row)
}

/// What the body of a start or of a change asks for.
#[derive(Debug, Default)]
struct Wish {
    display_name: Option<String>,
    user_options: Option<Value>,
}

impl Wish {
    /// `{"display_name": .., "user_options": {..}}`, or options alone as JupyterHub before version 6 took them.
    fn read(body: JsonBody) -> Result<Self> {
        let mut body = body.object("Body must be a JSON object")?;
        let is_old = !body.contains_key("display_name") && !body.contains_key("user_options") && !body.is_empty();
        if is_old {
            return Ok(Self { display_name: None, user_options: Some(Value::Object(body)) });
        }
        let user_options = match body.remove("user_options") {
            None | Some(Value::Null) => None,
            Some(options @ Value::Object(_)) => Some(options),
            Some(_) => return Err(Failure::bad_request("user_options must be an object or null")),
        };
        Ok(Self { display_name: read_display_name(body.remove("display_name"))?, user_options })
    }
}

fn read_display_name(value: Option<Value>) -> Result<Option<String>> {
    match value {
        None => Ok(None),
        Some(Value::String(name)) => Ok(Some(name)),
        Some(_) => Err(Failure::bad_request("display_name must be a string")),
    }
}

/// Makes a named server without starting it. A default one exists already.
pub async fn create(
    State(app): State<App>,
    caller: Caller,
    path: Path<Vec<String>>,
    body: JsonBody,
) -> Result<Response> {
    let name = Name::from(path);
    let identity = caller.require(&["start:servers"], Some(Resource::server(&name.full())))?;
    let user = find(&app, &name.user).await?;
    if name.server.is_empty() {
        let message = format!("User {} already has a default server", user.name);
        return Err(Failure::new(StatusCode::CONFLICT, message));
    }
    if app.database.server(user.id, &name.server).await?.is_some() {
        return Err(already_has(&user, &name.server));
    }
    let wish = Wish::read(body)?;
    let mut row = ensure_named(&app, &user, &name.server, wish.display_name.as_deref()).await?;
    if let Some(options) = wish.user_options {
        app.database.set_user_options(row.id, &options).await?;
        row.user_options = options;
    }
    let model = models::server(&app, identity, &user.name, &name.server, Some(&row));
    Ok((StatusCode::CREATED, Json(model)).into_response())
}

fn already_has(user: &User, server: &str) -> Failure {
    Failure::new(StatusCode::CONFLICT, format!("User {} already has server {server}", user.name))
}

/// Changes a stopped server: its name, what it is called, and what its next start is made with.
pub async fn change(
    State(app): State<App>,
    caller: Caller,
    path: Path<Vec<String>>,
    body: JsonBody,
) -> Result<Json<Value>> {
    let name = Name::from(path);
    let identity = caller.require(&["start:servers"], Some(Resource::server(&name.full())))?;
    let user = find(&app, &name.user).await?;
    let change = Change::read(body)?;
    let rows = app.database.servers_of(user.id).await?;
    let display_name = change.check(&app, &user, &rows, &name.server)?;
    let no_such =
        || Failure::new(StatusCode::NOT_FOUND, format!("User {} has no such server {}", user.name, name.server));
    let row = rows.iter().find(|row| row.name == name.server).ok_or_else(no_such)?;
    if !matches!(app.servers.status(&user.name, &name.server), ServerStatus::Stopped { .. }) {
        let message = format!("{} is active. Please stop it before modifying it.", name.spoken());
        return Err(Failure::bad_request(message));
    }
    if let Some(new) = &change.name {
        // A scope for this server alone doesn't reach another one.
        caller.require(&["start:servers"], Some(Resource::server(&full_server_name(&user.name, new))))?;
        match app.database.rename_server(row, new).await {
            Err(DatabaseError::Taken { .. }) => return Err(already_has(&user, new)),
            other => other?,
        }
        tracing::info!(user.name = user.name, server.name = name.server, server.new_name = new, "renamed a server");
    }
    if let Some(options) = &change.user_options {
        app.database.set_user_options(row.id, options).await?;
    }
    if let Some(display_name) = &display_name {
        app.database.set_display_name(row.id, Some(display_name)).await?;
    }
    let server = change.name.as_deref().unwrap_or(&name.server);
    let row = app.database.server(user.id, server).await?.ok_or_else(Failure::not_found)?;
    Ok(Json(models::server(&app, identity, &user.name, server, Some(&row))))
}

/// What the body of a PATCH asks for.
struct Change {
    name: Option<String>,
    display_name: Option<String>,
    user_options: Option<Value>,
}

impl Change {
    fn read(body: JsonBody) -> Result<Self> {
        const KNOWN: [&str; 3] = ["name", "display_name", "user_options"];
        let mut body = body.object("Body must be a JSON object")?;
        if body.is_empty() {
            return Err(Failure::bad_request("Must specify at least one field to modify."));
        }
        if let Some(unknown) = body.keys().find(|key| !KNOWN.contains(&key.as_str())) {
            let message = format!("Unexpected fields: {unknown}, supported fields: {}", KNOWN.join(","));
            return Err(Failure::bad_request(message));
        }
        let name = match body.remove("name") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(name),
            Some(_) => return Err(Failure::bad_request("name must be a string")),
        };
        let user_options = match body.remove("user_options") {
            None => None,
            Some(options @ Value::Object(_)) => Some(options),
            Some(_) => return Err(Failure::bad_request("user_options must be a dict")),
        };
        let display_name = read_display_name(body.remove("display_name"))?.filter(|name| !name.is_empty());
        Ok(Self { name, display_name, user_options })
    }

    /// Whether the names may be had, and the display name as it is stored.
    fn check(&self, app: &App, user: &User, rows: &[ServerRow], server: &str) -> Result<Option<String>> {
        let (Some(name), shown) =
            (self.name.as_deref().or(self.display_name.is_some().then_some(server)), &self.display_name)
        else {
            return Ok(None);
        };
        let mut limits = app.servers.limits().clone();
        // One takes the place of the other, unless it was the default server, which is always there.
        if !server.is_empty() {
            limits.named_server_limit_per_user = 0;
        }
        if name.is_empty() && self.name.is_none() {
            // The default server may be called something, too.
            let invalid = |text: &str| NamedServerError::DisplayName(loggable(text)).to_string();
            let shown = shown.as_deref().unwrap_or_default();
            return display_name(shown).map(Some).ok_or_else(|| Failure::bad_request(invalid(shown)));
        }
        let names: Vec<_> = rows.iter().map(|row| row.name.as_str()).collect();
        let checked = check_named(&limits, &user.name, &names, name, shown.as_deref().unwrap_or(name))
            .map_err(|error| Failure::bad_request(error.to_string()))?;
        Ok(shown.is_some().then_some(checked))
    }
}

/// Stops a server, or cancels its start; with `{"remove": true}` a named one is removed once it has stopped.
pub async fn stop(State(app): State<App>, caller: Caller, path: Path<Vec<String>>, body: JsonBody) -> Result<Response> {
    let name = Name::from(path);
    let identity = caller.require(&["delete:servers"], Some(Resource::server(&name.full())))?;
    let user = find(&app, &name.user).await?;
    let remove = match body.object("Body must be a JSON object")?.get("remove") {
        None => false,
        Some(Value::Bool(remove)) => *remove,
        Some(_) => return Err(Failure::bad_request("remove must be true or false")),
    };
    if name.server.is_empty() {
        if remove {
            return Err(Failure::bad_request("Cannot delete the default server"));
        }
    } else {
        must_exist(&app, &user, &name.server).await?;
    }
    if !matches!(app.servers.status(&user.name, &name.server), ServerStatus::Stopped { .. }) {
        act_on_others(identity, "server stopped", &user, &name.server);
    }
    let outcome = app.servers.stop(&user.name, &name.server).await;
    if remove {
        let removal = remove_stopped(app.clone(), user, name.server);
        match outcome {
            StopOutcome::Stopped => removal.await?,
            StopOutcome::Stopping => drop(tokio::spawn(removal)),
        }
    }
    match outcome {
        StopOutcome::Stopped => Ok(empty(StatusCode::NO_CONTENT)),
        StopOutcome::Stopping => Ok(empty(StatusCode::ACCEPTED)),
    }
}

async fn must_exist(app: &App, user: &User, server: &str) -> Result<()> {
    if !app.servers.limits().allow_named_servers {
        return Err(Failure::bad_request(NamedServerError::Disabled.to_string()));
    }
    let message = || format!("{} has no server named '{server}'", user.name);
    match app.database.server(user.id, server).await? {
        Some(_) => Ok(()),
        None => Err(Failure::new(StatusCode::NOT_FOUND, message())),
    }
}

/// Removes a named server with its volume, as far as the policy says so, once it has stopped.
pub async fn remove_stopped(app: App, user: User, server: String) -> Result<()> {
    app.servers.stopped(&user.name, &server).await;
    let removed = async {
        app.servers.forget(&user, &server).await?;
        if let Some(row) = app.database.server(user.id, &server).await? {
            app.database.delete_server(row.id).await?;
        }
        anyhow::Ok(())
    };
    match removed.await {
        Ok(()) => {
            tracing::info!(user.name = user.name, server.name = server, "removed a server");
            Ok(())
        }
        Err(error) => {
            tracing::error!(
                user.name = user.name,
                server.name = server,
                error.message = format!("{error:#}"),
                "failed to remove a server"
            );
            Err(Failure::bare(StatusCode::INTERNAL_SERVER_ERROR))
        }
    }
}

fn empty(status: StatusCode) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain")]).into_response()
}
