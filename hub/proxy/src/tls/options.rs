//! What may be set about TLS apart from the certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, RootCertStore, SupportedProtocolVersion};

use super::TlsError;

/// A version of TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    #[default]
    Tls12,
    Tls13,
}

/// What may be set about TLS apart from the certificate. [`Default`] takes all that is safe.
#[derive(Debug, Clone, Default)]
pub struct TlsOptions {
    /// The oldest and the newest version that clients may speak; without the newest there is no limit.
    pub min_version: TlsVersion,
    pub max_version: Option<TlsVersion>,
    /// More certificates: each `NAME.crt` in this directory with `NAME.key` beside it is served to clients that ask for
    /// one of its names (SNI).
    pub sni_directory: Option<PathBuf>,
    /// Clients are asked for a certificate of their own.
    pub client_certificates: Option<ClientCertificates>,
    /// These suites only, from [`cipher_suites`].
    pub cipher_suites: Option<Vec<CipherSuite>>,
}

/// Clients' own certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificates {
    /// PEM of the authorities that issue them.
    pub authorities: PathBuf,
    /// Who has none is not served. A bad one is refused either way.
    pub required: bool,
}

/// A name of a cipher suite that isn't offered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the cipher suite {0:?} is not offered; these are: {names}", names = NAMES.map(|(name, _)| name).join(":"))]
pub struct CipherError(String);

/// OpenSSL's names of what there is.
const NAMES: [(&str, CipherSuite); 9] = [
    ("TLS_AES_256_GCM_SHA384", CipherSuite::TLS13_AES_256_GCM_SHA384),
    ("TLS_AES_128_GCM_SHA256", CipherSuite::TLS13_AES_128_GCM_SHA256),
    ("TLS_CHACHA20_POLY1305_SHA256", CipherSuite::TLS13_CHACHA20_POLY1305_SHA256),
    ("ECDHE-ECDSA-AES256-GCM-SHA384", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-ECDSA-AES128-GCM-SHA256", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("ECDHE-RSA-AES256-GCM-SHA384", CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-RSA-AES128-GCM-SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-RSA-CHACHA20-POLY1305", CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
];

/// The suites of a list such as OpenSSL takes, names with colons between them. Those of TLS 1.3 are kept unless one of
/// them is named, as OpenSSL keeps them.
///
/// # Errors
/// A name that isn't offered, or a word of OpenSSL's such as `HIGH` or `!MD5`.
pub fn cipher_suites(list: &str) -> Result<Vec<CipherSuite>, CipherError> {
    let named = list.split(':').filter(|name| !name.is_empty()).map(|name| {
        let known = NAMES.into_iter().find(|(known, _)| *known == name);
        known.ok_or_else(|| CipherError(name.to_owned()))
    });
    let mut chosen = named.collect::<Result<Vec<_>, _>>()?;
    let is_new = |name: &str| name.starts_with("TLS_");
    if !chosen.iter().any(|(name, _)| is_new(name)) {
        chosen.extend(NAMES.into_iter().filter(|(name, _)| is_new(name)));
    }
    Ok(chosen.into_iter().map(|(_, suite)| suite).collect())
}

impl TlsOptions {
    pub(crate) fn provider(&self) -> CryptoProvider {
        let mut provider = ring::default_provider();
        if let Some(chosen) = &self.cipher_suites {
            provider.cipher_suites.retain(|suite| chosen.contains(&suite.suite()));
        }
        provider
    }

    /// Whether the suites and the versions leave anything in common.
    pub(crate) fn has_suites(&self) -> bool {
        let suites = self.provider().cipher_suites;
        suites.iter().any(|suite| self.versions().iter().any(|version| suite.version() == *version))
    }

    pub(crate) fn versions(&self) -> &'static [&'static SupportedProtocolVersion] {
        static NEW: [&SupportedProtocolVersion; 1] = [&TLS13];
        static OLD: [&SupportedProtocolVersion; 1] = [&TLS12];
        static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
        match (self.min_version, self.max_version) {
            (TlsVersion::Tls13, _) => &NEW,
            (TlsVersion::Tls12, Some(TlsVersion::Tls12)) => &OLD,
            (TlsVersion::Tls12, _) => &BOTH,
        }
    }
}

impl ClientCertificates {
    pub(crate) fn verifier(&self, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities(&self.authorities)?), provider);
        let builder = if self.required { builder } else { builder.allow_unauthenticated() };
        builder
            .build()
            .map_err(|error| TlsError::Authorities { path: self.authorities.clone(), reason: error.to_string() })
    }
}

/// The authorities in a file, at least one.
pub(crate) fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let failed = |reason: String| TlsError::Authorities { path: path.to_owned(), reason };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))? {
        let certificate = certificate.map_err(|error| failed(error.to_string()))?;
        roots.add(certificate).map_err(|error| failed(error.to_string()))?;
    }
    if roots.is_empty() { Err(failed("there is no certificate in it".to_owned())) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_taken_by_openssls_names() {
        let all = cipher_suites("").unwrap();
        assert_eq!(all.len(), 3);
        let one = cipher_suites("ECDHE-RSA-AES128-GCM-SHA256").unwrap();
        assert_eq!((one[0], one.len()), (CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, 4));
        assert_eq!(cipher_suites("TLS_AES_128_GCM_SHA256").unwrap(), [CipherSuite::TLS13_AES_128_GCM_SHA256]);
        for bad in ["HIGH", "ECDHE-RSA-AES128-GCM-SHA256:!MD5", "AES128-SHA"] {
            let message = cipher_suites(bad).unwrap_err().to_string();
            assert!(message.contains("ECDHE-ECDSA-AES256-GCM-SHA384"), "{message}");
        }
    }

    #[test]
    fn every_suite_there_is_has_a_name() {
        for suite in ring::default_provider().cipher_suites {
            assert!(NAMES.iter().any(|(_, named)| *named == suite.suite()), "{suite:?}");
        }
    }
}
