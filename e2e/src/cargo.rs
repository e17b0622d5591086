//! Cargo, called the way in which nothing is compiled twice.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context, Result, anyhow};
use serde::Deserialize;

use crate::{
    places::Places,
    program::Program,
    progress::{Log, step},
};

/// What `cargo run` says of the package that it runs. A build script that looks at it would run again, and all that
/// depends on it be compiled again, whenever cargo is called in here after it was called outside.
const OF_THIS_PACKAGE: [&str; 2] = ["CARGO_MANIFEST_", "CARGO_PKG_"];

/// The cargo that runs this, or the one on `PATH`, at the workspace's root.
pub(crate) fn command(places: &Places) -> Program {
    let cargo = Program::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())).dir(&places.repository);
    let inherited = std::env::vars_os().map(|(name, _)| name);
    let ours = inherited.filter(|name| OF_THIS_PACKAGE.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)));
    ours.fold(cargo, Program::without_env)
}

/// Which binaries to build.
#[derive(Clone, Debug, Default)]
pub(crate) struct Build {
    pub(crate) release: bool,
    /// A Rust target other than this machine's.
    pub(crate) target: Option<String>,
    /// Only these; none means all.
    pub(crate) only: &'static [&'static str],
}

/// Builds binaries of the workspace, which resolves features as the tests do; gives their paths by name.
pub(crate) async fn build_binaries(places: &Places, build: &Build, log: &Log) -> Result<BTreeMap<String, PathBuf>> {
    let mut cargo = command(places).args(["build", "--workspace", "--message-format", "json-render-diagnostics"]);
    cargo = if build.only.is_empty() {
        cargo.arg("--bins")
    } else {
        cargo.args(build.only.iter().flat_map(|name| ["--bin", name]))
    };
    if build.release {
        cargo = cargo.arg("--release");
    }
    if let Some(target) = &build.target {
        cargo = cargo.args(["--target", target]);
    }
    let messages =
        cargo.output_logged(log).await.map_err(|error| errors_alone(log).map_or(error, |errors| anyhow!(errors)))?;
    let mut binaries = BTreeMap::new();
    for line in messages.lines() {
        let message: Message = serde_json::from_str(line).context("failed to read what cargo says of an artifact")?;
        if let (Some(target), Some(executable)) = (message.target, message.executable) {
            binaries.insert(target.name, executable);
        }
    }
    Ok(binaries)
}

/// The hub: as tests have it, or as it is released.
pub(crate) async fn build_hub(places: &Places, release: bool) -> Result<PathBuf> {
    let build = Build { release, only: &["hub"], ..Build::default() };
    let work = async |log: &_| build_binaries(places, &build, log).await;
    let mut binaries = step(places, "Build the hub", work).await?;
    binaries.remove("hub").context("cargo built no binary hub")
}

/// The proxy: as tests have it, or as it is released.
pub(crate) async fn build_proxy(places: &Places, release: bool) -> Result<PathBuf> {
    let build = Build { release, only: &["hub-proxy"], ..Build::default() };
    let work = async |log: &_| build_binaries(places, &build, log).await;
    let mut binaries = step(places, "Build the proxy", work).await?;
    binaries.remove("hub-proxy").context("cargo built no binary hub-proxy")
}

/// The hub and the proxy as tests have them.
pub(crate) async fn build_hub_and_proxy(places: &Places) -> Result<[PathBuf; 2]> {
    let build = Build { only: &["hub", "hub-proxy"], ..Build::default() };
    let work = async |log: &_| build_binaries(places, &build, log).await;
    let mut binaries = step(places, "Build the hub and its proxy", work).await?;
    let mut binary = |name| binaries.remove(name).with_context(|| format!("cargo built no binary {name}"));
    Ok([binary("hub")?, binary("hub-proxy")?])
}

/// What the compiler called an error, without the warnings around it.
fn errors_alone(log: &Log) -> Option<String> {
    let words = std::fs::read_to_string(log.path()).ok()?;
    let errors: Vec<&str> = words.split("\n\n").filter(|block| block.starts_with("error")).collect();
    (!errors.is_empty()).then(|| format!("failed to build the workspace's binaries\n\n{}", errors.join("\n\n")))
}

/// The part of cargo's JSON messages that tells where a binary lies.
#[derive(Deserialize)]
struct Message {
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}
