//! A hub in a cluster, with the settings file that the operator renders.

use anyhow::Context;
use hub_crds::{
    HttpsType,
    config::{AuthenticatorConfig, HubConfig},
};
use hub_server::stop_on;
use jiff::Timestamp;
use std::{path::Path, time::Instant};
use tokio::{net::TcpListener, signal::unix::SignalKind};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    address::Address,
    auth_state::CryptKeeper,
    client_address::parse_net,
    config,
    cookie_secret::CookieSecret,
    database::Database,
    door::Door,
    people::People,
    proxy::{ProxyClient, ProxyToken, watch_members},
    report::Reporter,
    rotation::Keeper,
    router::router,
    serve::{Hub, build, run as run_hub, serve},
    servers::{ServerSettings, Servers},
    spawner::{Spawner, kubernetes as pods},
    urls::Urls,
};

/// Runs until a signal.
pub(super) async fn run(config: HubConfig, started: Instant) -> anyhow::Result<()> {
    let stopping = CancellationToken::new();
    stop_on(&[SignalKind::terminate(), SignalKind::interrupt()], &stopping)?;
    let listener = TcpListener::bind(&config.bind)
        .await
        .with_context(|| format!("failed to listen on {} (the field bind)", config.bind))?;
    let address = listener.local_addr()?;
    let log_logins = !matches!(config.auth.authenticator, AuthenticatorConfig::Token { log: false, .. });
    let urls = urls(&config)?;
    let control_socket = config.control_socket.clone();
    let reporter = match &config.kubernetes {
        Some(kubernetes) => Reporter::connect(kubernetes).await?,
        None => None,
    };
    let door = Door::new(urls.at("health"));
    let serving = serve(listener, door.router(), stopping.clone());
    check_secrets(&config)?;
    // Whoever waits for another hub's end may be told to end itself.
    let Some(database) = stopping.run_until_cancelled(database(&config, &door)).await else { return Ok(()) };
    let database = database?;
    let app = build(hub(config, urls, database).await?, stopping).await?;
    app.servers.restore().await?;
    door.open(router(&app));
    app.metrics().startup.record(&[], started.elapsed());
    tracing::info!(%address, start_ms = started.elapsed().as_millis(), "the hub is healthy");
    let logins = log_logins.then(|| app.login_urls());
    tracing::info!("{}", app.address.announcement(logins.as_deref()));
    if let Some(reporter) = reporter {
        tokio::spawn(reporter.run(app.clone()));
    }
    run_hub(app, serving, &control_socket).await?;
    tracing::info!("the hub ended");
    Ok(())
}

fn urls(config: &HubConfig) -> Result<Urls, url::ParseError> {
    Ok(match (&config.subdomain_host, &config.public_url) {
        (Some(host), _) => Urls::with_subdomains(&config.base_url, Url::parse(host)?),
        (None, public) => Urls::new(&config.base_url, public.as_deref().map(Url::parse).transpose()?),
    })
}

/// What a hub could not start without, before it counts as ready to take another one's place.
fn check_secrets(config: &HubConfig) -> anyhow::Result<()> {
    CookieSecret::file(&config.cookie_secret_file)?;
    ProxyToken::file(&config.proxy.token_file).check()?;
    config.crypt_keys_file.as_deref().map(CryptKeeper::file).transpose()?;
    Ok(())
}

/// The database, as soon as no other hub uses it.
async fn database(config: &HubConfig, door: &Door) -> anyhow::Result<Database> {
    Ok(Database::open_when_free(&config::database_place(config)?, || door.wait()).await?)
}

/// The parts that the settings describe.
async fn hub(config: HubConfig, urls: Urls, database: Database) -> anyhow::Result<Hub> {
    let address = Address::of(&config, &urls);
    let own_file = config.database_file.as_ref().unwrap_or(&config.control_socket);
    let directory = own_file.parent().unwrap_or(Path::new("/")).to_owned();
    let proxy = ProxyClient::new(&config.proxy.api_url, ProxyToken::file(&config.proxy.token_file));
    let kubernetes = config
        .kubernetes
        .context("failed to find the field kubernetes; servers as local processes are what `hub local` is for")?;
    let settings = ServerSettings {
        limits: config.servers,
        profiles: kubernetes.singleuser.profiles.clone(),
        activity_interval: config.activity.every(),
        cookie_host_prefix: config.cookie_host_prefix,
        token_login: matches!(config.auth.authenticator, AuthenticatorConfig::Token { .. }),
        ..ServerSettings::new(urls.clone(), &config.connect_url)
    };
    let keeper = Keeper::Operator(kubernetes.hub.clone());
    let proxy = match &config.proxy.service {
        Some(service) => {
            let client = pods::connect().await.context("failed to connect to the API server")?;
            proxy.with_members(watch_members(client, &kubernetes.hub.namespace, service))
        }
        None => proxy,
    };
    let spawner = Spawner::kubernetes(kubernetes).await?;
    let servers = Servers::new(database.clone(), spawner, proxy, settings);
    Ok(Hub {
        urls,
        address,
        directory,
        database,
        servers,
        people: People::of_files(&config.auth, config.rbac)?,
        cookie_secret: CookieSecret::file(config.cookie_secret_file)?,
        crypt_keys: config.crypt_keys_file.as_deref().map(CryptKeeper::file).transpose()?,
        keeper,
        secure: config.https != HttpsType::None,
        login_limits: config.login_limits,
        trusted_proxies: config.proxy.trusted_proxies.iter().map(|net| parse_net(net)).collect::<Result<_, _>>()?,
        clients: config.clients,
        sessions: config.sessions,
        landing: config.landing,
        pages: config.pages,
        api_pages: config.api_pages,
        activity: config.activity,
        cull: config.cull,
        clock: Timestamp::now,
    })
}
