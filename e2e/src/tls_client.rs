//! An HTTPS client for hosts that no DNS server knows, with certificates that nobody else trusts: what `curl --resolve
//! HOST:PORT:ADDRESS --cacert FILE` is.

use std::{
    convert::Infallible,
    fmt,
    future::{Ready, ready},
    iter::{Once, once},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use anyhow::{Context, Result};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{HttpConnector, dns::Name},
    },
    rt::TokioExecutor,
};
use reqwest::{Body, Request, Response, ResponseBuilderExt};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use url::Url;

/// Nothing that is asked for takes longer.
const REQUEST: Duration = Duration::from_secs(30);

/// Asks one address, whatever the host's name, and believes these authorities only. It speaks HTTP/1.1.
#[derive(Clone)]
pub(crate) struct TlsClient {
    address: IpAddr,
    trust: ClientConfig,
    http: Client<HttpsConnector<HttpConnector<Fixed>>, Body>,
}

impl TlsClient {
    /// `authorities`: certificates in PEM.
    pub(crate) fn new(address: IpAddr, authorities: &str) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authorities.as_bytes()) {
            roots.add(certificate.context("an authority's certificate is PEM")?)?;
        }
        let trust = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut connector = HttpConnector::new_with_resolver(Fixed(address));
        connector.enforce_http(false);
        connector.set_nodelay(true);
        let https = HttpsConnectorBuilder::new().with_tls_config(trust.clone()).https_or_http();
        let https = https.enable_http1().wrap_connector(connector);
        Ok(Self { address, trust, http: Client::builder(TokioExecutor::new()).build(https) })
    }

    /// The answer's head has come within the time limit; its body may take longer.
    pub(crate) async fn execute(&self, request: Request) -> Result<Response> {
        let (url, limit) = (request.url().clone(), request.timeout().copied().unwrap_or(REQUEST));
        let request: http::Request<Body> = request.try_into()?;
        let answer =
            timeout(limit, self.http.request(request)).await.with_context(|| format!("{url} says nothing"))??;
        let (mut head, body) = answer.into_parts();
        let with_url = http::Response::builder().url(url).body(())?.into_parts().0;
        head.extensions.extend(with_url.extensions);
        Ok(Response::from(http::Response::from_parts(head, Body::wrap(body))))
    }

    /// A connection for a protocol that begins with HTTP/1.1.
    pub(crate) async fn connect(&self, url: &Url) -> Result<TlsStream<TcpStream>> {
        let host = url.host_str().context("an address has a host")?.to_owned();
        let port = url.port_or_known_default().context("an address has a port")?;
        let stream = TcpStream::connect(SocketAddr::new(self.address, port)).await?;
        let connector = TlsConnector::from(Arc::new(self.trust.clone()));
        connector.connect(ServerName::try_from(host)?, stream).await.context("failed to shake hands")
    }
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TlsClient").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Resolves every name to one address.
#[derive(Clone)]
struct Fixed(IpAddr);

impl tower::Service<Name> for Fixed {
    type Response = Once<SocketAddr>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        // The connector puts the port in place of 0.
        ready(Ok(once(SocketAddr::new(self.0, 0))))
    }
}
