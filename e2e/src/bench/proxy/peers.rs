//! The proxies that are measured: ours, configurable-http-proxy, nginx and HAProxy, each with one worker and the same route.

use std::{
    fs::{self, File},
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustls::{
    CipherSuite, ClientConfig, HandshakeKind, RootCertStore,
    client::Resumption,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
    version::TLS13,
};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::sleep,
};

use super::super::{
    load::{Load, Request, Tls},
    process::{Cores, Process},
    sides::free_ports,
};
use crate::{cargo, packages, peers, places::Places, program::Program, program::last_lines};

/// What the APIs of ours and of configurable-http-proxy ask for.
pub(super) const TOKEN: &str = "benchmark";
/// From a proxy's start to its first good answer, and how often it is asked.
const START: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);
/// The name in the certificates.
const HOST: &str = "hub.test";
/// Lines of a proxy's words that go into an error.
const LAST_WORDS: usize = 15;

/// Which proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    ConfigurableHttpProxy,
    Nginx,
    Haproxy,
    Ours,
}

impl Kind {
    /// Ours comes last in each round.
    pub(super) const ALL: [Self; 4] = [Self::ConfigurableHttpProxy, Self::Nginx, Self::Haproxy, Self::Ours];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ConfigurableHttpProxy => "configurable-http-proxy",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Ours => "hub-proxy",
        }
    }
}

/// The key of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    P256,
    Rsa2048,
}

/// A certificate that signs itself, in files.
#[derive(Debug)]
pub(super) struct Certificate {
    key: PathBuf,
    chain: PathBuf,
    /// Both, as HAProxy wants them.
    both: PathBuf,
    _dir: TempDir,
}

impl Certificate {
    pub(super) async fn make(key: Key) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let [key_file, chain, both] = ["key.pem", "chain.pem", "both.pem"].map(|name| dir.path().join(name));
        let key: &[&str] = match key {
            Key::P256 => &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
            Key::Rsa2048 => &["-newkey", "rsa:2048"],
        };
        Program::new("openssl")
            .args(["req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=hub.test"])
            .args(key)
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-addext", &format!("subjectAltName=DNS:{HOST}")])
            .arg("-keyout")
            .arg(&key_file)
            .arg("-out")
            .arg(&chain)
            .output()
            .await?;
        fs::write(&both, [fs::read(&chain)?, fs::read(&key_file)?].concat())?;
        fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600))?;
        Ok(Self { key: key_file, chain, both, _dir: dir })
    }

    /// A client that believes this one only, with the cipher and the key exchange that all proxies have; each handshake
    /// must be as given. Unless they are to be full, it resumes sessions.
    pub(super) fn client(&self, handshakes: Option<HandshakeKind>) -> Result<Tls> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.chain).context("failed to read a certificate")?)?;
        let mut provider = default_provider();
        provider.cipher_suites.retain(|suite| suite.suite() == CipherSuite::TLS13_AES_256_GCM_SHA384);
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        if handshakes == Some(HandshakeKind::Full) {
            config.resumption = Resumption::disabled();
        }
        Ok(Tls { connector: Arc::new(config).into(), name: ServerName::try_from(HOST)?, handshakes })
    }
}

/// The programs.
pub(super) struct Programs {
    pub(super) cores: Cores,
    ours: PathBuf,
    /// Node.js and the script.
    configurable_http_proxy: [PathBuf; 2],
}

/// A proxy that runs, with the route `/user/u` to a server. It ends with this.
pub(super) struct Proxy {
    pub(super) kind: Kind,
    pub(super) process: Process,
    pub(super) address: SocketAddr,
    /// Where its routes are set, if they are.
    pub(super) api: SocketAddr,
    _child: Child,
    _dir: TempDir,
}

/// What a proxy is started with.
struct Setup<'a> {
    dir: &'a Path,
    address: SocketAddr,
    api: SocketAddr,
    target: SocketAddr,
    certificate: Option<&'a Certificate>,
}

impl Programs {
    pub(super) async fn prepare(places: &Places, release: bool, yes: bool) -> Result<Self> {
        packages::ensure(places, yes, &[packages::BENCHMARKS, packages::PROXIES, packages::PEERS].concat()).await?;
        let ours = cargo::build_proxy(places, release).await?;
        let configurable_http_proxy = peers::configurable_http_proxy(places).await?;
        Ok(Self { cores: Cores::claim_with_files().await?, ours, configurable_http_proxy })
    }

    /// Starts a proxy before a server, with TLS if there is a certificate.
    pub(super) async fn start(
        &self,
        kind: Kind,
        target: SocketAddr,
        certificate: Option<&Certificate>,
    ) -> Result<Proxy> {
        let dir = tempfile::tempdir()?;
        let [address, api] = free_ports()?;
        let setup = Setup { dir: dir.path(), address, api, target, certificate };
        let log = dir.path().join("log");
        let words = File::create(&log)?;
        let child = self
            .command(kind, &setup)?
            .stdin(Stdio::null())
            .stdout(words.try_clone()?)
            .stderr(words)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("failed to start {}", kind.name()))?;
        let process = Process(child.id().with_context(|| format!("{} has ended", kind.name()))?);
        let proxy = Proxy { kind, process, address, api, _child: child, _dir: dir };
        let ready = proxy.await_ready(target, certificate).await;
        ready.with_context(|| {
            let words = fs::read_to_string(&log).unwrap_or_default();
            format!("{} does not answer\n{}", kind.name(), last_lines(&words, LAST_WORDS))
        })?;
        Ok(proxy)
    }

    fn command(&self, kind: Kind, setup: &Setup<'_>) -> Result<Command> {
        let config = setup.dir.join("config");
        Ok(match kind {
            Kind::Ours => {
                let mut command = self.cores.command(&self.ours);
                command.args(options(setup)).arg("--max-connections-per-client=0");
                command.env("CONFIGPROXY_AUTH_TOKEN", TOKEN);
                command
            }
            Kind::ConfigurableHttpProxy => {
                let [node, script] = &self.configurable_http_proxy;
                let mut command = self.cores.command(node);
                command.arg(script).args(options(setup));
                command.env("CONFIGPROXY_AUTH_TOKEN", TOKEN).env("NODE_ENV", "production");
                command
            }
            Kind::Nginx => {
                fs::write(&config, nginx(setup))?;
                let mut command = self.cores.command(Path::new("/usr/sbin/nginx"));
                command.arg("-e").arg("stderr").arg("-c").arg(&config);
                command
            }
            Kind::Haproxy => {
                fs::write(&config, haproxy(setup))?;
                let mut command = self.cores.command(Path::new("/usr/sbin/haproxy"));
                command.arg("-db").arg("-q").arg("-f").arg(&config);
                command
            }
        })
    }
}

