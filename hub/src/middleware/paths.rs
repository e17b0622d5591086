//! Paths that no name can be read from.

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use percent_encoding::percent_decode_str;

use crate::error::Failure;

/// Refuses a path whose escapes are not UTF-8, in the form that every failure has.
pub async fn refuse_undecodable(request: Request, next: Next) -> Response {
    match percent_decode_str(request.uri().path()).decode_utf8() {
        Ok(_) => next.run(request).await,
        Err(_) => Failure::bad_request("Invalid path: its escapes must be UTF-8, such as %C3%A9").into_response(),
    }
}
