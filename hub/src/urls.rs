//! Every path that the hub serves or sends people to, made in one place. Pure.
//!
//! With subdomains each user has a host of their own below the hub's (`alice.hub.example.org`), where their servers are;
//! the paths stay the same. Then addresses of servers are whole ones, and the proxy's routes begin with the host.

use hub_auth::{
    names::{escape, server_path, service_path, unescape},
    next_url::{OwnHost, safe_next, with_query},
    subdomain,
};
use url::Url;

/// Where this hub is.
#[derive(Clone, Debug)]
pub struct Urls {
    base: String,
    hub: String,
    public: Option<Url>,
    /// Users have hosts of their own. Then `public` is known.
    subdomains: bool,
}

impl Urls {
    /// `base` starts and ends with a slash.
    pub fn new(base: &str, public: Option<Url>) -> Self {
        Self { base: base.to_owned(), hub: format!("{base}hub/"), public, subdomains: false }
    }

    /// As [`Self::new`], with a host for each user below that of `host`, whose own path doesn't matter.
    pub fn with_subdomains(base: &str, mut host: Url) -> Self {
        host.set_path(base);
        Self { subdomains: true, ..Self::new(base, Some(host)) }
    }

    /// Path below which everything is served, such as `/`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Path of the hub itself, such as `/hub/`.
    pub fn hub(&self) -> &str {
        &self.hub
    }

    /// The address that people use, if it is known.
    pub fn public(&self) -> Option<&Url> {
        self.public.as_ref()
    }

    /// The host below which users have theirs, without its port; `None` without subdomains.
    pub fn domain(&self) -> Option<&str> {
        self.public.as_ref().filter(|_| self.subdomains).and_then(Url::host_str)
    }

    /// Whether a request's `Host` is one below the hub's: a user's, or nobody's.
    pub fn is_below_domain(&self, host: &str) -> bool {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_end_matches('.').to_ascii_lowercase();
        self.domain().and_then(|domain| name.strip_suffix(domain)).is_some_and(|labels| labels.ends_with('.'))
    }