impl Proxy {
    /// Whether it has an API that sets its routes.
    fn has_api(&self) -> bool {
        matches!(self.kind, Kind::Ours | Kind::ConfigurableHttpProxy)
    }

    /// Sets the route where routes are set, and waits for the first good answer.
    async fn await_ready(&self, target: SocketAddr, certificate: Option<&Certificate>) -> Result<()> {
        let start = Instant::now();
        let one = |request| Load::new(&[request].into()).with_connections(1);
        let mut has_route = !self.has_api();
        let tls = certificate.map(|certificate| certificate.client(None)).transpose()?;
        let get = one(Request::get_bytes("/user/u/bytes/1", 1)).with_tls(tls);
        loop {
            if !has_route {
                has_route = one(post_route("u", target)).run(self.api, POLL, None).await.is_ok();
            }
            match get.run(self.address, POLL, None).await {
                Ok(_) => return Ok(()),
                Err(error) => ensure!(start.elapsed() < START, error),
            }
            sleep(POLL).await;
        }
    }
}

/// Sets the route of a user's server, as JupyterHub does.
pub(super) fn post_route(user: &str, target: SocketAddr) -> Request {
    let route = json!({"target": format!("http://{target}"), "user": user, "server_name": "", "jupyterhub": true});
    Request::post(&format!("/api/routes/user/{user}"), Some(TOKEN), &route.to_string()).with_status(201)
}

/// What ours and configurable-http-proxy are both told.
fn options(setup: &Setup<'_>) -> Vec<String> {
    let Setup { address, api, certificate, .. } = setup;
    let mut options = vec![
        format!("--ip={}", address.ip()),
        format!("--port={}", address.port()),
        format!("--api-ip={}", api.ip()),
        format!("--api-port={}", api.port()),
        "--log-level=error".to_owned(),
    ];
    if let Some(Certificate { key, chain, .. }) = certificate {
        options.push(format!("--ssl-key={}", key.display()));
        options.push(format!("--ssl-cert={}", chain.display()));
    }
    options
}

/// nginx as its manual says it is fast: connections to the server are kept, large bodies never touch the disk.
fn nginx(setup: &Setup<'_>) -> String {
    let Setup { dir, address, target, certificate, .. } = setup;
    let dir = dir.display();
    let (tls, files) = match certificate {
        Some(Certificate { key, chain, .. }) => {
            let (key, chain) = (key.display(), chain.display());
            let protocols = "ssl_protocols TLSv1.3; ssl_session_cache shared:sessions:10m;";
            (" ssl", format!("ssl_certificate {chain}; ssl_certificate_key {key}; {protocols}"))
        }
        None => ("", String::new()),
    };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("  {name}_temp_path {dir}/{name};\n"))
        .concat();
    format!(
        "daemon off; master_process off; worker_processes 1; pid {dir}/pid;
events {{ worker_connections 20000; multi_accept on; }}
http {{
  access_log off; keepalive_requests 1000000000; tcp_nodelay on;
{temporary}  client_max_body_size 0; proxy_request_buffering off; proxy_max_temp_file_size 0;
  proxy_buffer_size 16k; proxy_buffers 8 16k; proxy_busy_buffers_size 32k;
  map $http_upgrade $upstream_connection {{ default upgrade; '' ''; }}
  upstream server {{ server {target}; keepalive 64; keepalive_requests 1000000000; }}
  server {{
    listen {address}{tls} backlog=1024; {files}
    location /user/u/ {{
      proxy_pass http://server; proxy_http_version 1.1; proxy_read_timeout 3600s;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $upstream_connection;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Port $server_port;
      proxy_set_header X-Forwarded-Host $http_host;
    }}
  }}
}}
"
    )
}

/// HAProxy with one thread; connections to the server are shared.
fn haproxy(setup: &Setup<'_>) -> String {
    let Setup { address, target, certificate, .. } = setup;
    let tls = certificate.map(|certificate| format!(" ssl crt {} ssl-min-ver TLSv1.3", certificate.both.display()));
    let tls = tls.unwrap_or_default();
    format!(
        "global
  nbthread 1
  maxconn 9500
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 1h
  http-reuse always
  option forwardfor
frontend public
  bind {address} backlog 1024{tls}
  http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]
  http-request set-header X-Forwarded-Port %[dst_port]
  http-request set-header X-Forwarded-Host %[req.hdr(Host)]
  use_backend server if {{ path_beg /user/u/ }}
backend server
  server server {target} pool-max-conn 64
"
    )
}
