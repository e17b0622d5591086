//! What is around pods: nodes that they may be on, and NetworkPolicies.

use serde_json::json;

use super::draft::{Draft, object};

pub(super) fn read(draft: &mut Draft<'_>) {
    scheduling(draft);
    network(draft);
    policy_rules(draft, "hub.networkPolicy", &[]);
    policy_rules(draft, "proxy.chp.networkPolicy", &[]);
}

fn scheduling(draft: &mut Draft<'_>) {
    let key = "scheduling.userPods.tolerations";
    if let Some(tolerations) = draft.take(key) {
        draft.carry(key, "spec.singleuser.tolerations", tolerations, None);
    }
    let key = "scheduling.userPods.nodeAffinity.matchNodePurpose";
    if let Some(purpose) = draft.text(key) {
        node_purpose(draft, key, purpose, "user", &["spec.singleuser.affinity"]);
    }
    let key = "scheduling.corePods.tolerations";
    if let Some(tolerations) = draft.take(key) {
        draft.carry(key, "spec.hub.tolerations", tolerations, Some("and those of spec.proxy".to_owned()));
        let _ = draft.put("spec.proxy.tolerations", tolerations);
    }
    let key = "scheduling.corePods.nodeAffinity.matchNodePurpose";
    if let Some(purpose) = draft.text(key) {
        node_purpose(draft, key, purpose, "core", &["spec.hub.affinity", "spec.proxy.affinity"]);
    }
}

/// The chart's label of nodes that are for the hub or for users.
fn node_purpose(draft: &mut Draft<'_>, key: &str, purpose: &str, value: &str, fields: &[&str]) {
    let expression = json!({"key": "hub.jupyter.org/node-purpose", "operator": "In", "values": [value]});
    let term = json!({"matchExpressions": [expression]});
    let affinity = match purpose {
        "require" => json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}),
        "prefer" => json!({"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "preference": term}]}),
        _ => return draft.not_needed(key, "nothing is asked of nodes"),
    };
    let affinity = object("nodeAffinity", affinity);
    match fields.iter().try_for_each(|field| draft.put(field, &affinity)) {
        Ok(()) => draft.changed(key, &fields.join(" and "), "as Kubernetes has it"),
        Err(error) => draft.by_hand(key, &format!("{} does not take it: {error}", fields.join(" and "))),
    }
}

/// Policies around servers: a Hub has them or not.
fn network(draft: &mut Draft<'_>) {
    let key = "singleuser.networkPolicy.enabled";
    if let Some(enabled) = draft.take(key) {
        draft.carry(key, "spec.networkPolicy.enabled", enabled, None);
    }
    policy_rules(draft, "singleuser.networkPolicy", &[("cloudMetadataServer", false), ("privateIPs", false)]);
    let (key, ip) = ("singleuser.cloudMetadata.blockWithIptables", "singleuser.cloudMetadata.ip");
    for key in [key, ip] {
        if draft.take(key).is_some() {
            draft.not_needed(key, "the Hub's NetworkPolicy keeps servers from the metadata address");
        }
    }
}

/// Rules of a policy of the chart's; `closed` are those that are off by default.
fn policy_rules(draft: &mut Draft<'_>, policy: &str, closed: &[(&str, bool)]) {
    const OWN: &str = "add a NetworkPolicy of your own that allows it: policies add up";
    for name in ["ingress", "egress"] {
        let key = &format!("{policy}.{name}");
        if draft.take(key).is_some() {
            draft.by_hand(key, OWN);
        }
    }
    let rules: Vec<_> = draft
        .entries(&format!("{policy}.egressAllowRules"))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    for (name, value) in rules {
        let key = &format!("{policy}.egressAllowRules.{name}");
        let usual = closed.iter().find(|(closed, _)| *closed == name).is_none_or(|(_, usual)| *usual);
        if value == usual {
            draft.not_needed(key, "the Hub's NetworkPolicy does the same, or restricts no egress there");
        } else if usual {
            draft.by_hand(
                key,
                "the Hub's NetworkPolicy allows it; no policy of yours can forbid what another one allows",
            );
        } else {
            draft.by_hand(key, OWN);
        }
    }
    for (name, usual) in
        [("interNamespaceAccessLabels", json!("ignore")), ("allowedIngressPorts", json!(["http", "https"]))]
    {
        let key = &format!("{policy}.{name}");
        match draft.take(key) {
            Some(value) if *value == usual => draft.not_needed(key, "the Hub's NetworkPolicy does the same"),
            Some(_) => draft.by_hand(key, OWN),
            None => {}
        }
    }
}
