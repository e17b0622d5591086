//! Where people come in: the proxy with its TLS and its Service, or an Ingress or HTTPRoute in front of it.

use serde_json::{Value, json};

use super::{
    Place,
    draft::{Draft, object},
    servers::environment,
    written::amounts,
};

const TLS_BEFORE: &str = "TLS must end in it or in front of it, as spec.https.type external says";
const PRODUCTION: &str = "https://acme-v02.api.letsencrypt.org/directory";
const STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

pub(super) fn read(draft: &mut Draft<'_>, place: &Place) {
    let (ingress, route) = (draft.is_true("ingress.enabled"), draft.is_true("httpRoute.enabled"));
    https(draft, place, ingress || route);
    front(
        draft,
        ingress,
        "ingress",
        &["ingressClassName", "annotations", "hosts", "tls", "pathType", "pathSuffix", "extraPaths"],
    );
    front(draft, route, "httpRoute", &["parentRefs", "hostnames", "annotations", "gateway"]);
    service(draft);
    proxy_pod(draft);
}

fn https(draft: &mut Draft<'_>, place: &Place, has_front: bool) {
    let (enabled_key, type_key) = ("proxy.https.enabled", "proxy.https.type");
    let is_enabled = draft.is_true(enabled_key);
    let kind = draft.text(type_key).unwrap_or("letsencrypt");
    let ours = match (has_front, is_enabled, kind) {
        (true, ..) | (_, true, "offload") => "external",
        (_, false, _) => "none",
        (_, _, "manual" | "secret") => "secret",
        _ => "letsencrypt",
    };
    let https = match ours {
        "none" => json!({"type": ours, "allowInsecure": true}),
        "secret" => json!({"type": ours, "secret": certificate(draft, place, kind)}),
        "letsencrypt" => json!({"type": ours, "letsencrypt": authority(draft)}),
        _ => json!({"type": ours}),
    };
    if let Err(error) = draft.put("spec.https", &https) {
        draft.by_hand(type_key, &format!("spec.https does not take it: {error}"));
    }
    if ours == "none" {
        let how =
            "allowInsecure says that passwords and tokens go in the clear, as they did; better choose a type with TLS";
        draft.changed(enabled_key, "spec.https.type", how);
    } else if draft.take(enabled_key).is_some() {
        draft.changed(enabled_key, "spec.https.type", ours);
    }
    match draft.take(type_key) {
        Some(_) if is_enabled && !has_front => draft.changed(type_key, "spec.https.type", ours),
        Some(_) => draft.not_needed(type_key, "it is not enabled"),
        None => {}
    }
    let key = "proxy.https.hosts";
    match draft.take(key) {
        Some(hosts) => draft.carry(key, "spec.https.hosts", hosts, None),
        None if ours == "letsencrypt" => draft.by_hand(key, "write the names of the certificate into spec.https.hosts"),
        None => {}
    }
    let is_used = |used: &str| is_enabled && !has_front && kind == used;
    for (key, used) in [
        ("proxy.https.letsencrypt.contactEmail", "letsencrypt"),
        ("proxy.https.letsencrypt.acmeServer", "letsencrypt"),
        ("proxy.https.secret.name", "secret"),
        ("proxy.https.secret.key", "secret"),
        ("proxy.https.secret.crt", "secret"),
        ("proxy.https.manual.key", "manual"),
        ("proxy.https.manual.cert", "manual"),
    ] {
        if draft.take(key).is_some() && !is_used(used) {
            draft.not_needed(key, &format!("it is for the type {used}"));
        }
    }
    strict_transport(draft, ours);
}

fn authority(draft: &mut Draft<'_>) -> Value {
    let (email_key, server_key) = ("proxy.https.letsencrypt.contactEmail", "proxy.https.letsencrypt.acmeServer");
    let email = draft.text(email_key);
    match email {
        Some(_) => draft.changed(email_key, "spec.https.letsencrypt.email", "another name"),
        None => {
            draft
                .by_hand(email_key, "write the address that the authority writes to into spec.https.letsencrypt.email");
        }
    }
    let server = match draft.text(server_key) {
        Some(PRODUCTION) | None => "production",
        Some(STAGING) => "staging",
        Some(other) => other,
    };
    if draft.take(server_key).is_some() {
        draft.changed(server_key, "spec.https.letsencrypt.server", server);
    }
    json!({"email": email.unwrap_or("change-me@example.org"), "server": server})
}

fn certificate(draft: &mut Draft<'_>, place: &Place, kind: &str) -> Value {
    if kind == "manual" {
        let secret = format!("{}-certificate", place.name);
        for key in ["proxy.https.manual.key", "proxy.https.manual.cert"] {
            draft.by_hand(
                key,
                &format!("spec.https.secret names the Secret {secret}: make it with `kubectl create secret tls {secret} --cert FILE --key FILE`"),
            );
        }
        return object("name", secret.into());
    }
    let mut secret = json!({});
    for (key, name) in [("name", "name"), ("key", "keyKey"), ("crt", "certKey")] {
        let key = &format!("proxy.https.secret.{key}");
        if let Some(value) = draft.take(key) {
            secret[name] = value.clone();
            draft.changed(key, &format!("spec.https.secret.{name}"), "another name");
        }
    }
    secret
}

