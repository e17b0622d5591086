//! What a hub tells a server by its environment: the variables that JupyterHub's own single-user server reads. Pure.

use hub_auth::cookie::HOST_PREFIX;
use hub_traitlets::{Config, Origin};
use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use serde_json::{Map, Value};
use std::{collections::BTreeSet, time::Duration};
use url::Url;

/// Any of these says that a hub has started the server: it is guarded then, or does not start at all.
const SIGNS: [&str; 3] = ["JUPYTERHUB_API_TOKEN", "JUPYTERHUB_CLIENT_ID", "JUPYTERHUB_SERVICE_URL"];
/// Encryption between hub and servers.
const INTERNAL_SSL: [&str; 3] = ["JUPYTERHUB_SSL_KEYFILE", "JUPYTERHUB_SSL_CERTFILE", "JUPYTERHUB_SSL_CLIENT_CA"];
/// Without `JUPYTERHUB_API_URL`.
const DEFAULT_API_URL: &str = "http://127.0.0.1:8081/hub/api";
/// Seconds between reports of activity, without `JUPYTERHUB_ACTIVITY_INTERVAL`.
const DEFAULT_INTERVAL: u64 = 300;
/// Days that a browser keeps the cookie, unless `JUPYTERHUB_COOKIE_OPTIONS` has others.
const COOKIE_DAYS: i64 = 30;

/// Why the environment is not that of a server of a hub.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EnvironmentError {
    #[error(
        "{name} is not set: a hub sets it for the servers that it starts; to run without a hub, unset JUPYTERHUB_*"
    )]
    Missing { name: &'static str },
    #[error("{name} is wrong: {problem}")]
    Wrong { name: &'static str, problem: String },
}

/// A server of a hub.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Where the hub expects the server, by `JUPYTERHUB_SERVICE_URL`: an address to listen on, such as `0.0.0.0`.
    pub ip: String,
    pub port: u16,
    /// Path of the server, such as `/user/alice/`.
    pub(super) prefix: String,
    /// Below the prefix, such as `/lab`: where who asks for the prefix itself is sent.
    pub(super) default_url: Option<String>,
    /// The directory of the files.
    root_dir: Option<String>,
    /// Whose server it is.
    user: String,
    /// Id as an OAuth client of the hub; the cookies are named by it.
    pub(super) client_id: String,
    /// The server's own token, also its secret as an OAuth client.
    pub(super) api_token: SecretString,
    /// The hub's REST API without a slash at its end: `http://jhub-hub.jupyter:8081/hub/api`.
    pub(super) api_url: String,
    /// Scheme, host and port of the hub, if they are not the server's.
    hub_host: String,
    /// Path of the hub's pages, such as `/hub/`.
    hub_path: String,
    /// The redirect URI, as the hub knows it: a path, or a whole address.
    pub(super) callback: String,
    /// One of these scopes lets in.
    pub(super) access_scopes: BTreeSet<String>,
    pub(super) allow_token_in_url: bool,
    pub(super) allow_websocket_cookie: bool,
    pub(super) cookie: CookieRules,
    /// Scheme, host and port that people use, if the hub knows them.
    pub(super) public_origin: Option<String>,
    pub(super) activity: Option<ActivitySettings>,
}

/// What the cookies are like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CookieRules {
    /// [`HOST_PREFIX`] or nothing.
    pub prefix: &'static str,
    /// What `JUPYTERHUB_COOKIE_OPTIONS` says.
    pub secure: Option<bool>,
    /// How long browsers keep the token's cookie; `None`: until they end.
    pub days: Option<i64>,
}

/// Where activity is reported to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ActivitySettings {
    pub url: String,
    pub interval: Duration,
    /// Empty for the default server.
    pub server_name: String,
}

