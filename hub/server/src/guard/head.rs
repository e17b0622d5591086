//! What the guard looks at in the head of a request, whichever way it came: on the data path, or to its own pages. Pure.

use axum::http::{HeaderMap, header, request::Parts};
use std::borrow::Cow;

use hub_proxy::Arrival;

/// The head of a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Head<'a> {
    pub method: &'a str,
    pub path: &'a str,
    /// Without its question mark.
    pub query: &'a str,
    pub host: Option<&'a str>,
    pub is_websocket: bool,
    /// The browser's own connection is encrypted, as far as is known.
    pub is_secure: bool,
    pub authorization: Option<&'a str>,
    /// All of them, as in one header.
    pub cookies: Cow<'a, str>,
    pub origin: Option<&'a str>,
    pub accept: Option<&'a str>,
    pub has_referer: bool,
    /// `Sec-Fetch-Site`: whose page made the request. Only browsers set it, pages can't.
    pub fetch_site: Option<&'a str>,
    /// `Sec-Fetch-Mode`: `navigate` if its answer becomes a page.
    pub fetch_mode: Option<&'a str>,
    /// `Sec-Fetch-Dest`: what the answer is for.
    pub fetch_dest: Option<&'a str>,
}

impl<'a> Head<'a> {
    pub(super) fn of_arrival(arrival: &Arrival<'a>) -> Self {
        Self {
            method: arrival.method,
            path: arrival.path,
            query: arrival.query,
            host: arrival.host,
            is_websocket: arrival.is_websocket,
            is_secure: arrival.is_secure || is_forwarded_secure(arrival.value("x-forwarded-proto")),
            authorization: arrival.value("authorization"),
            cookies: arrival.cookies(),
            origin: arrival.value("origin"),
            accept: arrival.value("accept"),
            has_referer: arrival.value("referer").is_some(),
            fetch_site: arrival.value("sec-fetch-site"),
            fetch_mode: arrival.value("sec-fetch-mode"),
            fetch_dest: arrival.value("sec-fetch-dest"),
        }
    }

    pub(super) fn of_parts(parts: &'a Parts) -> Self {
        let value = |name: &str| text(&parts.headers, name).next();
        let cookies: Vec<_> = text(&parts.headers, header::COOKIE.as_str()).collect();
        Self {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or_default(),
            host: value("host"),
            is_websocket: value("upgrade").is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket")),
            is_secure: is_forwarded_secure(value("x-forwarded-proto")),
            authorization: value("authorization"),
            cookies: cookies.join("; ").into(),
            origin: value("origin"),
            accept: value("accept"),
            has_referer: value("referer").is_some(),
            fetch_site: value("sec-fetch-site"),
            fetch_mode: value("sec-fetch-mode"),
            fetch_dest: value("sec-fetch-dest"),
        }
    }

    /// It changes nothing (RFC 9110 section 9.2.1), as programs are meant to be made.
    pub(super) fn is_read_only(&self) -> bool {
        !self.is_websocket && matches!(self.method, "GET" | "HEAD" | "OPTIONS")
    }

    /// Its answer may become a page, as far as is known: browsers say so on connections that they trust only.
    pub(super) fn is_navigation(&self) -> bool {
        let mode = self.fetch_mode.is_none_or(|mode| mode == "navigate");
        !self.is_websocket && matches!(self.method, "GET" | "HEAD") && mode
    }

    /// Path and query.
    pub(super) fn target(&self) -> String {
        with_query(self.path, self.query)
    }
}

/// A path with a query that may be empty.
pub(super) fn with_query(path: &str, query: &str) -> String {
    match query {
        "" => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok())
}

/// What the first proxy saw of the connection.
fn is_forwarded_secure(list: Option<&str>) -> bool {
    list.and_then(|list| list.split(',').next()).is_some_and(|first| matches!(first.trim(), "https" | "wss"))
}
