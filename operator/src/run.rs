//! Wires the operator together: client, lease, watches, reconciles, and an orderly end.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::Context as _;
use futures::{FutureExt, StreamExt};
use kube::{
    Client, Config,
    client::ClientBuilder,
    runtime::{
        applier,
        controller::{self, Error as ControllerError},
        events::{Recorder, Reporter},
    },
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    acme::{Acme, solver},
    controller::{Backoff, Context, Error, Going, error_policy, reconcile, types::Images},
    extension::Extensions,
    lease::Election,
    metrics::Metrics,
    requests::CountRequests,
    secrets,
    serve::{Health, serve},
    stores::{HubRef, Stores, owned},
    watch::Namespaces,
};

/// Flags of `hub-operator run`; each can be an environment variable
#[derive(clap::Args, Clone, Debug)]
pub struct RunArgs {
    /// Namespaces to watch, separated by commas; all by default
    #[arg(long, env = "WATCH_NAMESPACES", value_delimiter = ',', value_name = "NAMESPACES")]
    pub watch_namespaces: Vec<String>,
    /// Where /healthz, /readyz and /metrics are served
    #[arg(long, env = "BIND", default_value = "0.0.0.0:8080", value_name = "ADDRESS")]
    pub bind: SocketAddr,
    /// Where the proxies of Hubs find the answers to challenges of ACME
    #[arg(long, env = "ACME_BIND", default_value = "0.0.0.0:8089", value_name = "ADDRESS")]
    pub acme_bind: SocketAddr,
    /// What they call that; by default it is behind a Service hub-operator-acme in the operator's namespace
    #[arg(long, env = "ACME_URL", value_name = "URL")]
    pub acme_url: Option<String>,
    /// Image of hubs that do not name one
    #[arg(long, env = "HUB_IMAGE", default_value = concat!("jupyter.rs/hub:", env!("CARGO_PKG_VERSION")), value_name = "IMAGE")]
    pub hub_image: String,
    /// Image of proxies that do not name one
    #[arg(long, env = "PROXY_IMAGE", default_value = concat!("jupyter.rs/hub-proxy:", env!("CARGO_PKG_VERSION")), value_name = "IMAGE")]
    pub proxy_image: String,
    /// Image of proxies of the other implementation that do not name one
    #[arg(
        long,
        env = "CHP_IMAGE",
        default_value = "quay.io/jupyterhub/configurable-http-proxy:5.3.0",
        value_name = "IMAGE"
    )]
    pub chp_image: String,
    /// Name of the lease by which one of several replicas leads
    #[arg(long, env = "LEASE_NAME", default_value = "hub-operator", value_name = "NAME")]
    pub lease_name: String,
    /// Namespace of the lease; by default the pod's, or that of the kubeconfig
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE")]
    pub lease_namespace: Option<String>,
    /// Who holds the lease; the pod's name
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pub identity: Option<String>,
    /// How the log is written: for people, or one object a line
    #[arg(long, env = "LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

impl RunArgs {
    /// Whether the log is lines of JSON.
    pub fn logs_json(&self) -> bool {
        self.log_format == LogFormat::Json
    }

    fn namespaces(&self) -> Namespaces {
        Namespaces(self.watch_namespaces.iter().filter(|name| !name.is_empty()).cloned().collect())
    }

    /// Where proxies find the solver; `namespace` is that of the kubeconfig.
    fn acme_url(&self, namespace: &str) -> String {
        let namespace = self.lease_namespace.as_deref().unwrap_or(namespace);
        let by_default = || format!("http://hub-operator-acme.{namespace}:{}", self.acme_bind.port());
        self.acme_url.clone().unwrap_or_else(by_default)
    }
}

/// Reconciles of different Hubs that run at the same time.
const CONCURRENCY: u16 = 16;
/// How long a reconcile that runs may go on after SIGTERM.
const GRACE: Duration = Duration::from_millis(300);

