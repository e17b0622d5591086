//! What the steps of a reconcile hand to each other. The types prove their order: only `validate` makes a
//! [`ValidatedHub`], only `build` makes [`Prepared`] resources, only `apply` makes [`Applied`] ones.

use std::{collections::BTreeMap, marker::PhantomData, sync::Arc};

use hub_crds::{
    ClientRules, DatabaseVolume, HubSpec, ProxyImplementation, ProxyService, SecretKeyRef, ServerLimits, SingleUser,
    config::{AuthConfig, RbacConfig},
    names::{label, label_value},
};
use k8s_openapi::{
    ByteString,
    api::{
        apps::v1::Deployment,
        core::v1::{
            Affinity, ConfigMap, EnvVar, LocalObjectReference, PersistentVolumeClaim, ResourceRequirements, Secret,
            Service, ServiceAccount, Toleration, TopologySpreadConstraint,
        },
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
        rbac::v1::{Role, RoleBinding},
    },
};

use crate::secrets::{Holder, Known, Record};

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
    /// Hubs that exist, by uid.
    pub alive: Vec<String>,
    /// The claim of the database, if it exists.
    pub claim: Option<Arc<PersistentVolumeClaim>>,
}

impl Found {
    /// The value of a Secret that the spec refers to.
    pub fn value(&self, reference: &SecretKeyRef) -> Option<&[u8]> {
        let data = self.referenced.get(&reference.name)?.data.as_ref()?;
        data.get(&reference.key).map(|value| value.0.as_slice())
    }

    /// A value of a Secret of record, as it is or as its copy has it.
    pub fn generated(&self, record: &str, key: &str) -> Option<&[u8]> {
        let (_, known) = self.records.iter().find(|(found, _)| found.name == record)?;
        let data = known.live.as_ref().or(known.copy.as_ref())?.data.as_ref()?;
        data.get(key).map(|value| value.0.as_slice())
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
    pub https: hub_crds::HttpsType,
    pub hub: PodSettings,
    pub proxy: PodSettings,
    pub proxy_implementation: ProxyImplementation,
    pub proxy_service: ProxyService,
    pub proxy_replicas: i32,
    pub database: DatabaseVolume,
    pub secrets: SecretSources,
    pub records: Vec<Record>,
    pub auth: AuthConfig,
    /// For each user of `auth.token` whose token is there, the address that logs in with it.
    pub login_urls: BTreeMap<String, ByteString>,
    pub server_limits: ServerLimits,
    pub rbac: RbacConfig,
    pub client_rules: ClientRules,
    pub singleuser: SingleUser,
    pub user_namespace: String,
    pub network_policy: bool,
}

/// Where each secret value is: the administrator's Secret, or one of record.
#[derive(Clone, Debug, PartialEq)]
pub struct SecretSources {
    pub cookie_secret: SecretKeyRef,
    pub proxy_token: SecretKeyRef,
    pub dummy_password: Option<SecretKeyRef>,
    /// For each user of `auth.token`.
    pub login_tokens: BTreeMap<String, SecretKeyRef>,
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
    pub network_policies: Vec<NetworkPolicy>,
    pub disruption_budgets: Vec<PodDisruptionBudget>,
    pub deployments: Vec<Deployment>,
    pub state: PhantomData<State>,
}
