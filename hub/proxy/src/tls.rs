//! TLS towards those who connect: how it is spoken, and the handshake. Which certificate is served, [`store`] says.

mod options;
mod store;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub(crate) use self::options::authorities;
pub use self::options::{CipherError, ClientCertificates, TlsOptions, TlsVersion, cipher_suites};
pub(crate) use self::store::{Store, certified_key};
pub use self::store::{TlsError, TlsFiles};
use crate::stream::Stream;

/// HTTP/2 as ALPN names it (RFC 7301).
pub(crate) const HTTP2: &[u8] = b"h2";
pub(crate) const HTTP11: &[u8] = b"http/1.1";

/// How those are spoken to who connect: TLS 1.2 and 1.3, these protocols, and sessions resumed by tickets whose keys rotate, or by
/// what TLS 1.2 has beside them. There is no early data, which could be replayed.
pub(crate) fn server_config(
    store: Arc<Store>,
    options: &TlsOptions,
    protocols: &[&[u8]],
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(options.provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(options.versions())?;
    let builder = match &options.client_certificates {
        None => builder.with_no_client_auth(),
        Some(wanted) => builder.with_client_cert_verifier(wanted.verifier(provider)?),
    };
    let mut config = builder.with_cert_resolver(store);
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config.ticketer = ring::Ticketer::new()?;
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

/// A client's connection, ready to be served.
pub(crate) enum Secured {
    Http1(Stream),
    Http2(Box<TlsStream<TcpStream>>),
}

/// The connection after its handshake, if clients speak TLS; `None` if the client failed it or took too long.
pub(crate) async fn secured(stream: Stream, tls: Option<Arc<ServerConfig>>, limit: Duration) -> Option<Secured> {
    let (tls, tcp) = match (tls, stream) {
        (Some(tls), Stream::Tcp(tcp)) => (tls, tcp),
        (_, stream) => return Some(Secured::Http1(stream)),
    };
    let stream = shaken(tcp, tls, limit).await?;
    Some(match stream.get_ref().1.alpn_protocol() {
        Some(HTTP2) => Secured::Http2(Box::new(stream)),
        _ => Secured::Http1(Stream::Tls(Box::new(stream.into()))),
    })
}

/// The connection after its handshake; `None` if the other side failed it or took too long.
pub(crate) async fn shaken(tcp: TcpStream, tls: Arc<ServerConfig>, limit: Duration) -> Option<TlsStream<TcpStream>> {
    let shaken = tokio::time::timeout(limit, TlsAcceptor::from(tls).accept(tcp)).await;
    let shaken = shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    shaken.inspect_err(|error| tracing::debug!(%error, "a TLS handshake failed")).ok()
}
