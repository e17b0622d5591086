//! The servers of the users: image, size, storage, placement.

use k8s_openapi::api::core::v1::{EnvVar, LocalObjectReference, Toleration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::{
    components::ImagePullPolicy,
    profiles::Profile,
    schema::{Amount, Amounts, Open, arguments, environment, open_object, open_objects, rules, string_map},
};

/// The servers of the users.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = rules(&[
    ("!has(self.extraLabels) || self.extraLabels.all(k, !k.startsWith('jupyter.rs/') && !k.startsWith('hub.jupyter.org/') && !k.startsWith('app.kubernetes.io/') && k != 'component')", "spec.singleuser.extraLabels must not set jupyter.rs/*, hub.jupyter.org/*, app.kubernetes.io/* or component: the hub finds its pods by them"),
    ("!has(self.front) || (size(self.cmd) > 0 && !self.cmd[0].endsWith('jupyterhub-singleuser'))", "spec.singleuser.cmd is required with front: set it to the program that is guarded, such as [jupyter, server, '--ServerApp.sock={socket}']; jupyterhub-singleuser guards itself"),
    ("!has(self.front) || self.cmd.exists(a, a.contains('{socket}') || a.contains('{port}'))", "spec.singleuser.cmd must say with front where the program listens: write {socket} where it takes the path of a Unix socket, or {port} where it takes a port, with 127.0.0.1 as its address"),
    ("!has(self.profiles) || self.profiles.filter(p, has(p.default) && p.default).size() <= 1", "two of spec.singleuser.profiles have default: true: leave it to one"),
    ("!has(self.profiles) || self.profiles.all(p, !has(p.default) || !p.default || (!has(p.allowedGroups) && !has(p.allowedUsers)))", "the profile of spec.singleuser.profiles with default: true must be one that everybody may choose: remove its allowedGroups and allowedUsers, or its default"),
]))]
pub struct SingleUser {
    /// Image with `jupyterhub-singleuser` (or what `cmd` names).
    #[schemars(length(min = 1, max = 512))]
    pub image: String,
    /// When the image is pulled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// Secrets with the credentials of the image's registry, in the namespace of the user pods.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// Command that starts the server.
    #[schemars(schema_with = "arguments", extend("minItems" = 1))]
    pub cmd: Vec<String>,
    /// More arguments of the command, for those who leave `cmd` as it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "arguments")]
    pub args: Vec<String>,
    /// What guards a program that cannot do it itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub front: Option<Front>,
    /// Where a user lands, such as `/lab`. `{username}` is replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = r"^/\S*$"))]
    pub default_url: Option<String>,
    /// Directory that a user sees, such as `~/work`; by default where the image starts. `~` is the home directory, and
    /// `{username}` is replaced. It keeps nobody from other files. For `jupyterhub-singleuser`, which knows it by
    /// `JUPYTERHUB_ROOT_DIR`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub notebook_dir: Option<String>,
    /// CPU cores of a server.
    pub cpu: Bounds,
    /// Memory of a server.
    pub memory: Bounds,
    /// Other resources, such as GPUs.
    pub extra_resources: ExtraResources,
    /// Home directories.
    pub storage: Storage,
    /// Kubernetes `Volume`s of the pod.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "open_objects")]
    pub extra_volumes: Vec<Open>,
    /// Kubernetes `VolumeMount`s of the server's container.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "open_objects")]
    pub extra_volume_mounts: Vec<Open>,
    /// Kubernetes `Container`s that run to their end before the server starts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "open_objects")]
    pub init_containers: Vec<Open>,
    /// Service account of the pod. Without it the pod has no credentials of the cluster at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service_account_name: Option<String>,
    /// User id that the server runs as. The Pod Security Standard `restricted` forbids 0.
    #[schemars(range(min = 1, max = 2147483647_i64))]
    pub uid: i64,
    /// Group that owns the volumes.
    #[schemars(range(min = 1, max = 2147483647_i64))]
    pub fs_group: i64,
    /// Additional labels of the pod.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "string_map")]
    pub extra_labels: BTreeMap<String, String>,
    /// Additional annotations of the pod.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "string_map")]
    pub extra_annotations: BTreeMap<String, String>,
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
    /// Name of a PriorityClass.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
    /// Namespace of the user pods, made by the administrator; the Hub's own by default. A namespace is the security
    /// boundary: who may create pods in it can read its Secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub namespace: Option<String>,
    /// Seconds until a pod must run.
    #[schemars(range(min = 1, max = 86400))]
    pub start_timeout: u32,
    /// Seconds from then until the server must answer.
    #[schemars(range(min = 1, max = 86400))]
    pub http_timeout: u32,
    /// Additional environment variables.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "environment")]
    pub extra_env: Vec<EnvVar>,
    /// A Kubernetes `PodTemplateSpec` (metadata and spec) that is merged over the pod: objects field by field, lists
    /// of named items by name. The result must still pass `restricted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "open_object")]
    pub pod_template: Option<Open>,
    /// What people may choose between when they start a server. Without any a server just starts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["slug"]))]
    pub profiles: Vec<Profile>,
}

