//! A whole proxy: binds its servers, runs them, and ends them in order.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustls::ServerConfig;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::admission::{Admission, Refusal};
use crate::api::{self, Api};
use crate::client::Client;
use crate::config::{ApiTls, Bind, ErrorPages, ProxyConfig, Snapshot};
use crate::connect::Connector;
use crate::error_page::ErrorPageSource;
use crate::gate::{GateConfig, Gated};
use crate::http2;
use crate::listener::{BoundAddr, Listener};
use crate::metrics::{CertificateMetrics, Metrics};
use crate::plan::Entrance;
use crate::request_id::RequestIds;
use crate::serve::serve;
use crate::shared::{Limits, Running, Shared};
use crate::snapshot::{self, SnapshotError};
use crate::stream::Stream;
use crate::table::{RouteError, RouteTable};
use crate::target::{Target, TargetError};
use crate::tls::{self, Secured, Store, TlsError, TlsFiles, TlsOptions};
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
    #[error("HTTPS redirection specified but certificates not provided.")]
    RedirectWithoutTls,
}

/// A proxy whose servers listen; [`Proxy::run`] serves them.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    public: Listener,
    tls: Option<Tls>,
    /// Where those are met who come without it, and the port that they are sent to.
    redirect: Option<(Listener, u16)>,
    /// The REST API, who may use it, and how TLS is spoken there.
    api: Option<(Listener, Arc<TokenGuard>, Option<Tls>)>,
    metrics: Option<Listener>,
    addresses: Addresses,
    snapshot: Option<Snapshot>,
    grace_period: Duration,
    idle_grace_period: Duration,
    started: Instant,
}

/// How TLS is spoken, and the certificates.
#[derive(Debug)]
struct Tls {
    config: Arc<ServerConfig>,
    store: Arc<Store>,
}

impl Tls {
    /// How it is spoken, with certificates that are read again for as long as the chores go on.
    fn watched(self, chores: &mut JoinSet<()>) -> Arc<ServerConfig> {
        chores.spawn(async move { self.store.watch().await });
        self.config
    }
}

#[derive(Debug)]
struct Addresses {
    public: BoundAddr,
    redirect: Option<BoundAddr>,
    api: Option<BoundAddr>,
    metrics: Option<BoundAddr>,
}

/// Loads the table from its snapshot, if there is a fresh one, and then listens.
///
/// # Errors
/// If an address cannot be listened on, or the configuration cannot be used.
pub async fn bind(config: ProxyConfig) -> Result<Proxy, BindError> {
    let routes = RouteTable::new(config.host_routing, !config.compat);
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
    let tls = tls(config.tls.as_ref(), &config.tls_options, &[tls::HTTP2, tls::HTTP11], metrics.certificates.clone())?;
    let api_tls = tls_of_api(config.api_tls.as_ref())?;
    if tls.is_none() && config.redirect.is_some() {
        return Err(BindError::RedirectWithoutTls);
    }
    let shared = Shared {
        routes,
        rewrite: config.rewrite(),
        limits,
        admission: Arc::new(Admission::new(
            config.max_connections_per_client,
            config.trusted_proxies.as_deref().unwrap_or_default(),
        )),
        connector: Connector::new(config.target_tls.clone())?,
        error_pages,
        metrics,
        access_log: config.access_log,
        request_ids: RequestIds::default(),
        gate,
        hsts: config.hsts.map(|hsts| hsts.to_string().into()),
        running: Running::default(),
    };

    let (public, public_addr) = listen(&config.public).await?;
    let (redirect, redirect_addr) = listen_if_asked(config.redirect.as_ref().map(|redirect| &redirect.bind)).await?;
    let (api, api_addr) = listen_if_asked(config.api.as_ref()).await?;
    let (metrics, metrics_addr) = listen_if_asked(config.metrics.as_ref()).await?;
    let https_port = config.redirect.and_then(|redirect| redirect.to);
    let https_port = https_port.or_else(|| public_addr.socket_addr().map(|address| address.port())).unwrap_or(443);
    Ok(Proxy {
        shared: Arc::new(shared),
        public,
        tls,
        redirect: redirect.map(|listener| (listener, https_port)),
        api: api.zip(token).map(|(listener, token)| (listener, Arc::new(token), api_tls)),
        metrics,
        addresses: Addresses { public: public_addr, redirect: redirect_addr, api: api_addr, metrics: metrics_addr },
        snapshot: config.snapshot,
        grace_period: config.grace_period,
        idle_grace_period: config.idle_grace_period,
        started: config.started,
    })
}

fn tls(
    files: Option<&TlsFiles>,
    options: &TlsOptions,
    protocols: &[&[u8]],
    metrics: Arc<CertificateMetrics>,
) -> Result<Option<Tls>, TlsError> {
    let Some(files) = files else { return Ok(None) };
    let store = Arc::new(Store::new(files, options.sni_directory.as_deref(), metrics)?);
    Ok(Some(Tls { config: tls::server_config(store.clone(), options, protocols)?, store }))
}

