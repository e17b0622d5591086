//! The command line of the operator.

use clap::{Parser, Subcommand};
use hub_operator::{CheckArgs, RunArgs};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Runs Hubs (jupyter.rs/v1alpha1) on Kubernetes
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  hub-operator run                               in a pod, for all namespaces
  hub-operator run --watch-namespaces team-a     for one namespace: needs Roles in it only
  KUBECONFIG=~/.kube/config hub-operator run --bind 127.0.0.1:8080
                                                 on this machine, against the kubeconfig's cluster
  hub-operator check                             is it installed, and does it run?
  hub-operator crd | kubectl apply -f -          installs the Hub resource";

#[derive(Subcommand)]
enum Command {
    /// Watch Hubs and keep what they ask for, until SIGTERM
    Run(Box<RunArgs>),
    /// Say whether the operator is installed and at work
    Check(CheckArgs),
    /// Print the CustomResourceDefinition
    Crd,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Run(args) => {
            let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
            let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
            let log = log.with_ansi(std::io::stderr().is_terminal());
            if args.logs_json() {
                log.json().flatten_event(true).init();
            } else {
                log.init();
            }
            hub_operator::run(*args).await
        }
        Command::Check(args) => hub_operator::check(args).await,
        Command::Crd => {
            print!("{}", hub_crds::crd_yaml()?);
            Ok(())
        }
    }
}
