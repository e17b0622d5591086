//! `hub serve`: the hub with the settings of a file, as the operator runs it.

use anyhow::Context;
use hub_crds::{
    HttpsType,
    config::{AuthenticatorConfig, HubConfig},
    names::child,
};
use jiff::Timestamp;
use std::{path::PathBuf, time::Instant};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    app::App,
    authenticator::Authenticator,
    config,
    database::Database,
    proxy::{ProxyClient, ProxyToken},
    serve::{Hub, build, run},
    servers::{ServerSettings, Servers},
    spawner::Spawner,
    urls::Urls,
};

/// Runs the hub with the settings of a file.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hub serve --config /etc/jupyterhub/config/hub.yaml
  RUST_LOG=hub=debug hub serve --config hub.yaml

The log goes to the standard error. SIGTERM and SIGINT end the hub; servers run on, and the next hub finds them.
Exit codes: 0 ended by a signal, 1 the settings can't be used or the hub failed, 2 wrong usage.")]
pub struct Serve {
    /// The settings, in YAML. A complaint names the field and what to write instead.
    #[arg(long, value_name = "FILE", env = "HUB_CONFIG")]
    config: PathBuf,
}

impl Serve {
    pub async fn run(self, started: Instant) -> anyhow::Result<()> {
        let config = config::load(&self.config)?;
        let stopping = CancellationToken::new();
        stop_on_signals(&stopping)?;
        let listener = TcpListener::bind(&config.bind)
            .await
            .with_context(|| format!("failed to listen on {} (the field bind)", config.bind))?;
        let log_tokens = matches!(config.auth.authenticator, AuthenticatorConfig::Token { log: true, .. });
        let urls = urls(&config)?;
        let (public, way) = public_address(&config, &urls);
        let control_socket = config.control_socket.clone();
        let app = build(hub(config, urls).await?, stopping).await?;
        app.servers.restore().await?;
        tracing::info!(address = %listener.local_addr()?, start_ms = started.elapsed().as_millis(), "the hub is healthy");
        if log_tokens {
            log_login_urls(&app, &public, &way);
        }
        run(app, listener, &control_socket).await?;
        tracing::info!("the hub ended");
        Ok(())
    }
}

fn urls(config: &HubConfig) -> Result<Urls, url::ParseError> {
    Ok(match (&config.subdomain_host, &config.public_url) {
        (Some(host), _) => Urls::with_subdomains(&config.base_url, Url::parse(host)?),
        (None, public) => Urls::new(&config.base_url, public.as_deref().map(Url::parse).transpose()?),
    })
}

/// The address that people use and, where the settings don't know it, how it is made to lead here.
fn public_address(config: &HubConfig, urls: &Urls) -> (String, String) {
    if let Some(public) = urls.public() {
        return (public.to_string(), String::new());
    }
    let service = config.kubernetes.as_ref().map(|kubernetes| {
        let (namespace, service) = (&kubernetes.hub.namespace, child::proxy_public(&kubernetes.hub.name));
        format!(" (with `kubectl --namespace {namespace} port-forward service/{service} 8000:80`)")
    });
    (format!("http://localhost:8000{}", config.base_url), service.unwrap_or_default())
}

/// The parts that the settings describe.
async fn hub(config: HubConfig, urls: Urls) -> anyhow::Result<Hub> {
    let database = Database::open(&config.database_file).await?;
    let proxy = ProxyClient::new(&config.proxy.api_url, ProxyToken::file(&config.proxy.token_file));
    let settings = ServerSettings {
        limits: config.servers,
        cookie_host_prefix: config.cookie_host_prefix,
        ..ServerSettings::new(urls.clone(), &config.connect_url)
    };
    let kubernetes = config
        .kubernetes
        .context("failed to find the field kubernetes; servers as local processes are what `hub local` is for")?;
    let spawner = Spawner::kubernetes(kubernetes).await?;
    let servers = Servers::new(database.clone(), spawner, proxy, settings);
    Ok(Hub {
        urls,
        database,
        servers,
        auth: config.auth,
        rbac: config.rbac,
        cookie_secret_file: config.cookie_secret_file,
        secure: config.https != HttpsType::None,
        clients: config.clients,
        clock: Timestamp::now,
    })
}

/// The address that logs a person in (S9), for each user with a token: pasteable.
/// `way` is said beside it.
pub fn log_login_urls(app: &App, public: &str, way: &str) {
    let Authenticator::Token(tokens) = &app.authenticator else { return };
    let login = format!("{}hub/login", if public.ends_with('/') { public.to_owned() } else { format!("{public}/") });
    let urls: Vec<_> = tokens
        .users()
        .filter(|user| app.allow.admits(&user.name))
        .filter_map(|user| user.read_token())
        .map(|token| format!("    {login}?token={token}"))
        .collect();
    if !urls.is_empty() {
        tracing::info!("The Hub is running at{way}:\n{}", urls.join("\n"));
    }
}

fn stop_on_signals(stopping: &CancellationToken) -> anyhow::Result<()> {
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind)?;
        let stopping = stopping.clone();
        tokio::spawn(async move {
            signals.recv().await;
            stopping.cancel();
        });
    }
    Ok(())
}
