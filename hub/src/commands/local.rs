//! `hub local`: hub, proxy, database and servers on one machine, in one process and its children. For a laptop.

use anyhow::Context;
use hub_auth::names;
use hub_crds::{
    ActivityTimes, ApiPages, ClientRules, LoginLimits, Sessions,
    config::{AuthConfig, AuthenticatorConfig, RbacConfig, TokenLogin},
};
use hub_proxy::{Bind, BindError, ErrorPages, Proxy, ProxyConfig, TlsFiles, Token};
use hub_server::{Config, stop_on};
use hub_settings::{Settings, Tls, refuse_others};
use hub_traitlets::{Origin, Value, jupyter::Environment, load};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use std::{
    env,
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Instant,
};
use tokio::{net::TcpListener, signal::unix::SignalKind};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    address::Address,
    app::App,
    config::parse_subdomain_host,
    database::Database,
    machine::{
        Secrets,
        files::{GROUP_AND_OTHERS, check_tls},
    },
    people::People,
    proxy::{ProxyClient, ProxyToken},
    router::router,
    serve::{Hub, build, run, serve},
    servers::{ServerSettings, Servers},
    spawner::{Spawner, local::LocalSettings},
    urls::Urls,
};

mod files;
mod preview;

use files::Files;
use preview::Preview;

const HUB: &str = "JupyterHub";
/// The settings that this command heeds; any other is an error.
const HEEDED: [(&str, &[&str]); 2] = [
    (HUB, &["bind_url", "cookie_secret", "cookie_secret_file", "ip", "port", "ssl_cert", "ssl_key"]),
    ("ConfigurableHTTPProxy", &["api_token", "api_url", "auth_token"]),
];

/// Runs hub, proxy and servers on this machine, without a cluster.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hub local                          open the address that it prints
  hub local --port 9000 --user alice
  hub local --subdomain-host http://localhost:8000
  hub local --ssl-key my.key --ssl-cert my.cert
  hub local --config jupyterhub_config.py
  hub local --data-dir ./trial       a hub of its own, with its own database and secrets
  hub local --preview hub.yaml       with the pages and profiles of a Hub that is to be applied
  hub local --front                  with JupyterLab only, without JupyterHub
  hub local --front -- streamlit run app.py --server.address=127.0.0.1 --server.port={port}

Everything listens on the loopback interface only, unless the settings say otherwise with JupyterHub.ip. Notebooks are in the directory where the command is given. Ctrl-C
ends the hub and all servers. Servers need `jupyterhub-singleuser` on PATH: pip install jupyterhub jupyterlab. With
--front they are what `hub server` would run, behind the login of this hub.
Exit codes: 0 ended by a signal, 1 it could not run, 2 wrong usage.")]
pub struct Local {
    /// Port that people use; 0 takes a free one [default: 8000]
    #[arg(long)]
    port: Option<u16>,
    /// Settings in JupyterHub's names: assignments of literals in a .py file, or .json or .yaml. Python is not run
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Key of the certificate, in PEM; nobody but its owner and group may read it
    #[arg(long, value_name = "FILE")]
    ssl_key: Option<String>,
    /// Certificate for HTTPS with its chain, in PEM; may hold the key, too. Files that are renewed are taken up
    #[arg(long, value_name = "FILE")]
    ssl_cert: Option<String>,
    /// Database, secrets and logs; made if it is not there [default: ~/.local/share/jupyter-hub].
    #[arg(long, value_name = "DIR", env = "HUB_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Gives every user a host of their own below this address, such as http://localhost:8000: browsers look for all of
    /// *.localhost on this machine
    #[arg(long, value_name = "URL", value_parser = parse_subdomain_host)]
    subdomain_host: Option<Url>,
    /// Who logs in with the printed token, as an administrator [default: who runs the command].
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Shows the pages, the profiles and the limits of this Hub, to see them before it is applied. Servers stay processes of
    /// this machine, whatever is chosen
    #[arg(long, value_name = "FILE")]
    preview: Option<PathBuf>,
    /// Guards servers with `hub server`, so that they need nothing of JupyterHub: Jupyter, or the command
    #[arg(long)]
    front: bool,
    /// What servers run behind the front: a command with {socket} or {port} where it is told where to listen
    #[arg(last = true, value_name = "COMMAND", requires = "front")]
    command: Vec<String>,
}

