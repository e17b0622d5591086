//! Who may reach whom. Ingress is restricted everywhere; egress of user pods, which run anybody's code, too.

use std::collections::BTreeMap;

use hub_crds::{
    HttpsType,
    names::{child, label, label_value, port},
};
use k8s_openapi::{
    api::networking::v1::{
        IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
        NetworkPolicyPort, NetworkPolicySpec,
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::{ValidatedHub, owned_meta, selector, user_meta};

/// Label that every namespace has.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";
/// Private, shared and link-local ranges; the metadata service of clouds is in the last one.
const PRIVATE: [&str; 5] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16"];
const PRIVATE_V6: [&str; 2] = ["fc00::/7", "fe80::/10"];
/// Where a name server on the node itself listens.
const NODE_LOCAL_DNS: &str = "169.254.20.10/32";
const DNS: u16 = 53;

pub(super) fn build_network_policies(hub: &ValidatedHub) -> Vec<NetworkPolicy> {
    if !hub.network_policy {
        return Vec::new();
    }
    vec![build_hub_policy(hub), build_proxy_policy(hub), build_user_policy(hub)]
}

/// The hub is reached by the proxy, by this Hub's user pods, by its own pods, and by pods beside it that are labelled for
/// it: services that speak plain HTTP have no way through a proxy that redirects it.
fn build_hub_policy(hub: &ValidatedHub) -> NetworkPolicy {
    let mut from = vec![peer(&hub.namespace, selector(hub, label_value::PROXY))];
    from.push(peer(&hub.namespace, selector(hub, label_value::HUB)));
    from.push(peer(&hub.user_namespace, user_pods(hub)));
    from.push(peer(&hub.namespace, [(label::NETWORK_ACCESS_HUB.to_owned(), "true".to_owned())].into()));
    NetworkPolicy {
        metadata: owned_meta(hub, child::hub(&hub.name), label_value::HUB),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(labelled(selector(hub, label_value::HUB))),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(vec![ingress(Some(from), &[port::HUB])]),
            egress: None,
        }),
    }
}

/// The proxy is for everybody; its REST API for the hub, and for the operator where that has challenges of ACME answered;
/// its metrics for whoever scrapes in the cluster.
fn build_proxy_policy(hub: &ValidatedHub) -> NetworkPolicy {
    let mut of_api = vec![peer(&hub.namespace, selector(hub, label_value::HUB))];
    if let (HttpsType::LetsEncrypt, Some(namespace)) = (hub.https, &hub.operator_namespace) {
        let operator = [(label::NAME.to_owned(), label_value::OPERATOR.to_owned())].into();
        of_api.push(peer(namespace, operator));
    }
    let any_pod =
        NetworkPolicyPeer { namespace_selector: Some(LabelSelector::default()), ..NetworkPolicyPeer::default() };
    NetworkPolicy {
        metadata: owned_meta(hub, child::proxy(&hub.name), label_value::PROXY),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(labelled(selector(hub, label_value::PROXY))),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(vec![
                ingress(None, doors(hub)),
                ingress(Some(of_api), &[port::PROXY_API]),
                ingress(Some(vec![any_pod]), &[port::PROXY_METRICS]),
            ]),
            egress: None,
        }),
    }
}

/// Where people come in.
fn doors(hub: &ValidatedHub) -> &'static [u16] {
    if hub.https.is_served() { &[port::PROXY_HTTP, port::PROXY_HTTPS] } else { &[port::PROXY_HTTP] }
}

/// A user pod is reached by hub and proxy. It reaches them, name servers, and the internet; nothing private.
fn build_user_policy(hub: &ValidatedHub) -> NetworkPolicy {
    let hub_pods = peer(&hub.namespace, selector(hub, label_value::HUB));
    let proxy_pods = peer(&hub.namespace, selector(hub, label_value::PROXY));
    let from = vec![hub_pods.clone(), proxy_pods.clone()];
    NetworkPolicy {
        metadata: user_meta(hub, child::singleuser(&hub.name), label_value::SINGLEUSER_SERVER),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(labelled(user_pods(hub))),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(vec![ingress(Some(from), &[port::NOTEBOOK])]),
            egress: Some(vec![
                egress(vec![hub_pods], vec![tcp(port::HUB)]),
                egress(vec![proxy_pods], doors(hub).iter().copied().map(tcp).collect()),
                egress(name_servers(), vec![udp(DNS), tcp(DNS)]),
                NetworkPolicyEgressRule { to: Some(internet()), ports: None },
            ]),
        }),
    }
}

/// Labels that the hub gives its user pods.
fn user_pods(hub: &ValidatedHub) -> BTreeMap<String, String> {
    [
        (label::HUB, hub.name.as_str()),
        (label::HUB_NAMESPACE, hub.namespace.as_str()),
        (label::KUBESPAWNER_COMPONENT, label_value::SINGLEUSER_SERVER),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// In the cluster, on the node, or somewhere in the private network.
fn name_servers() -> Vec<NetworkPolicyPeer> {
    let kube_system = NetworkPolicyPeer {
        namespace_selector: Some(labelled([(NAMESPACE_NAME.to_owned(), "kube-system".to_owned())].into())),
        ..NetworkPolicyPeer::default()
    };
    let private = PRIVATE.iter().filter(|range| !range.starts_with("169.254.")).chain(&PRIVATE_V6);
    let blocks = private.chain([&NODE_LOCAL_DNS]).map(|range| block(range, &[]));
    std::iter::once(kube_system).chain(blocks).collect()
}

fn internet() -> Vec<NetworkPolicyPeer> {
    vec![block("0.0.0.0/0", &PRIVATE), block("::/0", &PRIVATE_V6)]
}

fn block(cidr: &str, except: &[&str]) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        ip_block: Some(IPBlock {
            cidr: cidr.to_owned(),
            except: Some(except.iter().map(|range| (*range).to_owned()).collect())
                .filter(|list: &Vec<_>| !list.is_empty()),
        }),
        ..NetworkPolicyPeer::default()
    }
}

fn peer(namespace: &str, pods: BTreeMap<String, String>) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        namespace_selector: Some(labelled([(NAMESPACE_NAME.to_owned(), namespace.to_owned())].into())),
        pod_selector: Some(labelled(pods)),
        ip_block: None,
    }
}

fn labelled(labels: BTreeMap<String, String>) -> LabelSelector {
    LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }
}

fn ingress(from: Option<Vec<NetworkPolicyPeer>>, ports: &[u16]) -> NetworkPolicyIngressRule {
    NetworkPolicyIngressRule { from, ports: Some(ports.iter().copied().map(tcp).collect()) }
}

fn egress(to: Vec<NetworkPolicyPeer>, ports: Vec<NetworkPolicyPort>) -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule { to: Some(to), ports: Some(ports) }
}

fn tcp(number: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(i32::from(number))),
        protocol: Some("TCP".to_owned()),
        end_port: None,
    }
}

fn udp(number: u16) -> NetworkPolicyPort {
    NetworkPolicyPort { protocol: Some("UDP".to_owned()), ..tcp(number) }
}

#[cfg(test)]
mod tests;
