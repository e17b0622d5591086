//! What is looked at in the head of a request, whichever way it came: on the data path, or to pages of our own. Pure.

use axum::http::{HeaderMap, header, request::Parts};
use hub_proxy::Arrival;
use std::{borrow::Cow, net::IpAddr};
use url::form_urlencoded;

/// The head of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    /// Without its question mark.
    pub(crate) query: &'a str,
    pub(crate) host: Option<&'a str>,
    /// Who connected; `None` on a Unix socket.
    pub(crate) peer: Option<IpAddr>,
    pub(crate) is_websocket: bool,
    /// The browser's own connection is encrypted, as far as is known.
    pub(crate) is_secure: bool,
    pub(crate) authorization: Option<&'a str>,
    /// All of them, as in one header.
    pub(crate) cookies: Cow<'a, str>,
    pub(crate) origin: Option<&'a str>,
    pub(crate) accept: Option<&'a str>,
    pub(crate) has_referer: bool,
    /// `Sec-Fetch-Site`: whose page made the request. Only browsers set it, pages can't.
    pub(crate) fetch_site: Option<&'a str>,
    /// `Sec-Fetch-Mode`: `navigate` if its answer becomes a page.
    pub(crate) fetch_mode: Option<&'a str>,
    /// `Sec-Fetch-Dest`: what the answer is for.
    pub(crate) fetch_dest: Option<&'a str>,
}

impl<'a> Head<'a> {
    pub(crate) fn of_arrival(arrival: &Arrival<'a>) -> Self {
        Self {
            method: arrival.method,
            path: arrival.path,
            query: arrival.query,
            host: arrival.host,
            peer: arrival.peer,
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

    pub(crate) fn of_parts(parts: &'a Parts) -> Self {
        let value = |name: &str| text(&parts.headers, name).next();
        // A cookie that is no text, from whoever set it, must not take the others with it.
        let cookies = parts.headers.get_all(header::COOKIE).into_iter();
        let cookies: Vec<_> = cookies.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        Self {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or_default(),
            host: value("host"),
            // The data path appends what it saw itself.
            peer: last_of(&parts.headers, "x-forwarded-for").and_then(|peer| peer.parse().ok()),
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
    pub(crate) fn is_read_only(&self) -> bool {
        !self.is_websocket && matches!(self.method, "GET" | "HEAD" | "OPTIONS")
    }

    /// Its answer may become a page, as far as is known: browsers say so on connections that they trust only.
    pub(crate) fn is_navigation(&self) -> bool {
        let mode = self.fetch_mode.is_none_or(|mode| mode == "navigate");
        !self.is_websocket && matches!(self.method, "GET" | "HEAD") && mode
    }

    /// Its answer surely becomes a page: the browser says so, or asks for HTML.
    pub(crate) fn is_visit(&self) -> bool {
        let says_so = match self.fetch_mode {
            Some(mode) => mode == "navigate",
            None => self.accept.is_some_and(|types| types.contains("text/html")),
        };
        self.method == "GET" && !self.is_websocket && says_so
    }

    /// The token of `?token=` (S6): the last, if there are several, as Tornado has it.
    pub(crate) fn query_token(&self) -> Option<String> {
        // Most queries have none, and need not be decoded.
        if !self.query.contains("token") {
            return None;
        }
        let values = form_urlencoded::parse(self.query.as_bytes()).filter(|(name, _)| name == "token");
        values.last().map(|(_, token)| token.trim().to_owned()).filter(|token| !token.is_empty())
    }

    /// The token of `Authorization: token X` or `bearer X`, in any case (S5).
    pub(crate) fn header_token(&self) -> Option<&'a str> {
        let (scheme, token) = self.authorization?.trim_start().split_once(|c: char| c.is_ascii_whitespace())?;
        let is_ours = ["token", "bearer"].iter().any(|name| scheme.eq_ignore_ascii_case(name));
        is_ours.then(|| token.trim()).filter(|token| !token.is_empty())
    }

    /// Path and query.
    pub(crate) fn target(&self) -> String {
        with_query(self.path, self.query)
    }
}

/// A path with a query that may be empty.
pub(crate) fn with_query(path: &str, query: &str) -> String {
    match query {
        "" => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok())
}

/// A query without its tokens.
pub(crate) fn without_token(query: &str) -> String {
    let is_token = |pair: &&str| form_urlencoded::parse(pair.as_bytes()).any(|(name, _)| name == "token");
    query.split('&').filter(|pair| !is_token(pair)).collect::<Vec<_>>().join("&")
}

/// The last member of a list, whatever stands before it.
fn last_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let list = headers.get_all(name).into_iter().next_back()?.as_bytes();
    std::str::from_utf8(list.rsplit(|byte| *byte == b',').next()?).ok().map(str::trim)
}

/// What the first proxy saw of the connection.
fn is_forwarded_secure(list: Option<&str>) -> bool {
    list.and_then(|list| list.split(',').next()).is_some_and(|first| matches!(first.trim(), "https" | "wss"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_the_last_of_a_query_and_leaves_it() {
        for (query, token, rest) in [
            ("token=abc", Some("abc"), ""),
            ("a=1&token=abc&b=%2F", Some("abc"), "a=1&b=%2F"),
            ("token=&a", None, "a"),
            ("token=x&token=y", Some("y"), ""),
            ("%74oken=token", Some("token"), ""),
            ("xtoken=1", None, "xtoken=1"),
            ("", None, ""),
        ] {
            assert_eq!(without_token(query), rest, "{query}");
            assert_eq!(Head { query, ..Head::default() }.query_token().as_deref(), token, "{query}");
        }
    }

    #[test]
    fn a_visit_is_what_a_browser_calls_so_or_asks_html_for() {
        for (method, mode, accept, expected) in [
            ("GET", Some("navigate"), None, true),
            ("GET", Some("cors"), Some("text/html"), false),
            ("GET", None, Some("text/html,*/*"), true),
            ("GET", None, Some("*/*"), false),
            ("GET", None, None, false),
            ("HEAD", Some("navigate"), None, false),
            ("POST", Some("navigate"), Some("text/html"), false),
        ] {
            let head = Head { method, fetch_mode: mode, accept, ..Head::default() };
            assert_eq!(head.is_visit(), expected, "{method} {mode:?} {accept:?}");
        }
    }
}
