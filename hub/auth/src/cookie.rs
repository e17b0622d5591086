//! Cookies: values signed as Tornado signs them (its version 2), and the texts of `Set-Cookie` and `Cookie`.
//!
//! A signed value is `2|1:0|10:<unix time>|<length>:<name>|<length>:<value in base64>|<HMAC-SHA256 in hex>`. The second
//! field is the version of the key, which lets a secret rotate without a logout: sign with the newest, accept others.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice};
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, fmt};

pub const DAY: i64 = 86_400;

/// The cookie of a login at the hub (S58); its value is `users.cookie_id`, signed.
pub const LOGIN: &str = "jupyterhub-hub-login";
/// The cookie that ties a browser's OAuth tokens together for logout (S70); its value is random and not signed.
pub const SESSION_ID: &str = "jupyterhub-session-id";

/// Begins the name of a cookie that only the host itself can set (`__Host-` of RFC 6265bis): browsers refuse one that has
/// a `Domain`, another path than `/`, or no TLS, so that no page of a neighbouring host can slip it in.
pub const HOST_PREFIX: &str = "__Host-";

/// The secrets that cookies are signed with, by version.
#[derive(Clone, Debug)]
pub struct Keys {
    current: u32,
    secrets: BTreeMap<u32, SecretSlice<u8>>,
}

impl Keys {
    /// Keys that sign, and accept, with one secret. JupyterHub's own has version 0.
    pub fn new(version: u32, secret: &[u8]) -> Self {
        Self { current: version, secrets: BTreeMap::from([(version, secret.to_vec().into())]) }
    }

    /// Also accepts what was signed with this secret. The version that signs cannot be replaced.
    #[must_use]
    pub fn accept(mut self, version: u32, secret: &[u8]) -> Self {
        self.secrets.entry(version).or_insert_with(|| secret.to_vec().into());
        self
    }

    /// What tells the secret that signs from others. Whoever reads it learns nothing of the secret, so it may be stored.
    pub fn fingerprint(&self) -> String {
        self.fingerprint_of(self.current)
    }

    /// Whether any of the secrets has this fingerprint. If none has, the secret was reset and not rotated (S60).
    pub fn has_fingerprint(&self, fingerprint: &str) -> bool {
        self.secrets.keys().any(|version| self.fingerprint_of(*version) == fingerprint)
    }

    fn fingerprint_of(&self, version: u32) -> String {
        let mut mac = self.mac(version).expect("only versions that are among the keys are asked for");
        mac.update(b"fingerprint of a cookie secret");
        hex::encode(&mac.finalize().into_bytes()[..16])
    }

    /// What tells one secret from another without telling either: it can be guessed only by who has these keys, too.
    pub fn seal(&self, secret: &[u8]) -> String {
        self.seal_of(self.current, secret)
    }

    /// Whether the seal is of this secret, made with any of the keys.
    pub fn is_seal_of(&self, seal: &str, secret: &[u8]) -> bool {
        self.secrets.keys().any(|version| self.seal_of(*version, secret) == seal)
    }

    fn seal_of(&self, version: u32, secret: &[u8]) -> String {
        let mut mac = self.mac(version).expect("only versions that are among the keys are asked for");
        mac.update(b"seal of a secret: ");
        mac.update(secret);
        hex::encode(mac.finalize().into_bytes())
    }

    fn mac(&self, version: u32) -> Option<Hmac<Sha256>> {
        let secret = self.secrets.get(&version)?;
        Some(Hmac::new_from_slice(secret.expose_secret()).expect("HMAC takes keys of any length"))
    }
}

/// Signs a value for the cookie `name` at `now`, in seconds since 1970.
pub fn sign(keys: &Keys, name: &str, value: &[u8], now: i64) -> String {
    let version = keys.current;
    let value = STANDARD.encode(value);
    let signed = [
        "2".to_owned(),
        field(&version.to_string()),
        field(&now.to_string()),
        field(name),
        field(&value),
        String::new(),
    ]
    .join("|");
    let mut mac = keys.mac(version).expect("the current version is always among the keys");
    mac.update(signed.as_bytes());
    format!("{signed}{}", hex::encode(mac.finalize().into_bytes()))
}

fn field(value: &str) -> String {
    format!("{}:{value}", value.len())
}

/// The value that was signed for `name` no longer than `max_age` seconds ago with one of the keys; `None` if it wasn't.
pub fn verify(keys: &Keys, name: &str, signed: &str, max_age: i64, now: i64) -> Option<Vec<u8>> {
    let (version, rest) = take_field(signed.strip_prefix("2|")?)?;
    let (time, rest) = take_field(rest)?;
    let (signed_name, rest) = take_field(rest)?;
    let (value, signature) = take_field(rest)?;

    // The signature comes first: nothing of what follows says anything about a value that isn't ours.
    let mut mac = keys.mac(version.parse().ok()?)?;
    mac.update(&signed.as_bytes()[..signed.len() - signature.len()]);
    mac.verify_slice(&hex::decode(signature).ok()?).ok()?;

    let fresh = time.parse::<i64>().ok()? >= now.saturating_sub(max_age);
    if signed_name != name || !fresh {
        return None;
    }
    STANDARD.decode(value).ok()
}

