//! `jupyterhub-idle-culler`, which stops servers that nobody uses.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::api::Api;
use crate::{clients::Clients, environments::Version, local_hub::USER};

/// Seconds without activity after which a server is culled, and between two looks at all of them.
const IDLE: u64 = 5;
const EVERY: u64 = 2;
/// From the culler's start until the idle server is gone.
const PATIENCE: Duration = Duration::from_secs(45);

/// Both run the same program; one of them says, as servers do, that it is in use.
pub(super) async fn an_idle_server_is_culled_and_an_active_one_stays(clients: &Clients) -> Result<()> {
    clients
        .with_hub("idle-culler", Version::V6, async |hub| {
            let api = Api::admin(hub);
            api.expect(Method::POST, "/users/grace", None, &[201]).await?;
            tokio::try_join!(api.start_server(USER), api.start_server("grace"))?;
            let culler = clients
                .environment(Version::V6)
                .program("jupyterhub-idle-culler")
                .arg(format!("--url={}/hub/api", hub.base_url))
                .arg(format!("--timeout={IDLE}"))
                .arg(format!("--cull-every={EVERY}"))
                .env("JUPYTERHUB_API_TOKEN", &hub.token);
            tokio::select! {
                ended = culler.output() => bail!("the culler ended: {ended:?}"),
                result = watch(&api) => result,
            }
        })
        .await
}

/// Uses one server until the other is gone, and for a few looks of the culler after that.
async fn watch(api: &Api) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while !api.server("grace").await?.is_null() {
        ensure!(Instant::now() < end, "the idle server still runs: {}", api.server("grace").await?);
        use_server(api).await?;
    }
    for _ in 0..2 * EVERY {
        use_server(api).await?;
    }
    let server = api.server(USER).await?;
    ensure!(server["ready"] == true, "the server that is used was culled too: {server}");
    Ok(())
}

/// Says that [`USER`]'s server is in use, and lets a second go by.
async fn use_server(api: &Api) -> Result<()> {
    let activity = json!({"servers": {"": {"last_activity": Timestamp::now().to_string()}}});
    api.expect(Method::POST, &format!("/users/{USER}/activity"), Some(&activity), &[200]).await?;
    sleep(Duration::from_secs(1)).await;
    Ok(())
}
