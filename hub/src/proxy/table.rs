//! The proxy's table: what it should hold, what it holds, and the least that makes the one the other. Pure.
//!
//! Paths are decoded and without a slash at their end (`/user/a@b`), as the proxy stores them; the root is `/`. With
//! subdomains the host is the first segment (`/alice.hub.example.org/user/alice`).

use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// What stays as it is in a path: Python's `quote` with `safe="@/~"`.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'~').remove(b'@').remove(b'/');

/// One route as the REST API has it. Keys that this hub does not know are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// Scheme, host and port, without a path: `http://10.244.0.7:8888`.
    pub target: String,
    /// When a request last passed. The proxy sets it; never sent.
    #[serde(default, skip_serializing)]
    pub last_activity: Option<Timestamp>,
    /// `user` and `server_name`, or `service`, or `hub`; and `jupyterhub: true` on all that are this hub's. With
    /// `token_login: true` the proxy sends visits with `?token=` to the hub; `tls_name` is whose certificate it asks for.
    #[serde(flatten)]
    pub data: Map<String, Value>,
}

impl Route {
    /// The route of a user's server.
    pub fn of_server(target: &str, user: &str, server: &str) -> Self {
        Self::new(target, [("user", user.into()), ("server_name", server.into())])
    }

    /// The same route, which leaves logins by a token in the address to the hub.
    #[must_use]
    pub fn with_token_login(mut self) -> Self {
        self.data.insert("token_login".to_owned(), true.into());
        self
    }

    /// The same route, whose target must show a certificate for this name: its address may be another's next.
    #[must_use]
    pub fn with_tls_name(mut self, name: &str) -> Self {
        self.data.insert("tls_name".to_owned(), name.into());
        self
    }

    /// The route of a service.
    pub fn of_service(target: &str, name: &str) -> Self {
        Self::new(target, [("service", name.into())])
    }

    /// The route of the hub itself.
    pub fn of_hub(target: &str) -> Self {
        Self::new(target, [("hub", true.into())])
    }

    fn new<const N: usize>(target: &str, data: [(&str, Value); N]) -> Self {
        let mut data: Map<String, Value> = data.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        data.insert("jupyterhub".to_owned(), true.into());
        Self { target: target.trim_end_matches('/').to_owned(), last_activity: None, data }
    }

    /// It was put there by a hub. Routes of others are theirs.
    pub fn is_ours(&self) -> bool {
        self.data.contains_key("jupyterhub")
    }

    /// The server that it leads to, if it is a server's: user and server name.
    pub fn server(&self) -> Option<(&str, &str)> {
        Some((self.data.get("user")?.as_str()?, self.data.get("server_name")?.as_str()?))
    }

    fn leads_where(&self, other: &Self) -> bool {
        let key = |route: &Self| {
            let mut data = route.data.clone();
            // The proxy's own note of the path's first segment.
            data.remove("host");
            (route.target.trim_end_matches('/').to_owned(), data)
        };
        key(self) == key(other)
    }
}

/// The least change of the table.
#[derive(Debug, Default, PartialEq)]
pub struct Difference {
    pub add: BTreeMap<String, Route>,
    pub remove: BTreeSet<String>,
}

/// What to change so that `actual` holds every wanted route and no stale one. Routes without `jupyterhub` belong to
/// others; paths in `pending` belong to servers that are starting or stopping, whose own tasks see to them.
pub fn difference(
    wanted: &BTreeMap<String, Route>,
    actual: &BTreeMap<String, Route>,
    pending: &BTreeSet<String>,
) -> Difference {
    let add = wanted
        .iter()
        .filter(|(path, route)| !pending.contains(*path) && !actual.get(*path).is_some_and(|is| is.leads_where(route)))
        .map(|(path, route)| (path.clone(), route.clone()))
        .collect();
    let remove = actual
        .iter()
        .filter(|(path, route)| route.is_ours() && !wanted.contains_key(*path) && !pending.contains(*path))
        .map(|(path, _)| path.clone())
        .collect();
    Difference { add, remove }
}

/// Adds one pod's table to those of others: of a route that several have, the one that was used last.
pub fn merge(tables: &mut BTreeMap<String, Route>, table: BTreeMap<String, Route>) {
    for (path, route) in table {
        match tables.get(&path) {
            Some(known) if known.last_activity >= route.last_activity => {}
            _ => {
                tables.insert(path, route);
            }
        }
    }
}

/// A decoded path as it is written in a URL.
pub fn escape_path(path: &str) -> String {
    utf8_percent_encode(path, PATH).to_string()
}