/// What tells a signed value from every other one, also of the same value and name. It opens nothing, so it may be
/// stored. The text of a signature can be written in two ways, in upper and lower case: both are one.
pub fn digest(signed: &str) -> String {
    let signature = signed.rsplit('|').next().unwrap_or_default().to_ascii_lowercase();
    hex::encode(Sha256::digest(signature))
}

/// Takes `<length>:<value>|` off the front.
fn take_field(text: &str) -> Option<(&str, &str)> {
    let (length, rest) = text.split_once(':')?;
    let value = rest.get(..length.parse().ok()?)?;
    Some((value, rest[value.len()..].strip_prefix('|')?))
}

/// A `Set-Cookie` header, written with [`fmt::Display`] as Tornado writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetCookie {
    name: String,
    value: String,
    domain: Option<String>,
    path: String,
    expires: Option<i64>,
    max_age: Option<i64>,
    http_only: bool,
    secure: bool,
}

impl SetCookie {
    /// A cookie for the session, readable by scripts, until more is said. One with the [`HOST_PREFIX`] is Secure and on
    /// `/`, whatever else is said: browsers drop any other.
    pub fn new(name: impl Into<String>, value: impl Into<String>, path: impl Into<String>) -> Self {
        let name = name.into();
        let host_only = name.starts_with(HOST_PREFIX);
        Self {
            name,
            value: value.into(),
            domain: None,
            path: if host_only { "/".to_owned() } else { path.into() },
            expires: None,
            max_age: None,
            http_only: false,
            secure: host_only,
        }
    }

    /// Takes a cookie away. `now` is in seconds since 1970.
    pub fn clear(name: impl Into<String>, path: impl Into<String>, now: i64) -> Self {
        Self::new(name, "", path).expires(now - 365 * DAY)
    }

    /// The host whose subdomains get it, too; without one it is its own host's only.
    #[must_use]
    pub fn domain(mut self, domain: Option<&str>) -> Self {
        self.domain = domain.map(str::to_owned);
        self
    }

    /// When the browser forgets it, in seconds since 1970.
    #[must_use]
    pub fn expires(mut self, at: i64) -> Self {
        self.expires = Some(at);
        self
    }

    /// After how many seconds the browser forgets it.
    #[must_use]
    pub fn max_age(mut self, seconds: i64) -> Self {
        self.max_age = Some(seconds);
        self
    }

    /// Scripts cannot read it.
    #[must_use]
    pub fn http_only(mut self) -> Self {
        self.http_only = true;
        self
    }

    /// It is sent over HTTPS only, if `secure`.
    #[must_use]
    pub fn secure(mut self, secure: bool) -> Self {
        self.secure |= secure;
        self
    }
}

impl fmt::Display for SetCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, quote(&self.value))?;
        if let Some(domain) = &self.domain {
            write!(f, "; Domain={domain}")?;
        }
        if let Some(date) = self.expires.and_then(http_date) {
            write!(f, "; expires={date}")?;
        }
        if self.http_only {
            f.write_str("; HttpOnly")?;
        }
        if let Some(seconds) = self.max_age {
            write!(f, "; Max-Age={seconds}")?;
        }
        // Lax, not Strict: a link from elsewhere must find the person logged in.
        write!(f, "; Path={}; SameSite=Lax", self.path)?;
        if self.secure {
            f.write_str("; Secure")?;
        }
        Ok(())
    }
}

/// `Tue, 24 Nov 2026 12:39:09 GMT`; `None` for a time that has no such text.
fn http_date(seconds: i64) -> Option<String> {
    let time = jiff::Timestamp::from_second(seconds).ok()?;
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time).ok()
}

/// Quotes a value if it holds anything but letters, digits and a few signs; what could end it becomes `\` and octal.
fn quote(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:".contains(&byte);
    if !value.is_empty() && value.bytes().all(plain) {
        return value.to_owned();
    }
    let mut quoted = String::from('"');
    for byte in value.bytes() {
        match byte {
            b'"' | b'\\' => quoted.extend(['\\', char::from(byte)]),
            _ if plain(byte) || b" ()/<=>?@[]{}".contains(&byte) => quoted.push(char::from(byte)),
            _ => quoted.push_str(&format!("\\{byte:03o}")),
        }
    }
    quoted.push('"');
    quoted
}

/// Every value that a `Cookie` header has for `name`, in its order and unquoted. Browsers send several of one name when
/// cookies of several paths apply.
pub fn values<'a>(header: &'a str, name: &'a str) -> impl Iterator<Item = String> + 'a {
    pairs(header).filter(move |(found, _)| *found == name).map(|(_, value)| unquote(value))
}

/// Every name that begins with `prefix`, each with its value, in the order of a `Cookie` header.
pub fn values_by_prefix<'a>(header: &'a str, prefix: &'a str) -> impl Iterator<Item = (&'a str, String)> + 'a {
    pairs(header).filter(move |(found, _)| found.starts_with(prefix)).map(|(name, value)| (name, unquote(value)))
}

fn pairs(header: &str) -> impl Iterator<Item = (&str, &str)> {
    header.split(';').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (name.trim(), value.trim()))
}

/// The first value that a `Cookie` header has for `name`.
pub fn value(header: &str, name: &str) -> Option<String> {
    values(header, name).next()
}

fn unquote(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return value.to_owned();
    };
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = match (first, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                after
            }
            (b'\\', [escaped, after @ ..]) => {
                bytes.push(*escaped);
                after
            }
            _ => {
                bytes.push(*first);
                tail
            }
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests;
