//! Certificates that the operator makes itself: authorities for each Hub, whose keys are Secrets of record and never
//! change, and what they issue. Also the temporary ones that are served until somebody else's has come.

use hub_crds::status::reason;
use hub_tls::Certificate;
use jiff::{SignedDuration, Timestamp, ToSpan, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SerialNumber, date_time_ymd,
};
use sha2::{Digest, Sha256};

use super::choice::{Candidate, Offer, TEMPORARY, Trouble};

/// Source of what the operator's own authority issued.
pub const SELF_SIGNED: &str = "self-signed";

const LEAF_DAYS: i64 = 90;
const AUTHORITY_YEARS: i64 = 10;
/// An authority's certificate is made anew, with the same key, this long before its end: what people trust already goes
/// on to hold, and whoever fetches it gets the new one.
const AUTHORITY_MARGIN: SignedDuration = SignedDuration::from_hours(365 * 24);
/// Longest common name (RFC 5280).
const COMMON_NAME_MAX: usize = 64;

/// Why none could be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    #[error("failed to read the certificate that was made: {0}")]
    Read(#[from] hub_tls::Problem),
    #[error("the date {0} is out of range")]
    Date(#[from] jiff::Error),
}

/// A Hub's authority.
pub struct Authority {
    params: CertificateParams,
    key: KeyPair,
    /// Its certificate, for people to trust.
    pub certificate: String,
}

impl Authority {
    /// The authority of a key. The certificate that is published already stays if it is of this key and not near its end.
    ///
    /// # Errors
    /// The key is not one, or cannot sign.
    pub fn new(key: &str, owner: &str, published: Option<&str>, now: Timestamp) -> Result<Self, Error> {
        let pair = KeyPair::from_pem(key)?;
        let mut params = params(Vec::new(), &authority_name(owner, &pair), now)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_life(&mut params, now, 365 * AUTHORITY_YEARS)?;
        let is_good = |pem: &&str| {
            hub_tls::read(pem.as_bytes(), Some(key.as_bytes()))
                .is_ok_and(|found| found.not_before <= now && found.not_after > now + AUTHORITY_MARGIN)
        };
        let certificate = match published.filter(is_good) {
            Some(published) => published.to_owned(),
            None => params.self_signed(&pair)?.pem(),
        };
        Ok(Self { params, key: pair, certificate })
    }

    /// A certificate for these names, with a new key.
    fn issue(&self, names: &[String], now: Timestamp) -> Result<Certificate, Error> {
        self.sign(leaf_params(names, now)?)
    }

    /// With which a program shows to whom it connects that it is one of the Hub's own, and no server can: the current one,
    /// or a new one if that is not ours or due. It lives as long as an authority, since programs read it at their start
    /// only: with a third of its life left, each has had years to start anew.
    ///
    /// # Errors
    /// None could be made.
    pub fn client(&self, current: Option<Certificate>, name: &str, now: Timestamp) -> Result<Certificate, Error> {
        let is_good = |current: &Certificate| self.has_issued(current) && !is_due(current, &[], now);
        if let Some(current) = current.filter(is_good) {
            return Ok(current);
        }
        let mut params = params(Vec::new(), name, now)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        set_life(&mut params, now, 365 * AUTHORITY_YEARS)?;
        self.sign(params)
    }

    fn sign(&self, mut params: CertificateParams) -> Result<Certificate, Error> {
        let key = KeyPair::generate()?;
        params.use_authority_key_identifier_extension = true;
        let leaf = params.signed_by(&key, &Issuer::from_params(&self.params, &self.key))?;
        Ok(hub_tls::read(leaf.pem().as_bytes(), Some(key.serialize_pem().as_bytes()))?)
    }

    fn has_issued(&self, certificate: &Certificate) -> bool {
        certificate.issuer.contains(&key_digest(&self.key))
    }

    /// What is served: the current certificate, or a new one if that is not ours, not for these names or due.
    ///
    /// # Errors
    /// None could be made.
    pub fn offer(&self, current: Option<&Candidate>, names: &[String], now: Timestamp) -> Result<Offer, Error> {
        let is_ours = |current: &&Candidate| current.source == SELF_SIGNED && self.has_issued(&current.certificate);
        let mut certificate = match current.filter(is_ours).filter(|current| !is_due(&current.certificate, names, now))
        {
            Some(current) => current.certificate.clone(),
            None => self.issue(names, now)?,
        };
        certificate.note_authorities(self.certificate.as_bytes())?;
        Ok(Offer::Certificate(Candidate { certificate, source: SELF_SIGNED.to_owned(), notes: Vec::new() }))
    }
}

/// A key for an authority, in PEM.
pub fn generate_key() -> String {
    KeyPair::generate().expect("the system has randomness").serialize_pem()
}

/// Whether this is the key of an authority.
pub fn is_key(pem: &[u8]) -> bool {
    std::str::from_utf8(pem).is_ok_and(|pem| KeyPair::from_pem(pem).is_ok())
}

/// A certificate that nobody trusts, served while the real one is on its way.
///
/// # Errors
/// None could be made.
pub fn temporary(names: &[String], now: Timestamp) -> Result<Candidate, Error> {
    let key = KeyPair::generate()?;
    let certificate = leaf_params(names, now)?.self_signed(&key)?;
    let certificate = hub_tls::read(certificate.pem().as_bytes(), Some(key.serialize_pem().as_bytes()))?;
    Ok(Candidate { certificate, source: TEMPORARY.to_owned(), notes: Vec::new() })
}

/// What is offered until the authority's key is there: the operator makes it with the other Secrets of record.
pub fn waits_for_key() -> Offer {
    Offer::Nothing(Trouble::new(reason::ISSUING, "the key of the Hub's own authority is being made"))
}

/// Whether a certificate is to be replaced: two thirds of its life are over, or it lacks a name.
pub fn is_due(certificate: &Certificate, names: &[String], now: Timestamp) -> bool {
    let lacks = |name: &String| !certificate.names.contains(name);
    now < certificate.not_before || now >= renewal_time(certificate) || names.iter().any(lacks)
}

/// At two thirds of the life, and up to a thirtieth of it later: certificates that were made together are not renewed
/// together. The serial number decides, so that the time is the same at each look.
fn renewal_time(certificate: &Certificate) -> Timestamp {
    let life = certificate.not_after.duration_since(certificate.not_before);
    let jitter = i32::from(Sha256::digest(certificate.serial.as_bytes())[0]);
    certificate.not_before + life * 2 / 3 + life / 30 * jitter / 255
}

fn leaf_params(names: &[String], now: Timestamp) -> Result<CertificateParams, Error> {
    let common_name = names.iter().find(|name| name.len() <= COMMON_NAME_MAX).map_or("jupyterhub", String::as_str);
    let mut params = params(names.to_vec(), common_name, now)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

fn params(names: Vec<String>, common_name: &str, now: Timestamp) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    set_life(&mut params, now, LEAF_DAYS)?;
    let mut serial = rand::random::<[u8; 16]>();
    serial[0] &= 0x7f;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}

/// The name says whose authority it is, and ends with a digest of its key: two keys are two authorities.
fn authority_name(owner: &str, key: &KeyPair) -> String {
    let digest = key_digest(key);
    let owner: String = owner.chars().take(COMMON_NAME_MAX - digest.len() - 1).collect();
    format!("{owner} {digest}")
}

fn key_digest(key: &KeyPair) -> String {
    hex::encode(&Sha256::digest(key.public_key_raw())[..6])
}

/// From yesterday, for clocks that are behind, to the midnight that is so many days from now.
fn set_life(params: &mut CertificateParams, now: Timestamp, days: i64) -> Result<(), Error> {
    let today = now.to_zoned(TimeZone::UTC).date();
    let midnight = |days: i64| -> Result<_, Error> {
        let date = today.checked_add(days.days())?;
        let [month, day] = [date.month(), date.day()].map(i8::unsigned_abs);
        Ok(date_time_ymd(i32::from(date.year()), month, day))
    };
    (params.not_before, params.not_after) = (midnight(-1)?, midnight(days)?);
    Ok(())
}

#[cfg(test)]
mod tests;
