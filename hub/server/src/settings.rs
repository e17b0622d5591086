//! What a server is told: files, flags and environment, read as the traits that `jupyter server` has. Pure.

use hub_auth::{password::PasswordHash, token::new_login_token};
use hub_proxy::TlsFiles;
use hub_traitlets::{Config, Error, Found, Origin, Value, Variables};
use regex::Regex;
use std::{collections::BTreeMap, fmt::Display, path::PathBuf};

use crate::{credentials::Login, hosts::Hosts};

/// As `jupyter server` has it.
pub(crate) const DEFAULT_PORT: u16 = 8888;
const DEFAULT_RETRIES: u16 = 50;

type Names = &'static [(&'static str, &'static str)];

// Where traits have several names, the one that counts comes first. Those of `ServerApp` are the older ones; the page
// itself uses them.
const TOKEN: Names = &[("PasswordIdentityProvider", "token"), ("IdentityProvider", "token"), ("ServerApp", "token")];
const PASSWORD: Names = &[
    ("PasswordIdentityProvider", "hashed_password"),
    ("IdentityProvider", "hashed_password"),
    ("ServerApp", "password"),
];
const PASSWORD_REQUIRED: Names = &[
    ("PasswordIdentityProvider", "password_required"),
    ("IdentityProvider", "password_required"),
    ("ServerApp", "password_required"),
];
const PASSWORD_CHANGE: Names = &[
    ("PasswordIdentityProvider", "allow_password_change"),
    ("IdentityProvider", "allow_password_change"),
    ("ServerApp", "allow_password_change"),
];
const COOKIE_NAME: Names = &[("PasswordIdentityProvider", "cookie_name"), ("IdentityProvider", "cookie_name")];
const SECURE_COOKIE: Names = &[("PasswordIdentityProvider", "secure_cookie"), ("IdentityProvider", "secure_cookie")];
const ROOT_DIR: Names = &[("ServerApp", "root_dir"), ("ServerApp", "notebook_dir")];

/// The settings of `jupyter server` that the front carries out itself; all others are the program's.
const OWN: [(&str, &[&str]); 3] = [
    ("PasswordIdentityProvider", PROVIDER),
    ("IdentityProvider", PROVIDER),
    (
        "ServerApp",
        &[
            "allow_password_change",
            "allow_remote_access",
            "base_url",
            "browser",
            "certfile",
            "cookie_secret",
            "cookie_secret_file",
            "custom_display_url",
            "ip",
            "keyfile",
            "local_hostnames",
            "notebook_dir",
            "open_browser",
            "password",
            "password_required",
            "port",
            "port_retries",
            "root_dir",
            "token",
        ],
    ),
];
const PROVIDER: &[&str] =
    &["allow_password_change", "cookie_name", "hashed_password", "password_required", "secure_cookie", "token"];

/// Why a server doesn't start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error(transparent)]
    Setting(#[from] Error),
    #[error("failed to use {name} from {origin}: {remedy}")]
    Value { name: String, origin: Origin, remedy: String },
    #[error("the environment variable {name} is {value:?}; {remedy}")]
    Variable { name: &'static str, value: String, remedy: &'static str },
    #[error(
        "JUPYTER_TOKEN_FILE names a file without a token; write one into it, or leave the variable out to have a token made"
    )]
    EmptyTokenFile,
    #[error("a password is required by password_required and there is none; set one with `hub server password`")]
    PasswordRequired,
}

/// All that a server is told.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Where to listen; empty means all interfaces.
    pub(crate) ip: String,
    pub(crate) port: u16,
    /// How many further ports are tried if one is taken.
    pub(crate) port_retries: u16,
    /// With a slash at both ends.
    pub(crate) base_url: String,
    pub(crate) root_dir: PathBuf,
    pub(crate) login: Login,
    pub(crate) hosts: Hosts,
    pub(crate) cookie_name: Option<String>,
    pub(crate) secure_cookie: Option<bool>,
    pub(crate) cookie_secret: CookieSecret,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) open_browser: bool,
    /// The browser's command, if it is not the one that the environment names.
    pub(crate) browser: Option<String>,
    /// What is shown in place of the server's own address.
    pub(crate) display_url: Option<String>,
    /// Flags for the program: settings from the command line that are not the front's own.
    pub(crate) program_flags: Vec<String>,
}

/// Where the secret that signs cookies comes from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CookieSecret {
    Value(Vec<u8>),
    /// Made if it isn't there; without a path in Jupyter's runtime directory.
    File(Option<PathBuf>),
}

