//! What the guard answers itself: the way to the hub's login and back, the logout, and refusals.

use askama::Template;
use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::{Next, from_fn},
    response::{Html, IntoResponse, Response},
};
use hub_auth::{
    JUPYTERHUB_VERSION,
    cookie::{self, SetCookie},
};
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde_json::json;

use super::{
    Guard, Standing,
    answers::Answer,
    credentials::{self, Credential, Key, VERSION, session_ids},
    environment::Environment,
    hub::HubError,
    oauth::{self, ArrivalError},
};
use crate::{
    head::{Head, with_query, without_token},
    passage::Source,
};

/// Seconds after which a page asks again while the hub does not answer.
const RETRY_AFTER: u64 = 5;

/// Nothing is loaded, embedded or executed.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

pub(super) fn router(guard: Guard) -> Router {
    Router::new().fallback(answer).with_state(guard).layer(from_fn(add_headers))
}

async fn add_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (HeaderName::from_static(VERSION), JUPYTERHUB_VERSION),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Addresses here may hold a token or a code.
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether this is the server's logout: it begins the hub's.
pub(super) fn is_logout(environment: &Environment, head: &Head<'_>) -> bool {
    head.method == "GET" && head.path.strip_prefix(environment.prefix.as_str()) == Some("logout")
}

/// Whether a request that may pass is redirected instead.
pub(super) fn is_kept(environment: &Environment, head: &Head<'_>, source: Source) -> bool {
    redirected(environment, head, source).is_some()
}

/// Where a request leads that may pass.
enum Redirected {
    /// To the address without the token, which is in a cookie from then on (S6).
    WithoutToken(String),
    To(String),
    Nowhere,
}

fn redirected(environment: &Environment, head: &Head<'_>, source: Source) -> Option<Redirected> {
    if source == Source::Query && head.is_navigation() {
        return Some(Redirected::WithoutToken(with_query(head.path, &without_token(head.query))));
    }
    if source == Source::Cookie && !head.path.starts_with(&environment.prefix) {
        return Some(environment.respelled(head.path).map_or(Redirected::Nowhere, Redirected::To));
    }
    match &environment.default_url {
        Some(page) if head.is_navigation() && head.path == environment.prefix => {
            let page = format!("{}{}", environment.prefix, page.trim_start_matches('/'));
            Some(Redirected::To(with_query(&page, head.query)))
        }
        _ => None,
    }
}

async fn answer(State(guard): State<Guard>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let head = Head::of_parts(&parts);
    let environment = &guard.0.environment;
    if head.path == environment.callback_path() {
        return callback(&guard, &head).await;
    }
    if is_logout(environment, &head) {
        return logout(&guard, &head);
    }
    entrance(&guard, &head).await
}

/// The answer to whoever does not come in, or not by this address.
async fn entrance(guard: &Guard, head: &Head<'_>) -> Response {
    let environment = &guard.0.environment;
    let credentials = guard.credentials(head);
    match guard.standing(&credentials).await {
        Standing::Allowed(source) => let_in(guard, head, source, &credentials.list),
        Standing::Forbidden(who) => refuse(guard, head, StatusCode::FORBIDDEN, &format!("{who} is not allowed.")),
        Standing::Unreachable => unreachable(guard, head),
        Standing::Distrusted(distrust) => refuse(guard, head, StatusCode::FORBIDDEN, &distrust.to_string()),
        Standing::Anonymous => {
            let mut response = log_in(guard, head);
            if credentials.list.iter().any(|credential| credential.source == Source::Cookie) {
                // It has ended, or was revoked.
                add_cookie(&mut response, &oauth::clear_token(environment, now()));
            }
            response
        }
    }
}

/// The way to the login for people; programs are told.
fn log_in(guard: &Guard, head: &Head<'_>) -> Response {
    let environment = &guard.0.environment;
    if !head.path.starts_with(&environment.prefix) {
        return match environment.respelled(head.path) {
            Some(path) if head.is_navigation() => redirect(&own(guard, &with_query(&path, head.query))),
            _ => refuse(guard, head, StatusCode::NOT_FOUND, "Nothing is here."),
        };
    }
    if !wants_page(environment, head) {
        return refuse(guard, head, StatusCode::FORBIDDEN, "Missing or invalid credentials.");
    }
    let departure = oauth::depart(head, environment, &guard.0.keys, rand::random(), now());
    with_cookies(redirect(&departure.location), &departure.cookies)
}

/// Whether the answer becomes a page. Browsers on connections that they don't trust don't say so; they ask for HTML then.
/// What scripts ask for must begin no login. The path of a server's API is asked for by programs: the hub, for one.
fn wants_page(environment: &Environment, head: &Head<'_>) -> bool {
    let is_html = head.accept.is_none_or(|types| types.contains("text/html"));
    let is_api = || {
        let rest = head.path.strip_prefix(environment.prefix.as_str()).unwrap_or_default();
        rest == "api" || rest.starts_with("api/")
    };
    head.is_navigation() && (head.fetch_mode.is_some() || (is_html || !head.has_referer) && !is_api())
}

fn let_in(guard: &Guard, head: &Head<'_>, source: Source, credentials: &[Credential]) -> Response {
    let environment = &guard.0.environment;
    match redirected(environment, head, source) {
        Some(Redirected::WithoutToken(target)) => {
            let token = credentials.iter().find(|credential| credential.source == source);
            let cookie =
                token.map(|credential| oauth::token_cookie(head, environment, &guard.0.keys, &credential.token, now()));
            with_cookies(redirect(&own(guard, &target)), cookie.as_slice())
        }
        Some(Redirected::To(target)) => redirect(&own(guard, &target)),
        Some(Redirected::Nowhere) => refuse(guard, head, StatusCode::NOT_FOUND, "Nothing is here."),
        // The hub has just let in whom it had refused before.
        None if head.is_navigation() => redirect(&own(guard, &head.target())),
        None => unreachable(guard, head),
    }
}

