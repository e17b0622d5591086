//! One line for each request, without its secrets, and its time among the metrics. The answer says the request's id.

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, Method},
    middleware::Next,
    response::Response,
};
use std::time::Instant;

use crate::{
    app::App,
    client_address::client_address,
    loggable::loggable,
    origin::{Origin, REQUEST_ID, request_id},
    redaction::redacted,
    session::path_and_query,
};

pub async fn log(State(app): State<App>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let path = redacted(&path_and_query(request.uri()));
    let headers = request.headers();
    let id = request_id(headers).map_or_else(|| app.random_id(), str::to_owned);
    let origin = Origin { request_id: id.clone(), address: client_address(headers, &app.trusted_proxies) };
    let mut response = origin.of(next.run(request)).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let (status, took) = (response.status(), started.elapsed());
    let handler = route.as_ref().map_or("none", MatchedPath::as_str);
    app.metrics().requests.record(&[known(&method), handler, status.as_str()], took);
    // A method is any word that the client likes.
    let method = loggable(method.as_str());
    let duration_ms = took.as_secs_f64() * 1000.0;
    if status.as_u16() < 400 && is_dull(&path) {
        tracing::debug!(status = status.as_u16(), duration_ms, request_id = id, "{method} {path}");
    } else {
        tracing::info!(status = status.as_u16(), duration_ms, request_id = id, "{method} {path}");
    }
    response
}

/// The method among those that exist, so that nobody makes up more labels.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// Asked often, and nobody's doing.
fn is_dull(path: &str) -> bool {
    ["/health", "/metrics", "/hub/logo"].iter().any(|end| path.ends_with(end)) || path.contains("/hub/static/")
}
