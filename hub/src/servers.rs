//! The servers of this hub: each has one status at a time, and only this room changes it.
//!
//! ```text
//!             start                    answers, has a route
//!  Stopped ----------> Pending(Spawn) ----------------------> Ready
//!     ^                     | fails, cancelled                  | stop; ended by itself
//!     +---------------------+------------ Pending(Stop) <-------+
//! ```
//! A start or stop runs in a task of its own, so that a caller who goes away interrupts nothing. What must outlive the
//! hub is in the database and at the spawner; after a restart [`Servers::restore`] finds it again.

use futures::{Stream, StreamExt, stream::BoxStream};
use hub_crds::{ActivityTimes, Profile, ServerLimits};
use jiff::Timestamp;
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    database::{Database, DatabaseError, User, Wanted},
    metrics::Metrics,
    profiles,
    proxy::{ProxyClient, ProxyError, ProxyToken, Route, table::path_of_prefix},
    spawner::{Health, ServerName, SpawnError, Spawner},
    urls::Urls,
};

mod environment;
mod launch;
pub mod limits;
mod progress;
mod readiness;
mod restore;
mod status;
#[cfg(test)]
mod tests;
mod upkeep;

pub use progress::ProgressEvent;
pub use status::{CheckError, ForgetError, Pending, ServerStatus, StartError, StartOutcome, StopOutcome};

use launch::Wish;
use progress::ProgressLog;

/// How long the end of a hub waits for its servers.
const STOP_ALL_PATIENCE: Duration = Duration::from_secs(30);

/// What is the same for all servers.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    pub urls: Urls,
    /// Where servers and the proxy reach the hub: scheme, host and port.
    pub connect_url: String,
    /// Cookies carry `__Host-` in their names.
    pub cookie_host_prefix: bool,
    /// People log in with tokens, which may come in addresses of servers.
    pub token_login: bool,
    pub limits: ServerLimits,
    /// What people choose between when they start one; without any it just starts.
    pub profiles: Vec<Profile>,
    /// How often it is looked up when the proxy last saw requests for each server, if it is.
    pub activity_interval: Option<Duration>,
    /// How long [`Servers::start`] waits for a server to be ready before it answers that it is pending.
    pub slow_spawn_timeout: Duration,
    /// The same for [`Servers::stop`].
    pub slow_stop_timeout: Duration,
}

impl ServerSettings {
    /// Settings with no waiting and plain cookie names.
    pub fn new(urls: Urls, connect_url: &str) -> Self {
        Self {
            urls,
            connect_url: connect_url.to_owned(),
            cookie_host_prefix: false,
            token_login: false,
            limits: ServerLimits::default(),
            profiles: Vec::new(),
            activity_interval: ActivityTimes::default().every(),
            slow_spawn_timeout: Duration::ZERO,
            slow_stop_timeout: Duration::ZERO,
        }
    }
}

/// All servers. Clones share them.
#[derive(Clone)]
pub struct Servers {
    inner: Arc<Inner>,
}

struct Inner {
    database: Database,
    spawner: Spawner,
    proxy: ProxyClient,
    settings: ServerSettings,
    http: reqwest::Client,
    /// Servers that were active since this hub started. One that is not here is stopped.
    table: Mutex<HashMap<ServerName, Entry>>,
    metrics: Metrics,
}

/// One server.
#[derive(Clone)]
struct Entry {
    started: Timestamp,
    /// Its row in the database; 0 until there is one.
    row: Arc<AtomicI64>,
    status: watch::Sender<ServerStatus>,
    log: ProgressLog,
    /// What the spawner needs to find it again.
    state: Arc<Mutex<Value>>,
    /// Cancels the start or the check that is under way.
    cancel: CancellationToken,
}

impl Entry {
    fn new(started: Timestamp, pending: Pending) -> Self {
        Self {
            started,
            row: Arc::default(),
            status: watch::Sender::new(ServerStatus::Pending(pending)),
            log: ProgressLog::new(),
            state: Arc::default(),
            cancel: CancellationToken::new(),
        }
    }