impl Environment {
    /// Reads the environment through `variable`; `None` if no hub has started this server.
    ///
    /// # Errors
    /// If something is missing or wrong: a server that a hub has started must not run without its guard.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, EnvironmentError> {
        let reader = Reader(|name: &str| variable(name).filter(|value| !value.is_empty()));
        if SIGNS.iter().all(|name| reader.text(name).is_none()) {
            return Ok(None);
        }
        if let Some(name) = INTERNAL_SSL.into_iter().find(|name| reader.text(name).is_some()) {
            let problem = "encryption between hub and servers is not supported; set c.JupyterHub.internal_ssl = False";
            return Err(wrong(name, problem));
        }
        let prefix = with_slashes(&reader.or("JUPYTERHUB_SERVICE_PREFIX", "/"));
        let (ip, port) = reader.listen()?;
        let callback = reader.or("JUPYTERHUB_OAUTH_CALLBACK_URL", &format!("{prefix}oauth_callback"));
        Ok(Some(Self {
            ip,
            port,
            default_url: reader.text("JUPYTERHUB_DEFAULT_URL"),
            root_dir: reader.text("JUPYTERHUB_ROOT_DIR"),
            user: reader.or("JUPYTERHUB_USER", ""),
            client_id: reader.required("JUPYTERHUB_CLIENT_ID")?,
            api_token: reader.required("JUPYTERHUB_API_TOKEN")?.into(),
            api_url: reader.api_url()?,
            hub_host: reader.or("JUPYTERHUB_HOST", "").trim_end_matches('/').to_owned(),
            hub_path: format!("{}hub/", with_slashes(&reader.or("JUPYTERHUB_BASE_URL", "/"))),
            callback,
            access_scopes: reader.access_scopes()?,
            allow_token_in_url: reader.flag("JUPYTERHUB_ALLOW_TOKEN_IN_URL", false),
            allow_websocket_cookie: reader.flag("JUPYTERHUB_ALLOW_WEBSOCKET_COOKIE_AUTH", true),
            cookie: reader.cookie_rules()?,
            public_origin: reader.public_origin()?,
            activity: reader.activity()?,
            prefix,
        }))
    }

    /// What the hub says in the names of Jupyter's settings. Nothing else has a say in it.
    pub(crate) fn settings(&self) -> Config {
        let mut config = Config::default();
        let port = self.port.to_string();
        let mut set = |name: &str, value: &str| {
            config.set("ServerApp", name, hub_traitlets::Value::Text(vec![value.to_owned()]), Origin::CommandLine);
        };
        for (name, value) in [
            ("ip", self.ip.as_str()),
            ("port", &port),
            // The hub knows this one only.
            ("port_retries", "0"),
            ("base_url", &self.prefix),
            ("open_browser", "False"),
            ("certfile", ""),
            ("keyfile", ""),
        ] {
            set(name, value);
        }
        if let Some(directory) = &self.root_dir {
            set("root_dir", directory);
        }
        config
    }

    /// Where JupyterLab finds the hub: its menu has the ways there and out then.
    pub(crate) fn jupyter_flags(&self) -> Vec<String> {
        let settings = [("hub_prefix", &self.hub_path), ("hub_host", &self.hub_host), ("user", &self.user)];
        settings.map(|(name, value)| format!("--ServerApp.tornado_settings={name}={value}")).into()
    }

    /// An address of the hub's pages for browsers: a path, or a whole address if the hub has a host of its own.
    pub(super) fn hub_page(&self, page: &str) -> String {
        format!("{}{}{page}", self.hub_host, self.hub_path)
    }

    /// Where the browser comes back to from the hub, as a path.
    pub(super) fn callback_path(&self) -> &str {
        match self.callback.split_once("://") {
            Some((_, rest)) => rest.find('/').map_or("/", |start| &rest[start..]),
            None => &self.callback,
        }
    }

    /// The cookie with the token (S62), whose name is the client's id.
    pub(super) fn token_cookie(&self) -> String {
        format!("{}{}", self.cookie.prefix, self.client_id)
    }

    /// The cookie with the state while OAuth is under way (S73); those of more logins at the same time have a suffix.
    pub(super) fn state_cookie(&self) -> String {
        format!("{}-oauth-state", self.token_cookie())
    }

    /// The path in its one spelling, if it is the server's in another one: `/user/alice` for `/user/alice/`, or
    /// `/user/a%40b/` for `/user/a@b/`. Browsers know cookies by the spelling, and would never send them.
    pub(super) fn respelled(&self, path: &str) -> Option<String> {
        let mut rest = path;
        for segment in self.prefix.split('/').skip(1) {
            rest = rest.strip_prefix('/')?;
            if segment.is_empty() {
                return Some(format!("{}{rest}", self.prefix));
            }
            let end = rest.find('/').unwrap_or(rest.len());
            if !percent_decode_str(&rest[..end]).eq(percent_decode_str(segment)) {
                return None;
            }
            rest = &rest[end..];
            if rest.is_empty() {
                rest = "/";
            }
        }
        None
    }
}

/// Reads variables by name; empty ones are not set.
struct Reader<F>(F);

impl<F: Fn(&str) -> Option<String>> Reader<F> {
    fn text(&self, name: &str) -> Option<String> {
        (self.0)(name)
    }