impl Local {
    /// `flags` are settings of the command line, such as `--JupyterHub.ssl_cert=FILE`.
    pub async fn run(self, flags: Config, started: Instant) -> anyhow::Result<()> {
        let environment = Environment::current();
        let config = self.config(flags, &environment)?;
        let told = Settings::read(&config, &environment.variables)?;
        refuse_others(&config, &HEEDED, "`hub local` has no use for it; remove it, or run `hub serve --config FILE`")?;
        anyhow::ensure!(
            told.addresses.base_url == "/",
            "failed to use JupyterHub.bind_url: a path is not possible here; write an address such as http://127.0.0.1:8000"
        );
        told.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        told.tls.as_ref().map(check_tls).transpose()?;
        let user = user_name(self.user, env::var("USER").ok())?;
        let directory = data_dir(self.data_dir)?;
        let files = Files::open(&directory, &user)?;
        let secrets = Secrets::open(&told, &files.cookie_secret, GROUP_AND_OTHERS, &environment.variables)?;
        let root = env::current_dir().context("failed to find the current directory")?;
        let mut settings = LocalSettings::new(files.servers.clone(), root);
        if self.front {
            settings.front = Some(env::current_exe().context("failed to find this program")?);
            settings.command = self.command;
        }
        let missing = settings.check().err();
        let preview = self.preview.as_deref().map(Preview::read).transpose()?.unwrap_or_default();

        let stopping = CancellationToken::new();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("failed to listen on 127.0.0.1")?;
        let connect_url = format!("http://{}", listener.local_addr()?);
        let is_secure = told.tls.is_some();
        let by_host = self.subdomain_host.is_some();
        let proxy = bind_proxy(&told, by_host, &connect_url, &secrets.proxy_token, started).await?;
        let (public, api) =
            (tcp(proxy.public_addr())?, tcp(proxy.api_addr().context("failed to find the proxy's API")?)?);

        let urls = self.subdomain_host.map_or_else(|| Urls::new("/", None), |host| Urls::with_subdomains("/", host));
        let url = urls.public().map_or_else(|| public_url(public, is_secure), Url::to_string);
        let address = Address { url, forward: None, show_logins: None };
        let database = Database::open(&files.database).await?;
        let client = ProxyClient::new(&format!("http://{api}"), ProxyToken::Value(secrets.proxy_token));
        let server_settings = ServerSettings {
            token_login: true,
            limits: preview.limits,
            profiles: preview.profiles,
            ..ServerSettings::new(urls.clone(), &connect_url)
        };
        let servers = Servers::new(database.clone(), Spawner::local(settings), client, server_settings);
        let hub = Hub {
            urls,
            address,
            directory,
            database,
            servers: servers.clone(),
            people: People::of_files(&token_login(&user, &files.tokens), RbacConfig::default())?,
            cookie_secret: secrets.cookie_secret,
            crypt_keys: secrets.crypt_keys,
            keeper: secrets.keeper,
            secure: is_secure,
            login_limits: LoginLimits::default(),
            trusted_proxies: Vec::new(),
            clients: ClientRules::default(),
            sessions: Sessions::default(),
            landing: preview.landing,
            pages: preview.pages,
            api_pages: ApiPages::default(),
            activity: ActivityTimes::default(),
            cull: None,
            clock: Timestamp::now,
        };
        let app = build(hub, stopping.clone()).await?;
        servers.restore().await?;

        let end_of_proxy = CancellationToken::new();
        let proxy = tokio::spawn(proxy.run(end_of_proxy.clone()));
        stop_on(&[SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()], &stopping)?;
        announce(&app, missing.map(|error| error.to_string()), started);
        let serving = serve(listener, router(&app), stopping.clone());
        let served = run(app, serving, &files.control_socket).await;
        // Servers tell the proxy that they go, so it goes last.
        servers.stop_all().await;
        end_of_proxy.cancel();
        proxy.await?.context("the proxy failed")?;
        served
    }
}

impl Local {
    /// The settings of the file, and those of the command line, which win.
    fn config(&self, flags: Config, environment: &Environment) -> anyhow::Result<Config> {
        let mut config = load(&["jupyterhub_config"], &[], self.config.as_deref(), &environment.variables)?;
        config.merge(flags);
        let port = self.port.map(|port| port.to_string());
        for (name, text) in [("port", &port), ("ssl_key", &self.ssl_key), ("ssl_cert", &self.ssl_cert)] {
            if let Some(text) = text {
                config.set(HUB, name, Value::Text(vec![text.clone()]), Origin::CommandLine);
            }
        }
        Ok(config)
    }
}

