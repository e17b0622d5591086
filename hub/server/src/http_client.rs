//! What TLS is computed with, which neither reqwest nor kube chooses by itself; and clients of HTTP, each of which has it.

use rustls::crypto::ring;

/// A client of plain HTTP to be, with nothing set yet. It believes no authority, so that it can be made where none is
/// installed, as in small images.
pub fn http_client() -> reqwest::ClientBuilder {
    choose_tls_provider();
    reqwest::Client::builder().tls_certs_only([])
}

/// The same for an address that may be HTTPS: then it believes the authorities of the system.
pub fn http_client_for(url: &str) -> reqwest::ClientBuilder {
    choose_tls_provider();
    let is_https = url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"));
    if is_https { reqwest::Client::builder() } else { http_client() }
}

/// Must come before the first use of TLS by whatever leaves the choice to the process.
pub fn choose_tls_provider() {
    // Only the first of several can install one, and any will do.
    let _ = ring::default_provider().install_default();
}
