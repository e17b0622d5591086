//! How TLS ends: which certificate the proxy serves, and where it comes from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{SecretKeyRef, rules};

/// How TLS ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules(&[
    ("self.type != 'none' || self.allowInsecure", "spec.https.type 'none' sends passwords and tokens in the clear: set spec.https.allowInsecure: true to accept that, or use another type"),
    ("(self.type == 'secret') == has(self.secret)", "spec.https.secret and type 'secret' go together: set both or remove both"),
    ("(self.type == 'manual') == has(self.manual)", "spec.https.manual and type 'manual' go together: set both or remove both"),
    ("(self.type == 'certManager') == has(self.certManager)", "spec.https.certManager and type 'certManager' go together: set both or remove both"),
    ("(self.type == 'letsencrypt') == has(self.letsencrypt)", "spec.https.letsencrypt and type 'letsencrypt' go together: set both or remove both"),
    ("!(self.type in ['letsencrypt', 'certManager']) || (has(self.hosts) && size(self.hosts) > 0)", "spec.https.hosts is required with type 'letsencrypt' and 'certManager': name the hosts of the certificate"),
    ("self.type != 'letsencrypt' || !has(self.hosts) || self.hosts.all(h, !h.startsWith('*'))", "spec.https.hosts: Let's Encrypt gives no wildcard certificate over HTTP-01: use type 'certManager' with a DNS-01 issuer for it"),
    ("!has(self.hsts) || !(self.type in ['none', 'external'])", "spec.https.hsts needs TLS that ends in the proxy: remove it, or set the header where TLS ends"),
    ("!has(self.extraSecrets) || !(self.type in ['none', 'external'])", "spec.https.extraSecrets needs TLS that ends in the proxy: remove it"),
]))]
pub struct Https {
    /// Where the certificate comes from. `secret`: a Secret with key and certificate. `manual`: key and certificate given
    /// separately. `selfSigned`: the operator makes it. `certManager`: cert-manager makes it. `letsencrypt`: the operator
    /// orders it by ACME. `external`: TLS ends in front of the proxy (S46). `none`: there is no TLS (needs allowInsecure).
    #[serde(rename = "type")]
    pub https_type: HttpsType,
    /// Accept that passwords and tokens travel in the clear (S30, S35).
    #[serde(default)]
    pub allow_insecure: bool,
    /// DNS names of the certificate. By default the host of publicUrl and of subdomainHost with its wildcard.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 100),
        inner(length(min = 1, max = 253), regex(pattern = r"^(\*\.)?([a-z0-9]([-a-z0-9]*[a-z0-9])?\.)*[a-z0-9]([-a-z0-9]*[a-z0-9])?$")),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub hosts: Vec<String>,
    /// Of type `secret`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<TlsSecret>,
    /// Of type `manual`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manual: Option<ManualCertificate>,
    /// Of type `certManager`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_manager: Option<CertManager>,
    /// Of type `letsencrypt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub letsencrypt: Option<LetsEncrypt>,
    /// More certificates, each served to clients that ask for one of its names (SNI).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub extra_secrets: Vec<TlsSecret>,
    /// Tell browsers to use HTTPS only (`Strict-Transport-Security`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hsts: Option<Hsts>,
    /// The oldest version of TLS that clients may speak.
    #[serde(default)]
    pub min_version: TlsVersion,
}

/// Where the certificate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum HttpsType {
    None,
    External,
    Secret,
    Manual,
    SelfSigned,
    CertManager,
    #[serde(rename = "letsencrypt")]
    LetsEncrypt,
}

impl HttpsType {
    /// The word in the resource.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::External => "external",
            Self::Secret => "secret",
            Self::Manual => "manual",
            Self::SelfSigned => "selfSigned",
            Self::CertManager => "certManager",
            Self::LetsEncrypt => "letsencrypt",
        }
    }

    /// TLS ends in the proxy, which then needs a certificate.
    pub fn is_served(self) -> bool {
        !matches!(self, Self::None | Self::External)
    }
}