    fn row(&self) -> Option<i64> {
        Some(self.row.load(Ordering::Acquire)).filter(|row| *row != 0)
    }

    fn set_row(&self, row: i64) {
        self.row.store(row, Ordering::Release);
    }

    fn state(&self) -> Value {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_state(&self, state: Value) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// Waits for at most `patience` until the server is stopped, and says whether it is.
    async fn stopped(&self, patience: Duration) -> bool {
        let mut status = self.status.subscribe();
        let stopped = status.wait_for(|status| matches!(status, ServerStatus::Stopped { .. }));
        tokio::time::timeout(patience, stopped).await.is_ok()
    }

    /// Waits for at most `patience` until the server is no longer in `pending`.
    async fn left(&self, pending: Pending, patience: Duration) -> Option<ServerStatus> {
        let mut status = self.status.subscribe();
        let left = status.wait_for(|status| *status != ServerStatus::Pending(pending));
        tokio::time::timeout(patience, left).await.ok()?.ok().map(|status| status.clone())
    }
}

impl Servers {
    pub fn new(database: Database, spawner: Spawner, proxy: ProxyClient, settings: ServerSettings) -> Self {
        let table = Mutex::default();
        let (http, metrics) = (readiness::client(), Metrics::default());
        Self { inner: Arc::new(Inner { database, spawner, proxy, settings, http, table, metrics }) }
    }

    /// Takes up the servers that were active when the last hub ended, and returns at once: each is looked for in the
    /// background. What was up is ready again untouched, what was starting goes on, what is gone is written off. Until
    /// that is known the proxy's routes to them stay as they are.
    pub async fn restore(&self) -> Result<(), DatabaseError> {
        restore::restore(&self.inner).await
    }

    /// Keeps the proxy's table right and follows servers that end, move or are used, until `cancel`.
    pub async fn run(self, cancel: CancellationToken) {
        cancel.run_until_cancelled(upkeep::run(&self.inner)).await;
    }

    /// Starts a server. `user_options` of `None` are those of its last start.
    pub async fn start(
        &self,
        user: &User,
        server: &str,
        user_options: Option<Value>,
    ) -> Result<StartOutcome, StartError> {
        let name = ServerName { user: user.name.clone(), server: server.to_owned() };
        let wish = self.wish(user, server, user_options).await?;
        let entry = self.inner.begin(&name).inspect_err(|refusal| self.inner.count_refusal(refusal))?;
        tokio::spawn(launch::start(self.inner.clone(), user.clone(), name, entry.clone(), wish));
        match entry.left(Pending::Spawn, self.inner.settings.slow_spawn_timeout).await {
            None | Some(ServerStatus::Pending(_)) => Ok(StartOutcome::Pending),
            Some(ServerStatus::Ready { .. }) => Ok(StartOutcome::Started),
            Some(ServerStatus::Stopped { .. }) if entry.cancel.is_cancelled() => Err(StartError::Cancelled),
            Some(ServerStatus::Stopped { last_failure }) => Err(StartError::Failed(last_failure.unwrap_or_default())),
        }
    }

    /// Whether there is something to choose before a start.
    pub fn has_profiles(&self) -> bool {
        !self.inner.settings.profiles.is_empty()
    }

    /// The profiles that a user may choose.
    ///
    /// # Errors
    /// The user's groups can't be read.
    pub async fn profiles_for(&self, user: &User) -> Result<Vec<&Profile>, DatabaseError> {
        let profiles = &self.inner.settings.profiles;
        if profiles.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = Wanted { roles: false, groups: true, servers: false };
        let groups = self.inner.database.details_of(user.id, wanted).await?.groups;
        Ok(profiles::offered(profiles, &user.name, &groups))
    }

