//! The part of a host that one server has: the paths below its route, and cookies of its own. Pure.
//!
//! Where all servers share a host with the hub, browsers send each server every cookie of `/`, and would take from each
//! whatever it sets. So a server does not see who is logged in at the hub or at other servers, and sets nothing beyond its
//! own paths. Routes that no hub has made have no realm: what is behind them is nobody's server.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};
use serde_json::{Map, Value};

use crate::http1::field;

/// The login at the hub's own pages (S58). No server needs it.
const HUB_LOGIN: &[u8] = b"jupyterhub-hub-login";
/// What the hub shares with all servers (S70); they take it away when somebody logs out.
const SESSION_ID: &[u8] = b"jupyterhub-session-id";
/// Cookies of servers are named after their OAuth clients (S62, S73).
const SERVERS: &[u8] = b"jupyterhub-user-";
/// Follows the name of a cookie that holds an OAuth state.
const OAUTH_STATE: &[u8] = b"-oauth-state";
/// Browsers pass over an attribute that is longer (RFC 6265bis section 5.6).
const MAX_ATTRIBUTE: usize = 1024;
/// Names with it belong to a whole host (RFC 6265bis section 4.1.3.2).
const OF_HOST: &[u8] = b"__Host-";

/// What Python's `quote` leaves as it is.
const QUOTED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same in a path.
const QUOTED_PATH: &AsciiSet = &QUOTED.remove(b'/').remove(b'@');

/// One server's part of its host.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Realm {
    /// Decoded, with a slash at its end.
    prefix: String,
    /// The same as a cookie's path.
    cookie_path: String,
    /// The names that the server's own cookie may have.
    client_ids: Vec<String>,
}

/// What becomes of a field that a server sends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ruling {
    Passes,
    Dropped,
    /// It gets this value.
    Narrowed(Vec<u8>),
}

impl Realm {
    /// That of a route, if what a hub says of it makes it a server's or a service's.
    pub(crate) fn of(path: &str, data: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| data.get(name).and_then(Value::as_str);
        let is_hubs = data.get("hub") == Some(&Value::Bool(true)) || path == "/";
        if is_hubs || !data.contains_key("jupyterhub") {
            return None;
        }
        let quoted = |name: &str| utf8_percent_encode(name, QUOTED).to_string();
        let client_ids = match (text("user").map(quoted), text("server_name").filter(|server| !server.is_empty())) {
            (Some(user), None) => vec![format!("jupyterhub-user-{user}")],
            // JupyterHub's, which may be another user's, and our hub's, which can't be.
            (Some(user), Some(server)) => {
                ["-", "+"].map(|sign| format!("jupyterhub-user-{user}{sign}{}", quoted(server))).into()
            }
            (None, _) => vec![format!("service-{}", text("service")?)],
        };
        let cookie_path = format!("{}/", utf8_percent_encode(path, QUOTED_PATH));
        Some(Self { prefix: format!("{path}/"), cookie_path, client_ids })
    }

    /// The cookies of a request that the server gets to see; `None` if that is all of them.
    pub(crate) fn visible(&self, cookies: &[u8]) -> Option<Vec<u8>> {
        let pairs = || cookies.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let is_visible = |pair: &&[u8]| self.sees(field::cookie_name(pair));
        if pairs().all(|pair| is_visible(&pair)) {
            return None;
        }
        Some(pairs().filter(is_visible).collect::<Vec<_>>().join(&b"; "[..]))
    }

    fn sees(&self, name: &[u8]) -> bool {
        match name.strip_prefix(OF_HOST) {
            // Those of a whole host have no path by which browsers would keep them to themselves.
            Some(bare) => self.owns(bare),
            None => name != HUB_LOGIN && (!name.starts_with(SERVERS) || self.owns(name)),
        }
    }

    /// Whether a name without its prefix is that of the server's cookie, or of one with an OAuth state.
    fn owns(&self, name: &[u8]) -> bool {
        let mut rests = self.client_ids.iter().filter_map(|id| name.strip_prefix(id.as_bytes()));
        rests.any(|rest| {
            let state = rest.strip_prefix(OAUTH_STATE);
            rest.is_empty() || state.is_some_and(|more| more.is_empty() || more.starts_with(b"-"))
        })
    }

    /// What becomes of a field of an answer.
    pub(crate) fn judge(&self, name: &str, value: &[u8]) -> Ruling {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        match name.len() {
            10 if is("set-cookie") => self.judge_cookie(value),
            // What they say counts for the whole host.
            3 if is("nel") => Ruling::Dropped,
            7 if is("alt-svc") => Ruling::Dropped,
            9 if is("report-to") => Ruling::Dropped,
            15 if is("clear-site-data") || is("public-key-pins") => Ruling::Dropped,
            25 if is("strict-transport-security") => Ruling::Dropped,
            22 if is("service-worker-allowed") && !self.holds_scope(value) => Ruling::Dropped,
            _ => Ruling::Passes,
        }
    }

