//! The command line: configurable-http-proxy's options, and a few of our own.
//!
//! What the original has and this proxy cannot do yet is refused by name: an option that is ignored in silence is a
//! setting that somebody believes in.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory as _, Parser, ValueEnum};

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

configurable-http-proxy's options for TLS (--ssl-*, --api-ssl-*, --client-ssl-*, --insecure, --redirect-*) and
--storage-backend are known, and refused for now.

On SIGTERM or SIGINT it stops accepting, lets requests finish for --grace-period seconds and exits with status 0
(configurable-http-proxy exits at once with status 2).";

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
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
    /// Do not add X-Forwarded-* fields to requests
    #[arg(long)]
    no_x_forward: bool,
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
    /// Seconds that requests may go on after SIGTERM
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    grace_period: u64,

    /// File that holds the API's token; read again when it changes. Without it CONFIGPROXY_AUTH_TOKEN holds the token
    #[arg(long, value_name = "FILE", env = "CONFIGPROXY_AUTH_TOKEN_FILE")]
    auth_token_file: Option<PathBuf>,
    /// File that keeps the routing table over a restart within the same pod (POD_UID)
    #[arg(long, value_name = "FILE")]
    snapshot: Option<PathBuf>,
    /// File to write the process id to
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// What is logged, to standard error
    #[arg(long, value_enum, default_value = "info", ignore_case = true)]
    log_level: LogLevel,
    /// Write a line of JSON to standard output for each request
    #[arg(long)]
    access_log: bool,

    #[command(flatten)]
    unsupported: Unsupported,
}

/// The original's options that wait for their own work.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of configurable-http-proxy that are refused for now")]
struct Unsupported {
    #[arg(long, hide = true)]
    ssl_key: Option<String>,
    #[arg(long, hide = true)]
    ssl_cert: Option<String>,
    #[arg(long, hide = true)]
    ssl_ca: Option<String>,
    #[arg(long, hide = true, action = ArgAction::SetTrue)]
    ssl_request_cert: bool,
    #[arg(long, hide = true, action = ArgAction::SetTrue)]
    ssl_reject_unauthorized: bool,
    #[arg(long, hide = true)]
    ssl_protocol: Option<String>,
    #[arg(long, hide = true)]
    ssl_ciphers: Option<String>,
    #[arg(long, hide = true, action = ArgAction::SetTrue)]
    ssl_allow_rc4: bool,
    #[arg(long, hide = true)]
    ssl_dhparam: Option<String>,
    #[arg(long, hide = true)]
    api_ssl_key: Option<String>,
    #[arg(long, hide = true)]
    api_ssl_cert: Option<String>,
    #[arg(long, hide = true)]
    api_ssl_ca: Option<String>,
    #[arg(long, hide = true, action = ArgAction::SetTrue)]
    api_ssl_request_cert: bool,
    #[arg(long, hide = true, action = ArgAction::SetTrue)]
    api_ssl_reject_unauthorized: bool,
    #[arg(long, hide = true)]
    client_ssl_key: Option<String>,
    #[arg(long, hide = true)]
    client_ssl_cert: Option<String>,
    #[arg(long, hide = true)]
    client_ssl_ca: Option<String>,
    #[arg(long, hide = true, action = ArgAction::SetTrue)]
    client_ssl_request_cert: bool,
    #[arg(long, hide = true, action = ArgAction::SetTrue)]
    client_ssl_reject_unauthorized: bool,
    #[arg(long, hide = true, action = ArgAction::SetTrue)]
    insecure: bool,
    #[arg(long, hide = true)]
    redirect_port: Option<String>,
    #[arg(long, hide = true)]
    redirect_to: Option<String>,
    #[arg(long, hide = true)]
    storage_backend: Option<String>,
}

