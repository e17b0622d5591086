//! `hub server`: one server behind a login, and the list of those that run, a hub's among them.

use hub_crds::names::path::CONTROL_SOCKET;
use hub_server::Config;
use std::{path::PathBuf, time::Instant};

use crate::control::ask_for_servers;

/// Guards one server with the Jupyter Server page's login: token, password, or the hub.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Server {
    #[command(flatten)]
    server: hub_server::Server,
    /// Where a hub of this machine listens for commands: its servers are listed, too
    #[arg(long, env = "HUB_CONTROL_SOCKET", default_value = CONTROL_SOCKET, value_name = "PATH", global = true, hide = true)]
    socket: PathBuf,
}

impl Server {
    /// `settings` are those of the command line.
    pub async fn run(self, settings: Config, started: Instant) -> anyhow::Result<()> {
        match self.server.list() {
            Some(list) => list.run(ask_for_servers(&self.socket).await?),
            None => self.server.run(settings, started).await,
        }
    }
}
