//! What is built where TLS ends in the proxy, and where it ends in front of it.

use hub_crds::status::CertificateStatus;
use k8s_openapi::ByteString;

use super::*;
use crate::certificate::{Served, Standing};

/// A Hub with a certificate, whose type and other settings are `changes`.
fn served(changes: &Value) -> ValidatedHub {
    let mut all = json!({"https": {"type": "secret", "allowInsecure": null, "secret": {"name": "mine"}}});
    fixtures::merge(&mut all, changes);
    let mut hub = validate(&fixtures::found(&all), &fixtures::images()).unwrap();
    let file = |text: &str| ByteString(text.as_bytes().to_vec());
    hub.certificate = Standing {
        served: Some(Served {
            facts: CertificateStatus {
                source: "Secret mine".to_owned(),
                serial: "0A1B".to_owned(),
                ..CertificateStatus::default()
            },
            is_good: true,
            files: [("tls.crt".to_owned(), file("CERTIFICATE")), ("tls.key".to_owned(), file("KEY"))].into(),
        }),
        ..Standing::default()
    };
    hub
}

fn proxy(changes: &Value) -> Value {
    whole(build(&served(changes)).deployments.remove(1))
}

fn arguments(deployment: &Value) -> Vec<String> {
    let arguments = &deployment["spec"]["template"]["spec"]["containers"][0]["args"];
    serde_json::from_value(arguments.clone()).unwrap()
}

/// As zero-to-jupyterhub gives them to configurable-http-proxy; ours has the same.
const OF_TLS: [&str; 4] = [
    "--redirect-port=8000",
    "--redirect-to=443",
    "--ssl-key=/etc/jupyterhub/secrets/tls/tls.key",
    "--ssl-cert=/etc/jupyterhub/secrets/tls/tls.crt",
];

#[test]
fn either_proxy_serves_the_certificate_and_redirects_to_it() {
    for implementation in ["hub-proxy", "configurable-http-proxy"] {
        let deployment = proxy(&json!({"proxy": {"implementation": implementation}}));
        let arguments = arguments(&deployment);
        assert!(arguments.contains(&"--port=8443".to_owned()), "{arguments:?}");
        assert_eq!(arguments.iter().filter(|found| OF_TLS.contains(&found.as_str())).count(), 4, "{arguments:?}");
        let pod = &deployment["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            let get = &container[probe]["httpGet"];
            assert_eq!((&get["port"], &get["scheme"]), (&json!("https"), &json!("HTTPS")), "{probe}");
        }
        assert!(
            container["ports"]
                .as_array()
                .unwrap()
                .contains(&json!({"name": "https", "containerPort": 8443, "protocol": "TCP"}))
        );
        // The whole Secret, so that a renewed one arrives without a restart (S40: for the pod's group only).
        assert!(
            pod["volumes"]
                .as_array()
                .unwrap()
                .contains(&json!({"name": "tls", "secret": {"secretName": "physics-tls", "defaultMode": 0o440}}))
        );
        let mount = json!({"name": "tls", "mountPath": "/etc/jupyterhub/secrets/tls", "readOnly": true});
        assert!(container["volumeMounts"].as_array().unwrap().contains(&mount));
        assert!(!deployment.to_string().contains("KEY\""), "no value in a template");
    }
}

#[test]
fn only_what_is_asked_for_is_asked_of_the_proxy() {
    let of = |changes: Value| {
        let known = [
            "--ip",
            "--port",
            "--api",
            "--metrics",
            "--default",
            "--error",
            "--redirect",
            "--ssl-key",
            "--ssl-cert",
            "--auth",
            "--snapshot",
            "--grace-period",
        ];
        let mut arguments = arguments(&proxy(&changes));
        arguments.retain(|found| !known.iter().any(|known| found.starts_with(known)));
        arguments
    };
    assert_eq!(of(json!({})), ["--trusted-proxies="]);
    assert_eq!(
        of(json!({
            "https": {"hsts": {"includeSubdomains": true}, "minVersion": "TLSv1.3", "extraSecrets": [{"name": "more"}]},
            "proxy": {"trustedProxies": ["10.0.0.0/8", "192.0.2.7"]},
        })),
        [
            "--ssl-sni-dir=/etc/jupyterhub/secrets/tls",
            "--hsts=15724800",
            "--hsts-include-subdomains",
            "--ssl-min-version=1.3",
            "--trusted-proxies=10.0.0.0/8,192.0.2.7",
        ]
    );
    assert_eq!(of(json!({"https": {"hsts": {"maxAge": 60}}}))[0], "--hsts=60");
}

