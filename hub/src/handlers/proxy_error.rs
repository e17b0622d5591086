//! `/hub/error/<code>?url=`: the pages that the proxy shows when a server does not answer.

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};

use crate::{
    app::App,
    error::reason,
    form::Query,
    pages::{ErrorPage, html},
    session::Visitor,
};

pub async fn get(State(app): State<App>, visitor: Visitor, Path(code): Path<String>, Query(query): Query) -> Response {
    let status = code
        .parse()
        .ok()
        .and_then(|code| StatusCode::from_u16(code).ok())
        .filter(|status| status.is_client_error() || status.is_server_error())
        .unwrap_or(StatusCode::NOT_FOUND);
    let message = match status {
        StatusCode::SERVICE_UNAVAILABLE => {
            Some("Your server appears to be down. Try restarting it from the home page.".to_owned())
        }
        StatusCode::NOT_FOUND => query.get("url").map(|url| format!("There is nothing at {url}")),
        _ => None,
    };
    html(status, &ErrorPage { frame: visitor.frame(&app), status: status.as_u16(), reason: reason(status), message })
}
