//! `?token=` at any page of the hub (S6): whoever comes with one is logged in, and led to the same address without it.

use axum::{
    extract::{FromRequestParts, Request, State},
    http::Method,
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::own_host::is_page;
use crate::{app::App, form::Fields, handlers::login, session::Visitor};

pub async fn log_in(State(app): State<App>, request: Request, next: Next) -> Response {
    let is_visit = *request.method() == Method::GET && is_page(app.urls.hub(), request.uri().path());
    let query = Fields::of_query(request.uri());
    let Some(token) = query.get("token").filter(|_| is_visit) else { return next.run(request).await };
    let (mut parts, body) = request.into_parts();
    let answer = match Visitor::from_request_parts(&mut parts, &app).await {
        Ok(visitor) => login::by_address(&app, &visitor, token).await,
        Err(failure) => Err(failure),
    };
    match answer {
        Ok(Some(response)) => response,
        Ok(None) => next.run(Request::from_parts(parts, body)).await,
        Err(failure) => failure.into_response(),
    }
}