    /// What a start is asked to be, held against what the user may choose (attack row 52). Whose server it is decides, and not
    /// who presses the button.
    async fn wish(&self, user: &User, server: &str, options: Option<Value>) -> Result<Wish, StartError> {
        let options = match options {
            Some(options) => options,
            None => self.inner.database.server(user.id, server).await?.map(|row| row.user_options).unwrap_or_default(),
        };
        let mut wish = Wish { options, overrides: Vec::new() };
        if !self.inner.settings.profiles.is_empty() {
            wish.overrides = profiles::choose(&self.profiles_for(user).await?, &wish.options)?;
        }
        Ok(wish)
    }

    /// Stops a server; a start that is under way is cancelled. One that does not run is stopped already.
    pub async fn stop(&self, user: &str, server: &str) -> StopOutcome {
        let name = ServerName { user: user.to_owned(), server: server.to_owned() };
        let Some(entry) = self.inner.entry(&name) else { return StopOutcome::Stopped };
        entry.cancel.cancel();
        if self.inner.begin_stop(&entry) {
            tokio::spawn(launch::stop(self.inner.clone(), name, entry.clone()));
        }
        match entry.stopped(self.inner.settings.slow_stop_timeout).await {
            true => StopOutcome::Stopped,
            false => StopOutcome::Stopping,
        }
    }

    /// Stops the run of a server that began at `started`, without waiting for its end; false if it is no such run that is
    /// ready: somebody stopped it, or started it anew.
    pub fn stop_run(&self, user: &str, server: &str, started: Timestamp) -> bool {
        let name = ServerName { user: user.to_owned(), server: server.to_owned() };
        let Some(entry) = self.inner.entry(&name).filter(|entry| entry.started == started) else { return false };
        let is_ours = self.inner.begin_stop(&entry);
        if is_ours {
            tokio::spawn(launch::stop(self.inner.clone(), name, entry));
        }
        is_ours
    }

    /// When people last used each server, as every pod of the proxy saw it.
    ///
    /// # Errors
    /// One can't be read.
    pub async fn last_uses(&self) -> Result<LastUses, CheckError> {
        upkeep::check_routes(&self.inner).await.map(LastUses::of_routes)
    }

    /// The same for one server, right now. `None`: it has no route.
    ///
    /// # Errors
    /// A pod of the proxy can't be read.
    pub async fn last_use(&self, user: &str, server: &str) -> Result<Option<Timestamp>, ProxyError> {
        let name = ServerName { user: user.to_owned(), server: server.to_owned() };
        self.inner.proxy.last_use(&self.inner.route(&name), &name).await
    }

    /// Stops all servers of a user, one that starts among them.
    pub async fn stop_of(&self, user: &str) {
        let stops =
            self.inner.active().into_iter().filter(|(name, ..)| name.user == user).map(|(name, ..)| async move {
                self.stop(&name.user, &name.server).await;
            });
        futures::future::join_all(stops).await;
    }

    /// Stops all servers, and waits until they are gone: for a hub whose servers cannot outlive it.
    pub async fn stop_all(&self) {
        let stops = self.inner.active().into_iter().map(|(name, entry, _)| async move {
            self.stop(&name.user, &name.server).await;
            entry.stopped(STOP_ALL_PATIENCE).await;
        });
        futures::future::join_all(stops).await;
    }

    /// How a server stands.
    pub fn status(&self, user: &str, server: &str) -> ServerStatus {
        let name = ServerName { user: user.to_owned(), server: server.to_owned() };
        match self.inner.entry(&name) {
            Some(entry) => entry.status.borrow().clone(),
            None => ServerStatus::Stopped { last_failure: None },
        }
    }

    /// All servers that are not stopped.
    pub fn active(&self) -> Vec<(ServerName, ServerStatus)> {
        self.inner.active().into_iter().map(|(name, _, status)| (name, status)).collect()
    }

