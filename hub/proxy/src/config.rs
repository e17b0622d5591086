//! What a proxy is told when it starts; the command line makes one, and so does a program that embeds the proxy.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use crate::connect::TargetTls;
use crate::gate::GateConfig;
use crate::headers::Rewrite;
use crate::tls::{ClientCertificates, TlsFiles, TlsOptions};

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bind {
    /// A name or an address, and a port; port 0 takes a free one. An empty address means all interfaces.
    Tcp(String, u16),
    /// A Unix socket; a file that is left from before is replaced.
    Unix(PathBuf),
}

impl std::fmt::Display for Bind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address, port) if address.is_empty() => write!(f, "port {port} of all interfaces"),
            Self::Tcp(address, port) => write!(f, "port {port} of the address {address}"),
            Self::Unix(path) => write!(f, "the socket {}", path.display()),
        }
    }
}

/// Who may use the REST API.
#[derive(Clone, Default)]
pub enum Token {
    /// Everybody who reaches it.
    #[default]
    None,
    /// Who knows this value.
    Value(String),
    /// Who knows a value that this file holds now, one on each line.
    File(PathBuf),
    /// Who knows a version of the token that this directory, a mounted Secret, says is accepted now.
    Directory(PathBuf),
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Value(_) => f.write_str("Value(..)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Directory(path) => f.debug_tuple("Directory").field(path).finish(),
        }
    }
}

/// Where the pages of 404, 503 and other errors come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ErrorPages {
    #[default]
    BuiltIn,
    /// `GET {url}/{status}?url={path}` gives the page.
    Target(String),
    /// `{status}.html` or `error.html` in this directory.
    Directory(PathBuf),
}

/// Where the routing table is kept over a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub file: PathBuf,
    /// The pod that may read it again; empty outside a cluster.
    pub pod_uid: String,
}

/// A listener without TLS that sends everybody to HTTPS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    pub bind: Bind,
    /// The port that they are sent to; without it that of [`ProxyConfig::public`].
    pub to: Option<u16>,
}

/// `Strict-Transport-Security` (RFC 6797): browsers are told to use HTTPS only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hsts {
    /// For how many seconds.
    pub max_age: u64,
    pub include_subdomains: bool,
}

impl std::fmt::Display for Hsts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let subdomains = if self.include_subdomains { "; includeSubDomains" } else { "" };
        write!(f, "max-age={}{subdomains}", self.max_age)
    }
}

/// TLS of the REST API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiTls {
    pub files: TlsFiles,
    /// Programs are asked for a certificate of their own, besides their token.
    pub client_certificates: Option<ClientCertificates>,
}

/// Everything that a proxy is told. [`Default`] listens on free ports of the loopback interface.
#[derive(Debug, Clone)]
pub struct ProxyConfig {
    pub public: Bind,
    /// Clients speak TLS with this certificate. It is read again when its files change.
    pub tls: Option<TlsFiles>,
    pub tls_options: TlsOptions,
    /// Sends who comes without TLS to HTTPS; needs a certificate.
    pub redirect: Option<Redirect>,
    /// Sent with each answer over TLS, in place of a target's own.
    pub hsts: Option<Hsts>,
    /// The REST API; without it routes are added by [`crate::Proxy::routes`] only.
    pub api: Option<Bind>,
    /// The REST API is spoken to by TLS.
    pub api_tls: Option<ApiTls>,
    /// How targets are spoken to whose address begins with `https`.
    pub target_tls: TargetTls,
    /// `/metrics`; none by default.
    pub metrics: Option<Bind>,
    pub token: Token,
    /// Who judges requests before they are forwarded. Health is not answered then: every path is the target's.
    pub gate: Option<GateConfig>,
    /// Where requests go that no other route takes.
    pub default_target: Option<String>,
    pub error_pages: ErrorPages,
    /// The first segment of a route is the host.
    pub host_routing: bool,
    /// Servers on one host see and set all of its cookies, as with configurable-http-proxy.
    pub compat: bool,
    /// Add `X-Forwarded-*` to requests.
    pub x_forward: bool,
    /// Who is believed when they say whom they forward for; from others `X-Forwarded-*` and the like are dropped. Without
    /// it everybody is believed, as configurable-http-proxy does.
    pub trusted_proxies: Option<Vec<IpNet>>,
    /// Put the path of a target before that of a request.
    pub prepend_path: bool,
    /// Leave the route's own path in the request's.
    pub include_prefix: bool,
    /// Send the target's own name as `Host`.
    pub change_origin: bool,
    /// Rewrite host and port of redirects to a target.
    pub auto_rewrite: bool,
    /// Rewrite the scheme of redirects to a target.
    pub protocol_rewrite: Option<String>,
    /// Fields that are set on every request to a target.
    pub custom_headers: Vec<(String, String)>,
    /// A request during which no byte moves for this long is given up. Without it only clients that stall are.
    pub timeout: Option<Duration>,
    /// A target that sends nothing for this long is given up.
    pub proxy_timeout: Option<Duration>,
    /// How long a client may neither send what it announced nor read what it is sent.
    pub stall_timeout: Duration,
    /// How long the head of a request may take to arrive.
    pub head_timeout: Duration,
    /// How long a client's idle connection is kept.
    pub keep_alive_timeout: Duration,
    /// How long requests and WebSockets may go on after the proxy is told to stop.
    pub grace_period: Duration,
    /// Connections of one client at the same time, but for those of [`Self::trusted_proxies`]. Without it there is no limit.
    pub max_connections_per_client: Option<usize>,
    /// How long of that idle connections may be used once more: their clients don't know yet, and a request that meets the
    /// end of its connection fails.
    pub idle_grace_period: Duration,
    pub snapshot: Option<Snapshot>,
    /// Write one line of JSON to standard output for each request.
    pub access_log: bool,
    /// When the process started; times in the log count from here.
    pub started: Instant,
}

impl Default for ProxyConfig {
    fn default() -> Self {
        Self {
            public: Bind::Tcp("127.0.0.1".to_owned(), 0),
            tls: None,
            tls_options: TlsOptions::default(),
            redirect: None,
            hsts: None,
            api: Some(Bind::Tcp("127.0.0.1".to_owned(), 0)),
            api_tls: None,
            target_tls: TargetTls::default(),
            metrics: None,
            token: Token::None,
            gate: None,
            default_target: None,
            error_pages: ErrorPages::BuiltIn,
            host_routing: false,
            compat: false,
            x_forward: true,
            trusted_proxies: None,
            prepend_path: true,
            include_prefix: true,
            change_origin: false,
            auto_rewrite: false,
            protocol_rewrite: None,
            custom_headers: Vec::new(),
            timeout: None,
            proxy_timeout: None,
            stall_timeout: Duration::from_secs(120),
            head_timeout: Duration::from_secs(30),
            keep_alive_timeout: Duration::from_secs(5),
            grace_period: Duration::from_secs(10),
            max_connections_per_client: None,
            idle_grace_period: Duration::ZERO,
            snapshot: None,
            access_log: false,
            started: Instant::now(),
        }
    }
}

impl ProxyConfig {
    pub(crate) fn rewrite(&self) -> Rewrite {
        Rewrite {
            x_forward: self.x_forward,
            trusted_proxies: self.trusted_proxies.clone(),
            prepend_path: self.prepend_path,
            include_prefix: self.include_prefix,
            change_origin: self.change_origin,
            auto_rewrite: self.auto_rewrite,
            protocol_rewrite: self.protocol_rewrite.clone(),
            custom_headers: self.custom_headers.clone(),
        }
    }
}
