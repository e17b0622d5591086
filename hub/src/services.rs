//! Services: programs with rights of their own, which the hub neither starts nor stops. What the settings or the REST API
//! say of one becomes what is stored. Pure, but for [`pin`], which asks for names.

use hub_auth::names;
use hub_crds::config::ServiceConfig;
use serde_json::Value;
use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};
use url::{Host, Url};

use crate::{
    database::{NewService, ServiceAddress, ServiceClient},
    urls::Urls,
};

/// How long a name server may take.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// A service of the settings.
///
/// # Errors
/// What is wrong with it, in words.
pub fn of_settings(service: &ServiceConfig, urls: &Urls) -> Result<NewService, String> {
    let url = service.url.clone().unwrap_or_default();
    let wish = ClientWish {
        id: service.oauth_client_id.clone(),
        redirect_uri: service.oauth_redirect_uri.clone(),
        no_confirm: service.oauth_no_confirm,
    };
    Ok(NewService {
        name: service.name.clone(),
        admin: service.admin,
        address: address(&url)?,
        prefix: names::service_path(urls.base(), &service.name),
        client: client(&service.name, urls, !url.is_empty(), wish)?,
        url,
        info: service.info.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect(),
        display: service.display,
        allowed_scopes: service.oauth_client_allowed_scopes.clone(),
        no_confirm: service.oauth_no_confirm,
    })
}

/// What is said of a service's OAuth client. Empty texts count as nothing.
#[derive(Clone, Debug, Default)]
pub struct ClientWish {
    pub id: Option<String>,
    pub redirect_uri: Option<String>,
    pub no_confirm: bool,
}

/// The OAuth client of a service: one that has a url or of which anything is said has one.
///
/// # Errors
/// What is wrong with it, in words.
pub fn client(name: &str, urls: &Urls, has_url: bool, wish: ClientWish) -> Result<Option<ServiceClient>, String> {
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let (id, redirect_uri) = (given(wish.id), given(wish.redirect_uri));
    if !(has_url || wish.no_confirm || id.is_some() || redirect_uri.is_some()) {
        return Ok(None);
    }
    let callback = || has_url.then(|| urls.service(name) + "oauth_callback");
    let redirect_uri = redirect_uri.or_else(callback);
    let redirect_uri = redirect_uri.ok_or("it has OAuth configured, but is missing required oauth_redirect_uri")?;
    let id = id.unwrap_or_else(|| names::service_client_id(name));
    if !id.starts_with(names::SERVICE_CLIENT) {
        return Err(format!("its oauth_client_id must start with '{}'", names::SERVICE_CLIENT));
    }
    Ok(Some(ServiceClient { id, redirect_uri }))
}

/// Where the proxy finds a service: scheme, host and port of its url; `None` without one.
///
/// # Errors
/// What is wrong with the url, in words.
pub fn address(url: &str) -> Result<Option<ServiceAddress>, String> {
    if url.is_empty() {
        return Ok(None);
    }
    let parsed = Url::parse(url).map_err(|error| format!("its url is no address ({error})"))?;
    let port = parsed.port_or_known_default().filter(|_| matches!(parsed.scheme(), "http" | "https"));
    let host = match parsed.host() {
        Some(Host::Ipv6(address)) => address.to_string(),
        Some(host) => host.to_string(),
        None => return Err("its url names no host".to_owned()),
    };
    let port = port.ok_or("its url must start with http:// or https://")?;
    Ok(Some(ServiceAddress { scheme: parsed.scheme().to_owned(), host, port }))
}

/// The address as someone may set it who does not administer the hub: looked up now, so that the name cannot lead
/// elsewhere later, and nowhere near the hub itself.
///
/// # Errors
/// Why not, in words.
pub async fn pin(address: ServiceAddress) -> Result<ServiceAddress, String> {
    let lookup = tokio::net::lookup_host((address.host.as_str(), address.port));
    let unknown = || format!("its host {} cannot be found", address.host);
    let found = tokio::time::timeout(RESOLVE_TIMEOUT, lookup).await.map_err(|_| unknown())?.map_err(|_| unknown())?;
    let found: Vec<_> = found.map(|socket| socket.ip()).collect();
    if found.iter().any(|ip| is_off_limits(*ip, api_server())) {
        return Err(format!("only an administrator may have people sent to {}", address.host));
    }
    let ip = found.first().ok_or_else(unknown)?;
    Ok(ServiceAddress { host: ip.to_string(), ..address })
}

