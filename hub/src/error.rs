//! How a request ends when it can't be answered. One type for pages and API; the router's group gives it its form.

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::{
    app::App,
    database::Fault,
    middleware::headers::is_api,
    pages::{ErrorPage, Frame, html},
};

/// The end of a request: a status with words for the client, or the way to the login page.
#[derive(Debug)]
pub enum Failure {
    Status {
        status: StatusCode,
        message: Option<String>,
        retry_after: Option<u64>,
    },
    Redirect(String),
    /// Nothing of it reaches the client.
    Internal(anyhow::Error),
}

pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self::Status { status, message: Some(message.into()), retry_after: None }
    }

    /// A status without words.
    pub fn bare(status: StatusCode) -> Self {
        Self::Status { status, message: None, retry_after: None }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// The answer for what does not exist and for what the asker may not see.
    pub fn no_access() -> Self {
        Self::new(StatusCode::NOT_FOUND, "No access to resources or resources not found")
    }

    pub fn not_found() -> Self {
        Self::bare(StatusCode::NOT_FOUND)
    }
}

/// What the database can't do now may work in a moment (fault rows 34, 35 and 37); what it can't hold is the caller's.
impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        match Fault::behind(&error) {
            Some(Fault::Unavailable) => {
                tracing::error!(error.message = format!("{error:#}"), "the database is not available");
                let message = Some("The database is not available; try again in a moment".to_owned());
                Self::Status { status: StatusCode::SERVICE_UNAVAILABLE, message, retry_after: Some(RETRY_AFTER_S) }
            }
            Some(Fault::BadValue) => Self::bad_request("A text is too long, or holds a character that can't be stored"),
            None => Self::Internal(error),
        }
    }
}

/// When to ask again for what the database could not do.
const RETRY_AFTER_S: u64 = 5;

/// What the form-giving layer needs to know of a failure.
#[derive(Clone)]
struct Told {
    message: Option<String>,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, message, retry_after) = match self {
            Self::Redirect(to) => return redirect(StatusCode::FOUND, &to),
            Self::Status { status, message, retry_after } => (status, message, retry_after),
            Self::Internal(error) => {
                tracing::error!(error.message = format!("{error:#}"), "failed to answer a request");
                (StatusCode::INTERNAL_SERVER_ERROR, None, None)
            }
        };
        let mut response = status.into_response();
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(Told { message });
        response
    }
}

/// A redirect. An address that no header can hold is answered with 400.
pub fn redirect(status: StatusCode, to: &str) -> Response {
    match HeaderValue::from_str(to) {
        Ok(location) => (status, [(header::LOCATION, location)]).into_response(),
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}

/// 302.
pub fn found(to: &str) -> Response {
    redirect(StatusCode::FOUND, to)
}

/// The layer that gives failures their form: a page for browsers, `{"status": 404, "message": ".."}` for programs.
pub async fn shape_failures(State(app): State<App>, request: Request, next: Next) -> Response {
    let api = is_api(app.urls.hub(), request.uri().path());
    let response = next.run(request).await;
    let Some(Told { message }) = response.extensions().get::<Told>().cloned() else { return response };
    let status = response.status();
    let mut shaped = if api {
        (status, Json(json!({"status": status.as_u16(), "message": message}))).into_response()
    } else {
        page(&app, status, message)
    };
    if let Some(retry_after) = response.headers().get(header::RETRY_AFTER) {
        shaped.headers_mut().insert(header::RETRY_AFTER, retry_after.clone());
    }
    shaped
}

fn page(app: &App, status: StatusCode, message: Option<String>) -> Response {
    html(status, &ErrorPage { frame: Frame::new(app), status: status.as_u16(), reason: reason(status), message })
}

/// The reason phrase, without which a status is only a number.
pub fn reason(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Unknown error")
}
