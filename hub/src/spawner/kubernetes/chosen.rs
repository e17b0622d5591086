//! What a chosen profile makes of the Hub's settings for servers. Pure.

use hub_crds::{Overrides, SingleUser, config::KubernetesConfig};

/// The settings with what was chosen over them, in order, but for pod templates: [`super::pod`] merges those into the pod, one
/// after the other.
pub(super) fn apply(config: &KubernetesConfig, chosen: &[Overrides]) -> KubernetesConfig {
    let mut config = config.clone();
    for overrides in chosen {
        put_over(&mut config.singleuser, overrides);
    }
    config
}

fn put_over(singleuser: &mut SingleUser, overrides: &Overrides) {
    let Overrides {
        image,
        image_pull_policy,
        cmd,
        default_url,
        cpu,
        memory,
        extra_resources,
        extra_env,
        node_selector,
        tolerations,
        // Of the pod, and not of the settings.
        pod_template: _,
    } = overrides.clone();
    if let Some(image) = image {
        singleuser.image = image;
    }
    if !cmd.is_empty() {
        (singleuser.cmd, singleuser.args) = (cmd, Vec::new());
    }
    singleuser.image_pull_policy = image_pull_policy.or(singleuser.image_pull_policy);
    singleuser.default_url = default_url.or_else(|| singleuser.default_url.take());
    singleuser.cpu = singleuser.cpu.under(&cpu);
    singleuser.memory = singleuser.memory.under(&memory);
    singleuser.extra_resources.guarantees.extend(extra_resources.guarantees);
    singleuser.extra_resources.limits.extend(extra_resources.limits);
    singleuser.extra_env.retain(|variable| extra_env.iter().all(|other| other.name != variable.name));
    singleuser.extra_env.extend(extra_env);
    singleuser.node_selector.extend(node_selector);
    if !tolerations.is_empty() {
        singleuser.tolerations = tolerations;
    }
}
