//! Certificates: where they come from, what happens to wrong ones, and that all of it costs nothing at rest.

use hub_crds::status::{CertificateStatus, reason};
use k8s_openapi::api::{
    core::v1::{ConfigMap, Secret, Service},
    networking::v1::Ingress,
};
use kube::api::DynamicObject;

use super::*;
use crate::{
    extension::{CERTIFICATE, Extension, HTTP_ROUTE},
    fixtures::{Pair, pair},
};

fn https(settings: &Value) -> Value {
    let mut https = json!({"allowInsecure": false});
    fixtures::merge(&mut https, settings);
    json!({"https": https})
}

pub(super) fn of_secret() -> Value {
    https(&json!({"type": "secret", "secret": {"name": "mine"}}))
}

pub(super) fn data(pair: &Pair) -> Value {
    json!({"tls.crt": pair.chain(), "tls.key": pair.key})
}

impl Lab {
    pub(super) async fn put_secret(&self, name: &str, data: &Value) {
        let body = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
        let parameters = PatchParams::apply("person").force();
        self.api::<Secret>().patch(name, &parameters, &Patch::Apply(body)).await.unwrap();
    }

    /// What the proxy would mount.
    async fn served(&self) -> Option<Secret> {
        self.api::<Secret>().get_opt("physics-tls").await.unwrap()
    }

    async fn served_key(&self) -> String {
        let data = self.served().await.unwrap().data.unwrap();
        String::from_utf8(data["tls.key"].0.clone()).unwrap()
    }

    async fn certificate(&self) -> Option<CertificateStatus> {
        self.api::<StoredHub>().get("physics").await.unwrap().status().certificate
    }

