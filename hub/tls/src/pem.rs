//! PEM: what a file holds, and how what is kept of it is written again.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::SecretString;
use zeroize::{Zeroize as _, Zeroizing};

use crate::Problem;

/// So much Base64 stands on one line.
const LINE: usize = 64;

/// A private key, zeroized when it is dropped.
pub(crate) struct Key(PrivateKeyDer<'static>);

impl Key {
    pub(crate) fn der(&self) -> &PrivateKeyDer<'static> {
        &self.0
    }

    /// The label of its kind.
    fn label(&self) -> &'static str {
        match self.0 {
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        }
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Every certificate, in the order of the file.
pub(crate) fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let found =
        CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>().map_err(|error| malformed(&error))?;
    if found.is_empty() { Err(Problem::NoCertificate) } else { Ok(found) }
}

/// Every private key that is not encrypted; there is at least one.
pub(crate) fn keys(text: &[u8]) -> Result<Vec<Key>, Problem> {
    let found = PrivateKeyDer::pem_slice_iter(text);
    // An encrypted key of the old kind has fields between its lines, which is what makes it malformed.
    let found = found.map(|key| key.map(Key)).collect::<Result<Vec<_>, _>>();
    match found {
        Ok(keys) if !keys.is_empty() => Ok(keys),
        _ if is_encrypted(text) => Err(Problem::KeyEncrypted),
        Ok(_) => Err(Problem::NoKey),
        Err(error) => Err(malformed(&error)),
    }
}

fn is_encrypted(text: &[u8]) -> bool {
    [&b"-----BEGIN ENCRYPTED PRIVATE KEY-----"[..], b"Proc-Type: 4,ENCRYPTED"]
        .iter()
        .any(|mark| text.windows(mark.len()).any(|window| window == *mark))
}

/// Says what is wrong without the bytes that are: they may be a key's.
fn malformed(error: &pem::Error) -> Problem {
    let text = match error {
        pem::Error::MissingSectionEnd { .. } => "the PEM is cut off: a -----BEGIN line has no -----END line",
        pem::Error::IllegalSectionStart { .. } => "a -----BEGIN line of the PEM is malformed",
        pem::Error::Base64Decode(_) => "the Base64 in the PEM is malformed",
        _ => "the PEM is malformed",
    };
    Problem::Malformed(text.to_owned())
}

/// One section.
pub(crate) fn encode(label: &str, der: &[u8]) -> String {
    let base64 = Zeroizing::new(STANDARD.encode(der));
    // Whole from the start: a string that grows leaves copies of itself behind.
    let mut text = String::with_capacity(base64.len() + base64.len() / LINE + 2 * label.len() + 40);
    text.extend(["-----BEGIN ", label, "-----\n"]);
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        text.extend([line, "\n"]);
        rest = after;
    }
    text.extend(["-----END ", label, "-----\n"]);
    text
}

pub(crate) fn encode_key(key: &Key) -> SecretString {
    let text = Zeroizing::new(encode(key.label(), key.der().secret_der()));
    SecretString::from(text.as_str())
}
