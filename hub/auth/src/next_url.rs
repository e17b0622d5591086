//! Where to go after a login: `next=` comes from whoever made the link, so only paths of this hub's own origin pass.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::fmt::Write;

/// Longer ones are dropped: they fit in no `Location` header that all browsers and proxies take.
const MAX_LENGTH: usize = 8192;

/// What may not stand as it is in a `Location`. `%` stays: the path is encoded already.
const UNSAFE: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');

/// The host whose addresses are ours.
#[derive(Clone, Copy, Debug)]
pub struct OwnHost<'a> {
    /// As the browser's `Host` has it: `hub.example.org`, or with a port.
    pub host: &'a str,
    /// So are those of the hosts below it, which the users' servers have.
    pub with_subdomains: bool,
}

/// The same address as a path of this origin, ready for a `Location` header; `None` if it leads anywhere else.
///
/// A whole address of a host of ours is cut to its path, since some clients send one. Whose server it belongs to is seen
/// by the path, and whether the visitor may go there by the page that the path leads to.
pub fn safe_next(next: &str, own_host: Option<OwnHost<'_>>) -> Option<String> {
    // Browsers remove tabs and line ends from addresses before they read them: `/<tab>/evil` would be `//evil`.
    if next.len() > MAX_LENGTH || next.chars().any(char::is_control) {
        return None;
    }
    // Browsers read `\` as `/`, and strip blanks at the edges.
    let next = encode_backslashes(next.trim());
    let path = match own_host {
        Some(own) => without_origin(&next, own).unwrap_or(&next),
        None => &next,
    };
    // `//host` is another host.
    if !path.starts_with('/') || path.starts_with("//") {
        return None;
    }
    Some(utf8_percent_encode(path, UNSAFE).to_string())
}

fn encode_backslashes(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => encoded.push_str("%5C"),
            other => encoded.push(other),
        }
    }
    encoded
}

/// The path of an `http` or `https` address of a host of ours.
fn without_origin<'a>(next: &'a str, own: OwnHost<'_>) -> Option<&'a str> {
    let rest = next.strip_prefix("https://").or_else(|| next.strip_prefix("http://"))?;
    let (host, path) = rest.split_at(rest.find('/')?);
    own.includes(host).then_some(path)
}

impl OwnHost<'_> {
    fn includes(self, host: &str) -> bool {
        let (host, own) = (host.to_ascii_lowercase(), self.host.to_ascii_lowercase());
        let is_name = |label: &str| label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
        let below = host.strip_suffix(&own).and_then(|rest| rest.strip_suffix('.'));
        host == own || self.with_subdomains && below.is_some_and(|labels| !labels.is_empty() && is_name(labels))
    }
}

