//! What a test of the clients is given: our hub as a program, and the real programs that talk to it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Result, anyhow, ensure};
use tokio::{
    process::Command,
    time::{Instant, sleep},
};

use crate::{
    cargo,
    environments::{self, Environment, Version},
    local_hub::LocalHub,
    node_modules, packages, peers,
    places::Places,
    program::{Program, processes_in},
    progress::explained,
    real_hub::RealHub,
};

/// From JupyterHub's end until the kernels of its servers have ended, too.
const KERNELS: Duration = Duration::from_secs(15);

/// Our hub, and the clients of two versions of JupyterHub.
pub struct Clients {
    hub: PathBuf,
    proxy: PathBuf,
    v5: Environment,
    v6: Environment,
    node_packages: PathBuf,
    places: Places,
}

impl Clients {
    /// Makes what is not there yet.
    pub(crate) async fn prepare(places: &Places, yes: bool) -> Result<Self> {
        let packages = [packages::BROWSER, packages::DATABASES, packages::NPM, packages::PEERS].concat();
        packages::ensure(places, yes, &packages).await?;
        let v5 = environments::ensure(places, Version::V5).await?;
        let v6 = environments::ensure(places, Version::V6).await?;
        let node_packages = peers::node_packages(places).await?;
        let [hub, proxy] = cargo::build_hub_and_proxy(places).await?;
        Ok(Self { hub, proxy, v5, v6, node_packages, places: places.clone() })
    }

    /// A version's programs.
    pub(crate) fn environment(&self, version: Version) -> &Environment {
        match version {
            Version::V5 => &self.v5,
            Version::V6 => &self.v6,
        }
    }

    /// Our hub's program.
    pub(crate) fn hub(&self) -> &Path {
        &self.hub
    }

    /// Where Node.js and what it runs are.
    pub(crate) fn node_packages(&self) -> &Path {
        &self.node_packages
    }

    /// Our proxy's program.
    pub(crate) fn proxy(&self) -> &Path {
        &self.proxy
    }

    /// Python with JupyterHub 6's libraries.
    pub(crate) fn python(&self) -> Program {
        self.v6.program("python")
    }

    /// A program of our own in `clients/`, run with these.
    pub(crate) fn script(&self, name: &str) -> Program {
        self.python().arg(self.file(name))
    }

    /// A file of `clients/`.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.places.source("clients").join(name)
    }

    /// Where tests leave what people look at.
    pub(crate) fn output(&self) -> Result<PathBuf> {
        self.places.output()
    }

    /// axe's script, which judges pages as people with disabilities meet them.
    pub(crate) async fn axe(&self) -> Result<PathBuf> {
        let modules = node_modules::ensure(&self.places, "axe").await?;
        Ok(modules.join("axe-core/axe.min.js"))
    }

    /// Gives a test a hub of its own whose servers are of a version, and ends it, whatever the test says. A failed test
    /// leaves the hub's log as `NAME-hub.log`.
    pub(crate) async fn with_hub(
        &self,
        name: &str,
        version: Version,
        test: impl AsyncFnOnce(&LocalHub) -> Result<()>,
    ) -> Result<()> {
        self.with_flags(name, version, &[], test).await
    }

    /// The same, with `hub server` in front of JupyterLab in place of `jupyterhub-singleuser`.
    pub(crate) async fn with_front(
        &self,
        name: &str,
        version: Version,
        test: impl AsyncFnOnce(&LocalHub) -> Result<()>,
    ) -> Result<()> {
        self.with_flags(name, version, &["--front"], test).await
    }

    /// Gives a test JupyterHub 6 itself, whose servers are `hub server` in front of JupyterLab, and ends it.
    pub(crate) async fn with_real_hub(&self, test: impl AsyncFnOnce(&RealHub) -> Result<()>) -> Result<()> {
        let dir = tempfile::tempdir()?;
        let config = self.file("jupyterhub_config.py");
        let server = [&*self.hub.to_string_lossy(), "server"];
        let hub = RealHub::start(&self.v6, &config, &self.proxy, dir.path(), &server).await?;
        ended(hub, dir.path(), test).await
    }

    /// The same as it comes, with servers and certificates of its own, and our proxy on `PATH` in the place of its own.
    pub(crate) async fn with_drop_in(
        &self,
        internal_ssl: bool,
        test: impl AsyncFnOnce(&RealHub) -> Result<()>,
    ) -> Result<()> {
        let dir = tempfile::tempdir()?;
        let config = self.file("jupyterhub_config.py");
        let hub = RealHub::start_with_drop_in(&self.v6, &config, &self.proxy, dir.path(), internal_ssl).await?;
        ended(hub, dir.path(), test).await
    }

    /// The same with more flags of `hub local`.
    pub(crate) async fn with_flags(
        &self,
        name: &str,
        version: Version,
        flags: &[&str],
        test: impl AsyncFnOnce(&LocalHub) -> Result<()>,
    ) -> Result<()> {
        let dir = tempfile::tempdir()?;
        let bin = self.environment(version).bin();
        let hub = LocalHub::start(Command::new(&self.hub), dir.path(), Some(&bin), flags).await?;
        let tested = test(&hub).await;
        if tested.is_ok() {
            hub.stop().await?;
            let left = processes_in(dir.path())?;
            ensure!(left.is_empty(), "processes outlive the hub: {left:?}");
            return Ok(());
        }
        fs::write(self.output()?.join(format!("{name}-hub.log")), hub.log())?;
        let words = format!("the hub's last words:\n{}", hub.last_words());
        let _ = hub.stop().await; // what failed first is what counts
        tested.map_err(|error| anyhow!("{}\n{words}", explained(&error)))
    }
}

/// Tests JupyterHub and ends it, whatever the test says.
async fn ended(hub: RealHub, dir: &Path, test: impl AsyncFnOnce(&RealHub) -> Result<()>) -> Result<()> {
    let tested = test(&hub).await;
    let words = hub.last_words();
    hub.stop().await?;
    tested.map_err(|error| anyhow!("{}\nJupyterHub's last words:\n{words}", explained(&error)))?;
    // JupyterHub doesn't wait for the kernels of its servers.
    let end = Instant::now() + KERNELS;
    loop {
        let left = processes_in(dir)?;
        if left.is_empty() {
            return Ok(());
        }
        ensure!(Instant::now() < end, "processes outlive the hub: {left:?}");
        sleep(Duration::from_millis(100)).await;
    }
}
