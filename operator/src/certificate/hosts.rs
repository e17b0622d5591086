//! The names that a certificate is asked for: pure.

use http::Uri;
use hub_crds::{HubSpec, names::child};

/// DNS names and addresses that the spec wants the certificate for: `https.hosts`, or else where people are sent.
pub fn wanted(spec: &HubSpec) -> Vec<String> {
    match &spec.https {
        Some(https) if !https.hosts.is_empty() => https.hosts.clone(),
        _ => addressed(spec),
    }
}

/// Hosts that people are sent to by the public addresses; with subdomains each user's, too.
pub fn addressed(spec: &HubSpec) -> Vec<String> {
    match (&spec.subdomain_host, &spec.public_url) {
        (Some(url), _) => host(url).map(|host| vec![host.clone(), format!("*.{host}")]),
        (None, Some(url)) => host(url).map(|host| vec![host]),
        (None, None) => None,
    }
    .unwrap_or_default()
}

/// Names by which a Hub is reached in the cluster, and through a forwarded port.
pub fn in_cluster(hub: &str, namespace: &str) -> Vec<String> {
    let service = child::proxy_public(hub);
    vec![
        format!("{service}.{namespace}"),
        format!("{service}.{namespace}.svc"),
        format!("{service}.{namespace}.svc.cluster.local"),
        service,
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
    ]
}

/// Host of a URL, an IPv6 address without its brackets.
fn host(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    Some(uri.host()?.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase())
}

/// Port of a URL, if it has one.
pub fn port(url: &str) -> Option<u16> {
    url.parse::<Uri>().ok()?.port_u16()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use serde_json::{Value, json};

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    fn spec(changes: &Value) -> HubSpec {
        fixtures::stored(changes).spec().unwrap()
    }

    #[test]
    fn the_certificate_is_for_the_hosts_given_or_for_those_of_the_public_addresses() {
        let https = json!({"type": "selfSigned", "allowInsecure": null});
        for (changes, expected) in [
            (json!({"https": {"type": "selfSigned", "hosts": ["a.org", "*.b.org"]}}), strings(&["a.org", "*.b.org"])),
            (
                json!({"https": https, "publicUrl": "https://Hub.example.org:8443/jupyter/"}),
                strings(&["hub.example.org"]),
            ),
            (json!({"https": https, "publicUrl": "https://[2001:db8::7]/jupyter/"}), strings(&["2001:db8::7"])),
            (json!({"https": https, "subdomainHost": "https://hub.org"}), strings(&["hub.org", "*.hub.org"])),
            (json!({"https": https}), Vec::new()),
        ] {
            assert_eq!(wanted(&spec(&changes)), expected, "{changes}");
        }
        assert_eq!(port("https://hub.example.org:8443/jupyter/"), Some(8443));
        assert_eq!(port("https://hub.example.org/jupyter/"), None);
    }
}
