//! Login at a provider: the way there, the way back, and the provider's word that somebody has logged out.
//!
//! ```text
//! GET  oauth_login    -> state, nonce, PKCE, a random cookie -> the provider
//! GET  oauth_callback -> state and cookie -> code -> who it is -> may they come in -> cookies -> next
//! POST oidc/backchannel-logout -> the provider's token -> sessions end
//! ```

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use hub_auth::{cookie::SetCookie, next_url::with_query, oidc::attempt::Attempt, oidc::attempt::MAX_AGE};
use serde_json::json;

use super::{login, root};
use crate::{
    app::App,
    audit::{Person, THE_HUB},
    auth_state::{auth_state, keep},
    authenticator::{
        Oidc,
        oidc::{Login, ProviderError, admission::take_in},
    },
    database::{Identity, ProviderSession, User},
    error::{Failure, Result, found},
    form::{Fields, Form, Query},
    pages::{ContinuePage, html},
    revocation::end_sessions,
    session::{Visitor, add_cookie, forgotten_at, start_login},
};

/// The random cookie that ties a login to the browser that began it.
const BROWSER: &str = "jupyterhub-oidc-browser";
/// Characters of a provider's words that a page repeats.
const LONGEST_WORDS: usize = 200;

/// The way to the provider, with the way back here.
pub fn start_url(app: &App, next: &str) -> String {
    let start = app.urls.at("oauth_login");
    if next.is_empty() { start } else { with_query(&start, "next", next) }
}

pub async fn start(State(app): State<App>, visitor: Visitor, Query(query): Query) -> Result<Response> {
    let oidc = provider(&app)?;
    if let Some(user) = visitor.user() {
        return Ok(found(&root::after_login(&app, &visitor, user)));
    }
    let name = app.cookie_name(BROWSER);
    // Another tab may be on its way with the same cookie.
    let browser = visitor.random_cookie(&name).unwrap_or_else(|| app.random_id());
    let keys = app.cookie_keys()?;
    let attempt = Attempt::begin(&keys, &browser, query.text("next"), rand::random(), visitor.now().as_second());
    let url = match oidc.authorization_url(&attempt, &redirect_uri(&app, &visitor, oidc)).await {
        Ok(url) => url,
        Err(error) => return Ok(failed(&app, &visitor, &error)),
    };
    let mut response = found(url.as_str());
    let cookie = SetCookie::new(name, browser, app.urls.hub()).max_age(MAX_AGE).http_only();
    add_cookie(&mut response, &cookie.secure(visitor.is_secure(&app)));
    Ok(response)
}

pub async fn callback(State(app): State<App>, visitor: Visitor, Query(query): Query) -> Result<Response> {
    let oidc = provider(&app)?;
    let nobody = Person { user: "", address: visitor.address(&app) };
    let (state, now) = (query.text("state"), visitor.now().as_second());
    let keys = app.cookie_keys()?;
    let browser = visitor.random_cookie(&app.cookie_name(BROWSER)).filter(|_| is_plain(&query));
    let attempt = browser.and_then(|browser| Attempt::resume(&keys, &browser, state, now));
    let attempt = attempt.filter(|_| oidc.used.is_first(state, now + MAX_AGE, now));
    let Some(attempt) = attempt else {
        if let Some(user) = visitor.user() {
            // The answer of a second tab.
            return Ok(found(&root::after_login_with(&app, &visitor, user, &Fields::default())));
        }
        nobody.turned_away("not begun in this browser");
        let error = "This login did not begin in this browser, or it took too long. Try again.";
        return Ok(page(&app, &visitor, StatusCode::BAD_REQUEST, error));
    };
    match oidc.is_answer_of(query.get("iss")).await {
        Ok(true) => {}
        Ok(false) => {
            nobody.turned_away("answer of another provider");
            return Ok(page(
                &app,
                &visitor,
                StatusCode::BAD_REQUEST,
                "This is the answer of another provider. Try again.",
            ));
        }
        Err(error) => return Ok(failed(&app, &visitor, &error)),
    }
    if let Some(error) = query.get("error") {
        nobody.turned_away("refused by the provider");
        let words = words(query.get("error_description").unwrap_or(error));
        return Ok(page(&app, &visitor, StatusCode::FORBIDDEN, &format!("The provider did not log you in: {words}")));
    }
    match oidc.log_in(query.text("code"), &attempt, &redirect_uri(&app, &visitor, oidc), now).await {
        Ok(login) => come_in(&app, &visitor, oidc, &login, &attempt.next).await,
        Err(error) => Ok(failed(&app, &visitor, &error)),
    }
}

/// Each of the fields that count came once, so that nobody can mean another one.
fn is_plain(query: &Fields) -> bool {
    ["state", "code", "iss", "error"].iter().all(|name| query.count(name) <= 1)
}

async fn come_in(app: &App, visitor: &Visitor, oidc: &Oidc, login: &Login, next: &str) -> Result<Response> {
    let identity = Identity { issuer: &login.issuer, subject: &login.subject };
    let address = visitor.address(app);
    let user = match take_in(app, identity, &login.name, &login.groups).await? {
        Ok(user) => user,
        Err(reason) => {
            Person { user: &login.name, address }.turned_away(reason.reason());
            return Ok(page(app, visitor, StatusCode::FORBIDDEN, &reason.to_string()));
        }
    };
    if oidc.keeps_state {
        keep(app, &user, &login.state).await?;
    }
    oidc.refreshes.note(user.id);
    let next = root::after_login_with(app, visitor, &user, &Fields::one("next", next));
    let mut response = lead_on(app, visitor, &user, &next);
    let started = start_login(app, visitor, &user, &mut response).await?;
    if let Some(id) = &login.session {
        let session = ProviderSession {
            id,
            user_id: user.id,
            session_id: &started.session_id,
            login: &started.digest,
            expires_at: forgotten_at(visitor.now()),
        };
        app.database.note_provider_session(session).await?;
    }
    add_cookie(&mut response, &SetCookie::clear(app.cookie_name(BROWSER), app.urls.hub(), visitor.now().as_second()));
    Person { user: &user.name, address }.logged_in("provider");
    Ok(response)
}

