//! JupyterHub itself in a directory of a test's own, with our proxy before it, for servers of ours.

use std::{
    env,
    fs::{self, File},
    net::SocketAddr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::json;
use tokio::{
    process::{Child, Command},
    time::sleep,
};

use crate::{
    bench::free_ports,
    environments::Environment,
    program::{Program, last_lines},
};

/// From its start until it answers through its proxy.
const START: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
/// Lines of the log that go into an error.
const LAST_WORDS: usize = 25;
/// What JupyterHub and its proxy agree upon.
const PROXY_TOKEN: &str = "e2e";

/// Starts the proxy of a JupyterHub: ours, which speaks the same API. It ends with what this gives.
pub(crate) fn start_proxy(proxy: &Path, public: SocketAddr, api: SocketAddr, token: &str) -> Result<Child> {
    Command::new(proxy)
        .args(["--ip", &public.ip().to_string(), "--port", &public.port().to_string()])
        .args(["--api-ip", &api.ip().to_string(), "--api-port", &api.port().to_string()])
        .env("CONFIGPROXY_AUTH_TOKEN", token)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("failed to start the proxy")
}

/// A JupyterHub that lets everybody in, with any password. It ends with this.
pub(crate) struct RealHub {
    /// Without a slash at its end.
    pub(crate) base_url: String,
    hub: Child,
    /// Unless JupyterHub runs it.
    proxy: Option<Child>,
    log: PathBuf,
}

impl RealHub {
    /// Starts it with its data in `dir`, behind a proxy of ours that is there before it. Servers are `command`, which finds
    /// the environment's programs.
    pub(crate) async fn start(
        environment: &Environment,
        config: &Path,
        proxy: &Path,
        dir: &Path,
        command: &[&str],
    ) -> Result<Self> {
        let addresses = free_ports()?;
        let [public, api, _] = addresses;
        let proxy = start_proxy(proxy, public, api, PROXY_TOKEN)?;
        let mut hub = jupyterhub(environment, config, dir, addresses, &[])?;
        hub.env("CONFIGPROXY_AUTH_TOKEN", PROXY_TOKEN).env("SERVER_COMMAND", json!(command).to_string());
        Self::run(hub, Some(proxy), public, dir).await
    }

    /// Starts it as it comes, with JupyterHub's own servers: it finds our proxy under the name of its own and runs it.
    pub(crate) async fn start_with_drop_in(
        environment: &Environment,
        config: &Path,
        proxy: &Path,
        dir: &Path,
        internal_ssl: bool,
    ) -> Result<Self> {
        let addresses = free_ports()?;
        let [public, api, _] = addresses;
        let bin = dir.join("bin");
        fs::create_dir(&bin)?;
        symlink(proxy, bin.join("configurable-http-proxy"))?;
        let mut hub = jupyterhub(environment, config, dir, addresses, &[&bin])?;
        if internal_ssl {
            hub.env("BENCH_PROXY_API_URL", format!("https://{api}"));
        }
        Self::run(hub, None, public, dir).await
    }

    async fn run(mut hub: Command, proxy: Option<Child>, public: SocketAddr, dir: &Path) -> Result<Self> {
        let log = dir.join("hub.log");
        let hub = hub.stderr(File::create(&log)?).spawn().context("failed to start JupyterHub")?;
        let mut started = Self { base_url: format!("http://{public}"), hub, proxy, log };
        started.answers().await?;
        Ok(started)
    }

    /// Waits until it does.
    async fn answers(&mut self) -> Result<()> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let url = format!("{}/hub/health", self.base_url);
        let end = Instant::now() + START;
        loop {
            if client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            if let Some(status) = self.hub.try_wait()? {
                bail!("JupyterHub ended with {status}\n{}", self.last_words());
            }
            if Instant::now() > end {
                bail!("JupyterHub does not answer\n{}", self.last_words());
            }
            sleep(POLL).await;
        }
    }

    /// All that it and its proxy said so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The proxy that it runs.
    pub(crate) async fn proxy_pid(&self) -> Result<u32> {
        let hub = self.hub.id().context("JupyterHub has ended")?.to_string();
        let pids = Program::new("pgrep").args(["--parent", &hub, "--full", "configurable-http-proxy"]).output().await?;
        Ok(pids.lines().next().context("JupyterHub runs no proxy")?.parse()?)
    }

    /// The last lines of its log, and those of its servers in between.
    pub(crate) fn last_words(&self) -> String {
        last_lines(&self.log(), LAST_WORDS)
    }

    /// Ends it as Ctrl-C does, servers included.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let pid = self.hub.id().context("JupyterHub has ended")?;
        Command::new("kill").arg(pid.to_string()).status().await?;
        self.hub.wait().await?;
        match &mut self.proxy {
            Some(proxy) => Ok(proxy.kill().await?),
            None => Ok(()),
        }
    }
}

/// JupyterHub, not yet started, on these addresses: the proxy's, its API's and its own. `programs` come first on its path.
fn jupyterhub(
    environment: &Environment,
    config: &Path,
    dir: &Path,
    [public, api, own]: [SocketAddr; 3],
    programs: &[&Path],
) -> Result<Command> {
    let environment_bin = environment.bin();
    let places = [environment_bin.as_path(), Path::new("/usr/bin"), Path::new("/bin")];
    let mut hub = Command::new(environment_bin.join("jupyterhub"));
    hub.arg("--config")
        .arg(config)
        .env("PATH", env::join_paths(programs.iter().chain(&places))?)
        .env("BENCH_DATABASE", format!("sqlite:///{}", dir.join("jupyterhub.sqlite").display()))
        .env("BENCH_PUBLIC_URL", format!("http://{public}"))
        .env("BENCH_HUB_URL", format!("http://{own}"))
        .env("BENCH_PROXY_API_URL", format!("http://{api}"))
        .env_remove("CONFIGPROXY_AUTH_TOKEN")
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true);
    Ok(hub)
}
