//! `/hub/security/csp-report`: a browser says that a page broke its content policy.

use axum::{body::Bytes, extract::State, http::StatusCode};
use serde::Deserialize;

use crate::{app::App, loggable::loggable, redaction::redacted, session::LoggedIn};

/// What of a report is logged. Its addresses may hold tokens and codes, as the page's own does.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Report {
    document_uri: String,
    blocked_uri: String,
    violated_directive: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Body {
    csp_report: Report,
}

pub async fn post(State(app): State<App>, person: LoggedIn, body: Bytes) -> StatusCode {
    app.metrics().csp_reports.count(&[]);
    let report = serde_json::from_slice::<Body>(&body).map(|body| body.csp_report).unwrap_or_default();
    tracing::warn!(
        user.name = person.user.name,
        page = address(&report.document_uri),
        blocked = address(&report.blocked_uri),
        directive = loggable(&report.violated_directive),
        "a page broke its content security policy"
    );
    StatusCode::OK
}

/// A report is whatever somebody sent.
fn address(text: &str) -> String {
    redacted(text).chars().flat_map(char::escape_default).take(256).collect()
}