#[test]
fn people_are_sent_to_the_port_that_they_see() {
    let port =
        |changes: Value| arguments(&proxy(&changes)).into_iter().find(|found| found.starts_with("--redirect-to"));
    let service = |kind: &str, ports: Value| json!({"proxy": {"service": {"type": kind, "nodePorts": ports}}});
    for (changes, expected) in [
        (json!({}), 443),
        (service("NodePort", json!({"https": 30443})), 30443),
        (service("LoadBalancer", json!({"https": 30443})), 443),
        (json!({"publicUrl": "https://hub.org/jupyter/"}), 443),
        (json!({"publicUrl": "https://hub.org:8443/jupyter/"}), 8443),
        (json!({"subdomainHost": "https://hub.org:8443"}), 8443),
    ] {
        assert_eq!(port(changes.clone()).unwrap(), format!("--redirect-to={expected}"), "{changes}");
    }
}

/// A renewal rolls the proxy that can't notice it, by a number that is no secret, and never ours.
#[test]
fn a_serial_number_rolls_configurable_http_proxy_only() {
    let annotations = |implementation: &str| {
        let deployment = proxy(&json!({"proxy": {"implementation": implementation}}));
        deployment["spec"]["template"]["metadata"]["annotations"].clone()
    };
    assert_eq!(annotations("configurable-http-proxy"), json!({"jupyter.rs/certificate-serial": "0A1B"}));
    assert_eq!(annotations("hub-proxy"), Value::Null);
}

#[test]
fn whatever_its_source_the_certificate_is_in_one_secret() {
    let secrets = build(&served(&json!({}))).secrets;
    let secret = secrets.iter().find(|found| found.name_any() == "physics-tls").unwrap();
    let mut metadata = meta("physics-tls", "proxy");
    metadata["annotations"] =
        json!({"jupyter.rs/certificate-source": "Secret mine", "jupyter.rs/https-type": "secret"});
    let encoded = |text: &str| json!(ByteString(text.as_bytes().to_vec()));
    assert_eq!(
        whole(secret),
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/tls",
            "data": {"tls.crt": encoded("CERTIFICATE"), "tls.key": encoded("KEY")},
        })
    );
    let plain = built(&json!({})).secrets;
    assert!(plain.iter().all(|found| found.name_any() != "physics-tls"));
}

#[test]
fn the_authority_is_published_for_people_to_trust_s36() {
    let mut hub = served(&json!({"https": {"type": "selfSigned", "secret": null}}));
    hub.certificate.authority = Some("AUTHORITY".to_owned());
    let maps = build(&hub).config_maps;
    let authority = maps.iter().find(|map| map.name_any() == "physics-ca").unwrap();
    assert_eq!(authority.data, Some([("ca.crt".to_owned(), "AUTHORITY".to_owned())].into()));
    assert!(built(&json!({})).config_maps.iter().all(|map| map.name_any() != "physics-ca"));
}

#[test]
fn the_public_service_leads_to_the_redirect_and_to_https() {
    let ports = |changes: &Value| whole(&build(&served(changes)).services[2])["spec"]["ports"].clone();
    let service = json!({"proxy": {"service": {"nodePorts": {"http": 30080, "https": 30443}}}});
    assert_eq!(
        ports(&service),
        json!([
            {"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http", "nodePort": 30080},
            {"name": "https", "port": 443, "protocol": "TCP", "targetPort": "https", "nodePort": 30443},
        ])
    );
}

#[test]
fn the_hub_is_told_how_tls_ends() {
    let config = |hub: &ValidatedHub| -> hub_crds::config::HubConfig {
        let settings = build(hub).config_maps.remove(0);
        serde_yaml::from_str(&settings.data.unwrap()["hub.yaml"]).unwrap()
    };
    assert_eq!(config(&served(&json!({}))).https, hub_crds::HttpsType::Secret);
}

#[test]
fn an_ingress_leads_to_the_proxy_for_the_hosts_of_the_hub() {
    let of = |changes: Value| {
        let mut all = json!({"https": {"type": "external", "allowInsecure": null}});
        fixtures::merge(&mut all, &changes);
        whole(built(&all).ingresses.remove(0))
    };
    let backend = json!({"service": {"name": "physics-proxy-public", "port": {"name": "http"}}});
    let http = json!({"paths": [{"path": "/jupyter/", "pathType": "Prefix", "backend": backend}]});
    let mut metadata = meta("physics-proxy", "proxy");
    assert_eq!(
        of(json!({"proxy": {"ingress": {}}})),
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata,
            "spec": {"rules": [{"http": http}]},
        })
    );
    metadata["annotations"] = json!({"a": "b"});
    assert_eq!(
        of(json!({
            "subdomainHost": "https://hub.org",
            "proxy": {"ingress": {"className": "nginx", "annotations": {"a": "b"}, "tlsSecretName": "mine"}},
        })),
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata,
            "spec": {
                "ingressClassName": "nginx",
                "rules": [{"host": "hub.org", "http": http}, {"host": "*.hub.org", "http": http}],
                "tls": [{"hosts": ["hub.org", "*.hub.org"], "secretName": "mine"}],
            },
        })
    );
    assert!(built(&json!({})).ingresses.is_empty());
}
