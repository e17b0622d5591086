//! `hub doctor`: whether a hub has what it needs, one line for each thing, with what to do about it.

use hub_crds::names::path::{CONFIG_DIR, CONFIG_FILE};
use hub_traitlets::{Config, jupyter::Environment};
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::timeout;

use super::settings_file::{Found, find_settings};
use crate::{
    database::{Database, Place},
    machine::files::{OTHERS, refuse_readable},
    proxy::ProxyClient,
};

mod cluster;
mod machine;

/// Looks for what is wrong with a hub.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  kubectl exec deploy/jhub-hub -- hub doctor
  hub doctor --config jupyterhub_config.py

Settings, secrets, database, proxy, names and permissions are looked at, and nothing is changed. It may run beside the hub or in
its place. Each line starts with `ok` or `wrong`; the remedy follows.
Exit codes: 0 nothing is wrong, 1 something is, 2 wrong usage.")]
pub struct Doctor {
    /// The hub's settings
    #[arg(short = 'f', long, value_name = "FILE", env = "HUB_CONFIG", default_value_os_t = Path::new(CONFIG_DIR).join(CONFIG_FILE))]
    config: PathBuf,
}

/// How long one thing may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was looked at, and how it is; or what is wrong, and the remedy.
type Finding = (&'static str, Result<String, String>);

impl Doctor {
    /// `flags` are settings of the command line.
    pub async fn run(self, flags: Config) -> anyhow::Result<()> {
        let variables = Environment::current().variables;
        let findings = match find_settings(&self.config, flags, &variables) {
            Ok(Found::Operators(config)) => cluster::examine(&self.config, &config).await,
            Ok(Found::JupyterHubs(config)) => machine::examine(&self.config, &config, &variables).await,
            Err(error) => vec![("settings", Err(whole(error)))],
        };
        let wrong = findings.iter().filter(|(_, found)| found.is_err()).count();
        let mut out = io::stdout().lock();
        for (what, found) in findings {
            match found {
                Ok(how) => writeln!(out, "ok     {what:<13} {how}")?,
                Err(remedy) => writeln!(out, "wrong  {what:<13} {remedy}")?,
            }
        }
        anyhow::ensure!(wrong == 0, "{wrong} of the lines above say what is wrong");
        Ok(())
    }
}

async fn in_time(work: impl Future<Output = Result<String, String>>) -> Result<String, String> {
    timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(format!("there was no answer in {} s", PATIENCE.as_secs())))
}

/// A file with a secret can be used, and others can't read it (S82).
fn secret<E: Into<anyhow::Error>>(file: &Path, open: impl Fn(&Path) -> Result<(), E>) -> Result<String, String> {
    open(file).map_err(whole)?;
    refuse_readable(file, OTHERS, "others can read it").map_err(whole)?;
    Ok(file.display().to_string())
}

async fn database(place: &Place) -> Result<String, String> {
    Database::examine(place).await.map_err(whole)?;
    Ok(place.to_string())
}

async fn proxy(api_url: &str, client: &ProxyClient) -> Result<String, String> {
    let routes = client.routes().await.map_err(whole)?;
    Ok(format!("{api_url} has {} routes", routes.len()))
}

/// As servers reach it. `may_rest` says that there may be no hub at this moment.
async fn hub(connect_url: &str, base_url: &str, may_rest: bool) -> Result<String, String> {
    let health = format!("{connect_url}{base_url}hub/health");
    let client = hub_server::http_client().no_proxy().build().map_err(whole)?;
    let answer = match client.get(&health).send().await {
        Ok(answer) => answer,
        Err(error) if may_rest && error.is_connect() => return Ok("does not run at this moment".to_owned()),
        Err(error) => {
            let remedy = "look at the hub's log, and at what is between";
            return Err(format!("{health} does not answer ({}): {remedy}", whole(error)));
        }
    };
    match answer.status() {
        status if status.is_success() => Ok(health),
        status => Err(format!("{health} answers {status}: look at the hub's log")),
    }
}

fn whole(error: impl Into<anyhow::Error>) -> String {
    format!("{:#}", error.into())
}
