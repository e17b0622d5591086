//! `images`: builds them, and pushes them.

use anyhow::Result;
use clap::Args;

use crate::{cargo::Build, commands::docker, images, places::Places};

/// Builds the images: `FROM scratch`, one static binary each, not root. Their tags are keys of their contents.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo e2e images
  cargo e2e images --push registry.example.org/hub
  cargo e2e images --push registry.example.org/hub --target aarch64-unknown-linux-gnu")]
pub(crate) struct Images {
    /// Build release binaries and push the images below this registry prefix
    #[arg(long, value_name = "REGISTRY")]
    push: Option<String>,
    /// Rust target of another architecture, which must be installed
    #[arg(long, requires = "push")]
    target: Option<String>,
    /// Install missing packages without asking
    #[arg(long, short)]
    yes: bool,
}

impl Images {
    pub(super) async fn run(&self, places: &Places) -> Result<()> {
        if let Some(target) = &self.target {
            images::check_target(target).await?;
        }
        let docker = docker(places, self.yes).await?;
        match &self.push {
            Some(registry) => {
                let build = Build { release: true, target: self.target.clone(), ..Build::default() };
                for image in images::push(places, &docker, &build, registry).await? {
                    println!("{image}");
                }
            }
            None => {
                for image in images::ensure(places, &docker, self.yes).await?.all() {
                    println!("{image}");
                }
            }
        }
        Ok(())
    }
}
