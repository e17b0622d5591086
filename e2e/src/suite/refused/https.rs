//! Wrong ways to end TLS, and wrong rotations.

use serde_json::{Value, json};

/// As [`super::wrong`].
pub(super) fn wrong() -> Vec<(&'static str, Value, &'static str)> {
    let reference = json!({"name": "s", "key": "k"});
    let of_type = |name: &str, fields: Value| {
        let mut https = json!({"type": name});
        super::merge(&mut https, &fields);
        json!({"https": https})
    };
    let order = json!({"email": "ada@example.org"});
    vec![
        ("no https", json!({"https": null}), "set spec.https.type to 'letsencrypt'"),
        ("no TLS by accident", of_type("none", json!({})), "set spec.https.allowInsecure: true to accept that"),
        (
            "an unknown type of https",
            of_type("magic", json!({})),
            r#"supported values: "none", "external", "secret", "manual", "selfSigned", "certManager", "letsencrypt""#,
        ),
        ("a Secret that is not named", of_type("secret", json!({})), "spec.https.secret and type 'secret' go together"),
        (
            "a Secret that is not used",
            of_type("selfSigned", json!({"secret": {"name": "s"}})),
            "spec.https.secret and type 'secret' go together",
        ),
        (
            "a Secret without a name (S48)",
            of_type("secret", json!({"secret": {"name": ""}})),
            "name must not be empty: name a Secret, or remove the whole entry",
        ),
        (
            "an empty certificate (S48)",
            of_type("secret", json!({"secret": {"name": "s", "certKey": ""}})),
            "certKey must not be empty: remove the line for the default",
        ),
        (
            "an empty key (S48)",
            of_type("secret", json!({"secret": {"name": "s", "keyKey": ""}})),
            "keyKey must not be empty: remove the line if",
        ),
        (
            "an empty key beside its certificate (S48)",
            of_type("manual", json!({"manual": {"certSecretRef": reference, "keySecretRef": {"name": "", "key": ""}}})),
            "remove the whole reference if none is meant",
        ),
        (
            "a key without its certificate",
            of_type("manual", json!({"manual": {"keySecretRef": reference}})),
            "certSecretRef: Required value",
        ),
        (
            "cert-manager without an issuer",
            of_type("certManager", json!({"hosts": ["hub.example.org"], "certManager": {}})),
            "issuerRef: Required value",
        ),
        (
            "a certificate for nobody",
            of_type("letsencrypt", json!({"letsencrypt": order})),
            "spec.https.hosts is required with type 'letsencrypt' and 'certManager'",
        ),
        (
            "a wildcard over HTTP-01",
            of_type("letsencrypt", json!({"letsencrypt": order, "hosts": ["*.hub.example.org"]})),
            "use type 'certManager' with a DNS-01 issuer",
        ),
        (
            "an authority without TLS",
            of_type(
                "letsencrypt",
                json!({"letsencrypt": {"email": "a@b.c", "server": "http://acme/"}, "hosts": ["a.b"]}),
            ),
            "spec.https.letsencrypt.server",
        ),
        (
            "nobody to write to",
            of_type("letsencrypt", json!({"letsencrypt": {"email": "ada"}, "hosts": ["a.b"]})),
            "spec.https.letsencrypt.email",
        ),
        ("a host that is none", of_type("selfSigned", json!({"hosts": ["Hub Example"]})), "spec.https.hosts[0]"),
        ("a host twice", of_type("selfSigned", json!({"hosts": ["a.b", "a.b"]})), "Duplicate value"),
        ("HSTS of somebody else", of_type("external", json!({"hsts": {}})), "set the header where TLS ends"),
        (
            "certificates that nobody serves",
            of_type("external", json!({"extraSecrets": [{"name": "s"}]})),
            "spec.https.extraSecrets needs TLS that ends in the proxy",
        ),
        (
            "an old TLS",
            of_type("selfSigned", json!({"minVersion": "TLSv1.1"})),
            r#"supported values: "TLSv1.2", "TLSv1.3""#,
        ),
        (
            "an Ingress in front of TLS",
            json!({"https": {"type": "selfSigned"}, "proxy": {"ingress": {}}}),
            "set spec.https.type to 'external' or remove them",
        ),
        (
            "a rotation at no time",
            json!({"security": {"cookieSecret": {"rotation": {"schedule": ""}}}}),
            "rotation.schedule must not be empty: remove it",
        ),
        (
            "a grace period that is none",
            json!({"security": {"proxyAuthToken": {"rotation": {"gracePeriod": "soon"}}}}),
            "spec.security.proxyAuthToken.rotation.gracePeriod",
        ),
    ]
}
