//! Python environments with real JupyterHub clients: made once from locked versions, and kept in the cache.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};

use crate::{
    digest::Key,
    places::Places,
    program::Program,
    progress::{Log, step, up_to_date},
};

/// Part of the key of every environment: change it with the way in which they are made.
const FORMAT: &str = "environment-1";

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

/// The environment; it is made when a locked version or this machine's Python changed.
pub(crate) async fn ensure(places: &Places, version: Version) -> Result<Environment> {
    let requirements = places.source(&format!("clients/{}.txt", version.name()));
    let python = Program::new("python3").arg("--version").output().await?;
    let key = Key::default().text(FORMAT).text(&python).files(&requirements)?.finish();
    let dir = places.file(&format!("environments/{}-{key}", version.name()))?;
    let environment = Environment { dir };
    let title = format!("Python environment {}", version.name());
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
        .args(["install", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--progress-bar", "off"])
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
        for version in [Version::V5, Version::V6] {
            let text = fs::read_to_string(places.source(&format!("clients/{}.txt", version.name()))).unwrap();
            let loose: Vec<_> =
                text.lines().filter(|line| !line.starts_with('#') && line.split("==").count() != 2).collect();
            assert!(loose.is_empty(), "{}: {loose:?}", version.name());
            let hub = version.name().replace('-', "==");
            assert!(text.lines().any(|line| line.starts_with(&hub)), "{hub} is not locked");
        }
    }
}
