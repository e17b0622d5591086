//! The options for TLS: towards clients, of the REST API, and towards targets.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};
use rustls::CipherSuite;

use crate::config::{ApiTls, Bind, Hsts, Redirect};
use crate::connect::TargetTls;
use crate::tls::{ClientCertificates, TlsFiles, TlsOptions, TlsVersion, cipher_suites};

/// TLS towards clients.
#[derive(Debug, Args)]
#[command(next_help_heading = "TLS")]
pub(super) struct TlsArgs {
    /// Private key in PEM; closed to others (chmod 640). Not needed if --ssl-cert's file holds it
    #[arg(long, value_name = "FILE", value_parser = parse_path, requires = "ssl_cert")]
    ssl_key: Option<PathBuf>,
    /// Certificate in PEM with its chain, in any order. Read again when it changes
    #[arg(long, value_name = "FILE", value_parser = parse_path, conflicts_with = "socket")]
    ssl_cert: Option<PathBuf>,
    /// Directory of more certificates, each NAME.crt with NAME.key: served to clients that ask for one of its names (SNI)
    #[arg(long, value_name = "DIRECTORY", value_parser = parse_path, requires = "ssl_cert")]
    ssl_sni_dir: Option<PathBuf>,
    /// Oldest version of TLS that clients may speak
    #[arg(long, value_enum, default_value = "1.2")]
    ssl_min_version: MinVersion,
    /// OpenSSL's name of the version: TLS_method, TLSv1_2_method or TLSv1_3_method
    #[arg(long, value_name = "NAME", value_parser = parse_protocol, conflicts_with = "ssl_min_version")]
    ssl_protocol: Option<Versions>,
    /// OpenSSL's names of cipher suites, with colons between them
    #[arg(long, value_name = "NAMES", value_parser = parse_ciphers)]
    ssl_ciphers: Option<Ciphers>,
    /// Ask clients for a certificate of an authority in --ssl-ca
    #[arg(long, action = ArgAction::SetTrue, requires = "ssl_ca")]
    ssl_request_cert: bool,
    /// Authorities of clients' certificates, in PEM
    #[arg(long, value_name = "FILE", value_parser = parse_path, requires = "ssl_request_cert")]
    ssl_ca: Option<PathBuf>,
    /// Do not serve clients without a certificate
    #[arg(long, action = ArgAction::SetTrue, requires = "ssl_request_cert")]
    ssl_reject_unauthorized: bool,
    /// Port without TLS that sends everybody to HTTPS, but for challenges of an ACME authority, which are routed
    #[arg(long, value_name = "PORT")]
    redirect_port: Option<u16>,
    /// Port of HTTPS that --redirect-port sends to [default: --port]
    #[arg(long, value_name = "PORT", requires = "redirect_port")]
    redirect_to: Option<u16>,
    /// Tell browsers to use HTTPS only, for so many seconds (Strict-Transport-Security)
    #[arg(long, value_name = "SECONDS", requires = "ssl_cert")]
    hsts: Option<u64>,
    /// Tell them so for all subdomains
    #[arg(long, requires = "hsts")]
    hsts_include_subdomains: bool,
}

/// TLS towards the hub.
#[derive(Debug, Args)]
#[command(next_help_heading = "TLS of the REST API")]
pub(super) struct ApiTlsArgs {
    /// Private key in PEM; closed to others
    #[arg(long, value_name = "FILE", value_parser = parse_path, requires = "api_ssl_cert")]
    api_ssl_key: Option<PathBuf>,
    /// Certificate in PEM with its chain. Read again when it changes
    #[arg(long, value_name = "FILE", value_parser = parse_path, conflicts_with = "api_socket")]
    api_ssl_cert: Option<PathBuf>,
    /// Authorities of programs' certificates, in PEM
    #[arg(long, value_name = "FILE", value_parser = parse_path, requires = "api_ssl_cert")]
    api_ssl_ca: Option<PathBuf>,
    /// Ask programs for a certificate of an authority in --api-ssl-ca
    #[arg(long, action = ArgAction::SetTrue, requires = "api_ssl_ca")]
    api_ssl_request_cert: bool,
    /// Do not serve programs without a certificate
    #[arg(long, action = ArgAction::SetTrue, requires = "api_ssl_request_cert")]
    api_ssl_reject_unauthorized: bool,
}

impl ApiTlsArgs {
    pub(super) fn config(&self) -> Option<ApiTls> {
        let files = files(self.api_ssl_cert.as_ref(), self.api_ssl_key.as_ref())?;
        let client_certificates =
            client_certificates(self.api_ssl_ca.as_ref(), self.api_ssl_request_cert, self.api_ssl_reject_unauthorized);
        Some(ApiTls { files, client_certificates })
    }
}