    /// Ten looks at what is as it should be.
    async fn looks_cost_nothing(&self) {
        self.quiet().await;
        let before = self.metrics.api_requests();
        for number in 0..10 {
            self.touch(number).await;
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        self.quiet().await;
        assert_eq!(since(&before, &self.metrics.api_requests()), BTreeMap::new());
    }
}

/// PEM without what differs between writers.
fn bare(pem: &str) -> String {
    pem.split_whitespace().collect()
}

#[tokio::test]
async fn a_secret_is_waited_for_served_renewed_and_never_replaced_by_a_wrong_one_s37_s38() {
    in_lab(|lab| async move {
        lab.apply_hub(&of_secret()).await;
        let message = lab.wait_for("CertificateReady", "False", reason::SECRET_MISSING).await;
        assert!(message.contains("Secret mine does not exist"), "{message}");
        assert!(lab.api::<Deployment>().get_opt("physics-proxy").await.unwrap().is_none());

        let first = pair(&["hub.org"], 2020..2040);
        lab.put_secret("mine", &data(&first)).await;
        lab.wait_for("CertificateReady", "True", reason::VALID).await;
        lab.wait_until_applied().await;
        assert_eq!(bare(&lab.served_key().await), bare(&first.key));
        let status = lab.certificate().await.unwrap();
        assert_eq!((status.source.as_str(), status.issuer.as_str()), ("Secret mine", "Intermediate"));
        assert_eq!((status.names, status.not_after.as_str()), (vec!["hub.org".to_owned()], "2040-01-01T00:00:00Z"));
        lab.looks_cost_nothing().await;
        let deployment = lab.api::<Deployment>().get("physics-proxy").await.unwrap();

        let second = pair(&["hub.org"], 2020..2039);
        lab.put_secret("mine", &data(&second)).await;
        eventually(Duration::from_secs(5), || async { bare(&lab.served_key().await) == bare(&second.key) }).await;

        for (wrong, words) in [
            (json!({"tls.crt": first.chain(), "tls.key": second.key}), reason::CERTIFICATE_INVALID),
            (json!({"tls.crt": "rubbish", "tls.key": second.key}), reason::CERTIFICATE_INVALID),
            (data(&pair(&["hub.org"], 2020..2021)), reason::CERTIFICATE_EXPIRED),
            (data(&pair(&["hub.org"], 2090..2091)), reason::CERTIFICATE_NOT_YET_VALID),
        ] {
            lab.put_secret("mine", &wrong).await;
            let message = lab.wait_for("CertificateReady", "False", words).await;
            assert!(message.contains("Secret mine") && message.contains("is served meanwhile"), "{message}");
            lab.quiet().await;
            assert_eq!(bare(&lab.served_key().await), bare(&second.key), "{words}");
        }
        lab.api::<Secret>().delete("mine", &DeleteParams::default()).await.unwrap();
        lab.wait_for("CertificateReady", "False", reason::SECRET_MISSING).await;
        assert_eq!(bare(&lab.served_key().await), bare(&second.key));

        lab.put_secret("mine", &data(&first)).await;
        lab.wait_for("CertificateReady", "True", reason::VALID).await;
        eventually(Duration::from_secs(5), || async { bare(&lab.served_key().await) == bare(&first.key) }).await;
        lab.quiet().await;
        let after = lab.api::<Deployment>().get("physics-proxy").await.unwrap();
        assert_eq!(after.metadata.generation, deployment.metadata.generation, "no renewal rolls our proxy");
    })
    .await;
}

#[tokio::test]
async fn a_key_in_the_certificates_file_and_a_hole_in_the_chain_are_served_s39_s41() {
    in_lab(|lab| async move {
        let certificate = pair(&["hub.org"], 2020..2040);
        lab.put_secret("keys", &json!({"k": certificate.key})).await;
        lab.put_secret("certs", &json!({"all": format!("{}{}", certificate.key, certificate.leaf)})).await;
        let reference = |name: &str, key: &str| json!({"name": name, "key": key});
        lab.apply_hub(&https(&json!({"type": "manual", "manual": {"certSecretRef": reference("certs", "all")}}))).await;
        let message = lab.wait_for("CertificateReady", "True", reason::INTERMEDIATE_MISSING).await;
        assert!(message.contains("Secret certs") && message.contains("Intermediate"), "{message}");
        assert_eq!(bare(&lab.served_key().await), bare(&certificate.key));

        let mixed = format!("{}{}{}", certificate.root, certificate.intermediate, certificate.leaf);
        lab.put_secret("certs", &json!({"all": mixed})).await;
        let manual = json!({"certSecretRef": reference("certs", "all"), "keySecretRef": reference("keys", "k")});
        lab.apply_hub(&https(&json!({"type": "manual", "manual": manual}))).await;
        lab.wait_for("CertificateReady", "True", reason::VALID).await;
        lab.quiet().await;
        let data = lab.served().await.unwrap().data.unwrap();
        assert_eq!(bare(&String::from_utf8(data["tls.crt"].0.clone()).unwrap()), bare(&certificate.chain()));
    })
    .await;
}

#[tokio::test]
async fn more_certificates_are_files_beside_the_main_one_and_go_when_they_are_wanted_no_more() {
    in_lab(|lab| async move {
        let (main, more, other) =
            (pair(&["hub.org"], 2020..2040), pair(&["hub.net"], 2020..2040), pair(&["hub.net"], 2020..2040));
        lab.put_secret("mine", &data(&main)).await;
        lab.put_secret("more", &data(&more)).await;
        let extra = json!([{"name": "more"}, {"name": "absent"}]);
        lab.apply_hub(&https(&json!({"type": "secret", "secret": {"name": "mine"}, "extraSecrets": extra}))).await;
        let message = lab.wait_for("CertificateReady", "False", reason::SECRET_MISSING).await;
        assert!(message.contains("spec.https.extraSecrets[absent]"), "{message}");
        let keys = || async { lab.served().await.unwrap().data.unwrap().into_keys().collect::<Vec<_>>() };
        assert_eq!(keys().await, ["extra-more.crt", "extra-more.key", "tls.crt", "tls.key"]);

        lab.put_secret("more", &json!({"tls.crt": more.chain(), "tls.key": other.key})).await;
        lab.wait_for("CertificateReady", "False", reason::CERTIFICATE_INVALID).await;
        assert_eq!(keys().await.len(), 4, "the old one stays");
        lab.apply_hub(&of_secret()).await;
        lab.wait_for("CertificateReady", "True", reason::VALID).await;
        lab.quiet().await;
        assert_eq!(keys().await, ["tls.crt", "tls.key"]);
    })
    .await;
}

#[tokio::test]
async fn a_self_signed_certificate_is_of_an_authority_that_lasts_s36() {
    in_lab(|lab| async move {
        let own = |hosts: &[&str]| https(&json!({"type": "selfSigned", "hosts": hosts}));
        lab.apply_hub(&own(&["hub.org"])).await;
        lab.wait_for("CertificateReady", "True", reason::VALID).await;
        lab.wait_until_applied().await;
        let status = lab.certificate().await.unwrap();
        assert_eq!(status.source, "self-signed");
        for name in ["hub.org", "physics-proxy-public", "localhost"] {
            assert!(status.names.contains(&name.to_owned()), "{:?}", status.names);
        }
        let authority =
            || async { lab.api::<ConfigMap>().get("physics-ca").await.unwrap().data.unwrap()["ca.crt"].clone() };
        let (trusted, key) = (authority().await, lab.served_key().await);
        lab.looks_cost_nothing().await;

        // The key of the authority is a Secret of record; what it signs can be made again.
        comes_back::<Secret>(&lab, "physics-ca-key").await;
        comes_back::<Secret>(&lab, "physics-tls").await;
        lab.quiet().await;
        assert_eq!(authority().await, trusted);
        assert_ne!(lab.served_key().await, key);
        assert_eq!(lab.certificate().await.unwrap().issuer, status.issuer, "who trusted it still does");

        lab.apply_hub(&own(&["hub.org", "hub.net"])).await;
        let is_for = |name: &'static str| {
            let lab = lab.clone();
            async move { lab.certificate().await.unwrap().names.contains(&name.to_owned()) }
        };
        eventually(Duration::from_secs(5), || is_for("hub.net")).await;
        assert_eq!(authority().await, trusted);

        lab.apply_hub(&json!({})).await;
        lab.wait_for("TLSConfigured", "False", reason::INSECURE_ALLOWED).await;
        lab.quiet().await;
        assert!(lab.served().await.is_none() && lab.certificate().await.is_none());
        assert!(lab.api::<ConfigMap>().get_opt("physics-ca").await.unwrap().is_none());
        assert!(lab.api::<Secret>().get_opt("physics-ca-key").await.unwrap().is_some(), "of record");
        let hub = lab.api::<StoredHub>().get("physics").await.unwrap();
        assert!(hub.status().conditions.iter().all(|found| found.type_ != "CertificateReady"));
    })
    .await;
}

