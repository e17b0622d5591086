//! How TLS ends: what must hold between its fields, and what the chosen proxy can do.

use hub_crds::{Https, HttpsType, HubSpec, ProxyImplementation, ProxyService, ServiceType, TlsVersion};
use ipnet::IpNet;
use std::net::IpAddr;

use super::Problems;
use crate::certificate::hosts;

/// Port of HTTPS that is not written in addresses.
const HTTPS_PORT: u16 = 443;

pub(super) fn check(spec: &HubSpec, problems: &mut Problems) -> HttpsType {
    let Some(https) = &spec.https else {
        problems.push("spec.https is required: set spec.https.type, to 'letsencrypt' or 'external' for example, or to 'none' with allowInsecure: true".to_owned());
        return HttpsType::None;
    };
    check_section(https, problems);
    check_ways_in(spec, https.https_type, problems);
    if spec.proxy.implementation == ProxyImplementation::ConfigurableHttpProxy {
        check_other_proxy(spec, https, problems);
    }
    for (index, range) in spec.proxy.trusted_proxies.iter().enumerate() {
        if range.parse::<IpNet>().is_err() && range.parse::<IpAddr>().is_err() {
            problems.push(format!(
                "spec.proxy.trustedProxies[{index}]: '{range}' is no address and no range of addresses, such as 10.0.0.0/8"
            ));
        }
    }
    https.https_type
}

/// The API server's rules let a null through where they ask whether a field is there.
fn check_section(https: &Https, problems: &mut Problems) {
    let sections = [
        (HttpsType::Secret, https.secret.is_some()),
        (HttpsType::Manual, https.manual.is_some()),
        (HttpsType::CertManager, https.cert_manager.is_some()),
        (HttpsType::LetsEncrypt, https.letsencrypt.is_some()),
    ];
    for (kind, is_there) in sections {
        if (https.https_type == kind) != is_there {
            let name = kind.as_str();
            problems.push(format!("spec.https.{name} and type '{name}' go together: set both or remove both"));
        }
    }
    if https.https_type == HttpsType::None && !https.allow_insecure {
        problems.push(
            "spec.https.type 'none' sends passwords and tokens in the clear: set spec.https.allowInsecure: true or use another type"
                .to_owned(),
        );
    }
}

fn check_ways_in(spec: &HubSpec, https: HttpsType, problems: &mut Problems) {
    let ways = [
        ("spec.proxy.ingress", spec.proxy.ingress.is_some()),
        ("spec.proxy.httpRoute", spec.proxy.http_route.is_some()),
    ];
    for (field, _) in ways.iter().filter(|(_, is_there)| *is_there && https != HttpsType::External) {
        problems.push(format!(
            "{field} needs TLS that ends in front of the proxy: set spec.https.type to 'external' or remove it"
        ));
    }
    let parents = spec.proxy.http_route.iter().flat_map(|route| &route.parent_refs).enumerate();
    for (index, _) in parents.filter(|(_, parent)| parent["name"].as_str().is_none_or(str::is_empty)) {
        problems.push(format!("spec.proxy.httpRoute.parentRefs[{index}].name is required: name a Gateway"));
    }
    if spec.proxy.http_route.as_ref().is_some_and(|route| route.parent_refs.is_empty()) {
        problems.push(
            "spec.proxy.httpRoute.parentRefs must name a Gateway: add one, or remove spec.proxy.httpRoute".to_owned(),
        );
    }
}

/// configurable-http-proxy has no such options.
fn check_other_proxy(spec: &HubSpec, https: &Https, problems: &mut Problems) {
    for (field, is_there) in [
        ("spec.https.hsts", https.hsts.is_some()),
        ("spec.https.extraSecrets", !https.extra_secrets.is_empty()),
        ("spec.https.minVersion", https.min_version != TlsVersion::default()),
        ("spec.proxy.trustedProxies", !spec.proxy.trusted_proxies.is_empty()),
        // It is ready before it has its table.
        ("spec.proxy.replicas", spec.proxy.replicas.is_some_and(|replicas| replicas > 1)),
    ] {
        if is_there {
            problems.push(format!(
                "{field} is more than configurable-http-proxy can do: remove it, or set spec.proxy.implementation to 'hub-proxy'"
            ));
        }
    }
}

/// The port that people are sent to from plain HTTP: that of the public address, or else the one that the Service has
/// outside.
pub(super) fn redirect_port(spec: &HubSpec) -> u16 {
    let ProxyService { service_type, node_ports, .. } = &spec.proxy.service;
    let node_port =
        node_ports.as_ref().filter(|_| *service_type == ServiceType::NodePort).and_then(|ports| ports.https);
    match super::public_url(spec) {
        Some(url) => hosts::port(&url),
        None => node_port.and_then(|port| u16::try_from(port).ok()),
    }
    .unwrap_or(HTTPS_PORT)
}
