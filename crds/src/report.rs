//! What a hub tells the operator, in a ConfigMap that it may write and nothing else: which versions of the secrets it and
//! its proxy have loaded, and what somebody asked for in its pod. It holds no secret.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Key in the ConfigMap's data; the value is a [`Report`] in JSON.
pub const KEY: &str = "hub.json";

/// What can be reset beside the secrets: every session, or all secrets, sessions and tokens.
pub const SESSIONS: &str = "sessions";
pub const ALL: &str = "all";

/// One hub's report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Report {
    /// Name of the pod that wrote it.
    pub pod: String,
    /// Versions of the cookie secret that it accepts.
    pub cookie_secret: BTreeSet<u32>,
    /// Versions of the proxy token that it knows.
    pub proxy_token: BTreeSet<u32>,
    /// Of these, the versions that the proxy accepted when it was asked.
    pub proxy: BTreeSet<u32>,
    /// Versions of the crypt keys that it can decrypt with.
    pub crypt_keys: BTreeSet<u32>,
    /// Versions of the crypt keys with which something in the database is still encrypted.
    pub crypt_keys_in_use: BTreeSet<u32>,
    /// The newest wish of somebody in its pod (`hub rotate`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<Request>,
}

/// A wish: as the annotations `jupyter.rs/rotate` and `jupyter.rs/reset` have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Random: a wish is acted on once.
    pub id: String,
    #[serde(flatten)]
    pub wish: Wish,
}

/// What is to happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Wish {
    /// `cookie-secret`, `proxy-token` or `crypt-keys`.
    Rotate(String),
    /// One of these, `sessions` or `all`.
    Reset(String),
}