    fn or(&self, name: &str, default: &str) -> String {
        self.text(name).unwrap_or_else(|| default.to_owned())
    }

    fn required(&self, name: &'static str) -> Result<String, EnvironmentError> {
        self.text(name).ok_or(EnvironmentError::Missing { name })
    }

    /// `0` and `false` are no, all else is yes.
    fn flag(&self, name: &str, default: bool) -> bool {
        self.text(name).map_or(default, |value| value != "0" && !value.eq_ignore_ascii_case("false"))
    }

    fn url(&self, name: &'static str, value: &str) -> Result<Url, EnvironmentError> {
        let url = Url::parse(value).map_err(|error| wrong(name, format!("`{value}` is no address: {error}")))?;
        match url.scheme() {
            "http" | "https" if url.has_host() => Ok(url),
            _ => Err(wrong(name, format!("`{value}` is no address that begins with http:// or https://"))),
        }
    }

    fn listen(&self) -> Result<(String, u16), EnvironmentError> {
        const NAME: &str = "JUPYTERHUB_SERVICE_URL";
        let url = self.url(NAME, &self.required(NAME)?)?;
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = url.port_or_known_default().unwrap_or_default();
        Ok((host, port))
    }

    fn api_url(&self) -> Result<String, EnvironmentError> {
        const NAME: &str = "JUPYTERHUB_API_URL";
        let text = self.or(NAME, DEFAULT_API_URL);
        match self.url(NAME, &text)?.scheme() {
            "http" => Ok(text.trim_end_matches('/').to_owned()),
            _ => Err(wrong(NAME, format!("`{text}` is encrypted, which is not supported between hub and servers"))),
        }
    }

    fn access_scopes(&self) -> Result<BTreeSet<String>, EnvironmentError> {
        const NAME: &str = "JUPYTERHUB_OAUTH_ACCESS_SCOPES";
        // The second name is that of hubs before version 3.
        let scopes = match self.text(NAME).or_else(|| self.text("JUPYTERHUB_OAUTH_SCOPES")) {
            Some(list) => serde_json::from_str::<BTreeSet<String>>(&list)
                .map_err(|error| wrong(NAME, format!("`{list}` is no JSON list of scopes: {error}")))?,
            None => self
                .text("JUPYTERHUB_SERVICE_NAME")
                .map(|service| format!("access:services!service={service}"))
                .into_iter()
                .collect(),
        };
        match scopes.is_empty() {
            true => Err(EnvironmentError::Missing { name: NAME }),
            false => Ok(scopes),
        }
    }

    fn cookie_rules(&self) -> Result<CookieRules, EnvironmentError> {
        const NAME: &str = "JUPYTERHUB_COOKIE_OPTIONS";
        let options: Map<String, Value> = match self.text(NAME) {
            Some(text) => {
                serde_json::from_str(&text).map_err(|error| wrong(NAME, format!("no JSON object: {error}")))?
            }
            None => Map::new(),
        };
        let prefix = if self.flag("JUPYTERHUB_COOKIE_HOST_PREFIX_ENABLED", false) { HOST_PREFIX } else { "" };
        let mut rules = CookieRules { prefix, secure: None, days: Some(COOKIE_DAYS) };
        for (option, value) in options {
            match (option.to_ascii_lowercase().as_str(), &value) {
                ("secure", Value::Bool(secure)) => rules.secure = Some(*secure),
                ("expires_days", Value::Null) => rules.days = None,
                ("expires_days", Value::Number(days)) if days.is_i64() => rules.days = days.as_i64(),
                _ => {
                    let known = "known are secure (true or false) and expires_days (a number or null)";
                    return Err(wrong(NAME, format!("`{option}: {value}` is not supported; {known}")));
                }
            }
        }
        Ok(rules)
    }

    fn public_origin(&self) -> Result<Option<String>, EnvironmentError> {
        const NAME: &str = "JUPYTERHUB_PUBLIC_URL";
        let url = self.text(NAME).map(|text| self.url(NAME, &text)).transpose()?;
        Ok(url.map(|url| url.origin().ascii_serialization()))
    }

