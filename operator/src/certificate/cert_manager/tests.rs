//! What is asked of cert-manager, and what its answers mean.

use super::*;
use crate::{controller::validate::validate, fixtures};

fn spec(changes: &Value) -> Value {
    let mut https = json!({
        "type": "certManager", "allowInsecure": null, "hosts": ["hub.org", "*.hub.org"],
        "certManager": {"issuerRef": {"name": "corporate"}},
    });
    fixtures::merge(&mut https, changes);
    json!({"https": https})
}

fn hub(changes: &Value) -> (ValidatedHub, CertManager) {
    let found = fixtures::found(&spec(changes));
    let hub = validate(&found, &fixtures::images()).unwrap();
    (hub, found.spec.https.unwrap().cert_manager.unwrap())
}

fn asked(changes: &Value) -> Value {
    let (hub, settings) = hub(changes);
    serde_json::to_value(build_certificate(&hub, &settings)).unwrap()
}

#[test]
fn a_certificate_is_asked_for_with_what_the_spec_says() {
    let certificate = asked(&json!({}));
    assert_eq!(certificate["apiVersion"], "cert-manager.io/v1");
    assert_eq!(certificate["kind"], "Certificate");
    assert_eq!(certificate["metadata"]["name"], "physics-cert-manager");
    assert_eq!(certificate["metadata"]["ownerReferences"][0]["name"], "physics");
    assert_eq!(certificate["metadata"]["labels"]["jupyter.rs/hub"], "physics");
    assert_eq!(
        certificate["spec"],
        json!({
            "secretName": "physics-cert-manager",
            "issuerRef": {"name": "corporate", "kind": "Issuer", "group": "cert-manager.io"},
            "privateKey": {"algorithm": "ECDSA", "rotationPolicy": "Always"},
            "dnsNames": ["hub.org", "*.hub.org"],
        })
    );
    let more = asked(&json!({
        "hosts": ["hub.org", "192.0.2.7"],
        "certManager": {
            "issuerRef": {"kind": "ClusterIssuer"}, "duration": "2160h", "renewBefore": "720h", "keyAlgorithm": "RSA",
        },
    }));
    assert_eq!(more["spec"]["dnsNames"], json!(["hub.org"]));
    assert_eq!(more["spec"]["ipAddresses"], json!(["192.0.2.7"]));
    assert_eq!(more["spec"]["issuerRef"]["kind"], "ClusterIssuer");
    assert_eq!((&more["spec"]["duration"], &more["spec"]["renewBefore"]), (&json!("2160h"), &json!("720h")));
    assert_eq!(more["spec"]["privateKey"]["algorithm"], "RSA");
}

fn secrets(values: Option<&Value>) -> Secrets {
    values.map(|values| fixtures::secret("physics-cert-manager", values)).into_iter().collect()
}

fn offered(values: Option<&Value>) -> Offer {
    let (hub, settings) = hub(&json!({}));
    issued(&hub, &settings, &secrets(values))
}

fn good() -> Value {
    let pair = fixtures::pair(&["hub.org"], 2020..2040);
    json!({"tls.crt": pair.chain(), "tls.key": pair.key})
}

#[test]
fn until_there_is_something_in_its_secret_one_waits() {
    for values in [None, Some(json!({"tls.key": "x"})), Some(json!({"tls.key": "", "tls.crt": ""}))] {
        let Offer::Nothing(trouble) = offered(values.as_ref()) else { panic!("{values:?}") };
        assert_eq!(trouble.reason, reason::ISSUING);
        assert!(trouble.message.contains("cert-manager Issuer corporate"), "{}", trouble.message);
    }
    let Offer::Certificate(candidate) = offered(Some(&good())) else { panic!("nothing") };
    assert_eq!(candidate.source, "cert-manager Issuer corporate");
}

