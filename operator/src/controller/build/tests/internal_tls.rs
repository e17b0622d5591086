//! TLS between the proxy and users' servers.

use crate::secrets::{Known, Record};

use super::*;

/// With the authority's certificate already made.
fn built() -> Resources<Prepared> {
    let mut found = fixtures::found(&json!({"security": {"internalTLS": true}}));
    found.records.push((Record::internal_ca_key("physics"), Known::default()));
    let mut hub = validate(&found, &fixtures::images()).unwrap();
    let files = [("ca.crt", "authority"), ("tls.crt", "certificate"), ("tls.key", "key")];
    let files = files.map(|(name, text)| (name.to_owned(), k8s_openapi::ByteString(text.as_bytes().to_vec())));
    hub.internal_tls = Some(crate::internal_tls::InternalTls { files: files.into() });
    build(&hub)
}

fn pod(deployment: &Value) -> &Value {
    &deployment["spec"]["template"]["spec"]
}

/// Pods of Hubs without it are not touched: each field that it adds is left out.
#[test]
fn without_it_nothing_of_it_is_anywhere() {
    let resources = super::built(&json!({}));
    assert!(resources.secrets.iter().all(|secret| secret.name_any() != "physics-pods-certificate"));
    for text in resources
        .deployments
        .iter()
        .map(|one| whole(one).to_string())
        .chain([whole(&resources.config_maps[0]).to_string()])
    {
        assert!(!text.contains("internal") && !text.contains("client-ssl"), "{text}");
    }
}

#[test]
fn the_proxy_gets_a_certificate_and_the_authority_but_not_its_key() {
    let resources = built();
    let secret =
        whole(resources.secrets.iter().find(|secret| secret.name_any() == "physics-pods-certificate").unwrap());
    assert_eq!(
        secret,
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": meta("physics-pods-certificate", "proxy"),
            "type": "kubernetes.io/tls",
            "data": {"ca.crt": "YXV0aG9yaXR5", "tls.crt": "Y2VydGlmaWNhdGU=", "tls.key": "a2V5"},
        })
    );
    let deployment = whole(&resources.deployments[1]);
    let arguments = pod(&deployment)["containers"][0]["args"].as_array().unwrap();
    assert_eq!(
        arguments[arguments.len() - 3..],
        [
            "--client-ssl-ca=/etc/jupyterhub/secrets/internal-tls/ca.crt",
            "--client-ssl-cert=/etc/jupyterhub/secrets/internal-tls/tls.crt",
            "--client-ssl-key=/etc/jupyterhub/secrets/internal-tls/tls.key",
        ]
    );
    let mount = json!({"name": "internal-tls", "mountPath": "/etc/jupyterhub/secrets/internal-tls", "readOnly": true});
    let volume =
        json!({"name": "internal-tls", "secret": {"secretName": "physics-pods-certificate", "defaultMode": 0o440}});
    assert!(pod(&deployment)["containers"][0]["volumeMounts"].as_array().unwrap().contains(&mount));
    assert!(pod(&deployment)["volumes"].as_array().unwrap().contains(&volume));
    assert!(!deployment.to_string().contains("physics-pods-authority"));
}

/// It issues the servers' certificates.
#[test]
fn the_hub_gets_the_authoritys_key_too_and_is_told_where() {
    let resources = built();
    let text = &resources.config_maps[0].data.as_ref().unwrap()["hub.yaml"];
    let config: hub_crds::config::HubConfig = serde_yaml::from_str(text).unwrap();
    let directory = config.kubernetes.unwrap().internal_tls_dir.unwrap();
    assert_eq!(directory.to_str(), Some("/etc/jupyterhub/secrets/internal-tls"));
    let deployment = whole(&resources.deployments[0]);
    let mount = json!({"name": "internal-tls", "mountPath": directory, "readOnly": true});
    let volume = json!({"name": "internal-tls", "projected": {"defaultMode": 0o440, "sources": [
        {"secret": {"name": "physics-pods-certificate"}}, {"secret": {"name": "physics-pods-authority"}},
    ]}});
    assert!(pod(&deployment)["containers"][0]["volumeMounts"].as_array().unwrap().contains(&mount));
    assert!(pod(&deployment)["volumes"].as_array().unwrap().contains(&volume));
}
