//! `/hub/api/users/{name}/server` and `/servers/{server}`: look at, start and stop a server.

use axum::{
    Json,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use hub_auth::{names::full_server_name, scopes::Resource};
use serde_json::Value;

use super::{JsonBody, models, users::find};
use crate::{
    app::App,
    error::{Failure, Result},
    servers::{Pending, StartError, StartOutcome, StopOutcome},
    session::Caller,
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

    fn must_be_default(&self) -> Result<()> {
        if self.server.is_empty() { Ok(()) } else { Err(Failure::bad_request("Named servers are not enabled.")) }
    }
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
    caller.require(&["start:servers"], Some(Resource::server(&name.full())))?;
    let user = find(&app, &name.user).await?;
    let options = read_options(body)?;
    name.must_be_default()?;
    match app.servers.start(&user, &name.server, options).await {
        Ok(StartOutcome::Started) => Ok(empty(StatusCode::CREATED)),
        Ok(StartOutcome::Pending) | Err(StartError::Pending(Pending::Spawn)) => Ok(empty(StatusCode::ACCEPTED)),
        Err(StartError::Running) => Err(Failure::bad_request(format!("{} is already running", name.spoken()))),
        Err(StartError::Pending(pending)) => {
            Err(Failure::bad_request(format!("{} is pending {}", name.spoken(), pending.as_str())))
        }
        Err(error) => Err(error.into()),
    }
}

/// The options of `{"user_options": {..}}`, or the whole body as JupyterHub before version 6 took it.
fn read_options(body: JsonBody) -> Result<Option<Value>> {
    let mut body = body.object("Body must be a JSON object")?;
    if body.get("display_name").is_some_and(|name| !name.is_string()) {
        return Err(Failure::bad_request("display_name must be a string"));
    }
    match body.remove("user_options") {
        Some(Value::Null) => Ok(None),
        Some(options @ Value::Object(_)) => Ok(Some(options)),
        Some(_) => Err(Failure::bad_request("user_options must be an object or null")),
        None if body.is_empty() || body.contains_key("display_name") => Ok(None),
        None => Ok(Some(Value::Object(body))),
    }
}

/// Stops a server, or cancels its start.
pub async fn stop(State(app): State<App>, caller: Caller, path: Path<Vec<String>>, body: JsonBody) -> Result<Response> {
    let name = Name::from(path);
    caller.require(&["delete:servers"], Some(Resource::server(&name.full())))?;
    let user = find(&app, &name.user).await?;
    let remove = body.object("Body must be a JSON object")?.get("remove").is_some_and(|remove| remove == true);
    name.must_be_default()?;
    if remove {
        return Err(Failure::bad_request("Cannot delete the default server"));
    }
    match app.servers.stop(&user.name, &name.server).await {
        StopOutcome::Stopped => Ok(empty(StatusCode::NO_CONTENT)),
        StopOutcome::Stopping => Ok(empty(StatusCode::ACCEPTED)),
    }
}

/// A default server exists already; others are not enabled.
pub async fn put(State(app): State<App>, caller: Caller, path: Path<Vec<String>>) -> Result<Response> {
    let name = Name::from(path);
    caller.require(&["start:servers"], Some(Resource::server(&name.full())))?;
    let user = find(&app, &name.user).await?;
    name.must_be_default()?;
    Err(Failure::new(StatusCode::CONFLICT, format!("User {} already has a default server", user.name)))
}

fn empty(status: StatusCode) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain")]).into_response()
}
