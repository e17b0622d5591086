//! TLS towards clients: the certificate's files, and the handshake.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::stream::Stream;

/// PEM files. The certificate's file holds the leaf first and then its chain (S41), and may hold the key, too (S39).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: Option<PathBuf>,
}

/// Why a certificate can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("failed to read {what} from {}", path.display())]
    Read { what: &'static str, path: PathBuf, source: pem::Error },
    #[error("{} holds no certificate", .0.display())]
    NoCertificate(PathBuf),
    #[error("the key and the certificate in {} can't be used together", path.display())]
    Unusable { path: PathBuf, source: rustls::Error },
}

/// How clients are spoken to with a certificate: TLS 1.2 and 1.3.
pub(crate) fn server_config(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let key_file = files.key.as_ref().unwrap_or(&files.certificate);
    let chain = read_chain(&files.certificate)?;
    let key =
        PrivateKeyDer::from_pem_file(key_file).map_err(read_error("a private key that is not encrypted", key_file))?;
    let unusable = |source| TlsError::Unusable { path: files.certificate.clone(), source };
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    Ok(Arc::new(config))
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = read.map_err(read_error("certificates", path))?;
    if chain.is_empty() { Err(TlsError::NoCertificate(path.to_owned())) } else { Ok(chain) }
}

fn read_error(what: &'static str, path: &Path) -> impl FnOnce(pem::Error) -> TlsError {
    move |source| TlsError::Read { what, path: path.to_owned(), source }
}

/// The stream after its handshake, if clients speak TLS; `None` if the client failed it or took too long.
pub(crate) async fn secured(stream: Stream, tls: Option<Arc<ServerConfig>>, limit: Duration) -> Option<Stream> {
    let (tls, tcp) = match (tls, stream) {
        (Some(tls), Stream::Tcp(tcp)) => (tls, tcp),
        (_, stream) => return Some(stream),
    };
    let shaken = tokio::time::timeout(limit, TlsAcceptor::from(tls).accept(tcp)).await;
    match shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(stream) => Some(Stream::Tls(Box::new(stream))),
        Err(error) => {
            tracing::debug!(%error, "a TLS handshake failed");
            None
        }
    }
}
