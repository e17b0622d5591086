//! The hub as a running program: it listens, keeps its servers in order, and ends without cutting anyone off.

use jiff::Timestamp;
use std::{path::Path, time::Duration};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    app::{App, Parts, parse_cookie_secret},
    authenticator::{Authenticator, allow::AllowList},
    database::Database,
    reread::Reread,
    router::router,
    servers::Servers,
    urls::Urls,
};
use hub_crds::config::AuthConfig;

/// How long open requests may take once the hub was told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// What a hub is started with: [`run`] does the rest.
pub struct Hub {
    pub urls: Urls,
    pub database: Database,
    pub servers: Servers,
    pub auth: AuthConfig,
    /// The file with the cookie secret (S80).
    pub cookie_secret_file: std::path::PathBuf,
    /// People use a connection that TLS protects, or the settings say that they know it doesn't.
    pub secure: bool,
}

/// Makes the hub that requests see.
///
/// # Errors
/// The cookie secret can't be used, or the database can't.
pub async fn build(hub: Hub, stopping: CancellationToken) -> anyhow::Result<App> {
    let authenticator = Authenticator::new(&hub.auth.authenticator);
    let allow = AllowList::new(&hub.auth, &authenticator.configured_users());
    let cookie_secret = open_cookie_secret(&hub.cookie_secret_file)?;
    let app = App::new(Parts {
        urls: hub.urls,
        database: hub.database,
        servers: hub.servers,
        authenticator,
        allow,
        cookie_secret,
        secure: hub.secure,
        clock: Timestamp::now,
        stopping,
    });
    app.admit_named().await?;
    Ok(app)
}

fn open_cookie_secret(path: &Path) -> anyhow::Result<Reread<hub_auth::cookie::Keys>> {
    let secret = Reread::new(path, parse_cookie_secret);
    secret.get()?;
    Ok(secret)
}

/// Serves until `stopping`, then lets open requests end.
///
/// # Errors
/// The listener fails.
pub async fn run(app: App, listener: TcpListener) -> anyhow::Result<()> {
    let stopping = app.stopping.clone();
    let upkeep = tokio::spawn(app.servers.clone().run(stopping.clone()));
    let serving = axum::serve(listener, router(&app)).with_graceful_shutdown(stopping.clone().cancelled_owned());
    let mut serving = tokio::spawn(serving.into_future());
    tokio::select! {
        ended = &mut serving => ended??,
        () = stopping.cancelled() => match tokio::time::timeout(GRACE, &mut serving).await {
            Ok(ended) => ended??,
            Err(_) => {
                tracing::warn!(grace_s = GRACE.as_secs(), "ended with requests still open");
                serving.abort();
            }
        },
    }
    stopping.cancel();
    upkeep.await?;
    Ok(())
}