/// What settings are read from, beside files and flags.
pub(crate) struct Surroundings<'a> {
    pub(crate) variables: &'a Variables,
    pub(crate) current_dir: PathBuf,
    /// What the file of `JUPYTER_TOKEN_FILE` holds.
    pub(crate) token_file: Option<String>,
    /// For a token, should one be made.
    pub(crate) random: [u8; 24],
}

impl Settings {
    /// # Errors
    /// A setting that can't be used. It is named, with the remedy.
    pub(crate) fn read(config: &Config, surroundings: &Surroundings<'_>) -> Result<Self, SettingsError> {
        let server = |name| config.get("ServerApp", name);
        let ip = match read(server("ip"), Found::string)?.as_deref() {
            Some("*") => String::new(),
            Some(ip) => ip.to_owned(),
            None => "localhost".to_owned(),
        };
        let port =
            read(server("port"), Found::int)?.map_or_else(|| number(surroundings, "JUPYTER_PORT"), |p| Ok(Some(p)));
        let retries = read(server("port_retries"), Found::int)?;
        let retries = retries.map_or_else(|| number(surroundings, "JUPYTER_PORT_RETRIES"), |retries| Ok(Some(retries)));
        let root_dir = read(first(config, ROOT_DIR).and_then(Found::not_none), Found::string)?;
        let root_dir = root_dir.filter(|dir| !dir.is_empty());
        Ok(Self {
            hosts: hosts(config, &ip)?,
            ip,
            port: port?.unwrap_or(DEFAULT_PORT),
            port_retries: retries?.unwrap_or(DEFAULT_RETRIES),
            base_url: base_url(config)?,
            root_dir: root_dir.map_or(surroundings.current_dir.clone(), |dir| surroundings.current_dir.join(dir)),
            login: login(config, surroundings)?,
            cookie_name: read(first(config, COOKIE_NAME), Found::string)?.filter(|name| !name.is_empty()),
            secure_cookie: read(first(config, SECURE_COOKIE).and_then(Found::not_none), Found::bool)?,
            cookie_secret: cookie_secret(config)?,
            tls: tls(config)?,
            open_browser: read(server("open_browser"), Found::bool)?.unwrap_or(false),
            browser: read(server("browser"), Found::string)?.filter(|browser| !browser.is_empty()),
            display_url: read(server("custom_display_url"), Found::string)?.filter(|url| !url.is_empty()),
            program_flags: program_flags(config),
        })
    }
}

fn read<'a, T>(
    found: Option<Found<'a>>,
    reader: impl FnOnce(&Found<'a>) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    found.map(|found| reader(&found)).transpose()
}

/// What a setting of several names is set to. On a command line each name counts before files, as in `jupyter server`.
fn first<'a>(config: &'a Config, names: Names) -> Option<Found<'a>> {
    let mut set = names.iter().filter_map(|(class, name)| config.get(class, name));
    set.find(|found| *found.origin == Origin::CommandLine).or_else(|| config.get_first(names))
}

/// A setting of the right type that can't be used.
fn unusable(found: &Found<'_>, remedy: impl Display) -> SettingsError {
    SettingsError::Value { name: found.name(), origin: found.origin.clone(), remedy: remedy.to_string() }
}

fn number(surroundings: &Surroundings<'_>, name: &'static str) -> Result<Option<u16>, SettingsError> {
    let Some(value) = surroundings.variables.get(name).filter(|value| !value.is_empty()) else { return Ok(None) };
    let remedy = "write a number up to 65535, or leave it out";
    value.parse().map(Some).map_err(|_| SettingsError::Variable { name, value: value.clone(), remedy })
}

/// The base URL with a slash at both ends.
fn base_url(config: &Config) -> Result<String, SettingsError> {
    let Some(found) = config.get("ServerApp", "base_url") else { return Ok("/".to_owned()) };
    let text = found.string()?;
    if text.chars().any(|c| c.is_control() || c.is_whitespace() || "?#\\\"<>;".contains(c)) {
        return Err(unusable(&found, "write a path such as /notebooks/, with other characters percent-encoded"));
    }
    Ok(match text.trim_matches('/') {
        "" => "/".to_owned(),
        inner => format!("/{inner}/"),
    })
}

