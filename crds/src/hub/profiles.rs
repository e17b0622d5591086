//! What people may choose between when they start a server: kubespawner's `profile_list`, with who may choose what.

use k8s_openapi::api::core::v1::{EnvVar, Toleration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::{
    components::ImagePullPolicy,
    schema::{Open, arguments, bounds, name_set, open_object, rules, string_map, variables},
    singleuser::{Bounds, ExtraResources},
};
use crate::config::is_default;

/// A kind of server that people may choose.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    /// Name in forms and in the API: `{"profile": "gpu"}`.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z0-9]+([-_.][A-Za-z0-9]+)*$"))]
    pub slug: String,
    /// What people read.
    #[schemars(length(min = 1, max = 128))]
    pub display_name: String,
    /// A sentence or two below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// Chosen unless people choose another one. Without any the first is, of those that the person may choose.
    #[serde(default, skip_serializing_if = "is_default")]
    pub default: bool,
    /// Who may choose it: members of these groups. Without these and `allowedUsers` everybody may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "name_set")]
    pub allowed_groups: Vec<String>,
    /// Who may choose it besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "name_set")]
    pub allowed_users: Vec<String>,
    /// What such a server has in place of `spec.singleuser`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub overrides: Overrides,
    /// What else people choose, each from a list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["slug"]))]
    pub options: Vec<ProfileOption>,
}

/// A choice within a profile, such as which image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules(&[
    ("self.choices.filter(c, has(c.default) && c.default).size() <= 1", "two choices of an option have default: true: leave it to one"),
]))]
pub struct ProfileOption {
    /// Name in forms and in the API: `{"profile": "gpu", "image": "torch"}`.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z0-9]+([-_.][A-Za-z0-9]+)*$"))]
    pub slug: String,
    /// What people read.
    #[schemars(length(min = 1, max = 128))]
    pub display_name: String,
    /// The list.
    #[schemars(length(min = 1, max = 24), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["slug"]))]
    pub choices: Vec<ProfileChoice>,
    /// People may also write an image of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unlisted_image: Option<UnlistedImage>,
}

/// An entry of an option's list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfileChoice {
    /// Name in forms and in the API.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z0-9]+([-_.][A-Za-z0-9]+)*$"))]
    pub slug: String,
    /// What people read.
    #[schemars(length(min = 1, max = 128))]
    pub display_name: String,
    /// Chosen unless people choose another one. Without any the first is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub default: bool,
    /// What it changes, over what the profile does.
    #[serde(default, skip_serializing_if = "is_default")]
    pub overrides: Overrides,
}

/// An image that people write themselves. Only the image: no other field takes what they write.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnlistedImage {
    /// What people read beside the field.
    #[schemars(length(min = 1, max = 128))]
    pub display_name: String,
    /// What an image must begin with, such as `quay.io/jupyter/`. What it begins with decides whose it is, so it names a registry
    /// and ends with `/`.
    #[schemars(
        length(min = 1, max = 16),
        inner(length(min = 2, max = 255), regex(pattern = r"^[a-z0-9.-]+(:[0-9]+)?/([a-z0-9._-]+/)*$"))
    )]
    pub prefixes: Vec<String>,
}

/// What a profile or a choice changes of `spec.singleuser`. What is not there stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Overrides {
    /// Another image.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// When it is pulled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// Another command.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "arguments")]
    pub cmd: Vec<String>,
    /// Where a user lands, such as `/lab`. `{username}` is replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = r"^/\S*$"))]
    pub default_url: Option<String>,
    /// CPU cores: guarantee and limit each for itself.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(schema_with = "bounds")]
    pub cpu: Bounds,
    /// Memory: guarantee and limit each for itself.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(schema_with = "bounds")]
    pub memory: Bounds,
    /// Other resources, such as GPUs, beside those of `spec.singleuser`.
    #[serde(skip_serializing_if = "is_default")]
    pub extra_resources: ExtraResources,
    /// Environment variables, beside those of `spec.singleuser` and in place of their namesakes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "variables")]
    pub extra_env: Vec<EnvVar>,
    /// Labels that a node must have besides.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "string_map")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pod accepts, in place of those of `spec.singleuser`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,
    /// A Kubernetes `PodTemplateSpec` that is merged over the pod after that of `spec.singleuser`. The result must still pass
    /// `restricted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "open_object")]
    pub pod_template: Option<Open>,
}
