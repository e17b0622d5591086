//! Judges a Hub: pure. What the API server's rules cannot see is checked here: open objects, values of Secrets, and
//! what must hold between fields. Every message names the field or the key, and the remedy.

mod auth;
mod https;
mod open;
mod rbac;
mod restricted;
mod security;

use std::collections::BTreeMap;

use hub_crds::{
    DatabaseVolume, HubSpec, ImagePullPolicy, PodPlacement, ProxyImplementation, Resources, names::HUB_NAME_MAX,
};
use hub_crds::{SecretKeyRef, status::reason};
use k8s_openapi::{
    api::core::v1::{Affinity, ResourceRequirements, TopologySpreadConstraint},
    apimachinery::pkg::api::resource::Quantity,
};

use super::{
    quantity,
    types::{DatabasePlace, Found, Images, PodSettings, SecretSources, ValidatedHub},
};
use crate::{
    certificate::{Standing, hosts},
    rotation::{self, Kept, Rotating, plan::Secrets},
    secrets::{Content, Step, next_step},
};
use open::{parse, parse_all};

/// Why a Hub cannot be made as it is asked for.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("{}", .0.join("; "))]
    Invalid(Vec<String>),
    #[error("Secret {name} does not exist in this namespace: create it with the key {key}, or remove {field}")]
    SecretMissing { field: String, name: String, key: String },
    #[error("Secret {name}: {message}")]
    SecretInvalid { name: String, message: String },
    #[error(
        "Secret {name} is gone and with it the value that this Hub has used. Restore it from a backup, or accept that everyone \
         has to log in again: create it yourself with new values, or name another in spec"
    )]
    SecretLost { name: String },
    #[error("Secret {name} exists and was not made for this Hub: delete or rename it, or give the Hub another name")]
    Conflict { name: String },
}

impl Error {
    /// Reason of the condition that tells of it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(_) => reason::INVALID,
            Self::SecretMissing { .. } => reason::SECRET_MISSING,
            Self::SecretInvalid { .. } => reason::SECRET_INVALID,
            Self::SecretLost { .. } => reason::SECRET_LOST,
            Self::Conflict { .. } => reason::CONFLICT,
        }
    }

    /// Whether it is the secrets that are wrong.
    pub fn is_about_secrets(&self) -> bool {
        !matches!(self, Self::Invalid(_))
    }
}

/// What is wrong with a spec, gathered so that one look shows all of it.
type Problems = Vec<String>;

/// Judges what was found.
pub fn validate(found: &Found, images: &Images) -> Result<ValidatedHub, Error> {
    let mut problems = Problems::new();
    let spec = &found.spec;
    check_name(&found.name, &mut problems);
    let https = https::check(spec, &mut problems);
    security::check(found, &mut problems);
    let proxy_image = match spec.proxy.implementation {
        ProxyImplementation::HubProxy => &images.hub_proxy,
        ProxyImplementation::ConfigurableHttpProxy => &images.configurable_http_proxy,
    };
    let hub = pod_settings("spec.hub", &spec.hub.pod, &images.hub, &mut problems);
    let proxy = pod_settings("spec.proxy", &spec.proxy.pod, proxy_image, &mut problems);
    open::check_singleuser(&spec.singleuser, &mut problems);
    open::check_cull(spec, &mut problems);
    let (auth, login_secrets) = auth::check(found, &mut problems);
    let (rbac, service_tokens) = rbac::check(spec, &mut problems);
    if !problems.is_empty() {
        return Err(Error::Invalid(problems));
    }
    let secrets = SecretSources { service_tokens, ..login_secrets };
    check_references(found)?;
    let secrets_kept = check_records(found)?;
    Ok(ValidatedHub {
        name: found.name.clone(),
        namespace: found.namespace.clone(),
        uid: found.uid.clone(),
        paused: spec.paused,
        base_url: spec.base_url.clone(),
        public_url: public_url(spec),
        subdomain_host: spec.subdomain_host.clone(),
        cookie_host_prefix: spec.security.cookie_host_prefix,
        https,
        hosts: hosts::wanted(spec),
        hsts: spec.https.as_ref().and_then(|https| https.hsts.clone()),
        min_tls_version: spec.https.as_ref().map(|https| https.min_version).unwrap_or_default(),
        has_extra_certificates: spec.https.as_ref().is_some_and(|https| !https.extra_secrets.is_empty()),
        redirect_port: https::redirect_port(spec),
        certificate: Standing::default(),
        has_internal_tls: spec.security.internal_tls,
        internal_tls: None,
        hub,
        proxy,
        proxy_implementation: spec.proxy.implementation,
        proxy_service: spec.proxy.service.clone(),
        trusted_proxies: spec.proxy.trusted_proxies.clone(),
        ingress: spec.proxy.ingress.clone(),
        http_route: spec.proxy.http_route.clone(),
        route: None,
        proxy_replicas: spec.proxy.replicas.unwrap_or(1),
        database: database(found),
        secrets,
        records: found.records.iter().map(|(record, _)| record.clone()).collect(),
        crypt_keys: spec.security.crypt_keys.is_some(),
        rotation: rotation::plan::plan(found, &secrets_kept),
        login_urls: auth::login_urls(found),
        auth,
        login_limits: spec.security.login.clone(),
        server_limits: spec.hub.servers.clone(),
        rbac,
        client_rules: spec.hub.clients.clone(),
        sessions: spec.hub.sessions.clone(),
        landing: spec.hub.landing.clone(),
        pages: spec.pages.clone(),
        api_pages: spec.hub.api_pages.clone(),
        activity: spec.hub.activity.clone(),
        cull: spec.cull.clone().filter(|cull| cull.enabled),
        log_format: spec.log_format,
        audit_log: spec.hub.audit_log,
        singleuser: spec.singleuser.clone(),
        user_namespace: spec.singleuser.namespace.clone().unwrap_or_else(|| found.namespace.clone()),
        network_policy: spec.network_policy.enabled,
        operator_namespace: found.operator_namespace.clone(),
    })
}

