//! The targets of routes: `http://host[:port][/path][?query]`, the same with `https`, or `http+unix://<escaped socket path>[/path]`. Pure.

use std::net::IpAddr;
use std::path::PathBuf;

use rustls::pki_types::ServerName;

use crate::http1::field;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("the target's scheme must be http, https or http+unix")]
    Scheme,
    #[error("the target must not hold user information")]
    UserInfo,
    #[error("the target's host or port is malformed")]
    Host,
    #[error("the target must not be a link-local address")]
    LinkLocal,
    #[error("the target holds a character that a URL must not hold")]
    Character,
    #[error("'tls_name' must be a DNS name or an address, and its target https")]
    TlsName,
}

/// Where a connection goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Address {
    /// A name or an address without brackets, and a port.
    Tcp(String, u16),
    Unix(PathBuf),
}

/// A parsed target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) address: Address,
    /// Whose certificate it must show, if it speaks TLS.
    pub(crate) server_name: Option<ServerName<'static>>,
    /// The value of a `Host` field that names the target itself.
    pub(crate) host: String,
    /// The path, at least `/`.
    pub(crate) path: String,
    /// The query without its question mark; may be empty.
    pub(crate) query: String,
}

impl Target {
    pub(crate) fn parse(url: &str) -> Result<Self, TargetError> {
        if url.chars().any(|c| c.is_control() || c.is_whitespace() || matches!(c, '\\' | '#')) {
            return Err(TargetError::Character);
        }
        let (scheme, rest) = url.split_once("://").ok_or(TargetError::Scheme)?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        if authority.contains('@') {
            return Err(TargetError::UserInfo);
        }
        let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
        let (address, host) = match scheme.to_ascii_lowercase().as_str() {
            "http" => tcp_address(authority, 80)?,
            "https" => tcp_address(authority, 443)?,
            "http+unix" | "unix+http" => unix_address(authority)?,
            _ => return Err(TargetError::Scheme),
        };
        let server_name = match &address {
            Address::Tcp(name, _) if scheme.eq_ignore_ascii_case("https") => {
                Some(ServerName::try_from(name.clone()).map_err(|_| TargetError::Host)?)
            }
            _ => None,
        };
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self { address, server_name, host, path: path.to_owned(), query: query.to_owned() })
    }

    /// The same target, which must show a certificate for this name instead of one for its address: who has an address
    /// may change, who has a name does not.
    pub(crate) fn with_tls_name(self, name: &str) -> Result<Self, TargetError> {
        let name = ServerName::try_from(name.to_owned()).map_err(|_| TargetError::TlsName)?;
        // Over plain HTTP nobody would be asked for the name.
        self.server_name.ok_or(TargetError::TlsName)?;
        Ok(Self { server_name: Some(name), ..self })
    }
}