    fn activity(&self) -> Result<Option<ActivitySettings>, EnvironmentError> {
        const NAME: &str = "JUPYTERHUB_ACTIVITY_INTERVAL";
        let interval = match self.text(NAME) {
            Some(text) => text.parse().map_err(|_| wrong(NAME, format!("`{text}` is no number of seconds")))?,
            None => DEFAULT_INTERVAL,
        };
        let url = self.text("JUPYTERHUB_ACTIVITY_URL").filter(|_| interval > 0);
        Ok(url.map(|url| ActivitySettings {
            url,
            interval: Duration::from_secs(interval),
            server_name: self.or("JUPYTERHUB_SERVER_NAME", ""),
        }))
    }
}

fn wrong(name: &'static str, problem: impl Into<String>) -> EnvironmentError {
    EnvironmentError::Wrong { name, problem: problem.into() }
}

fn with_slashes(path: &str) -> String {
    match path.trim_matches('/') {
        "" => "/".to_owned(),
        inner => format!("/{inner}/"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use secrecy::ExposeSecret;
    use std::collections::BTreeMap;

    /// What a hub sets for the default server of alice, with changes; an empty value takes one away.
    pub(in crate::guard) fn alice(changes: &[(&str, &str)]) -> Result<Option<Environment>, EnvironmentError> {
        let mut variables = BTreeMap::from([
            ("JUPYTERHUB_ACTIVITY_URL", "http://hub:8081/hub/api/users/alice/activity"),
            ("JUPYTERHUB_API_TOKEN", "the-servers-own-token"),
            ("JUPYTERHUB_API_URL", "http://hub:8081/hub/api"),
            ("JUPYTERHUB_BASE_URL", "/"),
            ("JUPYTERHUB_CLIENT_ID", "jupyterhub-user-alice"),
            ("JUPYTERHUB_COOKIE_HOST_PREFIX_ENABLED", "0"),
            ("JUPYTERHUB_HOST", ""),
            ("JUPYTERHUB_OAUTH_ACCESS_SCOPES", r#"["access:servers!server=alice/","access:servers!user=alice"]"#),
            ("JUPYTERHUB_OAUTH_CALLBACK_URL", "/user/alice/oauth_callback"),
            ("JUPYTERHUB_SERVER_NAME", ""),
            ("JUPYTERHUB_SERVICE_PREFIX", "/user/alice/"),
            ("JUPYTERHUB_SERVICE_URL", "http://0.0.0.0:8888/user/alice/"),
            ("JUPYTERHUB_USER", "alice"),
        ]);
        variables.extend(changes.iter().copied());
        Environment::read(|name| variables.get(name).map(|value| (*value).to_owned()))
    }

    #[test]
    fn without_a_hub_there_is_no_guard() {
        assert!(Environment::read(|_| None).unwrap().is_none());
        assert!(Environment::read(|name| (name == "JUPYTERHUB_USER").then(|| "alice".to_owned())).unwrap().is_none());
    }

    #[test]
    fn what_a_hub_sets_is_read() {
        let read = alice(&[]).unwrap().unwrap();
        assert_eq!((read.ip.as_str(), read.port), ("0.0.0.0", 8888));
        assert_eq!((read.prefix.as_str(), read.hub_page("home").as_str()), ("/user/alice/", "/hub/home"));
        assert_eq!(
            (read.callback.as_str(), read.callback_path()),
            ("/user/alice/oauth_callback", read.callback.as_str())
        );
        assert_eq!(read.api_token.expose_secret(), "the-servers-own-token");
        assert_eq!(read.access_scopes.len(), 2);
        assert!(!read.allow_token_in_url && read.allow_websocket_cookie);
        assert_eq!(read.cookie, CookieRules { prefix: "", secure: None, days: Some(30) });
        assert_eq!(read.token_cookie(), "jupyterhub-user-alice");
        assert_eq!(read.state_cookie(), "jupyterhub-user-alice-oauth-state");
        let activity = read.activity.unwrap();
        assert_eq!((activity.interval.as_secs(), activity.server_name.as_str()), (300, ""));
    }

    #[test]
    fn a_host_of_its_own_and_other_rules_are_read() {
        let read = alice(&[
            ("JUPYTERHUB_BASE_URL", "/jupyter"),
            ("JUPYTERHUB_HOST", "https://hub.example.org"),
            ("JUPYTERHUB_PUBLIC_URL", "https://alice.hub.example.org:443/jupyter/user/alice/"),
            ("JUPYTERHUB_OAUTH_CALLBACK_URL", "https://alice.hub.example.org/jupyter/user/alice/oauth_callback"),
            ("JUPYTERHUB_SERVICE_URL", "http://[::]:9999/jupyter/user/alice/"),
            ("JUPYTERHUB_COOKIE_HOST_PREFIX_ENABLED", "1"),
            ("JUPYTERHUB_COOKIE_OPTIONS", r#"{"secure": true, "expires_days": null}"#),
            ("JUPYTERHUB_ALLOW_TOKEN_IN_URL", "true"),
            ("JUPYTERHUB_ALLOW_WEBSOCKET_COOKIE_AUTH", "False"),
            ("JUPYTERHUB_ACTIVITY_INTERVAL", "0"),
        ]);
        let read = read.unwrap().unwrap();
        assert_eq!((read.ip.as_str(), read.port), ("::", 9999));
        assert_eq!(read.hub_page("home"), "https://hub.example.org/jupyter/hub/home");
        let flags = read.jupyter_flags().join(" ").replace("--ServerApp.tornado_settings=", "");
        assert_eq!(flags, "hub_prefix=/jupyter/hub/ hub_host=https://hub.example.org user=alice");
        assert_eq!(read.callback_path(), "/jupyter/user/alice/oauth_callback");
        assert_eq!(read.public_origin.as_deref(), Some("https://alice.hub.example.org"));
        assert_eq!(read.cookie, CookieRules { prefix: "__Host-", secure: Some(true), days: None });
        assert_eq!(read.token_cookie(), "__Host-jupyterhub-user-alice");
        assert!(read.allow_token_in_url && !read.allow_websocket_cookie && read.activity.is_none());
    }

    #[test]
    fn a_server_of_a_hub_does_not_start_without_what_its_guard_needs() {
        for name in
            ["JUPYTERHUB_API_TOKEN", "JUPYTERHUB_CLIENT_ID", "JUPYTERHUB_SERVICE_URL", "JUPYTERHUB_OAUTH_ACCESS_SCOPES"]
        {
            let error = alice(&[(name, "")]).unwrap_err();
            assert!(matches!(error, EnvironmentError::Missing { name: missing } if missing == name), "{error}");
        }
        for (name, value, part) in [
            ("JUPYTERHUB_SERVICE_URL", "0.0.0.0:8888", "no address"),
            ("JUPYTERHUB_SERVICE_URL", "unix:/socket", "http://"),
            ("JUPYTERHUB_API_URL", "https://hub:8081/hub/api", "encrypted"),
            ("JUPYTERHUB_OAUTH_ACCESS_SCOPES", "access:servers", "no JSON list"),
            ("JUPYTERHUB_COOKIE_OPTIONS", r#"{"domain": "example.org"}"#, "`domain: \"example.org\"` is not supported"),
            ("JUPYTERHUB_SSL_KEYFILE", "/key.pem", "internal_ssl = False"),
            ("JUPYTERHUB_ACTIVITY_INTERVAL", "often", "no number of seconds"),
            ("JUPYTERHUB_PUBLIC_URL", "hub.example.org", "no address"),
        ] {
            let error = alice(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(part), "{error}");
        }
    }

    #[test]
    fn services_and_older_hubs_name_their_scopes_otherwise() {
        let older = [("JUPYTERHUB_OAUTH_ACCESS_SCOPES", ""), ("JUPYTERHUB_OAUTH_SCOPES", r#"["access:servers"]"#)];
        assert!(alice(&older).unwrap().unwrap().access_scopes.contains("access:servers"));
        let service = [("JUPYTERHUB_OAUTH_ACCESS_SCOPES", ""), ("JUPYTERHUB_SERVICE_NAME", "grades")];
        assert!(alice(&service).unwrap().unwrap().access_scopes.contains("access:services!service=grades"));
    }

    #[test]
    fn other_spellings_of_the_servers_path_are_known() {
        let read = alice(&[("JUPYTERHUB_SERVICE_PREFIX", "/base/user/a@b/s1/")]).unwrap().unwrap();
        for (path, expected) in [
            ("/base/user/a%40b/s1/lab", Some("/base/user/a@b/s1/lab")),
            ("/base/user/a@b/s1", Some("/base/user/a@b/s1/")),
            ("/base/user/%61%40%62/s1", Some("/base/user/a@b/s1/")),
            ("/base/user/a@b/", None),
            ("/base/user/a@c/s1/", None),
            ("/", None),
            ("/other", None),
            ("", None),
        ] {
            assert_eq!(read.respelled(path).as_deref(), expected, "{path}");
        }
        assert_eq!(
            alice(&[("JUPYTERHUB_SERVICE_PREFIX", "/")]).unwrap().unwrap().respelled("/x").as_deref(),
            Some("/x")
        );
    }
}