impl Unsupported {
    /// The first option that was given, and what to do instead.
    fn given(&self) -> Option<(&'static str, &'static str)> {
        const TLS: &str = "TLS is not supported yet; end it in front of the proxy";
        const STORE: &str = "storage backends are JavaScript classes; --snapshot keeps the table over a restart";
        [
            (self.ssl_key.is_some(), "--ssl-key", TLS),
            (self.ssl_cert.is_some(), "--ssl-cert", TLS),
            (self.ssl_ca.is_some(), "--ssl-ca", TLS),
            (self.ssl_request_cert, "--ssl-request-cert", TLS),
            (self.ssl_reject_unauthorized, "--ssl-reject-unauthorized", TLS),
            (self.ssl_protocol.is_some(), "--ssl-protocol", TLS),
            (self.ssl_ciphers.is_some(), "--ssl-ciphers", TLS),
            (self.ssl_allow_rc4, "--ssl-allow-rc4", "RC4 is broken and will not be supported"),
            (self.ssl_dhparam.is_some(), "--ssl-dhparam", TLS),
            (self.api_ssl_key.is_some(), "--api-ssl-key", TLS),
            (self.api_ssl_cert.is_some(), "--api-ssl-cert", TLS),
            (self.api_ssl_ca.is_some(), "--api-ssl-ca", TLS),
            (self.api_ssl_request_cert, "--api-ssl-request-cert", TLS),
            (self.api_ssl_reject_unauthorized, "--api-ssl-reject-unauthorized", TLS),
            (self.client_ssl_key.is_some(), "--client-ssl-key", TLS),
            (self.client_ssl_cert.is_some(), "--client-ssl-cert", TLS),
            (self.client_ssl_ca.is_some(), "--client-ssl-ca", TLS),
            (self.client_ssl_request_cert, "--client-ssl-request-cert", TLS),
            (self.client_ssl_reject_unauthorized, "--client-ssl-reject-unauthorized", TLS),
            (self.insecure, "--insecure", "https targets are not supported yet"),
            (
                self.redirect_port.is_some(),
                "--redirect-port",
                "HTTPS redirection needs certificates, and TLS is not supported yet",
            ),
            (
                self.redirect_to.is_some(),
                "--redirect-to",
                "HTTPS redirection needs certificates, and TLS is not supported yet",
            ),
            (self.storage_backend.is_some(), "--storage-backend", STORE),
        ]
        .into_iter()
        .find_map(|(is_given, name, remedy)| is_given.then_some((name, remedy)))
    }
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
        let token = match (token, self.auth_token_file) {
            (Some(_), Some(_)) => {
                let message = "CONFIGPROXY_AUTH_TOKEN and --auth-token-file are both given; keep one of them";
                return Err(refuse(message.to_owned()));
            }
            (_, Some(file)) => Token::File(file),
            (Some(value), None) => Token::Value(value),
            (None, None) => Token::None,
        };
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
            token,
            default_target: self.default_target.filter(|target| !target.is_empty()),
            error_pages: match (self.error_target, self.error_path) {
                (Some(url), _) => ErrorPages::Target(url),
                (None, Some(directory)) => ErrorPages::Directory(directory),
                (None, None) => ErrorPages::BuiltIn,
            },
            host_routing: self.host_routing,
            x_forward: !self.no_x_forward,
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
mod tests {
    use super::*;

    fn config(arguments: &[&str]) -> Result<ProxyConfig, clap::Error> {
        let cli = Cli::try_parse_from([&["hub-proxy"], arguments].concat())?;
        cli.into_config(Instant::now())
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_are_the_originals() {
        let config = config(&[]).unwrap();
        assert_eq!(config.public, Bind::Tcp(String::new(), 8000));
        assert_eq!(config.api, Some(Bind::Tcp("localhost".to_owned(), 8001)));
        assert_eq!((config.metrics, config.keep_alive_timeout), (None, Duration::from_secs(5)));
        assert!(config.x_forward && config.prepend_path && config.include_prefix);
    }

    #[test]
    fn options_reach_the_configuration() {
        let config = config(&[
            "--ip=*",
            "--port=8000",
            "--port=80",
            "--api-ip=0.0.0.0",
            "--no-x-forward",
            "--no-include-prefix",
            "--custom-header",
            "K2:v1",
            "--custom-header",
            "k1:v1",
            "--custom-header",
            " k2 : v2:x ",
            "--proxy-timeout",
            "100",
            "--log-level",
            "INFO",
        ])
        .unwrap();
        assert_eq!(config.public, Bind::Tcp(String::new(), 80));
        assert_eq!(config.api, Some(Bind::Tcp("0.0.0.0".to_owned(), 81)));
        assert!(!config.x_forward && !config.include_prefix);
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(config.custom_headers, [header("k1", "v1"), header("k2", "v2:x")]);
        assert_eq!(config.proxy_timeout, Some(Duration::from_millis(100)));
    }

    #[test]
    fn unsupported_options_are_refused_by_name() {
        for arguments in [
            ["--ssl-key", "k"],
            ["--ssl-cert", "c"],
            ["--ssl-ca", "c"],
            ["--ssl-protocol", "p"],
            ["--ssl-ciphers", "c"],
            ["--ssl-dhparam", "f"],
            ["--api-ssl-key", "k"],
            ["--api-ssl-cert", "c"],
            ["--api-ssl-ca", "c"],
            ["--client-ssl-key", "k"],
            ["--client-ssl-cert", "c"],
            ["--client-ssl-ca", "c"],
            ["--redirect-port", "80"],
            ["--redirect-to", "443"],
            ["--storage-backend", "x"],
        ] {
            let message = config(&arguments).unwrap_err().to_string();
            assert!(message.contains(arguments[0]), "{message}");
        }
        for flag in [
            "--ssl-request-cert",
            "--ssl-reject-unauthorized",
            "--ssl-allow-rc4",
            "--api-ssl-request-cert",
            "--api-ssl-reject-unauthorized",
            "--client-ssl-request-cert",
            "--client-ssl-reject-unauthorized",
            "--insecure",
        ] {
            let message = config(&[flag]).unwrap_err().to_string();
            assert!(message.contains(flag), "{message}");
        }
    }

    #[test]
    fn contradictions_and_bad_values_are_refused() {
        for arguments in [
            vec!["--error-target", "http://a", "--error-path", "/b"],
            vec!["--socket", "/a", "--port", "80"],
            vec!["--custom-header", "no colon"],
            vec!["--custom-header", "Content-Length: 5"],
            vec!["--custom-header", "a: b\r\nc"],
            vec!["--port", "x"],
            vec!["--no-such-option"],
        ] {
            assert!(config(&arguments).is_err(), "{arguments:?}");
        }
    }
}
