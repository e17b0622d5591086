//! The headers that every answer has but static files: the version that servers compare with their own, and what a
//! browser may do with the page.

use axum::{
    extract::{Request, State},
    http::{HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};
use hub_auth::JUPYTERHUB_VERSION;

use crate::{app::App, redaction::holds_secret, session::path_and_query};

const VERSION: HeaderName = HeaderName::from_static("x-jupyterhub-version");

/// Scripts and styles come from files only; nothing is embedded elsewhere. Forms may lead anywhere, since the answer to
/// a consent form is a redirect to the service.
const PAGE: &str =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'";
const API: &str = "default-src 'none'";

pub async fn add(State(app): State<App>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let is_secret = holds_secret(&path_and_query(request.uri()));
    let hub = app.urls.hub();
    let mut response = next.run(request).await;
    let rest = path.strip_prefix(hub).unwrap_or_default();
    if rest.starts_with("static/") || rest == "logo" {
        return response;
    }
    let policy = format!(
        "frame-ancestors 'none'; report-uri {hub}security/csp-report; {}",
        if is_api(hub, &path) { API } else { PAGE }
    );
    let headers = response.headers_mut();
    headers.insert(VERSION, HeaderValue::from_static(JUPYTERHUB_VERSION));
    headers
        .insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("accept, content-type, authorization"));
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Neither a server that the answer leads to nor anybody else learns a token or a code from the address.
    let referrer = if is_secret { "no-referrer" } else { "same-origin" };
    headers.entry(header::REFERRER_POLICY).or_insert(HeaderValue::from_static(referrer));
    response
}

/// Whether a path is answered in JSON. The consent page is below the API's path, and a page.
pub fn is_api(hub: &str, path: &str) -> bool {
    match path.strip_prefix(hub) {
        Some(rest) => rest == "api" || (rest.starts_with("api/") && rest != "api/oauth2/authorize"),
        None => false,
    }
}
