//! What `hub local` is told: the file that `--config` names, in traitlets' names, then flags, then the environment. Pure.

use hub_proxy::TlsFiles;
use hub_traitlets::{Config, Found, Value, Variables};
use secrecy::{SecretSlice, SecretString};
use std::{net::Ipv4Addr, path::PathBuf};
use url::Url;

/// Every setting that is known; any other is an error.
const KNOWN: [(&str, &[&str]); 2] = [
    (HUB, &["bind_url", "cookie_secret", "cookie_secret_file", "ip", "port", "ssl_cert", "ssl_key"]),
    (PROXY, &["api_token", "api_url", "auth_token"]),
];
pub(super) const HUB: &str = "JupyterHub";
const PROXY: &str = "ConfigurableHTTPProxy";
/// The proxy's token, where hub and proxy see it (S53, S54).
const PROXY_TOKEN_VARIABLE: &str = "CONFIGPROXY_AUTH_TOKEN";
/// The cookie secret, for the hub only (S83).
const COOKIE_SECRET_VARIABLE: &str = "JPY_COOKIE_SECRET";
/// A longer cookie secret is no better.
const COOKIE_SECRET_BYTES: usize = 32;

/// All that a hub on one machine is told.
#[derive(Debug)]
pub(super) struct Settings {
    /// Where people reach it; empty means all interfaces.
    pub ip: String,
    pub port: u16,
    pub tls: Option<TlsFiles>,
    pub cookie_secret: CookieSecretPlace,
    /// The proxy's token and where it stands, unless one is to be made.
    pub proxy_token: Option<(SecretString, String)>,
    /// Where the proxy's REST API is: on a free port of the loopback interface unless other programs are to use it.
    pub proxy_api: (String, u16),
}

/// Where the cookie secret is: setting, then environment, then file.
#[derive(Debug)]
pub(super) enum CookieSecretPlace {
    /// It stands in a setting or a variable, of this name.
    Value { secret: SecretSlice<u8>, place: String },
    /// A file that is made if it isn't there; without a name the one in the data directory.
    File(Option<PathBuf>),
}

impl Settings {
    /// Reads settings, of which those of flags are part.
    ///
    /// # Errors
    /// One isn't known or can't be used; says which, where it stands and what to write.
    pub(super) fn read(config: &Config, variables: &Variables) -> anyhow::Result<Self> {
        let unknown: Vec<_> = config.unknown(&KNOWN).iter().map(ToString::to_string).collect();
        anyhow::ensure!(unknown.is_empty(), "{}", unknown.join("\n"));
        let loopback = |port| (Ipv4Addr::LOCALHOST.to_string(), port);
        let (mut ip, mut port) = address(config, HUB, "bind_url", 8000)?.unwrap_or_else(|| loopback(8000));
        if let Some(found) = config.get(HUB, "ip") {
            ip = found.string()?;
        }
        if let Some(found) = config.get(HUB, "port") {
            port = found.int()?;
        }
        Ok(Self {
            ip: if ip == "*" { String::new() } else { ip },
            port,
            tls: tls(config)?,
            cookie_secret: cookie_secret(config, variables)?,
            proxy_token: proxy_token(config, variables)?,
            proxy_api: address(config, PROXY, "api_url", 8001)?.unwrap_or_else(|| loopback(0)),
        })
    }
}

fn unusable(found: &Found<'_>, remedy: &str) -> anyhow::Error {
    anyhow::anyhow!("failed to use {} from {}: {remedy}", found.name(), found.origin)
}

/// A setting that must say something if it is there at all (S48).
fn text<'a>(config: &'a Config, class: &str, name: &str) -> anyhow::Result<Option<(Found<'a>, String)>> {
    let Some(found) = config.get(class, name) else { return Ok(None) };
    let text = match found.not_none() {
        Some(found) => found.string()?,
        None => String::new(),
    };
    if text.is_empty() {
        return Err(unusable(&found, "None and an empty string are not the same as no setting; remove the line"));
    }
    Ok(Some((found, text)))
}

/// Where to listen: an address without a path, and the port that it has if it names none.
fn address(config: &Config, class: &str, name: &str, port: u16) -> anyhow::Result<Option<(String, u16)>> {
    let Some((found, text)) = text(config, class, name)? else { return Ok(None) };
    let such_as = format!("an address such as http://127.0.0.1:{port}");
    // All interfaces, as JupyterHub writes it.
    let url = Url::parse(&text.replace("://:", "://0.0.0.0:").replace("://*", "://0.0.0.0"));
    let url = url.ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
    let url = url.ok_or_else(|| unusable(&found, &format!("write {such_as}")))?;
    if url.path() != "/" {
        return Err(unusable(&found, &format!("a path is not possible here; write {such_as}")));
    }
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    Ok(Some((host, url.port().unwrap_or(port))))
}