/// Back from the hub: a code becomes a token, and the token a cookie (S63, S64). The state's cookie is gone (S76).
async fn callback(guard: &Guard, head: &Head<'_>) -> Response {
    if head.method != "GET" {
        return refuse(guard, head, StatusCode::METHOD_NOT_ALLOWED, "The hub's login comes back here.");
    }
    let environment = &guard.0.environment;
    let states = oauth::clear_states(head, environment, now());
    let mut response = match oauth::arrive(head, environment, &guard.0.keys, now()) {
        Ok(arrived) => complete(guard, head, &arrived).await,
        Err(error) => stray(guard, head, &error).await,
    };
    for cookie in &states {
        add_cookie(&mut response, cookie);
    }
    response
}

async fn complete(guard: &Guard, head: &Head<'_>, arrived: &oauth::Arrived) -> Response {
    let environment = &guard.0.environment;
    let token = match guard.0.hub.exchange(arrived).await {
        Ok(token) => token,
        Err(error) => return failed(guard, head, &error),
    };
    let key = Key::new(token.expose_secret(), &session_ids(&head.cookies));
    let credential = Credential { source: Source::Cookie, token: token.expose_secret().to_owned(), key };
    match guard.answer(&credential).await {
        Answer::Allowed => {
            let cookie = oauth::token_cookie(head, environment, &guard.0.keys, &credential.token, now());
            with_cookies(redirect(&arrived.next), &[cookie])
        }
        Answer::Forbidden(who) => refuse(guard, head, StatusCode::FORBIDDEN, &format!("{who} is not allowed.")),
        Answer::Unknown => {
            let message = "The hub does not know the token that it has just given.";
            refuse(guard, head, StatusCode::INTERNAL_SERVER_ERROR, message)
        }
        Answer::Unreachable => unreachable(guard, head),
    }
}

/// Whoever comes back without a state of theirs. Another tab may have been faster: then they are in.
async fn stray(guard: &Guard, head: &Head<'_>, error: &ArrivalError) -> Response {
    let is_in = || async { guard.standing(&guard.credentials(head)).await };
    let status = match error {
        ArrivalError::WrongState if matches!(is_in().await, Standing::Allowed(_)) => {
            return redirect(&oauth::destination(head, &guard.0.environment));
        }
        ArrivalError::WrongState | ArrivalError::Refused(_) => StatusCode::FORBIDDEN,
        ArrivalError::NoCode | ArrivalError::NoState => StatusCode::BAD_REQUEST,
    };
    tracing::warn!(%error, "a login did not come to its end");
    refuse(guard, head, status, &error.to_string())
}

fn failed(guard: &Guard, head: &Head<'_>, error: &HubError) -> Response {
    tracing::error!(%error, "failed to get a token for a code");
    match error.is_passing() {
        true => unreachable(guard, head),
        false => refuse(guard, head, StatusCode::INTERNAL_SERVER_ERROR, "The hub gave no token. Try logging in again."),
    }
}

/// The cookie is gone here, and the hub ends the session everywhere (S71).
fn logout(guard: &Guard, head: &Head<'_>) -> Response {
    let environment = &guard.0.environment;
    for credential in credentials::find(head, environment, &guard.0.keys, Ok(()), now()).list {
        guard.0.answers.forget(credential.key);
    }
    with_cookies(redirect(&environment.hub_page("logout")), &[oauth::clear_token(environment, now())])
}

fn unreachable(guard: &Guard, head: &Head<'_>) -> Response {
    let message = "The hub does not say who you are: it may be restarting.";
    let mut response = refuse(guard, head, StatusCode::SERVICE_UNAVAILABLE, message);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER));
    response
}

#[derive(Template)]
#[template(path = "refusal.html")]
struct Refusal<'a> {
    status: u16,
    reason: &'a str,
    message: &'a str,
    server: &'a str,
    home: String,
    retry: bool,
}

/// A page for people, JSON for programs.
fn refuse(guard: &Guard, head: &Head<'_>, status: StatusCode, message: &str) -> Response {
    let environment = &guard.0.environment;
    let is_page = head.is_navigation() && head.accept.is_some_and(|types| types.contains("text/html"));
    if !is_page {
        return (status, Json(json!({"status": status.as_u16(), "message": message}))).into_response();
    }
    let page = Refusal {
        status: status.as_u16(),
        reason: status.canonical_reason().unwrap_or_default(),
        message,
        server: &environment.prefix,
        home: environment.hub_page("home"),
        retry: status == StatusCode::SERVICE_UNAVAILABLE && head.path != environment.callback_path(),
    };
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(_) => status.into_response(),
    }
}

/// A path of this server's.
fn own(guard: &Guard, target: &str) -> String {
    oauth::own_path(target, &guard.0.environment)
}

fn redirect(location: &str) -> Response {
    match HeaderValue::from_str(location) {
        Ok(location) => (StatusCode::FOUND, [(header::LOCATION, location)]).into_response(),
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}

fn with_cookies(mut response: Response, cookies: &[SetCookie]) -> Response {
    for cookie in cookies {
        add_cookie(&mut response, cookie);
    }
    response
}

fn add_cookie(response: &mut Response, cookie: &cookie::SetCookie) {
    if let Ok(value) = HeaderValue::from_str(&cookie.to_string()) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

fn now() -> i64 {
    Timestamp::now().as_second()
}
