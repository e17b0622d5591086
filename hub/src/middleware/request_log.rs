//! One line for each request, without its secrets.

use axum::{extract::Request, http::Uri, middleware::Next, response::Response};
use std::{borrow::Cow, time::Instant};
use url::form_urlencoded;

/// Arguments whose values open something.
const SECRET: [&str; 4] = ["token", "code", "state", "_xsrf"];
/// Arguments that hold an address, which may hold such arguments.
const ADDRESS: [&str; 2] = ["next", "url"];

pub async fn log(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let path = redacted(request.uri());
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let duration_ms = started.elapsed().as_secs_f64() * 1000.0;
    if status < 400 && is_dull(&path) {
        tracing::debug!(status, duration_ms, "{method} {path}");
    } else {
        tracing::info!(status, duration_ms, "{method} {path}");
    }
    response
}

/// Asked often, and nobody's doing.
fn is_dull(path: &str) -> bool {
    path.ends_with("/health") || path.contains("/hub/static/") || path.ends_with("/hub/logo")
}

fn redacted(uri: &Uri) -> String {
    let path = redact_path(uri.path());
    match uri.query() {
        Some(query) => format!("{path}?{}", redact_query(query)),
        None => path.into_owned(),
    }
}

/// An old part of the API has tokens and cookies in its paths.
fn redact_path(path: &str) -> Cow<'_, str> {
    const SECRET_BELOW: &str = "/api/authorizations/";
    match path.find(SECRET_BELOW) {
        Some(at) => format!("{}redacted", &path[..at + SECRET_BELOW.len()]).into(),
        None => path.into(),
    }
}

fn redact_query(query: &str) -> String {
    let mut shown = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let value = if SECRET.contains(&name.as_ref()) {
            Cow::Borrowed("redacted")
        } else if ADDRESS.contains(&name.as_ref()) {
            redact_address(&value).into()
        } else {
            value
        };
        shown.append_pair(&name, &value);
    }
    shown.finish()
}

fn redact_address(address: &str) -> String {
    match address.split_once('?') {
        Some((path, query)) => format!("{path}?{}", redact_query(query)),
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_argument_reaches_the_log() {
        let shown = |uri: &str| redacted(&uri.parse().unwrap());
        assert_eq!(shown("/hub/login?token=abc&next=%2Fx"), "/hub/login?token=redacted&next=%2Fx");
        assert_eq!(shown("/hub/login"), "/hub/login");
        let authorize = shown("/hub/api/oauth2/authorize?client_id=c&state=s3cret&code=c0de&_xsrf=x");
        assert_eq!(authorize, "/hub/api/oauth2/authorize?client_id=c&state=redacted&code=redacted&_xsrf=redacted");
        assert_eq!(shown("/hub/api/authorizations/token/s3cret"), "/hub/api/authorizations/redacted");
        let nested = shown("/hub/login?next=%2Fhub%2Flogin%3Ftoken%3Ds3cret%26next%3D%252Fu%253Fcode%253Ds3cret");
        assert!(!nested.contains("s3cret"), "{nested}");
    }
}
