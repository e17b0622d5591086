//! Our images: a static binary, the certificates that it trusts, and nothing else.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{
    cargo::{self, Build},
    docker::Docker,
    places::Places,
    program::{Program, which},
    progress::step,
    scratch::Scratch,
    singleuser,
};

/// Registry prefix of images that are on this machine only.
const LOCAL: &str = "jupyter.rs";
/// Nobody in particular, as a number, so that `runAsNonRoot` can judge it.
const USER: &str = "65532:65532";
/// The package's certificates, without those that this machine's administrator added.
const CERTIFICATES: &str = "/usr/share/ca-certificates/mozilla";

/// Names of the images, with the tags that their contents gave them.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Images {
    pub hub: String,
    pub proxy: String,
    pub operator: String,
    pub singleuser: String,
    /// JupyterLab without anything of JupyterHub.
    pub jupyter: String,
    /// No C library, no Python.
    pub busybox: String,
}

impl Images {
    pub(crate) fn all(&self) -> [&str; 6] {
        [&self.hub, &self.proxy, &self.operator, &self.singleuser, &self.jupyter, &self.busybox]
    }

    /// The same images, pushed below a registry prefix.
    pub(crate) async fn push_below(&self, places: &Places, docker: &Docker, registry: &str) -> Result<Self> {
        let push = async |image: &str| push_image(places, docker, image, registry).await;
        Ok(Self {
            hub: push(&self.hub).await?,
            proxy: push(&self.proxy).await?,
            operator: push(&self.operator).await?,
            singleuser: push(&self.singleuser).await?,
            jupyter: push(&self.jupyter).await?,
            busybox: push(&self.busybox).await?,
        })
    }
}

/// Makes every image that is not there yet.
pub(crate) async fn ensure(places: &Places, docker: &Docker, yes: bool) -> Result<Images> {
    // One waits for the compiler, the other for downloads.
    let build = Build::default();
    let (ours, users) = tokio::join!(our_images(places, docker, &build), singleuser::ensure(places, docker, yes));
    let ([hub, proxy, operator], [singleuser, jupyter, busybox]) = (ours?, users?);
    Ok(Images { hub, proxy, operator, singleuser, jupyter, busybox })
}

/// Makes our images from release binaries and pushes them below a registry prefix. Gives their names there.
pub(crate) async fn push(places: &Places, docker: &Docker, build: &Build, registry: &str) -> Result<Vec<String>> {
    let mut pushed = Vec::new();
    for image in our_images(places, docker, build).await? {
        pushed.push(push_image(places, docker, &image, registry).await?);
    }
    Ok(pushed)
}

async fn push_image(places: &Places, docker: &Docker, image: &str, registry: &str) -> Result<String> {
    let name =
        format!("{}/{}", registry.trim_end_matches('/'), image.trim_start_matches(LOCAL).trim_start_matches('/'));
    docker.output(["tag", image, &name]).await?;
    step(places, &format!("Push {name}"), async |log| docker.command(["push", &name]).logged(log).await).await?;
    Ok(name)
}

async fn our_images(places: &Places, docker: &Docker, build: &Build) -> Result<[String; 3]> {
    let binaries =
        step(places, "Build the binaries", async |log| cargo::build_binaries(places, build, log).await).await?;
    let certificates = certificates(places)?;
    let platform = build.target.as_deref().map(platform_of).transpose()?;
    let mut images = Vec::new();
    for name in ["hub", "hub-proxy", "hub-operator"] {
        let binary = binaries.get(name).with_context(|| format!("cargo built no binary {name}"))?;
        let binary = stripped(places, binary, name, build).await?;
        let image = Scratch::new(&format!("{LOCAL}/{name}"))
            .program(&binary, name)
            .file(&certificates, "/etc/ssl/certs/ca-certificates.crt")
            .user(USER)
            .platform(platform.clone())
            .ensure(places, docker)
            .await?;
        images.push(image);
    }
    images.try_into().ok().context("three images")
}

/// The binary without its symbols; release builds have none already.
async fn stripped(places: &Places, binary: &Path, name: &str, build: &Build) -> Result<PathBuf> {
    if build.release {
        return Ok(binary.to_owned());
    }
    let out = places.file(&format!("stripped/{name}"))?;
    Program::new("strip").arg("-o").arg(&out).arg(binary).output().await?;
    Ok(out)
}

/// One file with every certificate of Debian's package.
fn certificates(places: &Places) -> Result<PathBuf> {
    let mut files = fs::read_dir(CERTIFICATES)
        .with_context(|| format!("failed to read {CERTIFICATES}; install ca-certificates"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    files.sort();
    let mut bundle = String::new();
    for file in files {
        bundle.push_str(fs::read_to_string(&file)?.trim_end());
        bundle.push('\n');
    }
    if bundle.is_empty() {
        bail!("{CERTIFICATES} holds no certificates; reinstall ca-certificates");
    }
    let path = places.file("ca-certificates.crt")?;
    fs::write(&path, bundle)?;
    Ok(path)
}

/// Docker's name for a Rust target's platform.
fn platform_of(target: &str) -> Result<String> {
    let architecture = match target.split('-').next() {
        Some("x86_64") => "amd64",
        Some("aarch64") => "arm64",
        _ => bail!("no image platform is known for Rust target {target}; x86_64 and aarch64 are"),
    };
    Ok(format!("linux/{architecture}"))
}

/// Says what is missing to build for another target, before cargo fails on it.
pub(crate) async fn check_target(target: &str) -> Result<()> {
    platform_of(target)?;
    let installed = Program::new("rustup").args(["target", "list", "--installed"]).output().await;
    if which("rustup").is_some() && !installed?.lines().any(|line| line == target) {
        bail!("Rust target {target} is not installed: `rustup target add {target}` (and a linker for it)");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_named_as_docker_names_them() {
        assert_eq!(platform_of("aarch64-unknown-linux-gnu").unwrap(), "linux/arm64");
        assert!(platform_of("riscv64gc-unknown-linux-gnu").unwrap_err().to_string().contains("riscv64gc"));
    }
}
