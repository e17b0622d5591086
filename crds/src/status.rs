//! What a `Hub` says of itself: conditions, their types and reasons.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the Hub stands, as the operator saw it last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HubStatus {
    /// The generation of the spec that the rest of the status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where people reach the Hub, as far as the cluster tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub versions: Option<Versions>,
    /// The Secrets of record that this Hub has had. A Secret named here that is gone is never made anew.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "set"))]
    pub secrets: Vec<String>,
    /// The Secret with the login URL of each user of `auth.token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login_urls_secret: Option<String>,
    /// Conditions: Ready, HubAvailable, ProxyAvailable, SecretsReady, TLSConfigured, Progressing, Degraded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
}

/// Versions of the parts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Versions {
    /// Version of the operator that wrote this status.
    pub operator: String,
    /// Image of the hub.
    pub hub: String,
    /// Image of the proxy.
    pub proxy: String,
}

/// A list keyed by `type`, so that other writers may add conditions of their own.
fn conditions_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let item = generator.subschema_for::<Condition>();
    schemars::json_schema!({
        "type": "array",
        "items": item,
        "maxItems": 32,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    })
}

/// Types of conditions.
pub mod condition {
    /// The Hub serves people: all below is well, for this generation of the spec.
    pub const READY: &str = "Ready";
    pub const HUB_AVAILABLE: &str = "HubAvailable";
    pub const PROXY_AVAILABLE: &str = "ProxyAvailable";
    pub const SECRETS_READY: &str = "SecretsReady";
    /// How TLS is meant to end: `False` with reason `InsecureAllowed` for `https.type: none`.
    pub const TLS_CONFIGURED: &str = "TLSConfigured";
    /// A rollout is under way.
    pub const PROGRESSING: &str = "Progressing";
    /// Something is wrong that will not go away by itself.
    pub const DEGRADED: &str = "Degraded";
}

/// Reasons of conditions; the messages say what to do.
pub mod reason {
    pub const AVAILABLE: &str = "Available";
    pub const NOT_AVAILABLE: &str = "NotAvailable";
    pub const ROLLING_OUT: &str = "RollingOut";
    pub const ROLLED_OUT: &str = "RolledOut";
    pub const PAUSED: &str = "Paused";
    pub const INVALID: &str = "Invalid";
    pub const CONFLICT: &str = "Conflict";
    pub const SECRETS_PRESENT: &str = "SecretsPresent";
    pub const SECRET_MISSING: &str = "SecretMissing";
    pub const SECRET_INVALID: &str = "SecretInvalid";
    pub const SECRET_LOST: &str = "SecretLost";
    pub const INSECURE_ALLOWED: &str = "InsecureAllowed";
    pub const TERMINATED_OUTSIDE: &str = "TerminatedOutside";
    pub const APPLY_FAILED: &str = "ApplyFailed";
    pub const FORBIDDEN: &str = "Forbidden";
    pub const AS_EXPECTED: &str = "AsExpected";
}