/// A redirect would go on as the provider's request: pages that ask whether the person meant to come would ask. So a page of
/// ours leads on, where a browser says that the provider's does.
fn lead_on(app: &App, visitor: &Visitor, user: &User, next: &str) -> Response {
    if visitor.is_deliberate() {
        return found(next);
    }
    let mut frame = visitor.frame(app);
    frame.user = Some(user.name.clone());
    let mut response = html(StatusCode::OK, &ContinuePage { frame, url: next.to_owned() });
    if let Ok(refresh) = HeaderValue::from_str(&format!("0; url={next}")) {
        response.headers_mut().insert(header::REFRESH, refresh);
    }
    response
}

/// Where a logout leads: to the provider's page for it if there is one, else to the login page. The provider sends the browser
/// back to `logout`, which no longer knows anybody.
pub async fn after_logout(app: &App, visitor: &Visitor, user: Option<&User>) -> Result<String> {
    let here = app.urls.at("login");
    let (Some(oidc), Some(user)) = (app.authenticator.oidc(), user) else { return Ok(here) };
    let state = auth_state(app, user).await?;
    let back = app.urls.absolute(&app.urls.at("logout")).or_else(|| {
        let origin = visitor.origin(app);
        (!origin.is_empty()).then(|| format!("{origin}{}", app.urls.at("logout")))
    });
    let there = oidc.logout_url(state["id_token"].as_str(), back.as_deref()).await;
    Ok(there.map_or_else(|| if oidc.auto_login { app.urls.at("logout") } else { here }, Into::into))
}

/// Back-Channel Logout 1.0: the provider says who has logged out, over its own connection.
pub async fn backchannel_logout(State(app): State<App>, Form(fields): Form) -> Result<Response> {
    let oidc = provider(&app)?;
    let now = app.now().as_second();
    let (logout, issuer) = match oidc.logout(fields.text("logout_token"), now).await {
        Ok(logout) => logout,
        Err(error) => return Ok(refused(&error)),
    };
    if !oidc.used.is_first(&format!("logout {}", logout.id), logout.expires_at, now) {
        return Ok(answer(StatusCode::BAD_REQUEST, "this logout token was used before"));
    }
    let ended = match (&logout.session, &logout.subject) {
        (Some(session), _) => app.database.end_provider_session(session).await?,
        (None, Some(subject)) => {
            let user = app.database.user_of_identity(Identity { issuer: &issuer, subject }).await?;
            if let Some(user) = &user {
                end_sessions(&app, user, THE_HUB, "ended by the provider").await?;
            }
            user.into_iter().collect()
        }
        (None, None) => Vec::new(),
    };
    for user in &ended {
        Person { user: &user.name, address: None }.ended("ended by the provider");
    }
    Ok(answer(StatusCode::OK, ""))
}

fn refused(error: &ProviderError) -> Response {
    tracing::warn!(error.message = %error, "refused a logout token");
    match error {
        ProviderError::NotBelieved(refusal) => answer(StatusCode::BAD_REQUEST, &refusal.to_string()),
        _ => answer(StatusCode::SERVICE_UNAVAILABLE, ""),
    }
}

/// Section 2.8: nobody keeps it.
fn answer(status: StatusCode, description: &str) -> Response {
    let body = json!({"error": "invalid_request", "error_description": description});
    let mut response =
        if status == StatusCode::OK { status.into_response() } else { (status, Json(body)).into_response() };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn provider(app: &App) -> Result<&Oidc> {
    app.authenticator.oidc().ok_or_else(Failure::not_found)
}

/// The address that is registered at the provider. It compares every character.
fn redirect_uri(app: &App, visitor: &Visitor, oidc: &Oidc) -> String {
    let path = app.urls.at("oauth_callback");
    match oidc.callback_url() {
        Some(url) => url.to_owned(),
        None => app.urls.absolute(&path).unwrap_or_else(|| format!("{}{path}", visitor.origin(app))),
    }
}

/// What the person can do about it, and for administrators a line in the log.
fn failed(app: &App, visitor: &Visitor, error: &ProviderError) -> Response {
    let person = Person { user: "", address: visitor.address(app) };
    let (status, text) = match error {
        ProviderError::NotBelieved(refusal) => {
            person.turned_away("not believed");
            (StatusCode::FORBIDDEN, format!("You were not logged in: {refusal}."))
        }
        ProviderError::Denied => {
            person.turned_away("refused by the provider");
            (StatusCode::FORBIDDEN, "The provider did not accept this login any more. Try again.".to_owned())
        }
        ProviderError::Unreachable(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "The provider does not answer. Try again in a moment.".to_owned())
        }
        ProviderError::Misconfigured(_) | ProviderError::Metadata(_) | ProviderError::Secret(_) => {
            let text =
                "The provider and this hub are not set up for each other. Tell the administrator, whose log says more.";
            (StatusCode::BAD_GATEWAY, text.to_owned())
        }
    };
    tracing::warn!(error.message = %error, "nobody was logged in by the provider");
    page(app, visitor, status, &text)
}

fn page(app: &App, visitor: &Visitor, status: StatusCode, error: &str) -> Response {
    login::form(app, visitor, status, String::new(), Some(error))
}

/// What came in an address, as a page may repeat it: the page escapes it.
fn words(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(LONGEST_WORDS).collect()
}
