//! The versions of a secret that rotates, as its Secret holds them and as pods find them mounted.
//!
//! A Secret that never rotated holds one value under its key, say `cookie-secret`: version 0. From the first rotation on
//! it also holds `versions.json` and each accepted version under `cookie-secret.N`; the plain key keeps the value of the
//! current version. The Secret is mounted as a whole directory, so that a pod sees all of one state or all of another.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// `versions.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Versions {
    /// The version that signs, authenticates or encrypts.
    pub current: u32,
    /// Every version that is accepted: the current one, those before it whose time is not over, and one that is published
    /// and not yet in use.
    pub accepted: BTreeSet<u32>,
    /// Numbers that grow whenever everything that hangs on the secret is to end. A hub that sees a higher one than any
    /// before ends it.
    pub resets: Resets,
    /// What the operator alone needs.
    #[serde(skip_serializing_if = "serde_json::Value::is_null")]
    pub operator: serde_json::Value,
}

/// When things were last ended, in seconds since 1970, so that even a Secret that was lost or restored from an old backup
/// goes on with a higher number; in the cookie secret's [`Versions`] only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Resets {
    /// Every session and OAuth token (S60, S68).
    pub sessions: u32,
    /// Every API token as well (S34).
    pub tokens: u32,
}

impl Versions {
    /// Of a secret that never rotated.
    pub fn first() -> Self {
        Self { accepted: BTreeSet::from([0]), ..Self::default() }
    }

    /// From the text of `versions.json`.
    ///
    /// # Errors
    /// It is not what the operator writes, or the current version is not among the accepted ones; says so.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let versions: Self = serde_json::from_slice(text).map_err(|error| format!("versions.json: {error}"))?;
        if versions.accepted.contains(&versions.current) {
            Ok(versions)
        } else {
            Err(format!("versions.json: the current version {} is not among those accepted", versions.current))
        }
    }

    /// Key, and name of the file, of one version of the secret under `key`.
    pub fn key(key: &str, version: u32) -> String {
        format!("{key}.{version}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_current_version_is_an_accepted_one() {
        let versions = Versions::parse(br#"{"current": 1, "accepted": [0, 1, 2]}"#).unwrap();
        assert_eq!((versions.current, versions.accepted.len(), versions.resets), (1, 3, Resets::default()));
        for bad in [r#"{"current": 3, "accepted": [0]}"#, "{", "[]"] {
            assert!(Versions::parse(bad.as_bytes()).unwrap_err().starts_with("versions.json"), "{bad}");
        }
        assert_eq!(Versions::key("cookie-secret", 2), "cookie-secret.2");
    }
}
