//! The command line: configurable-http-proxy's options, and a few of our own.
//!
//! What the original has and this proxy cannot do yet is refused by name: an option that is ignored in silence is a
//! setting that somebody believes in.

mod tls;
mod unsupported;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, ValueEnum};
use ipnet::IpNet;

use self::tls::{ApiTlsArgs, TargetTlsArgs, TlsArgs};
use self::unsupported::Unsupported;

use crate::config::{Bind, ErrorPages, ProxyConfig, Snapshot, Token};

const EXAMPLES: &str = "\
Examples:
  Proxy on port 8000, its API on 127.0.0.1:8001, everything to a hub by default:
    CONFIGPROXY_AUTH_TOKEN=$(openssl rand -hex 32) hub-proxy --default-target http://127.0.0.1:8081

  As in a pod: the token from a mounted Secret, the table kept over a restart of the container:
    hub-proxy --api-ip 0.0.0.0 --auth-token-file /secrets/proxy/token --snapshot /run/hub-proxy/routes.json

  Add a route:
    curl -X POST -H \"Authorization: token $CONFIGPROXY_AUTH_TOKEN\" \\
         -d '{\"target\": \"http://127.0.0.1:8888\"}' http://127.0.0.1:8001/api/routes/user/alice

  With TLS, everybody on port 80 sent to it, certificates read again when their files change:
    hub-proxy --port 443 --ssl-key tls.key --ssl-cert tls.crt --redirect-port 80 --hsts 31536000

configurable-http-proxy's --storage-backend is refused: --snapshot keeps the table over a restart.

On SIGTERM or SIGINT it stops accepting, lets requests and WebSockets go on for --grace-period seconds and exits with status 0
(configurable-http-proxy exits at once with status 2).";

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// A reverse proxy whose routes are set over a REST API; a drop-in for configurable-http-proxy
#[derive(Debug, Parser)]
#[command(name = "hub-proxy", version, after_help = EXAMPLES, args_override_self = true)]
pub struct Cli {
    /// Address to serve on; `*` or nothing means all
    #[arg(long, default_value = "", hide_default_value = true, conflicts_with = "socket")]
    ip: String,
    /// Port to serve on
    #[arg(long, default_value_t = 8000, conflicts_with = "socket")]
    port: u16,
    /// Unix socket to serve on, instead of an address and a port
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Address of the REST API
    #[arg(long, default_value = "localhost", conflicts_with = "api_socket")]
    api_ip: String,
    /// Port of the REST API [default: --port plus 1]
    #[arg(long, conflicts_with = "api_socket")]
    api_port: Option<u16>,
    /// Unix socket of the REST API
    #[arg(long, value_name = "PATH")]
    api_socket: Option<PathBuf>,
    /// Address of the metrics server
    #[arg(long, default_value = "", hide_default_value = true, conflicts_with = "metrics_socket")]
    metrics_ip: String,
    /// Port of the metrics server [default: none]
    #[arg(long, conflicts_with = "metrics_socket")]
    metrics_port: Option<u16>,
    /// Unix socket of the metrics server
    #[arg(long, value_name = "PATH")]
    metrics_socket: Option<PathBuf>,

    /// Where requests go that no route takes: http://host[:port]
    #[arg(long, value_name = "URL")]
    default_target: Option<String>,
    /// Server of error pages; asked for URL/STATUS?url=PATH
    #[arg(long, value_name = "URL", conflicts_with = "error_path")]
    error_target: Option<String>,
    /// Directory of error pages: 404.html, 503.html, error.html
    #[arg(long, value_name = "DIRECTORY")]
    error_path: Option<PathBuf>,
    /// The first segment of a route is the host
    #[arg(long)]
    host_routing: bool,
    /// Let servers see the hub's cookies and set any on the whole host, as configurable-http-proxy does. Without it a server
    /// below /user/NAME/ neither sees who is logged in elsewhere nor sets anything beyond its own paths
    #[arg(long)]
    compat: bool,
    /// Do not add X-Forwarded-* fields to requests
    #[arg(long)]
    no_x_forward: bool,
    /// Proxies in front, as addresses or CIDRs with commas between them: only they are believed when they say whom they
    /// forward for; from others X-Forwarded-*, Forwarded, X-Real-IP and X-Scheme are dropped [default: all are believed]
    #[arg(long, value_name = "CIDR,...", value_parser = parse_nets)]
    trusted_proxies: Option<Nets>,
    /// Do not put a target's path before a request's
    #[arg(long)]
    no_prepend_path: bool,
    /// Take a route's path off the request's
    #[arg(long)]
    no_include_prefix: bool,
    /// Rewrite host and port in redirects to a target
    #[arg(long)]
    auto_rewrite: bool,
    /// Send the target's own name as Host
    #[arg(long)]
    change_origin: bool,
    /// Rewrite the scheme in redirects to a target
    #[arg(long, value_name = "SCHEME")]
    protocol_rewrite: Option<String>,
    /// Field to set on requests, as `name:value`; may be given more than once
    #[arg(long, value_name = "NAME:VALUE", value_parser = parse_header)]
    custom_header: Vec<(String, String)>,

