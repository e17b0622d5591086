//! Certificates of tests' own authorities, and what a server shows at a handshake, whoever it says it is.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context, Result};
use cookie::time::{Duration, OffsetDateTime};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, ProtocolVersion, SignatureScheme, SupportedProtocolVersion,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{WebPkiSupportedAlgorithms, ring::default_provider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// A certificate with its key, both in PEM.
pub(super) struct Pair {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// Who issues certificates.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(super) fn root(name: &str) -> Result<Self> {
        Ok(Self(CertifiedIssuer::self_signed(authority(name), KeyPair::generate()?)?))
    }

    /// One below this, whose certificate belongs into the chain.
    pub(super) fn intermediate(&self, name: &str) -> Result<Self> {
        Ok(Self(CertifiedIssuer::signed_by(authority(name), KeyPair::generate()?, &self.0)?))
    }

    /// Its own certificate.
    pub(super) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate that is valid for 80 days.
    pub(super) fn issue(&self, host: &str) -> Result<Pair> {
        self.issue_until(host, OffsetDateTime::now_utc() + Duration::days(80))
    }

    /// A certificate that ended yesterday.
    pub(super) fn issue_expired(&self, host: &str) -> Result<Pair> {
        self.issue_until(host, OffsetDateTime::now_utc() - Duration::days(1))
    }

    fn issue_until(&self, host: &str, end: OffsetDateTime) -> Result<Pair> {
        let mut params = CertificateParams::new([host.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, "e2e");
        (params.not_before, params.not_after) = (end - Duration::days(82), end);
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.0)?;
        Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// What a server showed at a handshake.
#[derive(Debug)]
pub(super) struct Served {
    /// In hexadecimal digits, as the status has it.
    pub(super) serial: String,
    pub(super) issuer: String,
    /// DNS names and addresses.
    pub(super) names: Vec<String>,
    /// How many certificates came, the leaf among them.
    pub(super) chain: usize,
    /// Seconds since 1970.
    pub(super) not_after: i64,
    pub(super) version: Option<ProtocolVersion>,
    /// The protocol that was agreed on.
    pub(super) alpn: Option<String>,
}

/// Shakes hands for a host's name in one version of TLS, offering protocols. No certificate is refused.
pub(super) async fn handshake(
    address: SocketAddr,
    host: &str,
    version: &'static SupportedProtocolVersion,
    protocols: &[&str],
) -> Result<Served> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[version])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(default_provider().signature_verification_algorithms)))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(address).await.with_context(|| format!("failed to connect to {address}"))?;
    let name = ServerName::try_from(host.to_owned())?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.context("failed to shake hands")?;
    let connection = stream.get_ref().1;
    let chain = connection.peer_certificates().context("a server shows certificates")?;
    let (_, leaf) = X509Certificate::from_der(chain.first().context("a chain has a leaf")?)?;
    Ok(Served {
        serial: hex::encode(leaf.raw_serial()).trim_start_matches('0').to_owned(),
        issuer: leaf.issuer().to_string(),
        names: names(&leaf)?,
        chain: chain.len(),
        not_after: leaf.validity().not_after.timestamp(),
        version: connection.protocol_version(),
        alpn: connection.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
    })
}

fn names(certificate: &X509Certificate<'_>) -> Result<Vec<String>> {
    let names = certificate.subject_alternative_name()?.map(|extension| &extension.value.general_names);
    let names = names.into_iter().flatten().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
            Ok(bytes) => Some(std::net::Ipv4Addr::from(bytes).to_string()),
            Err(_) => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| std::net::Ipv6Addr::from(bytes).to_string()),
        },
        _ => None,
    });
    Ok(names.collect())
}

/// Looks at certificates and believes each of them; that the server has the key is checked.
#[derive(Debug)]
struct Anyone(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rustls::{ServerConfig, pki_types::PrivateKeyDer, pki_types::pem::PemObject, version::TLS13};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    #[tokio::test]
    async fn a_handshake_tells_what_the_server_showed() {
        let root = Authority::root("root").unwrap();
        let middle = root.intermediate("middle").unwrap();
        let pair = middle.issue("hub.example.test").unwrap();
        let chain = format!("{}{}", pair.certificate, middle.pem());
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let mut config = config.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            TlsAcceptor::from(Arc::new(config)).accept(stream).await.map(|_| ())
        });
        let served = handshake(address, "hub.example.test", &TLS13, &["h2", "http/1.1"]).await.unwrap();
        assert_eq!((served.chain, served.alpn.as_deref()), (2, Some("h2")));
        assert_eq!((served.names, served.issuer), (vec!["hub.example.test".to_owned()], "CN=middle".to_owned()));
        assert_eq!(served.version, Some(ProtocolVersion::TLSv1_3));
        serving.await.unwrap().unwrap();
    }
}
