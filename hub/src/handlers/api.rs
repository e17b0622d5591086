//! The REST API below `/hub/api`. Errors are `{"status": .., "message": ..}`.

pub mod activity;
pub mod authorizations;
pub mod disabled;
pub mod groups;
pub mod info;
pub mod models;
pub mod oauth_token;
pub mod openapi;
pub mod passwords;
pub mod progress;
pub mod proxy;
pub mod servers;
pub mod services;
pub mod sessions;
pub mod share_codes;
pub mod shared;
pub mod shares;
pub mod shutdown;
pub mod tokens;
pub mod user;
pub mod users;

mod body;
mod pagination;

pub use body::JsonBody;
pub use pagination::Pagination;

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

/// What a request is told whose body is JSON but not an object.
const NOT_AN_OBJECT: &str = "Invalid JSON data: it must be an object";

/// 204 without a body.
fn no_content() -> Response {
    (StatusCode::NO_CONTENT, [(header::CONTENT_TYPE, "text/plain")]).into_response()
}
