//! The chain: who issued whom, and in which order it is served (S41).

use std::net::{Ipv4Addr, Ipv6Addr};

use jiff::Timestamp;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::{Decode as _, Encode as _, Header, Reader as _, SliceReader};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;
use x509_cert::spki::SubjectPublicKeyInfoOwned;
use x509_cert::time::Time;

use crate::Problem;

/// One parsed certificate.
pub(crate) struct Link<'a> {
    certificate: CertificateInner<Raw>,
    /// `SubjectPublicKeyInfo` in DER.
    public_key: Vec<u8>,
    /// What its issuer signed.
    signed: &'a [u8],
}

/// Where a leaf's chain leads.
pub(crate) struct Chain {
    /// Places of the leaf and of each one's issuer after it, without a root.
    pub(crate) path: Vec<usize>,
    /// It ends at a root, which was given or is the leaf itself.
    pub(crate) is_complete: bool,
    /// How many certificates have no place in it.
    pub(crate) unrelated: usize,
}

impl<'a> Link<'a> {
    pub(crate) fn parse(der: &'a CertificateDer<'_>) -> Result<Self, Problem> {
        let parse = || {
            let certificate = CertificateInner::<Raw>::from_der(der)?;
            let public_key = certificate.tbs_certificate().subject_public_key_info().to_der()?;
            Ok(Self { certificate, public_key, signed: signed_part(der)? })
        };
        parse().map_err(|_: x509_cert::der::Error| malformed("a certificate is malformed"))
    }

    pub(crate) fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    fn subject_name(&self) -> &Name {
        self.certificate.tbs_certificate().subject()
    }

    fn issuer_name(&self) -> &Name {
        self.certificate.tbs_certificate().issuer()
    }

    pub(crate) fn subject(&self) -> String {
        text(self.subject_name())
    }

    pub(crate) fn issuer(&self) -> String {
        text(self.issuer_name())
    }

    pub(crate) fn serial(&self) -> String {
        let bytes = self.certificate.tbs_certificate().serial_number().as_bytes();
        bytes.iter().map(|byte| format!("{byte:02X}")).collect()
    }

    pub(crate) fn not_before(&self) -> Timestamp {
        timestamp(self.certificate.tbs_certificate().validity().not_before)
    }

    pub(crate) fn not_after(&self) -> Timestamp {
        timestamp(self.certificate.tbs_certificate().validity().not_after)
    }

    pub(crate) fn names(&self) -> Result<Vec<String>, Problem> {
        let extension = self.certificate.tbs_certificate().get_extension::<SubjectAltName>();
        let extension = extension.map_err(|_| malformed("the subjectAltName of the certificate is malformed"))?;
        Ok(extension.map_or_else(Vec::new, |(_, names)| names.0.iter().filter_map(name).collect()))
    }

    fn is_self_issued(&self) -> bool {
        self.subject_name() == self.issuer_name()
    }

    pub(crate) fn is_issued_by(&self, issuer: &Link<'_>) -> bool {
        self.issuer_name() == issuer.subject_name() && self.is_signed_by(issuer).unwrap_or(false)
    }

    /// Whether the signature is the issuer's; of a kind that can't be checked here it is believed to be.
    fn is_signed_by(&self, issuer: &Link<'_>) -> x509_cert::der::Result<bool> {
        let spki: &SubjectPublicKeyInfoOwned = issuer.certificate.tbs_certificate().subject_public_key_info();
        let key_kind = spki.algorithm.to_der()?;
        let signature_kind = self.certificate.signature_algorithm().to_der()?;
        let (key_kind, signature_kind) = (content(&key_kind)?, content(&signature_kind)?);
        let provider = ring::default_provider();
        let mut known = provider.signature_verification_algorithms.all.iter().filter(|algorithm| {
            *algorithm.signature_alg_id() == *signature_kind && *algorithm.public_key_alg_id() == *key_kind
        });
        let signature = self.certificate.signature().raw_bytes();
        let key = spki.subject_public_key.raw_bytes();
        Ok(known.next().is_none_or(|algorithm| algorithm.verify_signature(key, self.signed, signature).is_ok()))
    }
}

/// The first of the parts of a certificate, as its bytes are.
fn signed_part(der: &[u8]) -> x509_cert::der::Result<&[u8]> {
    SliceReader::new(content(der)?)?.tlv_bytes()
}

/// What a structure holds, without its tag and length.
fn content(der: &[u8]) -> x509_cert::der::Result<&[u8]> {
    let mut reader = SliceReader::new(der)?;
    let header = Header::decode(&mut reader)?;
    reader.read_slice(header.length())
}

/// Follows the issuers from the leaf. Where several fit, as after a cross-signing, the one that is valid longest is
/// taken.
pub(crate) fn order(links: &[Link<'_>], leaf: usize) -> Chain {
    let mut path = vec![leaf];
    let mut used = vec![false; links.len()];
    used[leaf] = true;
    let mut at = leaf;
    let mut is_complete = links[leaf].is_self_issued();
    while !is_complete {
        let issuers = (0..links.len()).filter(|next| !used[*next] && links[at].is_issued_by(&links[*next]));
        let Some(next) = issuers.max_by_key(|next| links[*next].not_after()) else { break };
        used[next] = true;
        is_complete = links[next].is_self_issued();
        if !is_complete {
            path.push(next);
        }
        at = next;
    }
    let is_known = |one: &Link<'_>| links.iter().zip(&used).any(|(other, used)| *used && is_same(one, other));
    let unrelated = links.iter().filter(|link| !is_known(link)).count();
    Chain { path, is_complete, unrelated }
}

/// The same certificate twice, or the same authority under another signature.
fn is_same(one: &Link<'_>, other: &Link<'_>) -> bool {
    one.public_key == other.public_key && one.subject_name() == other.subject_name()
}

fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(printable(&name.as_str().to_ascii_lowercase())),
        GeneralName::IpAddress(bytes) => <[u8; 4]>::try_from(bytes.as_bytes())
            .map(|bytes| Ipv4Addr::from(bytes).to_string())
            .or_else(|_| <[u8; 16]>::try_from(bytes.as_bytes()).map(|bytes| Ipv6Addr::from(bytes).to_string()))
            .ok(),
        _ => None,
    }
}

fn text(name: &Name) -> String {
    let common = name.common_name().ok().flatten();
    printable(&common.map_or_else(|| name.to_string(), |common| common.value().into_owned()))
}

/// It goes into logs and a status: on one line, and no longer than it has to be.
fn printable(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(256).collect()
}

fn timestamp(time: Time) -> Timestamp {
    let seconds = time.to_unix_duration().as_secs();
    i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok()).unwrap_or(Timestamp::MAX)
}

fn malformed(text: &str) -> Problem {
    Problem::Malformed(text.to_owned())
}
