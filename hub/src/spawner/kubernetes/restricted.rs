//! What of the Pod Security Standard `restricted` a pod breaks. Pure.
//!
//! The namespace's own admission may be off; the hub keeps the standard whatever a template says.

use k8s_openapi::api::core::v1::{Container, PodSecurityContext, PodSpec, Volume};
use serde_json::Value;

/// Kinds of volumes that the standard allows.
const VOLUMES: [&str; 8] =
    ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"];

/// Each field that breaks the standard, with what it should be.
pub(super) fn violations(spec: Option<&PodSpec>) -> Vec<String> {
    let Some(spec) = spec else { return vec!["the pod has no spec".to_owned()] };
    let mut found = Vec::new();
    for (field, on) in [("hostNetwork", spec.host_network), ("hostPID", spec.host_pid), ("hostIPC", spec.host_ipc)] {
        if on == Some(true) {
            found.push(format!("{field} must not be set"));
        }
    }
    found.extend(spec.volumes.iter().flatten().filter_map(volume_violation));
    let pod = spec.security_context.clone().unwrap_or_default();
    if pod.run_as_user == Some(0) {
        found.push("securityContext.runAsUser must not be 0".to_owned());
    }
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    for container in containers {
        let at = format!("container {}", container.name);
        found.extend(container_violations(&pod, container).into_iter().map(|violation| format!("{at}: {violation}")));
    }
    found
}

fn volume_violation(volume: &Volume) -> Option<String> {
    let Ok(Value::Object(fields)) = serde_json::to_value(volume) else { return None };
    let kind = fields.keys().find(|key| *key != "name" && !VOLUMES.contains(&key.as_str()))?;
    Some(format!("volume {} must not be a {kind}", volume.name))
}

fn container_violations(pod: &PodSecurityContext, container: &Container) -> Vec<&'static str> {
    let own = container.security_context.clone().unwrap_or_default();
    let capabilities = own.capabilities.unwrap_or_default();
    let seccomp = own.seccomp_profile.or_else(|| pod.seccomp_profile.clone()).map(|profile| profile.type_);
    let added = capabilities.add.unwrap_or_default();
    let ports = container.ports.iter().flatten();
    let rules = [
        (own.privileged != Some(true), "privileged must not be true"),
        (own.allow_privilege_escalation == Some(false), "allowPrivilegeEscalation must be false"),
        (
            capabilities.drop.is_some_and(|drop| drop.iter().any(|name| name == "ALL")),
            "capabilities.drop must have ALL",
        ),
        (added.iter().all(|name| name == "NET_BIND_SERVICE"), "capabilities.add must be empty"),
        (own.run_as_non_root.or(pod.run_as_non_root) == Some(true), "runAsNonRoot must be true"),
        (own.run_as_user != Some(0), "runAsUser must not be 0"),
        (
            matches!(seccomp.as_deref(), Some("RuntimeDefault" | "Localhost")),
            "seccompProfile.type must be RuntimeDefault or Localhost",
        ),
        (own.proc_mount.is_none_or(|mount| mount == "Default"), "procMount must be Default"),
        (ports.clone().all(|port| port.host_port.unwrap_or(0) == 0), "hostPort must not be set"),
    ];
    rules.into_iter().filter(|(kept, _)| !kept).map(|(_, violation)| violation).collect()
}