/// The cluster's API server, if there is a cluster.
fn api_server() -> Option<IpAddr> {
    std::env::var("KUBERNETES_SERVICE_HOST").ok()?.parse().ok()
}

/// The machine itself, its link (where clouds have their metadata), many at once, nobody, or the API server.
fn is_off_limits(address: IpAddr, api_server: Option<IpAddr>) -> bool {
    let of_v4 = |v4: Ipv4Addr| v4.is_link_local() || v4.is_broadcast() || v4.octets()[0] == 0;
    let address = address.to_canonical();
    let own = match address {
        IpAddr::V4(v4) => of_v4(v4),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    own || address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || api_server.is_some_and(|server| server.to_canonical() == address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(url: &str) -> Result<Option<(String, u16)>, String> {
        Ok(address(url)?.map(|address| (format!("{}://{}", address.scheme, address.host), address.port)))
    }

    #[test]
    fn an_address_is_scheme_host_and_port_of_the_url() {
        for (url, expected) in [
            ("http://10.0.0.7:8080", ("http://10.0.0.7", 8080)),
            ("http://grades.lab/x?y", ("http://grades.lab", 80)),
            ("https://grades.lab", ("https://grades.lab", 443)),
            ("http://[fd00::7]:81/", ("http://fd00::7", 81)),
        ] {
            assert_eq!(found(url), Ok(Some((expected.0.to_owned(), expected.1))), "{url}");
        }
        assert_eq!(found(""), Ok(None));
        for url in ["ftp://x", "file:///etc/passwd", "x", "http://", "unix:/run/x", "javascript:alert(1)"] {
            assert!(found(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_client_is_made_of_whatever_is_said_of_one() {
        let wish = |id: &str, redirect_uri: &str, no_confirm| ClientWish {
            id: Some(id.to_owned()),
            redirect_uri: Some(redirect_uri.to_owned()),
            no_confirm,
        };
        let made = |has_url, wish| client("grades", &Urls::new("/base/", None), has_url, wish);
        let expected = |id: &str, redirect_uri: &str| {
            Ok(Some(ServiceClient { id: id.to_owned(), redirect_uri: redirect_uri.to_owned() }))
        };
        assert_eq!(made(false, wish("", "", false)), Ok(None));
        assert_eq!(made(true, wish("", "", false)), expected("service-grades", "/base/services/grades/oauth_callback"));
        assert_eq!(made(false, wish("service-x", "/cb", true)), expected("service-x", "/cb"));
        assert!(made(false, wish("", "", true)).unwrap_err().contains("oauth_redirect_uri"));
        assert!(made(true, wish("jupyterhub-user-ada", "", false)).unwrap_err().contains("'service-'"));
    }

    #[test]
    fn who_is_no_administrator_reaches_nothing_of_the_hubs_own() {
        let api = Some("10.96.0.1".parse().unwrap());
        for (address, off_limits) in [
            ("127.0.0.1", true),
            ("127.8.8.8", true),
            ("0.0.0.0", true),
            ("0.1.2.3", true),
            ("169.254.169.254", true),
            ("224.0.0.1", true),
            ("255.255.255.255", true),
            ("10.96.0.1", true),
            ("::1", true),
            ("::", true),
            ("fe80::1", true),
            ("ff02::1", true),
            ("::ffff:127.0.0.1", true),
            ("::ffff:10.96.0.1", true),
            ("10.0.0.7", false),
            ("93.184.216.34", false),
            ("fd00::7", false),
        ] {
            assert_eq!(is_off_limits(address.parse().unwrap(), api), off_limits, "{address}");
        }
    }

    #[tokio::test]
    async fn a_name_is_pinned_to_what_it_means_now() {
        let at = |host: &str| ServiceAddress { scheme: "http".to_owned(), host: host.to_owned(), port: 80 };
        assert_eq!(pin(at("10.0.0.7")).await, Ok(at("10.0.0.7")));
        for host in ["localhost", "127.0.0.1", "::1", "169.254.169.254"] {
            assert!(pin(at(host)).await.unwrap_err().contains("administrator"), "{host}");
        }
    }
}
