//! The two programs that the operator runs, their database, and the policies around them.

use hub_auth::cookie::DAY;
use k8s_openapi::api::core::v1::{EnvVar, LocalObjectReference, Toleration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

use super::schema::{Amount, Amounts, Open, SecretKeyRef, environment, open_object, open_objects, rules, string_map};

/// Requests and limits of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Resources {
    /// What the scheduler sets aside.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub requests: Amounts,
    /// What the container may not exceed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub limits: Amounts,
}

/// Where a component's image comes from and where its pod may run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PodPlacement {
    /// Image. Without it the operator uses the one of its own version.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// When the image is pulled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// Secrets with the credentials of the image's registry.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// CPU and memory.
    pub resources: Resources,
    /// Labels that a node must have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "string_map")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pod accepts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,
    /// A Kubernetes `Affinity`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "open_object")]
    pub affinity: Option<Open>,
    /// Kubernetes `TopologySpreadConstraint`s.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "open_objects")]
    pub topology_spread_constraints: Vec<Open>,
    /// Name of a PriorityClass.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
    /// Additional environment variables.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "environment")]
    pub extra_env: Vec<EnvVar>,
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ImagePullPolicy {
    Always,
    IfNotPresent,
    Never,
}

impl ImagePullPolicy {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// The hub's pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HubComponent {
    #[serde(flatten)]
    pub servers: ServerLimits,
    #[serde(flatten)]
    pub clients: ClientRules,
    #[serde(flatten)]
    pub sessions: Sessions,
    #[serde(flatten)]
    pub landing: Landing,
    #[serde(flatten)]
    pub api_pages: ApiPages,
    #[serde(flatten)]
    pub activity: ActivityTimes,
    /// Where the audit log goes.
    pub audit_log: AuditLog,
    #[serde(flatten)]
    pub pod: PodPlacement,
}

/// Where the audit log goes: one line of JSON for each login and each use of power over an account, a server or a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuditLog {
    /// Into the log of the hub's pod. The rest of its log is on the standard error.
    #[default]
    Stdout,
    /// To `audit.log` on the volume of the SQLite database. It only grows.
    File,
}

/// How a program writes its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What the hub asks of programs that speak to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientRules {
    /// An OAuth client must prove with PKCE (S256) that it is the one that asked for a code. Single-user servers of
    /// JupyterHub 6 do so, older ones and services that don't are refused.
    pub require_pkce: bool,
    /// Metrics are for tokens with the scope `read:metrics`. Without it whoever reaches the hub can read them.
    pub authenticate_prometheus: bool,
}

impl Default for ClientRules {
    fn default() -> Self {
        Self { require_pkce: false, authenticate_prometheus: true }
    }
}

/// Which servers people may have, and how many at a time. 0 is no limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ServerLimits {
    /// People may have servers with names of their own beside the default one.
    pub allow_named_servers: bool,
    /// Named servers that each person may have.
    #[schemars(range(max = 10_000))]
    pub named_server_limit_per_user: u32,
    /// Servers that start at the same time. Whoever comes later is asked to try again in a moment (429).
    #[schemars(range(max = 100_000))]
    pub concurrent_spawn_limit: u32,
    /// Servers that run at the same time. Whoever comes later is refused until one has stopped (429).
    #[schemars(range(max = 1_000_000))]
    pub active_server_limit: u32,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            allow_named_servers: false,
            named_server_limit_per_user: 0,
            concurrent_spawn_limit: 64,
            active_server_limit: 0,
        }
    }
}

/// How long people are logged in, and what ends with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Sessions {
    /// Days after which people must log in anew.
    #[schemars(range(min = 1, max = Self::MOST_DAYS))]
    pub cookie_max_age_days: u32,
    /// Seconds after which a server or service asks the hub again who a person is. Whoever is logged in there notices
    /// nothing of it. 0 is as long as a login.
    #[schemars(range(max = 34_560_000))]
    pub oauth_token_expires_in: u32,
    /// A logout stops the person's servers.
    pub shutdown_on_logout: bool,
}

