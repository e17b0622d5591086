//! The proxy as a child of the hub (S55, S57), with the command line of JupyterHub's `configurable-http-proxy`.
//!
//! ```text
//! hub starts:  end the proxy that a killed hub left -> start -> write the pid file -> wait until its API answers
//! proxy ends:  start it anew -> give it its routes
//! hub ends:    end the proxy -> remove the pid file
//! ```

use anyhow::Context;
use hub_settings::{Settings, Tls, http};
use rustix::process::{Pid, Signal, kill_process};
use secrecy::{ExposeSecret, SecretString};
use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    proxy::{ProxyClient, ProxyError, ProxyToken},
    servers::Servers,
    spawner::local::find_on_path,
};

/// Our own proxy, which knows options that `configurable-http-proxy` does not.
const OWN: &str = "hub-proxy";
/// Where our own proxy keeps its table, so that routes of other programs outlive it (S31).
const TABLE: &str = "jupyterhub-proxy.json";
/// How long a proxy may take to serve.
const UP: Duration = Duration::from_secs(15);
/// How long it may take to end. Our own lets requests go on for ten seconds.
const DOWN: Duration = Duration::from_secs(12);
/// How long one that another hub left may take to end.
const LEFT_DOWN: Duration = Duration::from_secs(2);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// Between starts of a proxy that ends at once.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Secrets of the hub that are no business of the proxy's.
const HUB_ONLY: [&str; 2] = [hub_settings::COOKIE_SECRET_VARIABLE, crate::auth_state::VARIABLE];

/// The proxy: a child of the hub, or somebody else's.
pub(super) struct Proxy {
    client: ProxyClient,
    program: Option<Program>,
}

/// A proxy that answers.
pub(super) struct Answering(Option<(Program, Child)>);

impl Proxy {
    /// # Errors
    /// The program that is to be started isn't there, or can't be told what the settings say.
    pub(super) fn new(settings: &Settings, connect_url: &str, token: &SecretString) -> anyhow::Result<Self> {
        let (host, port) = api(settings);
        let client = ProxyClient::new(&http(&host, port), ProxyToken::Value(token.clone()));
        let program = match settings.proxy.should_start {
            true => Some(Program::new(settings, connect_url, token, client.clone())?),
            false => None,
        };
        Ok(Self { client, program })
    }

    pub(super) fn client(&self) -> &ProxyClient {
        &self.client
    }

    /// Starts it, or waits for it if others start it.
    ///
    /// # Errors
    /// It can't be started, or can't be used.
    pub(super) async fn start(self) -> anyhow::Result<Answering> {
        let Some(program) = self.program else {
            wait_for(&self.client).await?;
            return Ok(Answering(None));
        };
        let child = program.start().await?;
        Ok(Answering(Some((program, child))))
    }
}

impl Answering {
    /// Keeps it there until `stopping`, and then ends it, if it is the hub's.
    pub(super) async fn keep(self, servers: Servers, stopping: CancellationToken) {
        if let Some((program, child)) = self.0 {
            program.keep(child, &servers, &stopping).await;
        }
    }
}

/// How the proxy is started.
struct Program {
    command: Vec<String>,
    token: SecretString,
    pid_file: PathBuf,
    client: ProxyClient,
}

impl Program {
    fn new(settings: &Settings, connect_url: &str, token: &SecretString, client: ProxyClient) -> anyhow::Result<Self> {
        let mut command = match &settings.proxy.command {
            Some(command) => command.clone(),
            None => vec![own_program()?.display().to_string()],
        };
        command.extend(arguments(settings, connect_url, is_own(&command))?);
        Ok(Self { command, token: token.clone(), pid_file: settings.proxy.pid_file.clone(), client })
    }

