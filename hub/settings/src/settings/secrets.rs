//! The cookie secret and the proxy's token, and which of the places they may stand in counts: a setting, then a variable.

use hub_traitlets::{Found, Value};
use secrecy::{SecretSlice, SecretString};
use std::path::PathBuf;

use super::{HUB, PROXY, addresses::host_and_port};
use crate::reader::{Reader, SettingsError, unusable};

/// The proxy's token, where hub and proxy see it (S53, S54).
pub const PROXY_TOKEN_VARIABLE: &str = "CONFIGPROXY_AUTH_TOKEN";
/// The cookie secret, for the hub only (S83).
pub const COOKIE_SECRET_VARIABLE: &str = "JPY_COOKIE_SECRET";
/// A longer cookie secret is no better.
const COOKIE_SECRET_BYTES: usize = 32;

/// Where the cookie secret is: setting, then environment, then file (S80 to S84).
#[derive(Debug)]
pub enum CookieSecretPlace {
    /// It stands in a setting or a variable, of this name.
    Value { secret: SecretSlice<u8>, place: String },
    /// A file that is made if it isn't there; without a name the usual one.
    File(Option<PathBuf>),
}

/// A secret, and where it stands.
#[derive(Debug, Clone)]
pub struct PlacedSecret {
    pub secret: SecretString,
    pub place: String,
}

/// The proxy, as JupyterHub's `ConfigurableHTTPProxy` is told of it.
#[derive(Debug)]
pub struct Proxy {
    /// What hub and proxy agree upon (S49), unless one is to be made (S55).
    pub token: Option<PlacedSecret>,
    /// Where its REST API is, if it is said.
    pub api: Option<(String, u16)>,
    /// The hub starts it and ends it.
    pub should_start: bool,
    /// What starts it; without one our own.
    pub command: Option<Vec<String>>,
    pub pid_file: PathBuf,
    /// In the words of its command line.
    pub log_level: String,
    /// Addresses of what stands in front of it: only they are believed when they say whom they forward for.
    pub trusted: Option<Vec<String>>,
}

impl Proxy {
    pub(super) fn read(reader: &Reader<'_>) -> Result<Self, SettingsError> {
        let token = token(reader)?;
        let should_start = reader.find(PROXY, "should_start");
        let is_started = should_start.map(|found| found.bool()).transpose()?.unwrap_or(true);
        if let (None, false, Some(found)) = (&token, is_started, should_start) {
            let remedy = format!(
                "the proxy's token is missing; set ConfigurableHTTPProxy.auth_token or the variable {PROXY_TOKEN_VARIABLE} to \
                 that of the proxy that runs"
            );
            return Err(unusable(&found, remedy));
        }
        let level = reader.string(PROXY, "log_level")?.unwrap_or_else(|| "info".to_owned()).to_lowercase();
        let debug = reader.read(PROXY, "debug", Found::bool)?.unwrap_or(false);
        Ok(Self {
            token,
            api: host_and_port(reader, PROXY, "api_url", 8001)?,
            should_start: is_started,
            command: reader.command(PROXY, "command")?.filter(|command| !command.is_empty()),
            pid_file: reader.string(PROXY, "pid_file")?.unwrap_or_else(|| "jupyterhub-proxy.pid".to_owned()).into(),
            log_level: if debug { "debug".to_owned() } else { level },
            trusted: reader.read(HUB, "trusted_downstream_ips", Found::strings)?,
        })
    }
}

/// The page calls it `api_token` (S52), JupyterHub `auth_token`. A setting goes before the environment.
fn token(reader: &Reader<'_>) -> Result<Option<PlacedSecret>, SettingsError> {
    const WORD: &str = "write one word of visible characters; make it with `openssl rand -hex 32`";
    let is_word = |token: &str| token.bytes().all(|byte| byte.is_ascii_graphic());
    let (auth_token, api_token) = (reader.text(PROXY, "auth_token")?, reader.text(PROXY, "api_token")?);
    if let Some((found, token)) = auth_token.or(api_token) {
        if !is_word(&token) {
            return Err(unusable(&found, WORD));
        }
        let place = format!("{} from {}", found.name(), found.origin);
        return Ok(Some(PlacedSecret { secret: token.into(), place }));
    }
    let Some(token) = reader.variable(PROXY_TOKEN_VARIABLE) else { return Ok(None) };
    if !is_word(token) {
        return Err(SettingsError::Variable { name: PROXY_TOKEN_VARIABLE, remedy: WORD });
    }
    Ok(Some(PlacedSecret { secret: token.into(), place: format!("the variable {PROXY_TOKEN_VARIABLE}") }))
}

/// S80 to S84.
pub(super) fn cookie_secret(
    reader: &Reader<'_>,
    warnings: &mut Vec<String>,
) -> Result<CookieSecretPlace, SettingsError> {
    const DIGITS: &str = "it must be an even number of hexadecimal digits; make it with `openssl rand -hex 32`";
    let file = reader.text(HUB, "cookie_secret_file")?.map(|(_, file)| PathBuf::from(file));
    let (secret, place) = if let Some(found) = reader.find(HUB, "cookie_secret") {
        let secret = match found.value {
            Value::Bytes(bytes) => bytes.clone(),
            _ => hex::decode(found.string()?).map_err(|_| unusable(&found, DIGITS))?,
        };
        if secret.is_empty() {
            return Err(unusable(&found, "it is empty; remove the line to have a secret made and kept in a file"));
        }
        (secret, format!("{} from {}", found.name(), found.origin))
    } else if let Some(digits) = reader.variable(COOKIE_SECRET_VARIABLE) {
        let wrong = |_| SettingsError::Variable { name: COOKIE_SECRET_VARIABLE, remedy: DIGITS };
        (hex::decode(digits).map_err(wrong)?, format!("the variable {COOKIE_SECRET_VARIABLE}"))
    } else {
        return Ok(CookieSecretPlace::File(file));
    };
    if secret.len() > COOKIE_SECRET_BYTES {
        warnings.push(format!(
            "the cookie secret, {place}, is longer than {COOKIE_SECRET_BYTES} bytes, which makes it no better"
        ));
    }
    Ok(CookieSecretPlace::Value { secret: secret.into(), place })
}
