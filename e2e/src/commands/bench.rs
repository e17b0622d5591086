//! `bench`: numbers, side by side with what ours stands in for.

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::{
    bench::{self, Extent, proxy::Part},
    places::Places,
};

/// Measures a part beside what it stands in for, in one run on this machine, and writes a table to docs/.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo e2e bench hub
  cargo e2e bench hub --rounds 7
  cargo e2e bench hub --long
  cargo e2e bench server
  cargo e2e bench proxy
  cargo e2e bench storm")]
pub(crate) struct Bench {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Debug, Subcommand)]
enum Subject {
    Hub(Hub),
    Server(Server),
    Proxy(Proxy),
    Storm(Storm),
}

/// `hub local` beside JupyterHub 6.1: CPU time and latency of requests, activity, start-up, memory.
///
/// Takes about four minutes on a machine on which nothing else runs, and is worth little on another; the first time, release
/// binaries are compiled before. Writes docs/benchmarks-hub.md.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo e2e bench hub
  cargo e2e bench hub --rounds 7       narrower spreads
  cargo e2e bench hub --dev            the slower binaries of tests, which are compiled already
  cargo e2e bench hub --long           start-up with 50,000 users, too")]
struct Hub {
    /// Rounds of each kind of request on each side; of each start half as many
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Also start both with 50,000 users
    #[arg(long)]
    long: bool,
    /// Measure the binaries that tests have, not release binaries
    #[arg(long)]
    dev: bool,
    /// Install missing packages without asking
    #[arg(long, short)]
    yes: bool,
}

/// `hub server` in front of a server, beside that server alone: CPU time and latency of requests, start, memory.
///
/// Takes about a minute on a machine on which nothing else runs; the first time, a release binary is compiled before.
/// Writes docs/benchmarks-server.md.
#[derive(Debug, Args)]
struct Server {
    /// Rounds of each kind of request, and starts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Measure the binary that tests have, not a release binary
    #[arg(long)]
    dev: bool,
    /// Install missing packages without asking
    #[arg(long, short)]
    yes: bool,
}

/// The proxy beside configurable-http-proxy, nginx and HAProxy: CPU time, throughput, latency, memory, and what is left of
/// connections that break.
///
/// Takes about eleven minutes on a machine on which nothing else runs; the first time, a release binary is compiled before.
/// Writes docs/benchmarks-proxy.md.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo e2e bench proxy
  cargo e2e bench proxy --only p1      small requests alone, shown and not written")]
struct Proxy {
    /// Rounds of each kind of load on each proxy
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Measure one part, and write no page
    #[arg(long)]
    only: Option<Part>,
    /// Measure the binary that tests have, not a release binary
    #[arg(long)]
    dev: bool,
    /// Install missing packages without asking
    #[arg(long, short)]
    yes: bool,
}

/// `hub serve` beside JupyterHub 6.1 while 1,000 people log in within ten seconds and start their servers.
///
/// Takes some minutes, most of them JupyterHub's, on a machine on which nothing else runs; the first time, release binaries are
/// compiled before. Writes docs/benchmarks-storm.md.
#[derive(Debug, Args)]
struct Storm {
    /// Storms on each side
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Measure the binaries that tests have, not release binaries
    #[arg(long)]
    dev: bool,
    /// Install missing packages without asking
    #[arg(long, short)]
    yes: bool,
}

impl Bench {
    pub(super) async fn run(&self, places: &Places) -> Result<()> {
        match &self.subject {
            Subject::Hub(hub) => {
                let extent = Extent { rounds: hub.rounds.into(), long: hub.long };
                bench::hub::run(places, extent, !hub.dev, hub.yes).await
            }
            Subject::Server(server) => bench::server::run(places, server.rounds.into(), !server.dev, server.yes).await,
            Subject::Storm(storm) => bench::storm::run(places, storm.rounds.into(), !storm.dev, storm.yes).await,
            Subject::Proxy(proxy) => {
                bench::proxy::run(places, proxy.rounds.into(), proxy.only, !proxy.dev, proxy.yes).await
            }
        }
    }
}
