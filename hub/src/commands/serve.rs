//! `hub serve`: the hub with the settings of a file, JupyterHub's or those that the operator renders.

use hub_settings::{Settings, print};
use hub_traitlets::{Config, jupyter::Environment};
use std::{
    io::{self, Write},
    path::PathBuf,
    time::Instant,
};

use super::settings_file::{Found, find_settings};
use crate::machine;

mod cluster;

/// Runs the hub with the settings of a file.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hub serve --config jupyterhub_config.py
  hub serve --config jupyterhub_config.py --JupyterHub.bind_url=http://127.0.0.1:9000
  hub serve --config jupyterhub_config.py --print-settings
  CONFIGPROXY_AUTH_TOKEN=... hub serve --config jupyterhub_config.json --ConfigurableHTTPProxy.should_start=False
  RUST_LOG=hub=debug hub serve --config /etc/jupyterhub/config/hub.yaml

With settings in JupyterHub's names the hub runs on this machine: it starts its proxy, hub-proxy, and servers as processes, and
keeps jupyterhub.sqlite and jupyterhub_cookie_secret in the directory where it is started. Python is read, not run: what is not
the assignment of a literal is an error that says what to write. Nothing is passed over in silence: a setting that this hub
cannot carry out is an error. docs/settings.md has the list.

A .yaml whose keys are not classes such as JupyterHub is what the operator renders; then the hub runs in a cluster.

The log goes to the standard error. SIGTERM and SIGINT end the hub. In a cluster servers run on, and the next hub finds them;
on a machine they do with c.JupyterHub.cleanup_servers = False, or if the hub is killed.
Exit codes: 0 ended by a signal, 1 the settings can't be used or the hub failed, 2 wrong usage.")]
pub struct Serve {
    /// The settings: JupyterHub's in .py, .json or .yaml, or the operator's in .yaml. A complaint names the setting and what
    /// to write instead.
    #[arg(short = 'f', long, value_name = "FILE", env = "HUB_CONFIG")]
    config: PathBuf,
    /// Shows what was understood, with the place of each setting and without secrets, and ends
    #[arg(long)]
    print_settings: bool,
}

impl Serve {
    /// `flags` are settings of the command line, such as `--JupyterHub.ip=127.0.0.1`.
    pub async fn run(self, flags: Config, started: Instant) -> anyhow::Result<()> {
        let variables = Environment::current().variables;
        match find_settings(&self.config, flags, &variables)? {
            Found::Operators(config) if self.print_settings => show(&serde_yaml::to_string(&*config)?),
            Found::Operators(config) => cluster::run(*config, started).await,
            Found::JupyterHubs(config) => {
                let settings = Settings::read(&config, &variables)?;
                if !self.print_settings {
                    return machine::run(settings, &variables, started).await;
                }
                show(&print::settings(&config, &settings, &variables))?;
                anyhow::ensure!(
                    settings.refusals.is_empty(),
                    "the hub does not start with these settings: each `# error` says why"
                );
                Ok(())
            }
        }
    }
}

fn show(text: &str) -> anyhow::Result<()> {
    Ok(io::stdout().lock().write_all(text.as_bytes())?)
}
