//! A hub on one machine from JupyterHub's settings: JupyterHub itself, or ours. One settings file serves both.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use reqwest::{Method, header::AUTHORIZATION};
use serde_json::{Value, json};
use tokio::{
    process::{Child, Command},
    time::sleep,
};

use crate::{
    bench::free_ports,
    clients::Clients,
    environments::Version,
    http,
    program::{last_lines, processes_in},
    progress::explained,
    real_hub::start_proxy,
    suite::person::Person,
};

/// From a hub's start until it answers.
const START: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(50);
/// What hub and proxy agree upon.
const PROXY_TOKEN: &str = "the-token-of-the-proxy";
/// What the service `watcher` has, which may read users and servers.
pub(super) const SERVICE_TOKEN: &str = "the-token-of-the-service";

/// Which hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// JupyterHub 5.
    Before,
    /// JupyterHub 6.
    Theirs,
    Ours,
}

/// The directory that hubs are started in, and the proxy that stays while they come and go.
pub(super) struct Place<'a> {
    clients: &'a Clients,
    dir: tempfile::TempDir,
    pub(super) base_url: String,
    _proxy: Child,
}

impl<'a> Place<'a> {
    pub(super) async fn new(clients: &'a Clients, db_url: &str) -> Result<Self> {
        Self::with(clients, db_url, |_| String::new()).await
    }

    /// The same with more settings, of which what is told is the address of the hub without a slash at its end.
    pub(super) async fn with(clients: &'a Clients, db_url: &str, more: impl FnOnce(&str) -> String) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let [public, api, own] = free_ports()?;
        let text = settings(dir.path(), db_url, [public, api, own]) + &more(&format!("http://{public}"));
        fs::write(dir.path().join("jupyterhub_config.py"), text)?;
        let proxy = start_proxy(clients.proxy(), public, api, PROXY_TOKEN)?;
        Ok(Self { clients, dir, base_url: format!("http://{public}"), _proxy: proxy })
    }

    pub(super) fn clients(&self) -> &'a Clients {
        self.clients
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Runs a test, ends what it left behind, and adds what the hubs said last to its error.
    pub(super) async fn finish(&self, test: impl Future<Output = Result<()>>) -> Result<()> {
        let result = test.await;
        // Servers outlive their hubs here.
        for process in processes_in(self.dir.path())? {
            let pid = process.strip_prefix("/proc/").and_then(|rest| rest.split(':').next()).unwrap_or_default();
            let _ = std::process::Command::new("kill").args(["-9", pid]).stderr(Stdio::null()).status();
        }
        let words = [Side::Before, Side::Theirs, Side::Ours]
            .map(|side| format!("{side:?}: {}", last_lines(&self.log(side), 25)));
        result.map_err(|error| anyhow::anyhow!("{}\n{}", explained(&error), words.join("\n")))
    }

    /// What a hub said since its last start.
    pub(super) fn log(&self, side: Side) -> String {
        fs::read_to_string(self.dir.path().join(format!("{side:?}.log"))).unwrap_or_default()
    }

    /// A new token of a person who is logged in.
    pub(super) async fn token_of(&self, person: &Person) -> Result<String> {
        person.visit("/hub/token").await?.expect(&[200])?;
        let path = format!("/hub/api/users/{}/tokens", person.name);
        let answer = person.fetch(Method::POST, &path, Some(&json!({"note": "kept"}))).await?.expect(&[201])?.json()?;
        Ok(answer["token"].as_str().context("a new token is told")?.to_owned())
    }

