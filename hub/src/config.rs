//! Reading and checking of the settings file: every complaint names the file, the field and the remedy.

use anyhow::Context;
use hub_crds::{
    HttpsType, LoginLimits, PageLink, Sessions,
    config::{HubConfig, PagesConfig, Problem},
};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};
use url::Url;

use crate::{client_address::parse_net, database::Place, urls::landing_address};

/// Why the settings can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("failed to read {}, the settings file that --config names", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("failed to parse {}: {field}: {message}", path.display())]
    Parse { path: PathBuf, field: String, message: String },
    #[error("failed to use {}: {field}: {message}", path.display())]
    Invalid { path: PathBuf, field: String, message: String },
}

/// Reads and checks a settings file.
pub fn load(path: &Path) -> Result<HubConfig, ConfigError> {
    let text = fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.into(), source })?;
    let config = parse(&text).map_err(|(field, message)| ConfigError::Parse { path: path.into(), field, message })?;
    check(&config).map_err(|(field, message)| ConfigError::Invalid { path: path.into(), field, message })?;
    Ok(config)
}

/// The field's path and what is wrong with it, if anything is.
fn parse(text: &str) -> Result<HubConfig, (String, String)> {
    serde_path_to_error::deserialize(serde_yaml::Deserializer::from_str(text)).map_err(|error| {
        let field = match error.path().to_string() {
            top if top == "." => "top level".to_owned(),
            path => path,
        };
        (field, error.into_inner().to_string())
    })
}

/// What the types can't say. Pure.
fn check(config: &HubConfig) -> Result<(), (String, String)> {
    check_addresses(config)
        .and_then(|()| check_sessions(&config.sessions))
        .and_then(|()| check_login_limits(&config.login_limits))
        .and_then(|()| check_pages(&config.pages))
        .map_err(|(field, message)| (field.to_owned(), message))?;
    match config.rbac.problems().into_iter().next() {
        Some(Problem { field, message }) => Err((format!("rbac.{field}"), message)),
        None => Ok(()),
    }
}

fn check_sessions(sessions: &Sessions) -> Result<(), (&'static str, String)> {
    match sessions.cookie_max_age_days {
        1..=Sessions::MOST_DAYS => Ok(()),
        days => Err((
            "sessions.cookieMaxAgeDays",
            format!(
                "{days} days are not possible; write 1 to {}, which is as long as browsers keep one",
                Sessions::MOST_DAYS
            ),
        )),
    }
}

fn check_login_limits(limits: &LoginLimits) -> Result<(), (&'static str, String)> {
    for (field, value, most) in [
        ("loginLimits.maxFailures", limits.max_failures, LoginLimits::MOST_FAILURES),
        ("loginLimits.windowSeconds", limits.window_seconds, LoginLimits::LONGEST_SECONDS),
        ("loginLimits.lockoutSeconds", limits.lockout_seconds, LoginLimits::LONGEST_SECONDS),
    ] {
        if !(1..=most).contains(&value) {
            return Err((field, format!("{value} is not possible; write 1 to {most}")));
        }
    }
    Ok(())
}

/// # Errors
/// A link leads nowhere that a page may lead to, such as into a script.
pub(crate) fn check_pages(pages: &PagesConfig) -> Result<(), (&'static str, String)> {
    match pages.links.iter().find(|link| landing_address(&link.url).is_none()) {
        Some(PageLink { url, .. }) => Err((
            "pages.links",
            format!("`{url}` is neither a path nor a web address; write https://example.com/help for example"),
        )),
        None => Ok(()),
    }
}

fn check_addresses(config: &HubConfig) -> Result<(), (&'static str, String)> {
    check_base_url(&config.base_url).map_err(|message| ("baseUrl", message))?;
    if let Some(public) = &config.public_url {
        check_public_url(public, &config.base_url).map_err(|message| ("publicUrl", message))?;
    }
    if let Some(host) = &config.subdomain_host {
        check_subdomain_host(host, config).map_err(|message| ("subdomainHost", message))?;
    }
    if let Some(address) = &config.landing.default_url {
        check_default_url(address, &config.base_url).map_err(|message| ("landing.defaultUrl", message))?;
    }
    if config.cookie_host_prefix && config.https == HttpsType::None {
        let message = "browsers drop such cookies without TLS; remove it, or use https";
        return Err(("cookieHostPrefix", message.to_owned()));
    }
    if config.bind.parse::<SocketAddr>().is_err() {
        return Err(("bind", format!("`{}` is not an address and port; write 0.0.0.0:8081 for example", config.bind)));
    }
    if let Some(bad) = config.proxy.trusted_proxies.iter().find(|net| parse_net(net).is_err()) {
        let message = format!("`{bad}` is no address and no range of addresses; write 10.0.0.0/8 for example");
        return Err(("proxy.trustedProxies", message));
    }
    check_http(&config.connect_url).map_err(|message| ("connectUrl", message))?;
    check_http(&config.proxy.api_url).map_err(|message| ("proxy.apiUrl", message))
}

