//! Python environments with real JupyterHub clients: made once from locked versions, and kept in the cache.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};

use crate::{
    digest::Key,
    places::Places,
    program::Program,
    progress::{Log, step, up_to_date},
};

/// The environment with sslyze, which judges a server's TLS.
const SSLYZE: &str = "sslyze-6.3";

/// Part of the key of every environment: change it with the way in which they are made.
const FORMAT: &str = "environment-2";

/// Which environment: each is a file of locked versions in `clients/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// JupyterHub 5.4 and JupyterLab.
    V5,
    /// JupyterHub 6.1 and JupyterLab, and every other program that talks to a hub.
    V6,
}

impl Version {
    fn name(self) -> &'static str {
        match self {
            Self::V5 => "jupyterhub-5.4",
            Self::V6 => "jupyterhub-6.1",
        }
    }
}

/// An environment on this machine.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    dir: PathBuf,
}

impl Environment {
    /// Where its programs lie: a `PATH` that starts with this finds them.
    pub(crate) fn bin(&self) -> PathBuf {
        self.dir.join("bin")
    }

    /// One of its programs.
    pub(crate) fn program(&self, name: &str) -> Program {
        Program::new(self.bin().join(name))
    }
}

/// The environment of a version of JupyterHub.
pub(crate) async fn ensure(places: &Places, version: Version) -> Result<Environment> {
    named(places, version.name()).await
}

/// The environment with sslyze.
pub(crate) async fn sslyze(places: &Places) -> Result<Environment> {
    named(places, SSLYZE).await
}

/// An environment by its file; it is made when a locked version or this machine's Python changed.
async fn named(places: &Places, name: &str) -> Result<Environment> {
    let requirements = places.source(&format!("clients/{name}.txt"));
    let python = Program::new("python3").arg("--version").output().await?;
    let key = Key::default().text(FORMAT).text(&python).files(&requirements)?.finish();
    let dir = places.file(&format!("environments/{name}-{key}"))?;
    let environment = Environment { dir };
    let title = format!("Python environment {name}");
    // It is known to be whole by a file that is written last: environments name their own place and cannot be moved.
    let whole = environment.dir.join("whole");
    if whole.exists() {
        up_to_date(&title);
        return Ok(environment);
    }
    step(places, &title, async |log| make(&environment, &requirements, log).await).await?;
    fs::write(whole, "")?;
    Ok(environment)
}

async fn make(environment: &Environment, requirements: &std::path::Path, log: &Log) -> Result<()> {
    Program::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(&environment.dir)
        .logged(log)
        .await
        .context("failed to make a Python environment; is venv there (`apt-get install -y python3-venv`)?")?;
    environment
        .program("pip")
        .args(["install", "--disable-pip-version-check", "--no-deps", "--progress-bar", "off"])
        // Nothing is compiled; sslyze is Python alone and comes without a wheel.
        .args(["--only-binary=:all:", "--no-binary=sslyze"])
        .arg("--requirement")
        .arg(requirements)
        .logged(log)
        .await
        .context("failed to install wheels; can pip reach its index, and is Python 3.11 or newer?")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A version that is not exact would make tests of today and tests of tomorrow differ.
    #[test]
    fn every_version_is_exact() {
        let places = Places::find().unwrap();
        for name in [Version::V5.name(), Version::V6.name(), SSLYZE] {
            let text = fs::read_to_string(places.source(&format!("clients/{name}.txt"))).unwrap();
            let loose: Vec<_> =
                text.lines().filter(|line| !line.starts_with('#') && line.split("==").count() != 2).collect();
            assert!(loose.is_empty(), "{name}: {loose:?}");
            let first = name.replace('-', "==");
            assert!(text.lines().any(|line| line.starts_with(&first)), "{first} is not locked");
        }
    }
}
