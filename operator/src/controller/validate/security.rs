//! How secrets rotate: schedules and grace periods, and where values come from. And what TLS between the pods needs.

use hub_crds::{HubSpec, ProxyImplementation, SecretSource};

use super::{Found, Problems};
use crate::{
    rotation::{Rotating, Schedule},
    secrets::Record,
};

pub(super) fn check(found: &Found, problems: &mut Problems) {
    for secret in Rotating::ALL {
        if let Some(source) = secret.source(&found.spec) {
            check_source(found, secret, source, problems);
        }
    }
    if found.spec.security.internal_tls {
        check_internal_tls(&found.spec, problems);
    }
}

/// The API server refuses these too; a Hub that is older than the rule may have them.
fn check_internal_tls(spec: &HubSpec, problems: &mut Problems) {
    // It would take any certificate of the authority for any server.
    if spec.proxy.implementation != ProxyImplementation::HubProxy {
        problems.push(
            "spec.security.internalTLS needs a proxy that holds servers to their names: set spec.proxy.implementation to 'hub-proxy' or remove it"
                .to_owned(),
        );
    }
    if spec.singleuser.front.is_some() {
        problems.push(
            "spec.security.internalTLS cannot be used with spec.singleuser.front, whose servers speak no TLS: remove one of them"
                .to_owned(),
        );
    }
    // With it the proxy believes the Hub's own authority and no other, and shows who it is to whoever asks.
    let is_https = |url: &str| url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"));
    for (at, service) in spec.services.iter().enumerate() {
        if service.url.as_deref().is_some_and(is_https) {
            problems.push(format!(
                "spec.services[{at}].url cannot be https with spec.security.internalTLS, whose authority is the only one that the proxy believes: use http, or remove internalTLS"
            ));
        }
    }
}

fn check_source(found: &Found, secret: Rotating, source: &SecretSource, problems: &mut Problems) {
    let field = secret.field();
    if let Some(schedule) = &source.rotation.schedule {
        if source.secret_ref.is_some() {
            problems.push(format!(
                "{field}.rotation.schedule cannot be used with secretRef: the secret rotates when you put a new value into your Secret"
            ));
        }
        if let Err(message) = Schedule::parse(schedule) {
            problems.push(format!("{field}.rotation.schedule: {message}"));
        }
    }
    if let Err(message) = secret.grace(source, &found.spec.hub.sessions) {
        problems.push(format!("{field}.rotation.gracePeriod: {message}; write 336h or 90m for example"));
    }
    // It would take each of its own rotations for a new value.
    let own = Record::rotating(&found.name, secret, None).name;
    if source.secret_ref.as_ref().is_some_and(|reference| reference.name == own) {
        problems.push(format!(
            "{field}.secretRef names {own}, which the operator makes: remove secretRef, and that one is used"
        ));
    }
}