    /// The progress of a server's start, from its first event. `None`: it neither starts, nor runs, nor failed to.
    pub fn progress(&self, user: &str, server: &str) -> Option<BoxStream<'static, ProgressEvent>> {
        let name = ServerName { user: user.to_owned(), server: server.to_owned() };
        let entry = self.inner.entry(&name)?;
        let status = entry.status.borrow().clone();
        match status {
            ServerStatus::Pending(Pending::Spawn) => Some(entry.log.stream().boxed()),
            ServerStatus::Ready { .. } => Some(single(ProgressEvent::ready(&self.inner.url(&name))).boxed()),
            ServerStatus::Stopped { last_failure: Some(failure) } => {
                Some(single(ProgressEvent::failed(&failure)).boxed())
            }
            ServerStatus::Stopped { last_failure: None } | ServerStatus::Pending(_) => None,
        }
    }

    /// The user or the named server is about to be deleted, and was stopped before: forgets its last failure, and removes
    /// its volume if the policy says so. Its rows are the caller's.
    pub async fn forget(&self, user: &User, server: &str) -> Result<(), ForgetError> {
        let name = ServerName { user: user.name.clone(), server: server.to_owned() };
        let row = self.inner.database.server(user.id, server).await?;
        self.inner.lock().remove(&name);
        Ok(self.inner.spawner.delete_storage(&name, &row.map(|row| row.state).unwrap_or_default()).await?)
    }

    /// Another proxy, or the same one with another token, is in charge from now on, and gets its table at once.
    ///
    /// # Errors
    /// It can't be read: then the old one stays in charge. Or it can't be written.
    pub async fn relocate_proxy(&self, api_url: Option<&str>, token: Option<ProxyToken>) -> Result<(), CheckError> {
        let other = self.inner.proxy.elsewhere(api_url, token);
        other.routes().await?;
        self.inner.proxy.relocate(&other);
        self.check_routes().await
    }

    /// The proxy's whole table by decoded path, such as `/user/a@b`; with subdomains the host is its first segment.
    pub async fn routes(&self) -> Result<BTreeMap<String, Route>, ProxyError> {
        self.inner.proxy.routes().await
    }

    /// The proxy in charge.
    pub fn proxy(&self) -> &ProxyClient {
        &self.inner.proxy
    }

    /// Makes the proxy's table right, now.
    pub async fn check_routes(&self) -> Result<(), CheckError> {
        upkeep::check_routes(&self.inner).await.map(|_| ())
    }

    /// Whether the cookies of hub and servers carry `__Host-` in their names.
    pub fn cookie_host_prefix(&self) -> bool {
        self.inner.settings.cookie_host_prefix
    }

    /// Where the files of a server are, if that is the same for all.
    pub fn home(&self) -> Option<&Path> {
        self.inner.spawner.home()
    }

    /// Which servers people may have.
    pub fn limits(&self) -> &ServerLimits {
        &self.inner.settings.limits
    }

    /// Waits until a server that is stopping is gone. One that runs is waited for until somebody stops it.
    pub async fn stopped(&self, user: &str, server: &str) {
        let name = ServerName { user: user.to_owned(), server: server.to_owned() };
        if let Some(entry) = self.inner.entry(&name) {
            entry.stopped(Duration::MAX).await;
        }
    }

    /// What the hub counts.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Class of the spawner, for `GET /hub/api/info`.
    pub fn spawner_class(&self) -> &'static str {
        self.inner.spawner.class()
    }
}

/// When people last used servers.
#[derive(Debug, Default)]
pub struct LastUses(HashMap<ServerName, Timestamp>);

impl LastUses {
    fn of_routes(routes: BTreeMap<String, Route>) -> Self {
        let used = |route: Route| {
            let (user, server) = route.server()?;
            Some((ServerName { user: user.to_owned(), server: server.to_owned() }, route.last_activity?))
        };
        Self(routes.into_values().filter_map(used).collect())
    }

