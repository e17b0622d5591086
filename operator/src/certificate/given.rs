//! Certificates in Secrets that somebody else writes: the administrator, or cert-manager. Pure.

use std::{collections::BTreeMap, sync::Arc};

use hub_crds::{ManualCertificate, SecretKeyRef, TlsSecret, names::secret_key, status::reason};
use k8s_openapi::api::core::v1::Secret;

use super::choice::{Candidate, Offer, Trouble};

/// Secrets by name.
pub type Secrets = BTreeMap<String, Arc<Secret>>;

/// The certificate of `https.secret`, or of one of `https.extraSecrets` (S38, S39). `field` is the reference's.
pub fn of_secret(field: &str, reference: &TlsSecret, secrets: &Secrets) -> Offer {
    let TlsSecret { name, cert_key, key_key } = reference;
    let certificate = match value(&format!("{field}.certKey"), name, cert_key, secrets) {
        Ok(certificate) => certificate,
        Err(trouble) => return Offer::Nothing(trouble),
    };
    let key = match key_key {
        Some(key) => match value(&format!("{field}.keyKey"), name, key, secrets) {
            Ok(key) => Some(key),
            Err(trouble) => return Offer::Nothing(trouble),
        },
        None => find(name, secret_key::TLS_KEY, secrets),
    };
    read(&format!("Secret {name}"), certificate, find(name, secret_key::CA_CERTIFICATE, secrets), key)
}

/// The certificate of `https.manual` (S37, S38).
pub fn of_manual(reference: &ManualCertificate, secrets: &Secrets) -> Offer {
    let field = "spec.https.manual";
    let get = |name: &str, reference: &SecretKeyRef| {
        value(&format!("{field}.{name}"), &reference.name, &reference.key, secrets)
    };
    let certificate = match get("certSecretRef", &reference.cert_secret_ref) {
        Ok(certificate) => certificate,
        Err(trouble) => return Offer::Nothing(trouble),
    };
    let key = match reference.key_secret_ref.as_ref().map(|key| get("keySecretRef", key)).transpose() {
        Ok(key) => key,
        Err(trouble) => return Offer::Nothing(trouble),
    };
    read(&format!("Secret {}", reference.cert_secret_ref.name), certificate, None, key)
}

/// Reads a certificate. The authority that may lie beside it tells that no intermediate one is missing.
fn read(source: &str, certificate: &[u8], authority: Option<&[u8]>, key: Option<&[u8]>) -> Offer {
    match hub_tls::read(certificate, key) {
        Ok(mut certificate) => {
            if let Some(authority) = authority
                && let Err(error) = certificate.note_authorities(authority)
            {
                tracing::debug!(source, %error, "passed over an authority that cannot be read");
            }
            Offer::Certificate(Candidate { certificate, source: source.to_owned(), notes: Vec::new() })
        }
        Err(problem) => Offer::Nothing(Trouble::new(reason::CERTIFICATE_INVALID, format!("{source}: {problem}"))),
    }
}

/// A value that must be there.
pub fn value<'a>(field: &str, name: &str, key: &str, secrets: &'a Secrets) -> Result<&'a [u8], Trouble> {
    if !secrets.contains_key(name) {
        let message = format!(
            "Secret {name} does not exist in this namespace: create it with the key {key}, which {field} names"
        );
        return Err(Trouble::new(reason::SECRET_MISSING, message));
    }
    find(name, key, secrets).ok_or_else(|| {
        let message =
            format!("Secret {name} has nothing under the key {key}, which {field} names: add it, or correct the name");
        Trouble::new(reason::CERTIFICATE_INVALID, message)
    })
}