    /// An answer of the REST API, which must have this status.
    pub(super) async fn api(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
        status: u16,
    ) -> Result<Value> {
        let url = format!("{}/hub/api{path}", self.base_url);
        let mut request = http::client(None)?.request(method.clone(), url);
        request = request.header(AUTHORIZATION, format!("token {token}"));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.with_context(|| format!("failed to ask for {path}"))?;
        let (found, text) = (answer.status(), answer.text().await?);
        ensure!(found == status, "{method} {path} answered {found}, expected {status}: {text}");
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    pub(super) async fn start(&self, side: Side) -> Result<Hub> {
        let mut hub = self.start_alone(side)?;
        hub.answers(&self.base_url).await?;
        Ok(hub)
    }

    /// The same without waiting until it answers.
    pub(super) fn start_alone(&self, side: Side) -> Result<Hub> {
        let version = if side == Side::Before { Version::V5 } else { Version::V6 };
        let bin = self.clients.environment(version).bin();
        let mut command = match side {
            Side::Before | Side::Theirs => Command::new(bin.join("jupyterhub")),
            Side::Ours => {
                let mut hub = Command::new(self.clients.hub());
                hub.arg("serve");
                hub
            }
        };
        let log = self.dir.path().join(format!("{side:?}.log"));
        command
            .args(["--config", "jupyterhub_config.py"])
            .current_dir(self.dir.path())
            .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
            .env("HOME", self.dir.path())
            .env_remove("CONFIGPROXY_AUTH_TOKEN")
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?)
            .kill_on_drop(true);
        // Its servers must not get the signals that are meant for it.
        command.process_group(0);
        let process = command.spawn().with_context(|| format!("failed to start {side:?}"))?;
        Ok(Hub { side, process, log })
    }
}

/// A hub that runs.
pub(super) struct Hub {
    side: Side,
    process: Child,
    log: PathBuf,
}

impl Hub {
    /// Whether it has not ended.
    pub(super) fn runs(&mut self) -> Result<bool> {
        Ok(self.process.try_wait()?.is_none())
    }

    /// Waits until it does, through its proxy.
    pub(super) async fn answers(&mut self, base_url: &str) -> Result<()> {
        let (client, url) = (http::client(None)?, format!("{base_url}/hub/health"));
        let end = Instant::now() + START;
        loop {
            if client.get(&url).send().await.is_ok_and(|answer| answer.status() == 200) {
                return Ok(());
            }
            let words = || last_lines(&fs::read_to_string(&self.log).unwrap_or_default(), 25);
            if let Some(status) = self.process.try_wait()? {
                bail!("{:?} ended with {status}\n{}", self.side, words());
            }
            ensure!(Instant::now() < end, "{:?} does not answer\n{}", self.side, words());
            sleep(POLL).await;
        }
    }

    /// Ends it; servers go on.
    pub(super) async fn stop(mut self) -> Result<()> {
        let pid = self.process.id().context("the hub has ended")?;
        Command::new("kill").arg(pid.to_string()).status().await?;
        self.process.wait().await?;
        Ok(())
    }

    /// `kill -9`.
    pub(super) async fn kill(mut self) -> Result<()> {
        Ok(self.process.kill().await?)
    }
}

/// What both hubs read: literals only, as people write them.
fn settings(dir: &Path, db_url: &str, [public, api, own]: [SocketAddr; 3]) -> String {
    format!(
        r#"c = get_config()
# Where everything is.
c.JupyterHub.bind_url = 'http://{public}'
c.JupyterHub.hub_bind_url = 'http://{own}'
c.JupyterHub.db_url = '{db_url}'
c.ConfigurableHTTPProxy.api_url = 'http://{api}'
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.auth_token = '{PROXY_TOKEN}'
# Who comes in.
c.JupyterHub.authenticator_class = 'dummy'
c.Authenticator.allowed_users = {{'eve'}}
c.Authenticator.admin_users = {{'ada'}}
c.JupyterHub.services = [{{'name': 'watcher', 'api_token': '{SERVICE_TOKEN}'}}]
c.JupyterHub.load_roles = [
    {{
        'name': 'watcher',
        'scopes': ['read:users', 'read:servers'],
        'services': ['watcher'],
    }},
]
# Servers outlive the hub.
c.JupyterHub.spawner_class = 'simple'
c.JupyterHub.cleanup_servers = False
c.Spawner.args = ['--allow-root']
c.Spawner.default_url = '/lab'
c.SimpleLocalProcessSpawner.home_dir_template = '{}'
"#,
        dir.display()
    )
}