    fn judge_cookie(&self, set_cookie: &[u8]) -> Ruling {
        let mut parts = set_cookie.split(|byte| *byte == b';');
        let pair = parts.next().unwrap_or_default();
        let name = field::cookie_name(pair);
        let bare = name.strip_prefix(OF_HOST).unwrap_or(name);
        let attributes: Vec<_> = parts.map(attribute).collect();
        let has_domain = attributes.iter().any(|(name, value)| is_named(name, b"domain") && !value.is_empty());
        if bare == HUB_LOGIN || has_domain {
            return Ruling::Dropped;
        }
        let is_own_of_host = name.starts_with(OF_HOST) && self.owns(bare);
        if is_own_of_host {
            return Ruling::Passes;
        }
        if name == SESSION_ID && is_emptied(pair) {
            // Taken away, whatever else it says.
            return Ruling::Narrowed([set_cookie, b"; Max-Age=0"].concat());
        }
        // The last one counts (RFC 6265 section 5.3).
        let path = attributes.iter().rfind(|(name, _)| is_named(name, b"path")).map(|(_, value)| *value);
        if path.is_some_and(|path| path.len() <= MAX_ATTRIBUTE && self.holds(path)) {
            return Ruling::Passes;
        }
        let kept = set_cookie.split(|byte| *byte == b';').enumerate();
        let kept = kept.filter(|(at, part)| *at == 0 || !is_named(attribute(part).0, b"path")).map(|(_, part)| part);
        let path = [b" Path=", self.cookie_path.as_bytes()].concat();
        Ruling::Narrowed(kept.chain([path.as_slice()]).collect::<Vec<_>>().join(&b";"[..]))
    }

    /// Whether a service worker's scope is the server's. Browsers resolve it as an address, so that it must be one that stays
    /// what it is.
    fn holds_scope(&self, scope: &[u8]) -> bool {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_~/".contains(byte);
        scope.trim_ascii().strip_prefix(self.prefix.as_bytes()).is_some_and(|rest| rest.iter().all(is_plain))
    }

    /// Whether a cookie's path is the server's. Browsers compare it as it is written, so that dots in it lead nowhere.
    fn holds(&self, path: &[u8]) -> bool {
        let path: Vec<u8> = percent_decode(path).collect();
        path.starts_with(self.prefix.as_bytes()) || Some(path.as_slice()) == self.prefix.as_bytes().strip_suffix(b"/")
    }
}

/// Name and value of a cookie's attribute.
fn attribute(part: &[u8]) -> (&[u8], &[u8]) {
    let at = part.iter().position(|byte| *byte == b'=').unwrap_or(part.len());
    (part[..at].trim_ascii(), part.get(at + 1..).unwrap_or_default().trim_ascii())
}

fn is_named(name: &[u8], known: &[u8]) -> bool {
    name.eq_ignore_ascii_case(known)
}

