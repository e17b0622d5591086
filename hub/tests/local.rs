//! `hub local` as the page sets it up: Let's Encrypt's files, and the proxy's token. The real program, over the network.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use hub_server::http_client;
use reqwest::{Certificate, Client, Response, StatusCode, redirect::Policy};
use serde_json::json;
use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::fs::{OpenOptionsExt, symlink},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Until a renewed file is served.
const RENEWED: Duration = Duration::from_secs(5);
const HOST: &str = "hub.example.org";

/// A settings file, and the hub that it is for.
struct Local {
    dir: TempDir,
    variables: Vec<(&'static str, &'static str)>,
}

impl Local {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), variables: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs with these settings until it has printed its address.
    fn start(&self, settings: &str) -> Running {
        fs::write(self.path("jupyterhub_config.py"), settings).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_hub"))
            .args(["local", "--port", "0", "--user", "alice", "--config", "jupyterhub_config.py", "--data-dir", "data"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .envs(self.variables.iter().copied())
            .current_dir(self.dir.path())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(self.path("log")).unwrap())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let word = |line: String| line.split_whitespace().find(|word| word.starts_with("http")).map(str::to_owned);
        let log = || fs::read_to_string(self.path("log")).unwrap();
        let printed = lines.into_iter().find_map(word).unwrap_or_else(|| panic!("it ended: {}", log()));
        Running { child, url: url::Url::parse(&printed).unwrap() }
    }
}

/// Killed when it is dropped, as nothing else ends it.
struct Running {
    child: Child,
    url: url::Url,
}

impl Running {
    /// The proxy's table as the hub has it from the proxy.
    async fn asks_its_proxy(&self) -> Response {
        let (_, token) = self.url.query_pairs().find(|(name, _)| name == "token").unwrap();
        let request = client().get(self.url.join("/hub/api/proxy").unwrap());
        request.header("Authorization", format!("token {token}")).send().await.unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// What certbot makes: all versions in `archive`, and in `live` links to those in use.
struct Certbot(PathBuf);

impl Certbot {
    fn new(directory: PathBuf) -> Self {
        for part in ["archive", "live"] {
            fs::create_dir_all(directory.join(part).join(HOST)).unwrap();
        }
        Self(directory)
    }

    /// Issues a certificate and puts it into use; gives it.
    fn issue(&self, version: u32) -> Certificate {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let files = [("fullchain", 0o644, made.cert.pem()), ("privkey", 0o600, made.signing_key.serialize_pem())];
        for (name, mode, content) in files {
            let file = format!("{name}{version}.pem");
            let mut options = fs::OpenOptions::new();
            let mut written = options
                .write(true)
                .create_new(true)
                .mode(mode)
                .open(self.0.join("archive").join(HOST).join(&file))
                .unwrap();
            std::io::Write::write_all(&mut written, content.as_bytes()).unwrap();
            let link = self.live(name);
            let _ = fs::remove_file(&link);
            symlink(Path::new("../../archive").join(HOST).join(file), link).unwrap();
        }
        Certificate::from_der(made.cert.der()).unwrap()
    }

    fn live(&self, name: &str) -> PathBuf {
        self.0.join("live").join(HOST).join(format!("{name}.pem"))
    }
}

/// A client that believes this certificate and no other.
fn believes(certificate: Certificate) -> Client {
    http_client().tls_certs_only([certificate]).build().unwrap()
}

fn client() -> Client {
    http_client().redirect(Policy::none()).build().unwrap()
}

#[tokio::test]
async fn letsencrypts_files_are_served_and_taken_up_when_they_are_renewed_s43_s44() {
    let local = Local::new();
    let certbot = Certbot::new(local.path("letsencrypt"));
    let first = believes(certbot.issue(1));
    let hub = local.start(&format!(
        "c.JupyterHub.ssl_key = '{}'\nc.JupyterHub.ssl_cert = '{}'\n",
        certbot.live("privkey").display(),
        certbot.live("fullchain").display()
    ));
    assert_eq!(hub.url.scheme(), "https");
    let login = hub.url.join("/hub/login").unwrap();
    let answer = first.get(login.clone()).send().await.unwrap();
    let cookies: Vec<_> =
        answer.headers().get_all("set-cookie").iter().map(|it| it.to_str().unwrap().to_owned()).collect();
    assert!(!cookies.is_empty() && cookies.iter().all(|cookie| cookie.contains("; Secure")), "{cookies:?}");
    answer.bytes().await.unwrap();

    let second = believes(certbot.issue(2));
    let started = Instant::now();
    while second.get(login.clone()).send().await.is_err() {
        assert!(started.elapsed() < RENEWED, "the renewed certificate is not served after {RENEWED:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The connection from before goes on.
    first.get(login).send().await.unwrap().error_for_status().unwrap();
}

#[tokio::test]
async fn without_both_settings_there_is_no_tls_s47() {
    let local = Local::new();
    let hub = local.start("# c.JupyterHub.ssl_key = '/x'\n# c.JupyterHub.ssl_cert = '/x'\n");
    assert_eq!(hub.url.scheme(), "http");
    let answer = client().get(hub.url.join("/hub/login").unwrap()).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

/// The address of an API on a free port, and the line that says so.
fn api_url() -> (String, String) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    (format!("{url}/api/routes"), format!("c.ConfigurableHTTPProxy.api_url = '{url}'\n"))
}

#[tokio::test]
async fn another_program_with_the_token_of_the_environment_adds_a_route_s31_s53_s54() {
    let mut local = Local::new();
    local.variables.push(("CONFIGPROXY_AUTH_TOKEN", "a-token-of-the-environment"));
    let (routes, settings) = api_url();
    let hub = local.start(&settings);
    let route = format!("{routes}/other");
    let add = |token: &'static str| {
        let body = json!({"target": "http://127.0.0.1:9"});
        client().post(&route).header("Authorization", format!("token {token}")).json(&body).send()
    };
    assert_eq!(add("another").await.unwrap().status(), StatusCode::FORBIDDEN);
    assert_eq!(add("a-token-of-the-environment").await.unwrap().status(), StatusCode::CREATED);
    let answer = client().get(hub.url.join("/other/x").unwrap()).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "the route leads to where nobody listens");
    assert_eq!(hub.asks_its_proxy().await.status(), StatusCode::OK);
}

#[tokio::test]
async fn without_a_token_one_is_made_that_nobody_knows_and_the_proxy_starts_anew_with_the_hub_s55_s56_s57() {
    let local = Local::new();
    let (routes, settings) = api_url();
    for start in 0..2 {
        let mut hub = local.start(&settings);
        for token in [None, Some("token "), Some("token undefined")] {
            let request = client().get(&routes);
            let request = token.into_iter().fold(request, |request, token| request.header("Authorization", token));
            assert_eq!(request.send().await.unwrap().status(), StatusCode::FORBIDDEN, "{token:?}");
        }
        assert_eq!(hub.asks_its_proxy().await.status(), StatusCode::OK, "start {start}");
        hub.child.kill().unwrap();
        hub.child.wait().unwrap();
        assert!(client().get(&routes).send().await.is_err(), "the proxy outlives the hub");
    }
}
