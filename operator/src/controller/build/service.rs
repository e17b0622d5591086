//! The Services: the hub's, the proxy's REST API, and the one that people reach.

use hub_crds::{
    ServiceType,
    names::{child, label_value, port},
};
use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{ValidatedHub, owned_meta, selector};

/// Ports of the Service that people reach.
pub(crate) const PUBLIC_PORT: i32 = 80;
const PUBLIC_HTTPS_PORT: i32 = 443;

pub(super) fn build_services(hub: &ValidatedHub) -> Vec<Service> {
    vec![build_hub_service(hub), build_api_service(hub), build_public_service(hub)]
}

fn build_hub_service(hub: &ValidatedHub) -> Service {
    let spec = ServiceSpec {
        type_: Some("ClusterIP".to_owned()),
        selector: Some(selector(hub, label_value::HUB)),
        ports: Some(vec![service_port(port::HUB_NAME, i32::from(port::HUB))]),
        ..ServiceSpec::default()
    };
    Service {
        metadata: owned_meta(hub, child::hub(&hub.name), label_value::HUB),
        spec: Some(spec),
        ..Service::default()
    }
}

/// A proxy is ready when it has a table, and the hub is who brings it: so it must reach proxies that are not ready.
fn build_api_service(hub: &ValidatedHub) -> Service {
    let spec = ServiceSpec {
        type_: Some("ClusterIP".to_owned()),
        selector: Some(selector(hub, label_value::PROXY)),
        publish_not_ready_addresses: Some(true),
        ports: Some(vec![service_port(port::PROXY_API_NAME, i32::from(port::PROXY_API))]),
        ..ServiceSpec::default()
    };
    Service {
        metadata: owned_meta(hub, child::proxy_api(&hub.name), label_value::PROXY),
        spec: Some(spec),
        ..Service::default()
    }
}

/// Where TLS ends in the proxy, port 80 only redirects.
fn build_public_service(hub: &ValidatedHub) -> Service {
    let given = &hub.proxy_service;
    let node_ports = given.node_ports.as_ref().filter(|_| given.service_type != ServiceType::ClusterIP);
    let mut ports = vec![ServicePort {
        node_port: node_ports.and_then(|ports| ports.http),
        ..service_port(port::PROXY_HTTP_NAME, PUBLIC_PORT)
    }];
    if hub.https.is_served() {
        ports.push(ServicePort {
            node_port: node_ports.and_then(|ports| ports.https),
            ..service_port(port::PROXY_HTTPS_NAME, PUBLIC_HTTPS_PORT)
        });
    }
    let spec = ServiceSpec {
        type_: Some(given.service_type.as_str().to_owned()),
        selector: Some(selector(hub, label_value::PROXY)),
        ports: Some(ports),
        ..ServiceSpec::default()
    };
    let mut metadata = owned_meta(hub, child::proxy_public(&hub.name), label_value::PROXY);
    metadata.annotations = Some(given.annotations.clone()).filter(|annotations| !annotations.is_empty());
    Service { metadata, spec: Some(spec), ..Service::default() }
}

/// A port that leads to the container's port of the same name.
fn service_port(name: &str, number: i32) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: number,
        protocol: Some("TCP".to_owned()),
        target_port: Some(IntOrString::String(name.to_owned())),
        ..ServicePort::default()
    }
}
