//! What the pods of hub and proxy have in common: placement, the `restricted` standard, volumes from Secrets, probes.

use hub_crds::{
    LogFormat, SecretKeyRef,
    names::{label, port},
};
use k8s_openapi::{
    api::core::v1::{
        Capabilities, ContainerPort, EmptyDirVolumeSource, HTTPGetAction, KeyToPath, PodSecurityContext, PodSpec,
        PodTemplateSpec, Probe, SeccompProfile, SecretVolumeSource, SecurityContext, Volume, VolumeMount,
    },
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::api::ObjectMeta;

use super::{ValidatedHub, own_labels};
use crate::controller::types::PodSettings;

/// The user that our images run as.
const USER: i64 = 65532;
/// Secret files are read by the pod's group only (S40).
pub(super) const SECRET_MODE: i32 = 0o440;

/// A pod's template around the specification; placement comes from the settings.
pub(super) fn template(hub: &ValidatedHub, component: &str, settings: &PodSettings, spec: PodSpec) -> PodTemplateSpec {
    let mut labels = own_labels(&hub.name, &hub.namespace);
    labels.insert(label::COMPONENT.to_owned(), component.to_owned());
    let filled = |list: bool| list.then_some(());
    PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(labels), ..ObjectMeta::default() }),
        spec: Some(PodSpec {
            automount_service_account_token: Some(spec.automount_service_account_token.unwrap_or(false)),
            enable_service_links: Some(false),
            security_context: Some(pod_security()),
            image_pull_secrets: filled(!settings.image_pull_secrets.is_empty())
                .map(|()| settings.image_pull_secrets.clone()),
            node_selector: filled(!settings.node_selector.is_empty()).map(|()| settings.node_selector.clone()),
            tolerations: filled(!settings.tolerations.is_empty()).map(|()| settings.tolerations.clone()),
            affinity: settings.affinity.clone(),
            topology_spread_constraints: filled(!settings.topology_spread_constraints.is_empty())
                .map(|()| settings.topology_spread_constraints.clone())
                .or_else(|| spec.topology_spread_constraints.clone()),
            priority_class_name: settings.priority_class_name.clone(),
            ..spec
        }),
    }
}

fn pod_security() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        fs_group: Some(USER),
        // A large volume is not walked through at each start.
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), ..SeccompProfile::default() }),
        ..PodSecurityContext::default()
    }
}

/// The argument of our own programs, if it is not their default.
pub(super) fn log_format(format: LogFormat) -> Option<String> {
    (format == LogFormat::Json).then(|| "--log-format=json".to_owned())
}

pub(super) fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), ..Capabilities::default() }),
        ..SecurityContext::default()
    }
}

/// A whole Secret as a directory: no `subPath` and no choice of keys, so that what changes arrives without a restart, and
/// all of it at once.
pub(super) fn whole_secret_volume(name: &str, secret: String) -> Volume {
    volume_of_secret(name, secret, None)
}

/// A directory with one file: no `subPath`, so that a changed value arrives without a restart.
pub(super) fn secret_volume(name: &str, secret: &SecretKeyRef, file: &str) -> Volume {
    let item = KeyToPath { key: secret.key.clone(), path: file.to_owned(), mode: None };
    volume_of_secret(name, secret.name.clone(), Some(vec![item]))
}

fn volume_of_secret(name: &str, secret: String, items: Option<Vec<KeyToPath>>) -> Volume {
    Volume {
        name: name.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret),
            default_mode: Some(SECRET_MODE),
            items,
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

pub(super) fn scratch_volume(name: &str) -> Volume {
    Volume { name: name.to_owned(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() }
}

pub(super) fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount { name: name.to_owned(), mount_path: path.to_owned(), ..VolumeMount::default() }
}

pub(super) fn read_only_mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount { read_only: Some(true), ..mount(name, path) }
}

pub(super) fn container_port(name: &str, number: u16) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: i32::from(number),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

/// `GET path` every `period` seconds, over TLS on the port of that name; `failures` in a row count.
pub(super) fn http_probe(path: String, port_name: &str, period: i32, failures: i32) -> Probe {
    let scheme = if port_name == port::PROXY_HTTPS_NAME { "HTTPS" } else { "HTTP" };
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path),
            port: IntOrString::String(port_name.to_owned()),
            scheme: Some(scheme.to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(period.clamp(1, 5)),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}