impl Sessions {
    /// No browser keeps a cookie longer.
    pub const MOST_DAYS: u32 = 400;

    /// Seconds that a login is believed.
    pub fn login_seconds(&self) -> i64 {
        i64::from(self.cookie_max_age_days) * DAY
    }

    /// Seconds that a token lives which a server or service gets for a person.
    pub fn oauth_token_seconds(&self) -> i64 {
        match self.oauth_token_expires_in {
            0 => self.login_seconds(),
            seconds => seconds.into(),
        }
    }
}

impl Default for Sessions {
    fn default() -> Self {
        Self { cookie_max_age_days: 14, oauth_token_expires_in: 0, shutdown_on_logout: false }
    }
}

/// Where people are led who asked for no page in particular.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Landing {
    /// Whoever logs in or opens the hub, and asks for no page of it, is led to their own server, which starts if it does
    /// not run. Without it they are led to `/hub/home`, where their servers are listed.
    pub redirect_to_server: bool,
    /// Where they are led instead of that: a path, from the base URL on, such as `/hub/home`, or a whole address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 512),
        regex(pattern = r"^(/([^/\s]\S*)?|https?://[A-Za-z0-9][-.A-Za-z0-9]*(:[0-9]{1,5})?(/\S*)?)$")
    )]
    pub default_url: Option<String>,
}

impl Default for Landing {
    fn default() -> Self {
        Self { redirect_to_server: true, default_url: None }
    }
}

/// How many entries of a list the REST API gives at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ApiPages {
    /// Entries for a client that asks for a page and not for a number of entries; at most `apiPageMaxLimit`.
    #[serde(rename = "apiPageDefaultLimit")]
    #[schemars(range(min = 1, max = 100_000))]
    pub default_limit: u32,
    /// Entries that a client gets at most, and one that knows nothing of pages always.
    #[serde(rename = "apiPageMaxLimit")]
    #[schemars(range(min = 1, max = 100_000))]
    pub max_limit: u32,
}

impl Default for ApiPages {
    fn default() -> Self {
        Self { default_limit: 50, max_limit: 200 }
    }
}

/// How exactly the hub knows when people and their servers were last active.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ActivityTimes {
    /// Seconds within which a person's or a token's further requests are not noted.
    #[serde(rename = "activityResolution")]
    #[schemars(range(max = 86_400))]
    pub resolution: u32,
    /// Seconds after which the hub notes anew when the proxy last saw requests for each server. 0 is never: then only
    /// servers that report it themselves are known to be active.
    #[serde(rename = "lastActivityInterval")]
    #[schemars(range(max = 86_400))]
    pub interval: u32,
}

impl ActivityTimes {
    /// How often the proxy's table is read for activity, if it is.
    pub fn every(&self) -> Option<Duration> {
        (self.interval > 0).then(|| Duration::from_secs(self.interval.into()))
    }
}

impl Default for ActivityTimes {
    fn default() -> Self {
        Self { resolution: 30, interval: 60 }
    }
}

/// The proxy's pod and the Service in front of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ProxyComponent {
    /// Which proxy runs. Both have the same command line and REST API.
    pub implementation: ProxyImplementation,
    /// How many pods share the work, each with the whole routing table. 1 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 20))]
    pub replicas: Option<i32>,
    /// The Service that people reach.
    pub service: ProxyService,
    /// Addresses, such as `10.0.0.0/8`, of what stands in front of the proxy: only from there are `X-Forwarded-*` believed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 64)), extend("x-kubernetes-list-type" = "set"))]
    pub trusted_proxies: Vec<String>,
    /// An Ingress that leads to the proxy. TLS ends in it: `https.type` is `external`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress: Option<ProxyIngress>,
    /// An HTTPRoute of the Gateway API that leads to the proxy. TLS ends in the gateway: `https.type` is `external`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_route: Option<ProxyHttpRoute>,
    #[serde(flatten)]
    pub pod: PodPlacement,
}

