//! Users' servers: the chart's `singleuser` keys are kubespawner's settings under other names, and `hub.config` may have the
//! latter themselves.

use serde_json::{Value, json};

use super::{
    draft::{Draft, object, with_name},
    profiles,
    written::{amount, amounts, binary, list, plain, references, values},
};
use crate::table::{self, Meaning};

/// Keys that are a setting of kubespawner's, as the chart hands them on.
const KEYS: [(&str, &str); 32] = [
    ("singleuser.allowPrivilegeEscalation", "allow_privilege_escalation"),
    ("singleuser.cmd", "cmd"),
    ("singleuser.cpu.guarantee", "cpu_guarantee"),
    ("singleuser.cpu.limit", "cpu_limit"),
    ("singleuser.defaultUrl", "default_url"),
    ("singleuser.extraAnnotations", "extra_annotations"),
    ("singleuser.extraContainers", "extra_containers"),
    ("singleuser.extraEnv", "environment"),
    ("singleuser.extraLabels", "extra_labels"),
    ("singleuser.extraNodeAffinity.preferred", "node_affinity_preferred"),
    ("singleuser.extraNodeAffinity.required", "node_affinity_required"),
    ("singleuser.extraPodAffinity.preferred", "pod_affinity_preferred"),
    ("singleuser.extraPodAffinity.required", "pod_affinity_required"),
    ("singleuser.extraPodAntiAffinity.preferred", "pod_anti_affinity_preferred"),
    ("singleuser.extraPodAntiAffinity.required", "pod_anti_affinity_required"),
    ("singleuser.extraPodConfig", "extra_pod_config"),
    ("singleuser.extraResource.guarantees", "extra_resource_guarantees"),
    ("singleuser.extraResource.limits", "extra_resource_limits"),
    ("singleuser.extraTolerations", "tolerations"),
    ("singleuser.fsGid", "fs_gid"),
    ("singleuser.image.pullPolicy", "image_pull_policy"),
    ("singleuser.image.pullSecrets", "image_pull_secrets"),
    ("singleuser.initContainers", "init_containers"),
    ("singleuser.lifecycleHooks", "lifecycle_hooks"),
    ("singleuser.memory.guarantee", "mem_guarantee"),
    ("singleuser.memory.limit", "mem_limit"),
    ("singleuser.nodeSelector", "node_selector"),
    ("singleuser.profileList", "profile_list"),
    ("singleuser.serviceAccountName", "service_account"),
    ("singleuser.startTimeout", "start_timeout"),
    ("singleuser.storage.capacity", "storage_capacity"),
    ("singleuser.uid", "uid"),
];

const ONE_CLAIM: &str = "a Hub gives each person a claim of their own; copy each person's directory into claim-<name>";
/// Words in the names of variables whose values are nobody's business.
const LIKE_SECRETS: [&str; 7] = ["SECRET", "TOKEN", "PASS", "PWD", "KEY", "CREDENTIAL", "PAT"];
const POD: &str = "spec.singleuser.podTemplate.spec";
const CONTAINERS: &str = "spec.singleuser.podTemplate.spec.containers";

pub(super) fn read(draft: &mut Draft<'_>) {
    for (key, name) in KEYS {
        if let Some(value) = draft.take(key) {
            setting(draft, key, "KubeSpawner", name, value);
        }
    }
    // The chart then leaves it to the image.
    if draft.is_null("singleuser.cmd") {
        draft.by_hand(
            "singleuser.cmd",
            "a Hub starts jupyterhub-singleuser; write the image's own command into spec.singleuser.cmd if that differs",
        );
    }
    image(draft);
    storage(draft);
    let names: Vec<_> = draft.entries("singleuser.extraFiles").map(|(name, _)| name.clone()).collect();
    for name in names {
        draft.by_hand(
            &format!("singleuser.extraFiles.{name}"),
            "put the file into a ConfigMap and mount it with spec.singleuser.extraVolumes and extraVolumeMounts",
        );
    }
    for (key, reason) in [
        ("singleuser.events", "the page of a start shows the pod's events"),
        (
            "singleuser.podNameTemplate",
            "running pods are found by the database, new ones have kubespawner's default names",
        ),
    ] {
        if draft.take(key).is_some() {
            draft.not_needed(key, reason);
        }
    }
}

