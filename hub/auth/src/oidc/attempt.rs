//! A login that goes by a provider, from here and back: nothing of it is kept at the hub.
//!
//! The `state` that goes along is signed, and says which browser it is of and where that wanted to go. Nonce and PKCE verifier are made
//! of it and of the random cookie that the browser got: whoever has one without the other has neither (attack row 28).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use crate::cookie::{self, Keys};

/// Seconds from the way to the provider until the way back.
pub const MAX_AGE: i64 = 600;
/// What the signature of a state is of, so that no other signed value is one.
const PURPOSE: &str = "oidc-state";
/// Longer addresses are not worth a `state` that providers refuse.
const LONGEST_NEXT: usize = 2048;
const DIGEST: usize = 64;

/// What the provider is sent, and what its answer must fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub state: String,
    pub nonce: String,
    /// PKCE's (RFC 7636).
    pub verifier: String,
    /// Where the person wanted to go, as it came; empty for nowhere.
    pub next: String,
}

impl Attempt {
    /// Begins a login at `now`, in seconds since 1970. `browser` is the value of the browser's cookie; `random` is never used again.
    pub fn begin(keys: &Keys, browser: &str, next: &str, random: [u8; 16], now: i64) -> Self {
        let next = if next.len() > LONGEST_NEXT { "" } else { next };
        let value = format!("{}{}{next}", hex::encode(Sha256::digest(browser)), hex::encode(random));
        Self::of(cookie::sign(keys, PURPOSE, value.as_bytes(), now), browser, next)
    }

    /// The login that a state belongs to; `None` if it is none of ours, too old, or another browser's.
    pub fn resume(keys: &Keys, browser: &str, state: &str, now: i64) -> Option<Self> {
        let value = String::from_utf8(cookie::verify(keys, PURPOSE, state, MAX_AGE, now)?).ok()?;
        let rest = value.strip_prefix(&hex::encode(Sha256::digest(browser)))?;
        Some(Self::of(state.to_owned(), browser, rest.get(DIGEST / 2..)?))
    }

    fn of(state: String, browser: &str, next: &str) -> Self {
        let made = |purpose: &str| Sha256::digest(format!("{purpose} {browser} {state}"));
        Self {
            nonce: hex::encode(made("nonce")),
            verifier: URL_SAFE_NO_PAD.encode(made("verifier")),
            next: next.to_owned(),
            state,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pkce;

    #[test]
    fn an_answer_fits_its_own_browser_and_time_only_row_28() {
        let (keys, browser) = (Keys::new(0, b"secret"), "b1".repeat(16));
        let begun = Attempt::begin(&keys, &browser, "/user/ada/lab?a=\u{e9}", [7; 16], 1000);
        assert_eq!(Attempt::resume(&keys, &browser, &begun.state, 1000 + MAX_AGE), Some(begun.clone()));
        assert!(pkce::verify(&pkce::challenge(&begun.verifier), pkce::Method::S256, &begun.verifier));
        let other = "b2".repeat(16);
        for (keys, browser, state, now) in [
            (&keys, &other, begun.state.as_str(), 1000),
            (&keys, &browser, begun.state.as_str(), 1001 + MAX_AGE),
            (&Keys::new(0, b"other"), &browser, begun.state.as_str(), 1000),
            (&keys, &browser, "", 1000),
            (&keys, &browser, cookie::sign(&keys, "other", b"x", 1000).as_str(), 1000),
        ] {
            assert_eq!(Attempt::resume(keys, browser, state, now), None);
        }
        let again = Attempt::begin(&keys, &browser, "", [8; 16], 1000);
        assert!(again.nonce != begun.nonce && again.verifier != begun.verifier);
        assert!(!begun.state.contains(&browser), "the provider does not learn the browser's cookie");
        assert_eq!(Attempt::begin(&keys, &browser, &"x".repeat(3000), [7; 16], 1000).next, "");
    }
}