/// Without the root beside it nobody could tell an authority that issues directly from a chain with a hole.
#[test]
fn an_authority_beside_a_certificate_closes_its_chain_s41() {
    let pair = fixtures::pair(&["hub.org"], 2020..2040);
    let warnings = |values: Value| match offered(Some(&values)) {
        Offer::Certificate(candidate) => candidate.certificate.warnings,
        Offer::Nothing(trouble) => panic!("{trouble:?}"),
    };
    assert_eq!(warnings(json!({"tls.crt": pair.leaf, "tls.key": pair.key})).len(), 1);
    let whole = json!({"tls.crt": pair.leaf, "tls.key": pair.key, "ca.crt": pair.intermediate});
    assert!(warnings(whole).is_empty());
}

/// Row 24.
#[test]
fn without_cert_manager_there_is_a_condition_and_what_was_issued_is_served_on() {
    let Offer::Nothing(trouble) = without_cert_manager(offered(None)) else { panic!("something") };
    assert_eq!(trouble.reason, reason::CERT_MANAGER_MISSING);
    let Offer::Certificate(candidate) = without_cert_manager(offered(Some(&good()))) else { panic!("nothing") };
    assert_eq!(candidate.notes[0].reason, reason::CERT_MANAGER_MISSING);
}

#[test]
fn cert_managers_own_words_are_passed_on() {
    let (_, settings) = hub(&json!({}));
    let ready = |message: &str| json!({"type": "Ready", "status": "False", "message": message});
    let failed = json!({"type": "Issuing", "status": "False", "message": "the issuer said no"});
    let waiting = json!({"status": {"conditions": [ready("issuing as Secret does not exist")]}});
    let refused = json!({"status": {
        "conditions": [ready("issuing as Secret does not exist"), failed], "lastFailureTime": "2026-01-01T00:00:00Z",
    }});
    let said = |values: Option<&Value>, certificate: &Value| match with_words(offered(values), certificate, &settings) {
        Offer::Nothing(trouble) => (false, trouble.reason, trouble.message),
        Offer::Certificate(candidate) => match candidate.notes.first() {
            Some(note) => (true, note.reason, note.message.clone()),
            None => (true, reason::VALID, String::new()),
        },
    };
    let (served, told, message) = said(None, &waiting);
    assert_eq!((served, told), (false, reason::ISSUING));
    assert!(message.contains("issuing as Secret does not exist"), "{message}");
    let (served, told, message) = said(None, &refused);
    assert_eq!((served, told), (false, reason::ISSUER_NOT_READY));
    assert!(message.contains("the issuer said no"), "{message}");
    let (served, told, message) = said(Some(&good()), &refused);
    assert_eq!((served, told), (true, reason::ISSUER_NOT_READY));
    assert!(message.contains("could not be renewed: the issuer said no"), "{message}");
    for certificate in [json!({}), json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}})] {
        assert_eq!(said(Some(&good()), &certificate).1, reason::VALID);
        assert_eq!(said(None, &certificate).1, reason::ISSUING);
    }
}

/// What the API server says of a webhook that is not there, or that refuses: nothing that was issued is lost by it.
#[test]
fn a_certificate_that_is_not_taken_is_told_of() {
    let status = |message: &str| Status { message: message.to_owned(), code: 500, ..Status::failure("", "") };
    let down = "Internal error occurred: failed calling webhook \"webhook.cert-manager.io\": connection refused";
    let denied = "admission webhook \"webhook.cert-manager.io\" denied the request: spec.duration: too short";
    for message in [down, denied] {
        assert!(is_of_webhook(&status(message)));
        let Offer::Nothing(trouble) = refused(offered(None), &status(message)) else { panic!("a certificate") };
        assert_eq!(trouble.reason, reason::ISSUER_NOT_READY);
        assert!(trouble.message.contains(message), "{}", trouble.message);
    }
    assert!(!is_of_webhook(&status("certificates.cert-manager.io is forbidden: User \"x\" cannot patch resource")));
}