/// What a server sets to take a cookie away: a value is nobody's to choose but the hub's.
fn is_emptied(pair: &[u8]) -> bool {
    pair.contains(&b'=') && matches!(attribute(pair).1, b"" | b"\"\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn realm(path: &str, data: &Value) -> Option<Realm> {
        Realm::of(path, data.as_object().unwrap())
    }

    fn of_alice() -> Realm {
        realm("/user/alice", &json!({"user": "alice", "server_name": "", "jupyterhub": true})).unwrap()
    }

    #[test]
    fn servers_and_services_of_a_hub_have_a_realm() {
        let server = realm("/user/a@b/x", &json!({"user": "a@b", "server_name": "x y", "jupyterhub": true})).unwrap();
        assert_eq!(server.client_ids, ["jupyterhub-user-a%40b-x%20y", "jupyterhub-user-a%40b+x%20y"]);
        assert_eq!(server.cookie_path, "/user/a@b/x/");
        let service = realm("/services/grades", &json!({"service": "grades", "jupyterhub": true})).unwrap();
        assert_eq!(service.client_ids, ["service-grades"]);
        for (path, data) in [
            ("/", json!({"hub": true, "jupyterhub": true})),
            ("/hub", json!({"hub": true, "jupyterhub": true})),
            ("/", json!({"user": "alice", "jupyterhub": true})),
            ("/user/alice", json!({"user": "alice"})),
            ("/other", json!({"jupyterhub": true})),
        ] {
            assert_eq!(realm(path, &data), None, "{path} {data}");
        }
    }

    #[test]
    fn a_server_sees_its_own_cookies_and_what_is_shared_s67_s70() {
        let realm = of_alice();
        for (cookies, visible) in [
            ("jupyterhub-session-id=s; _xsrf=x; jupyterhub-user-alice=t; a=b", None),
            ("jupyterhub-user-alice-oauth-state=s; jupyterhub-user-alice-oauth-state-abcdefgh=s", None),
            ("__Host-jupyterhub-user-alice=t", None),
            ("service-grades=t; __Host-service-grades=t", Some("service-grades=t")),
            ("__Host-jupyterhub-hub-anonymous=r; a=b", Some("a=b")),
            ("jupyterhub-user-alice-oauth-statement=t", Some("")),
            ("jupyterhub-hub-login=\"2|1\"; a=b", Some("a=b")),
            ("a=b;__Host-jupyterhub-hub-login=x ;c", Some("a=b; c")),
            ("jupyterhub-user-bob=t; _xsrf=x; jupyterhub-user-alice2=t; jupyterhub-user-alice-lab=t", Some("_xsrf=x")),
            ("__Host-jupyterhub-user-bob=t; __Host-jupyterhub-user-bob-oauth-state=t", Some("")),
            ("=jupyterhub-hub-login=x; jupyterhub-hub-login", Some("")),
            ("", None),
        ] {
            let found = realm.visible(cookies.as_bytes()).map(|found| String::from_utf8(found).unwrap());
            assert_eq!(found.as_deref(), visible, "{cookies}");
        }
    }

    #[test]
    fn a_server_sets_cookies_below_its_prefix_only_row_23() {
        let realm = of_alice();
        let narrowed = |text: &str| Ruling::Narrowed(text.into());
        for (set_cookie, expected) in [
            ("a=b; Path=/user/alice/", Ruling::Passes),
            ("a=b; path=/user/alice/lab; HttpOnly", Ruling::Passes),
            ("a=b; Path=/user/%61lice", Ruling::Passes),
            ("a=b; Path=/; Path=/user/alice/", Ruling::Passes),
            ("jupyterhub-session-id=\"\"; Path=/", narrowed("jupyterhub-session-id=\"\"; Path=/; Max-Age=0")),
            (
                "jupyterhub-session-id=; Max-Age=9; Path=/",
                narrowed("jupyterhub-session-id=; Max-Age=9; Path=/; Max-Age=0"),
            ),
            ("jupyterhub-session-id; Path=/", narrowed("jupyterhub-session-id; Path=/user/alice/")),
            (&format!("a=b; Path=/; Path=/user/alice/{}", "a".repeat(1024)), narrowed("a=b; Path=/user/alice/")),
            ("__Host-jupyterhub-user-alice=t; Secure; Path=/", Ruling::Passes),
            ("a=b", narrowed("a=b; Path=/user/alice/")),
            ("a=b; Path=/; Secure", narrowed("a=b; Secure; Path=/user/alice/")),
            ("a=b; PATH=/user/alice2/", narrowed("a=b; Path=/user/alice/")),
            ("a=b; Path=/user/alice/; Path=/hub/", narrowed("a=b; Path=/user/alice/")),
            ("a=b; Path=user/alice/", narrowed("a=b; Path=/user/alice/")),
            ("jupyterhub-session-id=mine; Path=/", narrowed("jupyterhub-session-id=mine; Path=/user/alice/")),
            (
                "__Host-jupyterhub-user-bob=t; Secure; Path=/",
                narrowed("__Host-jupyterhub-user-bob=t; Secure; Path=/user/alice/"),
            ),
            ("a=b; Domain=example.org; Path=/user/alice/", Ruling::Dropped),
            ("a=b; Domain=; Path=/user/alice/", Ruling::Passes),
            ("jupyterhub-hub-login=x; Path=/user/alice/", Ruling::Dropped),
            ("__Host-jupyterhub-hub-login=; Path=/; Secure", Ruling::Dropped),
            ("=jupyterhub-hub-login=x; Path=/hub/", Ruling::Dropped),
        ] {
            assert_eq!(realm.judge("Set-Cookie", set_cookie.as_bytes()), expected, "{set_cookie}");
        }
    }

    #[test]
    fn a_server_says_nothing_about_the_whole_host_row_24() {
        let realm = of_alice();
        for (name, value, expected) in [
            ("Clear-Site-Data", "\"*\"", Ruling::Dropped),
            ("Strict-Transport-Security", "max-age=1", Ruling::Dropped),
            ("Public-Key-Pins", "x", Ruling::Dropped),
            ("NEL", "{}", Ruling::Dropped),
            ("Report-To", "{}", Ruling::Dropped),
            ("Alt-Svc", "h3=\":443\"", Ruling::Dropped),
            ("Service-Worker-Allowed", "/", Ruling::Dropped),
            ("Service-Worker-Allowed", "/user/alice/../../", Ruling::Dropped),
            ("Service-Worker-Allowed", "/user/alice/%2e%2e/%2e%2e/", Ruling::Dropped),
            ("Service-Worker-Allowed", "/user/alice/..\\..", Ruling::Dropped),
            ("service-worker-allowed", "/user/alice/lab/", Ruling::Passes),
            ("Content-Type", "text/html", Ruling::Passes),
        ] {
            assert_eq!(realm.judge(name, value.as_bytes()), expected, "{name}: {value}");
        }
    }
}
