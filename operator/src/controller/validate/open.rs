//! Parts of the spec that are objects of Kubernetes' own API, open in our schema: parsed here, so that a typing error
//! is a message with the field's path and not a field that does nothing.

use hub_crds::{Bounds, ExtraResources, HubSpec, Overrides, Profile, ProfileCull, SingleUser};
use k8s_openapi::api::core::v1::{Affinity, Container, PodSpec, PodTemplateSpec, Volume, VolumeMount};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Problems, restricted};
use crate::controller::quantity;

/// Parses one open object; what is wrong is added to the problems with its path.
pub(super) fn parse<T: DeserializeOwned + Serialize>(path: &str, value: &Value, problems: &mut Problems) -> Option<T> {
    let parsed: T = match serde_path_to_error::deserialize(value) {
        Ok(parsed) => parsed,
        Err(error) => {
            let field = match error.path().to_string() {
                inner if inner == "." => path.to_owned(),
                inner => format!("{path}.{inner}"),
            };
            problems.push(format!("{field}: {}", error.inner()));
            return None;
        }
    };
    let understood = serde_json::to_value(&parsed).unwrap_or_default();
    if let Some(unknown) = unknown_field(path, value, &understood) {
        problems.push(format!("{unknown}: there is no such field: correct its name or remove it"));
        return None;
    }
    Some(parsed)
}

/// Parses a list of open objects.
pub(super) fn parse_all<T: DeserializeOwned + Serialize>(
    path: &str,
    values: &[Value],
    problems: &mut Problems,
) -> Vec<T> {
    let indexed = values.iter().enumerate();
    indexed.filter_map(|(index, value)| parse(&format!("{path}[{index}]"), value, problems)).collect()
}

