//! One secret with its versions, as its Secret of record holds it: read strictly, since a guess could void everybody's
//! login, and written whole. The form is [`hub_crds::versions`].

use std::collections::{BTreeMap, BTreeSet};

use hub_crds::{
    names::secret_key,
    versions::{Resets, Versions},
};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use serde::{Deserialize, Serialize};

use super::Rotating;

/// A secret's versions with their values. Every version here is accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// The version that signs, authenticates or encrypts; it has a value.
    pub current: u32,
    pub values: BTreeMap<u32, ByteString>,
    pub resets: Resets,
    pub notes: Notes,
}

/// What the operator alone needs: `operator` in `versions.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Notes {
    /// When the version that waits was published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_at: Option<Timestamp>,
    /// When the current version came into use; nothing for the first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotated_at: Option<Timestamp>,
    /// When each version that was in use before is accepted no more.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub retires_at: BTreeMap<u32, Timestamp>,
    /// For each place where requests come from the id of the last one, so that it is acted on once.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub heard: BTreeMap<String, String>,
    /// The last request that was about this secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Answered>,
}

/// A request that was acted on, or refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answered {
    /// Such as `rotate cookie-secret`.
    pub request: String,
    pub at: Timestamp,
    /// Why nothing, or not all of it, was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

impl Kept {
    /// Of a secret that never rotated.
    pub fn first(value: ByteString) -> Self {
        Self { current: 0, values: [(0, value)].into(), resets: Resets::default(), notes: Notes::default() }
    }

    /// The version that is published and not yet in use.
    pub fn next(&self) -> Option<u32> {
        self.values.last_key_value().map(|(version, _)| *version).filter(|version| *version > self.current)
    }

    /// The value that is or will be in use.
    pub fn newest(&self) -> Option<&ByteString> {
        self.values.last_key_value().map(|(_, value)| value)
    }

    /// When the last rotation began.
    pub fn began_at(&self) -> Option<Timestamp> {
        self.notes.published_at.max(self.notes.rotated_at)
    }

    /// From the data of a Secret.
    ///
    /// # Errors
    /// Names the key that is missing or wrong; never a value.
    pub fn read(secret: Rotating, data: &BTreeMap<String, ByteString>) -> Result<Self, String> {
        let key = secret.key();
        let plain = value(secret, data, key)?;
        let Some(text) = data.get(secret_key::VERSIONS) else {
            return match data.keys().find(|found| number(key, found).is_some()) {
                Some(found) => Err(format!("{} is missing, though there is {found}", secret_key::VERSIONS)),
                None => Ok(Self::first(plain.clone())),
            };
        };
        let Versions { current, accepted, resets, operator } = Versions::parse(&text.0)?;
        let notes = match operator {
            serde_json::Value::Null => Notes::default(),
            notes => serde_json::from_value(notes).map_err(|error| format!("versions.json: operator: {error}"))?,
        };
        let mut values = BTreeMap::new();
        for version in accepted {
            values.insert(version, value(secret, data, &Versions::key(key, version))?.clone());
        }
        if values.get(&current) != Some(plain) {
            let used = Versions::key(key, current);
            return Err(format!("the value of {key} is not that of {used}, which versions.json says is in use"));
        }
        Ok(Self { current, values, resets, notes })
    }

    /// The data of its Secret; what is neither a value nor `versions.json` stays as it is in `data`.
    pub fn write(&self, secret: Rotating, data: &BTreeMap<String, ByteString>) -> BTreeMap<String, ByteString> {
        let key = secret.key();
        let mut written = data.clone();
        written.retain(|found, _| number(key, found).is_none());
        let versions = Versions {
            current: self.current,
            accepted: self.values.keys().copied().collect::<BTreeSet<_>>(),
            resets: self.resets,
            operator: serde_json::to_value(&self.notes).expect("notes are maps with text keys"),
        };
        let text = serde_json::to_vec(&versions).expect("versions are maps with text keys");
        written.insert(secret_key::VERSIONS.to_owned(), ByteString(text));
        written.extend(self.values.iter().map(|(version, value)| (Versions::key(key, *version), value.clone())));
        written.extend(self.values.get(&self.current).map(|value| (key.to_owned(), value.clone())));
        written
    }
}