    /// The host whose addresses are ours, if the public one is known.
    pub fn own_host(&self) -> Option<OwnHost<'_>> {
        self.public.as_ref().map(|public| OwnHost { host: public.authority(), with_subdomains: self.subdomains })
    }

    /// A path below `/hub/`.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.hub)
    }

    /// The login page, with the way back.
    pub fn login(&self, next: &str) -> String {
        if next.is_empty() { self.at("login") } else { with_query(&self.at("login"), "next", next) }
    }

    /// A server's path on its host, and its prefix: `/user/alice/` or `/user/alice/second/`.
    pub fn server_path(&self, user: &str, server: &str) -> String {
        server_path(&self.base, user, server)
    }

    /// Where people find a service: its path, or with subdomains `https://grades--service.hub.example.org/services/grades/`.
    pub fn service(&self, name: &str) -> String {
        self.origin_of(self.service_host(name)) + &service_path(&self.base, name)
    }

    /// What the proxy knows a service by: its path, with subdomains behind its host.
    pub fn service_route(&self, name: &str) -> String {
        self.service_host(name).map(|host| format!("/{host}")).unwrap_or_default() + &service_path(&self.base, name)
    }

    fn service_host(&self, name: &str) -> Option<String> {
        self.domain().map(|domain| format!("{}.{domain}", subdomain::service_label(name)))
    }

    /// Where people find a server: its path, or with subdomains `https://alice.hub.example.org/user/alice/`.
    pub fn server(&self, user: &str, server: &str) -> String {
        self.server_origin(user) + &self.server_path(user, server)
    }

    /// The whole address of a server, if the public one is known.
    pub fn whole_server(&self, user: &str, server: &str) -> Option<String> {
        if self.subdomains { Some(self.server(user, server)) } else { self.absolute(&self.server_path(user, server)) }
    }

    /// Where the OAuth codes of a server go.
    pub fn server_callback(&self, user: &str, server: &str) -> String {
        self.server(user, server) + "oauth_callback"
    }

    /// What the proxy knows a server by: its path, with subdomains behind its host (`/alice.hub.example.org/user/alice/`).
    pub fn server_route(&self, user: &str, server: &str) -> String {
        let path = self.server_path(user, server);
        self.server_host(user).map_or_else(|| path.clone(), |host| format!("/{host}{path}"))
    }

    /// What the proxy knows the hub by. With subdomains it gets whatever no server's route takes, on any host.
    pub fn hub_route(&self) -> &str {
        if self.subdomains { "/" } else { &self.base }
    }

    /// A path of this hub where it is served: those of the user's servers are on the user's host. Others stay as they are.
    pub fn on_its_host(&self, user: &str, path: String) -> String {
        let rest = path.strip_prefix(&self.base).and_then(|rest| rest.strip_prefix("user/")).unwrap_or_default();
        let owner = rest.split(['/', '?', '#']).next().and_then(unescape);
        if owner.as_deref() == Some(user) { self.server_origin(user) + &path } else { path }
    }

    /// Scheme, host and port of a user's servers; empty if they are where the hub is.
    fn server_origin(&self, user: &str) -> String {
        self.origin_of(self.server_host(user))
    }

    /// Scheme and port of the hub, with another host; empty without one.
    fn origin_of(&self, host: Option<String>) -> String {
        let (Some(public), Some(host)) = (&self.public, host) else { return String::new() };
        let port = public.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{host}{port}", public.scheme())
    }

    fn server_host(&self, user: &str) -> Option<String> {
        self.domain().map(|domain| format!("{}.{domain}", subdomain::user_label(user)))
    }

    /// `/hub/spawn/alice` or `/hub/spawn/alice/second`.
    pub fn spawn(&self, user: &str, server: &str) -> String {
        self.at(&format!("spawn/{}", tail(user, server)))
    }

    /// `/hub/spawn-pending/alice` or `/hub/spawn-pending/alice/second`.
    pub fn spawn_pending(&self, user: &str, server: &str) -> String {
        self.at(&format!("spawn-pending/{}", tail(user, server)))
    }

    /// The event stream of a start.
    pub fn progress(&self, user: &str, server: &str) -> String {
        let user = escape(user);
        match server {
            "" => self.at(&format!("api/users/{user}/server/progress")),
            name => self.at(&format!("api/users/{user}/servers/{}/progress", escape(name))),
        }
    }

    /// The whole address of a path on the hub's host, if the public one is known.
    pub fn absolute(&self, path: &str) -> Option<String> {
        let mut url = self.public.clone()?;
        url.set_path(path);
        url.set_query(None);
        Some(url.into())
    }
}

/// What an administrator wrote as the page that people land on, ready for a `Location` header: a path, or a whole
/// address of the web. `None` if it is neither.
pub fn landing_address(text: &str) -> Option<String> {
    match Url::parse(text) {
        Ok(url) => (matches!(url.scheme(), "http" | "https") && url.has_host()).then(|| url.into()),
        Err(_) => safe_next(text, None),
    }
}

