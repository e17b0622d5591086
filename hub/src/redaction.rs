//! Addresses as logs may hold them: bounded, and without what could open something. Pure.

use std::borrow::Cow;
use url::form_urlencoded;

/// Arguments whose values open nothing. Of all others only the name is shown: people and programs put secrets into
/// addresses under many names.
const HARMLESS: [&str; 13] = [
    "client_id",
    "code_challenge_method",
    "include_stopped_servers",
    "inactive_since",
    "limit",
    "name_filter",
    "new",
    "offset",
    "redirects",
    "response_type",
    "revoke",
    "scope",
    "sort",
];
/// Arguments that hold an address, which may hold such arguments.
const ADDRESS: [&str; 3] = ["next", "redirect_uri", "url"];
/// How far addresses within addresses are looked into. A login puts one into another, a second one three.
const DEEPEST: usize = 3;
/// The longest address that is shown, in bytes.
const LONGEST: usize = 700;
const REDACTED: &str = "redacted";

/// An address, or the path and query of one.
pub fn redacted(address: &str) -> String {
    let shown = redact(address, DEEPEST);
    match shown.len() {
        length if length > LONGEST => {
            let start: String = shown.chars().take(LONGEST).collect();
            format!("{start}...({length} bytes)")
        }
        _ => shown,
    }
}

/// Whether the address has an argument that may open something: nobody should be told of it by a `Referer`.
pub fn holds_secret(address: &str) -> bool {
    arguments_hold_secret(address, DEEPEST)
}

fn arguments_hold_secret(address: &str, depth: usize) -> bool {
    let Some((_, query)) = address.split_once('?') else { return false };
    form_urlencoded::parse(query.as_bytes()).any(|(name, value)| match kind(&name) {
        Kind::Harmless => false,
        Kind::Address if depth > 0 => arguments_hold_secret(&value, depth - 1),
        Kind::Address | Kind::Unknown => true,
    })
}

enum Kind {
    Harmless,
    Address,
    Unknown,
}

fn kind(name: &str) -> Kind {
    if HARMLESS.contains(&name) {
        Kind::Harmless
    } else if ADDRESS.contains(&name) {
        Kind::Address
    } else {
        Kind::Unknown
    }
}

fn redact(address: &str, depth: usize) -> String {
    let address = address.split('#').next().unwrap_or_default();
    let (place, query) = address.split_once('?').map_or((address, None), |(place, query)| (place, Some(query)));
    let place = redact_place(place);
    match query {
        Some(query) => format!("{place}?{}", redact_query(query, depth)),
        None => place.into_owned(),
    }
}

/// An old part of the API has tokens and cookies in its paths; an address may hold a password before its host.
fn redact_place(place: &str) -> Cow<'_, str> {
    const SECRET_BELOW: &str = "/api/authorizations/";
    if let Some(at) = place.find(SECRET_BELOW) {
        return format!("{}{REDACTED}", &place[..at + SECRET_BELOW.len()]).into();
    }
    let Some((scheme, rest)) = place.split_once("//") else { return place.into() };
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rfind('@') {
        Some(at) if scheme.ends_with(':') => format!("{scheme}//{REDACTED}{}", &rest[at..]).into(),
        _ => place.into(),
    }
}

fn redact_query(query: &str, depth: usize) -> String {
    let mut shown = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let value = match kind(&name) {
            Kind::Harmless => value,
            Kind::Address if depth > 0 => redact(&value, depth - 1).into(),
            Kind::Address | Kind::Unknown => REDACTED.into(),
        };
        shown.append_pair(&name, &value);
    }
    shown.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_argument_is_shown() {
        for (address, shown) in [
            ("/hub/login?token=abc&next=%2Fx", "/hub/login?token=redacted&next=%2Fx"),
            ("/hub/login", "/hub/login"),
            (
                "/hub/api/oauth2/authorize?client_id=c&state=s3cret&code=c0de&_xsrf=x",
                "/hub/api/oauth2/authorize?client_id=c&state=redacted&code=redacted&_xsrf=redacted",
            ),
            ("/hub/api/oauth2/token?client_secret=s", "/hub/api/oauth2/token?client_secret=redacted"),
            ("/hub/api/authorizations/token/s3cret", "/hub/api/authorizations/redacted"),
            ("https://user:s3cret@host:1/x#s3cret", "https://redacted@host:1/x"),
            ("http://host/@x", "http://host/@x"),
        ] {
            assert_eq!(redacted(address), shown);
        }
        let nested = "/hub/login?next=%2Fhub%2Flogin%3Ftoken%3Ds3cret%26next%3D%252Fu%253Fcode%253Ds3cret";
        assert!(!redacted(nested).contains("s3cret"), "{}", redacted(nested));
    }

    #[test]
    fn which_addresses_hold_a_secret() {
        for (address, expected) in [
            ("/hub/home", false),
            ("/hub/api/users?limit=3&sort=name", false),
            ("/hub/login?next=%2Fhub%2Fhome", false),
            ("/hub/login?token=x", true),
            ("/hub/accept-share?code=x", true),
            ("/hub/login?next=%2Fhub%2Fuser%2Fa%2F%3Ftoken%3Dx", true),
        ] {
            assert_eq!(holds_secret(address), expected, "{address}");
        }
    }

    /// An address within an address within an address ..: neither long lines nor deep calls come of it.
    #[test]
    fn what_is_shown_is_bounded() {
        let deep = format!("/hub/login{}", "?next=".repeat(10_000));
        assert!(redacted(&deep).len() < 1000 && holds_secret(&deep));
        let long = format!("/hub/{}", "x".repeat(60_000));
        assert!(redacted(&long).len() < 1000 && redacted(&long).ends_with("...(60005 bytes)"));
    }
}