/// An Ingress that leads to the proxy, for the hosts of `https.hosts` or else that of publicUrl.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ProxyIngress {
    /// Name of an IngressClass; without it the cluster's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub class_name: Option<String>,
    /// Annotations, as controllers want them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "string_map")]
    pub annotations: BTreeMap<String, String>,
    /// A Secret with the certificate that the Ingress serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub tls_secret_name: Option<String>,
}

/// An HTTPRoute that leads to the proxy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProxyHttpRoute {
    /// The Gateways that it belongs to: `ParentReference`s of the Gateway API.
    #[schemars(schema_with = "open_objects")]
    pub parent_refs: Vec<Open>,
    /// Host names; by default those of `https.hosts` or else that of publicUrl.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253)))]
    pub hostnames: Vec<String>,
}

/// Which proxy runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyImplementation {
    #[default]
    HubProxy,
    ConfigurableHttpProxy,
}

/// The Service that people reach.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = rules(&[
    ("self.type != 'ClusterIP' || !has(self.nodePorts)", "spec.proxy.service.nodePorts needs type NodePort or LoadBalancer: remove it or change the type"),
]))]
pub struct ProxyService {
    /// Type of the Service.
    #[serde(rename = "type")]
    pub service_type: ServiceType,
    /// Annotations of the Service, as load balancers of clouds want them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "string_map")]
    pub annotations: BTreeMap<String, String>,
    /// Fixed ports on the nodes; without them Kubernetes chooses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_ports: Option<NodePorts>,
}

/// Type of the Service that people reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    ClusterIP,
    NodePort,
    #[default]
    LoadBalancer,
}

impl ServiceType {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIP => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}

/// Fixed ports on the nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NodePorts {
    /// Port for plain HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub http: Option<i32>,
    /// Port for HTTPS, if TLS ends in the proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub https: Option<i32>,
}

/// Where the hub keeps its state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = rules(&[
    ("(self.type == 'postgres') == has(self.urlSecretRef)", "spec.database.urlSecretRef goes with type 'postgres': name the Secret and key that hold postgresql://user:password@host:5432/name, or remove it for 'sqlite'"),
]))]
pub struct Database {
    /// Kind of database.
    #[serde(rename = "type")]
    pub database_type: DatabaseType,
    /// Holds the address of the PostgreSQL database, `postgresql://user:password@host:5432/name?sslmode=verify-full`. A
    /// changed one is used from the hub's next start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_secret_ref: Option<SecretKeyRef>,
    /// The volume of the SQLite database.
    pub pvc: DatabaseVolume,
}

/// Kind of database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DatabaseType {
    /// One file on a volume of the Hub's own. While a new hub takes the place of the old one requests wait for it.
    #[default]
    Sqlite,
    /// A server that somebody else runs. The next hub stands ready before the old one ends.
    Postgres,
}

/// The volume of the SQLite database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = rules(&[
    ("has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)", "spec.database.pvc.storageClassName cannot be changed: a claim keeps its class; make a new Hub and move the data"),
    ("quantity(string(self.storage)).compareTo(quantity(string(oldSelf.storage))) >= 0", "spec.database.pvc.storage cannot shrink: a claim can only grow"),
]))]
pub struct DatabaseVolume {
    /// Size of the volume.
    pub storage: Amount,
    /// Its StorageClass; without one the cluster's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub storage_class_name: Option<String>,
    /// A claim of yours that has a database in `jupyterhub.sqlite`, such as `hub-db-dir` of zero-to-jupyterhub, or that is
    /// to get one. The operator neither changes nor deletes it; size and class above are without effect then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub claim_name: Option<String>,
}

impl Default for DatabaseVolume {
    fn default() -> Self {
        Self { storage: Amount::new("1Gi"), storage_class_name: None, claim_name: None }
    }
}

/// NetworkPolicies around hub, proxy and user pods.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NetworkPolicySpec {
    /// Make them. They restrict ingress everywhere, and egress of user pods to DNS, hub, proxy and the internet
    /// without private ranges and the metadata address.
    pub enabled: bool,
}

impl Default for NetworkPolicySpec {
    fn default() -> Self {
        Self { enabled: true }
    }
}