/// A setting of a spawner's class, wherever it is written.
pub(super) fn setting(draft: &mut Draft<'_>, key: &str, class: &str, name: &str, value: &Value) {
    let Some(setting) = table::find(class, name) else { return };
    let field = match setting.meaning {
        Meaning::Field(field) => field,
        Meaning::NotForClusters(reason) | Meaning::NotYet(reason) => {
            return without_field(draft, key, name, value, reason);
        }
    };
    let (value, how): (Value, Option<String>) = match name {
        "args" | "cmd" => {
            draft.clear(field);
            (list(value), None)
        }
        "mem_guarantee" | "mem_limit" => binary(value),
        "cpu_guarantee" | "cpu_limit" | "storage_capacity" => (amount(value), None),
        "extra_resource_guarantees" | "extra_resource_limits" => (amounts(value), None),
        "environment" => return environment(draft, key, field, value),
        "profile_list" => return profiles::read(draft, key, value),
        "extra_labels" | "common_labels" => return labels(draft, key, field, value),
        "image_pull_secrets" => (references(value), None),
        "volumes" | "volume_mounts" => (values(value), None),
        "automount_service_account_token" => {
            return draft.not_needed(key, "a pod has credentials if it has a service account");
        }
        "storage_pvc_ensure" => (json!(if value == false { "none" } else { "dynamic" }), Some("a word".to_owned())),
        "delete_pvc" => (json!(if value == false { "Retain" } else { "DeleteWithUser" }), Some("a word".to_owned())),
        _ => match of_pod(name, value) {
            Some((field, value)) => return draft.carry(key, field, &value, Some("as Kubernetes has it".to_owned())),
            None => (value.clone(), None),
        },
    };
    draft.carry(key, field, &value, how);
}

/// Settings that a Hub has no field for, but whose default is what a Hub does.
fn without_field(draft: &mut Draft<'_>, key: &str, name: &str, value: &Value, reason: &str) {
    let is_default = match name {
        "allow_privilege_escalation" | "debug" | "disable_user_config" | "privileged" => value == false,
        "storage_access_modes" => *value == json!(["ReadWriteOnce"]),
        "pvc_name_template" => {
            ["claim-{user_server}", "claim-{username}{servername}", "claim-{username}--{servername}"]
                .iter()
                .any(|known| value == known)
        }
        _ => false,
    };
    if is_default {
        draft.not_needed(key, "a Hub does the same");
    } else if reason.ends_with("remove it") {
        draft.not_needed(key, reason.trim_end_matches("; remove it"));
    } else {
        draft.by_hand(key, reason);
    }
}

/// Where a setting goes that is a part of a pod, and how Kubernetes writes it there.
pub(super) fn of_pod(name: &str, value: &Value) -> Option<(&'static str, Value)> {
    let notebook = |field: &str| (CONTAINERS, json!([{"name": "notebook", field: value}]));
    let affinity = |kind: &str, rules: Value| ("spec.singleuser.affinity", object(kind, rules));
    let required = |rules: Value| object("requiredDuringSchedulingIgnoredDuringExecution", rules);
    let preferred = || object("preferredDuringSchedulingIgnoredDuringExecution", value.clone());
    Some(match name {
        "lifecycle_hooks" => notebook("lifecycle"),
        "container_security_context" => notebook("securityContext"),
        "working_dir" => notebook("workingDir"),
        "extra_container_config" => (CONTAINERS, json!([with_name("notebook", value)])),
        "extra_containers" => (CONTAINERS, values(value)),
        "extra_pod_config" => (POD, value.clone()),
        "pod_security_context" => (POD, object("securityContext", value.clone())),
        "gid" => (POD, json!({"securityContext": {"runAsGroup": value}})),
        "supplemental_gids" => (POD, json!({"securityContext": {"supplementalGroups": value}})),
        "scheduler_name" => (POD, object("schedulerName", value.clone())),
        "delete_grace_period" => (POD, object("terminationGracePeriodSeconds", value.clone())),
        "node_affinity_required" => affinity("nodeAffinity", required(object("nodeSelectorTerms", value.clone()))),
        "node_affinity_preferred" => affinity("nodeAffinity", preferred()),
        "pod_affinity_required" => affinity("podAffinity", required(value.clone())),
        "pod_affinity_preferred" => affinity("podAffinity", preferred()),
        "pod_anti_affinity_required" => affinity("podAntiAffinity", required(value.clone())),
        "pod_anti_affinity_preferred" => affinity("podAntiAffinity", preferred()),
        _ => return None,
    })
}

fn image(draft: &mut Draft<'_>) {
    let (name_key, tag_key) = ("singleuser.image.name", "singleuser.image.tag");
    let (name, tag) = (draft.text(name_key), draft.take(tag_key).map(plain));
    let field = "spec.singleuser.image";
    match (name, tag) {
        (Some(name), Some(tag)) => {
            draft.carry(name_key, field, &format!("{name}:{tag}").into(), Some("with the tag".to_owned()));
            draft.changed(tag_key, field, "with the name");
        }
        (Some(name), None) => {
            draft.carry(name_key, field, &name.into(), None);
            draft.by_hand(name_key, "it is spec.singleuser.image now; add the tag, which the chart's own image had");
        }
        (None, Some(tag)) => {
            let image = format!("quay.io/jupyterhub/k8s-singleuser-sample:{tag}");
            draft.carry(tag_key, field, &image.into(), Some("with the name of the chart's image".to_owned()));
        }
        (None, None) => {}
    }
    let secrets = "imagePullSecrets";
    if let Some(names) = draft.take(secrets) {
        let how = Some("for users' servers; hub and proxy have images of their own".to_owned());
        draft.carry(secrets, "spec.singleuser.imagePullSecrets", &references(names), how);
    }
    let is_made = draft.is_true("imagePullSecret.create");
    for key in ["create", "automaticReferenceInjection", "registry", "username", "password", "email"] {
        let key = &format!("imagePullSecret.{key}");
        if draft.take(key).is_none() {
        } else if is_made {
            draft.by_hand(
                key,
                "the chart deletes its Secret; make one with `kubectl create secret docker-registry` and name it in spec.singleuser.imagePullSecrets",
            );
        } else {
            draft.not_needed(key, "no Secret is made");
        }
    }
}

