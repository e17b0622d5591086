//! `/hub/spawn[/user[/server]]`: starts a server and sends the person to its progress. Nothing is asked, so a visit
//! starts it, unless another site's page made that visit.

use axum::{
    extract::{Path, State},
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use hub_auth::{names::full_server_name, next_url::with_query, scopes::Resource};
use serde_json::{Map, Value};

use super::{
    api::servers::{act_on_others, ensure_named},
    root,
};
use crate::{
    app::App,
    database::User,
    error::{Failure, Result, found},
    form::{Fields, Form, Query},
    pages::{SpawnPage, html},
    servers::{Pending, ServerStatus, StartError, limits::NamedServerError},
    session::LoggedIn,
};

/// The user and the server in a path; without them one's own default server.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub user: Option<String>,
    pub server: String,
}

impl Wanted {
    /// Reads `alice`, `alice/` or `alice/second`.
    pub fn parse(path: Option<Path<String>>) -> Self {
        let path = path.map(|Path(path)| path).unwrap_or_default();
        let (user, server) = path.split_once('/').unwrap_or((&path, ""));
        let user = Some(user.to_owned()).filter(|user| !user.is_empty());
        Self { user, server: server.trim_end_matches('/').to_owned() }
    }

    /// The user, if this person may start that user's servers.
    pub async fn owner(&self, app: &App, person: &LoggedIn) -> Result<User> {
        let name = self.user.as_deref().unwrap_or(&person.user.name);
        let server = full_server_name(name, &self.server);
        if !person.identity.may("servers", Resource::server(&server)) {
            return Err(Failure::no_access());
        }
        let no_such = || Failure::new(StatusCode::NOT_FOUND, format!("No such user: {name}"));
        let owner = app.database.user_by_name(name).await?.ok_or_else(no_such)?;
        if !self.server.is_empty() && !app.servers.limits().allow_named_servers {
            return Err(Failure::bad_request(NamedServerError::Disabled.to_string()));
        }
        Ok(owner)
    }
}

pub async fn get(
    State(app): State<App>,
    person: LoggedIn,
    path: Option<Path<String>>,
    Query(query): Query,
) -> Result<Response> {
    let wanted = Wanted::parse(path);
    let owner = wanted.owner(&app, &person).await?;
    match app.servers.status(&owner.name, &wanted.server) {
        ServerStatus::Ready { .. } => {
            let next = root::wanted(&app, &person.visitor, &query, &owner.name);
            Ok(found(&next.unwrap_or_else(|| app.urls.server(&owner.name, &wanted.server))))
        }
        ServerStatus::Pending(_) => Ok(found(&pending_url(&app, &owner, &wanted, &query))),
        ServerStatus::Stopped { .. } if !person.visitor.is_deliberate() => {
            Ok(ask(&app, &person, &owner, &wanted, &query, None))
        }
        ServerStatus::Stopped { .. } => start(&app, &person, &owner, &wanted, &query, options(&query)).await,
    }
}

pub async fn post(
    State(app): State<App>,
    person: LoggedIn,
    path: Option<Path<String>>,
    Query(query): Query,
    Form(fields): Form,
) -> Result<Response> {
    person.visitor.check_xsrf(&fields)?;
    let wanted = Wanted::parse(path);
    let owner = wanted.owner(&app, &person).await?;
    let name = full_server_name(&owner.name, &wanted.server);
    match app.servers.status(&owner.name, &wanted.server) {
        ServerStatus::Ready { .. } => Err(Failure::bad_request(format!("{name} is already running"))),
        ServerStatus::Pending(pending) => Err(Failure::bad_request(format!("{name} is pending {}", pending.as_str()))),
        ServerStatus::Stopped { .. } => start(&app, &person, &owner, &wanted, &query, options(&fields)).await,
    }
}

async fn start(
    app: &App,
    person: &LoggedIn,
    owner: &User,
    wanted: &Wanted,
    query: &Fields,
    options: Option<Value>,
) -> Result<Response> {
    if !wanted.server.is_empty() {
        ensure_named(app, owner, &wanted.server, None).await?;
    }
    match app.servers.start(owner, &wanted.server, options).await {
        started @ (Ok(_) | Err(StartError::Running | StartError::Pending(Pending::Spawn))) => {
            if started.is_ok() {
                act_on_others(&person.identity, "server started", owner, &wanted.server);
            }
            Ok(found(&pending_url(app, owner, wanted, query)))
        }
        Err(error) => {
            let mut response = ask(app, person, owner, wanted, query, Some(&error));
            if let Some(seconds) = error.retry_after() {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            Ok(response)
        }
    }
}

/// The page with one button: after a failure, and for a visit that another site caused.
fn ask(
    app: &App,
    person: &LoggedIn,
    owner: &User,
    wanted: &Wanted,
    query: &Fields,
    error: Option<&StartError>,
) -> Response {
    let status = match error {
        None | Some(StartError::Cancelled) => StatusCode::OK,
        Some(StartError::Throttled { .. } | StartError::Full) => StatusCode::TOO_MANY_REQUESTS,
        Some(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let page = SpawnPage {
        frame: person.visitor.frame(app),
        action: with_next(&app.urls.spawn(&owner.name, &wanted.server), query),
        own: owner.id == person.user.id,
        owner: owner.name.clone(),
        error: error.map(ToString::to_string),
    };
    person.visitor.with_form_cookies(app, html(status, &page))
}

fn pending_url(app: &App, owner: &User, wanted: &Wanted, query: &Fields) -> String {
    with_next(&app.urls.spawn_pending(&owner.name, &wanted.server), query)
}

fn with_next(url: &str, query: &Fields) -> String {
    match query.get("next").filter(|next| !next.is_empty()) {
        Some(next) => with_query(url, "next", next),
        None => url.to_owned(),
    }
}

/// The options of a start: each `opt-<name>`, as a list.
fn options(fields: &Fields) -> Option<Value> {
    let mut options = Map::new();
    for (name, value) in fields.iter() {
        if let Some(name) = name.strip_prefix("opt-").filter(|name| !name.is_empty()) {
            let values = options.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(values) = values {
                values.push(value.into());
            }
        }
    }
    (!options.is_empty()).then_some(Value::Object(options))
}
