//! Which hosts and origins may be spoken with. Pure.
//!
//! A page of another site can make a browser send requests, cookies and all, and with DNS rebinding even read the
//! answers. `Host` tells the latter, `Origin` the former.

use regex::Regex;
use std::net::IpAddr;

/// Whose pages may use the server, besides its own, and under which names it may be asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hosts {
    /// An origin such as `https://example.org`, or `*`; empty for none (`ServerApp.allow_origin`).
    pub(crate) allow_origin: String,
    /// Origins that this matches from their start (`ServerApp.allow_origin_pat`).
    pub(crate) allow_origin_pat: Option<Regex>,
    /// Whether every `Host` is served (`ServerApp.allow_remote_access`).
    pub(crate) allow_remote_access: bool,
    /// Names of this machine that are served anyhow (`ServerApp.local_hostnames`).
    pub(crate) local_hostnames: Vec<String>,
}

impl Hosts {
    /// Whether a request for this `Host` is answered: against DNS rebinding, a server on a loopback address answers to
    /// local names only.
    pub(crate) fn serves(&self, host: Option<&str>) -> bool {
        self.allow_remote_access || host.is_some_and(|host| self.is_local(host))
    }

    fn is_local(&self, host: &str) -> bool {
        let (name, _) = split_port(host);
        match name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => self.local_hostnames.iter().any(|local| local.eq_ignore_ascii_case(name)),
        }
    }

    /// Whether a page of this origin may speak to the server at `host`. Scripts send no origin, and browsers' oldest
    /// don't always: then another check must do.
    pub(crate) fn admits(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        let (Some(origin), Some(host)) = (origin, host) else { return true };
        self.allow_origin == "*" || is_of(origin, host) || self.is_allowed(origin)
    }

    /// Whether the settings name this origin.
    pub(crate) fn is_allowed(&self, origin: &str) -> bool {
        if !self.allow_origin.is_empty() {
            return self.allow_origin == "*" || self.allow_origin.eq_ignore_ascii_case(origin);
        }
        let begins = |pattern: &Regex| pattern.find(origin).is_some_and(|found| found.start() == 0);
        self.allow_origin_pat.as_ref().is_some_and(begins)
    }
}

/// Whether an origin is that of `host`, whatever its scheme: TLS may end before the server.
fn is_of(origin: &str, host: &str) -> bool {
    origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
}

/// A `Host` as name and port. The brackets of an IPv6 address stay with the name.
pub(crate) fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (name, Some(port)),
        _ => (host, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local() -> Hosts {
        Hosts { local_hostnames: vec!["localhost".to_owned()], ..Hosts::default() }
    }

    #[test]
    fn without_remote_access_only_local_names_are_served() {
        for host in ["localhost:8888", "LOCALHOST", "127.0.0.1:8888", "127.1.2.3", "[::1]:8888", "[::1]"] {
            assert!(local().serves(Some(host)), "{host}");
        }
        for host in ["evil.example:8888", "localhost.evil.example", "10.0.0.1", "[::2]:1", "", "localhost:x"] {
            assert!(!local().serves(Some(host)), "{host}");
            assert!(Hosts { allow_remote_access: true, ..local() }.serves(Some(host)), "{host}");
        }
        assert!(!local().serves(None));
    }

    #[test]
    fn pages_of_other_origins_are_admitted_only_if_named() {
        let admits = |hosts: &Hosts, origin: &str| hosts.admits(Some(origin), Some("localhost:8888"));
        for (origin, own) in [
            ("http://localhost:8888", true),
            ("https://LOCALHOST:8888", true),
            ("http://localhost:8889", false),
            ("http://localhost", false),
            ("http://evil.example", false),
            ("http://localhost:8888.evil.example", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(admits(&local(), origin), own, "{origin}");
        }
        let named = Hosts { allow_origin: "https://a.example".to_owned(), ..local() };
        assert!(admits(&named, "https://A.example") && !admits(&named, "http://a.example"));
        let any = Hosts { allow_origin: "*".to_owned(), ..local() };
        assert!(admits(&any, "https://a.example") && admits(&any, "null"));
        let pattern = Regex::new(r"https://[a-z]+\.example$").unwrap();
        let matching = Hosts { allow_origin_pat: Some(pattern), ..local() };
        assert!(admits(&matching, "https://a.example"));
        assert!(!admits(&matching, "http://x.evil?https://a.example") && !admits(&matching, "https://a.example.evil"));
        assert!(local().admits(None, Some("localhost")) && local().admits(Some("http://x"), None));
    }
}