    pub fn at(&self, user: &str, server: &str) -> Option<Timestamp> {
        self.0.get(&ServerName { user: user.to_owned(), server: server.to_owned() }).copied()
    }
}

impl Inner {
    fn count_refusal(&self, refusal: &StartError) {
        let reason = match refusal {
            StartError::Throttled { .. } => "throttled",
            StartError::Full => "too-many-users",
            StartError::Pending(_) | StartError::Running => "already-pending",
            StartError::Refused(_) | StartError::Database(_) | StartError::Cancelled | StartError::Failed(_) => return,
        };
        self.metrics.starts.record(&["failure", reason], Duration::ZERO);
    }

    /// Asks the spawner how a server is doing.
    async fn poll(&self, name: &ServerName, state: &Value) -> Result<Health, SpawnError> {
        let begun = Instant::now();
        let health = self.spawner.poll(name, state).await?;
        let status = if matches!(health, Health::Stopped { .. }) { "stopped" } else { "running" };
        self.metrics.polls.record(&[status], begun.elapsed());
        Ok(health)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ServerName, Entry>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry(&self, name: &ServerName) -> Option<Entry> {
        self.lock().get(name).cloned()
    }

    fn active(&self) -> Vec<(ServerName, Entry, ServerStatus)> {
        let entries: Vec<_> = self.lock().iter().map(|(name, entry)| (name.clone(), entry.clone())).collect();
        entries
            .into_iter()
            .map(|(name, entry)| {
                let status = entry.status.borrow().clone();
                (name, entry, status)
            })
            .filter(|(_, _, status)| !matches!(status, ServerStatus::Stopped { .. }))
            .collect()
    }

    /// Where people find a server.
    fn url(&self, name: &ServerName) -> String {
        self.settings.urls.server(&name.user, &name.server)
    }

    /// Path of a server in the proxy's table.
    fn route(&self, name: &ServerName) -> String {
        path_of_prefix(&self.settings.urls.server_route(&name.user, &name.server))
    }

    /// The route of a server that is at this address.
    fn route_to(&self, target: &str, name: &ServerName) -> Route {
        let route = Route::of_server(target, &name.user, &name.server);
        let route = match self.spawner.tls_name(name).filter(|_| target.starts_with("https:")) {
            Some(tls_name) => route.with_tls_name(&tls_name),
            None => route,
        };
        if self.settings.token_login { route.with_token_login() } else { route }
    }

    /// Makes a stopped server pending; one at a time, and as many as there is room for.
    fn begin(&self, name: &ServerName) -> Result<Entry, StartError> {
        let mut table = self.lock();
        if let Some(entry) = table.get(name) {
            match *entry.status.borrow() {
                ServerStatus::Ready { .. } => return Err(StartError::Running),
                ServerStatus::Pending(pending) => return Err(StartError::Pending(pending)),
                ServerStatus::Stopped { .. } => {}
            }
        }
        let count =
            |wanted: fn(&ServerStatus) -> bool| table.values().filter(|entry| wanted(&entry.status.borrow())).count();
        let starting = count(|status| *status == ServerStatus::Pending(Pending::Spawn));
        let active = count(|status| !matches!(status, ServerStatus::Stopped { .. }));
        limits::check_room(&self.settings.limits, starting, active, rand::random())?;
        let entry = Entry::new(Timestamp::now(), Pending::Spawn);
        table.insert(name.clone(), entry.clone());
        Ok(entry)
    }

    /// Makes a ready server pending; true for the one caller who does.
    fn begin_stop(&self, entry: &Entry) -> bool {
        entry.status.send_if_modified(|status| {
            let ready = matches!(status, ServerStatus::Ready { .. });
            if ready {
                *status = ServerStatus::Pending(Pending::Stop);
            }
            ready
        })
    }
}

fn single(event: ProgressEvent) -> impl Stream<Item = ProgressEvent> + Send + use<> {
    futures::stream::once(std::future::ready(event))
}
