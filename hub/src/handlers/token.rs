//! `/hub/token`: one's own API tokens, without a script.

use axum::{extract::State, http::StatusCode, response::Response};
use hub_auth::token::{parse_token_id, token_id};
use jiff::Timestamp;
use secrecy::ExposeSecret;

use super::sessions::{self, minute};
use crate::{
    app::App,
    database::ApiToken,
    error::{Result, found},
    form::{Fields, Form},
    handlers::api::tokens::{TokenWish, issue, revoke_one},
    pages::{TokenLine, TokenPage, html},
    session::LoggedIn,
};

pub async fn get(State(app): State<App>, person: LoggedIn) -> Result<Response> {
    page(&app, &person, StatusCode::OK, None, None).await
}

/// Makes a token, or revokes the one that the button names.
pub async fn post(State(app): State<App>, person: LoggedIn, Form(fields): Form) -> Result<Response> {
    person.visitor.check_xsrf(&fields)?;
    if let Some(id) = fields.get("revoke") {
        revoke(&app, &person, id).await?;
        return Ok(found(&app.urls.at("token")));
    }
    match issue(&app, &person.identity, &person.user, &wish(&fields)).await? {
        Ok((_, secret)) => {
            page(&app, &person, StatusCode::CREATED, Some(secret.expose_secret().to_owned()), None).await
        }
        Err(refusal) => page(&app, &person, StatusCode::BAD_REQUEST, None, Some(refusal)).await,
    }
}

fn wish(fields: &Fields) -> TokenWish {
    let scopes: Vec<_> = fields.text("scopes").split_whitespace().map(str::to_owned).collect();
    TokenWish {
        note: Some(fields.text("note").trim().to_owned()).filter(|note| !note.is_empty()),
        expires_in: fields.text("expires_in").parse().ok(),
        scopes: (!scopes.is_empty()).then_some(scopes),
        ..TokenWish::default()
    }
}

async fn revoke(app: &App, person: &LoggedIn, id: &str) -> Result<()> {
    let Some(row) = parse_token_id(id) else { return Ok(()) };
    if let Some(token) = app.database.token(person.user.id, row, app.now()).await? {
        revoke_one(app, &person.identity, &person.user, &token).await?;
    }
    Ok(())
}

async fn page(
    app: &App,
    person: &LoggedIn,
    status: StatusCode,
    created: Option<String>,
    error: Option<String>,
) -> Result<Response> {
    let tokens = app.database.tokens_of(person.user.id, app.now()).await?;
    let tokens = tokens.iter().rev().map(line).collect();
    let page = TokenPage {
        frame: person.visitor.frame(app),
        tokens,
        created,
        error,
        sessions: sessions::lines(app, person).await?,
        has_password: app.authenticator.passwords().is_some(),
    };
    Ok(person.visitor.with_form_cookies(app, html(status, &page)))
}

fn line(token: &ApiToken) -> TokenLine {
    let time = |time: Option<Timestamp>, never: &str| time.map_or_else(|| never.to_owned(), minute);
    TokenLine {
        id: token_id(token.id),
        note: token.note.clone().filter(|note| !note.is_empty()).unwrap_or_else(|| token.client_id.clone()),
        scopes: token.scopes.join(" "),
        created: time(token.created, ""),
        last_used: time(token.last_activity, "never"),
        expires: time(token.expires_at, "it is revoked"),
    }
}
