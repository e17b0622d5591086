//! `/hub/spawn-pending/<user>[/<server>]`: the progress of a start. A script follows the events; without it the page
//! reloads itself.

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use hub_auth::next_url::with_query;

use super::{root, spawn::Wanted};
use crate::{
    app::App,
    error::{Result, found},
    form::Query,
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
    let page = SpawnPendingPage { frame, own, owner: owner.name, stopping, failed, events_url, ready_url, spawn_url };
    Ok(person.visitor.with_form_cookies(&app, html(status, &page)))
}
