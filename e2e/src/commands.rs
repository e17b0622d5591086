//! The command line.

mod bench;
mod down;
mod generate;
mod images;
mod test;
mod up;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{
    cluster::Cluster, daemon, docker::Docker, kind::Kind, node_image, packages, places::Places, progress::explained,
    tools,
};

/// A Hub on a real Kubernetes cluster: to look at, and to test.
///
/// Needs Rust, Go, Python and either Docker or Debian as root. What else is missing is named, and installed on Debian
/// after asking (`--yes` and CI=true do not ask).
#[derive(Debug, Parser)]
#[command(
    name = "cargo e2e",
    bin_name = "cargo e2e",
    after_help = "\
Examples:
  cargo e2e up                    a cluster with a Hub on http://127.0.0.1:8080/; again after a change of code
  cargo e2e test                  every test, in a cluster of its own
  cargo e2e test --only login     only the tests with `login` in their names
  cargo e2e bench hub             our hub beside JupyterHub: CPU time, latency, start-up, memory
  cargo e2e bench server          what `hub server` adds to a server that it guards
  cargo e2e bench proxy           the proxy beside configurable-http-proxy, nginx and HAProxy
  cargo e2e down                  deletes the clusters, and stops Docker if it was started here

Environment:
  HUB_E2E_CACHE    directory for built tools, downloads and kubeconfigs [default: ~/.cache/hub-e2e]
  CI=true          never ask"
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes or reuses a cluster and brings it a running Hub, built from this checkout
    Up(up::Up),
    /// Runs the tests: lints, unit and integration tests, real clients and servers, and the cluster tests
    Test(test::Test),
    /// Measures a part beside what it stands in for, and writes a table to docs/
    Bench(bench::Bench),
    /// Deletes what `up` and `test` made
    Down(down::Down),
    /// Builds the images; with `--push`, from release binaries and into a registry
    Images(images::Images),
    /// Writes the files that are generated from code: the custom resource definition
    Generate,
}

impl Cli {
    /// Runs the command; says on standard error what failed. 2: something is missing that is not installed unasked.
    pub async fn run(self) -> ExitCode {
        match self.dispatch().await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("\nerror: {}", explained(&error));
                ExitCode::from(if error.is::<packages::Missing>() { 2 } else { 1 })
            }
        }
    }

    async fn dispatch(self) -> Result<()> {
        let places = Places::find()?;
        match self.command {
            Command::Up(up) => up.run(&places).await,
            Command::Test(test) => test.run(&places).await,
            Command::Bench(bench) => bench.run(&places).await,
            Command::Down(down) => down.run(&places).await,
            Command::Images(images) => images.run(&places).await,
            Command::Generate => generate::run(&places),
        }
    }
}

/// What every command that handles containers starts with: packages, and a daemon that starts privileged containers.
pub(crate) async fn docker(places: &Places, yes: bool) -> Result<Docker> {
    packages::ensure(places, yes, packages::IMAGES).await?;
    if Docker::connect().await.is_none() && std::env::var_os("DOCKER_HOST").is_none() {
        packages::ensure(places, yes, packages::DAEMON).await?;
    }
    daemon::ensure(places).await
}

/// kind, kubectl and helm.
pub(crate) async fn client_tools(places: &Places) -> Result<()> {
    tools::ensure(places, tools::CLIENT).await
}

/// A kind cluster that has our images: made or found while the images are built.
pub(crate) async fn kind_cluster(
    places: &Places,
    docker: &Docker,
    name: &str,
    port: Option<u16>,
    yes: bool,
) -> Result<Cluster> {
    let kind = Kind::new(places, docker, name);
    let node = node_image::ensure(places, docker, yes).await?;
    let (port, images) = tokio::join!(kind.ensure(&node, port), crate::images::ensure(places, docker, yes));
    let (port, images) = (port?, images?);
    kind.load(&images.all()).await?;
    Cluster::of_kind(kind, port, images).await
}
