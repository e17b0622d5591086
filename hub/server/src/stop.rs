//! `hub server stop`: ends a running server, ours or a `jupyter server`.

use anyhow::bail;
use clap::Args;
use hub_traitlets::jupyter::Environment;
use rustix::process::{Pid, Signal, kill_process};
use std::time::Duration;

use crate::{
    running::{self, ServerInfo, is_alive},
    settings::DEFAULT_PORT,
};

/// How long a server may take to end before it is told more firmly.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(50);

/// Stop the running server of a port
#[derive(Debug, Args)]
pub(crate) struct Stop {
    /// Port, or path of the Unix socket, of the server
    #[arg(default_value_t = DEFAULT_PORT.to_string(), value_name = "PORT")]
    at: String,
}

impl Stop {
    /// # Errors
    /// There is no such server, or it can't be stopped.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let runtime_dir = Environment::current().runtime_dir();
        let servers = running::list(&runtime_dir)?;
        if servers.is_empty() {
            bail!("there are no running servers (per {})", runtime_dir.display());
        }
        let is_meant = |server: &&ServerInfo| match server.sock.is_empty() {
            true => server.port.to_string() == self.at,
            false => server.sock == self.at,
        };
        let Some(server) = servers.iter().find(is_meant) else {
            let places = servers.iter().map(place).collect::<Vec<_>>().join(", ");
            bail!("no server runs on {}; there are servers on: {places}", self.at);
        };
        eprintln!("Shutting down the server on {}...", self.at);
        stop(server).await
    }
}

fn place(server: &ServerInfo) -> String {
    if server.sock.is_empty() { server.port.to_string() } else { server.sock.clone() }
}

/// Asks it, then tells it, then ends it.
async fn stop(server: &ServerInfo) -> anyhow::Result<()> {
    let Some((number, pid)) = server.pid.and_then(|number| Some((number, Pid::from_raw(number)?))) else {
        bail!("the server's note names no process")
    };
    if ask(server).await.is_ok() && ended(number).await {
        return Ok(());
    }
    for signal in [Signal::TERM, Signal::KILL] {
        match kill_process(pid, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => bail!("failed to stop the process {number}: {error}"),
        }
        if ended(number).await {
            return Ok(());
        }
    }
    bail!("the process {number} does not end")
}

/// As `jupyter server stop` asks. A server with a password and no token doesn't listen to this.
async fn ask(server: &ServerInfo) -> anyhow::Result<()> {
    let client = crate::http_client_for(&server.url).no_proxy().timeout(PATIENCE).build()?;
    let request = client.post(format!("{}api/shutdown", server.url));
    request.header("Authorization", format!("token {}", server.token)).send().await?.error_for_status()?;
    Ok(())
}

async fn ended(pid: i32) -> bool {
    let gone = async {
        while is_alive(pid) {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.is_ok()
}
