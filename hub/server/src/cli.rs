//! The command line of `hub server`.

use clap::{Args, Subcommand};
use hub_traitlets::{Config, Error, Origin, Value, jupyter::Environment};
use std::{path::PathBuf, time::Instant};
use url::Url;

use crate::{install, list::List, password, program::Guarded, serve, stop};

/// Guards one server with the Jupyter Server page's login: token, password, or the hub.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  hub server                                   JupyterLab, or Jupyter Server, behind a token
  hub server --browser                         and the browser is opened, logged in
  hub server -- my-program --listen unix:{socket} --base-url {base_url}
  hub server -- streamlit run app.py --server.port={port} --server.address=127.0.0.1
  hub server --upstream http://127.0.0.1:9000  a server that runs already
  hub server --port 9999 --ip '*' --certfile cert.pem --keyfile key.pem
  hub server --IdentityProvider.token=...      settings as `jupyter server` has them
  hub server list
  hub server stop 8888
  hub server password

{socket}, {port} and {base_url} in a command are filled in. Prefer {socket}: every user of this
machine can reach a port of the loopback interface.

Settings are read from jupyter_server_config.py (assignments of literals) and .json in Jupyter's
directories. Where a hub has set JUPYTERHUB_API_TOKEN, people log in at the hub.

Exit codes: 0 ended by a signal or `stop`, 1 it could not run or the program failed, 2 wrong usage.")]
pub struct Server {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    start: Start,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(List),
    Stop(stop::Stop),
    Password(password::Password),
    Install(install::Install),
}

/// What starting takes. Flags that `jupyter server` has too mean the same here.
#[derive(Debug, Args)]
pub(crate) struct Start {
    /// Address to listen on; `*` for all interfaces [default: localhost]
    #[arg(long)]
    ip: Option<String>,
    /// Port to listen on; 0 takes a free one [default: 8888]
    #[arg(long)]
    port: Option<u16>,
    /// How many further ports to try if it is taken [default: 50]
    #[arg(long)]
    port_retries: Option<u16>,
    /// The path below which everything is [default: /]
    #[arg(long, value_name = "PATH")]
    base_url: Option<String>,
    /// The directory of the notebooks [default: the current one]
    #[arg(long, alias = "notebook-dir", value_name = "DIR")]
    root_dir: Option<String>,
    /// Certificate for HTTPS: the leaf first, then its chain; may hold the key, too
    #[arg(long, value_name = "FILE")]
    certfile: Option<String>,
    /// The certificate's key
    #[arg(long, value_name = "FILE")]
    keyfile: Option<String>,
    /// Open the browser, logged in by a token that works once; BROWSER names which
    #[arg(long, num_args = 0..=1, require_equals = true, value_name = "COMMAND", default_missing_value = "")]
    browser: Option<String>,
    /// Don't open the browser, whatever the settings say
    #[arg(long, conflicts_with = "browser")]
    no_browser: bool,
    /// A settings file in place of jupyter_server_config.py and .json
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Guard a server that runs already, such as http://127.0.0.1:9000
    #[arg(long, value_name = "URL", conflicts_with = "program", value_parser = upstream)]
    upstream: Option<Url>,
    /// Take the base URL away from addresses before the program sees them
    #[arg(long)]
    pub(crate) strip_base_url: bool,
    /// Seconds that the program has to answer
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub(crate) start_timeout: u64,
    /// What to run: a command with {socket} or {port} where it is told where to listen
    #[arg(last = true, value_name = "COMMAND")]
    program: Vec<String>,
}

fn upstream(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{error}; write an address such as http://127.0.0.1:9000"))?;
    if url.scheme() != "http" || url.host().is_none() || !matches!(url.path(), "" | "/") {
        return Err("write an http:// address without a path, such as http://127.0.0.1:9000".to_owned());
    }
    Ok(url)
}

/// Takes settings such as `--ServerApp.port=9999` out of a command line, up to a `--`: clap knows no such flags.
///
/// # Errors
/// A setting without a value.
pub fn split_settings(mut arguments: Vec<String>) -> Result<(Vec<String>, Config), Error> {
    let end = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
    let (after, before) = (arguments.split_off(end), arguments);
    let flags = hub_traitlets::split(before, &Environment::current().home)?;
    Ok(([flags.rest, after].concat(), flags.config))
}

impl Server {
    /// If the servers that run are to be listed: how.
    #[must_use]
    pub fn list(&self) -> Option<&List> {
        match &self.command {
            Some(Command::List(list)) => Some(list),
            _ => None,
        }
    }

    /// `settings` are those of the command line.
    ///
    /// # Errors
    /// The server can't run, or what the command asks can't be done.
    pub async fn run(self, settings: Config, started: Instant) -> anyhow::Result<()> {
        match self.command {
            Some(Command::List(list)) => list.run(Vec::new()),
            Some(Command::Stop(stop)) => stop.run().await,
            Some(Command::Password(password)) => password.run(),
            Some(Command::Install(install)) => Ok(install.run()?),
            None => serve::run(self.start, settings, started).await,
        }
    }
}

impl Start {
    /// The flags as settings.
    pub(crate) fn settings(&self) -> Config {
        let mut config = Config::default();
        let mut set = |name: &str, text: Option<String>| {
            if let Some(text) = text {
                config.set("ServerApp", name, Value::Text(vec![text]), Origin::CommandLine);
            }
        };
        set("ip", self.ip.clone());
        set("port", self.port.map(|port| port.to_string()));
        set("port_retries", self.port_retries.map(|retries| retries.to_string()));
        set("base_url", self.base_url.clone());
        set("root_dir", self.root_dir.clone());
        set("certfile", self.certfile.clone());
        set("keyfile", self.keyfile.clone());
        set("browser", self.browser.clone().filter(|browser| !browser.is_empty()));
        set("open_browser", self.browser.as_ref().map(|_| "True".to_owned()));
        set("open_browser", self.no_browser.then(|| "False".to_owned()));
        config
    }

    pub(crate) fn guarded(&self) -> Guarded {
        match &self.upstream {
            Some(url) => Guarded::Upstream(url.clone()),
            None if self.program.is_empty() => Guarded::Jupyter,
            None => Guarded::Command(self.program.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_taken_from_before_the_command_only() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let line = words("hub server --ServerApp.port=1 --ip x -- p --ServerApp.sock={socket}");
        let (rest, config) = split_settings(line).unwrap();
        assert_eq!(rest, words("hub server --ip x -- p --ServerApp.sock={socket}"));
        assert_eq!(config.get("ServerApp", "port").unwrap().int::<u16>().unwrap(), 1);
        assert_eq!(config.iter().count(), 1);
    }

    #[test]
    fn an_upstream_is_an_origin() {
        assert!(upstream("http://127.0.0.1:9000").is_ok() && upstream("http://localhost/").is_ok());
        for wrong in ["127.0.0.1:9000", "https://localhost", "http://localhost/x", "http://", "unix:/x"] {
            assert!(upstream(wrong).is_err(), "{wrong}");
        }
    }
}
