//! The hub's own keys, and those of the chart as a whole.

use serde_json::{Value, json};

use super::{
    Place,
    config::{base_url, from_secret, named},
    draft::{Draft, at},
    servers::environment,
    written::amounts,
};

/// Keys that are a field of the same meaning.
const FIELDS: [(&str, &str); 9] = [
    ("hub.activeServerLimit", "spec.hub.activeServerLimit"),
    ("hub.allowNamedServers", "spec.hub.allowNamedServers"),
    ("hub.authenticatePrometheus", "spec.hub.authenticatePrometheus"),
    ("hub.concurrentSpawnLimit", "spec.hub.concurrentSpawnLimit"),
    ("hub.namedServerLimitPerUser", "spec.hub.namedServerLimitPerUser"),
    ("hub.nodeSelector", "spec.hub.nodeSelector"),
    ("hub.redirectToServer", "spec.hub.redirectToServer"),
    ("hub.shutdownOnLogout", "spec.hub.shutdownOnLogout"),
    ("hub.tolerations", "spec.hub.tolerations"),
];

const PYTHON: &str = "it is Python, which the hub does not run; say it in spec.hub, spec.auth or spec.singleuser (with podTemplate), or ask for it";
const TEMPLATE: &str = "the hub has its own pages, and runs nothing beside it; remove it";
const POD: &str = "the operator makes the hub's pod; see spec.hub for what can be set";

/// Keys that a Hub has no field for.
const BY_HAND: [(&str, &str); 16] = [
    ("custom", "it is for hub.extraConfig, which is Python; remove it"),
    ("hub.annotations", POD),
    ("hub.args", POD),
    ("hub.command", POD),
    ("hub.extraContainers", TEMPLATE),
    ("hub.extraFiles", TEMPLATE),
    ("hub.extraPodSpec", POD),
    ("hub.extraVolumeMounts", TEMPLATE),
    ("hub.extraVolumes", TEMPLATE),
    ("hub.initContainers", TEMPLATE),
    ("hub.labels", POD),
    ("hub.lifecycle", POD),
    ("hub.templatePaths", TEMPLATE),
    ("hub.templateVars", TEMPLATE),
    ("proxy.chp.defaultTarget", "the hub is behind every address without a route; make an Ingress rule of your own"),
    ("proxy.chp.errorTarget", "the proxy shows the hub's own pages; remove it"),
];

pub(super) fn read(draft: &mut Draft<'_>, place: &Place) {
    for (key, field) in FIELDS {
        if let Some(value) = draft.take(key) {
            draft.carry(key, field, value, None);
        }
    }
    for (key, remedy) in BY_HAND {
        if draft.take(key).is_some() {
            draft.by_hand(key, remedy);
        }
    }
    if let Some(value) = draft.take("hub.baseUrl") {
        base_url(draft, "hub.baseUrl", value);
    }
    if let Some(value) = draft.take("hub.resources") {
        draft.carry("hub.resources", "spec.hub.resources", &amounts(value), None);
    }
    if let Some(variables) = draft.take("hub.extraEnv") {
        environment(draft, "hub.extraEnv", "spec.hub.extraEnv", variables);
    }
    for (key, field) in
        [("hub.cookieSecret", "spec.security.cookieSecret"), ("proxy.secretToken", "spec.security.proxyAuthToken")]
    {
        if draft.take(key).is_some() {
            from_secret(draft, place, key, field);
        }
    }
    if draft.take("hub.existingSecret").is_some() {
        let how = format!(
            "the Secret {} must have the key that secretRef names; copy it from the Secret {} if not",
            place.secret, place.hub
        );
        draft.changed("hub.existingSecret", "spec.security", &how);
    }
    let names: Vec<_> = draft.entries("hub.extraConfig").map(|(name, _)| name.clone()).collect();
    for name in names {
        draft.by_hand(&format!("hub.extraConfig.{name}"), PYTHON);
    }
    services(draft, place);
    roles(draft);
    culling(draft);
    debug(draft);
}

/// Services that run beside the hub; their tokens are in the chart's Secret.
fn services(draft: &mut Draft<'_>, place: &Place) {
    let services: Vec<_> = draft.entries("hub.services").map(|(name, service)| (name.clone(), service)).collect();
    for (name, service) in services {
        let key = &format!("hub.services.{name}");
        if service.get("command").is_some() {
            draft.by_hand(
                key,
                "the hub runs no services in a cluster; run it as a Deployment and name it in spec.services",
            );
            continue;
        }
        let mut ours = json!({
            "name": service.get("name").cloned().unwrap_or_else(|| name.as_str().into()),
            "apiTokenSecretRef": {"name": place.secret, "key": format!("{key}.apiToken")},
        });
        for (field, value) in service.as_object().into_iter().flatten() {
            let field = match field.as_str() {
                "oauth_redirect_uri" => "oauthRedirectUri",
                "oauth_client_id" => "oauthClientId",
                "oauth_client_allowed_scopes" => "oauthClientAllowedScopes",
                "oauth_no_confirm" => "oauthNoConfirm",
                same @ ("url" | "display" | "admin" | "info") => same,
                _ => continue,
            };
            ours[field] = value.clone();
        }
        let how = format!("its token is in the Secret {}", place.secret);
        draft.carry(key, "spec.services", &json!([ours]), Some(how));
    }
}

fn roles(draft: &mut Draft<'_>) {
    let roles: Vec<_> = draft.entries("hub.loadRoles").map(|(name, role)| (name.clone(), role.clone())).collect();
    for (name, role) in roles {
        let list = named(&super::draft::object(&name, role));
        draft.carry(&format!("hub.loadRoles.{name}"), "spec.roles", &list, Some("an entry of the list".to_owned()));
    }
}

/// The chart stops idle servers by default.
fn culling(draft: &mut Draft<'_>) {
    const KEYS: [&str; 7] = ["adminUsers", "concurrency", "every", "maxAge", "removeNamedServers", "timeout", "users"];
    let key = "cull.enabled";
    if draft.take(key).is_some_and(|value| value == false) {
        draft.not_needed(key, "it is off, as without spec.cull");
        return KEYS.iter().for_each(|name| draft.idle(&format!("cull.{name}"), "it is not enabled"));
    }
    draft.carry(key, "spec.cull", &json!({"enabled": true}), None);
    for name in KEYS {
        let key = &format!("cull.{name}");
        if let Some(value) = draft.take(key) {
            draft.carry(key, &format!("spec.cull.{name}"), value, None);
        }
    }
}

fn debug(draft: &mut Draft<'_>) {
    let key = "debug.enabled";
    match draft.take(key) {
        Some(Value::Bool(true)) => {
            let variable = json!([{"name": "RUST_LOG", "value": "debug"}]);
            draft.carry(key, "spec.hub.extraEnv", &variable, Some("RUST_LOG says how much is logged".to_owned()));
        }
        Some(_) => draft.not_needed(key, "it is off"),
        None => {}
    }
}

/// The names of the chart's objects, which follow its own and the release's.
pub(super) fn prefix(values: &Value, release: &str) -> String {
    let text = |key: &str| at(values, key).and_then(Value::as_str);
    let name = match at(values, "fullnameOverride") {
        Some(Value::Null) => {
            let name = text("nameOverride").filter(|name| !name.is_empty()).unwrap_or("jupyterhub");
            if release.contains(name) { release.to_owned() } else { format!("{release}-{name}") }
        }
        // The chart's default is an empty text.
        _ => text("fullnameOverride").unwrap_or_default().to_owned(),
    };
    if name.is_empty() { name } else { format!("{name}-") }
}
