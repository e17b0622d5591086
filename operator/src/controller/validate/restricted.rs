//! The Pod Security Standard `restricted`: what an administrator's additions to user pods must not undo. What the
//! standard wants to be present the hub adds itself.

use k8s_openapi::api::core::v1::{Container, PodSpec, SecurityContext, Volume};
use serde_json::Value;

use super::Problems;

/// Kinds of volumes that the standard allows.
const VOLUMES: [&str; 8] =
    ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"];

/// Kinds that carry nothing of the node beyond what the standard allows; OCI images came after the list above.
const IMAGE_VOLUME: &str = "image";

pub(super) fn check_pod(path: &str, pod: &PodSpec, problems: &mut Problems) {
    for (field, is_set) in [("hostNetwork", pod.host_network), ("hostPID", pod.host_pid), ("hostIPC", pod.host_ipc)] {
        refuse(is_set == Some(true), problems, || format!("{path}.{field} must not be true"));
    }
    refuse(pod.service_account.is_some(), problems, || {
        format!("{path}.serviceAccount is out of date: use spec.singleuser.serviceAccountName")
    });
    let context = pod.security_context.clone().unwrap_or_default();
    let at = format!("{path}.securityContext");
    refuse(context.run_as_non_root == Some(false), problems, || format!("{at}.runAsNonRoot must not be false"));
    refuse(context.run_as_user == Some(0), problems, || format!("{at}.runAsUser must not be 0"));
    refuse(context.sysctls.is_some_and(|sysctls| !sysctls.is_empty()), problems, || {
        format!("{at}.sysctls must not be set")
    });
    let profile = context.seccomp_profile.map(|profile| profile.type_);
    refuse(profile.as_deref() == Some("Unconfined"), problems, || {
        format!("{at}.seccompProfile.type must be RuntimeDefault or Localhost")
    });
    let profile = context.app_armor_profile.map(|profile| profile.type_);
    refuse(profile.as_deref() == Some("Unconfined"), problems, || {
        format!("{at}.appArmorProfile.type must be RuntimeDefault or Localhost")
    });
    check_volumes(&format!("{path}.volumes"), pod.volumes.as_deref().unwrap_or_default(), problems);
    check_containers(&format!("{path}.containers"), &pod.containers, problems);
    check_containers(&format!("{path}.initContainers"), pod.init_containers.as_deref().unwrap_or_default(), problems);
    refuse(pod.ephemeral_containers.as_ref().is_some_and(|list| !list.is_empty()), problems, || {
        format!("{path}.ephemeralContainers must not be set: Kubernetes takes them for running pods only")
    });
}

pub(super) fn check_volumes(path: &str, volumes: &[Volume], problems: &mut Problems) {
    for volume in volumes {
        let Ok(Value::Object(fields)) = serde_json::to_value(volume) else { continue };
        for kind in fields.keys().filter(|kind| *kind != "name") {
            let is_allowed = VOLUMES.contains(&kind.as_str()) || kind == IMAGE_VOLUME;
            refuse(!is_allowed, problems, || {
                format!("{path}[{}].{kind}: only {} volumes are allowed", volume.name, VOLUMES.join(", "))
            });
        }
    }
}

pub(super) fn check_containers(path: &str, containers: &[Container], problems: &mut Problems) {
    for container in containers {
        let at = format!("{path}[{}]", container.name);
        let ports = container.ports.as_deref().unwrap_or_default();
        refuse(ports.iter().any(|port| port.host_port.is_some_and(|port| port != 0)), problems, || {
            format!("{at}.ports must not have a hostPort")
        });
        if let Some(context) = &container.security_context {
            check_context(&format!("{at}.securityContext"), context, problems);
        }
    }
}

fn check_context(at: &str, context: &SecurityContext, problems: &mut Problems) {
    refuse(context.privileged == Some(true), problems, || format!("{at}.privileged must not be true"));
    refuse(context.allow_privilege_escalation == Some(true), problems, || {
        format!("{at}.allowPrivilegeEscalation must not be true")
    });
    refuse(context.run_as_non_root == Some(false), problems, || format!("{at}.runAsNonRoot must not be false"));
    refuse(context.run_as_user == Some(0), problems, || format!("{at}.runAsUser must not be 0"));
    refuse(context.proc_mount.as_deref().is_some_and(|mount| mount != "Default"), problems, || {
        format!("{at}.procMount must not be set")
    });
    let added = context.capabilities.as_ref().and_then(|capabilities| capabilities.add.as_ref());
    let is_more = added.is_some_and(|added| added.iter().any(|name| name != "NET_BIND_SERVICE"));
    refuse(is_more, problems, || format!("{at}.capabilities.add may have NET_BIND_SERVICE only"));
    let profiles = [
        ("seccompProfile", context.seccomp_profile.as_ref().map(|profile| profile.type_.as_str())),
        ("appArmorProfile", context.app_armor_profile.as_ref().map(|profile| profile.type_.as_str())),
    ];
    for (field, profile) in profiles {
        refuse(profile == Some("Unconfined"), problems, || {
            format!("{at}.{field}.type must be RuntimeDefault or Localhost")
        });
    }
}

fn refuse(is_wrong: bool, problems: &mut Problems, message: impl FnOnce() -> String) {
    if is_wrong {
        problems.push(format!("{}: the Pod Security Standard 'restricted' forbids it", message()));
    }
}
