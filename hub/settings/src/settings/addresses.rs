//! Where everything is: what people reach, where the hub listens, and the certificate in front (S37 to S48).

use hub_traitlets::{Found, Value};
use std::path::PathBuf;
use url::Url;

use super::HUB;
use crate::reader::{Classes, Reader, SettingsError, unusable};

/// Where the hub is, for people, for the proxy and for servers.
#[derive(Debug)]
pub struct Addresses {
    /// Where the proxy serves people, if it is said; empty means all interfaces.
    pub ip: Option<String>,
    pub port: Option<u16>,
    /// With a slash at both ends.
    pub base_url: String,
    /// The address that people use, if it is known; ends with `base_url`.
    pub public_url: Option<Url>,
    /// Users have hosts of their own below this one.
    pub subdomain_host: Option<Url>,
    /// Where the hub itself listens.
    pub hub: (String, u16),
    /// Where servers and the proxy reach the hub, if it is said: scheme, host and port.
    pub hub_connect_url: Option<String>,
}

/// Files in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    pub certificate: PathBuf,
    /// Without it the certificate's file holds the key, too (S39).
    pub key: Option<PathBuf>,
}

impl Addresses {
    pub(super) fn read(reader: &Reader<'_>) -> Result<Self, SettingsError> {
        let bind = endpoint(reader, HUB, "bind_url", 8000)?;
        let (mut ip, mut port) = (bind.as_ref().map(|bind| bind.ip.clone()), bind.as_ref().map(|bind| bind.port));
        if let Some(set) = reader.read(HUB, "ip", Found::string)? {
            ip = Some(if set == "*" { String::new() } else { set });
        }
        if let Some(set) = reader.read(HUB, "port", Found::int)? {
            port = Some(set);
        }
        let base_url = match reader.string(HUB, "base_url")? {
            Some(base) => base,
            None => bind.map(|bind| bind.path).unwrap_or_default(),
        };
        let base_url = match base_url.trim_matches('/') {
            "" => "/".to_owned(),
            inner => format!("/{inner}/"),
        };
        let subdomain_host = subdomain_host(reader)?;
        Ok(Self {
            public_url: public_url(reader, &base_url, subdomain_host.as_ref())?,
            ip,
            port,
            base_url,
            subdomain_host,
            hub: hub(reader)?,
            hub_connect_url: connect_url(reader)?,
        })
    }
}

/// Where a program listens.
struct Endpoint {
    ip: String,
    port: u16,
    path: String,
}

/// An address of a setting, with this port if it names none.
fn endpoint(
    reader: &Reader<'_>,
    classes: Classes,
    name: &'static str,
    port: u16,
) -> Result<Option<Endpoint>, SettingsError> {
    let Some((found, text)) = reader.text(classes, name)? else { return Ok(None) };
    if text.starts_with("http+unix:") || text.starts_with("unix+http:") {
        return Err(unusable(&found, format!("a Unix socket is not possible here; write http://127.0.0.1:{port}")));
    }
    // All interfaces, as JupyterHub writes it.
    let url = Url::parse(&text.replace("://:", "://0.0.0.0:").replace("://*", "://0.0.0.0"));
    let url = url.ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
    let url = url.ok_or_else(|| unusable(&found, format!("write an address such as http://127.0.0.1:{port}")))?;
    let ip = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    Ok(Some(Endpoint { ip, port: url.port().unwrap_or(port), path: url.path().to_owned() }))
}

/// Host and port of a setting that can't have a path.
pub(super) fn host_and_port(
    reader: &Reader<'_>,
    classes: Classes,
    name: &'static str,
    port: u16,
) -> Result<Option<(String, u16)>, SettingsError> {
    let Some(endpoint) = endpoint(reader, classes, name, port)? else { return Ok(None) };
    match reader.find(classes, name) {
        Some(found) if endpoint.path != "/" => {
            let remedy = format!("a path is not possible here; write an address such as http://127.0.0.1:{port}");
            Err(unusable(&found, remedy))
        }
        _ => Ok(Some((endpoint.ip, endpoint.port))),
    }
}

