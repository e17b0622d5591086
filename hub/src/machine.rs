//! A hub on one machine with settings in JupyterHub's names, as `jupyterhub` runs: the hub, its proxy and its services as
//! children, servers as processes. What is relative is so to the working directory.

use anyhow::Context;
use hub_crds::LoginLimits;
use hub_server::stop_on;
use hub_settings::{Addresses, Settings, Spawner as SpawnerSettings, SpawnerClass, http};
use hub_traitlets::Variables;
use jiff::Timestamp;
use rustix::system::uname;
use secrecy::{ExposeSecret, SecretString};
use std::{
    env,
    fs::{DirBuilder, File, TryLockError},
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::DirBuilderExt,
    path::Path,
    time::Instant,
};
use tokio::{net::TcpListener, signal::unix::SignalKind};
use tokio_util::sync::CancellationToken;

pub mod files;
mod proxy;
mod secrets;
mod services;

pub use secrets::Secrets;

use crate::{
    address::Address,
    config::check_default_url,
    database::{Database, Place},
    people::People,
    proxy::ProxyClient,
    router::router,
    serve::{Hub, build, run as run_hub, serve},
    servers::{ServerSettings, Servers},
    spawner::{
        Spawner,
        local::{LocalSettings, Owner},
    },
    urls::Urls,
};
use proxy::Proxy;
use services::Service;

/// What the hub keeps, in the working directory, where JupyterHub has its own.
pub const COOKIE_SECRET: &str = "jupyterhub_cookie_secret";
/// Logs of the servers.
const SERVERS: &str = "jupyterhub-servers";
/// Where commands such as `hub token` are heard.
const CONTROL_SOCKET: &str = "jupyterhub-control/hub.sock";

/// Runs until a signal. `started` is when the process began.
///
/// # Errors
/// The settings can't be carried out, or the hub failed.
pub async fn run(mut settings: Settings, variables: &Variables, started: Instant) -> anyhow::Result<()> {
    settings.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    anyhow::ensure!(settings.refusals.is_empty(), "{}", settings.refusals.join("\n"));
    if let Some(level) = settings.log_level {
        crate::log::set_level(level);
    }
    settings.tls.as_ref().map(files::check_tls).transpose()?;
    let stopping = CancellationToken::new();
    stop_on(&[SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()], &stopping)?;
    let _directory = lock_directory(Path::new(CONTROL_SOCKET))?;
    // The database first: its lock tells that no other hub has the proxy and the servers that are found here.
    let Some(database) = stopping.run_until_cancelled(open_database(&settings.db_url)).await else { return Ok(()) };
    let database = database?;
    let secrets = Secrets::open(&settings, Path::new(COOKIE_SECRET), files::OTHERS, variables)?;
    let (host, port) = &settings.addresses.hub;
    let listener = TcpListener::bind((host.as_str(), *port)).await.with_context(|| {
        format!("failed to listen on {host}:{port}; choose another place with JupyterHub.hub_bind_url")
    })?;
    let connect_url = connect_url(&settings, listener.local_addr()?);
    services::make_tokens(&mut settings.people);
    let urls = urls(&settings.addresses);
    let services = Service::all(&settings.people, &urls, &connect_url);
    let proxy = Proxy::new(&settings, &connect_url, &secrets.proxy_token)?;
    let cleanup_servers = settings.cleanup_servers;
    let hub = hub(settings, urls, database, secrets, proxy.client().clone(), &connect_url)?;
    let app = build(hub, stopping.clone()).await?;
    let proxy = proxy.start().await?;
    let servers = app.servers.clone();
    servers.restore().await?;
    let end_of_proxy = CancellationToken::new();
    let proxy = tokio::spawn(proxy.keep(servers.clone(), end_of_proxy.clone()));
    let address = listener.local_addr()?;
    let serving = serve(listener, router(&app), stopping.clone());
    proxy::give_routes(&servers).await;
    app.metrics().startup.record(&[], started.elapsed());
    tracing::info!(%address, start_ms = started.elapsed().as_millis(), "the hub is healthy");
    tracing::info!("{}", app.address.announcement(None));
    let services = tokio::spawn(services::run(services, stopping.clone()));
    let served = run_hub(app, serving, Path::new(CONTROL_SOCKET)).await;
    // Also where it failed.
    stopping.cancel();
    services.await?;
    // A hub that had to give way to another leaves it the servers.
    if cleanup_servers && served.is_ok() {
        servers.stop_all().await;
    }
    // Servers tell the proxy that they go, so it goes last.
    end_of_proxy.cancel();
    proxy.await?;
    tracing::info!("the hub ended");
    served
}

/// The working directory is one hub's: what lies in it, the proxy's number and the control socket among it, is found by
/// name. The lock lasts as long as what this returns.
fn lock_directory(control_socket: &Path) -> anyhow::Result<File> {
    let directory = control_socket.parent().context("failed to find the directory of the control socket")?;
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let lock = File::create(directory.join("lock")).context("failed to make the lock of this directory")?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => anyhow::bail!(
            "another hub runs in this directory, {}; end it, or start this one in a directory of its own",
            env::current_dir().unwrap_or_default().display()
        ),
        Err(TryLockError::Error(error)) => Err(error).context("failed to lock this directory"),
    }
}

