//! The spec of a `Hub`. Every field says what it does here; what refuses a wrong one is beside it as a CEL rule, whose
//! message names the remedy.

mod access;
mod components;
mod cull;
mod https;
mod oidc;
mod pages;
mod profiles;
mod rbac;
mod schema;
mod singleuser;

pub use access::*;
pub use components::*;
pub use cull::*;
pub use https::*;
pub use oidc::*;
pub use pages::*;
pub use profiles::*;
pub use rbac::*;
pub use schema::*;
pub use singleuser::*;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::status::HubStatus;

/// A multi-user Jupyter: a hub, a proxy and the secrets that they share.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "jupyter.rs",
    version = "v1alpha1",
    kind = "Hub",
    plural = "hubs",
    singular = "hub",
    shortname = "jhub",
    namespaced,
    status = "HubStatus",
    derive = "PartialEq",
    category = "jupyter",
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"URL","type":"string","jsonPath":".status.url"}"#,
    printcolumn = r#"{"name":"CertExpiry","type":"date","jsonPath":".status.certificate.notAfter","priority":1}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason","priority":1}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    validation = kube::core::Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$')").message(
        "metadata.name must be at most 40 lower case letters, digits and '-', starting with a letter: the names of Services are made from it"
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules(&[
    ("has(self.https)", "spec.https is required: set spec.https.type to 'letsencrypt', 'certManager', 'secret', 'manual', 'selfSigned' or 'external' (TLS ends in front of the proxy), or to 'none' with allowInsecure: true"),
    ("has(self.auth)", "spec.auth is required: set exactly one of spec.auth.token, spec.auth.password, spec.auth.dummy and spec.auth.oidc"),
    ("!has(self.auth) || !has(self.auth.oidc) || has(self.publicUrl) || has(self.subdomainHost)", "spec.auth.oidc needs spec.publicUrl: providers send people back to exactly the address that is registered there"),
    ("!has(self.auth) || !self.auth.enableAuthState || has(self.security.cryptKeys)", "spec.auth.enableAuthState needs keys to encrypt with: set spec.security.cryptKeys ({} has the operator make them)"),
    ("!has(self.auth) || !self.auth.manageGroups || !has(self.groups) || self.groups.all(group, !has(group.users) || size(group.users) == 0)", "with spec.auth.manageGroups the provider says who is in which group: remove the users of spec.groups"),
    ("!has(self.publicUrl) || self.publicUrl.endsWith(self.baseUrl)", "spec.publicUrl must end with spec.baseUrl (which starts and ends with '/')"),
    ("!has(self.publicUrl) || !has(self.https) || self.https.type == 'none' || self.publicUrl.startsWith('https://')", "spec.publicUrl must start with https:// unless spec.https.type is 'none'"),
    ("!has(self.subdomainHost) || !has(self.https) || self.https.type == 'none' || self.subdomainHost.startsWith('https://')", "spec.subdomainHost must start with https:// unless spec.https.type is 'none'"),
    ("!has(self.subdomainHost) || !has(self.publicUrl) || self.publicUrl == self.subdomainHost + self.baseUrl", "spec.publicUrl must be spec.subdomainHost followed by spec.baseUrl: remove it, for that is what it then is by default"),
    ("!self.security.cookieHostPrefix || (has(self.https) && self.https.type != 'none')", "spec.security.cookieHostPrefix needs TLS, since browsers drop such cookies without: set another spec.https.type or remove it"),
    ("!self.security.internalTLS || self.proxy.implementation == 'hub-proxy'", "spec.security.internalTLS needs a proxy that holds servers to their names: set spec.proxy.implementation to 'hub-proxy' or remove it"),
    ("!self.security.internalTLS || !has(self.singleuser.front)", "spec.security.internalTLS cannot be used with spec.singleuser.front, whose servers speak no TLS: remove one of them"),
    ("!has(self.hub.defaultUrl) || !(self.hub.defaultUrl in [self.baseUrl, self.baseUrl + 'hub', self.baseUrl + 'hub/', self.baseUrl + 'hub/login'])", "spec.hub.defaultUrl must not be a page that leads to spec.hub.defaultUrl itself: write another one, such as '/hub/home' below spec.baseUrl, or remove it"),
    ("(!has(self.proxy.ingress) && !has(self.proxy.httpRoute)) || (has(self.https) && self.https.type == 'external')", "spec.proxy.ingress and spec.proxy.httpRoute need TLS that ends in front of the proxy: set spec.https.type to 'external' or remove them"),
    ("self.hub.auditLog != 'file' || self.database.type == 'sqlite'", "spec.hub.auditLog 'file' needs the volume of an SQLite database: remove it, and collect the standard output of the hub's pod"),
    ("!has(oldSelf.database) || self.database.type == oldSelf.database.type", "spec.database.type cannot be changed: make a new Hub and move the data"),
]))]
pub struct HubSpec {
    /// Path below which everything is served: starts and ends with a slash.
    #[serde(default = "root_path")]
    #[schemars(regex(pattern = r"^/([^?#\s]*/)?$"), length(max = 256))]
    pub base_url: String,
    /// The address that people use, for example `https://hub.example.org/`. Decides which links the hub makes and
    /// whether its cookies are Secure. Without it the hub follows each request's own address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^https?://[^/?#\s]+/([^?#\s]*/)?$"), length(max = 512))]
    pub public_url: Option<String>,
    /// Gives every user a host of their own below this one, for example `https://hub.example.org`: ada's servers are at
    /// `https://ada.hub.example.org/user/ada/`. Recommended, since each user then has an origin of their own and no
    /// user's page can read another's. Needs a DNS record and a certificate for `*.hub.example.org`, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        regex(pattern = r"^https?://([a-z0-9]([-a-z0-9]*[a-z0-9])?\.)*[a-z]([-a-z0-9]*[a-z0-9])?(:[1-9][0-9]{0,4})?$"),
        length(max = 189)
    )]
    pub subdomain_host: Option<String>,
    /// Leave everything as it is: the operator changes nothing until this is false again.
    #[serde(default)]
    pub paused: bool,
    /// How hub and hub-proxy write their logs. The audit log is JSON in any case.
    #[serde(default)]
    pub log_format: LogFormat,
    /// What happens to the database volume and the Secrets of record when this Hub is deleted. `Retain` keeps them;
    /// a Hub of the same name takes them up again and everyone is still logged in.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// The hub: logins, pages, the REST API, and the starting and stopping of servers.
    #[serde(default)]
    pub hub: HubComponent,
    /// The proxy: carries every request of every user.
    #[serde(default)]
    pub proxy: ProxyComponent,
    /// Where the hub keeps its state.
    #[serde(default)]
    pub database: Database,
    /// The secrets that hub and proxy share.
    #[serde(default)]
    pub security: Security,
    /// How TLS ends. Required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub https: Option<Https>,
    /// Who may log in, and how. Required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Programs with rights of their own at the Hub, that somebody else runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub services: Vec<HubService>,
    /// Lists of scopes with a name, and who has them. A role that is taken away here is lost at once by everybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub roles: Vec<HubRole>,
    /// Groups that are there from the start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 200),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub groups: Vec<HubGroup>,
    /// Scopes of the administrator's own, which services check.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 128),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub custom_scopes: Vec<CustomScope>,
    /// The servers of the users.
    #[serde(default)]
    pub singleuser: SingleUser,
    /// The look of the hub's pages.
    #[serde(default)]
    pub pages: Pages,
    /// Stops servers that nobody uses. Without it they run until somebody stops them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cull: Option<Cull>,
    /// NetworkPolicies around hub, proxy and user pods.
    #[serde(default)]
    pub network_policy: NetworkPolicySpec,
}

fn root_path() -> String {
    "/".to_owned()
}

/// What outlives a deleted Hub.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    #[default]
    Retain,
    Delete,
}
