//! Tokens: how they are made, shown and stored. Only a salted hash is stored (S32), in JupyterHub's own format, so that
//! either hub can read what the other wrote: `sha512:<rounds>:<salt, 16 hex digits>:<digest in hex>`.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::SecretString;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

/// Rounds for tokens that a hub generated: they have 128 bits of entropy, more rounds add nothing.
pub const GENERATED_ROUNDS: u32 = 1;
/// Rounds for what a person or a configuration may have chosen, and for secrets of OAuth clients.
pub const CONFIGURED_ROUNDS: u32 = 16384;
/// Lengths in bytes that a token may have. Longer ones are refused before they are hashed.
pub const LENGTH: std::ops::RangeInclusive<usize> = 8..=64;

/// A hash from elsewhere may ask for at most this many rounds, so that a row in the database cannot stop the hub.
const MAX_ROUNDS: u32 = 1 << 20;

/// Whether a token of so many characters can be guessed. One that can't need not be defended from who guesses.
pub fn is_guessable(length: usize) -> bool {
    length < 32
}

/// A token for the REST API or a server: 32 hexadecimal digits.
pub fn new_token(random: [u8; 16]) -> SecretString {
    hex::encode(random).into()
}

/// A token with which a person logs in: 48 hexadecimal digits (S8).
pub fn new_login_token(random: [u8; 24]) -> SecretString {
    hex::encode(random).into()
}

/// An OAuth authorization code or access token: 30 characters, as clients of JupyterHub know them.
pub fn new_oauth_token(random: [u8; 15]) -> SecretString {
    hex::encode(random).into()
}

/// A code that gives someone a share: 32 bytes in base64 for addresses, 43 characters.
pub fn new_share_code(random: [u8; 32]) -> SecretString {
    URL_SAFE_NO_PAD.encode(random).into()
}

/// The text that is stored for a token.
pub fn hash_token(token: &str, rounds: u32, salt: [u8; 8]) -> String {
    let salt = hex::encode(salt);
    format!("sha512:{rounds}:{salt}:{}", hex::encode(digest(token, rounds, &salt)))
}

/// Whether `token` is the one that `stored` was made from, in time that doesn't depend on where they differ. Anything
/// that isn't such a hash, the empty text included, matches nothing.
pub fn verify_token(stored: &str, token: &str) -> bool {
    if !LENGTH.contains(&token.len()) {
        return false;
    }
    let mut fields = stored.split(':');
    let (Some("sha512"), Some(rounds), Some(salt), Some(expected), None) =
        (fields.next(), fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return false;
    };
    let (Ok(rounds @ 1..=MAX_ROUNDS), Ok(expected)) = (rounds.parse::<u32>(), hex::decode(expected)) else {
        return false;
    };
    digest(token, rounds, salt).ct_eq(&expected).into()
}

/// Whether it takes a hash of many rounds to tell whose token this is: about a millisecond or more of computing.
pub fn is_slow(stored: &str) -> bool {
    let rounds = stored.split(':').nth(1).and_then(|rounds| rounds.parse::<u32>().ok());
    rounds.is_some_and(|rounds| rounds > GENERATED_ROUNDS)
}

fn digest(token: &str, rounds: u32, salt: &str) -> Vec<u8> {
    let mut hash = Sha512::new_with_prefix(salt);
    for _ in 0..rounds {
        hash.update(token);
    }
    hash.finalize().to_vec()
}

/// The first four characters, by which a stored token is looked up.
pub fn prefix(token: &str) -> &str {
    token.char_indices().nth(4).map_or(token, |(end, _)| &token[..end])
}

/// What is stored for an authorization code: 36 characters, as many as its column holds. Codes are random, live for
/// minutes and are looked up by this text, so the hash has no salt.
pub fn hash_code(code: &str) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest(code)[..27])
}

/// Whether two secrets are equal, in time that depends on their lengths at most.
pub fn equal(a: &str, b: &str) -> bool {
    // Hashing first makes the lengths equal, too.
    Sha256::digest(a).ct_eq(&Sha256::digest(b)).into()
}

/// A token's name in the REST API: `a12` for row 12.
pub fn token_id(row: i64) -> String {
    format!("a{row}")
}

/// The row of a token's name in the REST API; `None` if it isn't such a name.
pub fn parse_token_id(id: &str) -> Option<i64> {
    parse_row(id.strip_prefix('a')?)
}

