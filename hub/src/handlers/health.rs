//! `/hub/health`: the event loop turns.

use axum::http::StatusCode;

pub async fn get() -> StatusCode {
    StatusCode::OK
}
