//! `test`: everything that shows that it works.

use anyhow::Result;
use clap::Args;

use crate::{places::Places, runner};

/// Runs lints, unit and integration tests, real JupyterHub clients against a hub on this machine, `hub server` beside the
/// real Jupyter Server, and the cluster tests, in a cluster that is made for them and deleted after a run in which all passed. The last line says how many passed; the
/// exit code is 0 only if none failed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo e2e test
  cargo e2e test --only login          tests with `login` in their names; an area's name means all of it
  cargo e2e test --only clients        areas: lint, unit, clients, server, cluster
  cargo e2e test --only cluster --reuse
  cargo e2e test --long")]
pub(crate) struct Test {
    /// Also run what takes longer, and write its table to docs/
    #[arg(long)]
    long: bool,
    /// Only tests with this in their names, as in `cluster::smoke::the_hub_answers`
    #[arg(long, value_name = "PATTERN")]
    only: Option<String>,
    /// Run the cluster tests in the cluster that `up` made
    #[arg(long)]
    reuse: bool,
    /// Print the names of the tests and run none
    #[arg(long)]
    list: bool,
    /// Install missing packages without asking
    #[arg(long, short)]
    yes: bool,
}

impl Test {
    pub(super) async fn run(&self, places: &Places) -> Result<()> {
        let selection = runner::Selection { long: self.long, only: self.only.clone() };
        if self.list {
            selection.names().iter().for_each(|name| println!("{name}"));
            return Ok(());
        }
        let cluster = if self.reuse { runner::Where::Existing(super::up::NAME) } else { runner::Where::Own };
        runner::run(places, &selection, cluster, self.yes).await
    }
}
