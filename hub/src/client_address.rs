//! Where a request comes from, by the word of the proxy: it appends its peer to `X-Forwarded-For`, behind what the proxies
//! in front of it said. What a client claims of itself comes before that, and counts for nothing (attack row 34). Pure.

use axum::http::HeaderMap;
use ipnet::IpNet;
use std::net::{AddrParseError, IpAddr};

/// The last address that is none of the proxies in front. `None` if the proxy said nothing that is an address.
pub fn client_address(headers: &HeaderMap, proxies: &[IpNet]) -> Option<IpAddr> {
    let values: Vec<_> = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
    let mut farthest = None;
    for part in values.iter().flat_map(|value| value.split(',')).rev() {
        let Ok(address) = part.trim().parse::<IpAddr>().map(|address| address.to_canonical()) else { break };
        farthest = Some(address);
        if !proxies.iter().any(|net| net.contains(&address)) {
            break;
        }
    }
    farthest
}

/// An address, or a range of addresses such as `10.0.0.0/8`.
///
/// # Errors
/// It is neither.
pub fn parse_net(text: &str) -> Result<IpNet, AddrParseError> {
    text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_proxies_say_counts() {
        let proxies = ["10.0.0.0/8", "2001:db8::1"].map(|net| parse_net(net).unwrap());
        for (forwarded, address) in [
            (&[][..], None),
            (&[""], None),
            (&["unknown"], None),
            (&["203.0.113.7"], Some("203.0.113.7")),
            (&["::ffff:203.0.113.7"], Some("203.0.113.7")),
            (&["198.51.100.1, 203.0.113.7"], Some("203.0.113.7")),
            (&["198.51.100.1", "203.0.113.7"], Some("203.0.113.7")),
            (&["198.51.100.1,203.0.113.7,10.0.0.1"], Some("203.0.113.7")),
            (&["198.51.100.1, 203.0.113.7", "2001:db8::1, 10.9.9.9"], Some("203.0.113.7")),
            (&["10.0.0.2, 10.0.0.1"], Some("10.0.0.2")),
            (&["203.0.113.7, rubbish, 10.0.0.1"], Some("10.0.0.1")),
        ] {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append("x-forwarded-for", value.parse().unwrap());
            }
            assert_eq!(client_address(&headers, &proxies), address.map(|a| a.parse().unwrap()), "{forwarded:?}");
        }
    }
}