fn storage(draft: &mut Draft<'_>) {
    let key = "singleuser.storage.type";
    let (said, is_static) = (draft.take(key), draft.text(key) == Some("static"));
    match said {
        Some(kind) if !is_static => draft.carry(key, "spec.singleuser.storage.type", kind, None),
        Some(_) => draft.by_hand(key, ONE_CLAIM),
        None => {}
    }
    for key in ["singleuser.storage.static.pvcName", "singleuser.storage.static.subPath"] {
        match draft.take(key) {
            Some(_) if is_static => draft.by_hand(key, ONE_CLAIM),
            Some(_) => draft.not_needed(key, "it is for the type static"),
            None => {}
        }
    }
    let key = "singleuser.storage.homeMountPath";
    if let Some(path) = draft.take(key) {
        draft.carry(key, "spec.singleuser.storage.homeMountPath", path, None);
    }
    let key = "singleuser.storage.dynamic.storageClass";
    if let Some(class) = draft.take(key) {
        draft.carry(key, "spec.singleuser.storage.storageClassName", class, None);
    }
    for (key, name) in [
        ("singleuser.storage.dynamic.pvcNameTemplate", "pvc_name_template"),
        ("singleuser.storage.dynamic.storageAccessModes", "storage_access_modes"),
        ("singleuser.storage.extraLabels", "storage_extra_labels"),
        ("singleuser.storage.extraVolumes", "volumes"),
        ("singleuser.storage.extraVolumeMounts", "volume_mounts"),
    ] {
        if let Some(value) = draft.take(key) {
            setting(draft, key, "KubeSpawner", name, value);
        }
    }
    let key = "singleuser.storage.dynamic.volumeNameTemplate";
    if draft.take(key).is_some() {
        draft.not_needed(key, "the name of a volume within its pod matters to nobody");
    }
    let key = "singleuser.storage.dynamic.subPath";
    if draft.take(key).is_some() {
        draft.by_hand(
            key,
            "homes are the root of their claims; move the files up in each, or mount the path with extraVolumeMounts",
        );
    }
}

/// By a whole word of the name, but for those that are secrets inside others, too.
pub(super) fn is_like_secret(name: &str) -> bool {
    let name = name.to_uppercase();
    LIKE_SECRETS.iter().any(|word| match *word {
        "PAT" => name.split('_').any(|part| part == "PAT"),
        word => name.contains(word),
    })
}

/// An address with a password in it.
pub(super) fn has_password(value: &Value) -> bool {
    value.as_str().and_then(|text| url::Url::parse(text).ok()).is_some_and(|url| url.password().is_some())
}

/// Variables by name, whose values may be objects such as `valueFrom`.
pub(super) fn environment(draft: &mut Draft<'_>, key: &str, field: &str, value: &Value) {
    const OURS: &str = "the operator and the hub set it; remove it";
    const SECRET: &str = "it looks like a secret, so it is not printed; put it into a Secret and name that in";
    let variables = match value {
        Value::Object(variables) => variables.clone(),
        _ => return draft.by_hand(key, &format!("write it as a list of variables into {field}")),
    };
    for (name, value) in variables {
        let key = &format!("{key}.{name}");
        if name.starts_with("JUPYTERHUB_") || ["JPY_API_TOKEN", "CONFIGPROXY_AUTH_TOKEN"].contains(&&*name) {
            draft.by_hand(key, OURS);
            continue;
        }
        if !value.is_object() && (is_like_secret(&name) || has_password(&value)) {
            draft.by_hand(key, &format!("{SECRET} {field}, with valueFrom.secretKeyRef"));
            continue;
        }
        let variable = match value {
            Value::Object(_) => value,
            Value::Null => json!({"value": ""}),
            value => json!({"value": plain(&value)}),
        };
        let variable = with_name(&name, &variable);
        draft.carry(key, field, &json!([variable]), None);
    }
}

/// Labels one by one, without those by which the hub finds its pods.
fn labels(draft: &mut Draft<'_>, key: &str, field: &str, value: &Value) {
    const OURS: [&str; 3] = ["jupyter.rs/", "hub.jupyter.org/", "app.kubernetes.io/"];
    for (name, value) in value.as_object().into_iter().flatten() {
        let key = &format!("{key}.{name}");
        if name == "component" || OURS.iter().any(|prefix| name.starts_with(prefix)) {
            draft.not_needed(key, "the hub labels its pods, and the Hub's NetworkPolicies know them");
        } else {
            draft.carry(key, field, &object(name, value.clone()), None);
        }
    }
}
