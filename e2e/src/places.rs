//! Where things lie: the checkout, the cache and the output of tests.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// Directories of this machine. Everything below the cache may be deleted; it is made again.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub(crate) repository: PathBuf,
    pub(crate) cache: PathBuf,
}

impl Places {
    /// The checkout that this program was built from, and `HUB_E2E_CACHE` or `~/.cache/hub-e2e`.
    pub(crate) fn find() -> Result<Self> {
        let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
        let repository = crate_dir.parent().context("the e2e crate lies in the checkout")?.to_owned();
        let cache = match env::var_os("HUB_E2E_CACHE") {
            Some(dir) => PathBuf::from(dir),
            None => env::home_dir().context("set HOME, or HUB_E2E_CACHE to a directory")?.join(".cache/hub-e2e"),
        };
        fs::create_dir_all(cache.join("bin"))
            .with_context(|| format!("failed to make the cache {}; HUB_E2E_CACHE chooses another", cache.display()))?;
        Ok(Self { repository, cache })
    }

    /// A file of the e2e crate that is no Rust: Dockerfiles, units, pinned modules.
    pub(crate) fn source(&self, path: &str) -> PathBuf {
        self.repository.join("e2e").join(path)
    }

    /// A program that was built from a pinned Go module.
    pub(crate) fn bin(&self, program: &str) -> PathBuf {
        self.cache.join("bin").join(program)
    }

    /// An empty directory of the cache, whatever was there before.
    pub(crate) fn fresh(&self, name: &str) -> Result<PathBuf> {
        let dir = self.cache.join(name);
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| format!("failed to empty {}", dir.display()))?;
        }
        fs::create_dir_all(&dir).with_context(|| format!("failed to make {}", dir.display()))?;
        Ok(dir)
    }

    /// A file below the cache; its directory is made.
    pub(crate) fn file(&self, name: &str) -> Result<PathBuf> {
        let file = self.cache.join(name);
        if let Some(dir) = file.parent() {
            fs::create_dir_all(dir).with_context(|| format!("failed to make {}", dir.display()))?;
        }
        Ok(file)
    }

    /// What tests leave for people to look at: screenshots and logs.
    pub(crate) fn output(&self) -> Result<PathBuf> {
        let dir = self.source("output");
        fs::create_dir_all(&dir).with_context(|| format!("failed to make {}", dir.display()))?;
        Ok(dir)
    }
}
