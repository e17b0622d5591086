//! A directory with settings, the hub that runs in it, and a browser.

use hub_server::{free_port, http_client};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, redirect::Policy};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Whatever is waited for comes within this time, on a busy machine, too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

pub(crate) const PASSWORD: &str = "the-password-of-everybody";
/// Of the service `boss`, an administrator.
pub(crate) const BOSS_TOKEN: &str = "the-token-of-the-boss";

/// Stands in for a single-user server: tells its environment.
const SERVER: &str = "
import http.server, json, os, urllib.parse
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = json.dumps({**os.environ, 'PID': str(os.getpid()), 'PWD': os.getcwd()}).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *args):
        pass
address = urllib.parse.urlsplit(os.environ['JUPYTERHUB_SERVICE_URL'])
http.server.ThreadingHTTPServer((address.hostname, address.port), Answer).serve_forever()
";

/// A directory with settings, where hubs run one after the other.
pub(crate) struct Machine {
    dir: TempDir,
    pub(crate) port: u16,
    pub(crate) api_port: u16,
    hub_port: u16,
    pub(crate) variables: Vec<(&'static str, String)>,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let hub_proxy = Path::new(env!("CARGO_BIN_EXE_hub")).with_file_name("hub-proxy");
        assert!(
            hub_proxy.is_file(),
            "the hub starts {}; make it with `cargo build --bin hub-proxy`",
            hub_proxy.display()
        );
        let [port, api_port, hub_port] = [(); 3].map(|()| free_port().unwrap());
        Self { dir: tempfile::tempdir().unwrap(), port, api_port, hub_port, variables: Vec::new() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The settings of every test, and these.
    pub(crate) fn write_settings(&self, more: &str) {
        let home = self.path("home").display().to_string();
        let settings = format!(
            "c = get_config()
c.JupyterHub.bind_url = 'http://127.0.0.1:{}'
c.JupyterHub.hub_bind_url = 'http://127.0.0.1:{}'
c.ConfigurableHTTPProxy.api_url = 'http://127.0.0.1:{}'
c.JupyterHub.authenticator_class = 'dummy'
c.DummyAuthenticator.password = '{PASSWORD}'
c.JupyterHub.spawner_class = 'simple'
c.SimpleLocalProcessSpawner.home_dir_template = '{home}/{{username}}'
c.Spawner.cmd = ['python3', '-c', '''{SERVER}''']
c.JupyterHub.services = [{{'name': 'boss', 'admin': True, 'api_token': '{BOSS_TOKEN}'}}]
{more}
",
            self.port, self.hub_port, self.api_port
        );
        fs::write(self.path("jupyterhub_config.py"), settings).unwrap();
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hub"));
        command
            .args(["serve", "--config", "jupyterhub_config.py"])
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .envs(self.variables.iter().map(|(name, value)| (*name, value)))
            .current_dir(self.dir.path())
            .process_group(0)
            .stdin(Stdio::null());
        command
    }

    /// Runs a hub with these settings until it serves.
    pub(crate) fn start(&self, more: &str) -> Running {
        self.write_settings(more);
        let log = fs::File::create(self.path("log")).unwrap();
        let mut child = self.command(&[]).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        wait_until("the hub serves", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("it ended with {status}: {}", self.log());
            }
            self.log().contains("the hub is healthy")
        });
        Running { child }
    }

    /// Runs a hub that is not to start: how it ended, and what it said.
    pub(crate) fn refused(&self, more: &str) -> String {
        self.write_settings(more);
        let output = self.command(&[]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        said
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    /// The process that the pid file names.
    pub(crate) fn proxy_pid(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.path("jupyterhub-proxy.pid")).ok()?;
        Pid::from_raw(text.parse().ok()?)
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn browser(&self) -> Browser<'_> {
        // No connection is kept, since none would outlive a proxy.
        let client = http_client().cookie_store(true).no_proxy().pool_max_idle_per_host(0);
        let client = client.redirect(Policy::none()).build().unwrap();
        Browser { machine: self, client }
    }

    /// Asks the hub's REST API as the boss.
    pub(crate) fn api(&self, method: Method, path: &str) -> RequestBuilder {
        let client = http_client().no_proxy().build().unwrap();
        client.request(method, self.at(&format!("/hub/api/{path}"))).bearer_auth(BOSS_TOKEN)
    }

    /// Asks the proxy's REST API with this token.
    pub(crate) fn routes(&self, method: Method, path: &str, token: &str) -> RequestBuilder {
        let client = http_client().no_proxy().build().unwrap();
        let url = format!("http://127.0.0.1:{}/api/routes{path}", self.api_port);
        client.request(method, url).header("Authorization", format!("token {token}"))
    }
}

impl Drop for Machine {
    /// What a hub that was killed left.
    fn drop(&mut self) {
        for process in fs::read_dir("/proc").unwrap().flatten() {
            let is_here = fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(self.dir.path()));
            if let (true, Some(pid)) = (is_here, process.file_name().to_str().and_then(|pid| pid.parse().ok())) {
                let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
            }
        }
    }
}

/// A hub. Killed when it is dropped.
pub(crate) struct Running {
    pub(crate) child: Child,
}

impl Running {
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it as Ctrl-C and systemd do.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.child.wait().unwrap()
    }

    /// Ends it as a terminal does that is closed.
    pub(crate) fn hang_up(mut self) -> ExitStatus {
        self.signal(Signal::HUP);
        self.child.wait().unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn kill(pid: Pid) {
    kill_process(pid, Signal::KILL).unwrap();
}

/// Whether a process is there and not just the note of its end.
pub(crate) fn is_alive(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        sleep(PAUSE);
    }
}

pub(crate) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Keeps cookies, and follows no redirect.
pub(crate) struct Browser<'a> {
    machine: &'a Machine,
    client: Client,
}

impl Browser<'_> {
    pub(crate) async fn get(&self, path: &str) -> Response {
        self.client.get(self.machine.at(path)).header("Accept", "text/html").send().await.unwrap()
    }

    pub(crate) async fn log_in(&self, name: &str, password: &str) -> StatusCode {
        let form = self.get("/hub/login").await.text().await.unwrap();
        let xsrf = form.split("name=\"_xsrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let fields = [("_xsrf", xsrf.as_str()), ("username", name), ("password", password)];
        self.client.post(self.machine.at("/hub/login")).form(&fields).send().await.unwrap().status()
    }

    pub(crate) async fn is_logged_in(&self) -> bool {
        self.get("/hub/home").await.status() == StatusCode::OK
    }
}

/// What the hub says of a user's default server.
pub(crate) async fn server(machine: &Machine, user: &str) -> Value {
    let model: Value = machine.api(Method::GET, &format!("users/{user}")).send().await.unwrap().json().await.unwrap();
    model["servers"][""].clone()
}
