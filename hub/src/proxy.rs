//! The hub's side of the proxy: one table, kept at each of the proxy's pods.

use futures::future::join_all;
use hub_crds::proxy_pods::Member;
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tracing::{debug, warn};

mod api;
mod members;
pub mod table;
mod token;

pub use api::ProxyApi;
pub use members::watch_members;
pub use table::Route;
pub use token::ProxyToken;

use crate::{reread::RereadError, spawner::ServerName};

/// How long a change of the table is tried again when the proxy cannot be reached or answers 5xx.
const RETRY_FOR: Duration = Duration::from_secs(30);
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// One request takes at most this long.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The same at a pod that is not ready, whose address may lead nowhere.
const UNREADY: Duration = Duration::from_secs(1);

/// Why the proxy could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error("failed to {action} at the proxy {api_url}: {source}")]
    Request { action: String, api_url: String, source: reqwest::Error },
    #[error(
        "failed to {action} at the proxy {api_url}: it does not accept the hub's token; both need the same \
         CONFIGPROXY_AUTH_TOKEN"
    )]
    Forbidden { action: String, api_url: String },
    #[error("failed to {action} at the proxy {api_url}: it answered {status}")]
    Status { action: String, api_url: String, status: reqwest::StatusCode },
    #[error("failed to read the proxy's token: {0}")]
    Token(#[from] RereadError),
}

/// A proxy, of one pod or of several. Clones share where it is.
#[derive(Clone)]
pub struct ProxyClient {
    http: reqwest::Client,
    place: Arc<Mutex<Place>>,
}

/// Where a proxy is.
#[derive(Clone)]
struct Place {
    /// Without a slash at its end, such as `http://127.0.0.1:8001`.
    api_url: String,
    token: ProxyToken,
    /// Its pods, if somebody knows them; until then `api_url` leads to one of them.
    members: Option<watch::Receiver<Vec<Member>>>,
}