/// The API server refuses such names too; a Hub that is older than the rule may have one.
fn check_name(name: &str, problems: &mut Problems) {
    if name.len() > HUB_NAME_MAX || name.contains('.') {
        problems.push(format!(
            "metadata.name must be at most {HUB_NAME_MAX} characters without dots: the names of Services are made from it"
        ));
    }
}

/// With subdomains the hub's own address is known, too.
fn public_url(spec: &HubSpec) -> Option<String> {
    let of_host = |host: &String| format!("{host}{}", spec.base_url);
    spec.public_url.clone().or_else(|| spec.subdomain_host.as_ref().map(of_host))
}

fn database(found: &Found) -> DatabasePlace {
    let database = &found.spec.database;
    match (&database.url_secret_ref, &database.pvc.claim_name) {
        (Some(secret), _) => DatabasePlace::Postgres(secret.clone()),
        (None, Some(claim)) => DatabasePlace::Claim(claim.clone()),
        (None, None) => DatabasePlace::Volume(database_volume(found)),
    }
}

/// A claim can only grow: one that was taken up again may be larger than the spec says.
fn database_volume(found: &Found) -> DatabaseVolume {
    let mut volume = found.spec.database.pvc.clone();
    let requests = found.claim.as_ref().and_then(|claim| claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref());
    if let Some(has) = requests.and_then(|requests| requests.get("storage"))
        && quantity::parse(&has.0) > quantity::parse(&volume.storage.to_string())
    {
        volume.storage = hub_crds::Amount::new(&has.0);
    }
    volume
}

/// The Secrets of record are there or may be made, and hold what they should. Returns those that rotate.
fn check_records(found: &Found) -> Result<Secrets, Error> {
    let holder = crate::secrets::Holder {
        labels: super::types::own_labels(&found.name, &found.namespace),
        name: found.name.clone(),
        namespace: found.namespace.clone(),
        uid: found.uid.clone(),
    };
    let mut secrets = Secrets { kept: BTreeMap::new(), are_settled: true };
    for (record, known) in &found.records {
        let name = record.name.clone();
        let is_alive = |uid: &str| found.alive.iter().any(|alive| alive == uid);
        match next_step(record, &holder, known, is_alive) {
            Step::Conflict => return Err(Error::Conflict { name }),
            Step::Lost => return Err(Error::SecretLost { name }),
            step => secrets.are_settled &= step == Step::Done && !known.is_dying(),
        }
        let Some(live) = known.live.as_ref().or(known.copy.as_ref()) else { continue };
        let nothing = BTreeMap::new();
        let data = live.data.as_ref().unwrap_or(&nothing);
        if let Some(secret) = Rotating::of(record) {
            let kept = Kept::read(secret, data).map_err(|message| Error::SecretInvalid {
                name: name.clone(),
                message: format!("{message}. Restore it from a backup; the pods go on with what they have"),
            })?;
            secrets.kept.insert(secret, kept);
            continue;
        }
        for key in &record.keys {
            let value = data.get(key).map(|value| value.0.as_slice());
            // A user without a token gets one; the other values are never made twice.
            if value.is_none() && record.content == Content::LoginTokens {
                continue;
            }
            record.content.check(value.unwrap_or_default()).map_err(|message| Error::SecretInvalid {
                name: name.clone(),
                message: format!("the value of {key} {message}: restore it from a backup"),
            })?;
        }
    }
    Ok(secrets)
}

