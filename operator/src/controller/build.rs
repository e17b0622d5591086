//! Builds every child of a Hub: pure and infallible, one file for each kind.

mod config_map;
mod deployment_hub;
mod deployment_proxy;
mod ingress;
mod network_policy;
mod pdb;
mod pod;
mod pvc;
mod rbac;
mod secret;
pub(crate) mod service;
mod service_account;

use std::{collections::BTreeMap, marker::PhantomData};

use hub_crds::names::{HUB_NAME_MAX, child, label, port};
use kube::api::ObjectMeta;

use super::types::{Prepared, Resources, ValidatedHub, own_labels};
use crate::stored::owner_reference;

/// All children, in the order of [`Resources`].
pub fn build(hub: &ValidatedHub) -> Resources<Prepared> {
    debug_assert!(hub.name.len() <= HUB_NAME_MAX, "validated");
    let config_map = config_map::build_config_map(hub);
    let deployments =
        vec![deployment_hub::build_hub_deployment(hub, &config_map), deployment_proxy::build_proxy_deployment(hub)];
    Resources {
        service_accounts: service_account::build_service_accounts(hub),
        roles: vec![rbac::build_role(hub), rbac::build_report_role(hub)],
        role_bindings: vec![rbac::build_role_binding(hub), rbac::build_report_role_binding(hub)],
        config_maps: [config_map, config_map::build_report(hub)]
            .into_iter()
            .chain(config_map::build_authority(hub))
            .collect(),
        secrets: [secret::build_login_urls(hub), secret::build_tls(hub), secret::build_internal_tls(hub)]
            .into_iter()
            .flatten()
            .collect(),
        claims: pvc::build_database_claim(hub).into_iter().collect(),
        services: service::build_services(hub),
        ingresses: ingress::build_ingress(hub).into_iter().collect(),
        network_policies: network_policy::build_network_policies(hub),
        disruption_budgets: pdb::build_disruption_budgets(hub),
        deployments,
        state: PhantomData,
    }
}

/// Metadata of a child in the Hub's namespace: it goes with its Hub.
pub(crate) fn owned_meta(hub: &ValidatedHub, name: String, component: &str) -> ObjectMeta {
    ObjectMeta {
        owner_references: Some(vec![owner_reference(&hub.name, &hub.uid)]),
        ..free_meta(hub, name, &hub.namespace, component)
    }
}

/// Metadata of a child in the namespace of the user pods. An owner reference cannot reach into another namespace:
/// there the finalizer finds it by its labels.
fn user_meta(hub: &ValidatedHub, name: String, component: &str) -> ObjectMeta {
    if hub.user_namespace == hub.namespace {
        return owned_meta(hub, name, component);
    }
    free_meta(hub, name, &hub.user_namespace, component)
}

/// Metadata of a child that may outlive its Hub.
fn free_meta(hub: &ValidatedHub, name: String, namespace: &str, component: &str) -> ObjectMeta {
    let mut labels = own_labels(&hub.name, &hub.namespace);
    labels.insert(label::COMPONENT.to_owned(), component.to_owned());
    ObjectMeta {
        name: Some(name),
        namespace: Some(namespace.to_owned()),
        labels: Some(labels),
        ..ObjectMeta::default()
    }
}

/// What selects one component's pods; never changes, since a Deployment's selector cannot.
fn selector(hub: &ValidatedHub, component: &str) -> BTreeMap<String, String> {
    [(label::HUB, hub.name.as_str()), (label::COMPONENT, component)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// Where servers and the proxy reach the hub: with its namespace, since they may be in another.
fn hub_url(hub: &ValidatedHub) -> String {
    format!("http://{}.{}:{}", child::hub(&hub.name), hub.namespace, port::HUB)
}

/// Where hub and operator reach the proxy's REST API.
pub fn proxy_api_url(hub: &ValidatedHub) -> String {
    format!("http://{}.{}:{}", child::proxy_api(&hub.name), hub.namespace, port::PROXY_API)
}

#[cfg(test)]
mod tests;
