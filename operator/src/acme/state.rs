//! What is kept of ACME in a Hub's Secret of record: everything that the next look needs, written before it is used, so that a
//! crash between any two steps loses nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use hub_crds::names::secret_key;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Data of a Secret.
pub type Data = BTreeMap<String, ByteString>;

/// Keys of the Secret beside [`secret_key::TLS_CERTIFICATE`] and [`secret_key::TLS_KEY`].
const STATE: &str = "state.json";
const CHALLENGES: &str = "challenges.json";

/// How a Hub stands with its authority.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct State {
    pub account: Option<Account>,
    pub phase: Phase,
    /// Hosts whose challenges the proxy may have a route for.
    pub routed: Vec<String>,
    pub history: History,
    #[serde(skip)]
    pub challenges: Challenges,
    #[serde(skip)]
    pub issued: Option<Issued>,
    /// Directory of the authority that issued the certificate.
    pub issued_by: Option<String>,
}

/// What is answered to whom: by token.
pub type Challenges = BTreeMap<String, Challenge>;

/// What the solver answers, to requests for one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Challenge {
    pub host: String,
    pub answer: String,
    pub expires: Timestamp,
}

/// An account at an authority. It belongs to one Hub.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    pub directory: String,
    pub email: String,
    #[serde(default)]
    pub eab_key_id: Option<String>,
    /// Address and private key, as the ACME library writes them.
    pub credentials: serde_json::Value,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    #[default]
    Idle,
    /// Waits until a probe of the operator's own comes back through the public address.
    Probing(Probing),
    Ordering(Order),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Probing {
    pub since: Timestamp,
    /// The probe is back, or was waited for long enough.
    pub is_passed: bool,
}

/// An order for a certificate.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    pub since: Timestamp,
    pub hosts: Vec<String>,
    /// The certificate's key.
    pub key_pem: String,
    /// None until the authority has taken the order.
    #[serde(default)]
    pub url: Option<String>,
    /// Hosts that the authority was told to validate.
    #[serde(default)]
    pub told: BTreeSet<String>,
}

/// A certificate and its key.
#[derive(Clone, PartialEq)]
pub struct Issued {
    pub chain_pem: String,
    pub key_pem: String,
}

/// What went wrong, and when the next attempt may be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct History {
    /// Failed validations of the last hour.
    pub failures: Vec<Timestamp>,
    /// Attempts in a row that came to nothing.
    pub attempts: u32,
    pub retry_at: Option<Timestamp>,
    pub problem: Option<String>,
    /// What was wished for then: another wish doesn't wait.
    pub wish: String,
}

/// A Secret that somebody has broken by hand.
#[derive(Debug, thiserror::Error)]
#[error("{key} cannot be read: {source}")]
pub struct Unreadable {
    key: &'static str,
    source: serde_json::Error,
}

impl State {
    /// Reads it from a Secret's data.
    ///
    /// # Errors
    /// A key is there and isn't what this operator writes.
    pub fn read(data: &Data) -> Result<Self, Unreadable> {
        let text = |key: &str| data.get(key).and_then(|value| String::from_utf8(value.0.clone()).ok());
        let mut state: Self = json(data, STATE)?;
        state.challenges = json(data, CHALLENGES)?;
        state.issued = text(secret_key::TLS_CERTIFICATE)
            .zip(text(secret_key::TLS_KEY))
            .map(|(chain_pem, key_pem)| Issued { chain_pem, key_pem });
        Ok(state)
    }

    /// The Secret's data.
    pub fn write(&self) -> Data {
        let json = |value: Result<Vec<u8>, _>| ByteString(value.unwrap_or_default());
        let mut data = Data::from([
            (STATE.to_owned(), json(serde_json::to_vec(self))),
            (CHALLENGES.to_owned(), json(serde_json::to_vec(&self.challenges))),
        ]);
        if let Some(issued) = &self.issued {
            data.insert(secret_key::TLS_CERTIFICATE.to_owned(), ByteString(issued.chain_pem.clone().into_bytes()));
            data.insert(secret_key::TLS_KEY.to_owned(), ByteString(issued.key_pem.clone().into_bytes()));
        }
        data
    }
}

/// The challenges of a Secret alone, which is all that the solver reads.
pub fn challenges(data: &Data) -> Challenges {
    json(data, CHALLENGES).unwrap_or_default()
}

fn json<T: DeserializeOwned + Default>(data: &Data, key: &'static str) -> Result<T, Unreadable> {
    match data.get(key) {
        Some(value) => serde_json::from_slice(&value.0).map_err(|source| Unreadable { key, source }),
        None => Ok(T::default()),
    }
}

/// Keys are not shown.
impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("directory", &self.directory)
            .field("email", &self.email)
            .finish_non_exhaustive()
    }
}

/// Keys are not shown.
impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { since, hosts, url, told, .. } = self;
        let mut order = f.debug_struct("Order");
        order.field("since", since).field("hosts", hosts).field("url", url).field("told", told).finish_non_exhaustive()
    }
}

/// Keys are not shown.
impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("chain_pem", &self.chain_pem).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_written_is_read_again() {
        let since = Timestamp::UNIX_EPOCH;
        let order = Order {
            since,
            hosts: vec!["hub.test".into()],
            key_pem: "KEY".into(),
            url: Some("https://ca.test/order/1".into()),
            told: BTreeSet::from(["hub.test".into()]),
        };
        let challenge = Challenge { host: "hub.test".into(), answer: "token.thumb".into(), expires: since };
        let state = State {
            account: Some(Account {
                directory: "https://ca.test/dir".into(),
                email: "ada@hub.test".into(),
                eab_key_id: Some("kid".into()),
                credentials: json!({"id": "1"}),
            }),
            phase: Phase::Ordering(order),
            routed: vec!["hub.test".into()],
            history: History { failures: vec![since], attempts: 2, ..History::default() },
            challenges: BTreeMap::from([("token".into(), challenge)]),
            issued: Some(Issued { chain_pem: "CERT".into(), key_pem: "SECRET".into() }),
            issued_by: Some("https://ca.test/dir".into()),
        };
        let data = state.write();
        assert_eq!(State::read(&data).unwrap(), state);
        assert_eq!(challenges(&data), state.challenges);
        assert!(!format!("{state:?}").contains("KEY") && !format!("{state:?}").contains("SECRET"));
    }

    #[test]
    fn a_new_secret_is_a_state_without_anything() {
        assert_eq!(State::read(&Data::new()).unwrap(), State::default());
    }

    #[test]
    fn a_secret_broken_by_hand_is_named() {
        let data = Data::from([("state.json".into(), ByteString(b"{".to_vec()))]);
        assert!(State::read(&data).unwrap_err().to_string().starts_with("state.json cannot be read"));
    }
}