/// The Secrets that the spec refers to exist and hold what they should.
fn check_references(found: &Found) -> Result<(), Error> {
    let auth = found.spec.auth.as_ref();
    for secret in Rotating::ALL {
        if let Some(reference) = secret.source(&found.spec).and_then(|source| source.secret_ref.as_ref()) {
            let field = format!("{}.secretRef", secret.field());
            check_reference(found, &field, reference, |value| secret.content().check(value))?;
        }
    }
    auth::check_tokens(found)?;
    if let Some(reference) = auth.and_then(|auth| auth.dummy.as_ref()?.password_secret_ref.as_ref()) {
        let is_there = |value: &[u8]| if value.is_empty() { Err("must not be empty") } else { Ok(()) };
        check_reference(found, "spec.auth.dummy.passwordSecretRef", reference, is_there)?;
    }
    auth::check_oidc(found)?;
    auth::check_passwords(found)?;
    if let Some(reference) = &found.spec.database.url_secret_ref {
        check_reference(found, "spec.database.urlSecretRef", reference, check_database_url)?;
    }
    rbac::check_tokens(found)
}

/// The hub reads the rest of it; a password is not echoed here.
fn check_database_url(value: &[u8]) -> Result<(), &'static str> {
    let scheme = std::str::from_utf8(value).ok().and_then(|url| url.trim().split_once("://"));
    let scheme = scheme.map(|(scheme, _)| scheme.split('+').next().unwrap_or_default());
    match scheme {
        Some("postgresql" | "postgres") => Ok(()),
        _ => Err("must be the address of a PostgreSQL database: postgresql://user:password@host:5432/name"),
    }
}

fn check_reference(
    found: &Found,
    field: &str,
    reference: &SecretKeyRef,
    check: impl Fn(&[u8]) -> Result<(), &'static str>,
) -> Result<(), Error> {
    let SecretKeyRef { name, key } = reference.clone();
    let Some(secret) = found.referenced.get(&name) else {
        return Err(Error::SecretMissing { field: field.to_owned(), name, key });
    };
    let Some(value) = secret.data.as_ref().and_then(|data| data.get(&key)) else {
        let message = format!("the key {key} that {field} names is missing: add it");
        return Err(Error::SecretInvalid { name, message });
    };
    check(&value.0).map_err(|message| Error::SecretInvalid {
        name,
        message: format!("the value of {key}, which {field} names, {message}"),
    })
}

/// A token that the spec refers to: the field that does, and whose it is.
struct TokenReference<'a> {
    field: String,
    holder: String,
    secret: &'a SecretKeyRef,
}

/// The Secrets with tokens are there, and no two holders have the same token: the hub could not tell them apart.
fn check_tokens<'a>(found: &Found, tokens: impl Iterator<Item = TokenReference<'a>>) -> Result<(), Error> {
    let mut seen = BTreeMap::new();
    for TokenReference { field, holder, secret } in tokens {
        check_reference(found, &field, secret, |value| Content::LoginTokens.check(value))?;
        if let Some(other) = seen.insert(found.value(secret), holder) {
            let SecretKeyRef { name, key } = secret.clone();
            let message =
                format!("the value of {key}, which {field} names, is also the token of {other}: give each its own");
            return Err(Error::SecretInvalid { name, message });
        }
    }
    Ok(())
}

fn pod_settings(path: &str, pod: &PodPlacement, image: &str, problems: &mut Problems) -> PodSettings {
    PodSettings {
        image: pod.image.clone().unwrap_or_else(|| image.to_owned()),
        image_pull_policy: pod.image_pull_policy.map(ImagePullPolicy::as_str).map(str::to_owned),
        image_pull_secrets: pod.image_pull_secrets.clone(),
        resources: resources(&pod.resources),
        node_selector: pod.node_selector.clone(),
        tolerations: pod.tolerations.clone(),
        affinity: pod
            .affinity
            .as_ref()
            .and_then(|value| parse::<Affinity>(&format!("{path}.affinity"), value, problems)),
        topology_spread_constraints: parse_all::<TopologySpreadConstraint>(
            &format!("{path}.topologySpreadConstraints"),
            &pod.topology_spread_constraints,
            problems,
        ),
        priority_class_name: pod.priority_class_name.clone(),
        extra_env: pod.extra_env.clone(),
    }
}

fn resources(resources: &Resources) -> ResourceRequirements {
    let amounts = |amounts: &hub_crds::Amounts| {
        let amounts = amounts.iter().map(|(name, amount)| (name.clone(), amount.to_quantity()));
        Some(amounts.collect::<BTreeMap<String, Quantity>>()).filter(|amounts| !amounts.is_empty())
    };
    ResourceRequirements {
        requests: amounts(&resources.requests),
        limits: amounts(&resources.limits),
        ..ResourceRequirements::default()
    }
}

#[cfg(test)]
mod tests;
