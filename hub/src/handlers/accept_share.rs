//! `/hub/accept-share?code=`: what a share code leads to. It always asks first: opening a link must not change what
//! someone may do.

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use hub_auth::{names::full_server_name, scopes::share, token::share_code_id};
use std::time::Instant;

use super::root::wanted;
use crate::{
    app::App,
    audit::Act,
    database::ShareCode,
    error::{Failure, Result, found},
    form::{Fields, Form, Query},
    pages::{AcceptSharePage, SharedScope, html},
    servers::ServerStatus,
    session::{LoggedIn, Via, path_and_query},
};

const OWN: &str = "You can't share with yourself!";

pub async fn get(State(app): State<App>, person: LoggedIn, Query(query): Query) -> Result<Response> {
    if is_program(&person) {
        return Err(Failure::Redirect(app.urls.login(&path_and_query(&person.visitor.uri))));
    }
    let text = given(&query)?;
    let not_found = || Failure::new(StatusCode::NOT_FOUND, "Share not found or expired");
    let code = look_up(&app, &person, text).await?.ok_or_else(not_found)?;
    if code.owner_id == person.user.id {
        return Err(Failure::forbidden(OWN));
    }
    let page = AcceptSharePage {
        frame: person.visitor.frame(&app),
        code: text.to_owned(),
        next: wanted(&app, &person.visitor, &query, &code.owner),
        scopes: code.scopes.iter().map(|scope| shared_scope(scope)).collect(),
        ready: matches!(app.servers.status(&code.owner, &code.server), ServerStatus::Ready { .. }),
        server_url: app.urls.server(&code.owner, &code.server),
        owner: code.owner,
        server: code.server,
    };
    Ok(person.visitor.with_form_cookies(&app, html(StatusCode::OK, &page)))
}

/// The person agrees.
pub async fn post(
    State(app): State<App>,
    person: LoggedIn,
    Query(query): Query,
    Form(fields): Form,
) -> Result<Response> {
    person.visitor.check_xsrf(&fields)?;
    if is_program(&person) {
        return Err(Failure::bare(StatusCode::FORBIDDEN));
    }
    let text = given(&fields).or_else(|_| given(&query))?;
    let invalid = || Failure::bad_request("Invalid share code");
    let code = look_up(&app, &person, text).await?.ok_or_else(invalid)?;
    if code.owner_id == person.user.id {
        return Err(Failure::bad_request(OWN));
    }
    let share = app.database.exchange_share_code(text, person.user.id, app.now()).await?.ok_or_else(invalid)?;
    let object = format!("{} by {}", full_server_name(&share.owner, &share.server), share_code_id(code.id));
    Act::by(&person.identity, "share accepted").on(&share.owner).object(object).done("a share code");
    let next = [&fields, &query].into_iter().find_map(|given| wanted(&app, &person.visitor, given, &share.owner));
    let mut response = found(&next.unwrap_or_else(|| app.urls.server(&share.owner, &share.server)));
    // The page with the form had the code in its address, which the shared server must not learn.
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Ok(response)
}

/// A token may have less than its owner's rights, and must not widen them.
fn is_program(person: &LoggedIn) -> bool {
    matches!(person.identity.via, Via::Token(_))
}

fn given(fields: &Fields) -> Result<&str> {
    let code = fields.get("code").map(str::trim).filter(|code| !code.is_empty());
    code.ok_or_else(|| Failure::bad_request("Missing argument code"))
}

/// The code, unless it is nothing to this person. Each that isn't found counts as a guess.
async fn look_up(app: &App, person: &LoggedIn, text: &str) -> Result<Option<ShareCode>> {
    let (user, failures) = (&person.user, &app.share_code_failures);
    if let Some(wait) = failures.wait(&user.id, Instant::now()) {
        Act::by(&person.identity, "share accepted").refused("too many codes that don't exist");
        return Err(Failure::Status {
            status: StatusCode::TOO_MANY_REQUESTS,
            message: Some("Too many share codes that don't exist. Try again later.".to_owned()),
            retry_after: Some(wait.as_secs() + 1),
        });
    }
    let code = app.database.share_code_for(text, user.id, app.now()).await?;
    if code.is_none() {
        failures.record(user.id, Instant::now());
        Act::by(&person.identity, "share accepted").refused("there is no such code");
    }
    Ok(code)
}

fn shared_scope(scope: &str) -> SharedScope {
    SharedScope { name: share::name(scope).to_owned(), description: share::description(scope).to_owned() }
}
