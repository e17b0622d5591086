//! The tokens that a request carries, and the request without them: the program behind the guard sees none. Pure.

use hub_auth::{
    JUPYTERHUB_VERSION,
    cookie::{self, DAY, Keys},
    token,
};
use hub_proxy::Passage;
use sha2::{Digest, Sha256};

use super::{
    environment::Environment,
    origin::{self, Distrust},
};
use crate::{
    head::Head,
    passage::{self, Source},
};

/// Every answer of a server of a hub has it.
pub(super) const VERSION: &str = "x-jupyterhub-version";
/// How long a signed cookie is believed, in seconds; the token in it may end sooner.
const COOKIE_MAX_AGE: i64 = 31 * DAY;
/// How many tokens of one request are looked at. A browser has one cookie of ours; others may plant more.
const MAX_TOKENS: usize = 4;

/// What an answer of the hub is remembered by: the token and the session id (S67). It tells neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

impl Key {
    pub(super) fn new(token: &str, session_ids: &str) -> Self {
        let mut digest = Sha256::new_with_prefix(token.len().to_le_bytes());
        digest.update(token);
        digest.update(session_ids);
        Self(digest.finalize().into())
    }
}

/// A token that a request carries. No `Debug`: it opens the server.
pub(super) struct Credential {
    pub source: Source,
    pub token: String,
    pub key: Key,
}

/// Everything that speaks for a request.
#[derive(Default)]
pub(super) struct Credentials {
    /// In the order in which they count.
    pub list: Vec<Credential>,
    /// There is a cookie of ours that doesn't count.
    pub distrust: Option<Distrust>,
}

/// Finds them. `cookies_count` is what [`super::origin::check`] says; `now` in seconds since 1970.
pub(super) fn find(
    head: &Head<'_>,
    environment: &Environment,
    keys: &Keys,
    cookies_count: Result<(), Distrust>,
    now: i64,
) -> Credentials {
    let session_ids = session_ids(&head.cookies);
    let mut found = Credentials::default();
    let mut add = |source, token: String| {
        if token::LENGTH.contains(&token.len()) && found.list.len() < MAX_TOKENS {
            let key = Key::new(&token, &session_ids);
            found.list.push(Credential { source, token, key });
        }
    };
    if let Some(token) = in_query(head, environment) {
        add(Source::Query, token);
    }
    if let Some(token) = head.header_token() {
        add(Source::Header, token.to_owned());
    }
    let name = environment.token_cookie();
    for signed in cookie::values(&head.cookies, &name) {
        match cookies_count {
            Ok(()) => {
                let token = cookie::verify(keys, &name, &signed, COOKIE_MAX_AGE, now);
                if let Some(token) = token.and_then(|token| String::from_utf8(token).ok()) {
                    add(Source::Cookie, token);
                }
            }
            Err(distrust) => found.distrust = Some(distrust),
        }
    }
    found
}

/// The session ids that came along (S70): one, or what somebody planted besides.
pub(super) fn session_ids(cookies: &str) -> String {
    let mut ids = cookie::values(cookies, cookie::SESSION_ID);
    let first = ids.next().unwrap_or_default();
    ids.fold(first, |all, next| format!("{all} {next}"))
}

/// The token of `?token=`, where the hub allows it. WebSockets may always: scripts can't set their headers.
fn in_query(head: &Head<'_>, environment: &Environment) -> Option<String> {
    let counts = environment.allow_token_in_url || head.is_websocket;
    counts.then(|| head.query_token()).flatten()
}

/// The request as the program gets it: without the cookies of hub and servers, and without the token that let it in.
pub(super) fn passage(head: &Head<'_>, environment: &Environment, source: Source) -> Passage {
    let mut passage = passage::passage(head, source, is_our_cookie, environment.token_cookie());
    if source != Source::Cookie && !origin::is_ours(head, environment.public_origin.as_deref()) {
        passage.fields.push(("origin", None));
    }
    passage.answer.fields.push((VERSION, JUPYTERHUB_VERSION.to_owned()));
    passage
}

