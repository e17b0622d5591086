//! The hub as a running program: it listens, keeps its servers in order, and ends without cutting anyone off.

use axum::Router;
use hub_auth::{failure_limit::FailureLimit, lockout::Lockouts};
use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    activity::Activity,
    address::Address,
    app::{App, Parts},
    auth_state::CryptKeeper,
    barred, control,
    cookie_secret::CookieSecret,
    culling,
    database::Database,
    event_loop, login_attempts, openapi,
    people::People,
    rbac,
    reread::Reread,
    resets,
    rotation::Keeper,
    servers::Servers,
    session::{LoginTimes, SeenSessions},
    upkeep,
    urls::Urls,
};
use hub_crds::{ActivityTimes, ApiPages, ClientRules, Cull, Landing, LoginLimits, Sessions, config::PagesConfig};

/// How long open requests may take once the hub was told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// How often in a minute a user may try a share code that doesn't exist.
const SHARE_CODE_FAILURES: usize = 10;

/// What a hub is started with: [`run`] does the rest.
pub struct Hub {
    pub urls: Urls,
    /// Where people are told that it is.
    pub address: Address,
    /// Where its own files are.
    pub directory: PathBuf,
    pub database: Database,
    pub servers: Servers,
    pub people: People,
    /// The cookie secret (S80).
    pub cookie_secret: Reread<CookieSecret>,
    /// What encrypts `auth_state`, if anything.
    pub crypt_keys: Option<CryptKeeper>,
    /// Who keeps the secrets.
    pub keeper: Keeper,
    /// People use a connection that TLS protects, or the settings say that they know it doesn't.
    pub secure: bool,
    pub login_limits: LoginLimits,
    /// The proxies in front of the hub's own, whose word it passes on.
    pub trusted_proxies: Vec<IpNet>,
    pub clients: ClientRules,
    pub sessions: Sessions,
    pub landing: Landing,
    /// The look of the pages.
    pub pages: PagesConfig,
    pub api_pages: ApiPages,
    pub activity: ActivityTimes,
    /// When idle servers are stopped, if at all.
    pub cull: Option<Cull>,
    pub clock: fn() -> Timestamp,
}

/// Makes the hub that requests see.
///
/// # Errors
/// A service or the database can't be used.
pub async fn build(hub: Hub, stopping: CancellationToken) -> anyhow::Result<App> {
    let People { authenticator, allow, rbac, service_tokens } = hub.people;
    let configured = rbac::configured(&rbac, &allow, &service_tokens, &hub.urls)?;
    let failures = hub.database.login_failures((hub.clock)()).await?;
    let openapi = openapi::document(&hub.urls.at("api"))?.to_string().into();
    let app = App::new(Parts {
        urls: hub.urls,
        address: hub.address,
        directory: hub.directory,
        database: hub.database.with_scopes(rbac::definitions(&rbac)?),
        servers: hub.servers,
        authenticator,
        allow,
        cookie_secret: hub.cookie_secret,
        crypt_keys: hub.crypt_keys,
        keeper: hub.keeper,
        service_tokens,
        secure: hub.secure,
        trusted_proxies: hub.trusted_proxies,
        clients: hub.clients,
        sessions: hub.sessions,
        landing: hub.landing,
        pages: hub.pages,
        api_pages: hub.api_pages,
        activity: Activity::new(SignedDuration::from_secs(hub.activity.resolution.into())),
        cull: hub.cull,
        login_times: LoginTimes::default(),
        seen_sessions: SeenSessions::default(),
        lockouts: Lockouts::new(login_attempts::limits(&hub.login_limits), failures),
        share_code_failures: FailureLimit::new(SHARE_CODE_FAILURES, Duration::from_mins(1)),
        openapi,
        clock: hub.clock,
        stopping,
    });
    resets::end_sessions_after_reset(&app).await?;
    upkeep::end_sessions_after_change(&app).await?;
    app.admit_named().await?;
    barred::end_blocked(&app).await?;
    app.database.configure(&configured, app.now()).await?;
    Ok(app)
}

/// Answers at the listener with `router` until `stopping`; then open requests may end.
pub fn serve(listener: TcpListener, router: Router, stopping: CancellationToken) -> JoinHandle<io::Result<()>> {
    tokio::spawn(axum::serve(listener, router).with_graceful_shutdown(stopping.cancelled_owned()).into_future())
}

/// Runs a hub until `stopping`, or until another one has taken its database over. `serving` is what [`serve`] began. Commands
/// are heard at `control_socket`.
///
/// # Errors
/// The listener fails, the socket can't be made, or the database is another hub's.
pub async fn run(app: App, mut serving: JoinHandle<io::Result<()>>, control_socket: &Path) -> anyhow::Result<()> {
    let stopping = app.stopping.clone();
    let control = tokio::spawn(control::serve(app.clone(), control::listen(control_socket)?));
    let servers = tokio::spawn(app.servers.clone().run(stopping.clone()));
    let upkeep = tokio::spawn(upkeep::run(app.clone()));
    let culling = tokio::spawn(culling::rounds::run(app.clone()));
    let watching = app.clone();
    let stalls = async move { event_loop::watch(&watching.metrics().stalls).await };
    tokio::spawn(stopping.clone().run_until_cancelled_owned(stalls));
    tokio::select! {
        ended = &mut serving => ended??,
        () = app.database.taken_over() => anyhow::bail!("another hub has taken the database over; this one ends"),
        () = stopping.cancelled() => match tokio::time::timeout(GRACE, &mut serving).await {
            Ok(ended) => ended??,
            Err(_) => {
                tracing::warn!(grace_s = GRACE.as_secs(), "ended with requests still open");
                serving.abort();
            }
        },
    }
    stopping.cancel();
    servers.await?;
    upkeep.await?;
    culling.await?;
    // A command that goes on, such as a copy that nobody reads, must not hold the hub up.
    match tokio::time::timeout(GRACE, control).await {
        Ok(ended) => Ok(ended??),
        Err(_) => Ok(()),
    }
}