/// Runs until SIGTERM, SIGINT, or the loss of the lease (an error).
pub async fn run(args: RunArgs) -> anyhow::Result<()> {
    // Only the first of several can install one, and any will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let health = Health::default();
    let config = Config::infer().await.context("failed to find a cluster: set KUBECONFIG, or run in a pod")?;
    let namespace = args.lease_namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let client = connect(config, health.metrics.clone())?;
    let (_, solver) = solver::serve(args.acme_bind, &client, &args.namespaces())
        .await
        .with_context(|| format!("failed to listen on {}", args.acme_bind))?;
    let (address, server) =
        serve(args.bind, health.clone()).await.with_context(|| format!("failed to listen on {}", args.bind))?;
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "hub-operator started");

    let stop = CancellationToken::new();
    let identity = args.identity.clone().unwrap_or_else(|| format!("hub-operator-{:016x}", rand::random::<u64>()));
    let election = Election::new(client.clone(), &namespace, &args.lease_name, &identity);
    tokio::select! {
        answer = server => answer.context("the server of health and metrics ended"),
        answer = solver => answer.context("the server of challenges ended"),
        answer = lead(&election, &args, client, &health, &stop) => answer,
        answer = told_to_end() => {
            answer?;
            tracing::info!("told to end");
            Ok(())
        }
    }
    .and(end(&election, &stop).await)
}

/// Leads when it is this replica's turn, until the lease is lost.
async fn lead(
    election: &Election,
    args: &RunArgs,
    client: Client,
    health: &Health,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    election.acquire(|| health.ready.store(true, Ordering::Relaxed)).await;
    health.metrics.set_leader(true);
    tracing::info!("leading");
    let controller = tokio::spawn(control(client, args.clone(), health.metrics.clone(), stop.clone()));
    tokio::select! {
        () = election.hold() => anyhow::bail!("the lease is lost: another replica may lead now"),
        ended = controller => ended.context("the controller ended")?,
    }
}

async fn end(election: &Election, stop: &CancellationToken) -> anyhow::Result<()> {
    stop.cancel();
    tokio::time::sleep(GRACE).await;
    election.release().await;
    Ok(())
}

async fn told_to_end() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        answer = tokio::signal::ctrl_c() => answer.context("failed to listen for SIGINT"),
    }
}

/// A client whose requests are counted.
pub(crate) fn connect(config: Config, metrics: Arc<Metrics>) -> anyhow::Result<Client> {
    let builder = ClientBuilder::try_from(config).context("failed to make a client")?;
    Ok(builder.with_layer(&CountRequests(metrics)).build())
}

/// Watches and reconciles until told to stop.
pub(crate) async fn control(
    client: Client,
    args: RunArgs,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let acme = Acme::new(args.acme_url(client.default_namespace())).context("failed to make a client for ACME")?;
    let (stores, queue) = Stores::start(&client, &args.namespaces());
    let context = Arc::new(Context {
        recorder: Recorder::new(
            client.clone(),
            Reporter { controller: "hub-operator".to_owned(), instance: args.identity },
        ),
        images: Images { hub: args.hub_image, hub_proxy: args.proxy_image, configurable_http_proxy: args.chp_image },
        stores: stores.clone(),
        client,
        metrics,
        backoff: Backoff::default(),
        going: Going::default(),
        extensions: Extensions::default(),
        namespace: args.lease_namespace,
        acme,
    });
    // What is touched before every store is filled waits: a reconcile must not take an empty store for an empty cluster.
    let (sender, queued) = futures::channel::mpsc::unbounded();
    let pump = async {
        let mut queue = queue;
        while let Some(hub) = queue.next().await {
            if sender.unbounded_send(Ok::<HubRef, std::convert::Infallible>(hub)).is_err() {
                return;
            }
        }
    };
    let work = async {
        stores.ready().await;
        tracing::info!(hubs = stores.hubs.len(), "watching");
        let config = controller::Config::default().concurrency(CONCURRENCY);
        let reconciler = |stored, context| reconcile(stored, context).boxed();
        let policy = |stored: Arc<_>, error: &_, context: Arc<_>| error_policy(&stored, error, &context);
        applier(reconciler, policy, context.clone(), stores.hubs.clone(), queued, config)
            .for_each_concurrent(None, |result| settle_result(&context, result))
            .await;
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = pump => {}
        () = work => {}
    }
    Ok(())
}

type Reconciled = Result<(HubRef, controller::Action), ControllerError<Error, std::convert::Infallible>>;

/// A Hub that is not there may have left Secrets that somebody waits to see go.
async fn settle_result(context: &Context, result: Reconciled) {
    if let Err(ControllerError::ObjectNotFound(hub)) = result {
        let namespace = hub.namespace.clone().unwrap_or_default();
        context.metrics.set_certificate(&namespace, &hub.name, None);
        let left = owned(&context.stores.secrets, &hub.name, &namespace);
        if let Err(error) = secrets::release_without_hub(&context.client, &left).await {
            tracing::warn!(%error, "failed to release a Secret whose Hub is gone");
        }
    }
}
