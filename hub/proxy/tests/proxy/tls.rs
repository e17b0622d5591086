//! TLS towards clients, with certificates made for the test.

mod behind;
mod certificates;
mod h2spec;
mod handshake;
mod http2;
mod names;
mod plain;
mod reload;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use hub_proxy::ProxyConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use self::certificates::Authority;
use crate::backend::Backend;
use crate::harness::{Client, TestProxy, loopback};

/// A proxy with TLS, a route for everything, and the authority of its certificate.
struct Secured {
    proxy: TestProxy,
    backend: Backend,
    authority: Authority,
    directory: tempfile::TempDir,
}

impl Secured {
    async fn start(backend: Backend, config: ProxyConfig) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new("Test Authority");
        let files = authority.issue(&["localhost"]).write(directory.path(), "tls");
        let config = ProxyConfig { tls: Some(files), metrics: Some(loopback()), ..config };
        let proxy = TestProxy::start(config).await;
        proxy.route("/", backend.address, json!({}));
        Self { proxy, backend, authority, directory }
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        connect(self.proxy.public, "localhost", &client_config(&self.authority, &[])).await.unwrap()
    }

    /// One answer on its own connection of HTTP/1.1.
    async fn get(&self, path: &str) -> String {
        let mut stream = self.connect().await;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        exchange(&mut stream, &request).await
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A number of the metrics page.
    async fn metric(&self, name: &str) -> Option<i64> {
        let mut client = Client::connect(self.proxy.metrics.unwrap()).await;
        client.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let page = client.answer(false).await.unwrap().text();
        page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }

    /// The certificate that is served to who asks for `localhost`.
    async fn served(&self) -> CertificateDer<'static> {
        leaf(self.proxy.public, "localhost", &client_config(&self.authority, &[])).await
    }
}

async fn exchange(stream: &mut TlsStream<TcpStream>, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A close without a farewell is as good as one with it.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

/// A client that trusts the authority and offers these protocols.
fn client_config(authority: &Authority, protocols: &[&str]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

async fn connect(address: SocketAddr, name: &str, config: &ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config.clone())).connect(name, stream).await
}

/// The leaf that is served to who asks for this name.
async fn leaf(address: SocketAddr, name: &str, config: &ClientConfig) -> CertificateDer<'static> {
    let stream = connect(address, name, config).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}
