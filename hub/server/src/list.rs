//! `hub server list`: which servers run (S14).

use clap::Args;
use hub_traitlets::jupyter::Environment;

use crate::running::{self, ServerInfo};

/// List the running servers of this user, with address, token and directory
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Print one JSON object for each server
    #[arg(long, conflicts_with = "jsonlist")]
    json: bool,
    /// Print a JSON list
    #[arg(long)]
    jsonlist: bool,
}

impl List {
    /// # Errors
    /// The runtime directory can't be read.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let servers = running::list(&Environment::current().runtime_dir())?;
        print!("{}", self.text(&servers)?);
        Ok(())
    }

    fn text(&self, servers: &[ServerInfo]) -> serde_json::Result<String> {
        if self.jsonlist {
            return Ok(serde_json::to_string_pretty(servers)? + "\n");
        }
        let lines: Result<Vec<_>, _> = match self.json {
            true => servers.iter().map(serde_json::to_string).collect(),
            false => Ok(servers.iter().map(ServerInfo::line).collect()),
        };
        let heading = if self.json { "" } else { "Currently running servers:\n" };
        Ok(lines?.iter().fold(heading.to_owned(), |text, line| text + line + "\n"))
    }
}
