//! `/hub/login`, and `?token=` in the address of any page.
//!
//! ```text
//! GET  -> form                           POST -> xsrf -> authenticator -> allow list -> cookies -> next
//! GET ?token= -> whose it is -> allow list -> asks if need be -> cookies -> the same address without the token
//! ```

use axum::{
    extract::State,
    http::{StatusCode, Uri},
    response::Response,
};
use futures::TryFutureExt;
use secrecy::SecretString;
use url::form_urlencoded;

use super::{oidc, root};
use crate::{
    app::App,
    audit::Person,
    authenticator::Credentials,
    error::{self, Failure, Result, found},
    form::{Fields, Form, Query},
    loggable::loggable,
    login_attempts::{Claim, attempt, by_credentials, quiet_attempt},
    login_token::LoginToken,
    pages::{AskLoginPage, LoginPage, ProviderButton, html},
    session::{Visitor, path_and_query, start_login},
};

const INVALID_TOKEN: &str = "Invalid token";

pub async fn get(State(app): State<App>, visitor: Visitor, Query(query): Query) -> Result<Response> {
    if let Some(user) = visitor.user() {
        return Ok(found(&root::after_login(&app, &visitor, user)));
    }
    if app.authenticator.oidc().is_some_and(|oidc| oidc.auto_login) && !visitor.is_prefetch() {
        return Ok(found(&oidc::start_url(&app, query.text("next"))));
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
    let address = visitor.address(&app);
    let name = match fields.get("token") {
        Some(token) => attempt(&app, address, Claim::Token(token), user_of_token(&app, token)).await?,
        None => {
            let password = SecretString::from(fields.text("password").to_owned());
            by_credentials(&app, address, &Credentials { username: username.clone(), password }).await?
        }
    };
    let Some(name) = name else {
        let by_token = app.authenticator.is_token() || fields.get("token").is_some();
        let error = if by_token { INVALID_TOKEN } else { "Invalid username or password" };
        return Ok(form(&app, &visitor, StatusCode::FORBIDDEN, loggable(&username), Some(error)));
    };
    let user = app.admit(&name).await?;
    let mut response = found(&root::after_login(&app, &visitor, &user));
    start_login(&app, &visitor, &user, &mut response).await?;
    Person { user: &name, address }.logged_in(if fields.get("token").is_some() {
        "token"
    } else {
        app.authenticator.proof()
    });
    Ok(response)
}

/// `?token=` in the address of a page (S6). It must not stay there: neither in the browser's history nor in a `Referer`.
/// Nobody is logged in as whom another site's page likes (attack row 28), nor in place of another person, without being
/// asked. `None`: the token is none of the hub's, and the address a server's, whose it may be.
pub async fn by_address(app: &App, visitor: &Visitor, token: &str) -> Result<Option<Response>> {
    if visitor.is_prefetch() {
        return Err(Failure::bare(StatusCode::SERVICE_UNAVAILABLE));
    }
    let address = visitor.address(app);
    let servers = visitor.user().filter(|_| is_of_server(app, &visitor.uri));
    let look = LoginToken::find(app, token).map_err(Failure::from);
    let found = match servers {
        Some(user) => quiet_attempt(app, address, Claim::ServersToken { token, user: &user.name }, look).await?,
        None => attempt(app, address, Claim::Token(token), look).await?,
    };
    let Some(found) = found else { return Ok(servers.is_none().then(|| refused(app, visitor))) };
    let name = found.user().to_owned();
    let here = without_token(app, &visitor.uri, &name);
    if !visitor.is_deliberate() || visitor.user().is_some_and(|user| user.name != name) {
        let page =
            AskLoginPage { frame: visitor.frame(app), action: app.urls.login(&here), name, token: token.to_owned() };
        return Ok(Some(visitor.renew_form_cookies(app, html(StatusCode::OK, &page))));
    }
    if !found.take(app, token).await? {
        return Ok(Some(refused(app, visitor)));
    }
    let user = app.admit(&name).await?;
    let mut response = error::found(&here);
    start_login(app, visitor, &user, &mut response).await?;
    Person { user: &name, address }.logged_in("token in the address");
    Ok(Some(response))
}

fn refused(app: &App, visitor: &Visitor) -> Response {
    form(app, visitor, StatusCode::FORBIDDEN, String::new(), Some(INVALID_TOKEN))
}

fn is_of_server(app: &App, uri: &Uri) -> bool {
    uri.path().starts_with(&app.urls.at("user/"))
}

/// The same address without the token; a page of a server is at the server's own address, whether it runs or not.
fn without_token(app: &App, uri: &Uri, user: &str) -> String {
    let path = match uri.path().strip_prefix(app.urls.hub()).filter(|_| is_of_server(app, uri)) {
        Some(rest) => app.urls.on_its_host(user, format!("{}{rest}", app.urls.base())),
        None => uri.path().to_owned(),
    };
    let is_token =
        |argument: &&str| form_urlencoded::parse(argument.as_bytes()).next().is_some_and(|(name, _)| name == "token");
    let rest: Vec<_> = uri.query().unwrap_or_default().split('&').filter(|argument| !is_token(argument)).collect();
    if rest.is_empty() { path } else { format!("{path}?{}", rest.join("&")) }
}

/// The page that asked first sends the token; only now it is used.
async fn user_of_token(app: &App, token: &str) -> Result<Option<String>> {
    let Some(found) = LoginToken::find(app, token).await? else { return Ok(None) };
    Ok(found.take(app, token).await?.then(|| found.user().to_owned()))
}

/// The login page.
pub fn form(app: &App, visitor: &Visitor, status: StatusCode, username: String, error: Option<&str>) -> Response {
    let page = LoginPage {
        frame: visitor.frame(app),
        action: app.urls.login(&next(app, &visitor.uri)),
        username,
        error: error.map(str::to_owned),
        token: app.authenticator.is_token(),
        provider: app.authenticator.oidc().map(|provider| ProviderButton {
            name: provider.display_name().to_owned(),
            url: oidc::start_url(app, &next(app, &visitor.uri)),
        }),
        insecure: !app.secure && !visitor.is_secure(app) && !visitor.is_on_this_machine(),
    };
    visitor.renew_form_cookies(app, html(status, &page))
}

/// Where the form leads: to the page that it came in place of. A server's keeps a token that may be its own.
fn next(app: &App, uri: &Uri) -> String {
    let leads_on = ["login", "logout", "oauth_login", "oauth_callback"];
    if leads_on.iter().any(|page| uri.path() == app.urls.at(page)) {
        Fields::of_query(uri).text("next").to_owned()
    } else if is_of_server(app, uri) {
        path_and_query(uri)
    } else {
        without_token(app, uri, "")
    }
}
