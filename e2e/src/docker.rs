//! Docker's client: which one, which daemon it speaks to, and what is asked of it.

use std::{env, path::Path, time::Duration};

use anyhow::{Result, bail};

use crate::{
    program::Program,
    progress::{Log, up_to_date},
};

/// Where a daemon listens unless it was told otherwise.
pub(crate) const SOCKET: &str = "unix:///var/run/docker.sock";
/// A daemon that is up answers well within this.
const ANSWER: Duration = Duration::from_secs(10);

/// A daemon that answers, and the client to ask it with.
#[derive(Clone, Debug)]
pub(crate) struct Docker {
    host: Option<&'static str>,
}

impl Docker {
    /// The daemon that the client finds by itself, or the one on the usual socket.
    pub(crate) async fn connect() -> Option<Self> {
        for host in [None, Some(SOCKET)] {
            let docker = Self { host };
            if docker.command(["info"]).succeeds_within(ANSWER).await {
                return Some(docker);
            }
        }
        None
    }

    /// `docker ARGS`.
    pub(crate) fn command<A: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Program {
        self.known_to(Program::new(client())).args(args)
    }

    /// Lets a program that runs `docker` itself use this client and this daemon.
    pub(crate) fn known_to(&self, program: Program) -> Program {
        let mut program = program;
        if Path::new(client()).is_absolute() {
            let path = env::var_os("PATH").unwrap_or_default();
            let first = [Path::new("/usr/bin").to_owned()].into_iter().chain(env::split_paths(&path));
            if let Ok(path) = env::join_paths(first) {
                program = program.env("PATH", path);
            }
        }
        match self.host {
            Some(host) => program.env("DOCKER_HOST", host),
            None => program,
        }
    }

    pub(crate) async fn output<A: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Result<String> {
        self.command(args).output().await
    }

    pub(crate) async fn has_image(&self, image: &str) -> bool {
        self.output(["image", "inspect", "--format", "{{.Id}}", image]).await.is_ok()
    }

    /// Those of a Dockerfile's targets whose images, named in the same order, are not there yet, each with its image.
    pub(crate) async fn missing<'a>(&self, targets: &[&'a str], images: &'a [String]) -> Vec<(&'a str, &'a str)> {
        let mut missing = Vec::new();
        for (target, image) in targets.iter().zip(images) {
            match self.has_image(image).await {
                true => up_to_date(&format!("Image {image}")),
                false => missing.push((*target, image.as_str())),
            }
        }
        missing
    }

    /// Whether a privileged container starts, with the daemon's own runtime or a named one.
    pub(crate) async fn runs_privileged(&self, image: &str) -> Result<()> {
        let run = self.command(["run", "--rm", "--privileged", "--network", "none", image, "now"]);
        match tokio::time::timeout(Duration::from_secs(60), run.output()).await {
            Ok(result) => result.map(|_| ()),
            Err(_) => bail!("a privileged container did not end within a minute"),
        }
    }

    /// Builds an image from a directory. Packages are fetched over the host's network.
    pub(crate) async fn build(&self, log: &Log, context: &Path, args: &[&str]) -> Result<()> {
        self.command(["build", "--network", "host"]).args(args).arg(context).logged(log).await
    }

    /// Whether images can be pulled: asks for the smallest there is, and does not wait long for it.
    pub(crate) async fn can_pull(&self) -> bool {
        self.command(["pull", "hello-world:linux"]).succeeds_within(Duration::from_secs(20)).await
    }

    /// The address on this host of a container's port.
    pub(crate) async fn published_port(&self, container: &str, port: u16) -> Result<u16> {
        let address = self.output(["port", container, &format!("{port}/tcp")]).await?;
        match address.lines().next().and_then(|line| line.rsplit(':').next()).and_then(|port| port.parse().ok()) {
            Some(port) => Ok(port),
            None => bail!("container {container} publishes port {port} nowhere"),
        }
    }
}

/// Debian's client where there is one: another one on `PATH` may be too new for Debian's daemon.
fn client() -> &'static str {
    if Path::new("/usr/bin/docker").is_file() { "/usr/bin/docker" } else { "docker" }
}