/// The proxy sends everything to the hub that no server's route takes.
async fn bind_proxy(
    told: &Settings,
    host_routing: bool,
    connect_url: &str,
    token: &SecretString,
    started: Instant,
) -> anyhow::Result<Proxy> {
    let ip = told.addresses.ip.clone().unwrap_or_else(|| Ipv4Addr::LOCALHOST.to_string());
    let port = told.addresses.port.unwrap_or(8000);
    // On a free port unless other programs are to use it.
    let (api_host, api_port) = told.proxy.api.clone().unwrap_or_else(|| (Ipv4Addr::LOCALHOST.to_string(), 0));
    let api = Bind::Tcp(api_host, api_port);
    let config = ProxyConfig {
        public: Bind::Tcp(ip, port),
        tls: told.tls.clone().map(|Tls { certificate, key }| TlsFiles { certificate, key }),
        api: Some(api.clone()),
        token: Token::Value(token.expose_secret().to_owned()),
        host_routing,
        default_target: Some(connect_url.to_owned()),
        error_pages: ErrorPages::Target(format!("{connect_url}/hub/error")),
        started,
        ..ProxyConfig::default()
    };
    hub_proxy::bind(config).await.map_err(|error| match error {
        BindError::Tls(error) => anyhow::Error::new(error).context("failed to use JupyterHub.ssl_cert and ssl_key"),
        BindError::Listen(place, error) if place == api => anyhow::Error::new(error)
            .context(format!("failed to listen on {place}; choose another place with ConfigurableHTTPProxy.api_url")),
        error => anyhow::Error::new(error).context(format!(
            "failed to start the proxy on port {port}; choose another with --port, or 0 for a free one"
        )),
    })
}

/// The address for people of this machine. Certificates name hosts, not addresses.
fn public_url(listening: SocketAddr, is_secure: bool) -> String {
    match (is_secure, listening.ip().is_unspecified()) {
        (true, _) => format!("https://localhost:{}/", listening.port()),
        (false, true) => format!("http://localhost:{}/", listening.port()),
        (false, false) => format!("http://{listening}/"),
    }
}

fn tcp(address: &hub_proxy::BoundAddr) -> anyhow::Result<SocketAddr> {
    address.socket_addr().context("failed to find the proxy's port")
}

/// One user, who administers the hub.
fn token_login(user: &str, tokens: &Path) -> AuthConfig {
    let users = vec![TokenLogin { name: user.to_owned(), admin: true }];
    AuthConfig::new(AuthenticatorConfig::Token { users, tokens_dir: tokens.to_owned(), log: true })
}

/// The name that was asked for, or else that of who runs the command.
fn user_name(asked: Option<String>, running: Option<String>) -> anyhow::Result<String> {
    let name = names::normalize_user(&asked.or(running).unwrap_or_else(|| "jovyan".to_owned()));
    // It is also the name of a file.
    anyhow::ensure!(
        names::valid_user(&name) && !name.starts_with('.'),
        "`{name}` cannot be a user's name; choose another with --user, such as alice"
    );
    Ok(name)
}

fn data_dir(asked: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    if let Some(directory) = asked {
        return Ok(std::path::absolute(directory)?);
    }
    let data = env::var_os("XDG_DATA_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let data = data.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".local/share")));
    Ok(data.context("failed to find a home directory; name a place with --data-dir")?.join("jupyter-hub"))
}

/// The address with the token (S9), on the standard output: the log goes to the standard error. Who reads no further has no
/// say in whether the hub runs.
fn announce(app: &App, missing: Option<String>, started: Instant) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{}", app.address.announcement(Some(&app.login_urls())));
    let _ = writeln!(out, "Ctrl-C ends it and all servers.");
    if let Some(missing) = missing {
        let _ = writeln!(out, "No server can be started yet: {missing}");
    }
    app.metrics().startup.record(&[], started.elapsed());
    tracing::info!(start_ms = started.elapsed().as_millis(), "the hub is healthy");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_who_runs_the_command_unless_another_is_named() {
        let name = |asked: Option<&str>, running: Option<&str>| {
            user_name(asked.map(str::to_owned), running.map(str::to_owned)).map_err(|error| error.to_string())
        };
        assert_eq!(name(None, Some("Alice")).unwrap(), "alice");
        assert_eq!(name(Some("bob"), Some("alice")).unwrap(), "bob");
        assert_eq!(name(None, None).unwrap(), "jovyan");
        for bad in ["", "a/b", "..", ".hidden"] {
            assert!(name(Some(bad), None).unwrap_err().contains("--user"), "{bad}");
        }
    }
}
