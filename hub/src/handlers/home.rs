//! `/hub/home`: one's own servers, and their start and stop without a script.

use axum::{extract::State, http::StatusCode, response::Response};
use hub_auth::scopes::Resource;
use serde_json::json;

use super::api::{JsonBody, servers};
use crate::{
    app::App,
    database::ServerRow,
    error::{Result, found},
    form::{Form, Query},
    pages::{HomePage, ServerLine, ServerState, ServiceLink, html},
    servers::{Pending, ServerStatus},
    session::LoggedIn,
};

pub async fn get(State(app): State<App>, person: LoggedIn, Query(query): Query) -> Result<Response> {
    // The form for a new server has no script to put its name into a path.
    if let Some(name) = query.get("new").filter(|name| !name.is_empty()) {
        return Ok(found(&app.urls.spawn(&person.user.name, name)));
    }
    let rows = app.database.servers_of(person.user.id).await?;
    let named = app.servers.limits().allow_named_servers;
    let shown = rows.iter().filter(|row| named && !row.name.is_empty());
    let page = HomePage {
        frame: person.visitor.frame(&app),
        server: line(&app, &person.user.name, "", None),
        named,
        others: shown.map(|row| line(&app, &person.user.name, &row.name, Some(row))).collect(),
        services: services(&app, &person).await?,
        home_url: app.urls.at("home"),
    };
    Ok(person.visitor.with_form_cookies(&app, html(StatusCode::OK, &page)))
}

/// One server, as the page shows it.
fn line(app: &App, user: &str, server: &str, row: Option<&ServerRow>) -> ServerLine {
    let (state, failure) = state(app.servers.status(user, server));
    ServerLine {
        name: server.to_owned(),
        title: row.and_then(|row| row.display_name.clone()).unwrap_or_else(|| server.to_owned()),
        state,
        failure,
        server_url: app.urls.server(user, server),
        spawn_url: app.urls.spawn(user, server),
        pending_url: app.urls.spawn_pending(user, server),
    }
}

/// How a server stands, and why its last start failed, if it did.
pub(super) fn state(status: ServerStatus) -> (ServerState, Option<String>) {
    match status {
        ServerStatus::Ready { .. } => (ServerState::Ready, None),
        ServerStatus::Pending(Pending::Stop) => (ServerState::Stopping, None),
        ServerStatus::Pending(_) => (ServerState::Starting, None),
        ServerStatus::Stopped { last_failure } => (ServerState::Stopped, last_failure),
    }
}

/// The services with a page that the person may use.
async fn services(app: &App, person: &LoggedIn) -> Result<Vec<ServiceLink>> {
    if !person.identity.scopes.holds("access:services") {
        return Ok(Vec::new());
    }
    let services = app.database.services().await?.into_iter().filter(|service| {
        let may_use = person.identity.may("access:services", Resource::service(&service.name));
        service.display && !service.prefix.is_empty() && may_use
    });
    Ok(services.map(|service| ServiceLink { href: app.urls.service(&service.name), name: service.name }).collect())
}

/// Stops one's own server, or removes a named one.
pub async fn post(State(app): State<App>, person: LoggedIn, Form(fields): Form) -> Result<Response> {
    person.visitor.check_xsrf(&fields)?;
    if let Some(server) = fields.get("stop") {
        app.servers.stop(&person.user.name, server).await;
    }
    if let Some(server) = fields.get("remove") {
        let (path, body) = (servers::path(&person.user.name, server), JsonBody(Some(json!({"remove": true}))));
        servers::stop(State(app.clone()), person.caller(), path, body).await?;
    }
    Ok(found(&app.urls.at("home")))
}