impl SingleUser {
    /// The program and all of its arguments.
    pub fn command(&self) -> Vec<String> {
        [self.cmd.as_slice(), &self.args].concat()
    }
}

impl Default for SingleUser {
    fn default() -> Self {
        Self {
            image: "quay.io/jupyterhub/singleuser:6.1.1".to_owned(),
            image_pull_policy: None,
            image_pull_secrets: Vec::new(),
            cmd: vec!["jupyterhub-singleuser".to_owned()],
            args: Vec::new(),
            front: None,
            default_url: None,
            notebook_dir: None,
            cpu: Bounds::default(),
            memory: Bounds { guarantee: Some(Amount::new("1G")), limit: None },
            extra_resources: ExtraResources::default(),
            storage: Storage::default(),
            extra_volumes: Vec::new(),
            extra_volume_mounts: Vec::new(),
            init_containers: Vec::new(),
            service_account_name: None,
            uid: 1000,
            fs_group: 100,
            extra_labels: BTreeMap::new(),
            extra_annotations: BTreeMap::new(),
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            affinity: None,
            priority_class_name: None,
            namespace: None,
            start_timeout: 300,
            http_timeout: 30,
            extra_env: Vec::new(),
            pod_template: None,
            profiles: Vec::new(),
        }
    }
}

/// What stands between the proxy and the program, for images without `jupyterhub-singleuser`. It takes the place of the
/// image's entrypoint, and `cmd` is a web program that it starts: `{socket}` or `{port}` in it says where that listens,
/// `{base_url}` below which path it is. With `hub-server` an init container brings the hub's own program, and people log
/// in at the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Front {
    /// `hub server`, copied out of the hub's image.
    HubServer,
}

/// A request and a limit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(transform = rules(&[
    ("!has(self.guarantee) || !has(self.limit) || quantity(string(self.guarantee)).compareTo(quantity(string(self.limit))) <= 0", "guarantee must not exceed limit"),
]))]
pub struct Bounds {
    /// What a server is sure to get.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guarantee: Option<Amount>,
    /// What it may not exceed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<Amount>,
}

impl Bounds {
    /// These with others over them: guarantee and limit each for itself.
    pub fn under(&self, over: &Self) -> Self {
        let of = |over: &Option<Amount>, under: &Option<Amount>| over.as_ref().or(under.as_ref()).cloned();
        Self { guarantee: of(&over.guarantee, &self.guarantee), limit: of(&over.limit, &self.limit) }
    }
}

/// Resources other than CPU and memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ExtraResources {
    /// Requests by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub guarantees: Amounts,
    /// Limits by name, such as `nvidia.com/gpu: 1`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub limits: Amounts,
}

/// Home directories.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Storage {
    /// `dynamic`: a claim for each user. `none`: nothing outlives the pod.
    #[serde(rename = "type")]
    pub storage_type: StorageType,
    /// Size of a claim.
    pub capacity: Amount,
    /// StorageClass of a claim; without one the cluster's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub storage_class_name: Option<String>,
    /// Where it is mounted.
    #[schemars(length(min = 2, max = 512), regex(pattern = r"^/[^:\s]+$"))]
    pub home_mount_path: String,
    /// What happens to a claim when its user or named server is deleted from the hub.
    pub delete_policy: VolumeDeletePolicy,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            storage_type: StorageType::Dynamic,
            capacity: Amount::new("10Gi"),
            storage_class_name: None,
            home_mount_path: "/home/jovyan".to_owned(),
            delete_policy: VolumeDeletePolicy::Retain,
        }
    }
}

/// Where homes live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StorageType {
    Dynamic,
    None,
}

/// What happens to a home when its owner is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum VolumeDeletePolicy {
    Retain,
    DeleteWithUser,
}