/// The first field that parsing dropped.
fn unknown_field(path: &str, given: &Value, understood: &Value) -> Option<String> {
    match (given, understood) {
        (Value::Object(given), Value::Object(understood)) => given.iter().find_map(|(key, value)| {
            let path = format!("{path}.{key}");
            match understood.get(key) {
                Some(understood) => unknown_field(&path, value, understood),
                None if is_empty(value) => None,
                None => Some(path),
            }
        }),
        (Value::Array(given), Value::Array(understood)) => given
            .iter()
            .zip(understood)
            .enumerate()
            .find_map(|(index, (given, understood))| unknown_field(&format!("{path}[{index}]"), given, understood)),
        _ => None,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// Checks the open parts of `spec.singleuser`, which the hub merges into its pods.
pub(super) fn check_singleuser(singleuser: &SingleUser, problems: &mut Problems) {
    let path = "spec.singleuser";
    if let Some(affinity) = &singleuser.affinity {
        parse::<Affinity>(&format!("{path}.affinity"), affinity, problems);
    }
    let volumes: Vec<Volume> = parse_all(&format!("{path}.extraVolumes"), &singleuser.extra_volumes, problems);
    parse_all::<VolumeMount>(&format!("{path}.extraVolumeMounts"), &singleuser.extra_volume_mounts, problems);
    let containers: Vec<Container> =
        parse_all(&format!("{path}.initContainers"), &singleuser.init_containers, problems);
    restricted::check_volumes(&format!("{path}.extraVolumes"), &volumes, problems);
    restricted::check_containers(&format!("{path}.initContainers"), &containers, problems);
    check_extra_resources(path, &singleuser.extra_resources, problems);
    if let Some(template) = &singleuser.pod_template {
        check_template(&format!("{path}.podTemplate"), template, problems);
    }
    for profile in &singleuser.profiles {
        check_profile(&format!("{path}.profiles[{}]", profile.slug), singleuser, profile, problems);
    }
}

/// Limits for the servers of a profile are of one that there is.
pub(super) fn check_cull(spec: &HubSpec, problems: &mut Problems) {
    let profiles = &spec.singleuser.profiles;
    for ProfileCull { slug, .. } in spec.cull.iter().flat_map(|cull| &cull.profiles) {
        if !profiles.iter().any(|profile| profile.slug == *slug) {
            problems.push(format!(
                "spec.cull.profiles[{slug}] is no profile: add it to spec.singleuser.profiles, or remove its limits"
            ));
        }
    }
}

/// What a profile and its choices put over the rest is judged like the rest.
fn check_profile(path: &str, singleuser: &SingleUser, profile: &Profile, problems: &mut Problems) {
    let at = format!("{path}.overrides");
    check_overrides(&at, &profile.overrides, problems);
    let sizes = |overrides: &Overrides, [cpu, memory]: [&Bounds; 2]| {
        [cpu.under(&overrides.cpu), memory.under(&overrides.memory)]
    };
    let own = sizes(&profile.overrides, [&singleuser.cpu, &singleuser.memory]);
    check_sizes(&at, &own, problems);
    for option in &profile.options {
        for choice in &option.choices {
            let at = format!("{path}.options[{}].choices[{}].overrides", option.slug, choice.slug);
            check_overrides(&at, &choice.overrides, problems);
            let [cpu, memory] = &own;
            check_sizes(&at, &sizes(&choice.overrides, [cpu, memory]), problems);
        }
    }
}

/// A pod whose guarantee exceeds its limit is refused when somebody starts it.
fn check_sizes(path: &str, sizes: &[Bounds; 2], problems: &mut Problems) {
    for (field, Bounds { guarantee, limit }) in ["cpu", "memory"].into_iter().zip(sizes) {
        let (Some(guarantee), Some(limit)) = (guarantee, limit) else { continue };
        if quantity::parse(&guarantee.to_string()) > quantity::parse(&limit.to_string()) {
            problems.push(format!(
                "{path}.{field}: with spec.singleuser the guarantee is {guarantee} and the limit {limit}: set both, so that the \
                 guarantee does not exceed the limit"
            ));
        }
    }
}

fn check_overrides(path: &str, overrides: &Overrides, problems: &mut Problems) {
    for variable in overrides.extra_env.iter().filter(|variable| is_set_by_the_hub(&variable.name)) {
        problems.push(format!("{path}.extraEnv must not set {}: the hub sets it", variable.name));
    }
    check_extra_resources(path, &overrides.extra_resources, problems);
    if let Some(template) = &overrides.pod_template {
        check_template(&format!("{path}.podTemplate"), template, problems);
    }
}

fn is_set_by_the_hub(variable: &str) -> bool {
    variable.starts_with("JUPYTERHUB_") || ["JPY_API_TOKEN", "CONFIGPROXY_AUTH_TOKEN"].contains(&variable)
}

fn check_template(path: &str, value: &Value, problems: &mut Problems) {
    let Some(template) = parse::<PodTemplateSpec>(path, value, problems) else { return };
    let labels = template.metadata.as_ref().and_then(|metadata| metadata.labels.as_ref());
    for key in labels.into_iter().flatten().map(|(key, _)| key).filter(|key| is_ours(key)) {
        problems.push(format!("{path}.metadata.labels must not set {key}: the hub finds its pods by it"));
    }
    let spec: PodSpec = template.spec.unwrap_or_default();
    restricted::check_pod(&format!("{path}.spec"), &spec, problems);
}

fn is_ours(label: &str) -> bool {
    label == "component"
        || ["jupyter.rs/", "hub.jupyter.org/", "app.kubernetes.io/"].iter().any(|own| label.starts_with(own))
}

/// CPU and memory have fields of their own.
fn check_extra_resources(path: &str, resources: &ExtraResources, problems: &mut Problems) {
    for (field, amounts) in [("guarantees", &resources.guarantees), ("limits", &resources.limits)] {
        for name in ["cpu", "memory"].into_iter().filter(|name| amounts.contains_key(*name)) {
            problems.push(format!("{path}.extraResources.{field} must not set {name}: use {path}.{name}"));
        }
    }
}
