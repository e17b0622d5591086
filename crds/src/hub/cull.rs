//! When servers and users that nobody needs any more go.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Stops servers that nobody uses, as `jupyterhub-idle-culler` does, and removes users who don't come any more if that is
/// asked for. A server is in use while people send it requests, or messages over a WebSocket, and while it says so itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Cull {
    /// Stop what is idle. False leaves everything running, as a Hub without `cull` does.
    pub enabled: bool,
    /// Seconds without use after which a server is stopped.
    #[schemars(range(min = 1, max = Self::LONGEST))]
    pub timeout: u32,
    /// Seconds between two looks at all servers.
    #[schemars(range(min = 1, max = Self::LONGEST))]
    pub every: u32,
    /// Seconds after its start after which a server is stopped, in use or not. 0 is never.
    #[schemars(range(max = Self::LONGEST))]
    pub max_age: u32,
    /// Remove users, too, who have no server and were not seen for `timeout`, with all that is theirs: their volumes follow
    /// `singleuser.storage.deletePolicy`.
    pub users: bool,
    /// With `users`: remove administrators as well.
    pub admin_users: bool,
    /// Remove a named server with its volume as `singleuser.storage.deletePolicy` says, and don't only stop it.
    pub remove_named_servers: bool,
    /// Other limits for servers that people started with some of the profiles.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["slug"]))]
    pub profiles: Vec<ProfileCull>,
    /// How many are stopped at the same time.
    #[schemars(range(min = 1, max = 1000))]
    pub concurrency: u16,
}

/// The limits of one profile's servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProfileCull {
    /// The profile's name, as a server's options have it: `{"profile": "gpu"}`.
    #[schemars(length(min = 1, max = 63))]
    pub slug: String,
    /// In place of `cull.timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = Cull::LONGEST))]
    pub timeout: Option<u32>,
    /// In place of `cull.maxAge`; 0 is never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = Cull::LONGEST))]
    pub max_age: Option<u32>,
}

impl Cull {
    /// Ten years.
    pub const LONGEST: u32 = 315_360_000;
}

/// Those of zero-to-jupyterhub.
impl Default for Cull {
    fn default() -> Self {
        Self {
            enabled: true,
            timeout: 3600,
            every: 600,
            max_age: 0,
            users: false,
            admin_users: true,
            remove_named_servers: false,
            profiles: Vec::new(),
            concurrency: 10,
        }
    }
}