fn check_base_url(base: &str) -> Result<(), String> {
    let bad = |c: char| c.is_control() || c.is_whitespace() || "{}?#\\\"<>*".contains(c);
    if !base.starts_with('/') || !base.ends_with('/') || base.contains("//") {
        Err(format!("`{base}` must start and end with one slash; write / or /jupyter/ for example"))
    } else if base.contains(bad) {
        Err(format!("`{base}` holds a character that a path can't; escape it as in /my%20hub/"))
    } else {
        Ok(())
    }
}

fn check_public_url(public: &str, base: &str) -> Result<(), String> {
    let url = Url::parse(public)
        .map_err(|e| format!("`{public}` is not an address ({e}); write https://hub.example.com/"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(format!("`{public}` must start with https:// or http:// and name a host"));
    }
    if url.path() != base {
        return Err(format!("its path is `{}`; it must be the base URL `{base}`", url.path()));
    }
    Ok(())
}

/// The address below whose host users have theirs: a scheme, the name of a host, and a port if need be.
///
/// # Errors
/// It is anything else; the text says what to write.
pub fn parse_subdomain_host(host: &str) -> Result<Url, String> {
    let is_bare = |url: &Url| url.path() == "/" && !host.ends_with('/') && !host.contains(['?', '#', '@']);
    Url::parse(host)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.domain().is_some() && is_bare(url))
        .ok_or_else(|| {
            format!("`{host}` is not a scheme and the name of a host; write https://hub.example.com for example")
        })
}

fn check_subdomain_host(host: &str, config: &HubConfig) -> Result<(), String> {
    parse_subdomain_host(host)?;
    let public = format!("{host}{}", config.base_url);
    match &config.public_url {
        Some(other) if *other != public => {
            Err(format!("publicUrl is `{other}`; it must be `{public}`, or be left out"))
        }
        _ => Ok(()),
    }
}

/// Where the settings say that the database is.
///
/// # Errors
/// The file with its address can't be read, or holds none; what is in it is not told.
pub fn database_place(config: &HubConfig) -> anyhow::Result<Place> {
    let file = match (&config.database_file, &config.database_url_file) {
        (Some(file), None) => return Ok(Place::Sqlite(file.clone())),
        (None, Some(file)) => file,
        _ => {
            anyhow::bail!("failed to find the database: set databaseFile for SQLite, or databaseUrlFile, and not both")
        }
    };
    let url = fs::read_to_string(file)
        .with_context(|| format!("failed to read {}, which databaseUrlFile names", file.display()))?;
    Place::parse(url.trim(), Path::new("/")).map_err(|remedy| {
        anyhow::anyhow!("failed to use the address in {}, which databaseUrlFile names: {remedy}", file.display())
    })
}

/// # Errors
/// People would be led in a circle, or it isn't an address; the text says what to write.
pub(crate) fn check_default_url(address: &str, base: &str) -> Result<(), String> {
    if landing_address(address).is_none() {
        return Err(format!("`{address}` is neither a path nor a web address; write {base}hub/home for example"));
    }
    // These lead to the default URL themselves.
    if ["", "hub", "hub/", "hub/login"].iter().any(|rest| address.strip_prefix(base) == Some(rest)) {
        return Err(format!("`{address}` would lead people in a circle; write {base}hub/home for example"));
    }
    Ok(())
}