    /// Starts it in place of one that a killed hub left, and waits until it serves.
    ///
    /// # Errors
    /// It can't be started, or ends.
    async fn start(&self) -> anyhow::Result<Child> {
        end_left(&self.pid_file).await?;
        let (program, arguments) = self.command.split_first().context("failed to find the proxy's command")?;
        let mut command = Command::new(program);
        command.args(arguments).env(hub_settings::PROXY_TOKEN_VARIABLE, self.token.expose_secret());
        HUB_ONLY.into_iter().for_each(|name| {
            command.env_remove(name);
        });
        // Ctrl-C is the hub's to hear: servers tell the proxy that they go.
        command.stdin(std::process::Stdio::null()).process_group(0);
        let mut child = command.spawn().with_context(|| {
            format!("failed to start the proxy, {program}; install it or correct ConfigurableHTTPProxy.command")
        })?;
        let pid = child.id().map(|pid| pid.to_string()).unwrap_or_default();
        let noted = fs::write(&self.pid_file, pid)
            .with_context(|| format!("failed to write {}, the proxy's pid file", self.pid_file.display()));
        let is_up = match noted {
            Ok(()) => self.wait_until_up(&mut child).await,
            Err(error) => Err(error),
        };
        match is_up {
            Ok(()) => Ok(child),
            Err(error) => {
                self.end(child).await;
                Err(error)
            }
        }
    }

    async fn wait_until_up(&self, child: &mut Child) -> anyhow::Result<()> {
        let deadline = Instant::now() + UP;
        loop {
            if let Some(status) = child.try_wait()? {
                anyhow::bail!(
                    "the proxy ended with {status}; it says why above. If a port is taken, choose another with \
                     JupyterHub.bind_url or ConfigurableHTTPProxy.api_url"
                );
            }
            match self.client.routes().await {
                Ok(_) => return Ok(()),
                Err(ProxyError::Request { .. }) if Instant::now() < deadline => sleep(LOOK_INTERVAL).await,
                Err(error) => return Err(error).context("failed to use the proxy that was started"),
            }
        }
    }

    /// Keeps a proxy there until the hub stops, and then ends it.
    async fn keep(&self, mut child: Child, servers: &Servers, stopping: &CancellationToken) {
        loop {
            let ended = tokio::select! {
                () = stopping.cancelled() => return self.end(child).await,
                ended = child.wait() => ended,
            };
            let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
            tracing::error!(how, "the proxy ended and is started anew");
            let Some(next) = stopping.run_until_cancelled(self.start_again()).await else { return };
            child = next;
            give_routes(servers).await;
        }
    }

    async fn start_again(&self) -> Child {
        let mut wait = FIRST_WAIT;
        loop {
            match self.start().await {
                Ok(child) => return child,
                Err(error) => tracing::error!(error.message = format!("{error:#}"), "trying again in {wait:?}"),
            }
            sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Ends the proxy and waits for it.
    async fn end(&self, mut child: Child) {
        if let Some(pid) = pid_of(&child) {
            let _ = kill_process(pid, Signal::TERM);
            if timeout(DOWN, child.wait()).await.is_err() {
                let _ = child.kill().await;
            }
        }
        let _ = fs::remove_file(&self.pid_file);
    }
}

/// Waits until the proxy of others answers.
///
/// # Errors
/// It doesn't, or doesn't take the token.
async fn wait_for(client: &ProxyClient) -> anyhow::Result<()> {
    let deadline = Instant::now() + UP;
    loop {
        match client.routes().await {
            Ok(_) => return Ok(()),
            Err(ProxyError::Request { .. }) if Instant::now() < deadline => sleep(LOOK_INTERVAL).await,
            Err(error) => {
                return Err(error).context(
                    "failed to use the proxy, which ConfigurableHTTPProxy.should_start = False leaves to others; start it, \
                     or correct ConfigurableHTTPProxy.api_url and auth_token",
                );
            }
        }
    }
}

/// Gives a new proxy its routes at once, the hub's among them.
pub(super) async fn give_routes(servers: &Servers) {
    if let Err(error) = servers.check_routes().await {
        tracing::warn!(%error, "the new proxy gets its routes at the next check");
    }
}

fn pid_of(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()?).ok()?)
}

