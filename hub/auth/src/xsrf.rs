//! Protection against requests that another site makes in a user's name.
//!
//! The `_xsrf` cookie holds a signed id, and a form or script must send the cookie's text back, which another site
//! cannot read. The id says whose cookie it is: `{session id}:{cookie id}` of a login, or, before a login, of a
//! random cookie of this browser ([`ANONYMOUS`]). It doesn't bind to the client's address, which changes behind
//! proxies and is shared behind others.

use crate::cookie::{self, DAY, Keys};
use base64::{
    Engine,
    engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD},
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The cookie, and the form field or query parameter that must equal it. The headers are [`HEADERS`].
pub const NAME: &str = "_xsrf";
/// Headers that may carry the token instead of the field.
pub const HEADERS: [&str; 2] = ["x-xsrftoken", "x-csrftoken"];
/// The random cookie that an id binds to before a login: 16 bytes in hex, `HttpOnly`, on the hub's path.
pub const ANONYMOUS: &str = "jupyterhub-hub-anonymous";
/// How long the two cookies above live before a login, in seconds.
pub const ANONYMOUS_MAX_AGE: i64 = 3600;

/// Why a request was refused. Both are answered with 403 and this text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XsrfError {
    #[error("'_xsrf' argument missing from {0}")]
    Missing(String),
    #[error("XSRF cookie does not match {0} argument")]
    Mismatch(String),
}

/// Whom a token is for.
#[derive(Clone, Copy, Debug)]
pub enum Holder<'a> {
    /// A login: the value of the session id cookie, if there is one, and the user's `cookie_id`.
    User { session_id: Option<&'a str>, cookie_id: &'a str },
    /// Somebody who isn't logged in: the value of the random cookie and the `User-Agent` header.
    Anonymous { random: &'a str, user_agent: &'a str },
}

impl Holder<'_> {
    fn id(self) -> String {
        match self {
            Self::User { session_id, cookie_id } => format!("{}:{cookie_id}", session_id.unwrap_or("None")),
            Self::Anonymous { random, user_agent } => {
                let hash = Sha256::new()
                    .chain_update(random)
                    .chain_update(b"\xff")
                    .chain_update(user_agent)
                    .chain_update(b"\xff")
                    .finalize();
                format!("None:{}", URL_SAFE.encode(hash))
            }
        }
    }
}

/// The token of this request's pages and forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The text for forms, and for the cookie.
    pub text: String,
    /// Whether the browser lacks it: then a page that is navigated to sets the cookie.
    pub is_new: bool,
}

/// The token for this holder: the holder's own among the request's `_xsrf` cookies, if it is there, else a new one.
/// `cookies` is the whole `Cookie` header, `now` in seconds since 1970.
///
/// Several may arrive: single-user servers set some of their own on longer paths, and with subdomains any server's page
/// can set one for the hub's host. Whoever does gains nothing: what isn't the holder's doesn't count.
pub fn token(keys: &Keys, cookies: &str, holder: Holder<'_>, now: i64) -> Token {
    let id = holder.id();
    let is_holders = |text: &String| signed_id(keys, text, now).is_some_and(|found| found == id.as_bytes());
    match cookie::values(cookies, NAME).find(is_holders) {
        Some(text) => Token { text, is_new: false },
        None => Token { text: URL_SAFE_NO_PAD.encode(cookie::sign(keys, NAME, id.as_bytes(), now)), is_new: true },
    }
}

/// The id that this hub signed.
fn signed_id(keys: &Keys, text: &str, now: i64) -> Option<Vec<u8>> {
    let signed = String::from_utf8(URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()?).ok()?;
    cookie::verify(keys, NAME, &signed, 31 * DAY, now)
}

/// What of a request decides whether its token must be checked.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub method: &'a str,
    /// `Sec-Fetch-Mode`, if sent.
    pub fetch_mode: Option<&'a str>,
    /// `Sec-Fetch-Site`, if sent.
    pub fetch_site: Option<&'a str>,
    /// An `Origin` was sent that is not the hub's own.
    pub foreign_origin: bool,
}

/// Whether a request with cookies must carry the token. Requests with an `Authorization` header never must: a browser
/// doesn't add one by itself.
pub fn needs_check(request: Request<'_>) -> bool {
    let read_only = ["GET", "HEAD", "OPTIONS"].iter().any(|method| request.method.eq_ignore_ascii_case(method));
    match request.fetch_mode {
        _ if request.foreign_origin => true,
        Some("websocket") => !read_only,
        None | Some("navigate") => !read_only,
        Some("no-cors") => !(read_only && request.fetch_site == Some("same-origin")),
        Some(_) => true,
    }
}