fn check_http(address: &str) -> Result<(), String> {
    match Url::parse(address) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.host_str().is_some() => Ok(()),
        _ => Err(format!("`{address}` must be an http address with a host; write http://127.0.0.1:8081 for example")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
baseUrl: /
publicUrl: https://hub.example.com/
bind: 0.0.0.0:8081
connectUrl: http://jhub-hub.jupyter:8081
https: external
databaseFile: /srv/jupyterhub/jupyterhub.sqlite
cookieSecretFile: /etc/jupyterhub/secrets/cookie/cookie-secret
proxy: {apiUrl: 'http://jhub-proxy-api.jupyter:8001', tokenFile: /etc/jupyterhub/secrets/proxy/proxy-token}
auth: {authenticator: {type: dummy, passwordFile: null}, allowAll: true}
controlSocket: /tmp/hub/control.sock
";

    fn complaint(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hub.yaml");
        fs::write(&path, GOOD.replace(from, to)).unwrap();
        load(&path).unwrap_err().to_string().replace(&path.display().to_string(), "FILE")
    }

    #[test]
    fn the_file_that_the_operator_renders_is_read() {
        check(&parse(GOOD).unwrap()).unwrap();
    }

    #[test]
    fn what_subdomains_are_made_below() {
        for good in ["https://hub.example.org", "http://localhost:8000", "https://hub.example.org:443"] {
            assert!(parse_subdomain_host(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "hub.example.org",
            "//hub.example.org",
            "ftp://hub.example.org",
            "https://",
            "https://10.0.0.1",
            "https://[::1]:8000",
            "https://hub.example.org/",
            "https://hub.example.org/hub",
            "https://hub.example.org?",
            "https://hub.example.org#x",
            "https://me@hub.example.org",
        ] {
            assert!(parse_subdomain_host(bad).unwrap_err().contains("write https://hub.example.com"), "{bad}");
        }
    }

    #[test]
    fn complaints_name_the_file_the_field_and_the_remedy() {
        let table = [
            (
                "baseUrl: /",
                "baseUrl: hub",
                "baseUrl: `hub` must start and end with one slash; write / or /jupyter/ for example",
            ),
            ("hub.example.com/", "hub.example.com/x/", "publicUrl: its path is `/x/`; it must be the base URL `/`"),
            (
                "publicUrl: https",
                "subdomainHost: https://hub.example.org\npublicUrl: https",
                "subdomainHost: publicUrl is `https://hub.example.com/`; it must be `https://hub.example.org/`, or be left \
                 out",
            ),
            (
                "publicUrl: https://hub.example.com/",
                "subdomainHost: https://10.0.0.1",
                "subdomainHost: `https://10.0.0.1` is not a scheme and the name of a host; write https://hub.example.com \
                 for example",
            ),
            (
                "https: external",
                "https: none\ncookieHostPrefix: true",
                "cookieHostPrefix: browsers drop such cookies without TLS; remove it, or use https",
            ),
            (
                "baseUrl: /",
                "landing: {defaultUrl: hub/home}\nbaseUrl: /",
                "landing.defaultUrl: `hub/home` is neither a path nor a web address; write /hub/home for example",
            ),
            (
                "baseUrl: /",
                "landing: {defaultUrl: /hub/}\nbaseUrl: /",
                "landing.defaultUrl: `/hub/` would lead people in a circle; write /hub/home for example",
            ),
            (
                "baseUrl: /",
                "sessions: {cookieMaxAgeDays: 0}\nbaseUrl: /",
                "sessions.cookieMaxAgeDays: 0 days are not possible; write 1 to 400, which is as long as browsers keep one",
            ),
            (
                "baseUrl: /",
                "loginLimits: {windowSeconds: 86401}\nbaseUrl: /",
                "loginLimits.windowSeconds: 86401 is not possible; write 1 to 86400",
            ),
            (
                "proxy: {",
                "proxy: {trustedProxies: [10.0.0.1, 10.0.0.0/33], ",
                "proxy.trustedProxies: `10.0.0.0/33` is no address and no range of addresses; write 10.0.0.0/8 for example",
            ),
            (
                "baseUrl: /",
                "pages: {links: [{text: Help, url: 'javascript:alert(1)'}]}\nbaseUrl: /",
                "pages.links: `javascript:alert(1)` is neither a path nor a web address; write https://example.com/help for \
                 example",
            ),
            ("0.0.0.0:8081", "8081", "bind: `8081` is not an address and port; write 0.0.0.0:8081 for example"),
        ];
        for (from, to, message) in table {
            assert_eq!(complaint(from, to), format!("failed to use FILE: {message}"));
        }
        let scope = "rbac: {roles: [{name: grader, scopes: ['read:user']}]}\nbaseUrl: /";
        assert_eq!(
            complaint("baseUrl: /", scope),
            "failed to use FILE: rbac.roles[grader].scopes: Scope 'read:user' does not exist: did you mean 'read:users'?"
        );
        let misspelt = complaint("allowAll", "allowEveryone");
        assert!(misspelt.starts_with("failed to parse FILE: auth"), "{misspelt}");
        assert!(misspelt.contains("unknown field `allowEveryone`"), "{misspelt}");
        let missing = load(Path::new("/nowhere/hub.yaml")).unwrap_err().to_string();
        assert!(missing.ends_with("the settings file that --config names"), "{missing}");
    }
}
