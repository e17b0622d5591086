//! Certificates as people have them: the leaf and its chain in any order, the key beside them or in the same file.
//!
//! Pure: bytes come in, and a [`Certificate`] that can be served or a [`Problem`] comes out. Nothing is read from a disk
//! or a clock, and no text that is made here holds any of a key.

mod chain;
mod name;
mod pem;

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, SigningKey};
use secrecy::SecretString;

use crate::chain::Link;

/// The most certificates in a file: every handshake carries them.
const MAX_CERTIFICATES: usize = 10;
/// The largest file, in bytes.
const MAX_BYTES: usize = 64 * 1024;

/// A certificate that fits its key, and its chain in the order in which it is served (S41).
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The leaf, then each certificate's issuer, without the root.
    pub chain_pem: String,
    /// The key alone. Zeroized when it is dropped.
    pub key_pem: SecretString,
    /// What it is for: DNS names in lower case, which may begin with `*.`, and addresses.
    pub names: Vec<String>,
    /// Who issued it: the common name, or everything that is known if there is none.
    pub issuer: String,
    /// In hexadecimal as OpenSSL prints it: upper case, no colons.
    pub serial: String,
    pub not_before: Timestamp,
    /// The last second at which it is valid (RFC 5280 section 4.1.2.5).
    pub not_after: Timestamp,
    /// What doesn't keep it from being served, apart from what [`Certificate::warnings_at`] adds.
    pub warnings: Vec<Warning>,
    /// The rest of the chain: each one's name and end.
    authorities: Vec<(String, Timestamp)>,
    chain: Vec<CertificateDer<'static>>,
    signing_key: Arc<dyn SigningKey>,
}

/// What is not as it should be about a certificate that can be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    #[error(
        "the certificate of its issuer {0:?} is missing: if that is an intermediate authority, many clients will not \
         trust this one; append the intermediate's certificate to the file"
    )]
    IntermediateMissing(String),
    #[error("{0} certificate(s) that don't belong to the chain were left out; remove them from the file")]
    Unrelated(usize),
    #[error("it names no host (subjectAltName), and no browser accepts that; have it issued again with its names")]
    NamesMissing,
    #[error(
        "the certificate of the authority {issuer:?} in its chain expired at {at}; replace it by the authority's \
         current one"
    )]
    AuthorityExpired { issuer: String, at: Timestamp },
}

/// Why a certificate can't be used, and what helps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    #[error("there is no certificate; PEM with a line -----BEGIN CERTIFICATE----- was expected")]
    NoCertificate,
    #[error("there is no private key; give it in PEM, in a file of its own or in the certificate's (S39)")]
    NoKey,
    #[error("the private key is encrypted; decrypt it with `openssl pkey -in ENCRYPTED -out KEY`")]
    KeyEncrypted,
    #[error(
        "the private key is of a kind that isn't supported; use RSA of at least 2048 bits, P-256, P-384 or Ed25519"
    )]
    KeyUnsupported,
    #[error("the private key doesn't fit the certificate; give the key with which it was requested")]
    KeyDoesNotFit,
    #[error("the certificate expired at {0}; renew it")]
    Expired(Timestamp),
    #[error("the certificate is not valid before {0}; wait for that, or set the clock right")]
    NotYetValid(Timestamp),
    #[error(
        "there are more than {MAX_CERTIFICATES} certificates or {} KiB; keep the leaf and its chain only",
        MAX_BYTES / 1024
    )]
    HugeChain,
    #[error("{0}; write the file anew, as a whole")]
    Malformed(String),
}