#[tokio::test]
async fn another_type_takes_over_without_a_gap() {
    in_lab(|lab| async move {
        lab.apply_hub(&https(&json!({"type": "selfSigned"}))).await;
        lab.wait_for("CertificateReady", "True", reason::VALID).await;
        lab.apply_hub(&of_secret()).await;
        let message = lab.wait_for("CertificateReady", "False", reason::SECRET_MISSING).await;
        assert!(message.contains("the one of self-signed is served meanwhile"), "{message}");
        let given = pair(&["hub.org"], 2020..2040);
        lab.put_secret("mine", &data(&given)).await;
        lab.wait_for("CertificateReady", "True", reason::VALID).await;
        lab.quiet().await;
        assert_eq!(bare(&lab.served_key().await), bare(&given.key));
        assert_eq!(lab.certificate().await.unwrap().source, "Secret mine");
    })
    .await;
}

#[tokio::test]
async fn configurable_http_proxy_is_rolled_by_a_renewal() {
    in_lab(|lab| async move {
        let first = pair(&["hub.org"], 2020..2040);
        lab.put_secret("mine", &data(&first)).await;
        let mut changes = of_secret();
        changes["proxy"] = json!({"implementation": "configurable-http-proxy"});
        lab.apply_hub(&changes).await;
        lab.wait_for("CertificateReady", "True", reason::VALID).await;
        let serial = || async {
            let template = lab.api::<Deployment>().get("physics-proxy").await.unwrap().spec.unwrap().template;
            template.metadata.unwrap().annotations.unwrap()["jupyter.rs/certificate-serial"].clone()
        };
        lab.quiet().await;
        assert_eq!(serial().await, first.read().serial);
        let second = pair(&["hub.org"], 2020..2040);
        lab.put_secret("mine", &data(&second)).await;
        eventually(Duration::from_secs(5), || async { serial().await == second.read().serial }).await;
    })
    .await;
}

