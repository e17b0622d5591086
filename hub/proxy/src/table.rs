//! The routing table: shared by the data path, the REST API, the snapshot and an embedding hub.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jiff::Timestamp;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Map, Value};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::pool::{Pool, Upstream};
use crate::realm::Realm;
use crate::routes::{self, RoutePathError, Trie};
use crate::stream::Stream;
use crate::target::{Target, TargetError};

/// Why a route is not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    #[error("Must specify 'target' as string")]
    MissingTarget,
    #[error("Bad target: {0}")]
    Target(#[from] TargetError),
    #[error("Bad path: {0}")]
    Path(#[from] RoutePathErrorText),
}

/// What is wrong with a route's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct RoutePathErrorText(RoutePathError);

/// One route.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) path: String,
    pub(crate) target: Target,
    pub(crate) upstream: Arc<Upstream>,
    /// Leads to the hub, for whose restart requests wait.
    pub(crate) is_hub: bool,
    /// A hub that knows ids of requests put it there for itself.
    pub(crate) takes_ids: bool,
    /// Visits of its pages with a token in the address are for the hub: `token_login` in the data. A token that logs in
    /// at the hub is then none of the target's business.
    pub(crate) leaves_logins: bool,
    /// What of its host is the target's, where it shares that.
    pub(crate) realm: Option<Realm>,
    /// How many segments of a request's path the route's path takes.
    pub(crate) depth: usize,
    data: Map<String, Value>,
    usage: Arc<Usage>,
}

/// How a route is used. A route that is posted again with the same target is used on.
#[derive(Debug, Default)]
struct Usage {
    /// Milliseconds since 1970.
    last_activity: AtomicI64,
    /// It leads to its target no more: it was removed, or leads elsewhere.
    ended: CancellationToken,
}

impl Route {
    /// Notes that somebody uses the route now.
    pub(crate) fn touch(&self) {
        self.usage.last_activity.store(Timestamp::now().as_millisecond(), Ordering::Relaxed);
    }

    /// Nothing of the route goes on: its target's address may be another's next.
    fn end(&self) {
        self.usage.ended.cancel();
        self.upstream.close_idle();
    }

    /// Waits until that is so.
    pub(crate) async fn ended(&self) {
        self.usage.ended.cancelled().await;
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.usage.ended.is_cancelled()
    }

    /// Keeps a connection for the next request, if there may be one. Looked at afterwards, so that no end of the route in
    /// between is missed.
    pub(crate) fn keep(&self, stream: Stream) {
        self.upstream.keep(stream);
        if self.has_ended() {
            self.upstream.close_idle();
        }
    }

    fn last_activity(&self) -> i64 {
        self.usage.last_activity.load(Ordering::Relaxed)
    }
}

/// As the API shows it: what was posted, and `last_activity`.
impl Serialize for Route {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut route = serializer.serialize_map(Some(self.data.len() + 1))?;
        for (key, value) in &self.data {
            route.serialize_entry(key, value)?;
        }
        route.serialize_entry("last_activity", &format_time(self.last_activity()))?;
        route.end()
    }
}

/// Routes by path, as the API shows them. Nothing of them is copied: a hub lists thousands every few seconds.
#[derive(Debug)]
pub struct Listing(Vec<Arc<Route>>);

impl Serialize for Listing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|route| (&route.path, route.as_ref())))
    }
}

/// As JavaScript writes a date: `2026-11-23T14:21:51.467Z`.
fn format_time(millis: i64) -> String {
    let time = Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{time:.3}")
}

/// The routing table; clones are handles to the same one.
#[derive(Debug, Clone)]
pub struct RouteTable(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    trie: RwLock<Trie<Arc<Route>>>,
    pool: Pool,
    by_host: bool,
    has_realms: bool,
    filled: AtomicBool,
    changed: Notify,
}

impl RouteTable {
    /// A table of routes on one host, or by host, where each user has one; `has_realms` unless servers see and set all
    /// cookies, as with the original.
    pub(crate) fn new(by_host: bool, has_realms: bool) -> Self {
        Self(Arc::new(Inner {
            trie: RwLock::default(),
            pool: Pool::default(),
            by_host,
            has_realms: has_realms && !by_host,
            filled: AtomicBool::new(false),
            changed: Notify::new(),
        }))
    }

    /// Adds or replaces a route. `data` is kept and shown as it is; its `target` says where the route leads, and its
    /// `tls_name` which name the target's certificate must have, if that is not the target's host.
    ///
    /// # Errors
    /// If `target` is missing or no `http`, `https` or `http+unix` URL, if `tls_name` is no name or the target not `https`,
    /// or if the path is not one that requests can have.
    pub fn add(&self, path: &str, data: Map<String, Value>) -> Result<(), RouteError> {
        self.insert(path, data, Timestamp::now().as_millisecond(), false)?;
        self.0.filled.store(true, Ordering::Release);
        self.0.changed.notify_one();
        Ok(())
    }

