//! Who may reach whom, proven over the built objects by an evaluator that knows what Kubernetes means by them.

use std::net::Ipv4Addr;

use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde_json::json;

use super::*;
use crate::{controller::validate::validate, fixtures};

/// One end of a connection.
#[derive(Clone, Debug)]
enum End {
    Pod { namespace: &'static str, labels: Vec<(&'static str, &'static str)> },
    Address(Ipv4Addr),
}

fn pod(namespace: &'static str, hub: &'static str, hub_namespace: &'static str, component: &'static str) -> End {
    let key = if component == "singleuser-server" { "component" } else { label::COMPONENT };
    End::Pod { namespace, labels: vec![(label::HUB, hub), (label::HUB_NAMESPACE, hub_namespace), (key, component)] }
}

fn address(text: &str) -> End {
    End::Address(text.parse().unwrap())
}

/// Whether a connection passes: the policies that select an end must let it through at that end.
fn passes(policies: &[NetworkPolicy], from: &End, to: &End, port: u16, protocol: &str) -> bool {
    let leaves = allows(policies, from, "Egress", |spec| {
        spec.egress
            .iter()
            .flatten()
            .any(|rule| peers_fit(rule.to.as_deref(), to, from) && ports_fit(rule.ports.as_deref(), port, protocol))
    });
    let enters = allows(policies, to, "Ingress", |spec| {
        spec.ingress
            .iter()
            .flatten()
            .any(|rule| peers_fit(rule.from.as_deref(), from, to) && ports_fit(rule.ports.as_deref(), port, protocol))
    });
    leaves && enters
}

/// An end that no policy of this direction selects is open; a selected one needs one that lets it through.
fn allows(policies: &[NetworkPolicy], end: &End, direction: &str, is_let: impl Fn(&NetworkPolicySpec) -> bool) -> bool {
    let End::Pod { namespace, labels } = end else { return true };
    let mut selecting = policies
        .iter()
        .filter(|policy| policy.metadata.namespace.as_deref() == Some(namespace))
        .filter_map(|policy| policy.spec.as_ref())
        .filter(|spec| spec.policy_types.iter().flatten().any(|kind| kind == direction))
        .filter(|spec| selects(spec.pod_selector.as_ref(), labels))
        .peekable();
    selecting.peek().is_none() || selecting.any(is_let)
}

fn selects(selector: Option<&LabelSelector>, labels: &[(&str, &str)]) -> bool {
    let wanted = selector.and_then(|selector| selector.match_labels.as_ref());
    wanted.into_iter().flatten().all(|(key, value)| labels.contains(&(key.as_str(), value.as_str())))
}

fn peers_fit(peers: Option<&[NetworkPolicyPeer]>, other: &End, own: &End) -> bool {
    peers.is_none_or(|peers| peers.iter().any(|peer| peer_fits(peer, other, own)))
}

fn peer_fits(peer: &NetworkPolicyPeer, other: &End, own: &End) -> bool {
    match (other, &peer.ip_block) {
        (End::Address(address), Some(block)) => {
            in_range(*address, &block.cidr) && !block.except.iter().flatten().any(|range| in_range(*address, range))
        }
        (End::Pod { namespace, labels }, None) => {
            let End::Pod { namespace: home, .. } = own else { return false };
            let in_namespace = match &peer.namespace_selector {
                Some(selector) => selects(Some(selector), &[(NAMESPACE_NAME, namespace)]),
                None => namespace == home,
            };
            in_namespace && selects(peer.pod_selector.as_ref(), labels)
        }
        _ => false,
    }
}

fn in_range(address: Ipv4Addr, range: &str) -> bool {
    let Some((base, bits)) = range.split_once('/') else { return false };
    let (Ok(base), Ok(bits)) = (base.parse::<Ipv4Addr>(), bits.parse::<u32>()) else { return false };
    let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
    u32::from(address) & mask == u32::from(base) & mask
}

fn ports_fit(ports: Option<&[NetworkPolicyPort]>, number: u16, protocol: &str) -> bool {
    ports.is_none_or(|ports| {
        ports.iter().any(|port| {
            port.port == Some(IntOrString::Int(i32::from(number))) && port.protocol.as_deref() == Some(protocol)
        })
    })
}

fn policies(user_namespace: &str) -> Vec<NetworkPolicy> {
    let found = fixtures::found(&json!({"singleuser": {"namespace": user_namespace}}));
    build_network_policies(&validate(&found, &fixtures::images()).unwrap())
}

#[test]
fn everybody_reaches_what_they_need_and_nothing_more() {
    for home in ["lab", "desks"] {
        let policies = policies(home);
        let hub = pod("lab", "physics", "lab", "hub");
        let proxy = pod("lab", "physics", "lab", "proxy");
        let user = pod(home, "physics", "lab", "singleuser-server");
        let other_hub = pod("lab", "chemistry", "lab", "hub");
        let other_user = pod(home, "chemistry", "lab", "singleuser-server");
        let namesake = pod(home, "physics", "elsewhere", "singleuser-server");
        let stranger = End::Pod { namespace: "lab", labels: vec![("app", "x")] };
        let name_server = End::Pod { namespace: "kube-system", labels: vec![("k8s-app", "kube-dns")] };
        let internet = address("93.184.216.34");
        let tcp = |from: &End, to: &End, port| passes(&policies, from, to, port, "TCP");

        for (from, to, port, is_open, why) in [
            (&proxy, &hub, 8081, true, "default route"),
            (&user, &hub, 8081, true, "OAuth and activity"),
            (&hub, &hub, 8081, true, "one hub to another of the same Hub"),
            (&other_hub, &hub, 8081, false, "another Hub"),
            (&other_user, &hub, 8081, false, "another Hub's user"),
            (&namesake, &hub, 8081, false, "a user of another namespace's Hub of the same name"),
            (&stranger, &hub, 8081, false, "past the proxy"),
            (&internet, &hub, 8081, false, "past the proxy"),
            (&internet, &proxy, 8000, true, "people"),
            (&stranger, &proxy, 8000, true, "people in the cluster"),
            (&user, &proxy, 8000, true, "a notebook that uses the hub's API"),
            (&hub, &proxy, 8001, true, "routes"),
            (&user, &proxy, 8001, false, "routes are the hub's alone"),
            (&other_hub, &proxy, 8001, false, "routes are the own hub's alone"),
            (&internet, &proxy, 8001, false, "routes are the hub's alone"),
            (&stranger, &proxy, 8002, true, "metrics, in the cluster"),
            (&internet, &proxy, 8002, false, "metrics, from outside"),
            (&user, &proxy, 8002, false, "metrics are not the users'"),
            (&proxy, &user, 8888, true, "notebooks"),
            (&hub, &user, 8888, true, "is it up?"),
            (&stranger, &user, 8888, false, "past the proxy"),
            (&user, &other_user, 8888, false, "one user to another"),
            (&other_hub, &user, 8888, false, "another Hub"),
            (&proxy, &user, 22, false, "notebooks only"),
            (&user, &internet, 443, true, "packages and data"),
            (&user, &name_server, 53, true, "names over TCP"),
            (&user, &name_server, 443, false, "names only"),
            (&user, &address("10.0.0.1"), 443, false, "the API server and whatever is private"),
            (&user, &address("192.168.1.1"), 80, false, "private"),
            (&user, &address("172.31.255.255"), 80, false, "private"),
            (&user, &address("169.254.169.254"), 80, false, "the metadata service"),
            (&user, &address("169.254.169.254"), 53, false, "the metadata service's name server"),
            (&hub, &address("10.0.0.1"), 443, true, "the API server"),
        ] {
            assert_eq!(tcp(from, to, port), is_open, "{why}: {from:?} -> {to:?} {port}, users in {home}");
        }
        assert!(passes(&policies, &user, &name_server, 53, "UDP"), "names");
        assert!(passes(&policies, &user, &address("10.96.0.10"), 53, "UDP"), "names, by the Service's address");
        assert!(passes(&policies, &user, &address("169.254.20.10"), 53, "UDP"), "names, on the node");
    }
}

#[test]
fn https_is_for_everybody_and_the_api_for_the_operator_where_it_has_challenges_answered() {
    let hosts = json!(["hub.org"]);
    let letsencrypt =
        json!({"type": "letsencrypt", "allowInsecure": null, "hosts": hosts, "letsencrypt": {"email": "a@b.c"}});
    let own = json!({"type": "selfSigned", "allowInsecure": null});
    let operator = End::Pod { namespace: "operators", labels: vec![(label::NAME, "hub-operator")] };
    let namesake = End::Pod { namespace: "lab", labels: vec![(label::NAME, "hub-operator")] };
    let proxy = pod("lab", "physics", "lab", "proxy");
    let user = pod("lab", "physics", "lab", "singleuser-server");
    for (https, has_challenges) in [(letsencrypt, true), (own, false)] {
        let found = fixtures::found(&json!({"https": https}));
        let policies = build_network_policies(&validate(&found, &fixtures::images()).unwrap());
        for from in [&address("93.184.216.34"), &user] {
            assert!(passes(&policies, from, &proxy, 8443, "TCP"));
        }
        assert!(passes(&policies, &address("93.184.216.34"), &proxy, 8000, "TCP"), "the redirect");
        assert_eq!(passes(&policies, &operator, &proxy, 8001, "TCP"), has_challenges);
        assert!(!passes(&policies, &namesake, &proxy, 8001, "TCP"), "only in the operator's own namespace");
    }
}

/// Services that speak plain HTTP have no way through a proxy that redirects it.
#[test]
fn pods_beside_the_hub_may_be_let_to_it_by_a_label() {
    let labels = vec![("app", "grades"), (label::NETWORK_ACCESS_HUB, "true")];
    let hub = pod("lab", "physics", "lab", "hub");
    for (namespace, is_open) in [("lab", true), ("elsewhere", false)] {
        let service = End::Pod { namespace, labels: labels.clone() };
        assert_eq!(passes(&policies("lab"), &service, &hub, 8081, "TCP"), is_open, "{namespace}");
    }
}

#[test]
fn they_can_be_left_out() {
    let found = fixtures::found(&json!({"networkPolicy": {"enabled": false}}));
    assert!(build_network_policies(&validate(&found, &fixtures::images()).unwrap()).is_empty());
}
