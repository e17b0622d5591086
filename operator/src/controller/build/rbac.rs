//! What the hub may do: in the namespace of the user pods what spawning needs, and in its own one write its report and see
//! where the proxy's pods are.

use hub_crds::names::{child, label_value};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use kube::api::ObjectMeta;

use super::{ValidatedHub, owned_meta, user_meta};

const API_GROUP: &str = "rbac.authorization.k8s.io";

pub(super) fn build_role(hub: &ValidatedHub) -> Role {
    Role {
        metadata: user_meta(hub, child::hub(&hub.name), label_value::HUB),
        rules: Some(vec![
            // Servers.
            rule("pods", &["get", "list", "watch", "create", "patch", "delete"]),
            // Their volumes.
            rule("persistentvolumeclaims", &["get", "list", "watch", "create", "delete"]),
            // Their API tokens: written, never read.
            rule("secrets", &["create", "patch", "delete"]),
            // The progress of their start.
            rule("events", &["get", "list", "watch"]),
        ]),
    }
}

pub(super) fn build_role_binding(hub: &ValidatedHub) -> RoleBinding {
    binding(hub, user_meta(hub, child::hub(&hub.name), label_value::HUB))
}

/// One ConfigMap and no other: in it the hub tells which versions of its secrets it has loaded. And where Services lead.
pub(super) fn build_report_role(hub: &ValidatedHub) -> Role {
    let report = child::report(&hub.name);
    let rule = PolicyRule { resource_names: Some(vec![report.clone()]), ..rule("configmaps", &["get", "patch"]) };
    let endpoints = PolicyRule {
        api_groups: Some(vec!["discovery.k8s.io".to_owned()]),
        ..self::rule("endpointslices", &["get", "list", "watch"])
    };
    Role { metadata: owned_meta(hub, report, label_value::HUB), rules: Some(vec![rule, endpoints]) }
}

pub(super) fn build_report_role_binding(hub: &ValidatedHub) -> RoleBinding {
    binding(hub, owned_meta(hub, child::report(&hub.name), label_value::HUB))
}

/// Gives the hub the Role of the same name.
fn binding(hub: &ValidatedHub, metadata: ObjectMeta) -> RoleBinding {
    let name = metadata.name.clone().unwrap_or_default();
    RoleBinding {
        metadata,
        role_ref: RoleRef { api_group: API_GROUP.to_owned(), kind: "Role".to_owned(), name },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name: child::hub(&hub.name),
            namespace: Some(hub.namespace.clone()),
            ..Subject::default()
        }]),
    }
}

fn rule(resource: &str, verbs: &[&str]) -> PolicyRule {
    PolicyRule {
        api_groups: Some(vec![String::new()]),
        resources: Some(vec![resource.to_owned()]),
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        ..PolicyRule::default()
    }
}