/// The database of `db_url`, as soon as no other hub uses it.
async fn open_database(url: &SecretString) -> anyhow::Result<Database> {
    let place = Place::parse(url.expose_secret(), Path::new(""))
        .map_err(|remedy| anyhow::anyhow!("failed to use JupyterHub.db_url: {remedy}"))?;
    Ok(Database::open_place(&place).await?)
}

/// Where the proxy and servers reach the hub: on this machine, unless the settings say another address or the proxy is
/// elsewhere.
fn connect_url(settings: &Settings, listening: SocketAddr) -> String {
    if let Some(url) = &settings.addresses.hub_connect_url {
        return url.clone();
    }
    let host = match listening.ip() {
        ip if !ip.is_unspecified() => ip.to_string(),
        _ if settings.proxy.should_start => Ipv4Addr::LOCALHOST.to_string(),
        _ => uname().nodename().to_string_lossy().into_owned(),
    };
    http(&host, listening.port())
}

fn urls(addresses: &Addresses) -> Urls {
    match &addresses.subdomain_host {
        Some(host) => Urls::with_subdomains(&addresses.base_url, host.clone()),
        None => Urls::new(&addresses.base_url, addresses.public_url.clone()),
    }
}

/// The parts that the settings describe.
fn hub(
    settings: Settings,
    urls: Urls,
    database: Database,
    secrets: Secrets,
    proxy: ProxyClient,
    connect_url: &str,
) -> anyhow::Result<Hub> {
    anyhow::ensure!(
        !settings.people.enable_auth_state || secrets.crypt_keys.is_some(),
        "failed to use Authenticator.enable_auth_state: there is no key to encrypt with; set the variable {} to what \
         `openssl rand -hex 32` gives",
        crate::auth_state::VARIABLE
    );
    let behaviour = &settings.behaviour;
    if let Some(address) = &behaviour.landing.default_url {
        check_default_url(address, urls.base())
            .map_err(|remedy| anyhow::anyhow!("failed to use JupyterHub.default_url: {remedy}"))?;
    }
    let secure = settings.tls.is_some() || urls.public().is_some_and(|url| url.scheme() == "https");
    if !secure {
        tracing::warn!(
            "people's passwords are sent in the clear, unless TLS ends in front of this proxy (S35); set JupyterHub.ssl_cert"
        );
    }
    let address = Address { url: public_url(&settings, &urls), forward: None, show_logins: None };
    let server_settings = ServerSettings {
        limits: settings.limits,
        activity_interval: behaviour.activity.every(),
        ..ServerSettings::new(urls.clone(), connect_url)
    };
    let spawner = Spawner::local(local_settings(settings.spawner));
    Ok(Hub {
        urls,
        address,
        directory: env::current_dir().context("failed to find the current directory")?,
        servers: Servers::new(database.clone(), spawner, proxy, server_settings),
        database,
        people: People::of_settings(settings.people)?,
        cookie_secret: secrets.cookie_secret,
        crypt_keys: secrets.crypt_keys,
        keeper: secrets.keeper,
        secure,
        login_limits: LoginLimits::default(),
        trusted_proxies: Vec::new(),
        clients: behaviour.clients.clone(),
        sessions: behaviour.sessions.clone(),
        landing: behaviour.landing.clone(),
        pages: behaviour.pages.clone(),
        api_pages: behaviour.api_pages.clone(),
        activity: behaviour.activity.clone(),
        cull: None,
        clock: Timestamp::now,
    })
}

/// Where people are told that the hub is.
fn public_url(settings: &Settings, urls: &Urls) -> String {
    let here = || {
        let scheme = if settings.tls.is_some() { "https" } else { "http" };
        let port = settings.addresses.port.unwrap_or(8000);
        format!("{scheme}://localhost:{port}{}", urls.base())
    };
    urls.public().map_or_else(here, ToString::to_string)
}

/// What starts servers, if it is there.
///
/// # Errors
/// It isn't; the text says what to install.
pub fn check_servers(settings: Settings) -> anyhow::Result<String> {
    let local = local_settings(settings.spawner);
    local.check()?;
    Ok(local.command.join(" "))
}

fn local_settings(spawner: SpawnerSettings) -> LocalSettings {
    let templates = [("JUPYTERHUB_DEFAULT_URL", spawner.default_url), ("JUPYTERHUB_ROOT_DIR", spawner.notebook_dir)];
    let templates = templates.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?)));
    LocalSettings {
        command: spawner.command,
        front: None,
        runtime_dir: SERVERS.into(),
        owner: match spawner.class {
            SpawnerClass::Simple => Owner::Homes { template: spawner.home },
            SpawnerClass::LocalProcess | SpawnerClass::Other(_) => Owner::SystemUsers,
        },
        start_timeout: spawner.start_timeout,
        http_timeout: spawner.http_timeout,
        ip: spawner.ip,
        port: spawner.port,
        templates: templates.collect(),
        environment: spawner.environment,
        env_keep: spawner.env_keep,
        outlive_hub: true,
    }
}