/// TLS towards targets whose address begins with `https`.
#[derive(Debug, Args)]
#[command(next_help_heading = "TLS towards targets (https://)")]
pub(super) struct TargetTlsArgs {
    /// The proxy's own private key in PEM, for targets that ask who comes
    #[arg(long, value_name = "FILE", value_parser = parse_path, requires = "client_ssl_cert")]
    client_ssl_key: Option<PathBuf>,
    /// The proxy's own certificate in PEM
    #[arg(long, value_name = "FILE", value_parser = parse_path)]
    client_ssl_cert: Option<PathBuf>,
    /// Authorities that are believed, in PEM [default: those of the system]
    #[arg(long, value_name = "FILE", value_parser = parse_path)]
    client_ssl_ca: Option<PathBuf>,
    /// Taken as configurable-http-proxy takes it: it changes nothing towards targets
    #[arg(long, hide = true, action = ArgAction::SetTrue)]
    client_ssl_request_cert: bool,
    /// Taken as configurable-http-proxy takes it: targets are always held to their certificates but with --insecure
    #[arg(long, hide = true, action = ArgAction::SetTrue)]
    client_ssl_reject_unauthorized: bool,
    /// Believe whoever answers
    #[arg(long, action = ArgAction::SetTrue)]
    insecure: bool,
}

impl TargetTlsArgs {
    pub(super) fn config(&self) -> TargetTls {
        TargetTls {
            authorities: self.client_ssl_ca.clone(),
            certificate: files(self.client_ssl_cert.as_ref(), self.client_ssl_key.as_ref()),
            insecure: self.insecure,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum MinVersion {
    #[value(name = "1.2")]
    Tls12,
    #[value(name = "1.3")]
    Tls13,
}

/// The oldest version, and the newest if there is a limit.
#[derive(Debug, Clone, Copy)]
struct Versions(TlsVersion, Option<TlsVersion>);

#[derive(Debug, Clone)]
struct Ciphers(Vec<CipherSuite>);

impl TlsArgs {
    pub(super) fn files(&self) -> Option<TlsFiles> {
        files(self.ssl_cert.as_ref(), self.ssl_key.as_ref())
    }

    /// # Errors
    /// If what was chosen leaves nothing to speak.
    pub(super) fn options(&self) -> Result<TlsOptions, String> {
        let min_version = match self.ssl_min_version {
            MinVersion::Tls12 => TlsVersion::Tls12,
            MinVersion::Tls13 => TlsVersion::Tls13,
        };
        let Versions(min_version, max_version) = self.ssl_protocol.unwrap_or(Versions(min_version, None));
        let client_certificates =
            client_certificates(self.ssl_ca.as_ref(), self.ssl_request_cert, self.ssl_reject_unauthorized);
        let options = TlsOptions {
            min_version,
            max_version,
            sni_directory: self.ssl_sni_dir.clone(),
            client_certificates,
            cipher_suites: self.ssl_ciphers.as_ref().map(|ciphers| ciphers.0.clone()),
        };
        if options.has_suites() {
            Ok(options)
        } else {
            Err("--ssl-ciphers names no suite of the versions that are left; name one, or remove the option".to_owned())
        }
    }

    /// On the same address as HTTPS.
    pub(super) fn redirect(&self, ip: &str) -> Option<Redirect> {
        self.redirect_port.map(|port| Redirect { bind: Bind::Tcp(ip.to_owned(), port), to: self.redirect_to })
    }

    pub(super) fn hsts(&self) -> Option<Hsts> {
        self.hsts.map(|max_age| Hsts { max_age, include_subdomains: self.hsts_include_subdomains })
    }
}

fn files(certificate: Option<&PathBuf>, key: Option<&PathBuf>) -> Option<TlsFiles> {
    certificate.map(|certificate| TlsFiles { certificate: certificate.clone(), key: key.cloned() })
}

/// What those who connect are asked for, if they are.
fn client_certificates(authorities: Option<&PathBuf>, is_asked: bool, required: bool) -> Option<ClientCertificates> {
    let authorities = authorities.filter(|_| is_asked)?.clone();
    Some(ClientCertificates { authorities, required })
}

/// An empty path is not the same as none (S48).
fn parse_path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        Err("an empty value turns nothing off; remove the option".to_owned())
    } else {
        Ok(text.into())
    }
}

fn parse_protocol(text: &str) -> Result<Versions, String> {
    let name = text.strip_suffix("_method").unwrap_or(text);
    match name.strip_suffix("_server").unwrap_or(name) {
        "TLS" | "SSLv23" => Ok(Versions(TlsVersion::Tls12, None)),
        "TLSv1_2" => Ok(Versions(TlsVersion::Tls12, Some(TlsVersion::Tls12))),
        "TLSv1_3" => Ok(Versions(TlsVersion::Tls13, None)),
        _ => Err("only TLS 1.2 and 1.3 are spoken; remove the option, or use --ssl-min-version 1.3".to_owned()),
    }
}

fn parse_ciphers(text: &str) -> Result<Ciphers, String> {
    cipher_suites(text).map(Ciphers).map_err(|error| error.to_string())
}