/// A share code's name in the REST API: `sc_12` for row 12.
pub fn share_code_id(row: i64) -> String {
    format!("sc_{row}")
}

/// The row of a share code's name in the REST API; `None` if it isn't such a name.
pub fn parse_share_code_id(id: &str) -> Option<i64> {
    parse_row(id.strip_prefix("sc_")?)
}

fn parse_row(digits: &str) -> Option<i64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    /// Made by JupyterHub 6.1.1 for the token next to it.
    const TOKEN: &str = "5929b0eb05144f90ba28a0ab4816a5b3";
    const STORED: &str = "sha512:1:1d667cb80c70b4e3:eb41f3e3f24fe80ec3dba31a2e0e49cf5991d06e5f61e525d560c575cf438c20e9c2e3c0e0a6e97524e9eb36aba9f3a8ffb3680d41e56d0fa5b2c920874bdb14";

    #[test]
    fn a_hash_that_jupyterhub_stored_is_read_and_written_alike() {
        assert!(verify_token(STORED, TOKEN));
        assert_eq!(hash_token(TOKEN, 1, [0x1d, 0x66, 0x7c, 0xb8, 0x0c, 0x70, 0xb4, 0xe3]), STORED);
    }

    #[test]
    fn what_differs_anywhere_does_not_match() {
        assert!(!verify_token(STORED, "5929b0eb05144f90ba28a0ab4816a5b4"));
        assert!(!verify_token(&STORED.replace("sha512:1:", "sha512:2:"), TOKEN));
        assert!(!verify_token(&STORED.replace(":1d66", ":1d67"), TOKEN));
        assert!(!verify_token(&STORED[..STORED.len() - 2], TOKEN));
        for stored in
            ["", "sha512", "sha512:1::", "sha512:x:a:b", "sha512:0:a:b", "sha512:4294967295:a:bb", "sha256:1:a:b"]
        {
            assert!(!verify_token(stored, TOKEN), "{stored}");
        }
    }

    #[test]
    fn many_rounds_are_told_from_one() {
        assert!(!is_slow(STORED) && !is_slow("") && !is_slow("sha512:x:a:b"));
        assert!(is_slow(&hash_token(TOKEN, 2, [7; 8])) && is_slow("sha512:1048576:a:b"));
    }

    #[test]
    fn lengths_are_checked_before_anything_is_hashed() {
        for (length, ok) in [(7, false), (8, true), (64, true), (65, false), (1_000_000, false)] {
            let token = "x".repeat(length);
            assert_eq!(verify_token(&hash_token(&token, 3, [7; 8]), &token), ok, "{length}");
        }
    }

    #[test]
    fn new_tokens_have_the_lengths_that_clients_expect() {
        assert_eq!(new_token([0xab; 16]).expose_secret(), "ab".repeat(16));
        assert_eq!(new_login_token([1; 24]).expose_secret().len(), 48);
        assert_eq!(new_oauth_token([1; 15]).expose_secret().len(), 30);
        assert_eq!(new_share_code([0xff; 32]).expose_secret(), &format!("{}8", "_".repeat(42)));
        assert_eq!(hash_code("anything").len(), 36);
        assert_ne!(hash_code("anything"), hash_code("anythinG"));
    }

    #[test]
    fn a_prefix_is_four_characters_not_bytes() {
        assert_eq!(prefix("abcdef"), "abcd");
        assert_eq!(prefix("äöüßx"), "äöüß");
        assert_eq!(prefix("ab"), "ab");
    }

    #[test]
    fn token_names_are_read_strictly() {
        assert_eq!(parse_token_id(&token_id(12)), Some(12));
        for bad in ["", "a", "12", "b12", "a-1", "a+1", "a1x", "a99999999999999999999"] {
            assert_eq!(parse_token_id(bad), None, "{bad}");
        }
        assert_eq!(parse_share_code_id(&share_code_id(12)), Some(12));
        for bad in ["", "sc_", "12", "a12", "sc_-1", "sc_1x"] {
            assert_eq!(parse_share_code_id(bad), None, "{bad}");
        }
    }

    #[test]
    fn secrets_are_compared_whole() {
        assert!(equal("same", "same"));
        assert!(!equal("same", "same "));
        assert!(!equal("", "x"));
    }
}
