//! The file that the operator renders into a ConfigMap and the hub reads. It holds no secret, only the files that do.

use k8s_openapi::api::core::v1::LocalObjectReference;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

use crate::{
    ActivityTimes, ApiPages, ClientRules, Cull, HttpsType, Landing, LoginLimits, PageLink, ServerLimits, Sessions,
    SingleUser,
};

mod oidc;
mod rbac;

pub use oidc::{OidcEndpoints, OidcProvider};
pub use rbac::{Problem, RbacConfig, ServiceConfig};

/// Everything that `hub serve --config FILE` needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HubConfig {
    /// Path below which everything is served; starts and ends with a slash.
    pub base_url: String,
    /// The address that people use, if it is known; ends with `base_url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
    /// Scheme, host and port of the hub, such as `https://hub.example.org`, if users have hosts of their own below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subdomain_host: Option<String>,
    /// Where the hub listens, such as `0.0.0.0:8081`.
    pub bind: String,
    /// Where servers and the proxy reach the hub, without a path: `http://jhub-hub.jupyter:8081`.
    pub connect_url: String,
    pub https: HttpsType,
    /// SQLite's; either this or `database_url_file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_file: Option<PathBuf>,
    /// Holds the address of a PostgreSQL database, which has a password in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_url_file: Option<PathBuf>,
    /// 64 hexadecimal characters (S80). Other versions of the secret are beside it: [`crate::versions`].
    pub cookie_secret_file: PathBuf,
    /// 64 hexadecimal characters that encrypt `auth_state`, with other versions beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crypt_keys_file: Option<PathBuf>,
    /// The names of cookies begin with `__Host-`. Needs https.
    #[serde(default)]
    pub cookie_host_prefix: bool,
    pub proxy: ProxyConnection,
    pub auth: AuthConfig,
    /// How often a login may fail.
    #[serde(default, skip_serializing_if = "is_default")]
    pub login_limits: LoginLimits,
    #[serde(default)]
    pub servers: ServerLimits,
    #[serde(default)]
    pub clients: ClientRules,
    #[serde(default, skip_serializing_if = "is_default")]
    pub sessions: Sessions,
    #[serde(default, skip_serializing_if = "is_default")]
    pub landing: Landing,
    #[serde(default, skip_serializing_if = "is_default")]
    pub api_pages: ApiPages,
    #[serde(default, skip_serializing_if = "is_default")]
    pub activity: ActivityTimes,
    #[serde(default, skip_serializing_if = "is_default")]
    pub pages: PagesConfig,
    /// When idle servers are stopped; without it never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cull: Option<Cull>,
    /// Where commands such as `hub token` reach this hub: its directory is made for its owner only.
    pub control_socket: PathBuf,
    /// Services, roles, groups and custom scopes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rbac: RbacConfig,
    /// The Kubernetes spawner's settings. Without them servers are local processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesConfig>,
}

/// What the settings don't mention changes no checksum.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The look of the hub's pages: [`crate::Pages`], with the logo as a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PagesConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// A picture, of the kind that its ending says. Read at each request; the hub's own is shown where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logo_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub announcement: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<PageLink>,
}

/// How the hub reaches the proxy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProxyConnection {
    /// Its REST API: `http://jhub-proxy-api.jupyter:8001`.
    pub api_url: String,
    /// The Service of it, whose endpoints are the proxy's pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The token that both agree upon (S49). Other versions of it are beside it: [`crate::versions`].
    pub token_file: PathBuf,
    /// Addresses, such as `10.0.0.0/8`, of what stands in front of it and whose word it passes on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusted_proxies: Vec<String>,
}

/// Who may log in, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthConfig {
    pub authenticator: AuthenticatorConfig,
    #[serde(default)]
    pub allow_all: bool,
    #[serde(default)]
    pub allowed_users: Vec<String>,
    #[serde(default)]
    pub blocked_users: Vec<String>,
    #[serde(default)]
    pub admin_users: Vec<String>,
    /// Groups that the provider names, whose members may come in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_groups: Vec<String>,
    /// A user's groups are those that the provider names.
    #[serde(default, skip_serializing_if = "is_default")]
    pub manage_groups: bool,
    /// The login page leads on to the provider at once.
    #[serde(default, skip_serializing_if = "is_default")]
    pub auto_login: bool,
    /// What the provider gave is kept, encrypted.
    #[serde(default, skip_serializing_if = "is_default")]
    pub enable_auth_state: bool,
}

impl AuthConfig {
    /// A way of logging in, and nobody who may.
    pub fn new(authenticator: AuthenticatorConfig) -> Self {
        Self {
            authenticator,
            allow_all: false,
            allowed_users: Vec::new(),
            blocked_users: Vec::new(),
            admin_users: Vec::new(),
            allowed_groups: Vec::new(),
            manage_groups: false,
            auto_login: false,
            enable_auth_state: false,
        }
    }
}

/// The way of logging in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "type", deny_unknown_fields)]
pub enum AuthenticatorConfig {
    /// A token for each user, in the file of that name in `tokens_dir`.
    Token { users: Vec<TokenLogin>, tokens_dir: PathBuf, log: bool },
    /// A password for each user: in the file of that name in `users_dir`, as a hash, or in the database.
    Password {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        users_dir: Option<PathBuf>,
        #[serde(default)]
        first_use: bool,
        /// Of passwords that people choose, in characters.
        min_length: u32,
    },
    /// One shared password; without a file any password passes.
    Dummy { password_file: Option<PathBuf> },
    /// A provider, with what it knows this hub by.
    Oidc { provider: Box<OidcProvider>, client_secret_file: PathBuf, ca_file: Option<PathBuf> },
}

/// A user who logs in with a token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenLogin {
    pub name: String,
    #[serde(default)]
    pub admin: bool,
}

/// What the Kubernetes spawner needs beside its own API server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KubernetesConfig {
    /// The Hub that user pods belong to.
    pub hub: HubIdentity,
    /// Name of the ConfigMap beside the Hub in which the hub tells what it has loaded: [`crate::report::Report`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
    /// Namespace of the user pods.
    pub namespace: String,
    pub singleuser: SingleUser,
    /// Where user pods get `hub server` from, if it is their front.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub front: Option<FrontImage>,
    /// Where the authority of servers' certificates is, if they speak TLS: [`crate::names::path::INTERNAL_TLS_DIR`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal_tls_dir: Option<PathBuf>,
}

/// An image with the `hub` program: the hub's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FrontImage {
    pub image: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<String>,
    /// Secrets in the namespace of the user pods, beside those of `singleuser`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<LocalObjectReference>,
}

/// Which Hub this is: labels and owner references of user pods come from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubIdentity {
    pub name: String,
    pub namespace: String,
    pub uid: String,
}
