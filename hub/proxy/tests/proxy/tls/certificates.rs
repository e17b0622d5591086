//! Certificates of every kind, and their files.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use hub_proxy::TlsFiles;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::CertificateDer;

/// Who issues.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A leaf.
pub(super) struct Issued {
    pub(super) certificate: String,
    pub(super) key: String,
    pub(super) der: CertificateDer<'static>,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        Self(CertifiedIssuer::self_signed(params(name), KeyPair::generate().unwrap()).unwrap())
    }

    /// An authority below this one.
    pub(super) fn intermediate(&self, name: &str, is_expired: bool) -> Self {
        let mut params = params(name);
        if is_expired {
            params.not_after = date_time_ymd(2020, 1, 1);
        }
        Self(CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &self.0).unwrap())
    }

    pub(super) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(super) fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    pub(super) fn issue(&self, names: &[&str]) -> Issued {
        self.issue_until(names, 2999)
    }

    pub(super) fn issue_until(&self, names: &[&str], year: i32) -> Issued {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_after = date_time_ymd(year, 1, 1);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Issued { certificate: certificate.pem(), key: key.serialize_pem(), der: certificate.der().clone() }
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Issued {
    /// As `NAME.crt` and `NAME.key`.
    pub(super) fn write(&self, directory: &Path, name: &str) -> TlsFiles {
        let [certificate, key] = ["crt", "key"].map(|ending| directory.join(format!("{name}.{ending}")));
        std::fs::write(&certificate, &self.certificate).unwrap();
        write_secret(&key, &self.key);
        TlsFiles { certificate, key: Some(key) }
    }
}

/// Writes a file that others can't read.
pub(super) fn write_secret(path: &Path, content: &str) {
    std::fs::write(path, content).unwrap();
    set_mode(path, 0o640);
}

pub(super) fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