fn tail(user: &str, server: &str) -> String {
    match server {
        "" => escape(user),
        name => format!("{}/{}", escape(user), escape(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subdomains(base: &str, host: &str) -> Urls {
        Urls::with_subdomains(base, Url::parse(host).unwrap())
    }

    #[test]
    fn people_land_on_paths_and_on_addresses_of_the_web() {
        for (text, address) in [
            ("/hub/home?a=1", Some("/hub/home?a=1")),
            ("/services/é", Some("/services/%C3%A9")),
            ("/\\evil.example", Some("/%5Cevil.example")),
            ("https://Example.org", Some("https://example.org/")),
            ("hub/home", None),
            ("//example.org", None),
            ("https://", None),
            ("javascript:alert(1)", None),
            ("/hub\r\nx: y", None),
            ("", None),
        ] {
            assert_eq!(landing_address(text).as_deref(), address, "{text}");
        }
    }

    #[test]
    fn paths_hold_the_base_and_escaped_names() {
        let urls = Urls::new("/@b/", None);
        assert_eq!(urls.login(""), "/@b/hub/login");
        assert_eq!(urls.login("/@b/hub/home?a=1"), "/@b/hub/login?next=%2F%40b%2Fhub%2Fhome%3Fa%3D1");
        assert_eq!(urls.server("a b", ""), "/@b/user/a%20b/");
        assert_eq!(urls.service("grades"), "/@b/services/grades/");
        assert_eq!(urls.server_callback("a", "s1"), "/@b/user/a/s1/oauth_callback");
        assert_eq!((urls.server_route("a", ""), urls.hub_route()), ("/@b/user/a/".to_owned(), "/@b/"));
        assert_eq!(urls.spawn("alice@x", "s1"), "/@b/hub/spawn/alice@x/s1");
        assert_eq!(urls.progress("alice", ""), "/@b/hub/api/users/alice/server/progress");
        assert_eq!(urls.progress("alice", "s1"), "/@b/hub/api/users/alice/servers/s1/progress");
    }

    #[test]
    fn an_absolute_address_needs_the_public_one() {
        let urls = Urls::new("/", None);
        assert_eq!((urls.absolute("/user/a/"), urls.whole_server("a", ""), urls.domain()), (None, None, None));
        let urls = Urls::new("/", Some(Url::parse("https://hub.example.com:8443/").unwrap()));
        assert_eq!(urls.absolute("/user/a/").unwrap(), "https://hub.example.com:8443/user/a/");
        assert_eq!(urls.whole_server("a", "").unwrap(), "https://hub.example.com:8443/user/a/");
        assert_eq!((urls.server("a", ""), urls.domain()), ("/user/a/".to_owned(), None));
    }

    #[test]
    fn with_subdomains_each_user_has_a_host_with_the_hubs_scheme_and_port() {
        let urls = subdomains("/b/", "http://localhost:8000");
        assert_eq!(urls.public().unwrap().as_str(), "http://localhost:8000/b/");
        assert_eq!(urls.server("alice", "s1"), "http://alice.localhost:8000/b/user/alice/s1/");
        assert_eq!(urls.whole_server("alice", ""), Some(urls.server("alice", "")));
        assert_eq!(urls.server_route("alice", "s1"), "/alice.localhost/b/user/alice/s1/");
        assert_eq!((urls.hub_route(), urls.at("home").as_str()), ("/", "/b/hub/home"));

        let urls = subdomains("/", "https://hub.example.org");
        let server = "https://u-ax--bd39e6f.hub.example.org/user/a@x/";
        assert_eq!(urls.server("a@x", ""), server);
        assert_eq!(urls.server_callback("a@x", ""), format!("{server}oauth_callback"));
        assert_eq!(urls.server_path("a@x", ""), "/user/a@x/");
    }

    #[test]
    fn paths_of_a_users_servers_are_on_the_users_host() {
        let urls = subdomains("/b/", "https://hub.example.org");
        for path in ["/b/user/zo%C3%AB", "/b/user/zo%C3%AB/lab?x=/b/user/bob/", "/b/user/zo%C3%AB?a"] {
            let expected = format!("https://xn--zo-ija.hub.example.org{path}");
            assert_eq!(urls.on_its_host("zoë", path.to_owned()), expected);
        }
        for path in
            ["/b/user/bob/", "/b/user/", "/b/hub/home", "/user/zo%C3%AB/", "/b/user/zo%C3%AB%2Fx/", "/b/user/%ff/"]
        {
            assert_eq!(urls.on_its_host("zoë", path.to_owned()), path);
        }
        assert_eq!(Urls::new("/", None).on_its_host("a", "/user/a/".to_owned()), "/user/a/");
    }

    #[test]
    fn which_hosts_are_below_the_hubs() {
        let urls = subdomains("/", "https://hub.example.org");
        for host in
            ["alice.hub.example.org", "ALICE.Hub.Example.org:443", "a.b.hub.example.org", "alice.hub.example.org."]
        {
            assert!(urls.is_below_domain(host), "{host}");
        }
        for host in
            ["hub.example.org", "hub.example.org:443", "evilhub.example.org", "example.org", "jhub-hub:8081", "", ":"]
        {
            assert!(!urls.is_below_domain(host), "{host}");
        }
        assert!(!Urls::new("/", None).is_below_domain("alice.hub.example.org"));
    }
}