/// Compares what a request carries with its token, in constant time.
///
/// # Errors
/// If nothing, or something else, was carried. A token that is new was never given out, so nothing equals it.
pub fn check(method: &str, carried: Option<&str>, token: &Token) -> Result<(), XsrfError> {
    match carried.filter(|text| !text.is_empty()) {
        None => Err(XsrfError::Missing(method.to_owned())),
        Some(text) if !token.is_new && bool::from(text.as_bytes().ct_eq(token.text.as_bytes())) => Ok(()),
        Some(_) => Err(XsrfError::Mismatch(method.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_440_749;
    const USER: Holder<'_> = Holder::User { session_id: Some("s1"), cookie_id: "c1" };
    const ANYONE: Holder<'_> = Holder::Anonymous { random: "r1", user_agent: "Firefox" };

    fn keys() -> Keys {
        Keys::new(0, &[b'k'; 32])
    }

    fn cookies(text: &str) -> String {
        format!("_xsrf={text}")
    }

    #[test]
    fn a_token_is_kept_while_it_is_its_holders() {
        for holder in [USER, ANYONE] {
            let first = token(&keys(), "", holder, NOW);
            assert!(first.is_new);
            let again = token(&keys(), &cookies(&first.text), holder, NOW + 60);
            assert_eq!(again, Token { text: first.text, is_new: false });
            assert_eq!(check("POST", Some(&again.text), &again), Ok(()));
        }
    }

    #[test]
    fn a_login_a_logout_and_another_browser_each_need_another_token() {
        let anonymous = token(&keys(), "", ANYONE, NOW);
        let others = [
            USER,
            Holder::User { session_id: None, cookie_id: "c1" },
            Holder::Anonymous { random: "r2", user_agent: "Firefox" },
            Holder::Anonymous { random: "r1", user_agent: "Chrome" },
        ];
        for holder in others {
            let other = token(&keys(), &cookies(&anonymous.text), holder, NOW);
            assert!(other.is_new);
            assert_eq!(check("POST", Some(&anonymous.text), &other), Err(XsrfError::Mismatch("POST".into())));
        }
    }

    #[test]
    fn a_token_without_its_cookie_does_not_pass() {
        let given = token(&keys(), "", ANYONE, NOW);
        let without_cookie = token(&keys(), "", ANYONE, NOW);
        assert_eq!(given.text, without_cookie.text);
        assert_eq!(check("POST", Some(&given.text), &without_cookie), Err(XsrfError::Mismatch("POST".into())));
    }

    /// Attack row 38: the tokens of others may be good ones, slipped in from a neighbouring host.
    #[test]
    fn the_holders_own_of_several_cookies_counts() {
        let ours = token(&keys(), "", USER, NOW).text;
        let of_a_server = token(&Keys::new(0, b"of a single-user server"), "", USER, NOW).text;
        let of_another = token(&keys(), "", Holder::User { session_id: Some("s1"), cookie_id: "c2" }, NOW).text;
        let header = format!("_xsrf=rubbish; _xsrf={of_a_server}; _xsrf={of_another}; _xsrf={ours}; _xsrf=é");
        assert_eq!(token(&keys(), &header, USER, NOW), Token { text: ours, is_new: false });
        assert!(token(&keys(), &cookies(&of_another), USER, NOW).is_new);
    }

    #[test]
    fn a_token_ages_and_its_texts_are_jupyterhubs() {
        let old = token(&keys(), "", USER, NOW).text;
        assert!(token(&keys(), &cookies(&old), USER, NOW + 31 * DAY + 1).is_new);
        let stale = Token { text: old, is_new: false };
        assert_eq!(check("POST", None, &stale).unwrap_err().to_string(), "'_xsrf' argument missing from POST");
        assert_eq!(check("PUT", Some("x"), &stale).unwrap_err().to_string(), "XSRF cookie does not match PUT argument");
    }

    #[test]
    fn the_id_is_readable_by_jupyterhub() {
        let text = token(&keys(), "", Holder::User { session_id: None, cookie_id: "c1" }, NOW).text;
        let signed = String::from_utf8(URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap();
        assert_eq!(cookie::verify(&keys(), NAME, &signed, DAY, NOW).unwrap(), b"None:c1");
    }

    #[test]
    fn which_requests_are_checked() {
        let cases = [
            ("GET", None, None, false),
            ("GET", Some("navigate"), Some("cross-site"), false),
            ("HEAD", Some("navigate"), None, false),
            ("POST", None, None, true),
            ("POST", Some("navigate"), Some("same-origin"), true),
            ("GET", Some("cors"), Some("same-origin"), true),
            ("GET", Some("same-origin"), Some("same-origin"), true),
            ("GET", Some("no-cors"), Some("same-origin"), false),
            ("GET", Some("no-cors"), Some("cross-site"), true),
            ("POST", Some("no-cors"), Some("same-origin"), true),
            ("GET", Some("websocket"), Some("cross-site"), false),
            ("POST", Some("websocket"), Some("same-origin"), true),
            ("DELETE", Some("cors"), Some("same-origin"), true),
        ];
        for (method, fetch_mode, fetch_site, expected) in cases {
            let request = Request { method, fetch_mode, fetch_site, foreign_origin: false };
            assert_eq!(needs_check(request), expected, "{method} {fetch_mode:?}");
            assert!(
                needs_check(Request { foreign_origin: true, ..request }),
                "{method} {fetch_mode:?} of another origin"
            );
        }
    }
}
