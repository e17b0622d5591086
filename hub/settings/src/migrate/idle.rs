//! Keys that a Hub does without, since the operator decides what they say, or there is no such program.

use serde_json::Value;

use super::draft::Draft;

const OPERATOR: &str = "the operator decides it";
const OWN_PROXY: &str = "TLS ends in the Hub's own proxy; there is no traefik";
const OWN_IMAGES: &str = "hub and proxy have images of their own";
const SCHEDULER: &str =
    "Kubernetes' scheduler places servers; one of your own is spec.singleuser.podTemplate.spec.schedulerName";
const PULLER: &str = "images are pulled when a server first needs them; a DaemonSet of your own can pull them before";
const NAMES: &str = "it names the chart's objects, which the references above follow";
const LABELS: &str = "the operator labels what it makes";

/// Keys, or all keys below them.
const KEYS: [(&str, &str); 45] = [
    ("enabled", "it is for charts that contain this one"),
    ("fullnameOverride", NAMES),
    ("nameOverride", NAMES),
    ("global", "it is for what helm prints"),
    ("hub.consecutiveFailureLimit", "the hub goes on whatever fails"),
    ("hub.containerSecurityContext", OPERATOR),
    ("hub.deploymentStrategy", OPERATOR),
    ("hub.fsGid", OPERATOR),
    ("hub.image", OWN_IMAGES),
    ("hub.livenessProbe", OPERATOR),
    ("hub.networkPolicy.enabled", "spec.networkPolicy.enabled is for all of them, and follows singleuser's"),
    ("hub.pdb", OPERATOR),
    ("hub.podSecurityContext", OPERATOR),
    ("hub.readinessProbe", OPERATOR),
    ("hub.revisionHistoryLimit", OPERATOR),
    ("hub.service", OPERATOR),
    ("hub.serviceAccount", OPERATOR),
    ("prePuller.annotations", PULLER),
    ("prePuller.containerSecurityContext", PULLER),
    ("prePuller.continuous", PULLER),
    ("prePuller.extraTolerations", PULLER),
    ("prePuller.hook", PULLER),
    ("prePuller.labels", PULLER),
    ("prePuller.pause", PULLER),
    ("prePuller.pullProfileListImages", PULLER),
    ("prePuller.resources", PULLER),
    ("prePuller.revisionHistoryLimit", PULLER),
    ("proxy.annotations", LABELS),
    ("proxy.chp.command", OPERATOR),
    ("proxy.chp.containerSecurityContext", OPERATOR),
    ("proxy.chp.extraPodSpec", OPERATOR),
    ("proxy.chp.image", OWN_IMAGES),
    ("proxy.chp.livenessProbe", OPERATOR),
    ("proxy.chp.networkPolicy.enabled", "spec.networkPolicy.enabled is for all of them, and follows singleuser's"),
    ("proxy.chp.pdb", OPERATOR),
    ("proxy.chp.readinessProbe", OPERATOR),
    ("proxy.chp.revisionHistoryLimit", OPERATOR),
    ("proxy.deploymentStrategy", OPERATOR),
    ("proxy.labels", LABELS),
    ("proxy.secretSync", OWN_PROXY),
    ("proxy.traefik", OWN_PROXY),
    ("rbac", "the operator makes what the hub may do"),
    ("scheduling.userPlaceholder", "no pods hold places; see replicas"),
    ("scheduling.userScheduler", SCHEDULER),
    ("singleuser.networkTools", "no program of the chart's is in users' pods"),
];

/// Keys that are asked for by who needs them, and mean something where they aren't as here.
const LOUD: [(&str, &str, &str); 6] = [
    ("prePuller.extraImages", "", "make a DaemonSet of your own that pulls the images"),
    (
        "proxy.chp.extraCommandLineFlags",
        "",
        "see `hub-proxy --help` and spec.proxy for what can be set; configurable-http-proxy itself runs with spec.proxy.implementation",
    ),
    (
        "proxy.traefik.extraDynamicConfig",
        "",
        "there is no traefik; put a proxy of your own in front, with spec.https.type external",
    ),
    (
        "proxy.traefik.extraStaticConfig",
        "",
        "there is no traefik; put a proxy of your own in front, with spec.https.type external",
    ),
    (
        "scheduling.podPriority.enabled",
        "false",
        "make PriorityClasses and name them in spec.singleuser.priorityClassName, spec.hub.priorityClassName and spec.proxy.priorityClassName",
    ),
    ("scheduling.userPlaceholder.replicas", "0", "make a Deployment of pause pods with a low priority"),
];

pub(super) fn read(draft: &mut Draft<'_>) {
    for (key, quiet, remedy) in LOUD {
        match draft.take(key).map(Value::to_string) {
            Some(value) if value == quiet => draft.not_needed(key, "it is off"),
            Some(_) => draft.by_hand(key, remedy),
            None => {}
        }
    }
    for name in ["globalDefault", "defaultPriority", "imagePullerPriority", "userPlaceholderPriority"] {
        let key = &format!("scheduling.podPriority.{name}");
        if draft.take(key).is_some() {
            draft.not_needed(key, "see scheduling.podPriority.enabled");
        }
    }
    for (key, reason) in KEYS {
        draft.idle(key, reason);
    }
}
