//! The pods of a proxy, as the Service of its REST API has them: those too that wait for their table to become ready. Pure.

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use std::collections::BTreeMap;

use crate::names::port::PROXY_API_NAME;

/// Of the slices that belong to a Service, with its name.
pub const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// One pod of the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Such as `http://10.0.0.7:8001`.
    pub api_url: String,
    /// People are led to it.
    pub is_ready: bool,
}

/// The pods in a Service's slices. One may stand in two for a moment: it is ready if one says so.
pub fn members_of<'a>(slices: impl Iterator<Item = &'a EndpointSlice>) -> Vec<Member> {
    let mut members = BTreeMap::new();
    for slice in slices {
        let ports = slice.ports.iter().flatten();
        let Some(port) = ports.filter(|port| port.name.as_deref() == Some(PROXY_API_NAME)).find_map(|port| port.port)
        else {
            continue;
        };
        for (address, is_ready) in slice.endpoints.iter().filter_map(member) {
            let host = if address.contains(':') { format!("[{address}]") } else { address.clone() };
            *members.entry(format!("http://{host}:{port}")).or_default() |= is_ready;
        }
    }
    members.into_iter().map(|(api_url, is_ready)| Member { api_url, is_ready }).collect()
}

/// Address and readiness. Where addresses that aren't ready are published, `ready` is always true: what is meant is
/// whether it serves. One that is told to stop takes no new connections.
fn member(endpoint: &Endpoint) -> Option<(&String, bool)> {
    let conditions = endpoint.conditions.as_ref();
    let is_terminating = conditions.and_then(|conditions| conditions.terminating).unwrap_or(false);
    let is_serving = conditions.and_then(|conditions| conditions.serving).unwrap_or(true);
    Some((endpoint.addresses.first()?, is_serving && !is_terminating))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pods_are_ready_if_they_serve_and_stay() {
        let slice = |endpoints: serde_json::Value| -> EndpointSlice {
            serde_json::from_value(json!({
                "metadata": {"name": "s"}, "addressType": "IPv4", "endpoints": endpoints,
                "ports": [{"name": "metrics", "port": 8002}, {"name": "api", "port": 8001}],
            }))
            .unwrap()
        };
        let first = slice(json!([
            {"addresses": ["10.0.0.1"], "conditions": {"ready": true, "serving": true, "terminating": false}},
            {"addresses": ["10.0.0.2"], "conditions": {"ready": true, "serving": false, "terminating": false}},
            {"addresses": ["10.0.0.3"], "conditions": {"ready": true, "serving": true, "terminating": true}},
            {"addresses": ["fd00::4"], "conditions": {}},
        ]));
        let second = slice(json!([{"addresses": ["10.0.0.2"], "conditions": {"serving": true}}]));
        let member = |host: &str, is_ready| Member { api_url: format!("http://{host}:8001"), is_ready };
        let expected = [("10.0.0.1", true), ("10.0.0.2", true), ("10.0.0.3", false), ("[fd00::4]", true)];
        let found = members_of([&first, &second].into_iter());
        assert_eq!(found, expected.map(|(host, is_ready)| member(host, is_ready)));
        assert_eq!(members_of([&first].into_iter())[1], member("10.0.0.2", false));
    }
}
