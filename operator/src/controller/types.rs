//! What the steps of a reconcile hand to each other. The types prove their order: only `validate` makes a
//! [`ValidatedHub`], only `build` makes [`Prepared`] resources, only `apply` makes [`Applied`] ones.

use std::{collections::BTreeMap, marker::PhantomData, sync::Arc, time::Duration};

use hub_crds::{
    ActivityTimes, ApiPages, AuditLog, ClientRules, Cull, DatabaseVolume, Hsts, HttpsType, HubSpec, Landing, LogFormat,
    LoginLimits, Pages, ProxyHttpRoute, ProxyImplementation, ProxyIngress, ProxyService, SecretKeyRef, ServerLimits,
    Sessions, SingleUser, TlsVersion,
    config::{AuthConfig, RbacConfig},
    names::{child, label, label_value},
    report::Report,
    status::RotationStatus,
};
use k8s_openapi::{
    ByteString,
    api::{
        apps::v1::Deployment,
        core::v1::{
            Affinity, ConfigMap, EnvVar, LocalObjectReference, PersistentVolumeClaim, ResourceRequirements, Secret,
            Service, ServiceAccount, Toleration, TopologySpreadConstraint,
        },
        networking::v1::{Ingress, NetworkPolicy},
        policy::v1::PodDisruptionBudget,
        rbac::v1::{Role, RoleBinding},
    },
};

use crate::{
    certificate::Standing,
    extension::Presence,
    internal_tls::InternalTls,
    rotation::{Plan, Rotating, request::Request},
    route,
    secrets::{Holder, Known, Record},
};

/// Images of the operator's own version.
#[derive(Clone, Debug, PartialEq)]
pub struct Images {
    pub hub: String,
    pub hub_proxy: String,
    pub configurable_http_proxy: String,
}

/// What a Hub is made from: read, not yet judged.
#[derive(Debug)]
pub struct Found {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub spec: HubSpec,
    /// Secrets that the spec refers to, by name.
    pub referenced: BTreeMap<String, Arc<Secret>>,
    /// The Secrets of record that the Hub needs, and what is known of them.
    pub records: Vec<(Record, Known)>,
    /// What somebody asks for: rotations and resets.
    pub requests: Vec<Request>,
    /// What the hub says that it has loaded.
    pub report: Report,
    /// What was said of the rotation last.
    pub rotation: Option<RotationStatus>,
    pub now: jiff::Timestamp,
    /// Hubs that exist, by uid.
    pub alive: Vec<String>,
    /// The claim of the database, if it exists.
    pub claim: Option<Arc<PersistentVolumeClaim>>,
    /// Namespace of the operator itself, if it runs in a cluster.
    pub operator_namespace: Option<String>,
}

impl Found {
    /// The value of a Secret that the spec refers to.
    pub fn value(&self, reference: &SecretKeyRef) -> Option<&[u8]> {
        let data = self.referenced.get(&reference.name)?.data.as_ref()?;
        data.get(&reference.key).map(|value| value.0.as_slice())
    }

    /// The value that the administrator gives for a secret.
    pub fn given(&self, secret: Rotating) -> Option<&ByteString> {
        let reference = secret.source(&self.spec)?.secret_ref.as_ref()?;
        self.referenced.get(&reference.name)?.data.as_ref()?.get(&reference.key)
    }

    /// All values of a Secret of record, as it is or as its copy has it.
    pub fn record_data(&self, record: &str) -> Option<&BTreeMap<String, ByteString>> {
        let (_, known) = self.records.iter().find(|(found, _)| found.name == record)?;
        known.live.as_ref().or(known.copy.as_ref())?.data.as_ref()
    }

    /// One of them.
    pub fn generated(&self, record: &str, key: &str) -> Option<&[u8]> {
        self.record_data(record)?.get(key).map(|value| value.0.as_slice())
    }
}

