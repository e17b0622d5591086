//! `/hub/spawn-pending/<user>[/<server>]`: the progress of a start, and the button that cancels it. A script follows the
//! events; without it the page reloads itself.

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use hub_auth::next_url::with_query;

use super::{
    api::{JsonBody, servers},
    root,
    spawn::Wanted,
};
use crate::{
    app::App,
    error::{Result, found},
    form::{Form, Query},
    pages::{NotRunningPage, SpawnPendingPage, html},
    servers::{Pending, ServerStatus},
    session::LoggedIn,
};

pub async fn get(
    State(app): State<App>,
    person: LoggedIn,
    path: Option<Path<String>>,
    Query(query): Query,
) -> Result<Response> {
    let wanted = Wanted::parse(path);
    let owner = wanted.owner(&app, &person).await?;
    let server = wanted.server.as_str();
    let own = owner.id == person.user.id;
    let spawn_url = app.urls.spawn(&owner.name, server);
    let next = root::wanted(&app, &person.visitor, &query, &owner.name);
    let ready_url = next.unwrap_or_else(|| app.urls.server(&owner.name, server));
    let frame = person.visitor.frame(&app);
    let (stopping, failed) = match app.servers.status(&owner.name, server) {
        ServerStatus::Ready { .. } => return Ok(found(&ready_url)),
        ServerStatus::Stopped { last_failure: None } => {
            let page = NotRunningPage { frame, own, owner: owner.name, failure: None, spawn_url };
            return Ok(person.visitor.with_form_cookies(&app, html(StatusCode::OK, &page)));
        }
        ServerStatus::Stopped { last_failure } => (false, last_failure),
        ServerStatus::Pending(pending) => (pending == Pending::Stop, None),
    };
    let status = if failed.is_some() { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
    let events_url = with_query(&app.urls.progress(&owner.name, server), "_xsrf", person.visitor.xsrf_token());
    let action = app.urls.spawn_pending(&owner.name, server);
    let owner = owner.name;
    let page = SpawnPendingPage { frame, action, own, owner, stopping, failed, events_url, ready_url, spawn_url };
    Ok(person.visitor.with_form_cookies(&app, html(status, &page)))
}

/// Cancels the start.
pub async fn post(
    State(app): State<App>,
    person: LoggedIn,
    path: Option<Path<String>>,
    Form(fields): Form,
) -> Result<Response> {
    person.visitor.check_xsrf(&fields)?;
    let wanted = Wanted::parse(path);
    let owner = wanted.owner(&app, &person).await?;
    servers::stop(State(app.clone()), person.caller(), servers::path(&owner.name, &wanted.server), JsonBody(None))
        .await?;
    Ok(found(&app.urls.at("home")))
}