/// Key and certificate (S37, S38). The certificate's file may hold the key, too (S39); the other way round nothing works.
fn tls(config: &Config) -> anyhow::Result<Option<TlsFiles>> {
    match (text(config, HUB, "ssl_cert")?, text(config, HUB, "ssl_key")?) {
        (Some((_, certificate)), key) => {
            Ok(Some(TlsFiles { certificate: certificate.into(), key: key.map(|(_, key)| key.into()) }))
        }
        (None, Some((found, _))) => Err(unusable(&found, "the certificate is missing; set JupyterHub.ssl_cert, too")),
        (None, None) => Ok(None),
    }
}

/// S80 to S84.
fn cookie_secret(config: &Config, variables: &Variables) -> anyhow::Result<CookieSecretPlace> {
    const DIGITS: &str = "it must be an even number of hexadecimal digits; make it with `openssl rand -hex 32`";
    if let Some(found) = config.get(HUB, "cookie_secret") {
        let secret = match found.value {
            Value::Bytes(bytes) => bytes.clone(),
            _ => hex::decode(found.string()?).map_err(|_| unusable(&found, DIGITS))?,
        };
        if secret.is_empty() {
            return Err(unusable(&found, "it is empty; remove the line to have a secret made and kept in a file"));
        }
        return Ok(cookie_secret_value(secret, format!("{} from {}", found.name(), found.origin)));
    }
    if let Some(digits) = variables.get(COOKIE_SECRET_VARIABLE).filter(|digits| !digits.is_empty()) {
        let secret =
            hex::decode(digits).map_err(|_| anyhow::anyhow!("failed to use {COOKIE_SECRET_VARIABLE}: {DIGITS}"))?;
        return Ok(cookie_secret_value(secret, format!("the variable {COOKIE_SECRET_VARIABLE}")));
    }
    Ok(CookieSecretPlace::File(text(config, HUB, "cookie_secret_file")?.map(|(_, file)| file.into())))
}

fn cookie_secret_value(secret: Vec<u8>, place: String) -> CookieSecretPlace {
    if secret.len() > COOKIE_SECRET_BYTES {
        tracing::warn!(place, "the cookie secret is longer than {COOKIE_SECRET_BYTES} bytes, which makes it no better");
    }
    CookieSecretPlace::Value { secret: secret.into(), place }
}

