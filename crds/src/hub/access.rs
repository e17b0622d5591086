//! Secrets, and who may log in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    oidc::OidcAuth,
    schema::{SecretKeyRef, SecretRef, name_set, rules},
};

/// The secrets that hub and proxy share.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Security {
    /// Signs the browsers' cookies (S31, S80): 64 hexadecimal characters.
    pub cookie_secret: SecretSource,
    /// Authenticates the hub to the proxy (S49, S51).
    pub proxy_auth_token: SecretSource,
    /// Encrypts what the database keeps of logins (`auth_state`). Without it nothing of that kind is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crypt_keys: Option<SecretSource>,
    /// Names cookies with `__Host-`, so that no page of another host below yours can set one in the hub's place. They are
    /// then sent to every path of their host: use it together with subdomainHost. Everyone has to log in again, and
    /// servers take it up when they are started anew.
    pub cookie_host_prefix: bool,
    /// Encrypts what goes between the proxy and users' servers, and lets each know the other by a certificate of the Hub's
    /// own: a server answers nobody but the proxy and the hub, and a request never reaches another user's server, even if
    /// that has the address now (JupyterHub's `internal_ssl`). Users' images need `jupyterhub-singleuser`. Servers take a
    /// change up when they are started anew.
    #[serde(rename = "internalTLS")]
    pub internal_tls: bool,
    /// How often a login may fail.
    pub login: LoginLimits,
}

/// How often the login of one user from one address may fail before both are refused together, with the right password
/// too. The same user from other addresses, other users from the same address and whoever is logged in notice nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LoginLimits {
    /// Failed logins after which further ones are refused.
    #[schemars(range(min = 1, max = Self::MOST_FAILURES))]
    pub max_failures: u32,
    /// Seconds after the first of them within which they count together.
    #[schemars(range(min = 1, max = Self::LONGEST_SECONDS))]
    pub window_seconds: u32,
    /// Seconds for which logins are refused then.
    #[schemars(range(min = 1, max = Self::LONGEST_SECONDS))]
    pub lockout_seconds: u32,
}

impl LoginLimits {
    /// More are no limit.
    pub const MOST_FAILURES: u32 = 1000;
    /// A day.
    pub const LONGEST_SECONDS: u32 = 86_400;
}

impl Default for LoginLimits {
    fn default() -> Self {
        Self { max_failures: 10, window_seconds: 300, lockout_seconds: 300 }
    }
}

/// A secret of the administrator's, or one that the operator makes once and keeps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = rules(&[
    ("!has(self.secretRef) || !has(self.rotation) || !has(self.rotation.schedule)", "rotation.schedule cannot be used with secretRef: the secret rotates when you put a new value into your Secret"),
]))]
pub struct SecretSource {
    /// A Secret in this namespace, which is only read: a new value in it is a rotation. Without it the operator generates
    /// the value once and keeps it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeyRef>,
    /// When a new value takes the place of the old one, and how long both are good.
    pub rotation: Rotation,
}

/// When a secret rotates. `kubectl annotate hub NAME jupyter.rs/rotate=cookie-secret` does it at any time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = rules(&[
    ("!has(self.schedule) || size(self.schedule) > 0", "rotation.schedule must not be empty: remove it if the secret is not to rotate by itself"),
]))]
pub struct Rotation {
    /// When, as for a CronJob and in UTC: `0 3 1 * *` is the first of each month at 3. Without it the secret rotates when it
    /// is asked to. Cannot be used with secretRef.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub schedule: Option<String>,
    /// How long the old value is accepted after the new one is in use, such as `336h`. By default as long as a
    /// login (two weeks) for the cookie secret, two weeks for the crypt keys (longer if anything is still encrypted with the
    /// old one), five minutes for the proxy token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = r"^([0-9]+(\.[0-9]+)?(h|m|s))+$"))]
    pub grace_period: Option<String>,
}

