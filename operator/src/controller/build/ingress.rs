//! The Ingress of `proxy.ingress`, in which TLS ends.

use hub_crds::{
    ProxyIngress,
    names::{child, label_value, port},
};
use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule, IngressServiceBackend, IngressSpec,
    IngressTLS, ServiceBackendPort,
};

use super::{ValidatedHub, owned_meta};

pub(super) fn build_ingress(hub: &ValidatedHub) -> Option<Ingress> {
    let given = hub.ingress.as_ref()?;
    let mut metadata = owned_meta(hub, child::proxy(&hub.name), label_value::PROXY);
    metadata.annotations = Some(given.annotations.clone()).filter(|annotations| !annotations.is_empty());
    // Without a host the rule is for all of them.
    let hosts = if hub.hosts.is_empty() { vec![None] } else { hub.hosts.iter().cloned().map(Some).collect() };
    let spec = IngressSpec {
        ingress_class_name: given.class_name.clone(),
        rules: Some(hosts.into_iter().map(|host| rule(hub, host)).collect()),
        tls: tls(hub, given),
        ..IngressSpec::default()
    };
    Some(Ingress { metadata, spec: Some(spec), ..Ingress::default() })
}

fn rule(hub: &ValidatedHub, host: Option<String>) -> IngressRule {
    let service = IngressServiceBackend {
        name: child::proxy_public(&hub.name),
        port: Some(ServiceBackendPort { name: Some(port::PROXY_HTTP_NAME.to_owned()), number: None }),
    };
    let path = HTTPIngressPath {
        path: Some(hub.base_url.clone()),
        path_type: "Prefix".to_owned(),
        backend: IngressBackend { service: Some(service), resource: None },
    };
    IngressRule { host, http: Some(HTTPIngressRuleValue { paths: vec![path] }) }
}

fn tls(hub: &ValidatedHub, given: &ProxyIngress) -> Option<Vec<IngressTLS>> {
    let secret_name = Some(given.tls_secret_name.clone()?);
    Some(vec![IngressTLS { hosts: Some(hub.hosts.clone()).filter(|hosts| !hosts.is_empty()), secret_name }])
}