    /// Milliseconds without a byte after which a request is given up
    #[arg(long, value_name = "MS")]
    timeout: Option<u64>,
    /// Milliseconds that a target may take to send something
    #[arg(long, value_name = "MS")]
    proxy_timeout: Option<u64>,
    /// Milliseconds that a client's idle connection is kept
    #[arg(long, value_name = "MS", default_value_t = 5000)]
    keep_alive_timeout: u64,
    /// Connections that one address may have at the same time, but for those of --trusted-proxies; 0 means any number
    #[arg(long, value_name = "COUNT", default_value_t = 4096)]
    max_connections_per_client: usize,
    /// Seconds that requests and WebSockets may go on after SIGTERM
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    grace_period: u64,

    /// File that holds the API's token, or several, one on each line, which are all accepted; read again when it changes.
    /// Without it CONFIGPROXY_AUTH_TOKEN holds the token
    #[arg(long, value_name = "FILE", env = "CONFIGPROXY_AUTH_TOKEN_FILE")]
    auth_token_file: Option<PathBuf>,
    /// Directory of a mounted Secret whose token rotates: `proxy-token`, or with versions.json the accepted ones of
    /// `proxy-token.N`
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "auth_token_file")]
    auth_token_dir: Option<PathBuf>,
    /// File that keeps the routing table over a restart within the same pod (POD_UID)
    #[arg(long, value_name = "FILE")]
    snapshot: Option<PathBuf>,
    /// File to write the process id to
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// What is logged, to standard error
    #[arg(long, value_enum, default_value = "info", ignore_case = true)]
    log_level: LogLevel,
    /// How it is written: for people, or one object a line
    #[arg(long, value_enum, default_value = "text", env = "HUB_PROXY_LOG_FORMAT")]
    log_format: LogFormat,
    /// Write a line of JSON to standard output for each request
    #[arg(long, env = "HUB_PROXY_ACCESS_LOG")]
    access_log: bool,

    #[command(flatten)]
    tls: TlsArgs,
    #[command(flatten)]
    api_tls: ApiTlsArgs,
    #[command(flatten)]
    target_tls: TargetTlsArgs,
    #[command(flatten)]
    unsupported: Unsupported,
}

impl Cli {
    /// The most detailed level that is logged.
    #[must_use]
    pub fn log_level(&self) -> tracing::Level {
        match self.log_level {
            LogLevel::Debug => tracing::Level::DEBUG,
            LogLevel::Info => tracing::Level::INFO,
            LogLevel::Warn => tracing::Level::WARN,
            LogLevel::Error => tracing::Level::ERROR,
        }
    }

    /// Whether the log is lines of JSON.
    #[must_use]
    pub fn logs_json(&self) -> bool {
        self.log_format == LogFormat::Json
    }

