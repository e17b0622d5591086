//! Every path that the hub serves or sends people to, made in one place. Pure.

use hub_auth::{
    names::{escape, server_path, service_path},
    next_url::with_query,
};
use url::Url;

/// Where this hub is.
#[derive(Clone, Debug)]
pub struct Urls {
    base: String,
    hub: String,
    public: Option<Url>,
}

impl Urls {
    /// `base` starts and ends with a slash.
    pub fn new(base: &str, public: Option<Url>) -> Self {
        Self { base: base.to_owned(), hub: format!("{base}hub/"), public }
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

    /// A path below `/hub/`.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.hub)
    }

    /// The login page, with the way back.
    pub fn login(&self, next: &str) -> String {
        if next.is_empty() { self.at("login") } else { with_query(&self.at("login"), "next", next) }
    }

    /// `/user/alice/` or `/user/alice/second/`.
    pub fn server(&self, user: &str, server: &str) -> String {
        server_path(&self.base, user, server)
    }

    /// `/services/grades/`.
    pub fn service(&self, name: &str) -> String {
        service_path(&self.base, name)
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

    /// The whole address of a path of ours, if the public one is known.
    pub fn absolute(&self, path: &str) -> Option<String> {
        let mut url = self.public.clone()?;
        url.set_path(path);
        url.set_query(None);
        Some(url.into())
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

    #[test]
    fn paths_hold_the_base_and_escaped_names() {
        let urls = Urls::new("/@b/", None);
        assert_eq!(urls.login(""), "/@b/hub/login");
        assert_eq!(urls.login("/@b/hub/home?a=1"), "/@b/hub/login?next=%2F%40b%2Fhub%2Fhome%3Fa%3D1");
        assert_eq!(urls.server("a b", ""), "/@b/user/a%20b/");
        assert_eq!(urls.service("grades"), "/@b/services/grades/");
        assert_eq!(urls.spawn("alice@x", "s1"), "/@b/hub/spawn/alice@x/s1");
        assert_eq!(urls.progress("alice", ""), "/@b/hub/api/users/alice/server/progress");
        assert_eq!(urls.progress("alice", "s1"), "/@b/hub/api/users/alice/servers/s1/progress");
    }

    #[test]
    fn an_absolute_address_needs_the_public_one() {
        assert_eq!(Urls::new("/", None).absolute("/user/a/"), None);
        let urls = Urls::new("/", Some(Url::parse("https://hub.example.com:8443/").unwrap()));
        assert_eq!(urls.absolute("/user/a/").unwrap(), "https://hub.example.com:8443/user/a/");
    }
}
