//! Certificates that cert-manager makes: the operator owns the `Certificate` that asks for one, and takes what it finds in
//! the Secret that comes of it.

use std::time::Duration;

use hub_crds::{
    CertManager, TlsSecret,
    names::{child, label_value, secret_key},
    status::reason,
};
use kube::{api::DynamicObject, core::Status};
use serde_json::{Value, json};

use super::{
    choice::{Candidate, Offer, Trouble},
    given::{self, Secrets},
};
use crate::{
    controller::{Context, apply, build::owned_meta, types::ValidatedHub},
    extension::{CERTIFICATE, Presence},
};

/// How long a `Certificate` that waits is not looked at again. Its Secret is watched; this is for what cert-manager says. A
/// look may take ten seconds more, while its webhook does not answer, and 30 are promised.
pub const WAIT: Duration = Duration::from_secs(10);

/// Keeps the `Certificate` and takes what came of it.
///
/// # Errors
/// The API server refuses, or there is somebody else's `Certificate` of that name.
pub async fn offer(
    context: &Context,
    hub: &ValidatedHub,
    settings: &CertManager,
    secrets: &Secrets,
) -> Result<Offer, apply::Error> {
    let issued = issued(hub, settings, secrets);
    let fresh = if matches!(issued, Offer::Certificate(_)) { Duration::MAX } else { WAIT };
    let desired = build_certificate(hub, settings);
    match context.extensions.keep(&context.client, CERTIFICATE, desired, fresh).await {
        Ok(Presence::KindMissing) => Ok(without_cert_manager(issued)),
        Ok(Presence::Present(live)) => Ok(with_words(issued, &live.data, settings)),
        // Its webhook is not there yet, or any more, or doesn't take what is asked for.
        Err(apply::Error::Apply { source: kube::Error::Api(status), .. }) if is_of_webhook(&status) => {
            Ok(refused(issued, &status))
        }
        Err(error) => Err(error),
    }
}

/// Whether cert-manager refuses and not the API server.
fn is_of_webhook(status: &Status) -> bool {
    status.message.contains("webhook")
}

/// With what cert-manager's webhook says, or why it says nothing.
fn refused(issued: Offer, status: &Status) -> Offer {
    let message = format!("cert-manager does not take the Certificate that is wanted: {}", status.message);
    let trouble = Trouble::new(reason::ISSUER_NOT_READY, message);
    troubled(issued, trouble)
}

/// The `Certificate`.
fn build_certificate(hub: &ValidatedHub, settings: &CertManager) -> DynamicObject {
    let is_address = |host: &&String| host.parse::<std::net::IpAddr>().is_ok();
    let (addresses, names): (Vec<_>, Vec<_>) = hub.hosts.iter().partition(is_address);
    let mut spec = json!({
        "secretName": child::cert_manager(&hub.name),
        "issuerRef": settings.issuer_ref,
        "privateKey": {"algorithm": settings.key_algorithm, "rotationPolicy": "Always"},
    });
    let mut set = |field: &str, value: Value| spec[field] = value;
    if !names.is_empty() {
        set("dnsNames", json!(names));
    }
    if !addresses.is_empty() {
        set("ipAddresses", json!(addresses));
    }
    if let Some(duration) = &settings.duration {
        set("duration", json!(duration));
    }
    if let Some(renew_before) = &settings.renew_before {
        set("renewBefore", json!(renew_before));
    }
    let mut certificate =
        DynamicObject::new(&child::cert_manager(&hub.name), &CERTIFICATE.resource()).data(json!({"spec": spec}));
    certificate.metadata = owned_meta(hub, child::cert_manager(&hub.name), label_value::PROXY);
    certificate
}

/// What is in cert-manager's Secret, by the name of the issuer.
fn issued(hub: &ValidatedHub, settings: &CertManager, secrets: &Secrets) -> Offer {
    let name = child::cert_manager(&hub.name);
    let source = source(settings);
    if given::find(&name, secret_key::TLS_CERTIFICATE, secrets).is_none() {
        return Offer::Nothing(Trouble::new(reason::ISSUING, format!("waiting for a certificate of {source}")));
    }
    let reference = TlsSecret { name, cert_key: secret_key::TLS_CERTIFICATE.to_owned(), key_key: None };
    match given::of_secret("spec.https.certManager", &reference, secrets) {
        Offer::Certificate(candidate) => Offer::Certificate(Candidate { source, ..candidate }),
        nothing => nothing,
    }
}

/// `cert-manager Issuer letsencrypt`.
fn source(settings: &CertManager) -> String {
    format!("cert-manager {} {}", settings.issuer_ref.kind, settings.issuer_ref.name)
}

fn without_cert_manager(issued: Offer) -> Offer {
    let trouble = Trouble::new(
        reason::CERT_MANAGER_MISSING,
        "cert-manager is not installed in this cluster, so spec.https.type 'certManager' can't be met: install it (it is noticed \
         within 30 seconds), or use another type",
    );
    troubled(issued, trouble)
}

/// What was issued before is served on, though nobody renews it.
fn troubled(issued: Offer, trouble: Trouble) -> Offer {
    match issued {
        Offer::Certificate(mut candidate) => {
            candidate.notes.insert(0, trouble);
            Offer::Certificate(candidate)
        }
        Offer::Nothing(_) => Offer::Nothing(trouble),
    }
}

/// With what cert-manager says of its `Certificate`, if that is not well.
fn with_words(issued: Offer, certificate: &Value, settings: &CertManager) -> Offer {
    let conditions = certificate["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of_type =
        |kind: &str, status: &str| conditions.iter().find(|found| found["type"] == kind && found["status"] == status);
    // What failed last says more than that nothing is ready.
    let failure = certificate["status"]["lastFailureTime"].as_str().and_then(|_| of_type("Issuing", "False"));
    let Some(words) = failure.or_else(|| of_type("Ready", "False")) else { return issued };
    let told = words["message"].as_str().unwrap_or("it does not say why");
    let source = source(settings);
    match issued {
        Offer::Certificate(mut candidate) if failure.is_some() => {
            let message = format!("the certificate of {source} could not be renewed: {told}");
            candidate.notes.insert(0, Trouble::new(reason::ISSUER_NOT_READY, message));
            Offer::Certificate(candidate)
        }
        Offer::Nothing(trouble) if trouble.reason == reason::ISSUING => {
            let (reason, verb) = match failure {
                Some(_) => (reason::ISSUER_NOT_READY, "could not issue"),
                None => (reason::ISSUING, "has not issued yet"),
            };
            let message = format!("{source} {verb}: {told} (see `kubectl describe certificates,certificaterequests`)");
            Offer::Nothing(Trouble::new(reason, message))
        }
        issued => issued,
    }
}

#[cfg(test)]
mod tests;