/// Where the proxy's API is to be.
fn api(settings: &Settings) -> (String, u16) {
    settings.proxy.api.clone().unwrap_or_else(|| ("127.0.0.1".to_owned(), 8001))
}

/// Beside this program, as packages have it, or on `PATH`.
fn own_program() -> anyhow::Result<PathBuf> {
    let here = env::current_exe().context("failed to find this program")?.with_file_name(OWN);
    let found = if here.is_file() { Some(here) } else { find_on_path(OWN, env::var_os("PATH").as_deref()) };
    found.with_context(|| {
        format!(
            "failed to find {OWN}, which stands beside this program or on PATH; install it, or set \
             c.ConfigurableHTTPProxy.command = 'configurable-http-proxy' if you have that"
        )
    })
}

fn is_own(command: &[String]) -> bool {
    command.first().is_some_and(|program| Path::new(program).file_name() == Some(OWN.as_ref()))
}

/// What JupyterHub tells its proxy; no secret is among it.
fn arguments(settings: &Settings, connect_url: &str, is_own: bool) -> anyhow::Result<Vec<String>> {
    let addresses = &settings.addresses;
    let (api_ip, api_port) = api(settings);
    let mut arguments: Vec<String> = [
        ("--ip", addresses.ip.clone().unwrap_or_default()),
        ("--port", addresses.port.unwrap_or(8000).to_string()),
        ("--api-ip", api_ip),
        ("--api-port", api_port.to_string()),
        ("--error-target", format!("{connect_url}{}hub/error", addresses.base_url)),
        ("--log-level", settings.proxy.log_level.clone()),
    ]
    .into_iter()
    .flat_map(|(name, value)| [name.to_owned(), value])
    .collect();
    if addresses.subdomain_host.is_some() {
        arguments.push("--host-routing".to_owned());
    }
    if let Some(Tls { certificate, key }) = &settings.tls {
        // The original reads the key from the certificate's file only if it is told so (S39).
        let key = key.as_ref().unwrap_or(certificate);
        let files = ["--ssl-key".to_owned(), path(key)?, "--ssl-cert".to_owned(), path(certificate)?];
        arguments.extend(files);
    }
    match &settings.proxy.trusted {
        Some(trusted) if is_own => arguments.extend(["--trusted-proxies".to_owned(), trusted.join(",")]),
        Some(_) => anyhow::bail!(
            "JupyterHub.trusted_downstream_ips needs {OWN}, since ConfigurableHTTPProxy.command cannot be told of it; remove one \
             of the two"
        ),
        None => {}
    }
    if is_own {
        arguments.extend(["--snapshot".to_owned(), TABLE.to_owned()]);
    }
    Ok(arguments)
}

fn path(path: &Path) -> anyhow::Result<String> {
    let text =
        path.to_str().with_context(|| format!("failed to use the file name {}: it is not UTF-8", path.display()))?;
    Ok(text.to_owned())
}

/// Ends the proxy that a hub which was killed left: S56 wants a new one, since its token is another.
async fn end_left(pid_file: &Path) -> anyhow::Result<()> {
    let Ok(text) = fs::read_to_string(pid_file) else { return Ok(()) };
    // Others than positive numbers name many processes.
    let number = text.trim().parse().ok().filter(|pid| *pid > 0);
    if let Some(pid) = number.and_then(Pid::from_raw)
        && is_proxy_of_this_hub(pid)
    {
        tracing::warn!(pid = pid.as_raw_nonzero(), "ending the proxy of the last run");
        for signal in [Signal::TERM, Signal::KILL] {
            let _ = kill_process(pid, signal);
            if timeout(LEFT_DOWN, gone(pid)).await.is_ok() {
                break;
            }
        }
        anyhow::ensure!(
            !is_proxy_of_this_hub(pid),
            "failed to end the proxy of the last run; end the process {} and start the hub again",
            pid.as_raw_nonzero()
        );
    }
    match fs::remove_file(pid_file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove {}, the proxy's pid file", pid_file.display()))
        }
        _ => Ok(()),
    }
}

