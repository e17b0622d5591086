//! Puts a server together and runs it: the program, the front and its pages, the data path.

use anyhow::Context;
use axum::Router;
use hub_auth::next_url::with_query;
use hub_proxy::{Bind, BindError, Gate, GateConfig, Proxy, ProxyConfig, RouteTable};
use hub_traitlets::{Config, jupyter::Environment};
use jiff::{Timestamp, Zoned};
use rustix::system::uname;
use secrecy::ExposeSecret;
use serde_json::{Map, json};
use std::{
    env,
    fs::Permissions,
    io::ErrorKind,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{net::UnixListener, signal::unix::SignalKind};
use tokio_util::sync::CancellationToken;

use crate::{
    announcement::{Addresses, running_at, warnings},
    browser,
    cli::Start,
    cookie_secret,
    credentials::Credentials,
    front::Front,
    guard::{self, Guard},
    launch::{LIFETIME, LaunchToken},
    login_cookie::LoginCookies,
    orphans,
    pages::Pages,
    password,
    program::{Behind, Place, socket_url, token_file},
    running::{Note, ServerInfo, forget_behind},
    settings::{Settings, Surroundings},
    signals::stop_on,
};

/// Settings files, by name; a later name wins.
const FILES: [&str; 2] = ["jupyter_config", "jupyter_server_config"];

/// Runs a server until it is told to stop, or its program ends.
///
/// # Errors
/// It can't run, or the program fails.
pub(crate) async fn run(start: Start, flags: Config, started: Instant) -> anyhow::Result<()> {
    let environment = Environment::current();
    let hub = guard::Environment::read(|name| environment.variables.get(name).cloned())?;
    let settings = read_settings(&start, flags, &environment, hub.as_ref())?;
    let runtime_dir = environment.runtime_dir();
    let stopping = CancellationToken::new();
    stop_on(&[SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()], &stopping)?;

    // Only this user can enter it: who reaches the sockets in it needs no login.
    let private = tempfile::Builder::new().prefix("hub-server-").permissions(Permissions::from_mode(0o700)).tempdir();
    let private = private.context("failed to make a private directory")?;
    let door = match hub {
        Some(hub) => Door::of_hub(hub)?,
        None => Door::new(&settings, &environment, &stopping)?,
    };
    let proxy = bind(&settings, &door, &start, private.path(), started).await?;
    let port = proxy.public_addr().socket_addr().context("failed to find the server's port")?.port();
    if let Some(front) = &door.front {
        front.cookies.serve_on(port, settings.login.password.as_deref());
    }
    let pages = serve_pages(door.pages, private.path())?;

    let socket = private.path().join("program.sock");
    let place = Place { socket: &socket, base_url: &settings.base_url, root_dir: &settings.root_dir };
    orphans::adopt();
    let mut behind = Behind::start(&start.guarded(), &place, &settings.program_flags)?;
    let patience = Duration::from_secs(start.start_timeout);
    let ready = tokio::select! {
        ready = behind.ready(&settings.base_url, patience) => ready,
        () = stopping.cancelled() => Ok(()),
    };
    let served = match ready {
        Ok(()) => {
            forget_behind(&runtime_dir, &socket);
            let route = if start.strip_base_url { &settings.base_url } else { "/" };
            proxy.routes().add(route, Map::from_iter([("target".to_owned(), json!(behind.target()))]))?;
            let note = introduce(&settings, port, &runtime_dir, door.front.as_deref(), started);
            let routes = proxy.routes();
            let program = behind.pid();
            let served = tokio::select! {
                served = proxy.run(stopping) => served.context("the server failed"),
                ended = behind.ended() => ended,
                () = orphans::bury(program) => Ok(()),
                () = forget_launch(note.as_ref(), &door.launched) => Ok(()),
                () = report_activity(door.guard.as_ref(), || last_activity(&routes, route)) => Ok(()),
            };
            drop(note);
            served
        }
        Err(error) => Err(error),
    };
    pages.abort();
    behind.stop().await;
    served
}

/// Who judges requests, and the pages for what doesn't pass.
struct Door {
    gate: Arc<dyn Gate>,
    pages: Router,
    /// If people log in here.
    front: Option<Arc<Front>>,
    /// If people log in at a hub.
    guard: Option<Guard>,
    /// Cancelled when the launch token is spent.
    launched: CancellationToken,
}

impl Door {
    fn new(settings: &Settings, environment: &Environment, stopping: &CancellationToken) -> anyhow::Result<Self> {
        let launch = settings.open_browser.then(|| LaunchToken::new(rand::random(), Instant::now()));
        let secret = cookie_secret::read(&settings.cookie_secret, &environment.runtime_dir())?;
        let password = settings.login.password.as_deref();
        let name = settings.cookie_name.clone();
        let front = Arc::new(Front {
            base_url: settings.base_url.clone(),
            hosts: settings.hosts.clone(),
            credentials: Credentials::new(&settings.login, launch),
            cookies: LoginCookies::new(secret, password, name, &settings.base_url, settings.secure_cookie),
        });
        let launched = CancellationToken::new();
        let file = password::settings_file(environment);
        let pages = Pages::new(front.clone(), &settings.login, file, stopping.clone(), launched.clone());
        Ok(Self { gate: front.clone(), pages: pages.router(), front: Some(front), guard: None, launched })
    }

    /// For a server that a hub has started.
    fn of_hub(hub: guard::Environment) -> anyhow::Result<Self> {
        let guard = Guard::new(hub, rand::random()).context("failed to make a client for the hub")?;
        let (gate, pages) = (Arc::new(guard.clone()), guard.pages());
        Ok(Self { gate, pages, front: None, guard: Some(guard), launched: CancellationToken::new() })
    }
}

/// In a hub, files say nothing: they are the program's, and the hub says where the server is.
fn read_settings(
    start: &Start,
    flags: Config,
    environment: &Environment,
    hub: Option<&guard::Environment>,
) -> anyhow::Result<Settings> {
    let directories = environment.config_path();
    let mut config = match hub {
        Some(_) => Config::default(),
        None => hub_traitlets::load(&FILES, &directories, start.config.as_deref(), &environment.variables)?,
    };
    config.merge(flags);
    config.merge(start.settings());
    config.merge(hub.map(guard::Environment::settings).unwrap_or_default());
    let current_dir = env::current_dir().context("failed to find the current directory")?;
    let token_file = token_file(&environment.variables)?;
    let random = rand::random();
    let surroundings = Surroundings { variables: &environment.variables, current_dir, token_file, random };
    let mut settings = Settings::read(&config, &surroundings)?;
    settings.program_flags.extend(hub.map(guard::Environment::jupyter_flags).unwrap_or_default());
    Ok(settings)
}

/// Listens, on the next port if one is taken.
async fn bind(
    settings: &Settings,
    door: &Door,
    start: &Start,
    private: &Path,
    started: Instant,
) -> anyhow::Result<Proxy> {
    let mut port = settings.port;
    for _ in 0..settings.port_retries {
        match bind_to(port, settings, door, start, private, started).await {
            Err(BindError::Listen(_, error)) if error.kind() == ErrorKind::AddrInUse && port < u16::MAX => {
                tracing::info!("the port {port} is already in use, trying another port");
                port += 1;
            }
            bound => return Ok(bound?),
        }
    }
    let bound = bind_to(port, settings, door, start, private, started).await;
    bound.with_context(|| format!("failed to start on port {port}; choose another with --port, or 0 for a free one"))
}

async fn bind_to(
    port: u16,
    settings: &Settings,
    door: &Door,
    start: &Start,
    private: &Path,
    started: Instant,
) -> Result<Proxy, BindError> {
    hub_proxy::bind(ProxyConfig {
        public: Bind::Tcp(settings.ip.clone(), port),
        tls: settings.tls.clone(),
        api: None,
        gate: Some(GateConfig { gate: door.gate.clone(), pages: socket_url(&pages_socket(private)) }),
        include_prefix: !start.strip_base_url,
        started,
        ..ProxyConfig::default()
    })
    .await
}

fn pages_socket(private: &Path) -> PathBuf {
    private.join("pages.sock")
}

fn serve_pages(pages: Router, private: &Path) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    let listener = UnixListener::bind(pages_socket(private)).context("failed to listen on a private socket")?;
    Ok(tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, pages).await {
            tracing::error!(%error, "the pages can't be served any more");
        }
    }))
}

