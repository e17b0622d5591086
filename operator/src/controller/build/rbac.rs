//! What the hub may do in the namespace of the user pods, and nothing anywhere else.

use hub_crds::names::{child, label_value};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};

use super::{ValidatedHub, user_meta};

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
    RoleBinding {
        metadata: user_meta(hub, child::hub(&hub.name), label_value::HUB),
        role_ref: RoleRef { api_group: API_GROUP.to_owned(), kind: "Role".to_owned(), name: child::hub(&hub.name) },
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