/// All that hub and servers set begin so.
fn is_our_cookie(name: &str) -> bool {
    name.strip_prefix(cookie::HOST_PREFIX).unwrap_or(name).starts_with("jupyterhub-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::environment::tests::alice;

    const NOW: i64 = 1_795_440_749;
    const TOKEN: &str = "5929b0eb05144f90ba28a0ab4816a5b3";
    const OTHER: &str = "0123456789abcdef0123456789abcdef";

    fn keys() -> Keys {
        Keys::new(0, &[b'k'; 32])
    }

    fn found(head: &Head<'_>, changes: &[(&str, &str)]) -> Vec<(Source, String)> {
        let environment = alice(changes).unwrap().unwrap();
        let found = find(head, &environment, &keys(), Ok(()), NOW);
        found.list.into_iter().map(|credential| (credential.source, credential.token)).collect()
    }

    fn signed(token: &str, at: i64) -> String {
        format!("jupyterhub-user-alice=\"{}\"", cookie::sign(&keys(), "jupyterhub-user-alice", token.as_bytes(), at))
    }

    #[test]
    fn a_token_of_the_header_is_found_in_any_case() {
        for (header, token) in [
            (format!("token {TOKEN}"), Some(TOKEN)),
            (format!("Bearer   {TOKEN} "), Some(TOKEN)),
            (format!("BEARER\t{TOKEN}"), Some(TOKEN)),
            (format!("Basic {TOKEN}"), None),
            (format!("token{TOKEN}"), None),
            (format!("tokens {TOKEN}"), None),
            ("token short".to_owned(), None),
            (format!("token {}", "x".repeat(65)), None),
            ("token ".to_owned(), None),
            (String::new(), None),
        ] {
            let head = Head { authorization: Some(&header), ..Head::default() };
            let expected: Vec<_> = token.map(|token| (Source::Header, token.to_owned())).into_iter().collect();
            assert_eq!(found(&head, &[]), expected, "{header}");
        }
    }

    #[test]
    fn a_token_of_the_address_counts_where_it_is_allowed_and_for_websockets() {
        let query = format!("a=1&token={TOKEN}&b=2");
        let page = Head { query: &query, ..Head::default() };
        let websocket = Head { is_websocket: true, ..page.clone() };
        let expected = vec![(Source::Query, TOKEN.to_owned())];
        assert_eq!(found(&page, &[]), []);
        assert_eq!(found(&page, &[("JUPYTERHUB_ALLOW_TOKEN_IN_URL", "1")]), expected);
        assert_eq!(found(&websocket, &[]), expected);
    }

    #[test]
    fn a_cookie_counts_if_we_signed_it_and_it_is_not_too_old_s62() {
        let good = signed(TOKEN, NOW - 30 * DAY);
        let others = [
            signed(TOKEN, NOW - 32 * DAY),
            good.replace("TkyOW", "TkyOX"),
            good.replace("jupyterhub-user-alice=", "jupyterhub-user-bob="),
            format!("jupyterhub-user-alice={TOKEN}"),
            "jupyterhub-user-alice=".to_owned(),
        ];
        let head = |cookies: String| Head { cookies: cookies.into(), ..Head::default() };
        for other in &others {
            assert_eq!(found(&head(other.clone()), &[]), [], "{other}");
        }
        // Also among planted ones.
        let all = format!("{}; {good}", others.join("; "));
        assert_eq!(found(&head(all), &[]), [(Source::Cookie, TOKEN.to_owned())]);
        let many = [TOKEN; 10].map(|token| signed(token, NOW)).join("; ");
        assert_eq!(found(&head(many), &[]).len(), 4);
    }

    #[test]
    fn address_and_header_come_before_the_cookie() {
        let (query, header) = (format!("token={TOKEN}"), format!("token {OTHER}"));
        let head = Head {
            query: &query,
            authorization: Some(&header),
            cookies: signed(TOKEN, NOW).into(),
            is_websocket: true,
            ..Head::default()
        };
        let sources = found(&head, &[]).into_iter().map(|(source, _)| source).collect::<Vec<_>>();
        assert_eq!(sources, [Source::Query, Source::Header, Source::Cookie]);
    }

    #[test]
    fn a_cookie_that_is_not_trusted_is_told_from_none() {
        let environment = alice(&[]).unwrap().unwrap();
        let refused = |cookies: &str| {
            let head = Head { cookies: cookies.to_owned().into(), ..Head::default() };
            let found = find(&head, &environment, &keys(), Err(Distrust::OtherOrigin), NOW);
            assert!(found.list.is_empty());
            found.distrust
        };
        assert_eq!(refused(&signed(TOKEN, NOW)), Some(Distrust::OtherOrigin));
        assert_eq!(refused("other=1"), None);
    }

    #[test]
    fn the_key_is_token_and_session_id_s67() {
        let key = |token: &str, cookies: &str| Key::new(token, &session_ids(cookies));
        let one = key(TOKEN, "jupyterhub-session-id=abc");
        assert_eq!(one, key(TOKEN, "x=1; jupyterhub-session-id=\"abc\""));
        for (token, cookies) in [
            (TOKEN, ""),
            (TOKEN, "jupyterhub-session-id=abd"),
            (TOKEN, "jupyterhub-session-id=abc; jupyterhub-session-id=abd"),
            (OTHER, "jupyterhub-session-id=abc"),
            (&format!("{TOKEN}a"), "jupyterhub-session-id=bc"),
        ] {
            assert_ne!(one, key(token, cookies), "{token} {cookies}");
        }
    }

    #[test]
    fn the_program_sees_no_token_and_no_cookie_of_hub_or_server() {
        let environment = alice(&[]).unwrap().unwrap();
        let query = format!("a=1&token={TOKEN}&b=%26&%74oken=again");
        let header = format!("token {TOKEN}");
        let head = |cookies: &'static str| Head {
            query: &query,
            authorization: Some(&header),
            cookies: cookies.into(),
            ..Head::default()
        };
        let ours = "a=b; jupyterhub-user-alice=\"2|1:0\";c=d; jupyterhub-session-id=x; __Host-jupyterhub-hub-login=y; \
                    jupyterhub-user-alice-oauth-state-abc=z; _xsrf=1";
        let passed = passage(&head(ours), &environment, Source::Cookie);
        assert_eq!(passed.fields, [("cookie", Some("a=b; c=d; _xsrf=1".to_owned()))]);
        assert_eq!((passed.query, passed.answer.guarded_cookie.as_deref()), (None, Some("jupyterhub-user-alice")));

        let passed = passage(&head("jupyterhub-session-id=x"), &environment, Source::Header);
        assert_eq!(
            passed.fields[..2],
            [("authorization", None), ("cookie", Some("_xsrf=checked-by-the-front".to_owned()))]
        );

        let passed = passage(&head("a=b"), &environment, Source::Query);
        assert_eq!(passed.query.as_deref(), Some("a=1&b=%26"));

        let foreign = Head { origin: Some("http://evil.test"), host: Some("hub.test"), ..head("") };
        assert!(passage(&foreign, &environment, Source::Header).fields.contains(&("origin", None)));
    }
}