    /// Adds the route of `--default-target`, which does not count as a table from the hub.
    pub(crate) fn add_default(&self, target: &str) -> Result<(), RouteError> {
        let data = Map::from_iter([("target".to_owned(), target.into())]);
        self.insert("/", data, Timestamp::now().as_millisecond(), true)
    }

    /// Adds a route as it is in a [`Listing`].
    pub(crate) fn restore(&self, path: &str, mut data: Map<String, Value>) -> Result<(), RouteError> {
        let seen = data.remove("last_activity").and_then(|value| value.as_str()?.parse::<Timestamp>().ok());
        let seen = seen.unwrap_or_else(Timestamp::now).as_millisecond();
        self.insert(path, data, seen, false)?;
        self.0.filled.store(true, Ordering::Release);
        Ok(())
    }

    /// A route to a target that is not in the table.
    pub(crate) fn apart(&self, target: &str) -> Result<Arc<Route>, RouteError> {
        let target = Target::parse(target)?;
        Ok(Arc::new(Route {
            path: "/".to_owned(),
            upstream: self.0.pool.upstream(&target),
            target,
            is_hub: false,
            takes_ids: false,
            leaves_logins: false,
            realm: None,
            depth: 0,
            data: Map::new(),
            usage: Arc::default(),
        }))
    }

    fn insert(&self, path: &str, mut data: Map<String, Value>, seen: i64, is_default: bool) -> Result<(), RouteError> {
        let target = target_of(&data)?;
        let path = clean(path)?;
        let segments = path.split('/').skip(1).filter(|segment| !segment.is_empty()).count();
        if self.0.by_host && segments > 0 {
            let host = path.split('/').nth(1).unwrap_or_default();
            data.insert("host".to_owned(), host.into());
        }
        data.remove("last_activity");
        let mut route = Route {
            upstream: self.0.pool.upstream(&target),
            is_hub: is_default || data.get("hub") == Some(&Value::Bool(true)),
            takes_ids: data.get("hub") == Some(&Value::Bool(true)) && data.contains_key("jupyterhub"),
            leaves_logins: data.get("token_login") == Some(&Value::Bool(true)),
            realm: self.0.has_realms.then(|| Realm::of(&path, &data)).flatten(),
            depth: segments.saturating_sub(usize::from(self.0.by_host)),
            usage: Arc::default(),
            path: path.clone(),
            target,
            data,
        };
        let mut trie = self.write();
        match trie.get(&path) {
            Some(before) if before.target == route.target => route.usage = before.usage.clone(),
            Some(before) => before.end(),
            None => {}
        }
        route.usage.last_activity.store(seen, Ordering::Relaxed);
        trie.insert(&path, Arc::new(route));
        Ok(())
    }

    /// Removes a route; false if there was none.
    pub fn remove(&self, path: &str) -> bool {
        let Some(removed) = clean(path).ok().and_then(|path| self.write().remove(&path)) else { return false };
        removed.end();
        self.0.changed.notify_one();
        true
    }

