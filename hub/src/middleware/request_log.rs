//! One line for each request, without its secrets, and its time among the metrics.

use axum::{
    extract::{MatchedPath, Request, State},
    http::Method,
    middleware::Next,
    response::Response,
};
use std::time::Instant;

use crate::{app::App, loggable::loggable, redaction::redacted, session::path_and_query};

pub async fn log(State(app): State<App>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let path = redacted(&path_and_query(request.uri()));
    let response = next.run(request).await;
    let (status, took) = (response.status(), started.elapsed());
    let handler = route.as_ref().map_or("none", MatchedPath::as_str);
    app.request_durations.record(&[known(&method), handler, status.as_str()], took);
    // A method is any word that the client likes.
    let method = loggable(method.as_str());
    let duration_ms = took.as_secs_f64() * 1000.0;
    if status.as_u16() < 400 && is_dull(&path) {
        tracing::debug!(status = status.as_u16(), duration_ms, "{method} {path}");
    } else {
        tracing::info!(status = status.as_u16(), duration_ms, "{method} {path}");
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
