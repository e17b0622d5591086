//! TLS between the hub, the proxy and users' servers: the authority that issues each server's certificate, and the
//! certificate by which servers know the hub. A server is asked for the name that only it has; who has its address may
//! change.

use hub_crds::names::secret_key;
use hub_server::http_client;
use jiff::{Timestamp, tz::TimeZone};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use reqwest::{Certificate, ClientBuilder, Identity};
use secrecy::{ExposeSecret, SecretString};
use std::{fs, io, net::SocketAddr, path::Path};

/// Longer than any server runs: none takes up another certificate.
const YEARS: i32 = 10;
/// Longest common name (RFC 5280).
const COMMON_NAME_MAX: usize = 64;

/// Why TLS with servers can't be spoken.
#[derive(Debug, thiserror::Error)]
pub enum InternalTlsError {
    #[error("failed to read {file} in {directory} (the field internalTlsDir): {source}")]
    Read { file: &'static str, directory: String, source: io::Error },
    #[error("failed to use the authority of servers' certificates: {0}")]
    Authority(#[from] rcgen::Error),
    #[error("failed to use the hub's own certificate: {0}")]
    Own(#[from] reqwest::Error),
}

/// The hub's part. No `Debug`: it holds keys.
pub struct InternalTls {
    issuer: Issuer<'static, KeyPair>,
    /// In PEM.
    authority: String,
    trusted: Certificate,
    own: Identity,
}

/// What one server gets, in PEM. No `Debug`, as above.
pub struct ServerCertificate {
    /// The name that it is for.
    pub name: String,
    pub certificate: String,
    pub key: SecretString,
    /// Whose certificates it takes from those who connect.
    pub authority: String,
}

impl InternalTls {
    /// Reads `ca.crt`, `ca.key`, `tls.crt` and `tls.key` of a directory.
    ///
    /// # Errors
    /// One can't be read, or is not what its name says.
    pub fn load(directory: &Path) -> Result<Self, InternalTlsError> {
        let read =
            |file: &'static str| {
                fs::read_to_string(directory.join(file)).map(SecretString::from).map_err(|source| {
                    InternalTlsError::Read { file, directory: directory.display().to_string(), source }
                })
            };
        let authority = read(secret_key::CA_CERTIFICATE)?.expose_secret().to_owned();
        let key = KeyPair::from_pem(read(secret_key::CA_KEY)?.expose_secret())?;
        let [certificate, own_key] = [read(secret_key::TLS_CERTIFICATE)?, read(secret_key::TLS_KEY)?];
        let own = SecretString::from([certificate.expose_secret(), own_key.expose_secret()].join("\n"));
        Ok(Self {
            issuer: Issuer::from_ca_cert_pem(&authority, key)?,
            trusted: Certificate::from_pem(authority.as_bytes())?,
            own: Identity::from_pem(own.expose_secret().as_bytes())?,
            authority,
        })
    }

    /// A certificate for the server of this name, with a new key. It is for serving only: a user who takes it out of their
    /// server gets into no other with it.
    ///
    /// # Errors
    /// The name is none, or the authority's key can't sign.
    pub fn issue(&self, name: &str, now: Timestamp) -> Result<ServerCertificate, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([name.to_owned()])?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name.chars().take(COMMON_NAME_MAX).collect::<String>());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let year = i32::from(now.to_zoned(TimeZone::UTC).year());
        (params.not_before, params.not_after) = (date_time_ymd(year - 1, 1, 1), date_time_ymd(year + YEARS, 1, 1));
        Ok(ServerCertificate {
            name: name.to_owned(),
            certificate: params.signed_by(&key, &self.issuer)?.pem(),
            key: key.serialize_pem().into(),
            authority: self.authority.clone(),
        })
    }

    /// A client to be that finds the server of this name at this address, and speaks with nobody else there.
    pub fn client(&self, name: &str, address: SocketAddr) -> ClientBuilder {
        http_client().tls_certs_only([self.trusted.clone()]).identity(self.own.clone()).resolve(name, address)
    }
}

#[cfg(test)]
mod tests;