/// Reads a certificate with its chain in any order, and its key, which the certificate's file may hold as well (S39).
///
/// The leaf is the certificate that fits the key. What doesn't belong to its chain is left out with a warning, and a root
/// at its end without one: clients have it or don't trust it.
///
/// # Errors
/// A [`Problem`] other than those of time, which [`Certificate::check`] finds.
pub fn read(certificate_pem: &[u8], key_pem: Option<&[u8]>) -> Result<Certificate, Problem> {
    if certificate_pem.len() > MAX_BYTES || key_pem.is_some_and(|key| key.len() > MAX_BYTES) {
        return Err(Problem::HugeChain);
    }
    let certificates = pem::certificates(certificate_pem)?;
    if certificates.len() > MAX_CERTIFICATES {
        return Err(Problem::HugeChain);
    }
    let links = certificates.iter().map(|der| Link::parse(der)).collect::<Result<Vec<_>, _>>()?;
    let keys = pem::keys(key_pem.unwrap_or(certificate_pem))?;
    let (leaf, key, signing_key) = fitting(&links, &keys)?;
    let chain = chain::order(&links, leaf);
    let leaf = &links[leaf];

    let mut warnings = Vec::new();
    if chain.path.len() == 1 && !chain.is_complete {
        warnings.push(Warning::IntermediateMissing(leaf.issuer()));
    }
    if chain.unrelated > 0 {
        warnings.push(Warning::Unrelated(chain.unrelated));
    }
    let names = leaf.names()?;
    if names.is_empty() {
        warnings.push(Warning::NamesMissing);
    }
    let served = || chain.path.iter().map(|at| &certificates[*at]);
    Ok(Certificate {
        chain_pem: served().map(|der| pem::encode("CERTIFICATE", der)).collect(),
        key_pem: pem::encode_key(key),
        names,
        issuer: leaf.issuer(),
        serial: leaf.serial(),
        not_before: leaf.not_before(),
        not_after: leaf.not_after(),
        warnings,
        authorities: chain.path[1..].iter().map(|at| (links[*at].subject(), links[*at].not_after())).collect(),
        chain: served().cloned().collect(),
        signing_key,
    })
}

/// The first certificate and key that fit each other.
fn fitting<'k>(
    links: &[Link<'_>],
    keys: &'k [pem::Key],
) -> Result<(usize, &'k pem::Key, Arc<dyn SigningKey>), Problem> {
    let mut is_supported = false;
    for key in keys {
        let Ok(signing_key) = ring::sign::any_supported_type(key.der()) else { continue };
        is_supported = true;
        let public = signing_key.public_key();
        if let Some(leaf) = links.iter().position(|link| public.as_deref() == Some(link.public_key())) {
            return Ok((leaf, key, signing_key));
        }
    }
    Err(if is_supported { Problem::KeyDoesNotFit } else { Problem::KeyUnsupported })
}

impl Certificate {
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now.as_second() > self.not_after.as_second()
    }

    /// Whether it is valid at this time.
    ///
    /// # Errors
    /// [`Problem::Expired`] or [`Problem::NotYetValid`].
    pub fn check(&self, now: Timestamp) -> Result<(), Problem> {
        if self.is_expired(now) {
            Err(Problem::Expired(self.not_after))
        } else if now < self.not_before {
            Err(Problem::NotYetValid(self.not_before))
        } else {
            Ok(())
        }
    }

    /// All warnings, those included that depend on the time.
    #[must_use]
    pub fn warnings_at(&self, now: Timestamp) -> Vec<Warning> {
        let expired = self.authorities.iter().filter(|(_, at)| now.as_second() > at.as_second());
        let expired = expired.map(|(issuer, at)| Warning::AuthorityExpired { issuer: issuer.clone(), at: *at });
        self.warnings.iter().cloned().chain(expired).collect()
    }

    /// Takes note of the authorities that clients trust (a `ca.crt`): nothing is missing from the chain if one of them
    /// issued its last certificate.
    ///
    /// # Errors
    /// [`Problem::Malformed`] if these are no certificates.
    pub fn note_authorities(&mut self, authorities_pem: &[u8]) -> Result<(), Problem> {
        let roots = pem::certificates(authorities_pem)?;
        let roots = roots.iter().map(|der| Link::parse(der)).collect::<Result<Vec<_>, _>>()?;
        let Some(last) = self.chain.last() else { return Ok(()) };
        let last = Link::parse(last)?;
        if roots.iter().any(|root| last.is_issued_by(root)) {
            self.warnings.retain(|warning| !matches!(warning, Warning::IntermediateMissing(_)));
        }
        Ok(())
    }

    /// Whether it is for this host: a DNS name, or an address without brackets.
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        self.names.iter().any(|name| name::covers(name, host))
    }

    /// As rustls serves it.
    #[must_use]
    pub fn certified_key(&self) -> CertifiedKey {
        CertifiedKey::new(self.chain.clone(), self.signing_key.clone())
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {}, valid until {}", self.names.join(", "), self.issuer, self.not_after)
    }
}