    /// What the proxy is told by these options; `started` is when the process began.
    ///
    /// # Errors
    /// If an option is not supported or contradicts another; the error prints itself as clap's do.
    pub fn into_config(self, started: Instant) -> Result<ProxyConfig, clap::Error> {
        let refuse = |message: String| Self::command().error(ErrorKind::ValueValidation, message);
        if let Some((name, remedy)) = self.unsupported.given() {
            return Err(refuse(format!("{name} is not supported: {remedy}")));
        }
        // Never an option: a list of processes would show it.
        let token = std::env::var("CONFIGPROXY_AUTH_TOKEN").ok().filter(|token| !token.is_empty());
        let token = match (token, self.auth_token_file, self.auth_token_dir) {
            (Some(_), Some(_), _) => {
                let message = "CONFIGPROXY_AUTH_TOKEN and --auth-token-file are both given; keep one of them";
                return Err(refuse(message.to_owned()));
            }
            (Some(_), _, Some(_)) => {
                let message = "CONFIGPROXY_AUTH_TOKEN and --auth-token-dir are both given; keep one of them";
                return Err(refuse(message.to_owned()));
            }
            (_, Some(file), _) => Token::File(file),
            (_, _, Some(directory)) => Token::Directory(directory),
            (Some(value), ..) => Token::Value(value),
            (None, ..) => Token::None,
        };
        let (tls_options, redirect, hsts) =
            (self.tls.options(), self.tls.redirect(&all(self.ip.clone())), self.tls.hsts());
        let tls_options = tls_options.map_err(refuse)?;
        let metrics = match (self.metrics_socket, self.metrics_port) {
            (Some(path), _) => Some(Bind::Unix(path)),
            (None, port) => port.map(|port| Bind::Tcp(all(self.metrics_ip), port)),
        };
        let next_port = if self.socket.is_some() { 8001 } else { self.port.saturating_add(u16::from(self.port != 0)) };
        let api_port = self.api_port.unwrap_or(next_port);
        let pod_uid = std::env::var("POD_UID").unwrap_or_default();
        Ok(ProxyConfig {
            public: self.socket.map_or_else(|| Bind::Tcp(all(self.ip), self.port), Bind::Unix),
            api: Some(self.api_socket.map_or_else(|| Bind::Tcp(all(self.api_ip), api_port), Bind::Unix)),
            metrics,
            tls: self.tls.files(),
            api_tls: self.api_tls.config(),
            target_tls: self.target_tls.config(),
            tls_options,
            redirect,
            hsts,
            token,
            default_target: self.default_target.filter(|target| !target.is_empty()),
            error_pages: match (self.error_target, self.error_path) {
                (Some(url), _) => ErrorPages::Target(url),
                (None, Some(directory)) => ErrorPages::Directory(directory),
                (None, None) => ErrorPages::BuiltIn,
            },
            host_routing: self.host_routing,
            compat: self.compat,
            x_forward: !self.no_x_forward,
            trusted_proxies: self.trusted_proxies.map(|nets| nets.0),
            prepend_path: !self.no_prepend_path,
            include_prefix: !self.no_include_prefix,
            change_origin: self.change_origin,
            auto_rewrite: self.auto_rewrite,
            protocol_rewrite: self.protocol_rewrite.map(|scheme| scheme.trim_end_matches(':').to_owned()),
            custom_headers: last_of_each(self.custom_header),
            timeout: self.timeout.filter(|ms| *ms > 0).map(Duration::from_millis),
            proxy_timeout: self.proxy_timeout.filter(|ms| *ms > 0).map(Duration::from_millis),
            keep_alive_timeout: Duration::from_millis(self.keep_alive_timeout),
            grace_period: Duration::from_secs(self.grace_period),
            max_connections_per_client: Some(self.max_connections_per_client).filter(|count| *count > 0),
            idle_grace_period: Duration::from_millis(self.keep_alive_timeout),
            snapshot: self.snapshot.map(|file| Snapshot { file, pod_uid }),
            access_log: self.access_log,
            started,
            ..ProxyConfig::default()
        })
    }
}

/// One field a name: the one that was given last.
fn last_of_each(given: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut kept: Vec<(String, String)> = Vec::new();
    for (name, value) in given {
        kept.retain(|(earlier, _)| !earlier.eq_ignore_ascii_case(&name));
        kept.push((name, value));
    }
    kept
}

/// `*` is another way to say all interfaces.
fn all(ip: String) -> String {
    if ip == "*" { String::new() } else { ip }
}

/// A list that may be empty.
#[derive(Debug, Clone)]
struct Nets(Vec<IpNet>);

fn parse_nets(text: &str) -> Result<Nets, String> {
    let parse = |entry: &str| {
        let address = entry.parse::<IpAddr>().map(IpNet::from);
        address
            .or_else(|_| entry.parse())
            .map_err(|_| format!("{entry:?} is no address and no CIDR such as 10.0.0.0/8"))
    };
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    entries.map(parse).collect::<Result<_, _>>().map(Nets)
}

fn parse_header(text: &str) -> Result<(String, String), String> {
    const OURS: [&str; 7] =
        ["host", "connection", "content-length", "transfer-encoding", "upgrade", "expect", "keep-alive"];
    let (name, value) = text.split_once(':').ok_or("a colon was expected, as in `name:value`")?;
    let (name, value) = (name.trim(), value.trim());
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err("the name is not a field name".to_owned());
    }
    if OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours)) {
        return Err(format!("{name} is set by the proxy itself"));
    }
    if value.bytes().any(|byte| byte != b'\t' && (byte < b' ' || byte == 0x7f)) {
        return Err("the value holds control characters".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests;