/// Says where the server is: in the log, in the runtime directory and, if asked, in the browser.
fn introduce(
    settings: &Settings,
    port: u16,
    runtime_dir: &Path,
    front: Option<&Front>,
    started: Instant,
) -> Option<Note> {
    let front = front?;
    let addresses = Addresses::new(settings, port, &uname().nodename().to_string_lossy());
    let info = server_info(settings, &addresses, port);
    let note = Note::write(runtime_dir, &info).inspect_err(|error| {
        tracing::warn!(%error, directory = %runtime_dir.display(), "failed to note this server, so it will not be listed");
    });
    for warning in warnings(settings) {
        tracing::warn!("{warning}");
    }
    // Not through the log: it may be in JSON, and nobody could paste the address.
    eprintln!("{}", running_at(&addresses, &settings.login, &Zoned::now()));
    eprintln!("Use Control-C to stop this server.");
    tracing::debug!(start_ms = started.elapsed().as_millis(), "started");
    let note = note.ok()?;
    if let Some(token) = front.credentials.launch_token() {
        let url = with_query(&addresses.browser, "token", token.expose_secret());
        if let Err(error) = open_browser(settings, &url, &note) {
            tracing::warn!(error = format!("{error:#}"), "failed to open the browser");
        }
    }
    Some(note)
}

fn open_browser(settings: &Settings, url: &str, note: &Note) -> anyhow::Result<()> {
    let file = note.write_open_file(&browser::open_page(url)?)?;
    browser::open(settings.browser.as_deref(), file)
}

fn server_info(settings: &Settings, addresses: &Addresses, port: u16) -> ServerInfo {
    let token = settings.login.token.as_ref().map(|token| token.expose_secret().to_owned());
    ServerInfo {
        base_url: settings.base_url.clone(),
        hostname: if settings.ip.is_empty() { "localhost".to_owned() } else { settings.ip.clone() },
        password: settings.login.password.is_some(),
        pid: i32::try_from(process::id()).ok(),
        port,
        root_dir: settings.root_dir.display().to_string(),
        secure: settings.tls.is_some(),
        sock: String::new(),
        token: token.unwrap_or_default(),
        url: addresses.connection.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        other: Map::new(),
    }
}

/// When somebody last used the program.
fn last_activity(routes: &RouteTable, route: &str) -> Option<Timestamp> {
    routes.get(route)?.get("last_activity")?.as_str()?.parse().ok()
}

/// Tells the hub, if there is one, that the server is used. Never ends.
async fn report_activity(guard: Option<&Guard>, last_activity: impl Fn() -> Option<Timestamp>) {
    match guard {
        Some(guard) => guard.report_activity(last_activity).await,
        None => std::future::pending().await,
    }
}

/// Takes the browser's file away once what it holds is spent or too old. Never ends.
async fn forget_launch(note: Option<&Note>, launched: &CancellationToken) {
    tokio::select! {
        () = launched.cancelled() => {}
        () = tokio::time::sleep(LIFETIME) => {}
    }
    if let Some(note) = note {
        note.remove_open_file();
    }
    std::future::pending::<()>().await;
}
