//! The two sides: JupyterHub from its Python environment, and `hub local`, each with a database of its own that was the
//! same at first.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use reqwest::{StatusCode, header::AUTHORIZATION};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::sleep,
};

use super::process::{Cores, Process};
use crate::{
    cargo::{self, Build},
    digest::Key,
    environments::{self, Environment, Version},
    local_hub::{LocalHub, USER},
    packages,
    places::Places,
    program::last_lines,
    progress::step,
    real_hub::start_proxy,
};

/// From a program's start to its first good answer.
const START: Duration = Duration::from_secs(300);
/// How often it is asked meanwhile.
const POLL: Duration = Duration::from_millis(2);
/// Until the servers of the last run are dealt with, and how often that is looked at.
const SETTLED: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(100);
/// What JupyterHub and its proxy agree upon.
pub(super) const PROXY_TOKEN: &str = "benchmark";

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Theirs,
    Ours,
}

/// A database before anyone used it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seed {
    pub(super) users: usize,
    /// Users whose server was running when the hub was last seen.
    pub(super) running: usize,
}

/// The programs of both sides.
pub(super) struct Programs {
    pub(super) places: Places,
    pub(super) cores: Cores,
    environment: Environment,
    hub: PathBuf,
    proxy: PathBuf,
}

/// A side that runs.
pub(super) struct Server {
    pub(super) process: Process,
    /// The hub's own, without a proxy before it.
    pub(super) address: SocketAddr,
    /// From its start to its first good answer.
    pub(super) healthy_after: Duration,
    started: Instant,
    running: Running,
    _dir: TempDir,
}

enum Running {
    Theirs { hub: Child, proxy: Child },
    Ours(LocalHub),
}

/// The token of a user, or of `server NAME` for their server: as `clients/seed_database.py` makes it.
pub(super) fn token(name: &str) -> String {
    let mut digits = hex::encode(Sha256::digest(format!("token of {name}")));
    digits.truncate(32);
    digits
}

impl Programs {
    pub(super) async fn prepare(places: &Places, release: bool, yes: bool) -> Result<Self> {
        packages::ensure(places, yes, packages::BENCHMARKS).await?;
        let environment = environments::ensure(places, Version::V6).await?;
        let build = Build { release, only: &["hub", "hub-proxy"], ..Build::default() };
        let mut binaries =
            step(places, "Build the hub and its proxy", async |log| cargo::build_binaries(places, &build, log).await)
                .await?;
        let mut binary = |name| binaries.remove(name).with_context(|| format!("cargo built no binary {name}"));
        let (hub, proxy) = (binary("hub")?, binary("hub-proxy")?);
        let cores = Cores::claim().await?;
        Ok(Self { places: places.clone(), cores, environment, hub, proxy })
    }

    /// The file of a database; it is made if it is not there.
    pub(super) async fn seed(&self, seed: Seed) -> Result<PathBuf> {
        let Seed { users, running } = seed;
        let script = self.places.source("clients/seed_database.py");
        let locked = self.places.source("clients/jupyterhub-6.1.txt");
        let key = Key::default().files(&script)?.files(&locked)?.finish();
        let file = self.places.file(&format!("bench/{users}-users-{running}-running-{key}.sqlite"))?;
        if !file.exists() {
            let new = file.with_extension("new");
            let _ = fs::remove_file(&new); // of a run that was broken off
            let title = format!("Make a database with {users} users, {running} of them with a server");
            let made =
                self.environment.program("python").arg(script).arg(&new).args([users, running].map(|n| n.to_string()));
            step(&self.places, &title, async |log| made.logged(log).await).await?;
            fs::rename(new, &file)?;
        }
        Ok(file)
    }

    /// The proxy of both sides.
    pub(super) fn proxy(&self) -> &Path {
        &self.proxy
    }

    /// A hub that takes JupyterHub's settings, before its arguments.
    pub(super) fn hub_with_settings(&self, side: Side) -> Command {
        match side {
            Side::Theirs => self.cores.command(&self.environment.bin().join("jupyterhub")),
            Side::Ours => {
                let mut command = self.cores.command(&self.hub);
                command.arg("serve");
                command
            }
        }
    }

    /// Starts a side with a copy of a database.
    pub(super) async fn start(&self, side: Side, seed: Seed) -> Result<Server> {
        let database = self.seed(seed).await?;
        let dir = tempfile::tempdir()?;
        match side {
            Side::Theirs => self.start_theirs(&database, dir).await,
            Side::Ours => self.start_ours(&database, dir).await,
        }
    }

    async fn start_ours(&self, database: &Path, dir: TempDir) -> Result<Server> {
        let data = dir.path().join("data");
        fs::create_dir(&data)?;
        fs::copy(database, data.join("jupyterhub.sqlite"))?;
        let started = Instant::now();
        let hub = LocalHub::start(self.cores.command(&self.hub), dir.path(), None, &[]).await?;
        await_health(&hub.base_url, started).await.with_context(|| hub.last_words())?;
        let healthy_after = started.elapsed();
        let process = Process(hub.pid()?);
        let address = own_address(process, &hub.base_url).await?;
        Ok(Server { process, address, healthy_after, started, running: Running::Ours(hub), _dir: dir })
    }

