//! Proof of possession of an authorization code (RFC 7636).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// How a challenge was made from its verifier (RFC 7636 section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Plain,
    S256,
}

impl Method {
    /// Reads `code_challenge_method`. `None` for a method that isn't known: "Transform algorithm not supported."
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "plain" => Some(Self::Plain),
            "S256" => Some(Self::S256),
            _ => None,
        }
    }

    /// Its name on the wire and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::S256 => "S256",
        }
    }
}

/// Whether `verifier` is the one that the challenge was made from. One that breaks section 4.1 never is.
pub fn verify(challenge: &str, method: Method, verifier: &str) -> bool {
    let well_formed = (43..=128).contains(&verifier.len())
        && verifier.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    let made = match method {
        Method::Plain => verifier.to_owned(),
        Method::S256 => self::challenge(verifier),
    };
    well_formed && bool::from(made.as_bytes().ct_eq(challenge.as_bytes()))
}

/// The challenge of a verifier, by [`Method::S256`] (RFC 7636 section 4.2).
pub fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7636 appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn the_example_of_the_rfc_passes_and_nothing_near_it() {
        assert!(verify(CHALLENGE, Method::S256, VERIFIER));
        assert_eq!(challenge(VERIFIER), CHALLENGE);
        assert!(verify(VERIFIER, Method::Plain, VERIFIER));
        assert!(!verify(CHALLENGE, Method::Plain, VERIFIER));
        assert!(!verify(CHALLENGE, Method::Plain, CHALLENGE.trim_end_matches('M')));
        assert!(!verify(CHALLENGE, Method::S256, &VERIFIER.replace('d', "e")));
        assert!(!verify("", Method::S256, VERIFIER));
        assert!(!verify("", Method::Plain, ""));
    }

    #[test]
    fn a_verifier_that_is_no_verifier_never_passes() {
        for verifier in ["short".to_owned(), "a".repeat(42), "a".repeat(129), format!("{}=", "a".repeat(43))] {
            assert!(!verify(&verifier, Method::Plain, &verifier), "{verifier}");
        }
    }

    #[test]
    fn methods_are_case_sensitive() {
        assert_eq!(Method::parse("S256"), Some(Method::S256));
        assert_eq!(Method::parse("plain").map(Method::name), Some("plain"));
        assert_eq!(Method::parse("s256"), None);
        assert_eq!(Method::parse(""), None);
    }
}
