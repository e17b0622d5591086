//! `/hub/user/<name>/...`: where requests for a server end that has no route in the proxy. It waits for nothing and
//! starts nothing: the answer says how the server stands and where to start it.

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use hub_auth::{
    names::{full_server_name, valid_server},
    next_url::with_query,
    scopes::Resource,
};
use serde_json::json;
use std::time::Duration;

use crate::{
    app::App,
    database::User,
    error::{Failure, Result, found, redirect},
    form::{Fields, Form},
    pages::{NotRunningPage, html},
    servers::ServerStatus,
    session::{Identity, LoggedIn, Visitor, path_and_query},
};

/// How often a browser is sent back to a server that is ready, in case the proxy is late.
const MOST_REDIRECTS: u32 = 4;

pub async fn get(State(app): State<App>, person: LoggedIn, Path(path): Path<String>) -> Result<Response> {
    let (name, rest) = path.split_once('/').unwrap_or((&path, ""));
    let server = server_of(&app, name, rest).await?;
    if !person.identity.may("access:servers", Resource::server(&full_server_name(name, &server))) {
        return Err(Failure::no_access());
    }
    let Some(owner) = app.database.user_by_name(name).await? else {
        return Err(Failure::new(StatusCode::NOT_FOUND, format!("No such user {name}")));
    };
    let status = app.servers.status(name, &server);
    if matches!(status, ServerStatus::Ready { .. }) {
        return back_to_server(&app, &person.visitor, name).await;
    }
    if wants_json(&person.visitor.headers) || rest.split('/').any(|part| part == "api") {
        return Ok(refuse_api(&app, &person.visitor, name, &server));
    }
    let here = path_and_query(&person.visitor.uri);
    match status {
        ServerStatus::Stopped { last_failure: None } => Ok(not_running(&app, &person, &owner, &server, &here)),
        _ => {
            let pending = with_query(&app.urls.spawn_pending(name, &server), "next", &here);
            Ok(redirect(StatusCode::SEE_OTHER, &pending))
        }
    }
}

/// Anything but reading is taken for an API request.
pub async fn other(
    State(app): State<App>,
    visitor: Visitor,
    Path(path): Path<String>,
    Form(fields): Form,
) -> Result<Response> {
    if visitor.method == Method::PUT || visitor.method == Method::HEAD {
        return Err(Failure::bare(StatusCode::METHOD_NOT_ALLOWED));
    }
    visitor.check_xsrf(&fields)?;
    let (name, rest) = path.split_once('/').unwrap_or((&path, ""));
    // Which named servers somebody has is told only to who may use them all.
    let may = |identity: &Identity| identity.may("access:servers", Resource::user(name));
    let server = match visitor.identity.as_ref().is_some_and(may) {
        true => server_of(&app, name, rest).await?,
        false => String::new(),
    };
    Ok(refuse_api(&app, &visitor, name, &server))
}

/// The server that a path below `/user/<name>/` belongs to: a named one if its first segment is the name of one.
async fn server_of(app: &App, user: &str, rest: &str) -> Result<String> {
    let first = rest.split('/').next().filter(|first| valid_server(first));
    if !app.servers.limits().allow_named_servers {
        return Ok(String::new());
    }
    let (Some(first), Some(user)) = (first, app.database.user_by_name(user).await?) else { return Ok(String::new()) };
    let row = app.database.server(user.id, first).await?;
    Ok(row.map(|row| row.name).unwrap_or_default())
}

fn not_running(app: &App, person: &LoggedIn, owner: &User, server: &str, here: &str) -> Response {
    let page = NotRunningPage {
        frame: person.visitor.frame(app),
        own: owner.id == person.user.id,
        owner: owner.name.clone(),
        failure: None,
        spawn_url: with_query(&app.urls.spawn(&owner.name, server), "next", here),
    };
    person.visitor.with_form_cookies(app, html(StatusCode::FAILED_DEPENDENCY, &page))
}

/// 424: the server does not run. 404 would say that it does, and has no such thing.
fn refuse_api(app: &App, visitor: &Visitor, name: &str, server: &str) -> Response {
    let path = visitor.uri.path().strip_prefix(app.urls.hub()).unwrap_or_default();
    let origin = visitor.origin(app);
    let spawn = format!("{origin}{}", app.urls.spawn(name, server));
    let message = format!("JupyterHub server no longer running at /{path}. Restart the server at {spawn}");
    (StatusCode::FAILED_DEPENDENCY, Json(json!({"message": message}))).into_response()
}

/// The server is ready, so the proxy has its route by now or will in a moment. Counts, so that it ends.
async fn back_to_server(app: &App, visitor: &Visitor, owner: &str) -> Result<Response> {
    let query = Fields::of_query(&visitor.uri);
    let redirects = query.get("redirects").and_then(|n| n.parse::<u32>().ok()).unwrap_or(0);
    if redirects >= MOST_REDIRECTS {
        return Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "Redirect loop detected."));
    }
    if redirects > 0 {
        tracing::warn!(redirects, "a ready server has no route yet");
        tokio::time::sleep(Duration::from_secs(2u64.pow(redirects).min(10))).await;
    }
    let path = visitor.uri.path().strip_prefix(app.urls.hub()).unwrap_or_default();
    let mut target = app.urls.on_its_host(owner, format!("{}{path}", app.urls.base()));
    for (name, value) in query.iter().filter(|(name, _)| *name != "redirects") {
        target = with_query(&target, name, value);
    }
    Ok(found(&with_query(&target, "redirects", &(redirects + 1).to_string())))
}

/// Whether JSON is asked for before HTML.
fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let place =
        |kind: &str| accept.split(',').position(|entry| entry.split(';').next().is_some_and(|e| e.trim() == kind));
    match (place("application/json"), place("text/html")) {
        (Some(json), Some(html)) => json < html,
        (json, None) => json.is_some(),
        (None, _) => false,
    }
}