async fn gone(pid: Pid) {
    while is_proxy_of_this_hub(pid) {
        sleep(LOOK_INTERVAL).await;
    }
}

/// The number may be another program's by now: a proxy was told where a hub's error pages are, and began in the directory
/// where this hub is.
fn is_proxy_of_this_hub(pid: Pid) -> bool {
    let process = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
    let words = fs::read(process.join("cmdline")).unwrap_or_default();
    let here = env::current_dir().ok();
    is_proxy(&words) && here.is_some() && fs::read_link(process.join("cwd")).ok() == here
}

/// Whether a command line, as `/proc` has it, is that of a hub's proxy.
fn is_proxy(words: &[u8]) -> bool {
    let mut words = words.split(|byte| *byte == 0);
    words.any(|word| word == b"--error-target") && words.next().is_some_and(|url| url.ends_with(b"/hub/error"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hub_traitlets::{Config, Origin, Value, Variables};

    fn told(class: &str, name: &str, value: Value) -> Settings {
        let mut config = Config::default();
        config.set(class, name, value, Origin::CommandLine);
        Settings::read(&config, &Variables::new()).unwrap()
    }

    #[test]
    fn the_proxy_is_told_what_jupyterhub_tells_it_and_no_secret() {
        let settings = told("ConfigurableHTTPProxy", "auth_token", "the-token".into());
        let expected = "--ip  --port 8000 --api-ip 127.0.0.1 --api-port 8001 --error-target http://127.0.0.1:8081/hub/error \
                        --log-level info";
        assert_eq!(arguments(&settings, "http://127.0.0.1:8081", false).unwrap().join(" "), expected);
    }

    #[test]
    fn key_certificate_and_subdomains_are_handed_on_s37_s38_s39() {
        let line = |settings: &Settings| arguments(settings, "http://h", false).unwrap().join(" ");
        let one_file = told("JupyterHub", "ssl_cert", "/both.pem".into());
        assert!(line(&one_file).ends_with("--ssl-key /both.pem --ssl-cert /both.pem"), "{}", line(&one_file));
        let subdomains = told("JupyterHub", "subdomain_host", "https://hub.example.org".into());
        assert!(line(&subdomains).contains("--host-routing"));
    }

    #[test]
    fn only_our_own_proxy_can_be_told_whom_to_believe() {
        let settings = told("JupyterHub", "trusted_downstream_ips", Value::List(vec!["10.0.0.1".into()]));
        assert!(arguments(&settings, "http://h", true).unwrap().join(" ").contains("--trusted-proxies 10.0.0.1"));
        let refused = arguments(&settings, "http://h", false).unwrap_err().to_string();
        assert!(refused.contains("JupyterHub.trusted_downstream_ips"), "{refused}");
    }

    #[test]
    fn a_process_is_the_proxy_by_what_it_was_told() {
        for (words, expected) in [
            ("/usr/bin/hub-proxy\0--ip\0\0--error-target\0http://127.0.0.1:8081/hub/error\0", true),
            ("node\0/bin/configurable-http-proxy\0--error-target\0http://h/base/hub/error\0--log-level\0info\0", true),
            ("/usr/bin/python3\0-m\0http.server\0", false),
            ("grep\0--error-target\0", false),
            ("", false),
        ] {
            assert_eq!(is_proxy(words.as_bytes()), expected, "{words}");
        }
    }

    #[tokio::test]
    async fn a_pid_file_that_names_another_process_is_removed_and_the_process_left_alone() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("jupyterhub-proxy.pid");
        let mut other = Command::new("sleep").arg("60").kill_on_drop(true).spawn().unwrap();
        for text in [other.id().unwrap().to_string(), "no pid".to_owned(), "-1".to_owned(), "0".to_owned()] {
            fs::write(&file, &text).unwrap();
            end_left(&file).await.unwrap();
            assert!(!file.exists(), "{text}");
        }
        assert!(other.try_wait().unwrap().is_none());
    }
}
