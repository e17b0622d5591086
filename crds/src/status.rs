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
    /// The certificate that the proxy serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateStatus>,
    /// The secrets that rotate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationStatus>,
    /// Conditions: Ready, HubAvailable, ProxyAvailable, SecretsReady, TLSConfigured, CertificateReady, RouteReady,
    /// SecretRotation, Progressing, Degraded.
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

/// A certificate, as people want to know it. Times are RFC 3339.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CertificateStatus {
    /// Where it comes from: the Secret, `self-signed`, the issuer of cert-manager, or the ACME directory; `temporary` until
    /// the first one is there.
    pub source: String,
    /// Who issued it.
    pub issuer: String,
    /// The DNS names and addresses that it is for.
    pub names: Vec<String>,
    /// Its serial number in hexadecimal digits.
    pub serial: String,
    pub not_before: String,
    pub not_after: String,
}

/// The secrets that rotate, and the last requests that were heard.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RotationStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie_secret: Option<SecretVersions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_auth_token: Option<SecretVersions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crypt_keys: Option<SecretVersions>,
    /// The last request to rotate or to reset that was acted on, such as `rotate cookie-secret`, and when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_request: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_request_time: Option<String>,
    /// Why nothing, or not all of it, was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_request_refused: Option<String>,
}

/// The versions of one secret. None of its values is here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretVersions {
    /// The Secret that holds them.
    pub secret: String,
    /// The version that is in use.
    pub version: u32,
    /// The version that is published and waits until every pod has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u32>,
    /// Every version that is accepted.
    pub accepted: Vec<u32>,
    /// When the version in use came into use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotated_at: Option<String>,
    /// When the last of the old versions is accepted no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retires_at: Option<String>,
    /// When the schedule rotates it next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_rotation: Option<String>,
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
    /// The certificate is good, fits its key and is in use.
    pub const CERTIFICATE_READY: &str = "CertificateReady";
    /// The HTTPRoute of `proxy.httpRoute` is there. Only where one is asked for.
    pub const ROUTE_READY: &str = "RouteReady";
    /// `True` while a secret rotates: published, and not yet in use everywhere.
    pub const SECRET_ROTATION: &str = "SecretRotation";
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
    pub const TERMINATED_IN_PROXY: &str = "TerminatedInProxy";
    pub const APPLY_FAILED: &str = "ApplyFailed";
    /// A good certificate is served.
    pub const VALID: &str = "Valid";
    /// One is served that a part of the clients won't trust: the chain lacks the certificate between it and a root (S41).
    pub const INTERMEDIATE_MISSING: &str = "IntermediateMissing";
    /// One is served whose chain has something in it that is expired or does not belong there.
    pub const CHAIN_WRONG: &str = "ChainWrong";
    /// One is served that is not for the host that people are sent to.
    pub const NAMES_MISSING: &str = "NamesMissing";
    /// One is served that ends soon and that nobody has renewed.
    pub const EXPIRES_SOON: &str = "ExpiresSoon";
    /// The first certificate is on its way.
    pub const ISSUING: &str = "Issuing";
    /// What should be a certificate with its key is none.
    pub const CERTIFICATE_INVALID: &str = "CertificateInvalid";
    pub const CERTIFICATE_EXPIRED: &str = "CertificateExpired";
    pub const CERTIFICATE_NOT_YET_VALID: &str = "CertificateNotYetValid";
    pub const CERT_MANAGER_MISSING: &str = "CertManagerMissing";
    /// cert-manager can't issue; the message is its own.
    pub const ISSUER_NOT_READY: &str = "IssuerNotReady";
    pub const GATEWAY_API_MISSING: &str = "GatewayApiMissing";
    /// An HTTPRoute is there.
    pub const ROUTE_APPLIED: &str = "RouteApplied";
    pub const FORBIDDEN: &str = "Forbidden";
    pub const AS_EXPECTED: &str = "AsExpected";
    /// A new value of a secret is accepted by some pods and used by none.
    pub const PUBLISHED: &str = "Published";
    /// The same for too long.
    pub const NOT_CONFIRMED: &str = "NotConfirmed";
    pub const REQUEST_REFUSED: &str = "RequestRefused";
}
