//! Servers that nobody uses, in a cluster: the real single-user server says that its kernel works, and the proxy that
//! somebody is there.

use std::time::Duration;

use anyhow::{Result, ensure};
use hub_crds::names::child;
use serde_json::json;
use tokio::time::timeout;

use super::{
    hubs::{self, Place},
    person::ServerState,
};
use crate::cluster::Cluster;

/// Seconds without use after which a server is stopped.
const TIMEOUT: u64 = 15;
/// Seconds between two looks, and between two reports of a server.
const EVERY: u64 = 2;
/// Seconds that the busy kernel works without a word from its browser: well beyond the timeout.
const WORK: u64 = 40;
/// From the end of all use until a server is gone.
const GONE: Duration = Duration::from_secs(60);

/// One kernel works and prints over an open WebSocket, the other server is left alone; later both are.
pub(super) async fn an_idle_server_goes_and_one_with_a_busy_kernel_stays_row_43(cluster: &Cluster) -> Result<()> {
    cluster
        .with_temp_ns("culling", async |namespace| {
            let hub = Place { cluster, namespace, name: "culled" };
            let mut spec = hubs::spec(cluster);
            spec["auth"]["token"]["users"] = json!([{"name": "ada", "admin": true}, {"name": "grace"}]);
            spec["cull"] = json!({"timeout": TIMEOUT, "every": EVERY});
            spec["singleuser"]["args"] = json!([format!("--JupyterHubSingleUser.hub_activity_interval={EVERY}")]);
            hub.apply(spec).await?;
            hub.await_ready().await?;
            let (ada, grace) = (hub.visitor("ada").await?, hub.visitor("grace").await?);
            tokio::try_join!(ada.start_server(), grace.start_server())?;
            tokio::try_join!(ada.open_lab(), grace.open_lab())?;

            let mut kernel = ada.connect(&ada.start_kernel().await?).await?;
            let code = format!("import time\nfor i in range({WORK}):\n    print(i, flush=True)\n    time.sleep(1)");
            let gone = timeout(GONE, grace.await_server(&ServerState::Stopped));
            let (printed, gone) = tokio::join!(kernel.run(&code), gone);
            gone??;
            ensure!(printed?.contains(&format!("{}\n", WORK - 1)), "the busy kernel was cut off");
            ensure!(ada.server_state().await? == ServerState::Ready, "the server with the busy kernel is gone");

            drop(kernel);
            timeout(GONE, ada.await_server(&ServerState::Stopped)).await??;
            let deployment = format!("deployment/{}", child::hub(hub.name));
            let log = cluster.kubectl(&["--namespace", namespace, "logs", &deployment]).await?;
            for user in ["ada", "grace"] {
                let line = format!(r#""event":"server stopped","user":"{user}","actor":"culling","object":"{user}/""#);
                ensure!(log.matches(&line).count() == 1, "the audit log has not one line `{line}`:\n{log}");
            }
            Ok(())
        })
        .await
}