/// `path` with `name=value` added to its query, before its fragment. Used for `next=` and `redirects=`.
pub fn with_query(path: &str, name: &str, value: &str) -> String {
    let (path, fragment) = path.split_once('#').map_or((path, None), |(path, fragment)| (path, Some(fragment)));
    let separator = if path.contains('?') { '&' } else { '?' };
    let mut url = format!("{path}{separator}{name}={}", crate::names::quote(value, ""));
    if let Some(fragment) = fragment {
        let _ = write!(url, "#{fragment}");
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Option<OwnHost<'_>> = Some(OwnHost { host: "hub.example.org:8000", with_subdomains: false });
    const HOSTS: Option<OwnHost<'_>> = Some(OwnHost { host: "hub.example.org:8000", with_subdomains: true });

    #[test]
    fn paths_of_this_origin_pass() {
        let cases = [
            ("/hub/home", "/hub/home"),
            ("/", "/"),
            ("/user/alice/lab?x=1&y=%2F#top", "/user/alice/lab?x=1&y=%2F#top"),
            ("/user/a b/é", "/user/a%20b/%C3%A9"),
            ("http://hub.example.org:8000/hub/spawn", "/hub/spawn"),
            ("https://HUB.example.org:8000/hub/spawn", "/hub/spawn"),
            (" /hub/home ", "/hub/home"),
            ("/\\evil.org", "/%5Cevil.org"),
            ("/x//y", "/x//y"),
            ("/%09/evil.org", "/%09/evil.org"),
            ("/hub/login?next=//evil.org", "/hub/login?next=//evil.org"),
        ];
        for (next, expected) in cases {
            assert_eq!(safe_next(next, HOST).as_deref(), Some(expected), "{next:?}");
        }
    }

    #[test]
    fn everything_else_is_dropped() {
        let long = format!("/{}", "a".repeat(9000));
        let cases = [
            "",
            "x",
            "hub/home",
            "//evil.org",
            "///evil.org",
            "////evil.org",
            "//evil.org\\@hub.example.org:8000",
            "\\\\evil.org",
            "\\/evil.org",
            "http://evil.org/",
            "https:evil.org",
            "https:/evil.org",
            "http:///evil.org",
            "http://hub.example.org:8000@evil.org/",
            "http://hub.example.org:8000.evil.org/",
            "http://hub.example.org:80001/",
            "http://hub.example.org/",
            "http://hub.example.org:8000//evil.org",
            "http://hub.example.org:8000",
            "http://user@hub.example.org:8000/",
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            "data:text/html,x",
            "/\t/evil.org",
            "/\n/evil.org",
            "/x\r\nSet-Cookie: a=b",
            "\t//evil.org",
            " //evil.org",
            "\u{0}/x",
            "http:\\\\evil.org",
            "?x=//evil.org",
            "@evil.org",
            ".evil.org",
            "/\u{85}/evil.org",
            "//hub.example.org:8000@evil.org",
            "ftp://hub.example.org:8000/",
            &long,
        ];
        for next in cases {
            assert_eq!(safe_next(next, HOST), None, "{next:?}");
            assert_eq!(safe_next(next, HOSTS), None, "{next:?}");
        }
    }

    #[test]
    fn an_address_of_a_users_host_is_ours_only_with_subdomains() {
        for next in
            ["http://alice.hub.example.org:8000/user/alice/lab", "https://A.B.hub.example.org:8000/user/alice/lab"]
        {
            assert_eq!(safe_next(next, HOST), None, "{next}");
            assert_eq!(safe_next(next, HOSTS).as_deref(), Some("/user/alice/lab"), "{next}");
        }
        for next in [
            "http://evilhub.example.org:8000/",
            "http://alice.hub.example.org/",
            "http://alice.hub.example.org:8000.evil.org/",
            "http://evil.org?.hub.example.org:8000/",
            "http://evil.org#.hub.example.org:8000/",
            "http://evil.org\\.hub.example.org:8000/",
            "http://evil.org:80@alice.hub.example.org:8000/",
            "http://.hub.example.org:8000/",
            "http://alice.hub.example.org:8000//evil.org",
            "//alice.hub.example.org:8000/",
        ] {
            assert_eq!(safe_next(next, HOSTS), None, "{next}");
        }
    }

    /// The property behind the table: as the WHATWG reads it, what passes stays on the origin.
    #[test]
    fn what_passes_stays_on_the_origin_for_all_short_texts() {
        let alphabet = ["/", "\\", "@", ":", "?", "#", ".", "%2f", "e.org", "\t", " ", "http"];
        let base = url::Url::parse("http://hub.example.org:8000/hub/login").unwrap();
        let mut texts = vec![String::new()];
        for _ in 0..5 {
            texts = texts.iter().flat_map(|text| alphabet.iter().map(move |more| format!("{text}{more}"))).collect();
            for text in &texts {
                if let Some(next) = safe_next(text, HOSTS) {
                    assert_eq!(base.join(&next).unwrap().origin(), base.origin(), "{text:?} gave {next:?}");
                }
            }
        }
    }

    #[test]
    fn a_query_is_added_where_it_belongs() {
        assert_eq!(with_query("/hub/login", "next", "/a?b=c&d"), "/hub/login?next=%2Fa%3Fb%3Dc%26d");
        assert_eq!(with_query("/x?y=1#z", "redirects", "1"), "/x?y=1&redirects=1#z");
    }
}