    async fn start_theirs(&self, database: &Path, dir: TempDir) -> Result<Server> {
        let file = dir.path().join("jupyterhub.sqlite");
        fs::copy(database, &file)?;
        let [public, api, own] = free_ports()?;
        let proxy = start_proxy(&self.proxy, public, api, PROXY_TOKEN)?;
        await_listener(api).await?;
        let log = dir.path().join("hub.log");
        let started = Instant::now();
        let mut hub = self
            .cores
            .command(&self.environment.bin().join("jupyterhub"))
            .arg("--config")
            .arg(self.places.source("clients/jupyterhub_config.py"))
            .env("BENCH_DATABASE", format!("sqlite:///{}", file.display()))
            .env("BENCH_PUBLIC_URL", format!("http://{public}"))
            .env("BENCH_HUB_URL", format!("http://{own}"))
            .env("BENCH_PROXY_API_URL", format!("http://{api}"))
            .env("CONFIGPROXY_AUTH_TOKEN", PROXY_TOKEN)
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .kill_on_drop(true)
            .spawn()
            .context("failed to start JupyterHub")?;
        let base_url = format!("http://{own}");
        let healthy = tokio::select! {
            healthy = await_health(&base_url, started) => healthy,
            ended = hub.wait() => Err(anyhow::anyhow!("JupyterHub ended: {ended:?}")),
        };
        healthy.with_context(|| last_lines(&fs::read_to_string(&log).unwrap_or_default(), 20))?;
        let healthy_after = started.elapsed();
        let process = Process(hub.id().context("JupyterHub has ended")?);
        let running = Running::Theirs { hub, proxy };
        Ok(Server { process, address: own, healthy_after, started, running, _dir: dir })
    }
}

impl Server {
    /// From the start until no server counts as active: each was found, or found to be gone.
    pub(super) async fn settled_after(&self) -> Result<Duration> {
        let url = format!("http://{}/hub/api/users?state=active", self.address);
        let client = reqwest::Client::new();
        while self.started.elapsed() < SETTLED {
            let answer = client.get(&url).header(AUTHORIZATION, format!("token {}", token(USER))).send().await?;
            ensure!(answer.status() == StatusCode::OK, "the list of users answered {}", answer.status());
            if answer.text().await?.trim() == "[]" {
                return Ok(self.started.elapsed());
            }
            sleep(LOOK).await;
        }
        bail!("after {} s there are still servers that count as active", SETTLED.as_secs())
    }

    /// Ends it; what it still had to write is not waited for.
    pub(super) async fn stop(self) -> Result<()> {
        match self.running {
            Running::Theirs { mut hub, mut proxy } => {
                hub.kill().await?;
                Ok(proxy.kill().await?)
            }
            Running::Ours(hub) => hub.stop().await,
        }
    }
}

/// Asks until the answer is 200.
pub(super) async fn await_health(base_url: &str, started: Instant) -> Result<()> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("{base_url}/hub/health");
    while started.elapsed() < START {
        if client.get(&url).send().await.is_ok_and(|answer| answer.status() == StatusCode::OK) {
            return Ok(());
        }
        sleep(POLL).await;
    }
    bail!("{url} does not answer")
}

/// Where `hub local` itself listens: the port that answers as the hub does and is not the proxy's.
async fn own_address(process: Process, public: &str) -> Result<SocketAddr> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    for port in process.ports()? {
        let base_url = format!("http://127.0.0.1:{port}");
        let answer = client.get(format!("{base_url}/hub/health")).send().await;
        if base_url != public && answer.is_ok_and(|answer| answer.status() == StatusCode::OK) {
            return Ok((Ipv4Addr::LOCALHOST, port).into());
        }
    }
    bail!("none of the hub's ports is its own")
}

pub(super) async fn await_listener(address: SocketAddr) -> Result<()> {
    let started = Instant::now();
    while TcpStream::connect(address).await.is_err() {
        ensure!(started.elapsed() < START, "nobody listens on {address}");
        sleep(POLL).await;
    }
    Ok(())
}

/// Addresses of this machine that are free now, all different.
pub(crate) fn free_ports<const N: usize>() -> Result<[SocketAddr; N]> {
    let listeners: Vec<_> = (0..N).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<_, _>>()?;
    let addresses: Vec<_> = listeners.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
    addresses.try_into().ok().context("as many ports as were asked for")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value that the script's `token("u0")` has.
    #[test]
    fn tokens_are_those_of_the_script() {
        assert_eq!(token("u0"), "88ca43fa839079b534f8329fe5e6024b");
        assert_ne!(token("u0"), token("server u0"));
    }
}
