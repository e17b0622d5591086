//! The addresses that people are told: operator and hub must tell the same ones. Pure.

use hub_auth::next_url::with_query;

use crate::{HttpsType, names::port};

/// Where a Hub whose settings know no public address is told to be: at the near end of a `kubectl port-forward` of
/// [`forwarded_ports`]. `base_url` starts and ends with a slash.
pub fn forwarded_url(https: HttpsType, base_url: &str) -> String {
    if https.is_served() {
        format!("https://localhost:{}{base_url}", port::PROXY_HTTPS)
    } else {
        format!("http://localhost:{}{base_url}", port::PROXY_HTTP)
    }
}

/// The near port and the port of the public Service, as `kubectl port-forward` takes them.
pub fn forwarded_ports(https: HttpsType) -> String {
    if https.is_served() { format!("{}:443", port::PROXY_HTTPS) } else { format!("{}:80", port::PROXY_HTTP) }
}

/// The address that logs in whose token it is (S6, S9). `public_url` is that of the Hub, which ends with a slash.
pub fn login_url(public_url: &str, token: &str) -> String {
    with_query(public_url, "token", token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_url_is_what_the_page_shows_with_the_token_as_an_argument_s9() {
        let token = "c8de56fa4deed24899803e93c227592aef6538f93025fe01";
        let forwarded = |https| login_url(&forwarded_url(https, "/"), token);
        assert_eq!(forwarded(HttpsType::None), format!("http://localhost:8000/?token={token}"));
        assert_eq!(forwarded(HttpsType::SelfSigned), format!("https://localhost:8443/?token={token}"));
        assert_eq!([HttpsType::External, HttpsType::Secret].map(forwarded_ports), ["8000:80", "8443:443"]);
        let chosen = login_url("https://hub.example.org/jupyter/", "a+b&c=d#%");
        assert_eq!(chosen, "https://hub.example.org/jupyter/?token=a%2Bb%26c%3Dd%23%25");
    }
}