fn strict_transport(draft: &mut Draft<'_>, ours: &str) {
    let is_served = !["none", "external"].contains(&ours);
    for (name, field) in
        [("maxAge", "spec.https.hsts.maxAge"), ("includeSubdomains", "spec.https.hsts.includeSubdomains")]
    {
        let key = &format!("proxy.traefik.hsts.{name}");
        match draft.take(key) {
            Some(value) if is_served => draft.carry(key, field, value, None),
            Some(_) => draft.not_needed(key, "TLS does not end in the proxy"),
            None => {}
        }
    }
    let key = "proxy.traefik.hsts.preload";
    match draft.take(key) {
        Some(Value::Bool(false)) => draft.not_needed(key, "it is off"),
        Some(_) => {
            draft.by_hand(key, "the proxy does not ask for preloading; set the header where TLS ends in front of it");
        }
        None => {}
    }
}

/// An Ingress or an HTTPRoute.
fn front(draft: &mut Draft<'_>, is_enabled: bool, front: &str, names: &[&str]) {
    let field = format!("spec.proxy.{front}");
    let enabled_key = &format!("{front}.enabled");
    if draft.take(enabled_key).is_some() {
        match is_enabled {
            true if front == "ingress" => draft.carry(enabled_key, &field, &json!({}), Some(TLS_BEFORE.to_owned())),
            true => draft.changed(enabled_key, &field, TLS_BEFORE),
            false => draft.not_needed(enabled_key, "it is off"),
        }
    }
    for name in names {
        let key = &format!("{front}.{name}");
        let Some(value) = draft.take(key) else { continue };
        if !is_enabled {
            draft.not_needed(key, "it is not enabled");
            continue;
        }
        match *name {
            "ingressClassName" => draft.carry(key, "spec.proxy.ingress.className", value, None),
            "annotations" if front == "ingress" => draft.carry(key, "spec.proxy.ingress.annotations", value, None),
            "hosts" => draft.carry(key, "spec.https.hosts", value, None),
            "tls" => ingress_tls(draft, key, value),
            "parentRefs" => draft.carry(key, "spec.proxy.httpRoute", &object("parentRefs", value.clone()), Some("in it".to_owned())),
            "hostnames" => draft.carry(key, "spec.proxy.httpRoute.hostnames", value, None),
            "pathType" if value == "Prefix" => draft.not_needed(key, "it is always so"),
            _ => draft.by_hand(key, "a Hub has no field for it; make an Ingress or HTTPRoute of your own that leads to the Service <hub>-proxy-public, and remove this one"),
        }
    }
}

fn ingress_tls(draft: &mut Draft<'_>, key: &str, value: &Value) {
    let names: Vec<_> = value.as_array().into_iter().flatten().filter_map(|tls| tls.get("secretName")).collect();
    match names.as_slice() {
        [name] => draft.carry(key, "spec.proxy.ingress.tlsSecretName", name, Some("its secretName".to_owned())),
        _ => draft.by_hand(key, "spec.proxy.ingress.tlsSecretName takes one Secret, for all of spec.https.hosts"),
    }
}

fn service(draft: &mut Draft<'_>) {
    for name in ["type", "annotations", "nodePorts.http", "nodePorts.https"] {
        let key = &format!("proxy.service.{name}");
        if let Some(value) = draft.take(key) {
            draft.carry(key, &format!("spec.{key}"), value, None);
        }
    }
    for (name, usual) in [
        ("labels", json!({})),
        ("disableHttpPort", json!(false)),
        ("extraPorts", json!([])),
        ("externalIPs", json!([])),
        ("loadBalancerIP", json!("")),
        ("loadBalancerSourceRanges", json!([])),
        ("ipFamilyPolicy", json!("PreferDualStack")),
        ("ipFamilies", json!([])),
    ] {
        let key = &format!("proxy.service.{name}");
        match draft.take(key) {
            Some(value) if *value == usual => draft.not_needed(key, "it is the chart's default"),
            Some(_) => draft.by_hand(
                key,
                "a Hub has no field for it; say it in spec.proxy.service.annotations if your cloud has one, or make a Service of your own for the proxy's pods",
            ),
            None => {}
        }
    }
}

/// The pod of configurable-http-proxy is that of the Hub's own proxy now.
fn proxy_pod(draft: &mut Draft<'_>) {
    for name in ["nodeSelector", "tolerations", "resources"] {
        let key = &format!("proxy.chp.{name}");
        if let Some(value) = draft.take(key) {
            draft.carry(key, &format!("spec.proxy.{name}"), &amounts(value), None);
        }
    }
    if let Some(variables) = draft.take("proxy.chp.extraEnv") {
        environment(draft, "proxy.chp.extraEnv", "spec.proxy.extraEnv", variables);
    }
}
