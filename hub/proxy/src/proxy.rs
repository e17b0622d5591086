//! A whole proxy: binds its servers, runs them, and ends them in order.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustls::ServerConfig;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::api::{self, Api};
use crate::config::{Bind, ErrorPages, ProxyConfig, Snapshot};
use crate::error_page::ErrorPageSource;
use crate::gate::{GateConfig, Gated};
use crate::listener::{BoundAddr, Listener};
use crate::metrics::Metrics;
use crate::serve::serve;
use crate::shared::{Limits, Shared};
use crate::snapshot::{self, SnapshotError};
use crate::table::{RouteError, RouteTable};
use crate::target::{Target, TargetError};
use crate::tls::{self, TlsError};
use crate::token::{TokenError, TokenGuard};

/// How often idle connections to backends are looked through.
const SWEEP: Duration = Duration::from_secs(5);

/// Why a proxy does not start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("failed to listen on {0}")]
    Listen(Bind, #[source] io::Error),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("bad --default-target: {0}")]
    DefaultTarget(#[from] RouteError),
    #[error("bad --error-target: {0}")]
    ErrorTarget(#[from] TargetError),
    #[error("bad target of the gate's pages: {0}")]
    Pages(RouteError),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A proxy whose servers listen; [`Proxy::run`] serves them.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    public: Listener,
    tls: Option<Arc<ServerConfig>>,
    /// The REST API, and who may use it.
    api: Option<(Listener, Arc<TokenGuard>)>,
    metrics: Option<Listener>,
    addresses: (BoundAddr, Option<BoundAddr>, Option<BoundAddr>),
    snapshot: Option<Snapshot>,
    grace_period: Duration,
    started: Instant,
}

/// Loads the table from its snapshot, if there is a fresh one, and then listens.
///
/// # Errors
/// If an address cannot be listened on, or the configuration cannot be used.
pub async fn bind(config: ProxyConfig) -> Result<Proxy, BindError> {
    let routes = RouteTable::new(config.host_routing);
    if let Some(target) = &config.default_target {
        routes.add_default(target)?;
    }
    if let Some(snapshot) = &config.snapshot {
        restore(snapshot, &routes, config.started);
    }
    let token = config.api.as_ref().map(|_| TokenGuard::new(&config.token)).transpose()?;
    let error_pages = match &config.error_pages {
        ErrorPages::BuiltIn => ErrorPageSource::BuiltIn,
        ErrorPages::Target(url) => ErrorPageSource::Target(Target::parse(url)?),
        ErrorPages::Directory(directory) => ErrorPageSource::Directory(directory.clone()),
    };
    let limits = Limits {
        head: config.head_timeout,
        keep_alive: config.keep_alive_timeout,
        client_stall: config.stall_timeout,
        idle: config.timeout,
        upstream: config.proxy_timeout,
    };
    let metrics = Metrics::new(config.metrics.is_some());
    let gate = config.gate.as_ref().map(|gate| gated(gate, &routes)).transpose()?;
    let tls = config.tls.as_ref().map(tls::server_config).transpose()?;
    let shared = Shared::new(routes, config.rewrite(), limits, error_pages, metrics, config.access_log, gate);

    let (public, public_addr) = listen(&config.public).await?;
    let (api, api_addr) = listen_if_asked(config.api.as_ref()).await?;
    let (metrics, metrics_addr) = listen_if_asked(config.metrics.as_ref()).await?;
    Ok(Proxy {
        shared: Arc::new(shared),
        public,
        tls,
        api: api.zip(token.map(Arc::new)),
        metrics,
        addresses: (public_addr, api_addr, metrics_addr),
        snapshot: config.snapshot,
        grace_period: config.grace_period,
        started: config.started,
    })
}

async fn listen(bind: &Bind) -> Result<(Listener, BoundAddr), BindError> {
    let failed = |error| BindError::Listen(bind.clone(), error);
    let listener = Listener::bind(bind).await.map_err(failed)?;
    let address = listener.addr().map_err(failed)?;
    Ok((listener, address))
}

async fn listen_if_asked(bind: Option<&Bind>) -> Result<(Option<Listener>, Option<BoundAddr>), BindError> {
    match bind {
        Some(bind) => listen(bind).await.map(|(listener, address)| (Some(listener), Some(address))),
        None => Ok((None, None)),
    }
}

fn gated(config: &GateConfig, routes: &RouteTable) -> Result<Gated, BindError> {
    let pages = routes.apart(&config.pages).map_err(BindError::Pages)?;
    Ok(Gated { gate: config.gate.clone(), pages })
}

fn restore(snapshot: &Snapshot, routes: &RouteTable, started: Instant) {
    match snapshot::restore(snapshot, routes, Timestamp::now()) {
        Ok(count) => {
            let ms = millis(started);
            tracing::info!(routes = count, ms_since_start = ms, "route table restored from snapshot");
        }
        Err(SnapshotError::Read(error)) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(%error, "the routing table's snapshot is not used"),
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Proxy {
    /// Where clients connect.
    #[must_use]
    pub fn public_addr(&self) -> &BoundAddr {
        &self.addresses.0
    }

    /// Where the hub connects, if there is a REST API.
    #[must_use]
    pub fn api_addr(&self) -> Option<&BoundAddr> {
        self.addresses.1.as_ref()
    }

    #[must_use]
    pub fn metrics_addr(&self) -> Option<&BoundAddr> {
        self.addresses.2.as_ref()
    }

    /// The routing table, for a hub in the same process.
    #[must_use]
    pub fn routes(&self) -> RouteTable {
        self.shared.routes.clone()
    }

    /// Serves until `stop` is cancelled, then lets requests finish within the grace period.
    ///
    /// # Errors
    /// If a server ends by itself.
    pub async fn run(self, stop: CancellationToken) -> io::Result<()> {
        let Self { shared, public, tls, api, metrics, snapshot, grace_period, .. } = self;
        let (public_addr, api_addr, _) = &self.addresses;
        let (api_addr, ms) = (api_addr.as_ref().map(tracing::field::display), millis(self.started));
        tracing::info!(public = %public_addr, api = api_addr, ms_since_start = ms, "accepting connections");

        let mut servers = JoinSet::new();
        let mut chores = JoinSet::new();
        if let Some((api, token)) = api {
            servers.spawn(api.serve(api::router(Api { shared: shared.clone(), token: token.clone() })));
            chores.spawn(async move { token.watch().await });
        }
        if let Some(metrics) = metrics {
            servers.spawn(metrics.serve(api::metrics_router(shared.clone())));
        }
        chores.spawn(sweep(shared.clone()));
        if let Some(snapshot) = snapshot.clone() {
            let routes = shared.routes.clone();
            chores.spawn(async move { snapshot::keep(&snapshot, &routes).await });
        }

        let mut connections = JoinSet::new();
        tokio::select! {
            () = accept(public, tls, &shared, &mut connections) => {}
            () = stop.cancelled() => {}
            Some(ended) = servers.join_next() => return ended.unwrap_or_else(|error| Err(io::Error::other(error))),
        }
        tracing::info!("stopping");
        shared.drain(grace_period).await;
        if let Some(snapshot) = snapshot.filter(|_| shared.routes.is_filled())
            && let Err(error) = snapshot::write(&snapshot, &shared.routes, Timestamp::now())
        {
            tracing::warn!(%error, "failed to write the routing table's snapshot");
        }
        Ok(())
    }
}

/// Accepts connections for ever; dropped, it closes the listener, while the connections go on in their set.
async fn accept(public: Listener, tls: Option<Arc<ServerConfig>>, shared: &Arc<Shared>, connections: &mut JoinSet<()>) {
    loop {
        tokio::select! {
            (stream, peer) = public.accept() => {
                let (shared, tls) = (shared.clone(), tls.clone());
                connections.spawn(async move {
                    if let Some(stream) = tls::secured(stream, tls, shared.limits.head).await {
                        serve(stream, peer, shared).await;
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn sweep(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        shared.routes.pool().sweep();
    }
}
