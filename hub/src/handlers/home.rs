//! `/hub/home`: one's own server, and its start and stop without a script.

use axum::{extract::State, http::StatusCode, response::Response};

use crate::{
    app::App,
    error::{Result, found},
    form::Form,
    pages::{HomePage, ServerState, html},
    servers::{Pending, ServerStatus},
    session::LoggedIn,
};

pub async fn get(State(app): State<App>, person: LoggedIn) -> Response {
    let name = &person.user.name;
    let (state, failure) = match app.servers.status(name, "") {
        ServerStatus::Ready { .. } => (ServerState::Ready, None),
        ServerStatus::Pending(Pending::Stop) => (ServerState::Stopping, None),
        ServerStatus::Pending(_) => (ServerState::Starting, None),
        ServerStatus::Stopped { last_failure } => (ServerState::Stopped, last_failure),
    };
    let page = HomePage {
        frame: person.visitor.frame(&app),
        state,
        failure,
        server_url: app.urls.server(name, ""),
        spawn_url: app.urls.spawn(name, ""),
        pending_url: app.urls.spawn_pending(name, ""),
    };
    person.visitor.with_form_cookies(&app, html(StatusCode::OK, &page))
}

/// Stops one's own server.
pub async fn post(State(app): State<App>, person: LoggedIn, Form(fields): Form) -> Result<Response> {
    person.visitor.check_xsrf(&fields)?;
    if let Some(server) = fields.get("stop") {
        app.servers.stop(&person.user.name, server).await;
    }
    Ok(found(&app.urls.at("home")))
}