/// The page calls it `api_token` (S52), JupyterHub `auth_token`. A setting goes before the environment.
fn proxy_token(config: &Config, variables: &Variables) -> anyhow::Result<Option<(SecretString, String)>> {
    for name in ["auth_token", "api_token"] {
        if let Some((found, token)) = text(config, PROXY, name)? {
            if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(unusable(
                    &found,
                    "write one word of visible characters; make it with `openssl rand -hex 32`",
                ));
            }
            return Ok(Some((token.into(), format!("{} from {}", found.name(), found.origin))));
        }
    }
    let variable = variables.get(PROXY_TOKEN_VARIABLE).filter(|token| !token.is_empty());
    Ok(variable.map(|token| (token.clone().into(), format!("the variable {PROXY_TOKEN_VARIABLE}"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hub_traitlets::load;
    use secrecy::ExposeSecret;
    use std::fs;

    fn read_with(python: &str, variables: &[(&str, &str)]) -> Result<Settings, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("jupyterhub_config.py");
        fs::write(&file, python).unwrap();
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let config = load(&["jupyterhub_config"], &[], Some(&file), &variables).map_err(|error| error.to_string())?;
        let complaint = |error: anyhow::Error| error.to_string().replace(&dir.path().display().to_string(), "DIR");
        Settings::read(&config, &variables).map_err(complaint)
    }

    fn read(python: &str) -> Result<Settings, String> {
        read_with(python, &[])
    }

    #[test]
    fn the_pages_lines_are_read_s37_s38_s39_s52_s84() {
        let settings = read(
            "c = get_config()
c.JupyterHub.ssl_key = '/path/to/my.key'
c.JupyterHub.ssl_cert = '/path/to/my.cert'
c.ConfigurableHTTPProxy.api_token = 'abc123'
c.ConfigurableHTTPProxy.api_url = 'http://127.0.0.1:8001'
c.JupyterHub.cookie_secret = bytes.fromhex('6b6b')
c.JupyterHub.bind_url = 'http://:443'
",
        )
        .unwrap();
        let tls = settings.tls.unwrap();
        assert_eq!((tls.certificate, tls.key), ("/path/to/my.cert".into(), Some("/path/to/my.key".into())));
        assert_eq!((settings.ip.as_str(), settings.port), ("0.0.0.0", 443));
        assert_eq!(settings.proxy_token.unwrap().0.expose_secret(), "abc123");
        assert_eq!(settings.proxy_api, ("127.0.0.1".to_owned(), 8001));
        assert!(
            matches!(settings.cookie_secret, CookieSecretPlace::Value { secret, .. } if secret.expose_secret() == b"kk")
        );
        assert!(read("c.JupyterHub.ssl_cert = '/x.pem'").unwrap().tls.unwrap().key.is_none());
        let nothing = read("").unwrap();
        assert!(nothing.tls.is_none() && nothing.proxy_token.is_none());
        assert_eq!((nothing.ip.as_str(), nothing.port), ("127.0.0.1", 8000));
        assert!(matches!(nothing.cookie_secret, CookieSecretPlace::File(None)));
    }

    #[test]
    fn none_and_an_empty_string_are_errors_that_say_to_remove_the_line_s48() {
        for name in ["ssl_key", "ssl_cert"] {
            for value in ["None", "''"] {
                let refused =
                    read(&format!("c.JupyterHub.ssl_cert = '/c'\nc.JupyterHub.{name} = {value}")).unwrap_err();
                assert!(
                    refused.starts_with(&format!("failed to use JupyterHub.{name} from DIR/jupyterhub_config.py:2")),
                    "{refused}"
                );
                assert!(refused.ends_with("remove the line"), "{refused}");
            }
        }
    }

    #[test]
    fn a_setting_goes_before_the_environment_s53_s83() {
        let variables = [("CONFIGPROXY_AUTH_TOKEN", "env"), ("JPY_COOKIE_SECRET", "6c6c")];
        let settings = read_with("", &variables).unwrap();
        assert_eq!(settings.proxy_token.unwrap().0.expose_secret(), "env");
        assert!(
            matches!(settings.cookie_secret, CookieSecretPlace::Value { secret, .. } if secret.expose_secret() == b"ll")
        );
        let both = "c.ConfigurableHTTPProxy.auth_token = 'set'\nc.JupyterHub.cookie_secret = '6b6b'";
        let settings = read_with(both, &variables).unwrap();
        assert_eq!(settings.proxy_token.unwrap().0.expose_secret(), "set");
        assert!(
            matches!(settings.cookie_secret, CookieSecretPlace::Value { secret, .. } if secret.expose_secret() == b"kk")
        );
        // The environment goes before the file.
        let settings = read_with("c.JupyterHub.cookie_secret_file = '/s'", &variables).unwrap();
        assert!(matches!(settings.cookie_secret, CookieSecretPlace::Value { .. }));
    }

    #[test]
    fn what_cannot_be_used_is_said_with_its_place_and_the_remedy() {
        for (python, remedy) in [
            ("c.JupyterHub.ssl_kye = '/x'", "write JupyterHub.ssl_key if you mean that"),
            ("c.JupyterHub.ssl_key = '/x'", "set JupyterHub.ssl_cert, too"),
            ("c.JupyterHub.cookie_secret = 'secret'", "openssl rand -hex 32"),
            ("c.JupyterHub.cookie_secret = ''", "remove the line"),
            ("c.JupyterHub.bind_url = 'secret'", "http://127.0.0.1:8000"),
            ("c.JupyterHub.bind_url = 'http://:8000/hub/'", "a path is not possible"),
            ("c.ConfigurableHTTPProxy.auth_token = 'se cret'", "openssl rand -hex 32"),
            ("c.ConfigurableHTTPProxy.api_url = 'secret'", "http://127.0.0.1:8001"),
            ("c.JupyterHub.port = 'secret'", "write a whole number"),
        ] {
            let refused = read(python).unwrap_err();
            assert!(refused.contains(remedy) && refused.contains("jupyterhub_config.py:1"), "{python}: {refused}");
            assert!(!refused.contains("se cret") && !refused.contains("'secret'"), "{refused}");
        }
        let refused = read_with("", &[("JPY_COOKIE_SECRET", "secret")]).unwrap_err();
        assert!(refused.contains("JPY_COOKIE_SECRET: it must be an even number"), "{refused}");
    }
}