/// Token and password, and which of them are on (S2, S3, S8, S24). Both empty switch authentication off; one that is
/// empty alone says nothing.
fn login(config: &Config, surroundings: &Surroundings<'_>) -> Result<Login, SettingsError> {
    let token = read(first(config, TOKEN).and_then(Found::not_none), Found::string)?;
    let password = first(config, PASSWORD).and_then(Found::not_none);
    let hash = read(password, Found::string)?;
    if let (Some(found), Some(hash)) = (password, hash.as_deref().filter(|hash| !hash.is_empty())) {
        PasswordHash::parse(hash).map_err(|error| unusable(&found, error))?;
    }
    let required = read(first(config, PASSWORD_REQUIRED), Found::bool)?.unwrap_or(false);
    if required && hash.as_deref().unwrap_or_default().is_empty() {
        return Err(SettingsError::PasswordRequired);
    }
    let is_open = token.as_deref() == Some("") && hash.as_deref() == Some("");
    let hash = hash.filter(|hash| !hash.is_empty());
    let token = match token.filter(|token| !token.is_empty()) {
        Some(token) => Some(token),
        None if is_open => None,
        None => environment_token(surroundings)?,
    };
    let allow_password_change = read(first(config, PASSWORD_CHANGE), Found::bool)?.unwrap_or(true);
    let is_generated = token.is_none() && hash.is_none() && !is_open;
    let token = match is_generated {
        true => Some(new_login_token(surroundings.random)),
        false => token.map(Into::into),
    };
    Ok(Login { token, is_generated, password: hash, allow_password_change })
}

fn environment_token(surroundings: &Surroundings<'_>) -> Result<Option<String>, SettingsError> {
    let token = surroundings.variables.get("JUPYTER_TOKEN").filter(|token| !token.is_empty());
    match (token, &surroundings.token_file) {
        (Some(token), _) => Ok(Some(token.clone())),
        (None, Some(text)) if text.trim().is_empty() => Err(SettingsError::EmptyTokenFile),
        (None, text) => Ok(text.as_ref().map(|text| text.trim().to_owned())),
    }
}

fn hosts(config: &Config, ip: &str) -> Result<Hosts, SettingsError> {
    let server = |name| config.get("ServerApp", name);
    let pattern = server("allow_origin_pat");
    let pattern = match read(pattern, Found::string)?.filter(|text| !text.is_empty()).zip(pattern) {
        Some((text, found)) => {
            Some(Regex::new(&text).map_err(|_| unusable(&found, "write a regular expression without look-around"))?)
        }
        None => None,
    };
    Ok(Hosts {
        allow_origin: read(server("allow_origin"), Found::string)?.unwrap_or_default(),
        allow_origin_pat: pattern,
        allow_remote_access: read(server("allow_remote_access"), Found::bool)?.unwrap_or(!is_loopback(ip)),
        local_hostnames: read(server("local_hostnames"), Found::strings)?
            .unwrap_or_else(|| vec!["localhost".to_owned()]),
    })
}

/// Whether only this machine reaches what listens there.
fn is_loopback(ip: &str) -> bool {
    ip.eq_ignore_ascii_case("localhost") || ip.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

fn cookie_secret(config: &Config) -> Result<CookieSecret, SettingsError> {
    if let Some(found) = config.get("ServerApp", "cookie_secret") {
        let secret = found.bytes()?;
        if !secret.is_empty() {
            return Ok(CookieSecret::Value(secret));
        }
    }
    let file = read(config.get("ServerApp", "cookie_secret_file"), Found::string)?.filter(|file| !file.is_empty());
    Ok(CookieSecret::File(file.map(PathBuf::from)))
}

/// The certificate; its file may hold the key, too (S39).
fn tls(config: &Config) -> Result<Option<TlsFiles>, SettingsError> {
    let file = |name| read(config.get("ServerApp", name), Found::string).map(|file| file.filter(|f| !f.is_empty()));
    let (certificate, key) = (file("certfile")?, file("keyfile")?);
    match (certificate, key, config.get("ServerApp", "keyfile")) {
        (None, Some(_), Some(found)) => {
            Err(unusable(&found, "the certificate is missing; set ServerApp.certfile (--certfile), too"))
        }
        (certificate, key, _) => {
            Ok(certificate.map(|certificate| TlsFiles { certificate: certificate.into(), key: key.map(PathBuf::from) }))
        }
    }
}

/// Settings from the command line that the program is to have, as flags again. It reads the files itself.
fn program_flags(config: &Config) -> Vec<String> {
    let own: BTreeMap<_, _> = OWN.into_iter().collect();
    let is_own = |found: &Found<'_>| own.get(found.class).is_some_and(|traits| traits.contains(&found.trait_name));
    let settings = config.iter().filter(|found| !is_own(found));
    let texts = settings.filter_map(|found| match found.value {
        Value::Text(texts) => Some(texts.iter().map(move |text| format!("--{}={text}", found.name()))),
        _ => None,
    });
    texts.flatten().collect()
}
