//! `hub local`: hub, proxy, database and servers on one machine, in one process and its children. For a laptop.

use anyhow::Context;
use hub_auth::names;
use hub_crds::{
    ClientRules,
    config::{AuthConfig, AuthenticatorConfig, RbacConfig, TokenLogin},
};
use hub_proxy::{Bind, ErrorPages, Proxy, ProxyConfig, Token};
use hub_server::stop_on;
use jiff::Timestamp;
use secrecy::SecretString;
use std::{
    env,
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
    proxy::{ProxyClient, ProxyToken},
    serve::{Hub, build, run},
    servers::{ServerSettings, Servers},
    spawner::{Spawner, local::LocalSettings},
    urls::Urls,
};

mod files;

use files::Files;

/// Runs hub, proxy and servers on this machine, without a cluster.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hub local                          open the address that it prints
  hub local --port 9000 --user alice
  hub local --subdomain-host http://localhost:8000
  hub local --data-dir ./trial       a hub of its own, with its own database and secrets
  hub local --front                  with JupyterLab only, without JupyterHub
  hub local --front -- streamlit run app.py --server.address=127.0.0.1 --server.port={port}

Everything listens on the loopback interface only. Notebooks are in the directory where the command is given. Ctrl-C
ends the hub and all servers. Servers need `jupyterhub-singleuser` on PATH: pip install jupyterhub jupyterlab. With
--front they are what `hub server` would run, behind the login of this hub.
Exit codes: 0 ended by a signal, 1 it could not run, 2 wrong usage.")]
pub struct Local {
    /// Port that people use; 0 takes a free one.
    #[arg(long, default_value_t = 8000)]
    port: u16,
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
    /// Guards servers with `hub server`, so that they need nothing of JupyterHub: Jupyter, or the command
    #[arg(long)]
    front: bool,
    /// What servers run behind the front: a command with {socket} or {port} where it is told where to listen
    #[arg(last = true, value_name = "COMMAND", requires = "front")]
    command: Vec<String>,
}

impl Local {
    pub async fn run(self, started: Instant) -> anyhow::Result<()> {
        let user = user_name(self.user, env::var("USER").ok())?;
        let directory = data_dir(self.data_dir)?;
        let files = Files::open(&directory, &user)?;
        let root = env::current_dir().context("failed to find the current directory")?;
        let mut settings = LocalSettings::new(files.servers.clone(), root);
        if self.front {
            settings.front = Some(env::current_exe().context("failed to find this program")?);
            settings.command = self.command;
        }
        let missing = settings.check().err();

        let stopping = CancellationToken::new();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("failed to listen on 127.0.0.1")?;
        let connect_url = format!("http://{}", listener.local_addr()?);
        let token = hex::encode(rand::random::<[u8; 32]>());
        let by_host = self.subdomain_host.is_some();
        let proxy = bind_proxy(self.port, by_host, &connect_url, &token, started).await?;
        let (public, api) =
            (tcp(proxy.public_addr())?, tcp(proxy.api_addr().context("failed to find the proxy's API")?)?);

        let urls = self.subdomain_host.map_or_else(|| Urls::new("/", None), |host| Urls::with_subdomains("/", host));
        let url = urls.public().map_or_else(|| format!("http://{public}/"), Url::to_string);
        let address = Address { url, forward: None, show_logins: None };
        let database = Database::open(&files.database).await?;
        let client = ProxyClient::new(&format!("http://{api}"), ProxyToken::Value(SecretString::from(token)));
        let server_settings = ServerSettings { token_login: true, ..ServerSettings::new(urls.clone(), &connect_url) };
        let servers = Servers::new(database.clone(), Spawner::local(settings), client, server_settings);
        let auth = token_login(&user, &files.tokens);
        let cookie_secret_file = files.cookie_secret.clone();
        let rbac = RbacConfig::default();
        let hub = Hub {
            urls,
            address,
            directory,
            database,
            servers: servers.clone(),
            auth,
            rbac,
            cookie_secret_file,
            secure: false,
            clients: ClientRules::default(),
            clock: Timestamp::now,
        };
        let app = build(hub, stopping.clone()).await?;
        servers.restore().await?;

        let end_of_proxy = CancellationToken::new();
        let proxy = tokio::spawn(proxy.run(end_of_proxy.clone()));
        stop_on(&[SignalKind::terminate(), SignalKind::interrupt()], &stopping)?;
        announce(&app, missing.map(|error| error.to_string()), started);
        let served = run(app, listener, &files.control_socket).await;
        // Servers tell the proxy that they go, so it goes last.
        servers.stop_all().await;
        end_of_proxy.cancel();
        proxy.await?.context("the proxy failed")?;
        served
    }
}

/// The proxy sends everything to the hub that no server's route takes.
async fn bind_proxy(
    port: u16,
    host_routing: bool,
    connect_url: &str,
    token: &str,
    started: Instant,
) -> anyhow::Result<Proxy> {
    let config = ProxyConfig {
        public: Bind::Tcp(Ipv4Addr::LOCALHOST.to_string(), port),
        api: Some(Bind::Tcp(Ipv4Addr::LOCALHOST.to_string(), 0)),
        token: Token::Value(token.to_owned()),
        host_routing,
        default_target: Some(connect_url.to_owned()),
        error_pages: ErrorPages::Target(format!("{connect_url}/hub/error")),
        started,
        ..ProxyConfig::default()
    };
    hub_proxy::bind(config).await.with_context(|| {
        format!("failed to start the proxy on port {port}; choose another with --port, or 0 for a free one")
    })
}

fn tcp(address: &hub_proxy::BoundAddr) -> anyhow::Result<SocketAddr> {
    address.socket_addr().context("failed to find the proxy's port")
}

/// One user, who administers the hub.
fn token_login(user: &str, tokens: &Path) -> AuthConfig {
    let users = vec![TokenLogin { name: user.to_owned(), admin: true }];
    AuthConfig {
        authenticator: AuthenticatorConfig::Token { users, tokens_dir: tokens.to_owned(), log: true },
        allow_all: false,
        allowed_users: Vec::new(),
        blocked_users: Vec::new(),
        admin_users: Vec::new(),
    }
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

/// The address with the token (S9), on the standard output: the log goes to the standard error.
fn announce(app: &App, missing: Option<String>, started: Instant) {
    println!("{}", app.address.announcement(Some(&app.login_urls())));
    println!("Ctrl-C ends it and all servers.");
    if let Some(missing) = missing {
        println!("No server can be started yet: {missing}");
    }
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
