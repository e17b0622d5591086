//! `/hub/security/csp-report`: a browser says that a page broke its content policy.

use axum::{body::Bytes, http::StatusCode};

use crate::session::LoggedIn;

/// The longest part of a report that is logged.
const LOGGED: usize = 1000;

pub async fn post(person: LoggedIn, report: Bytes) -> StatusCode {
    let report: String = String::from_utf8_lossy(&report).chars().take(LOGGED).flat_map(char::escape_default).collect();
    tracing::warn!(user.name = person.user.name, report, "a page broke its content security policy");
    StatusCode::OK
}