/// The metrics are about certificates that people meet.
fn tls_of_api(config: Option<&ApiTls>) -> Result<Option<Tls>, TlsError> {
    let Some(ApiTls { files, client_certificates }) = config else { return Ok(None) };
    let options = TlsOptions { client_certificates: client_certificates.clone(), ..TlsOptions::default() };
    tls(Some(files), &options, &[tls::HTTP11], Arc::default())
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
        &self.addresses.public
    }

    /// Where those connect who are sent to HTTPS, if that is asked for.
    #[must_use]
    pub fn redirect_addr(&self) -> Option<&BoundAddr> {
        self.addresses.redirect.as_ref()
    }

    /// Where the hub connects, if there is a REST API.
    #[must_use]
    pub fn api_addr(&self) -> Option<&BoundAddr> {
        self.addresses.api.as_ref()
    }

    #[must_use]
    pub fn metrics_addr(&self) -> Option<&BoundAddr> {
        self.addresses.metrics.as_ref()
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
        let Self { shared, public, tls, redirect, api, metrics, snapshot, grace_period, idle_grace_period, .. } = self;
        tracing::info!(
            public = %self.addresses.public,
            redirect = self.addresses.redirect.as_ref().map(tracing::field::display),
            api = self.addresses.api.as_ref().map(tracing::field::display),
            ms_since_start = millis(self.started),
            "accepting connections"
        );

        let mut servers = JoinSet::new();
        let mut chores = JoinSet::new();
        if let Some((api, token, tls)) = api {
            let tls = tls.map(|tls| tls.watched(&mut chores));
            servers.spawn(api.serve(api::router(Api { shared: shared.clone(), token: token.clone() }), tls));
            chores.spawn(async move { token.watch().await });
        }
        if let Some(metrics) = metrics {
            servers.spawn(metrics.serve(api::metrics_router(shared.clone()), None));
        }
        chores.spawn(sweep(shared.clone()));
        if let Some(snapshot) = snapshot.clone() {
            let routes = shared.routes.clone();
            chores.spawn(async move { snapshot::keep(&snapshot, &routes).await });
        }

        let tls = tls.map(|tls| tls.watched(&mut chores));
        let (mut connections, mut redirected_connections) = (JoinSet::new(), JoinSet::new());
        tokio::select! {
            () = accept(public, tls, Entrance::Public, &shared, &mut connections) => {}
            () = accept_redirected(redirect, &shared, &mut redirected_connections) => {}
            () = stop.cancelled() => {}
            Some(ended) = servers.join_next() => return ended.unwrap_or_else(|error| Err(io::Error::other(error))),
        }
        tracing::info!("stopping");
        let stopped = Instant::now();
        shared.running.stop();
        let all_ended = async {
            while connections.join_next().await.is_some() || redirected_connections.join_next().await.is_some() {}
        };
        let _ = tokio::time::timeout(idle_grace_period.min(grace_period), all_ended).await;
        shared.running.drain(grace_period.saturating_sub(stopped.elapsed())).await;
        if let Some(snapshot) = snapshot.filter(|_| shared.routes.is_filled())
            && let Err(error) = snapshot::write(&snapshot, &shared.routes, Timestamp::now())
        {
            tracing::warn!(%error, "failed to write the routing table's snapshot");
        }
        Ok(())
    }
}

/// Accepts connections for ever; dropped, it closes the listener, while the connections go on in their set.
async fn accept(
    listener: Listener,
    tls: Option<Arc<ServerConfig>>,
    entrance: Entrance,
    shared: &Arc<Shared>,
    connections: &mut JoinSet<()>,
) {
    loop {
        tokio::select! {
            (stream, peer) = listener.accept() => {
                let place = match shared.admission.admit(peer) {
                    Ok(place) => place,
                    Err(refusal) => {
                        turn_away(stream, tls.is_some(), refusal).await;
                        continue;
                    }
                };
                let (shared, tls) = (shared.clone(), tls.clone());
                connections.spawn(async move {
                    let _place = place;
                    match tls::secured(stream, tls, shared.limits.head).await {
                        Some(Secured::Http1(stream)) => serve(stream, peer, entrance, shared).await,
                        Some(Secured::Http2(stream)) => http2::serve(*stream, peer, shared).await,
                        None => {}
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Says why, where that costs no handshake. What a full buffer would delay is left unsaid.
async fn turn_away(stream: Stream, is_secure: bool, refusal: Refusal) {
    tracing::debug!("{refusal}");
    if !is_secure {
        let refusing = async { Client::new(stream, None, None).refuse(503, &refusal.to_string()).await };
        let _ = tokio::time::timeout(Duration::from_millis(10), refusing).await;
    }
}

async fn accept_redirected(redirect: Option<(Listener, u16)>, shared: &Arc<Shared>, connections: &mut JoinSet<()>) {
    match redirect {
        Some((listener, port)) => accept(listener, None, Entrance::Redirect(port), shared, connections).await,
        None => std::future::pending().await,
    }
}

async fn sweep(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        shared.routes.pool().sweep();
    }
}
