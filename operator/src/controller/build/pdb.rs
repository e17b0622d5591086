//! Disruption budgets, only where there is more than one replica: for a single one a budget would block every drain.

use hub_crds::names::{child, label_value};
use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::{ValidatedHub, owned_meta, selector};

pub(super) fn build_disruption_budgets(hub: &ValidatedHub) -> Vec<PodDisruptionBudget> {
    if hub.proxy_replicas < 2 {
        return Vec::new();
    }
    vec![PodDisruptionBudget {
        metadata: owned_meta(hub, child::proxy(&hub.name), label_value::PROXY),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(LabelSelector {
                match_labels: Some(selector(hub, label_value::PROXY)),
                ..LabelSelector::default()
            }),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }]
}
