//! From HTTP to HTTPS: where a request without TLS is sent, and the one thing that is served to it. Pure.
//!
//! An authority that issues certificates asks for its challenges over HTTP (RFC 8555 section 8.3): these are routed, to
//! a route of their own only, and without anything that is somebody's.

use crate::gate::{AnswerChanges, Passage};
use crate::http1::field;
use crate::path::RequestTarget;

/// What a challenge's path begins with.
const CHALLENGE: &str = "/.well-known/acme-challenge/";
/// A route that takes this many segments of such a path is made for challenges.
pub(crate) const CHALLENGE_DEPTH: usize = 2;

/// Whether a request may be routed although it came without TLS.
pub(crate) fn may_be_challenge(method: &str, path: &str) -> bool {
    matches!(method, "GET" | "HEAD") && path.len() > CHALLENGE.len() && path.starts_with(CHALLENGE)
}

/// No cookie and no token travels without TLS.
pub(crate) fn passage() -> Passage {
    Passage {
        query: None,
        fields: vec![("cookie", None), ("authorization", None)],
        answer: AnswerChanges { drops_cookies: true, ..AnswerChanges::default() },
    }
}

/// A method that may not be changed keeps its body, too.
pub(crate) fn status(method: &str) -> u16 {
    if matches!(method, "GET" | "HEAD") { 301 } else { 308 }
}

/// The same address at a port of HTTPS.
pub(crate) fn location(host: &str, port: u16, as_it_came: &str, target: &RequestTarget<'_>) -> String {
    let name = String::from_utf8_lossy(field::split_port(host.as_bytes()).0).into_owned();
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    if as_it_came.starts_with('/') {
        format!("https://{name}{port}{as_it_came}")
    } else {
        format!("https://{name}{port}{}{}", target.path, target.query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path;

    #[test]
    fn the_address_stays_the_same_but_for_scheme_and_port() {
        for (host, port, target, expected) in [
            ("hub.example.org", 443, "/hub/login?next=%2Fa", "https://hub.example.org/hub/login?next=%2Fa"),
            ("hub.example.org:80", 8443, "/", "https://hub.example.org:8443/"),
            ("[::1]:8080", 443, "/a", "https://[::1]/a"),
            ("a", 443, "//evil.example.org/", "https://a//evil.example.org/"),
            ("a", 443, "http://a/x?y", "https://a/x?y"),
        ] {
            assert_eq!(location(host, port, target, &path::parse_target(target).unwrap()), expected);
        }
    }

    #[test]
    fn only_what_asks_for_a_challenge_may_be_routed() {
        assert!(may_be_challenge("GET", "/.well-known/acme-challenge/token"));
        for (method, path) in [
            ("POST", "/.well-known/acme-challenge/token"),
            ("GET", "/.well-known/acme-challenge/"),
            ("GET", "/.well-known/acme-challenge"),
            ("GET", "/.well-known/acme-challengers/token"),
            ("GET", "/hub/.well-known/acme-challenge/token"),
        ] {
            assert!(!may_be_challenge(method, path), "{method} {path}");
        }
    }
}