/// Where the hub listens. A path is passed over, as in JupyterHub: it is always that of the hub.
fn hub(reader: &Reader<'_>) -> Result<(String, u16), SettingsError> {
    let ip = reader.string(HUB, "hub_ip")?.unwrap_or_else(|| "127.0.0.1".to_owned());
    let port = reader.read(HUB, "hub_port", Found::int)?.unwrap_or(8081);
    let bind = endpoint(reader, HUB, "hub_bind_url", 8081)?;
    Ok(bind.map_or((if ip == "*" { "0.0.0.0".to_owned() } else { ip }, port), |bind| (bind.ip, bind.port)))
}

fn connect_url(reader: &Reader<'_>) -> Result<Option<String>, SettingsError> {
    let ip = reader.string(HUB, "hub_connect_ip")?;
    if let Some(Endpoint { ip, port, .. }) = endpoint(reader, HUB, "hub_connect_url", 8081)? {
        return Ok(Some(http(&ip, port)));
    }
    let port = hub(reader)?.1;
    Ok(ip.map(|ip| http(&ip, port)))
}

/// `http://host:port`, with brackets around an address that has colons.
pub fn http(host: &str, port: u16) -> String {
    if host.contains(':') { format!("http://[{host}]:{port}") } else { format!("http://{host}:{port}") }
}

fn subdomain_host(reader: &Reader<'_>) -> Result<Option<Url>, SettingsError> {
    let Some((found, text)) = reader.said(HUB, "subdomain_host")? else { return Ok(None) };
    let whole = if text.contains("://") { text } else { format!("https://{text}") };
    let is_bare = |url: &Url| url.path() == "/" && !whole.ends_with('/') && !whole.contains(['?', '#', '@']);
    let url = Url::parse(&whole)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.domain().is_some() && is_bare(url));
    let remedy = "write a scheme and the name of a host, such as https://hub.example.com";
    url.ok_or_else(|| unusable(&found, remedy)).map(Some)
}

/// The public address: with `https://` before it if no scheme is said, and the base URL after it.
fn public_url(reader: &Reader<'_>, base: &str, subdomains: Option<&Url>) -> Result<Option<Url>, SettingsError> {
    let Some((found, text)) = reader.said(HUB, "public_url")? else { return Ok(None) };
    let refused = |remedy: String| unusable(&found, remedy);
    let whole = if text.contains("://") { text } else { format!("https://{text}") };
    let url = Url::parse(&whole).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
    let mut url = url.ok_or_else(|| refused("write an address such as https://hub.example.com/".to_owned()))?;
    match url.path().trim_matches('/') {
        "" => url.set_path(base),
        path if path == base.trim_matches('/') => url.set_path(base),
        _ => {
            return Err(refused(format!("its path must be the base URL, {base}; write https://hub.example.com{base}")));
        }
    }
    if subdomains.is_some_and(|host| host.origin() != url.origin()) {
        return Err(refused("it must be the host of JupyterHub.subdomain_host; remove the line".to_owned()));
    }
    Ok(Some(url))
}

/// Key and certificate (S37, S38). The certificate's file may hold the key, too (S39); the other way round nothing works.
pub(super) fn tls(reader: &Reader<'_>) -> Result<Option<Tls>, SettingsError> {
    match (reader.text(HUB, "ssl_cert")?, reader.text(HUB, "ssl_key")?) {
        (Some((_, certificate)), key) => {
            Ok(Some(Tls { certificate: certificate.into(), key: key.map(|(_, key)| key.into()) }))
        }
        (None, Some((found, _))) => Err(unusable(&found, "the certificate is missing; set JupyterHub.ssl_cert, too")),
        (None, None) => Ok(None),
    }
}

/// The most detailed level that is logged, in Rust's words: a name or Python's number.
pub(super) fn log_level(reader: &Reader<'_>) -> Result<Option<&'static str>, SettingsError> {
    let Some(found) = reader.find(&["JupyterHub", "Application"], "log_level") else { return Ok(None) };
    let name = match found.value {
        Value::Int(number) => number.to_string(),
        _ => found.string()?.to_ascii_uppercase(),
    };
    match name.as_str() {
        "0" | "10" | "DEBUG" => Ok(Some("debug")),
        "20" | "INFO" => Ok(Some("info")),
        "30" | "WARN" | "WARNING" => Ok(Some("warn")),
        "40" | "50" | "ERROR" | "CRITICAL" => Ok(Some("error")),
        _ => Err(unusable(&found, "write 'DEBUG', 'INFO', 'WARN' or 'ERROR'")),
    }
}
