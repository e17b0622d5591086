//! Services, roles, groups and custom scopes: JupyterHub's role-based access control (RBAC). What the rules here cannot
//! see, such as whether a scope exists, [`crate::config::RbacConfig::problems`] finds.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::schema::{SecretKeyRef, name_set, rules, string_map};

/// A program with rights of its own at the Hub, such as a dashboard or a grader, that somebody else runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules(&[
    ("self.name.matches('^[a-zA-Z0-9]([-._a-zA-Z0-9]*[a-zA-Z0-9])?$')", "a service's name must be letters, digits, '-', '_' and '.', and start and end with a letter or digit: it is part of an address"),
    ("!has(self.url) || self.url.matches('^https?://[^/?#@\\\\s]+/?$')", "a service's url must be http:// or https://, a host and maybe a port, without a path: the proxy hands on /services/<name>/ as it came"),
    ("!has(self.oauthClientId) || self.oauthClientId.startsWith('service-')", "oauthClientId must start with 'service-': leave it out for 'service-<name>'"),
    ("!has(self.oauthRedirectUri) || self.oauthRedirectUri.matches('^(/|https?://[^/?#@\\\\s]+)[^#\\\\s]*$')", "oauthRedirectUri must be a path that starts with '/' or a whole http address, without a fragment"),
    ("has(self.url) || has(self.oauthRedirectUri) || (!has(self.oauthClientId) && !self.oauthNoConfirm)", "a service without url that logs people in needs oauthRedirectUri: set it, or remove oauthClientId and oauthNoConfirm"),
    ("has(self.apiTokenSecretRef) || (!has(self.oauthRedirectUri) && !has(self.oauthClientId) && !self.oauthNoConfirm)", "a service that logs people in needs apiTokenSecretRef: the token is also the secret of its OAuth client"),
]))]
pub struct HubService {
    /// Name: the service is reached at `/services/<name>/`.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Where the proxy finds it: scheme, host and port. Without it the service has no route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub url: Option<String>,
    /// A Secret with its API token: 8 to 64 characters. A changed token is taken up without a restart. The token is also
    /// the secret of the service's OAuth client. Without it the service cannot speak to the hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_token_secret_ref: Option<SecretKeyRef>,
    /// Where people are sent back to after they were asked; by default `/services/<name>/oauth_callback`. Needed for a
    /// service that logs people in but has no url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1023))]
    pub oauth_redirect_uri: Option<String>,
    /// Id of its OAuth client; by default `service-<name>`. Starts with `service-`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub oauth_client_id: Option<String>,
    /// Scopes that it may use in people's names, beside knowing who they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "scope_set")]
    pub oauth_client_allowed_scopes: Vec<String>,
    /// Do not ask people whether they let it know who they are: for services that are a part of the Hub.
    #[serde(default)]
    pub oauth_no_confirm: bool,
    /// List it on the home page of everybody who may use it.
    #[serde(default = "yes")]
    pub display: bool,
    /// It has the role `admin`. A role with just the scopes that it needs is better.
    #[serde(default)]
    pub admin: bool,
    /// Whatever clients of the REST API want to know of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "string_map")]
    pub info: BTreeMap<String, String>,
}

fn yes() -> bool {
    true
}

/// A list of scopes with a name, and who has them. The roles `user`, `server` and `token` of every Hub may be given other
/// scopes here; `admin` may only be given to somebody.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules(&[
    ("self.name.matches('^[a-z][-a-z0-9_~.]{1,253}[a-z0-9]$')", "a role's name must be 3 to 255 lower case letters, digits, '-', '_', '~' and '.', start with a letter and end with a letter or digit"),
    ("self.name != 'admin' || (!has(self.scopes) && !has(self.description))", "the role 'admin' cannot be changed: remove its scopes and description (users, groups and services may be set), or choose another name"),
]))]
pub struct HubRole {
    /// Name.
    #[schemars(length(min = 1, max = 255))]
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1023))]
    pub description: Option<String>,
    /// Scopes that it grants. Without the field, one of the roles of every Hub keeps its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "scope_set")]
    pub scopes: Option<Vec<String>>,
    /// Users who have it, and nobody else. Without the field nobody has it, but everybody keeps `user`, and `admin` whoever
    /// is an administrator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "name_set")]
    pub users: Option<Vec<String>>,
    /// Groups whose members have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "name_set")]
    pub groups: Option<Vec<String>>,
    /// Services of `spec.services` that have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "name_set")]
    pub services: Option<Vec<String>>,
}

/// A group that is there from the start. Members who are added elsewhere stay.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HubGroup {
    /// Name.
    #[schemars(length(min = 1, max = 255))]
    pub name: String,
    /// Users who are added to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "name_set")]
    pub users: Vec<String>,
    /// What is known of it. Without the field, what was set elsewhere stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "string_map")]
    pub properties: Option<BTreeMap<String, String>>,
}

/// A scope of the administrator's own, which services check.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules(&[
    ("self.name.matches('^custom:[a-z0-9][-a-z0-9_*:]+[a-z0-9_*]$')", "the name of a custom scope must be 'custom:' and then lower case letters, digits, '_', '-', '*' and ':', such as custom:grades:read"),
    ("!has(self.subscopes) || self.subscopes.all(s, s.startsWith('custom:'))", "a custom scope includes custom scopes only: give the others to a role beside it"),
]))]
pub struct CustomScope {
    /// Name, such as `custom:grades:read`.
    #[schemars(length(min = 1, max = 255))]
    pub name: String,
    /// What it lets its holder do: people read it when a service asks for it.
    #[schemars(length(min = 1, max = 1023))]
    pub description: String,
    /// Other custom scopes that it includes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "scope_set")]
    pub subscopes: Vec<String>,
}

/// Scopes, such as `read:users!group=class`.
fn scope_set(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 100,
        "items": { "type": "string", "minLength": 1, "maxLength": 600 },
        "x-kubernetes-list-type": "set",
    })
}