/// A value that is there and not empty.
pub fn find<'a>(name: &str, key: &str, secrets: &'a Secrets) -> Option<&'a [u8]> {
    let value = secrets.get(name)?.data.as_ref()?.get(key)?;
    (!value.0.is_empty()).then_some(value.0.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{self, Pair};
    use serde_json::{Value, json};

    fn offered(reference: &Value, secret: &Value) -> Offer {
        let secrets = BTreeMap::from([fixtures::secret("mine", secret)]);
        of_secret("spec.https.secret", &serde_json::from_value(reference.clone()).unwrap(), &secrets)
    }

    /// Sources and chains of certificates, messages of everything else.
    fn outcome(offer: Offer) -> Result<String, String> {
        match offer {
            Offer::Certificate(candidate) => Ok(candidate.certificate.chain_pem.replace("\r\n", "\n")),
            Offer::Nothing(trouble) => Err(format!("{}: {}", trouble.reason, trouble.message)),
        }
    }

    fn pair() -> Pair {
        fixtures::pair(&["hub.org"], 2020..2040)
    }

    #[test]
    fn key_and_certificate_are_found_wherever_they_are_s37_s38_s39() {
        let pair = pair();
        let both = format!("{}{}", pair.key, pair.chain());
        let plain = json!({"name": "mine"});
        for (reference, secret) in [
            (plain.clone(), json!({"tls.crt": pair.chain(), "tls.key": pair.key})),
            (plain.clone(), json!({"tls.crt": both})),
            (plain, json!({"tls.crt": both, "tls.key": ""})),
            (json!({"name": "mine", "certKey": "site.pem"}), json!({"site.pem": both})),
            (
                json!({"name": "mine", "certKey": "site.pem", "keyKey": "site.key"}),
                json!({"site.pem": pair.chain(), "site.key": pair.key, "tls.key": "another"}),
            ),
        ] {
            let served = outcome(offered(&reference, &secret)).unwrap();
            assert_eq!(served.matches("BEGIN CERTIFICATE").count(), 2, "{reference}");
        }
    }

    #[test]
    fn a_chain_in_the_wrong_order_is_mended_s41() {
        let pair = pair();
        let mixed = format!("{}{}{}", pair.root, pair.intermediate, pair.leaf);
        let secret = json!({"tls.crt": mixed, "tls.key": pair.key});
        let right = json!({"tls.crt": pair.chain(), "tls.key": pair.key});
        let reference = json!({"name": "mine"});
        assert_eq!(outcome(offered(&reference, &secret)).unwrap(), outcome(offered(&reference, &right)).unwrap());
    }

    #[test]
    fn what_is_wrong_names_the_secret_and_the_remedy_and_no_key() {
        let (pair, other) = (pair(), pair());
        let huge = pair.chain().repeat(6);
        for (reference, secret, words) in [
            (json!({"name": "absent"}), json!({}), "SecretMissing: Secret absent does not exist in this namespace"),
            (json!({"name": "mine"}), json!({"tls.key": "x"}), "nothing under the key tls.crt"),
            (
                json!({"name": "mine", "keyKey": "my.key"}),
                json!({"tls.crt": pair.chain()}),
                "nothing under the key my.key, which spec.https.secret.keyKey names",
            ),
            (
                json!({"name": "mine"}),
                json!({"tls.crt": pair.chain()}),
                "CertificateInvalid: Secret mine: there is no private key",
            ),
            (
                json!({"name": "mine"}),
                json!({"tls.crt": "rubbish", "tls.key": pair.key}),
                "Secret mine: there is no certificate",
            ),
            (json!({"name": "mine"}), json!({"tls.crt": pair.chain(), "tls.key": other.key}), "doesn't fit"),
            (json!({"name": "mine"}), json!({"tls.crt": huge, "tls.key": pair.key}), "more than 10 certificates"),
        ] {
            let message = outcome(offered(&reference, &secret)).unwrap_err();
            assert!(message.contains(words), "{message}");
            assert!(!message.contains("PRIVATE KEY") || !message.contains("MIG"), "{message}");
        }
    }

    #[test]
    fn key_and_certificate_may_be_in_two_secrets_s37_s38() {
        let pair = pair();
        let both = format!("{}{}", pair.chain(), pair.key);
        let values = [
            fixtures::secret("keys", &json!({"hub": pair.key})),
            fixtures::secret("certs", &json!({"hub": pair.chain(), "both": both})),
        ];
        let of =
            |reference: Value| of_manual(&serde_json::from_value(reference).unwrap(), &BTreeMap::from(values.clone()));
        let certificate = json!({"name": "certs", "key": "hub"});
        let two = of(json!({"certSecretRef": certificate, "keySecretRef": {"name": "keys", "key": "hub"}}));
        let one = of(json!({"certSecretRef": {"name": "certs", "key": "both"}}));
        assert_eq!(outcome(two).unwrap(), outcome(one).unwrap());
        let message = outcome(of(json!({"certSecretRef": certificate, "keySecretRef": {"name": "keys", "key": "no"}})));
        assert!(message.unwrap_err().contains("spec.https.manual.keySecretRef"));
    }
}