fn tcp_address(authority: &str, default_port: u16) -> Result<(Address, String), TargetError> {
    if !field::is_valid_host(authority.as_bytes()) {
        return Err(TargetError::Host);
    }
    let (name, port) = field::split_port(authority.as_bytes());
    let name = &authority[..name.len()];
    let port = match port.map(|digits| &authority[authority.len() - digits.len()..]) {
        None | Some("") => default_port,
        Some(digits) => digits.parse().ok().filter(|port| *port != 0).ok_or(TargetError::Host)?,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    match bare.parse() {
        Ok(address) if is_link_local(address) => return Err(TargetError::LinkLocal),
        Err(_) if name.starts_with('[') || ends_in_a_number(bare) => return Err(TargetError::Host),
        _ => {}
    }
    Ok((Address::Tcp(bare.to_owned(), port), authority.to_owned()))
}

fn unix_address(authority: &str) -> Result<(Address, String), TargetError> {
    let path = crate::path::decode(authority).map_err(|_| TargetError::Host)?;
    if path.is_empty() {
        return Err(TargetError::Host);
    }
    Ok((Address::Unix(PathBuf::from(path.into_owned())), "localhost".to_owned()))
}

/// Whether a name would be resolved as an address in one of its older forms, as `2852039166` is `169.254.169.254` (WHATWG
/// URL, section 3.5). No domain ends so.
fn ends_in_a_number(name: &str) -> bool {
    let last = name.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let is_hexadecimal = |digits: &str| digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    last.bytes().all(|digit| digit.is_ascii_digit())
        || last.strip_prefix("0x").or_else(|| last.strip_prefix("0X")).is_some_and(is_hexadecimal)
}

/// The addresses where clouds keep their metadata service; no server is behind them.
fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => {
            v6.is_unicast_link_local() || v6.to_ipv4_mapped().is_some_and(|mapped| mapped.is_link_local())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_parse() {
        let tcp = |host: &str, port| Address::Tcp(host.to_owned(), port);
        for (url, address, host, path, query) in [
            ("http://127.0.0.1:8888", tcp("127.0.0.1", 8888), "127.0.0.1:8888", "/", ""),
            ("HTTP://hub", tcp("hub", 80), "hub", "/", ""),
            ("https://hub/base", tcp("hub", 443), "hub", "/base", ""),
            ("https://127.0.0.1:8888", tcp("127.0.0.1", 8888), "127.0.0.1:8888", "/", ""),
            ("http://[::1]:8888/base?x=1", tcp("::1", 8888), "[::1]:8888", "/base", "x=1"),
            ("http+unix://%2Frun%2Fa.sock/base", Address::Unix("/run/a.sock".into()), "localhost", "/base", ""),
            ("unix+http://%2Frun%2Fa.sock", Address::Unix("/run/a.sock".into()), "localhost", "/", ""),
        ] {
            let server_name = url.strip_prefix("https://").map(|_| match &address {
                Address::Tcp(name, _) => ServerName::try_from(name.clone()).unwrap(),
                Address::Unix(_) => unreachable!(),
            });
            let (host, path, query) = (host.to_owned(), path.to_owned(), query.to_owned());
            let expected = Target { address, server_name, host, path, query };
            assert_eq!(Target::parse(url), Ok(expected), "{url}");
        }
    }

    #[test]
    fn odd_targets_are_refused() {
        for (url, error) in [
            ("file:///etc/passwd", TargetError::Scheme),
            ("localhost:8000", TargetError::Scheme),
            ("", TargetError::Scheme),
            ("https://a b", TargetError::Character),
            ("https://a_b..c", TargetError::Host),
            ("http://user:pw@a", TargetError::UserInfo),
            ("http://", TargetError::Host),
            ("http://a:0", TargetError::Host),
            ("http://a:99999", TargetError::Host),
            ("http://a:x", TargetError::Host),
            ("http://[::g]", TargetError::Host),
            ("http://2852039166", TargetError::Host),
            ("http://0xA9FEA9FE", TargetError::Host),
            ("http://169.254.43518", TargetError::Host),
            ("http://169.254.169.254.", TargetError::Host),
            ("http://169.254.169.254/latest", TargetError::LinkLocal),
            ("http://[fe80::1]:80", TargetError::LinkLocal),
            ("http://[::ffff:169.254.169.254]", TargetError::LinkLocal),
            ("http://a\r\nX: y", TargetError::Character),
            ("http://a/b c", TargetError::Character),
            ("http://a\\b", TargetError::Character),
            ("http+unix:///a", TargetError::Host),
        ] {
            assert_eq!(Target::parse(url), Err(error), "{url:?}");
        }
    }

    #[test]
    fn a_name_takes_the_place_of_the_address_in_the_certificate_only() {
        let target = Target::parse("https://10.0.0.1:8888/base").unwrap();
        let named = target.clone().with_tls_name("jupyter-ada.jhub.internal").unwrap();
        assert_eq!(named.server_name, Some(ServerName::try_from("jupyter-ada.jhub.internal").unwrap()));
        assert_eq!(Target { server_name: target.server_name.clone(), ..named }, target);
        for (url, name) in [
            ("http://10.0.0.1:8888", "jupyter-ada"),
            ("http+unix://%2Frun%2Fa.sock", "jupyter-ada"),
            ("https://10.0.0.1", ""),
            ("https://10.0.0.1", "a b"),
            ("https://10.0.0.1", "a/b"),
        ] {
            let refused = Target::parse(url).unwrap().with_tls_name(name);
            assert_eq!(refused, Err(TargetError::TlsName), "{url} {name:?}");
        }
    }
}