/// Defines a kind as little as an API server takes.
async fn define(lab: &Lab, extension: Extension) {
    let definition = json!({
        "metadata": {"name": format!("{}.{}", extension.plural, extension.group), "annotations": {
            "api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api/pull/2466",
        }},
        "spec": {
            "group": extension.group, "scope": "Namespaced",
            "names": {"kind": extension.kind, "plural": extension.plural},
            "versions": [{"name": extension.version, "served": true, "storage": true, "subresources": {"status": {}}, "schema": {
                "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            }}],
        },
    });
    create::<CustomResourceDefinition>(&Api::all(lab.client.clone()), &definition).await;
}

async fn undefine(lab: &Lab, extension: Extension) {
    let name = format!("{}.{}", extension.plural, extension.group);
    let api = Api::<CustomResourceDefinition>::all(lab.client.clone());
    let _ = api.delete(&name, &DeleteParams::default()).await;
    eventually(Duration::from_secs(20), || async { api.get_opt(&name).await.unwrap().is_none() }).await;
}

fn objects(lab: &Lab, extension: Extension) -> Api<DynamicObject> {
    Api::namespaced_with(lab.client.clone(), &lab.namespace, &extension.resource())
}

/// Row 24.
#[tokio::test]
async fn cert_manager_is_missed_found_asked_heard_and_let_go() {
    in_lab(|lab| async move {
        undefine(&lab, CERTIFICATE).await;
        let asked = https(&json!({
            "type": "certManager", "hosts": ["hub.org"], "certManager": {"issuerRef": {"name": "corporate"}},
        }));
        lab.apply_hub(&asked).await;
        let message = lab.wait_for("CertificateReady", "False", reason::CERT_MANAGER_MISSING).await;
        assert!(message.contains("temporary certificate"), "{message}");
        assert_eq!(lab.certificate().await.unwrap().source, "temporary");
        let temporary = lab.served_key().await;

        define(&lab, CERTIFICATE).await;
        let certificates = objects(&lab, CERTIFICATE);
        let is_there = || async { matches!(certificates.get_opt("physics-cert-manager").await, Ok(Some(_))) };
        let took = eventually(Duration::from_secs(30), is_there).await;
        assert!(took < Duration::from_secs(30));
        let wished = certificates.get("physics-cert-manager").await.unwrap();
        assert_eq!(wished.data["spec"]["dnsNames"], json!(["hub.org"]));
        lab.wait_for("CertificateReady", "False", reason::ISSUING).await;
        assert_eq!(lab.served_key().await, temporary, "one temporary certificate is enough");

        let issued = pair(&["hub.org"], 2020..2040);
        lab.put_secret("physics-cert-manager", &data(&issued)).await;
        lab.wait_for("CertificateReady", "True", reason::VALID).await;
        assert_eq!(lab.certificate().await.unwrap().source, "cert-manager Issuer corporate");
        lab.looks_cost_nothing().await;
        let renewed = pair(&["hub.org"], 2020..2040);
        lab.put_secret("physics-cert-manager", &data(&renewed)).await;
        eventually(Duration::from_secs(5), || async { bare(&lab.served_key().await) == bare(&renewed.key) }).await;

        lab.apply_hub(&https(&json!({"type": "selfSigned"}))).await;
        lab.wait_for("CertificateReady", "True", reason::VALID).await;
        eventually(Duration::from_secs(5), || async {
            certificates.get_opt("physics-cert-manager").await.unwrap().is_none()
        })
        .await;
        lab.looks_cost_nothing().await;
        undefine(&lab, CERTIFICATE).await;
    })
    .await;
}

#[tokio::test]
async fn ways_in_from_outside_come_and_go() {
    in_lab(|lab| async move {
        undefine(&lab, HTTP_ROUTE).await;
        let external = |proxy: Value| {
            let mut changes = https(&json!({"type": "external"}));
            changes["publicUrl"] = json!("https://hub.org/jupyter/");
            changes["proxy"] = proxy;
            changes
        };
        lab.apply_hub(&external(json!({"ingress": {"className": "nginx"}}))).await;
        lab.wait_until_applied().await;
        let ingress = lab.api::<Ingress>().get("physics-proxy").await.unwrap();
        assert_eq!(ingress.spec.unwrap().rules.unwrap()[0].host.as_deref(), Some("hub.org"));
        comes_back::<Ingress>(&lab, "physics-proxy").await;

        let parents = json!([{"name": "gateway"}]);
        lab.apply_hub(&external(json!({"httpRoute": {"parentRefs": parents}}))).await;
        lab.wait_for("RouteReady", "False", reason::GATEWAY_API_MISSING).await;
        assert!(lab.api::<Ingress>().get_opt("physics-proxy").await.unwrap().is_none());
        define(&lab, HTTP_ROUTE).await;
        let routes = objects(&lab, HTTP_ROUTE);
        eventually(Duration::from_secs(30), || async { matches!(routes.get_opt("physics").await, Ok(Some(_))) }).await;
        lab.wait_for("RouteReady", "True", reason::ROUTE_APPLIED).await;
        let route = routes.get("physics").await.unwrap();
        assert_eq!(route.data["spec"]["hostnames"], json!(["hub.org"]));
        assert_eq!(route.data["spec"]["rules"][0]["matches"][0]["path"]["value"], "/jupyter");
        lab.looks_cost_nothing().await;

        lab.apply_hub(&external(json!({}))).await;
        eventually(Duration::from_secs(5), || async { routes.get_opt("physics").await.unwrap().is_none() }).await;
        lab.looks_cost_nothing().await;
        undefine(&lab, HTTP_ROUTE).await;
    })
    .await;
}

/// Port 80 and 443 of the Service follow the type.
#[tokio::test]
async fn the_public_service_has_https_where_it_is_served() {
    in_lab(|lab| async move {
        let ports = || async {
            let service = lab.api::<Service>().get("physics-proxy-public").await.unwrap();
            service.spec.unwrap().ports.unwrap().iter().map(|port| port.port).collect::<Vec<_>>()
        };
        lab.apply_hub(&https(&json!({"type": "selfSigned"}))).await;
        lab.wait_until_applied().await;
        assert_eq!(ports().await, [80, 443]);
        lab.apply_hub(&json!({})).await;
        lab.wait_for("TLSConfigured", "False", reason::INSECURE_ALLOWED).await;
        lab.wait_until_applied().await;
        assert_eq!(ports().await, [80]);
    })
    .await;
}

/// An empty text is refused by the API server itself, a null by the operator: to the API server it is no field.
#[tokio::test]
async fn empty_and_null_references_are_refused_with_what_to_do_s48() {
    in_lab(|lab| async move {
        let key = |name: Value, key: Value| json!({"name": name, "key": key});
        for (settings, words) in [
            (json!({"type": "secret", "secret": {"name": ""}}), "name must not be empty"),
            (json!({"type": "secret", "secret": {"name": null}}), "Required value"),
            (json!({"type": "secret", "secret": null}), "go together"),
            (
                json!({"type": "secret", "secret": {"name": "a", "keyKey": ""}}),
                "keyKey must not be empty: remove the line",
            ),
            (
                json!({"type": "secret", "secret": {"name": "a", "certKey": ""}}),
                "certKey must not be empty: remove the line",
            ),
            (
                json!({"type": "manual", "manual": {"certSecretRef": key(json!(""), json!("k"))}}),
                "must not be empty: remove",
            ),
            (
                json!({"type": "manual", "manual": {"certSecretRef": key(json!("a"), json!(""))}}),
                "must not be empty: remove",
            ),
        ] {
            let message = create_hub(&lab, &settings).await.expect_err(&settings.to_string()).to_string();
            assert!(message.contains(words), "{settings}: {message}");
        }
        let null = json!({"type": "secret", "secret": {"name": "a", "keyKey": null}});
        create_hub(&lab, &null).await.unwrap();
        let message = lab.wait_for("Ready", "False", reason::INVALID).await;
        assert!(message.contains("spec.https.secret.keyKey: must not be null: remove the line"), "{message}");
    })
    .await;
}

/// Creates the Hub of the fixtures with `https` as it is, nulls included.
async fn create_hub(lab: &Lab, https: &Value) -> Result<DynamicObject, kube::Error> {
    let mut hub: Value = serde_yaml::from_str(fixtures::HUB).unwrap();
    hub["apiVersion"] = json!("jupyter.rs/v1alpha1");
    hub["kind"] = json!("Hub");
    hub["metadata"] = json!({"name": "physics", "namespace": lab.namespace});
    hub["spec"]["https"] = https.clone();
    let resource = kube::api::ApiResource::erase::<StoredHub>(&());
    let api = Api::<DynamicObject>::namespaced_with(lab.client.clone(), &lab.namespace, &resource);
    api.create(&PostParams::default(), &serde_json::from_value(hub).unwrap()).await
}
