//! The REST API by which the hub keeps the routing table, with configurable-http-proxy's answers.
//!
//! Path and method are judged first, then a POST's JSON, then the token: in that order the original does it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::log;
use crate::metrics::Metrics;
use crate::path;
use crate::shared::Shared;
use crate::table::RouteTable;
use crate::token::TokenGuard;

/// The largest body of a POST.
const MAX_BODY: usize = 1024 * 1024;

#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) shared: Arc<Shared>,
    pub(crate) token: Arc<TokenGuard>,
}

/// The API's own server.
pub(crate) fn router(api: Api) -> axum::Router {
    axum::Router::new().fallback(handle).with_state(api)
}

/// The metrics server: one page.
pub(crate) fn metrics_router(shared: Arc<Shared>) -> axum::Router {
    let page = |State(shared): State<Arc<Shared>>| async move {
        ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], shared.metrics.render(&shared.gauges()))
    };
    axum::Router::new().route("/metrics", axum::routing::get(page)).with_state(shared)
}

async fn handle(State(api): State<Api>, request: Request) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = answer(&api, request).await;
    let status = response.status().as_u16();
    api.shared.metrics.requests_api.count(status);
    let path = log::path(&path);
    if status >= 400 {
        tracing::warn!("{status} {method} {path}");
    } else if method == axum::http::Method::GET {
        // The hub compares the table every few seconds: only changes are news.
        tracing::debug!("{status} {method} {path}");
    } else {
        tracing::info!("{status} {method} {path}");
    }
    response
}

async fn answer(api: &Api, request: Request) -> Response {
    let Some(route_path) = request.uri().path().strip_prefix("/api/routes").filter(|rest| is_below(rest)) else {
        return (StatusCode::NOT_FOUND, "Not Found").into_response();
    };
    let method = request.method().clone();
    if ![Method::GET, Method::POST, Method::DELETE].contains(&method) {
        return (StatusCode::METHOD_NOT_ALLOWED, "Method not supported").into_response();
    }
    let Ok(route_path) = path::decode(route_path).map(std::borrow::Cow::into_owned) else {
        return bad_request("Bad path: a percent escape is malformed");
    };
    let (parts, body) = request.into_parts();
    let data = if method == Method::POST { Some(read_json(body).await) } else { None };
    let data = match data.transpose() {
        Ok(data) => data,
        Err(message) => return bad_request(&message),
    };
    if !api.token.admits(parts.headers.get(header::AUTHORIZATION).map(|value| value.as_bytes())) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let (routes, metrics) = (&api.shared.routes, &api.shared.metrics);
    match (method, data) {
        (Method::POST, Some(data)) => add(routes, metrics, &route_path, data),
        (Method::DELETE, _) => remove(routes, metrics, &route_path),
        _ if matches!(route_path.as_str(), "" | "/") => list(routes, metrics, parts.uri.query().unwrap_or_default()),
        _ => get(routes, &route_path),
    }
}

fn is_below(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('/')
}

fn bad_request(message: &str) -> Response {
    (StatusCode::BAD_REQUEST, message.to_owned()).into_response()
}

/// The body as an object. Any other JSON counts as an empty one, as it has no target either.
async fn read_json(body: Body) -> Result<Map<String, Value>, String> {
    let bytes = to_bytes(body, MAX_BODY).await.map_err(|_| "Body is incomplete or larger than 1 MiB".to_owned())?;
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(data)) => Ok(data),
        Ok(_) => Ok(Map::new()),
        Err(error) => Err(format!("Body not valid JSON: {error}")),
    }
}

fn add(routes: &RouteTable, metrics: &Metrics, path: &str, data: Map<String, Value>) -> Response {
    if let Err(error) = routes.add(path, data) {
        return bad_request(&error.to_string());
    }
    metrics.api_route_add.fetch_add(1, Ordering::Relaxed);
    StatusCode::CREATED.into_response()
}

fn remove(routes: &RouteTable, metrics: &Metrics, path: &str) -> Response {
    let removed = routes.remove(path);
    metrics.api_route_delete.fetch_add(1, Ordering::Relaxed);
    if removed { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }.into_response()
}

fn get(routes: &RouteTable, path: &str) -> Response {
    match routes.get(path) {
        Some(route) => axum::Json(route).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn list(routes: &RouteTable, metrics: &Metrics, query: &str) -> Response {
    let inactive_since = match inactive_since(query).map(|text| parse_time(&text).ok_or(text)).transpose() {
        Ok(time) => time,
        Err(text) => return bad_request(&format!("Invalid datestamp '{text}' must be ISO8601.")),
    };
    metrics.api_route_get.fetch_add(1, Ordering::Relaxed);
    axum::Json(routes.all(inactive_since)).into_response()
}

/// The value of `inactiveSince`, or of its older spelling.
fn inactive_since(query: &str) -> Option<String> {
    let value = |wanted: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let value = pairs.find(|(name, _)| *name == wanted)?.1.replace('+', " ");
        Some(percent_decode_str(&value).decode_utf8_lossy().into_owned()).filter(|value| !value.is_empty())
    };
    value("inactiveSince").or_else(|| value("inactive_since"))
}

/// An ISO 8601 time or date; without an offset it is UTC.
fn parse_time(text: &str) -> Option<Timestamp> {
    let utc =
        |civil: jiff::civil::DateTime| civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    text.parse::<Timestamp>().ok().or_else(|| utc(text.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_the_forms_that_clients_send() {
        for (text, seconds) in [
            ("2020-01-01T00:00:00Z", Some(1_577_836_800)),
            ("2020-01-01T00:00:00.000Z", Some(1_577_836_800)),
            ("2020-01-01T01:00:00+01:00", Some(1_577_836_800)),
            ("2020-01-01T00:00:00", Some(1_577_836_800)),
            ("2020-01-01", Some(1_577_836_800)),
            ("endoftheuniverse", None),
            ("", None),
        ] {
            assert_eq!(parse_time(text).map(Timestamp::as_second), seconds, "{text:?}");
        }
    }

    #[test]
    fn both_spellings_of_the_query_are_known() {
        for (query, value) in [
            ("inactive_since=a%3Ab", Some("a:b")),
            ("x=1&inactiveSince=b&inactive_since=a", Some("b")),
            ("inactiveSince=&inactive_since=a", Some("a")),
            ("", None),
        ] {
            assert_eq!(inactive_since(query).as_deref(), value, "{query}");
        }
    }
}
