//! `up`: from nothing to a Hub that a person can log in to.

use anyhow::{Result, bail};
use clap::Args;

use crate::{
    cluster::Cluster,
    commands::{client_tools, docker, kind_cluster},
    images,
    install::{self, Welcome},
    kind::Kind,
    places::Places,
};

/// The cluster's name unless another is asked for.
pub(super) const NAME: &str = "hub";
/// The host's port unless another is asked for or the cluster has one.
const PORT: u16 = 8080;

/// Makes or reuses a cluster, builds the images, loads them, installs the charts and an example Hub, and waits until the
/// Hub is Ready. Run it again after a change of code: what did not change is left as it is.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo e2e up
  cargo e2e up --name second --port 8081
  cargo e2e up --context staging --registry registry.example.org/hub")]
pub(crate) struct Up {
    /// Name of the kind cluster
    #[arg(long, default_value = NAME)]
    name: String,
    /// Port of this host, on 127.0.0.1, that reaches the Hub [default: 8080]
    #[arg(long)]
    port: Option<u16>,
    /// Use a cluster that exists: a context of your kubeconfig
    #[arg(long, conflicts_with_all = ["name", "port"])]
    context: Option<String>,
    /// With --context: where that cluster pulls images from; they are pushed there (`kind-...` contexts need none)
    #[arg(long, requires = "context")]
    registry: Option<String>,
    /// Install missing packages without asking
    #[arg(long, short)]
    yes: bool,
}

impl Up {
    pub(super) async fn run(&self, places: &Places) -> Result<()> {
        let docker = docker(places, self.yes).await?;
        client_tools(places).await?;
        let cluster = match &self.context {
            Some(context) => self.existing(places, &docker, context).await?,
            None => {
                let taken = Kind::new(places, &docker, &self.name).exists().await;
                let port = if taken { self.port } else { Some(self.port.unwrap_or(PORT)) };
                kind_cluster(places, &docker, &self.name, port, self.yes).await?
            }
        };
        let Welcome { base_url, login_url, kubectl } = install::install(&cluster).await?;
        println!("\nThe Hub is ready: {base_url}");
        println!("Log in:           {login_url}\n");
        println!("  {}", cluster.kubeconfig_hint());
        for command in kubectl {
            println!("  {command}");
        }
        Ok(())
    }

    async fn existing(&self, places: &Places, docker: &crate::docker::Docker, context: &str) -> Result<Cluster> {
        let images = images::ensure(places, docker, self.yes).await?;
        match (&self.registry, context.strip_prefix("kind-")) {
            (Some(registry), _) => {
                let images = images.push_below(places, docker, registry).await?;
                Cluster::of_context(places, context, images).await
            }
            (None, Some(name)) => {
                Kind::new(places, docker, name).load(&images.all()).await?;
                Cluster::of_context(places, context, images).await
            }
            (None, None) => {
                bail!("--context {context} needs --registry: where can that cluster pull images from, and you push to?")
            }
        }
    }
}
