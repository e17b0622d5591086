//! Which hosts a name in a certificate covers (RFC 6125, RFC 9525).

use std::net::IpAddr;

/// Whether `name` of a certificate, an address or a DNS name that may begin with `*.`, covers `host`.
pub(crate) fn covers(name: &str, host: &str) -> bool {
    if let Ok(address) = host.parse::<IpAddr>() {
        return name.parse() == Ok(address);
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    match name.strip_prefix("*.") {
        // A wildcard stands for exactly one label.
        Some(parent) => {
            host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(parent))
        }
        None => name.eq_ignore_ascii_case(host),
    }
}
