//! Methods that mean the same everywhere: HEAD is for health checks only, since a GET may start a server; OPTIONS asks
//! nothing of the API.

use axum::{
    extract::{Request, State},
    http::{Method, StatusCode},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::headers::is_api;
use crate::{app::App, error::Failure};

pub async fn refuse_head(State(app): State<App>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let rest = path.strip_prefix(app.urls.hub()).unwrap_or(path);
    let harmless = matches!(rest, "health" | "api/health" | "logo") || rest.starts_with("static/");
    match *request.method() {
        Method::HEAD if !harmless => Failure::bare(StatusCode::METHOD_NOT_ALLOWED).into_response(),
        Method::OPTIONS if is_api(app.urls.hub(), path) => StatusCode::OK.into_response(),
        _ => next.run(request).await,
    }
}
