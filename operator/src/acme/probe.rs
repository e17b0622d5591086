//! The operator's own look at the public address, as the authority will look at it: so that a load balancer that isn't ready, or
//! a DNS record that isn't there yet, costs no failed validation.
//!
//! A host is a person's word, so little is done with it: one path that we choose, ports 80 and 443 only, one redirect to HTTPS of
//! the same host, a short answer, a short while, and nothing of what was answered is told.

use std::{net::SocketAddr, time::Duration};

use futures::{StreamExt, stream};
use http::header::LOCATION;
use reqwest::{Client, Response, Url, redirect};

use super::{CHALLENGE_PATH, authority::chain};

/// How long one host may take.
const TIMEOUT: Duration = Duration::from_secs(4);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Hosts that are looked at at the same time.
const CONCURRENCY: usize = 25;

/// Fetches probes.
#[derive(Clone, Debug)]
pub struct Prober {
    client: Client,
    http: u16,
    https: u16,
}

impl Prober {
    /// One that asks at the ports that authorities ask at.
    ///
    /// # Errors
    /// No client can be made.
    pub fn new() -> Result<Self, reqwest::Error> {
        Self::with([80, 443], &[])
    }

    /// One that asks at other ports, and knows the addresses of some hosts.
    ///
    /// # Errors
    /// No client can be made.
    pub fn with([http, https]: [u16; 2], addresses: &[(&str, SocketAddr)]) -> Result<Self, reqwest::Error> {
        let builder = Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(redirect::Policy::none())
            .pool_max_idle_per_host(0)
            .user_agent("hub-operator")
            // Until the first certificate, HTTPS answers with one that nobody trusts. Authorities don't look, either.
            .tls_danger_accept_invalid_certs(true);
        let builder = addresses.iter().fold(builder, |builder, (host, address)| builder.resolve(host, *address));
        Ok(Self { client: builder.build()?, http, https })
    }

    /// The first of the hosts whose probe (host, token, answer) doesn't come back, and why.
    pub async fn look(&self, probes: Vec<(String, String, String)>) -> Option<String> {
        let looks = probes.into_iter().map(|(host, token, answer)| async move {
            let failed = self.fetch(&host, &token, &answer).await.err();
            failed.map(|reason| format!("{host}: {reason}"))
        });
        stream::iter(looks).buffered(CONCURRENCY).filter_map(|failed| async { failed }).boxed().next().await
    }

    async fn fetch(&self, host: &str, token: &str, answer: &str) -> Result<(), String> {
        let url = format!("http://{}:{}{CHALLENGE_PATH}{token}", bracketed(host), self.http);
        let first = Url::parse(&url).map_err(|error| error.to_string())?;
        let mut response = self.get(first.clone()).await?;
        if response.status().is_redirection() {
            let next = response
                .headers()
                .get(LOCATION)
                .and_then(|value| value.to_str().ok())
                .and_then(|next| first.join(next).ok());
            let next = next.filter(|next| self.may_follow(&first, next));
            let next = next.ok_or_else(|| "it redirects to elsewhere than HTTPS of the same host".to_owned())?;
            response = self.get(next).await?;
        }
        if !response.status().is_success() {
            return Err(format!("it answers with {}", response.status()));
        }
        match starts_with(response, answer).await {
            true => Ok(()),
            false => Err("something else answers".to_owned()),
        }
    }

    async fn get(&self, url: Url) -> Result<Response, String> {
        self.client.get(url).send().await.map_err(|error| match error.is_timeout() {
            true => "no answer in time".to_owned(),
            false => chain(&error.without_url()),
        })
    }

    fn may_follow(&self, first: &Url, next: &Url) -> bool {
        next.scheme() == "https"
            && next.host() == first.host()
            && next.port_or_known_default() == Some(self.https)
            && next.path() == first.path()
            && next.username().is_empty()
    }
}

/// Whether a body is the answer; no more of it is read than that takes.
async fn starts_with(mut response: Response, answer: &str) -> bool {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > answer.len() {
            break;
        }
    }
    body.trim_ascii_end() == answer.as_bytes()
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_of_the_same_host_is_followed() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let prober = Prober::new().unwrap();
        let first = Url::parse("http://hub.test:80/.well-known/acme-challenge/t").unwrap();
        for (next, may) in [
            ("https://hub.test/.well-known/acme-challenge/t", true),
            ("https://hub.test:443/.well-known/acme-challenge/t", true),
            ("https://hub.test:8443/.well-known/acme-challenge/t", false),
            ("http://hub.test/.well-known/acme-challenge/t", false),
            ("https://other.test/.well-known/acme-challenge/t", false),
            ("https://hub.test@other.test/.well-known/acme-challenge/t", false),
            ("https://u:p@hub.test/.well-known/acme-challenge/t", false),
            ("https://hub.test/latest/meta-data/", false),
            ("file:///.well-known/acme-challenge/t", false),
        ] {
            assert_eq!(prober.may_follow(&first, &Url::parse(next).unwrap()), may, "{next}");
        }
    }
}
