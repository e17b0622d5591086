//! The rules against answers that the real packages gave: JupyterHub 6.1.1's tokens and scopes, Tornado's signed values and
//! cookies, Python's quoting. `vectors.json` holds their answers.

use hub_auth::{
    cookie::{self, Keys, SetCookie},
    names,
    scopes::{Definitions, Entity, Groups, Owner, Resource, Scopes, Target},
    token,
};
use serde::Deserialize;
use std::collections::BTreeMap;

const NOW: i64 = 1_795_440_749;

#[derive(Deserialize)]
struct Vectors {
    tokens: Vec<Token>,
    signed: Vec<Signed>,
    signed_with_version_12: Signed,
    set_cookie: Vec<Cookie>,
    quoted: Vec<Quoted>,
    members: BTreeMap<String, Vec<String>>,
    expanded: Vec<Expanded>,
    intersected: Vec<Intersected>,
    granted: Vec<Granted>,
}

#[derive(Deserialize)]
struct Token {
    token: String,
    stored: String,
}

#[derive(Deserialize)]
struct Signed {
    name: String,
    value: String,
    secret: Option<String>,
    signed: String,
}

/// `text` has every attribute, `plain` only a path.
#[derive(Deserialize)]
struct Cookie {
    value: String,
    text: String,
    plain: String,
}

#[derive(Deserialize)]
struct Quoted {
    text: String,
    default: String,
    segment: String,
}

#[derive(Deserialize)]
struct Expanded {
    raw: Vec<String>,
    user: Option<String>,
    service: Option<String>,
    server: Option<String>,
    expanded: Vec<String>,
}

#[derive(Deserialize)]
struct Intersected {
    a: Vec<String>,
    b: Vec<String>,
    both: Vec<String>,
}

#[derive(Deserialize)]
struct Granted {
    have: Vec<String>,
    want: String,
    granted: bool,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("vectors.json")).expect("vectors.json has the fields above")
}

#[test]
fn tokens_that_jupyterhub_hashed_are_recognised() {
    for Token { token, stored } in vectors().tokens {
        assert!(token::verify_token(&stored, &token), "{token}");
        assert!(!token::verify_token(&stored, &format!("{token}x")), "{token}");
        let mut fields = stored.split(':').skip(1);
        let rounds = fields.next().unwrap().parse().unwrap();
        let salt = hex::decode(fields.next().unwrap()).unwrap().try_into().unwrap();
        assert_eq!(token::hash_token(&token, rounds, salt), stored);
    }
}

#[test]
fn values_are_signed_as_tornado_signs_them() {
    let vectors = vectors();
    let keys = Keys::new(0, &[b'k'; 32]);
    for Signed { name, value, signed, .. } in vectors.signed {
        assert_eq!(cookie::sign(&keys, &name, value.as_bytes(), NOW), signed);
        assert_eq!(cookie::verify(&keys, &name, &signed, 1, NOW).unwrap(), value.as_bytes());
    }
    let Signed { name, value, secret, signed } = vectors.signed_with_version_12;
    let keys = Keys::new(12, secret.unwrap().as_bytes()).accept(0, b"older");
    assert_eq!(cookie::sign(&keys, &name, value.as_bytes(), NOW), signed);
}

#[test]
fn cookies_are_written_as_tornado_writes_them() {
    for Cookie { value, text, plain } in vectors().set_cookie {
        let cookie =
            SetCookie::new("n", &value, "/hub/").expires(NOW + 30 * cookie::DAY).http_only().max_age(600).secure(true);
        assert_eq!(cookie.to_string(), text);
        let cookie = SetCookie::new("n", &value, "/");
        assert_eq!(cookie.to_string(), plain);
        let sent = plain.strip_suffix("; Path=/; SameSite=Lax").unwrap();
        assert_eq!(cookie::value(&format!("a=b; {sent}"), "n"), Some(value));
    }
}

#[test]
fn names_are_quoted_as_python_quotes_them() {
    for Quoted { text, default, segment } in vectors().quoted {
        assert_eq!(names::quote(&text, "/"), default);
        assert_eq!(names::escape(&text), segment);
        assert_eq!(names::unescape(&segment), Some(text));
    }
}

#[test]
fn scopes_expand_as_in_jupyterhub() {
    for Expanded { raw, user, service, server, expanded } in vectors().expanded {
        let owner = user.as_deref().map(Owner::User).or(service.as_deref().map(Owner::Service));
        let target = server.as_deref().map(|server| Target::Server { user: user.as_deref().unwrap(), server });
        assert_eq!(Definitions::default().expand(&raw, owner, target).list(), expanded, "{raw:?}");
    }
}

fn groups(vectors: &Vectors) -> Groups {
    let pairs =
        vectors.members.iter().flat_map(|(group, users)| users.iter().map(|user| (user.clone(), group.clone())));
    Groups::new(pairs)
}

#[test]
fn scopes_intersect_as_in_jupyterhub() {
    let vectors = vectors();
    let groups = groups(&vectors);
    for Intersected { a, b, both } in &vectors.intersected {
        let (left, right) = (Scopes::parse(a), Scopes::parse(b));
        assert_eq!(left.intersect(&right, &groups).list(), *both, "{a:?} and {b:?}");
        assert_eq!(right.intersect(&left, &groups).list(), *both, "{b:?} and {a:?}");
    }
}

#[test]
fn scopes_are_granted_as_in_jupyterhub() {
    let vectors = vectors();
    let groups = groups(&vectors);
    for Granted { have, want, granted } in &vectors.granted {
        let (scope, filter) =
            want.split_once('!').map_or((want.as_str(), None), |(scope, filter)| (scope, Some(filter)));
        let resource = filter.map(|filter| match filter.split_once('=').unwrap() {
            ("user", name) => Resource::user(name),
            ("group", name) => Resource::group(name),
            ("server", name) => Resource::server(name),
            (_, name) => Resource { entity: Entity::Service, name },
        });
        assert_eq!(Scopes::parse(have).allow(scope, resource, &groups), *granted, "{want} with {have:?}");
    }
}
