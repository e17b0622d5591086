//! `down`: deletes what `up` and `test` made, and stops the Docker daemon that `up` started.

use anyhow::Result;
use clap::Args;

use crate::{
    daemon,
    docker::Docker,
    kind::{self, Kind},
    places::Places,
    progress::{step, up_to_date},
    tools,
};

/// Deletes the clusters that `up` and `test` made, with all that is in them. Docker's daemon is stopped if `up` started it
/// and nothing else runs on it. Images and built tools stay, so that the next `up` is quick.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo e2e down
  cargo e2e down --name hub-e2e-test")]
pub(crate) struct Down {
    /// Delete only this cluster
    #[arg(long)]
    name: Option<String>,
}

impl Down {
    pub(super) async fn run(&self, places: &Places) -> Result<()> {
        let Some(docker) = Docker::connect().await else {
            daemon::stop(places).await?;
            up_to_date("No Docker daemon answers: no cluster runs");
            return Ok(());
        };
        let names = self.name.clone().map_or_else(|| kind::ours(places), |name| vec![name]);
        if !names.is_empty() {
            tools::ensure(places, tools::CLIENT).await?;
        }
        for name in &names {
            step(places, &format!("Delete cluster {name}"), async |_| Kind::new(places, &docker, name).delete().await)
                .await?;
        }
        let running = docker.output(["ps", "--quiet"]).await?;
        if running.is_empty() && daemon::is_ours(places)? {
            step(places, "Stop Docker", async |_| daemon::stop(places).await).await?;
        }
        Ok(())
    }
}