/// A Secret with a certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules(&[
    ("size(self.name) > 0", "name must not be empty: name a Secret, or remove the whole entry (S48)"),
    ("size(self.certKey) > 0", "certKey must not be empty: remove the line for the default, tls.crt (S48)"),
    ("!has(self.keyKey) || size(self.keyKey) > 0", "keyKey must not be empty: remove the line if the key is in tls.key or in the certificate's own file (S39, S48)"),
]))]
pub struct TlsSecret {
    /// Name of a Secret in this namespace, such as one of type `kubernetes.io/tls`.
    #[schemars(length(max = 240))]
    pub name: String,
    /// Key of the certificate: the leaf and its chain, in any order (S41).
    #[serde(default = "certificate_key")]
    #[schemars(length(max = 253), regex(pattern = r"^[-._a-zA-Z0-9]*$"))]
    pub cert_key: String,
    /// Key of the private key. Without it that is `tls.key`, or the certificate's own file if the Secret has no
    /// `tls.key` (S39).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = r"^[-._a-zA-Z0-9]*$"))]
    pub key_key: Option<String>,
}

fn certificate_key() -> String {
    "tls.crt".to_owned()
}

/// Key and certificate given separately.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManualCertificate {
    /// The private key (S37). Without it the certificate's file holds it, too (S39).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_secret_ref: Option<SecretKeyRef>,
    /// The certificate and its chain (S38, S41).
    pub cert_secret_ref: SecretKeyRef,
}

/// A `Certificate` of cert-manager's, which the operator makes and owns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertManager {
    /// Who issues it.
    pub issuer_ref: IssuerRef,
    /// How long it is asked to be valid, such as `2160h`; by default what cert-manager takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = r"^([0-9]+(\.[0-9]+)?(h|m|s))+$"))]
    pub duration: Option<String>,
    /// How long before its end it is renewed, such as `720h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = r"^([0-9]+(\.[0-9]+)?(h|m|s))+$"))]
    pub renew_before: Option<String>,
    /// Kind of the private key.
    #[serde(default)]
    pub key_algorithm: KeyAlgorithm,
}

/// Who issues a certificate of cert-manager's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IssuerRef {
    /// Name of the issuer.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// `Issuer` of this namespace, `ClusterIssuer`, or a kind of the group.
    #[serde(default = "issuer")]
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// API group of an issuer that is not cert-manager's own.
    #[serde(default = "cert_manager_group")]
    #[schemars(length(min = 1, max = 253))]
    pub group: String,
}

fn issuer() -> String {
    "Issuer".to_owned()
}

fn cert_manager_group() -> String {
    "cert-manager.io".to_owned()
}

/// Kind of a private key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum KeyAlgorithm {
    /// P-256.
    #[default]
    #[serde(rename = "ECDSA")]
    Ecdsa,
    /// 2048 bits.
    #[serde(rename = "RSA")]
    Rsa,
    Ed25519,
}

/// A certificate that the operator orders by ACME, with the HTTP-01 challenge (S42).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LetsEncrypt {
    /// Where the authority writes to.
    #[schemars(length(min = 3, max = 254), regex(pattern = r"^[^@\s]+@[^@\s]+$"))]
    pub email: String,
    /// `production`, `staging` (certificates that browsers don't trust, with generous limits), or the address of another
    /// authority's ACME directory.
    #[serde(default = "production")]
    #[schemars(length(max = 512), regex(pattern = r"^(production|staging|https://[^\s]+)$"))]
    pub server: String,
    /// A Secret with the certificate of the authority that signs the directory's own, if it is not a public one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_ca_secret_ref: Option<SecretKeyRef>,
    /// External account binding, for authorities that ask for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eab: Option<ExternalAccount>,
    /// Whether the operator first fetches a probe from the public address over port 80 itself, so that a load balancer that
    /// is not ready costs no failed validation.
    #[serde(default)]
    pub self_check: SelfCheck,
}

fn production() -> String {
    "production".to_owned()
}

/// An account that the authority knows from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalAccount {
    /// Name of the MAC key, as the authority gave it.
    #[serde(rename = "keyID")]
    #[schemars(length(min = 1, max = 512))]
    pub key_id: String,
    /// The MAC key, in base64url.
    pub secret_ref: SecretKeyRef,
}

/// What a probe decides before an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SelfCheck {
    /// Wait up to 10 minutes for it, then make one order: for networks without hairpin.
    #[default]
    Preferred,
    /// Never order without it.
    Required,
    /// Order at once. (YAML would read `off` as false.)
    Skip,
}

/// `Strict-Transport-Security`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Hsts {
    /// Seconds for which browsers remember it.
    #[schemars(range(max = 63_072_000))]
    pub max_age: u32,
    /// Hosts below this one, too.
    pub include_subdomains: bool,
}

impl Default for Hsts {
    fn default() -> Self {
        Self { max_age: 15_724_800, include_subdomains: false }
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    #[default]
    #[serde(rename = "TLSv1.2")]
    Tls12,
    #[serde(rename = "TLSv1.3")]
    Tls13,
}