/// The table's path of a prefix such as `/user/a%40b/`: decoded, without the slash at its end.
pub fn path_of_prefix(prefix: &str) -> String {
    let decoded = percent_encoding::percent_decode_str(prefix).decode_utf8_lossy();
    match decoded.trim_end_matches('/') {
        "" => "/".to_owned(),
        path => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn table(routes: &[(&str, Route)]) -> BTreeMap<String, Route> {
        routes.iter().map(|(path, route)| ((*path).to_owned(), route.clone())).collect()
    }

    fn alice() -> Route {
        Route::of_server("http://10.0.0.1:8888", "alice", "")
    }

    #[test]
    fn a_route_is_sent_as_the_protocol_has_it() {
        assert_eq!(
            serde_json::to_value(alice()).unwrap(),
            json!({"target": "http://10.0.0.1:8888", "user": "alice", "server_name": "", "jupyterhub": true}),
        );
        assert_eq!(
            serde_json::to_value(alice().with_token_login()).unwrap(),
            json!({
                "target": "http://10.0.0.1:8888", "user": "alice", "server_name": "", "jupyterhub": true,
                "token_login": true,
            }),
        );
        assert_eq!(
            serde_json::to_value(Route::of_server("https://10.0.0.1:8888", "alice", "").with_tls_name("a.internal"))
                .unwrap(),
            json!({
                "target": "https://10.0.0.1:8888", "user": "alice", "server_name": "", "jupyterhub": true,
                "tls_name": "a.internal",
            }),
        );
        assert_eq!(
            serde_json::to_value(Route::of_service("http://10.0.0.7:8080", "grades")).unwrap(),
            json!({"target": "http://10.0.0.7:8080", "service": "grades", "jupyterhub": true}),
        );
        assert_eq!(
            serde_json::to_value(Route::of_hub("http://hub:8081/")).unwrap(),
            json!({"target": "http://hub:8081", "hub": true, "jupyterhub": true}),
        );
    }

    /// The proxy answers with the time of the last request: that is no difference.
    #[test]
    fn equal_tables_need_nothing() {
        let answered: BTreeMap<String, Route> = serde_json::from_value(json!({
            "/": {"target": "http://hub:8081", "hub": true, "jupyterhub": true, "last_activity": "2026-11-23T14:21:51.467Z"},
            "/user/alice": {"target": "http://10.0.0.1:8888", "user": "alice", "server_name": "", "jupyterhub": true,
                            "last_activity": "2026-11-23T14:21:51.467Z"},
        }))
        .unwrap();
        let wanted = table(&[("/", Route::of_hub("http://hub:8081")), ("/user/alice", alice())]);
        assert_eq!(difference(&wanted, &answered, &BTreeSet::new()), Difference::default());
        assert!(answered["/user/alice"].last_activity.is_some());
    }

    #[test]
    fn the_host_that_a_proxy_notes_is_no_difference() {
        let answered: BTreeMap<String, Route> = serde_json::from_value(json!({
            "/alice.hub.example.org/user/alice": {
                "target": "http://10.0.0.1:8888", "user": "alice", "server_name": "", "jupyterhub": true,
                "host": "alice.hub.example.org", "last_activity": "2026-11-23T14:21:51.467Z",
            },
        }))
        .unwrap();
        let wanted = table(&[("/alice.hub.example.org/user/alice", alice())]);
        assert_eq!(difference(&wanted, &answered, &BTreeSet::new()), Difference::default());
    }

    /// Missing, extra, a wrong target, another user's name on it; a foreign route and a pending server beside them.
    #[test]
    fn only_the_difference_is_mended() {
        let wanted = table(&[
            ("/", Route::of_hub("http://hub:8081")),
            ("/user/alice", alice()),
            ("/user/bob", Route::of_server("http://10.0.0.2:8888", "bob", "")),
            ("/user/carol", Route::of_server("http://10.0.0.3:8888", "carol", "")),
        ]);
        let foreign = Route { target: "http://other".to_owned(), last_activity: None, data: Map::new() };
        let actual = table(&[
            ("/", Route::of_hub("http://hub:8081")),
            ("/user/bob", Route::of_server("http://10.6.6.6:8888", "bob", "")),
            ("/user/carol", Route::of_server("http://10.0.0.3:8888", "mallory", "")),
            ("/user/gone", Route::of_server("http://10.0.0.9:8888", "gone", "")),
            ("/user/starting", Route::of_server("http://10.0.0.8:8888", "starting", "")),
            ("/foreign", foreign),
        ]);
        let pending = BTreeSet::from(["/user/starting".to_owned()]);
        let difference = difference(&wanted, &actual, &pending);
        assert_eq!(difference.add.keys().collect::<Vec<_>>(), ["/user/alice", "/user/bob", "/user/carol"]);
        assert_eq!(difference.add["/user/bob"].target, "http://10.0.0.2:8888");
        assert_eq!(difference.remove, BTreeSet::from(["/user/gone".to_owned()]));
    }

    /// Without its name a route would lead to whoever has the address.
    #[test]
    fn a_name_that_was_taken_away_or_changed_is_mended() {
        let wanted = table(&[("/user/alice", alice().with_tls_name("a.internal"))]);
        for actual in [alice(), alice().with_tls_name("b.internal")] {
            let difference = difference(&wanted, &table(&[("/user/alice", actual)]), &BTreeSet::new());
            assert_eq!(difference.add, wanted);
        }
        assert_eq!(difference(&wanted, &wanted, &BTreeSet::new()), Difference::default());
    }

    /// A route in a path of ours without our mark is not what we want there.
    #[test]
    fn a_wanted_path_is_taken_back_from_others() {
        let mut taken = alice();
        taken.data.remove("jupyterhub");
        let wanted = table(&[("/user/alice", alice())]);
        let difference = difference(&wanted, &table(&[("/user/alice", taken)]), &BTreeSet::new());
        assert_eq!(difference.add, wanted);
    }

    #[test]
    fn paths_are_escaped_and_decoded() {
        for (prefix, path, escaped) in [
            ("/", "/", "/"),
            ("/user/a@b.c/", "/user/a@b.c", "/user/a@b.c"),
            ("/user/a%20b/s1/", "/user/a b/s1", "/user/a%20b/s1"),
            ("/hub%20x/user/%C3%BC/", "/hub x/user/ü", "/hub%20x/user/%C3%BC"),
            ("/user/50%25/", "/user/50%", "/user/50%25"),
            ("/a.hub.org/user/a%20b/", "/a.hub.org/user/a b", "/a.hub.org/user/a%20b"),
        ] {
            assert_eq!(path_of_prefix(prefix), path);
            assert_eq!(escape_path(path), escaped);
        }
    }
}
