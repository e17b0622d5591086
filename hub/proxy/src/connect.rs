//! Connections to targets, encrypted where a target's address says so.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_rustls::TlsConnector;

use crate::stream::Stream;
use crate::target::Target;
use crate::tls::{HTTP11, TlsError, TlsFiles, authorities, certified_key};

/// How targets are spoken to by TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetTls {
    /// PEM of the authorities that are believed; without it those of the system.
    pub authorities: Option<PathBuf>,
    /// The proxy's own certificate, for targets that ask who comes.
    pub certificate: Option<TlsFiles>,
    /// Whoever answers is believed.
    pub insecure: bool,
}

/// Opens connections to targets.
#[derive(Debug)]
pub(crate) struct Connector {
    options: TargetTls,
    /// Made when the first target needs it: the system's authorities take a megabyte.
    config: OnceLock<Arc<ClientConfig>>,
}

impl Connector {
    /// # Errors
    /// A file that is named can't be used.
    pub(crate) fn new(options: TargetTls) -> Result<Self, TlsError> {
        let has_files = options.authorities.is_some() || options.certificate.is_some();
        let config = if has_files { OnceLock::from(Arc::new(client_config(&options)?)) } else { OnceLock::new() };
        Ok(Self { options, config })
    }

    /// A new connection; a name is resolved each time, since pods move.
    pub(crate) async fn connect(&self, target: &Target) -> io::Result<Stream> {
        match (Stream::connect(&target.address).await?, &target.server_name) {
            (Stream::Tcp(tcp), Some(name)) => {
                let shaken = TlsConnector::from(self.config()?).connect(name.clone(), tcp).await?;
                Ok(Stream::Tls(Box::new(shaken.into())))
            }
            (stream, _) => Ok(stream),
        }
    }

    fn config(&self) -> io::Result<Arc<ClientConfig>> {
        if let Some(config) = self.config.get() {
            return Ok(config.clone());
        }
        let config = Arc::new(client_config(&self.options).map_err(io::Error::other)?);
        Ok(self.config.get_or_init(|| config).clone())
    }
}

fn client_config(options: &TargetTls) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let builder = match &options.authorities {
        _ if options.insecure => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))),
        Some(file) => builder.with_root_certificates(authorities(file)?),
        None => builder.with_root_certificates(authorities_of_the_system()),
    };
    let mut config = match &options.certificate {
        Some(files) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified_key(files)?))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![HTTP11.to_vec()];
    Ok(config)
}

fn authorities_of_the_system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in found.errors {
        tracing::warn!(%error, "failed to read some of the system's authorities");
    }
    roots.add_parsable_certificates(found.certs);
    roots
}

/// Believes whoever answers, as `--insecure` asks; that they hold the key of what they show is seen to all the same.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
