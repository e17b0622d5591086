//! With subdomains the proxy sends the hub whatever no server's route takes, on any host below its own. The hub's pages
//! are its own host's all the same: on a user's they would be of the origin of that user's server, whose pages could then
//! read them and what is typed into them (attack row 25).

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::headers::is_api;
use crate::{
    app::App,
    error::{Failure, found},
    session::path_and_query,
};

/// Leads visitors of pages from other hosts to the hub's. Programs with tokens may use the API on any host, and files
/// are the same for everyone.
pub async fn lead_to(State(app): State<App>, request: Request, next: Next) -> Response {
    if !is_page(app.urls.hub(), request.uri().path()) || !is_elsewhere(&app, request.headers()) {
        return next.run(request).await;
    }
    let origin = app.urls.public().map(|public| public.origin().ascii_serialization()).unwrap_or_default();
    match *request.method() {
        Method::GET => found(&format!("{origin}{}", path_and_query(request.uri()))),
        _ => {
            let message = format!("The hub is at {origin}{}", app.urls.hub());
            Failure::new(StatusCode::MISDIRECTED_REQUEST, message).into_response()
        }
    }
}

fn is_elsewhere(app: &App, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    host.is_some_and(|host| app.urls.is_below_domain(host))
}

/// Whether a path is one of the hub's pages, known or not.
pub(super) fn is_page(hub: &str, path: &str) -> bool {
    let Some(rest) = path.strip_prefix(hub) else { return path == hub.trim_end_matches('/') };
    !(is_api(hub, path) || rest.starts_with("static/") || matches!(rest, "logo" | "health"))
}