impl ProxyClient {
    /// A client of the API at `api_url`, such as `http://127.0.0.1:8001`.
    pub fn new(api_url: &str, token: ProxyToken) -> Self {
        let http = hub_server::http_client()
            .no_proxy()
            .timeout(REQUEST_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client without TLS and files has nothing that could be missing");
        let place = Place { api_url: api_url.trim_end_matches('/').to_owned(), token, members: None };
        Self { http, place: Arc::new(Mutex::new(place)) }
    }

    /// The same proxy, whose pods are known.
    #[must_use]
    pub fn with_members(self, members: watch::Receiver<Vec<Member>>) -> Self {
        self.change(|place| place.members = Some(members));
        self
    }

    /// A client of another proxy, or of the same one with another token; what is `None` is as here.
    pub fn elsewhere(&self, api_url: Option<&str>, token: Option<ProxyToken>) -> Self {
        let here = self.place();
        let place = Place {
            members: here.members.filter(|_| api_url.is_none()),
            api_url: api_url.map_or(here.api_url, |url| url.trim_end_matches('/').to_owned()),
            token: token.unwrap_or(here.token),
        };
        Self { http: self.http.clone(), place: Arc::new(Mutex::new(place)) }
    }

    /// The proxy of the other client is in charge from now on, until the hub ends.
    pub fn relocate(&self, to: &Self) {
        let to = to.place();
        self.change(|place| *place = to);
    }

    fn place(&self) -> Place {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut Place)) {
        change(&mut self.place.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The token that this client has at the moment.
    pub fn token(&self) -> ProxyToken {
        self.place().token
    }

    /// Each pod of the proxy, and whether people are led to it: what fails at one that is not ready yet, or goes, is no
    /// failure. If none is ready, all count.
    pub fn apis(&self) -> Vec<(ProxyApi, bool)> {
        let Place { api_url, token, members } = self.place();
        let members = members.map(|members| members.borrow().clone()).unwrap_or_default();
        let is_any_ready = members.iter().any(|member| member.is_ready);
        let api = |url: String| ProxyApi::new(self.http.clone(), url, token.clone());
        if members.is_empty() {
            return vec![(api(api_url), true)];
        }
        members.into_iter().map(|member| (api(member.api_url), member.is_ready || !is_any_ready)).collect()
    }

    /// The whole table by decoded path, such as `/user/a@b`, of a pod that people are led to. Tried once.
    pub async fn routes(&self) -> Result<BTreeMap<String, Route>, ProxyError> {
        let counting = self.apis().into_iter().find_map(|(api, counts)| counts.then_some(api));
        counting.expect("if no pod is ready, all count").routes().await
    }

    /// When the route of a server was last used at any pod that people are led to. `None`: it has none.
    ///
    /// # Errors
    /// One of these pods can't be read: then nobody knows.
    pub async fn last_use(&self, path: &str, server: &ServerName) -> Result<Option<Timestamp>, ProxyError> {
        let mut last = None;
        for (api, counts) in self.apis() {
            match api.route(path).await {
                Err(error) if counts => return Err(error),
                Ok(Some(route)) if route.server() == Some((&server.user, &server.server)) => {
                    last = last.max(route.last_activity);
                }
                _ => {}
            }
        }
        Ok(last)
    }

    /// Waits until the proxy has other pods than before; for ever if nobody knows them.
    pub async fn members_changed(&self) {
        let Some(mut members) = self.place().members else { return std::future::pending().await };
        members.mark_unchanged();
        if members.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Adds the route of a decoded path, or replaces it, at each pod. Tried for 30 s.
    pub async fn add(&self, path: &str, route: &Route) -> Result<(), ProxyError> {
        self.persist(path, Some(route)).await
    }

    /// Removes the route of a decoded path at each pod. One that is not there is no error. Tried for 30 s.
    pub async fn remove(&self, path: &str) -> Result<(), ProxyError> {
        self.persist(path, None).await
    }

    async fn persist(&self, path: &str, route: Option<&Route>) -> Result<(), ProxyError> {
        let deadline = Instant::now() + RETRY_FOR;
        let (mut wait, mut done) = (FIRST_WAIT, BTreeSet::new());
        loop {
            let Some(error) = self.attempt(&mut done, path, route).await else { return Ok(()) };
            if !is_passing(&error) || Instant::now() + wait > deadline {
                return Err(error);
            }
            warn!(%error, "trying again in {} ms", wait.as_millis());
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// One attempt at each pod that has not made the change yet; what failed where it counts.
    async fn attempt(&self, done: &mut BTreeSet<String>, path: &str, route: Option<&Route>) -> Option<ProxyError> {
        let mut open = self.apis();
        open.retain(|(api, _)| !done.contains(api.url()));
        let attempts = open.iter().map(async |(api, counts)| {
            let set = api.set(path, route);
            if *counts {
                return set.await.map(|()| Some(api.url().to_owned()));
            }
            match timeout(UNREADY, set).await {
                Ok(Ok(())) => return Ok(Some(api.url().to_owned())),
                Ok(Err(error)) => debug!(%error, "a pod of the proxy that is not ready"),
                Err(_) => debug!(pod = api.url(), "a pod of the proxy that is not ready takes too long"),
            }
            Ok(None)
        });
        let mut failed = None;
        for result in join_all(attempts).await {
            match result {
                Ok(changed) => done.extend(changed),
                Err(error) => failed = Some(error),
            }
        }
        failed
    }

    /// Which versions of the token each pod takes, of these.
    pub async fn accepted_versions(&self, of: &BTreeSet<u32>) -> Result<BTreeSet<u32>, ProxyError> {
        let mut accepted = of.clone();
        for (api, counts) in self.apis() {
            match api.accepted_versions(of).await {
                Ok(versions) => accepted.retain(|version| versions.contains(version)),
                Err(error) if counts => return Err(error),
                Err(_) => {}
            }
        }
        Ok(accepted)
    }
}

/// Worth another try: the proxy is restarting or about to read a rotated token.
fn is_passing(error: &ProxyError) -> bool {
    match error {
        ProxyError::Request { .. } | ProxyError::Forbidden { .. } => true,
        ProxyError::Status { status, .. } => status.is_server_error(),
        ProxyError::Token(_) => false,
    }
}