    /// One route as the API shows it.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<Value> {
        let path = clean(path).ok()?;
        let route = self.read().get(&path).cloned();
        route.and_then(|route| serde_json::to_value(&*route).ok())
    }

    /// All routes, or those without activity since a time.
    #[must_use]
    pub fn all(&self, inactive_since: Option<Timestamp>) -> Listing {
        let limit = inactive_since.map_or(i64::MAX, Timestamp::as_millisecond);
        let mut routes = Vec::new();
        self.read().for_each(&mut |route| {
            if route.last_activity() < limit {
                routes.push(route.clone());
            }
        });
        Listing(routes)
    }

    /// Whether the table came from the hub, by the API or by a snapshot of what it had posted.
    #[must_use]
    pub fn is_filled(&self) -> bool {
        self.0.filled.load(Ordering::Acquire)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.read().len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The route for a decoded path; `host` is the request's, without a port and in any case. For a login the routes are
    /// passed over that leave logins to the hub.
    pub(crate) fn find(&self, host: &str, path: &str, is_login: bool) -> Option<Arc<Route>> {
        let host = self.0.by_host.then(|| host.to_ascii_lowercase());
        self.read().find(host.as_deref(), path, |route| !(is_login && route.leaves_logins)).cloned()
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.0.pool
    }

    /// Waits for the next change.
    pub(crate) async fn changed(&self) {
        self.0.changed.notified().await;
    }

    fn read(&self) -> RwLockReadGuard<'_, Trie<Arc<Route>>> {
        self.0.trie.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Trie<Arc<Route>>> {
        self.0.trie.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a route leads: `target`, which must show a certificate for `tls_name` if the data has that.
fn target_of(data: &Map<String, Value>) -> Result<Target, RouteError> {
    let target = data.get("target").and_then(Value::as_str).ok_or(RouteError::MissingTarget)?;
    let target = Target::parse(target)?;
    match data.get("tls_name") {
        None => Ok(target),
        // What is there and is no name must not count as none: the address alone would be believed.
        Some(name) => Ok(target.with_tls_name(name.as_str().ok_or(TargetError::TlsName)?)?),
    }
}

fn clean(path: &str) -> Result<String, RouteError> {
    routes::clean_path(path).map_err(|error| RouteError::Path(RoutePathErrorText(error)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn data(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn routes_are_shown_as_posted_with_their_activity() {
        let table = RouteTable::new(false, true);
        let posted = json!({"target": "http://127.0.0.1:1", "user": "a", "last_activity": "never"});
        table.add("/user/a/", data(&posted)).unwrap();
        let shown = table.get("user/a").unwrap();
        assert_eq!((&shown["user"], &shown["target"]), (&json!("a"), &json!("http://127.0.0.1:1")));
        let seen = shown["last_activity"].as_str().unwrap();
        assert_eq!((seen.len(), seen.ends_with('Z')), (24, true), "{seen}");
        assert!(seen.parse::<Timestamp>().is_ok());
        assert_eq!(json!(table.all(None)), json!({"/user/a": shown}));
        assert_eq!(json!(table.all(Some(Timestamp::UNIX_EPOCH))), json!({}));
        assert!(table.remove("/user/a") && !table.remove("/user/a"));
    }

    #[test]
    fn only_tables_from_the_hub_count_as_filled() {
        let table = RouteTable::new(false, true);
        table.add_default("http://127.0.0.1:1").unwrap();
        assert!(!table.is_filled());
        table.add("/", data(&json!({"target": "http://127.0.0.1:1"}))).unwrap();
        assert!(table.is_filled());
    }

    #[test]
    fn host_routing_notes_the_host() {
        let table = RouteTable::new(true, true);
        table.add("/a.example/user/a", data(&json!({"target": "http://127.0.0.1:1"}))).unwrap();
        assert_eq!(table.get("/a.example/user/a").unwrap()["host"], "a.example");
        for host in ["a.example", "A.Example"] {
            assert_eq!(table.find(host, "/user/a/lab", false).unwrap().depth, 2);
        }
        for host in ["b.example", "a.example.", "example", "a", ""] {
            assert!(table.find(host, "/user/a/lab", false).is_none(), "{host}");
        }
    }

    #[test]
    fn a_name_that_can_not_be_held_to_is_refused() {
        let table = RouteTable::new(false, true);
        let refused = Err(RouteError::Target(TargetError::TlsName));
        for (route, expected) in [
            (json!({"target": "https://127.0.0.1:1", "tls_name": "jupyter-ada"}), Ok(())),
            (json!({"target": "http://127.0.0.1:1", "tls_name": "jupyter-ada"}), refused),
            (json!({"target": "https://127.0.0.1:1", "tls_name": ""}), refused),
            (json!({"target": "https://127.0.0.1:1", "tls_name": null}), refused),
            (json!({"target": "https://127.0.0.1:1", "tls_name": ["jupyter-ada"]}), refused),
        ] {
            assert_eq!(table.add("/user/ada", data(&route)), expected, "{route}");
        }
        assert_eq!(table.get("/user/ada").unwrap()["tls_name"], "jupyter-ada", "it is shown as it was posted");
    }

    #[test]
    fn a_login_passes_over_the_routes_that_leave_it_to_the_hub() {
        let table = RouteTable::new(false, true);
        let route = |path: &str, more: Value| {
            let mut route = json!({"target": "http://127.0.0.1:1"});
            route.as_object_mut().unwrap().extend(data(&more));
            table.add(path, data(&route)).unwrap();
        };
        route("/", json!({"hub": true}));
        route("/user/a", json!({"token_login": true}));
        route("/user/a/second", json!({"token_login": true}));
        route("/user/a/second/app", json!({"token_login": false}));
        for (path, is_login, expected) in [
            ("/user/a/lab", false, "/user/a"),
            ("/user/a/lab", true, "/"),
            ("/user/a/second/lab", true, "/"),
            ("/user/a/second/app/x", true, "/user/a/second/app"),
        ] {
            assert_eq!(table.find("", path, is_login).unwrap().path, expected, "{path} {is_login}");
        }
        assert_eq!(table.get("/user/a").unwrap()["token_login"], true, "it is shown as it was posted");
    }
}