/// A Hub that has been judged and found good, with every default filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedHub {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub paused: bool,
    pub base_url: String,
    pub public_url: Option<String>,
    pub subdomain_host: Option<String>,
    pub cookie_host_prefix: bool,
    pub https: HttpsType,
    /// What the certificate is to be for.
    pub hosts: Vec<String>,
    pub hsts: Option<Hsts>,
    pub min_tls_version: TlsVersion,
    /// Certificates are chosen by the name that a client asks for.
    pub has_extra_certificates: bool,
    /// Port of HTTPS, as people see it.
    pub redirect_port: u16,
    /// Filled in by [`crate::certificate::obtain`].
    pub certificate: Standing,
    /// The proxy and users' servers know each other by certificates.
    pub has_internal_tls: bool,
    /// Filled in by [`crate::internal_tls::obtain`].
    pub internal_tls: Option<InternalTls>,
    pub hub: PodSettings,
    pub proxy: PodSettings,
    pub proxy_implementation: ProxyImplementation,
    pub proxy_service: ProxyService,
    pub trusted_proxies: Vec<String>,
    pub ingress: Option<ProxyIngress>,
    pub http_route: Option<ProxyHttpRoute>,
    /// Filled in by [`crate::route::keep`].
    pub route: Option<Presence>,
    pub proxy_replicas: i32,
    pub database: DatabasePlace,
    pub secrets: SecretSources,
    pub records: Vec<Record>,
    /// `auth_state` is kept, encrypted.
    pub crypt_keys: bool,
    pub rotation: Plan,
    pub auth: AuthConfig,
    pub login_limits: LoginLimits,
    /// For each user of `auth.token` whose token is there, the address that logs in with it.
    pub login_urls: BTreeMap<String, ByteString>,
    pub server_limits: ServerLimits,
    pub rbac: RbacConfig,
    pub client_rules: ClientRules,
    pub sessions: Sessions,
    pub landing: Landing,
    pub pages: Pages,
    pub api_pages: ApiPages,
    pub activity: ActivityTimes,
    pub cull: Option<Cull>,
    pub log_format: LogFormat,
    pub audit_log: AuditLog,
    pub singleuser: SingleUser,
    pub user_namespace: String,
    pub network_policy: bool,
    pub operator_namespace: Option<String>,
}

/// Where each secret value of a login is: the administrator's Secret, or one of record. (What rotates is always in one of
/// record.)
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SecretSources {
    pub dummy_password: Option<SecretKeyRef>,
    /// The name of the Secret with users' hashed passwords.
    pub passwords: Option<String>,
    /// For each user of `auth.token`.
    pub login_tokens: BTreeMap<String, SecretKeyRef>,
    /// What the provider of `auth.oidc` needs, by the names of files.
    pub oidc: BTreeMap<String, SecretKeyRef>,
    /// For each service that has a token.
    pub service_tokens: BTreeMap<String, SecretKeyRef>,
}

/// One component's pod, its open objects parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct PodSettings {
    pub image: String,
    pub image_pull_policy: Option<String>,
    pub image_pull_secrets: Vec<LocalObjectReference>,
    pub resources: ResourceRequirements,
    pub node_selector: BTreeMap<String, String>,
    pub tolerations: Vec<Toleration>,
    pub affinity: Option<Affinity>,
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    pub priority_class_name: Option<String>,
    pub extra_env: Vec<EnvVar>,
}

impl ValidatedHub {
    /// When to look again, if that is sooner than usual.
    pub fn next_look(&self) -> Option<Duration> {
        let route = matches!(self.route, Some(Presence::KindMissing)).then_some(route::WAIT);
        [self.certificate.next, route].into_iter().flatten().min()
    }

    pub fn holder(&self) -> Holder {
        let mut labels = own_labels(&self.name, &self.namespace);
        labels.insert(label::COMPONENT.to_owned(), label_value::HUB.to_owned());
        Holder { name: self.name.clone(), namespace: self.namespace.clone(), uid: self.uid.clone(), labels }
    }
}

/// Labels of everything that the operator makes for a Hub.
pub fn own_labels(hub: &str, namespace: &str) -> BTreeMap<String, String> {
    [
        (label::NAME, label_value::NAME),
        (label::INSTANCE, hub),
        (label::MANAGED_BY, label_value::OPERATOR),
        (label::HUB, hub),
        (label::HUB_NAMESPACE, namespace),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

/// Built, not yet in the cluster.
#[derive(Debug)]
pub enum Prepared {}

/// As the cluster has them.
#[derive(Debug)]
pub enum Applied {}

/// Every child of a Hub but its Secrets of record. In the order in which they are applied: what a pod needs comes
/// before the pod.
#[derive(Debug)]
pub struct Resources<State> {
    pub service_accounts: Vec<ServiceAccount>,
    pub roles: Vec<Role>,
    pub role_bindings: Vec<RoleBinding>,
    pub config_maps: Vec<ConfigMap>,
    /// Those that are made from others; of record they are not.
    pub secrets: Vec<Secret>,
    pub claims: Vec<PersistentVolumeClaim>,
    pub services: Vec<Service>,
    pub ingresses: Vec<Ingress>,
    pub network_policies: Vec<NetworkPolicy>,
    pub disruption_budgets: Vec<PodDisruptionBudget>,
    pub deployments: Vec<Deployment>,
    pub state: PhantomData<State>,
}

/// Where the hub's database is.
#[derive(Clone, Debug, PartialEq)]
pub enum DatabasePlace {
    /// A claim that the operator makes.
    Volume(DatabaseVolume),
    /// A claim that is there, by name.
    Claim(String),
    /// The Secret that holds the address.
    Postgres(SecretKeyRef),
}

impl DatabasePlace {
    /// The claim with the file of SQLite.
    pub fn claim(&self, hub: &str) -> Option<String> {
        match self {
            Self::Volume(_) => Some(child::database_claim(hub)),
            Self::Claim(name) => Some(name.clone()),
            Self::Postgres(_) => None,
        }
    }
}
