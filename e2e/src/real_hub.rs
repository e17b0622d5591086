//! JupyterHub itself in a directory of a test's own, with our proxy before it, for servers of ours.

use std::{
    env,
    fs::{self, File},
    net::SocketAddr,
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

use crate::{bench::free_ports, environments::Environment, program::last_lines};

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
    proxy: Child,
    log: PathBuf,
}

impl RealHub {
    /// Starts it with its data in `dir`. Servers are `command`, which finds the environment's programs.
    pub(crate) async fn start(
        environment: &Environment,
        config: &Path,
        proxy: &Path,
        dir: &Path,
        command: &[&str],
    ) -> Result<Self> {
        let [public, api, own] = free_ports()?;
        let log = dir.join("hub.log");
        let proxy = start_proxy(proxy, public, api, PROXY_TOKEN)?;
        let path = env::join_paths([environment.bin().as_path(), Path::new("/usr/bin"), Path::new("/bin")])?;
        let hub = Command::new(environment.bin().join("jupyterhub"))
            .arg("--config")
            .arg(config)
            .env("PATH", path)
            .env("BENCH_DATABASE", format!("sqlite:///{}", dir.join("jupyterhub.sqlite").display()))
            .env("BENCH_PUBLIC_URL", format!("http://{public}"))
            .env("BENCH_HUB_URL", format!("http://{own}"))
            .env("BENCH_PROXY_API_URL", format!("http://{api}"))
            .env("CONFIGPROXY_AUTH_TOKEN", PROXY_TOKEN)
            .env("SERVER_COMMAND", json!(command).to_string())
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .kill_on_drop(true)
            .spawn()
            .context("failed to start JupyterHub")?;
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

    /// The last lines of its log, and those of its servers in between.
    pub(crate) fn last_words(&self) -> String {
        last_lines(&fs::read_to_string(&self.log).unwrap_or_default(), LAST_WORDS)
    }

    /// Ends it as Ctrl-C does, servers included.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let pid = self.hub.id().context("JupyterHub has ended")?;
        Command::new("kill").arg(pid.to_string()).status().await?;
        self.hub.wait().await?;
        Ok(self.proxy.kill().await?)
    }
}