/// Who may log in, and how: exactly one way, and the lists.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = rules(&[
    ("[has(self.token), has(self.password), has(self.dummy), has(self.oidc)].filter(way, way).size() == 1", "spec.auth needs exactly one of token, password, dummy and oidc"),
    ("has(self.token) || self.allowAll || (has(self.allowedUsers) && size(self.allowedUsers) > 0) || (has(self.adminUsers) && size(self.adminUsers) > 0) || (has(self.allowedGroups) && size(self.allowedGroups) > 0) || (has(self.oidc) && has(self.oidc.adminGroups) && size(self.oidc.adminGroups) > 0)", "nobody could log in: set spec.auth.allowedUsers, spec.auth.adminUsers or spec.auth.allowAll: true, or with spec.auth.oidc allowedGroups"),
    ("has(self.oidc) || (!has(self.allowedGroups) && !self.manageGroups && !self.autoLogin && !self.enableAuthState)", "spec.auth.allowedGroups, manageGroups, autoLogin and enableAuthState are about what a provider says: set spec.auth.oidc, or remove them"),
    ("!has(self.blockedUsers) || !has(self.allowedUsers) || !self.allowedUsers.exists(u, u in self.blockedUsers)", "a user is in both spec.auth.allowedUsers and spec.auth.blockedUsers: remove them from one"),
    ("!has(self.blockedUsers) || !has(self.adminUsers) || !self.adminUsers.exists(u, u in self.blockedUsers)", "a user is in both spec.auth.adminUsers and spec.auth.blockedUsers: remove them from one"),
]))]
pub struct Auth {
    /// Each user logs in with a token of their own, as on the Jupyter Server page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenAuth>,
    /// Each user logs in with a name and a password of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<PasswordAuth>,
    /// Any user name with one shared password: for trials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dummy: Option<DummyAuth>,
    /// People log in at a provider: OpenID Connect, or GitHub.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oidc: Option<OidcAuth>,
    /// Everybody who passes the login may use the Hub.
    pub allow_all: bool,
    /// Who may use the Hub. Users of `token` and administrators may without being listed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "name_set")]
    pub allowed_users: Vec<String>,
    /// Who may not, whatever else is said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "name_set")]
    pub blocked_users: Vec<String>,
    /// Who administers the Hub.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "name_set")]
    pub admin_users: Vec<String>,
    /// Groups, by the names that the provider has for them, whose members may use the Hub.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "name_set")]
    pub allowed_groups: Vec<String>,
    /// A user's groups in the Hub are those that the provider names, from each login and refresh on. The REST API changes no
    /// memberships then, and `spec.groups` names no users.
    pub manage_groups: bool,
    /// The login page leads on to the provider at once, but not after a logout.
    pub auto_login: bool,
    /// Keep what the provider gave at the login (`auth_state`), encrypted. Needs `spec.security.cryptKeys`.
    pub enable_auth_state: bool,
}

/// Login by token: it names its users, and a token logs in as exactly its user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = rules(&[
    ("self.users.all(u, !has(u.tokenSecretRef) || self.users.exists_one(v, has(v.tokenSecretRef) && v.tokenSecretRef.name == u.tokenSecretRef.name && v.tokenSecretRef.key == u.tokenSecretRef.key))", "two of spec.auth.token.users have the same tokenSecretRef: a token logs in as exactly one user, so give each a key of their own"),
]))]
pub struct TokenAuth {
    /// The users, one by default.
    #[schemars(
        length(min = 1, max = 200),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub users: Vec<TokenUser>,
    /// Log the login URLs with their tokens when the hub starts (S9). If not, the command that reads them from the Secret
    /// that the status names is logged instead.
    pub log: bool,
}

impl Default for TokenAuth {
    fn default() -> Self {
        Self { users: vec![TokenUser { name: "jovyan".to_owned(), admin: true, token_secret_ref: None }], log: true }
    }
}

/// A user who logs in with a token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenUser {
    /// User name; also the key in the Secret of generated tokens.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-._a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// The user administers the Hub.
    #[serde(default)]
    pub admin: bool,
    /// A Secret with the token: 8 to 64 characters. Without it the operator generates one of 48.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_secret_ref: Option<SecretKeyRef>,
}

/// Login by name and password. The hub keeps passwords as hashes (argon2id) in its database; an administrator sets them, or
/// people do at their first login. Whom the lists don't admit has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PasswordAuth {
    /// A Secret with passwords, as htpasswd's file has them: each key is a user name, each value the hash that `hub password
    /// hash` prints (argon2, as a PHC string). Whoever is in it has this password and no other, and it is changed there
    /// and nowhere else. The Secret admits nobody: allowedUsers does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users_secret_ref: Option<SecretRef>,
    /// What somebody types at their first login becomes their password, as with JupyterHub's FirstUseAuthenticator. Whoever
    /// comes first under an allowed user's name has it, so it is for those who trust each other. Without it an administrator
    /// sets the first password.
    pub first_use: bool,
    /// How many characters a password that people choose has at least.
    #[schemars(range(min = 1, max = Self::LONGEST_MINIMUM))]
    pub min_length: u32,
}

impl PasswordAuth {
    /// A minimum that everybody can still meet.
    pub const LONGEST_MINIMUM: u32 = 128;
}

impl Default for PasswordAuth {
    fn default() -> Self {
        Self { users_secret_ref: None, first_use: false, min_length: 8 }
    }
}

/// Any user name with one shared password.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = rules(&[
    ("has(self.passwordSecretRef) != self.allowAnyPassword", "spec.auth.dummy needs passwordSecretRef, or allowAnyPassword: true to let everybody in without one, not both"),
]))]
pub struct DummyAuth {
    /// A Secret with the password that everybody shares.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_secret_ref: Option<SecretKeyRef>,
    /// Accept any password.
    pub allow_any_password: bool,
}
