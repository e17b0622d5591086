//! `/hub/login`.
//!
//! ```text
//! GET  -> form                           POST -> xsrf -> authenticator -> allow list -> cookies -> next
//! GET ?token= -> authenticator -> allow list -> cookies -> the same address without the token
//! ```

use axum::{extract::State, http::StatusCode, response::Response};
use secrecy::SecretString;
use url::form_urlencoded;

use super::root;
use crate::{
    app::App,
    authenticator::Credentials,
    error::{Result, found},
    form::{Fields, Form, Query},
    loggable::loggable,
    pages::{AskPage, LoginPage, html},
    session::{Visitor, path_and_query, start_login},
};

pub async fn get(State(app): State<App>, visitor: Visitor, Query(query): Query) -> Result<Response> {
    if let Some(token) = query.get("token") {
        return match visitor.is_deliberate() {
            true => by_token(&app, &visitor, &query, token).await,
            false => Ok(ask(&app, &visitor)),
        };
    }
    if let Some(user) = visitor.user() {
        return Ok(found(&root::after_login(&app, &visitor, user)));
    }
    let username = query.text("username").to_owned();
    Ok(form(&app, &visitor, StatusCode::OK, username, None))
}

pub async fn post(State(app): State<App>, visitor: Visitor, Form(fields): Form) -> Result<Response> {
    let username = fields.text("username").trim().to_owned();
    if let Err(failure) = visitor.check_xsrf(&fields) {
        if !visitor.is_navigation() {
            return Err(failure);
        }
        tracing::warn!(reason = ?failure, "refused a login form");
        let error = "Login form invalid or expired. Try again.";
        return Ok(form(&app, &visitor, StatusCode::FORBIDDEN, username, Some(error)));
    }
    let credentials = Credentials { username, password: SecretString::from(fields.text("password").to_owned()) };
    let known = app.authenticator.login(&credentials)?;
    let Some(name) = known.filter(|name| app.allow.admits(name)) else {
        tracing::warn!(user.name = loggable(&credentials.username), "failed login");
        let error = if app.authenticator.is_token() { "Invalid token" } else { "Invalid username or password" };
        return Ok(form(&app, &visitor, StatusCode::FORBIDDEN, loggable(&credentials.username), Some(error)));
    };
    log_in(&app, &visitor, &name).await
}

/// Somebody else's page must not log a person in, as whom it likes (attack row 28).
fn ask(app: &App, visitor: &Visitor) -> Response {
    let page = AskPage {
        frame: visitor.frame(app),
        question: "Log in?",
        consequence: "Its address holds a login token. Do so only if you know whose it is: what you do then is done in that name.",
        confirm: "Log in",
        confirm_url: path_and_query(&visitor.uri),
    };
    html(StatusCode::OK, &page)
}

/// The token in the address (S6). It must not stay there: neither in the browser's history nor in a `Referer`.
async fn by_token(app: &App, visitor: &Visitor, query: &Fields, token: &str) -> Result<Response> {
    let Some(name) = app.authenticator.token_user(token).filter(|name| app.allow.admits(name)) else {
        tracing::warn!("failed login by token in the address");
        return Ok(form(app, visitor, StatusCode::FORBIDDEN, String::new(), Some("Invalid token")));
    };
    let mut response = found(&without_token(app, query));
    let user = app.admit(&name).await?;
    start_login(app, visitor, &user, &mut response).await?;
    tracing::info!(user.name = name, "logged in by token in the address");
    Ok(response)
}

fn without_token(app: &App, query: &Fields) -> String {
    let rest: Vec<_> = query.iter().filter(|(name, _)| *name != "token").collect();
    let login = app.urls.at("login");
    if rest.is_empty() {
        return login;
    }
    format!("{login}?{}", form_urlencoded::Serializer::new(String::new()).extend_pairs(rest).finish())
}

async fn log_in(app: &App, visitor: &Visitor, name: &str) -> Result<Response> {
    let user = app.admit(name).await?;
    let mut response = found(&root::after_login(app, visitor, &user));
    start_login(app, visitor, &user, &mut response).await?;
    tracing::info!(user.name = name, "logged in");
    Ok(response)
}

fn form(app: &App, visitor: &Visitor, status: StatusCode, username: String, error: Option<&str>) -> Response {
    let next: Vec<_> = Fields::of_query(&visitor.uri).all("next").map(str::to_owned).collect();
    let page = LoginPage {
        frame: visitor.frame(app),
        action: next.last().map_or_else(|| app.urls.at("login"), |next| app.urls.login(next)),
        username,
        error: error.map(str::to_owned),
        token: app.authenticator.is_token(),
        insecure: !app.secure && !visitor.is_secure(app) && !visitor.is_on_this_machine(),
    };
    visitor.renew_form_cookies(app, html(status, &page))
}