fn value<'a>(secret: Rotating, data: &'a BTreeMap<String, ByteString>, key: &str) -> Result<&'a ByteString, String> {
    let Some(value) = data.get(key) else { return Err(format!("{key} is missing")) };
    secret.content().check(&value.0).map_err(|message| format!("the value of {key} {message}"))?;
    Ok(value)
}

/// Of `cookie-secret.7` the 7.
fn number(key: &str, found: &str) -> Option<u32> {
    found.strip_prefix(key)?.strip_prefix('.')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(digit: char) -> ByteString {
        ByteString(digit.to_string().repeat(64).into_bytes())
    }

    fn rotated() -> BTreeMap<String, ByteString> {
        let mut kept = Kept::first(hex('a'));
        kept.values.insert(1, hex('b'));
        kept.values.insert(2, hex('c'));
        kept.current = 1;
        kept.notes.retires_at.insert(0, Timestamp::UNIX_EPOCH);
        let foreign = [("note".to_owned(), ByteString(b"mine".to_vec())), ("cookie-secret.9".to_owned(), hex('9'))];
        kept.write(Rotating::CookieSecret, &foreign.into())
    }

    #[test]
    fn what_is_written_is_read_again_and_whatever_else_is_in_the_secret_stays() {
        let data = rotated();
        let keys: Vec<_> = data.keys().map(String::as_str).collect();
        let expected =
            ["cookie-secret", "cookie-secret.0", "cookie-secret.1", "cookie-secret.2", "note", "versions.json"];
        assert_eq!(keys, expected);
        assert_eq!(data["cookie-secret"], hex('b'));
        let kept = Kept::read(Rotating::CookieSecret, &data).unwrap();
        assert_eq!((kept.current, kept.next(), kept.newest()), (1, Some(2), Some(&hex('c'))));
        assert_eq!(kept.write(Rotating::CookieSecret, &data), data);
    }

    #[test]
    fn a_secret_that_never_rotated_is_version_0() {
        let data = BTreeMap::from([("proxy-token".to_owned(), ByteString(b"x".to_vec()))]);
        let kept = Kept::read(Rotating::ProxyToken, &data).unwrap();
        assert_eq!(kept, Kept::first(ByteString(b"x".to_vec())));
        assert_eq!((kept.next(), kept.began_at()), (None, None));
    }

    /// Row 16: whatever is broken by hand is told by its key, and no value is in the words.
    #[test]
    fn what_is_broken_is_named_row_16() {
        let text = |text: &str| Some(ByteString(text.as_bytes().to_vec()));
        let short = "deadbeef";
        for (key, value, words) in [
            ("cookie-secret", None, "cookie-secret is missing"),
            ("cookie-secret", text(""), "the value of cookie-secret must be 64"),
            ("cookie-secret", Some(hex('d')), "the value of cookie-secret is not that of cookie-secret.1"),
            ("cookie-secret.0", None, "cookie-secret.0 is missing"),
            ("cookie-secret.0", text(short), "the value of cookie-secret.0 must be 64"),
            ("cookie-secret.2", text(&"z".repeat(64)), "the value of cookie-secret.2 must be 64"),
            ("versions.json", None, "versions.json is missing, though there is cookie-secret.0"),
            ("versions.json", text(""), "versions.json: EOF"),
            ("versions.json", text("[]"), "versions.json: "),
            ("versions.json", text(r#"{"current": 7, "accepted": [1]}"#), "7 is not among those accepted"),
            ("versions.json", text(r#"{"current": 1, "accepted": [1], "operator": 7}"#), "versions.json: operator"),
        ] {
            let mut data = rotated();
            match value {
                Some(value) => data.insert(key.to_owned(), value),
                None => data.remove(key),
            };
            let error = Kept::read(Rotating::CookieSecret, &data).unwrap_err();
            assert!(error.contains(words), "{key}: {words:?} is not in {error:?}");
            assert!(!error.contains(short) && !error.contains("dddd"), "{error}");
        }
    }
}
