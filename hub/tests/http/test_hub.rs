//! A whole hub in a directory of its own.

use axum::{
    Router,
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use hub::{
    address::Address,
    app::App,
    auth_state::CryptKeeper,
    client_address::parse_net,
    cookie_secret::CookieSecret,
    database::{Database, DatabaseError, Place},
    own_secret::OwnSecret,
    people::People,
    proxy::{ProxyClient, ProxyToken},
    rotation::Keeper,
    router::router,
    serve::{Hub, build},
    servers::{ServerSettings, Servers},
    spawner::{Spawner, local::LocalSettings},
    upkeep,
    urls::Urls,
};
use hub_crds::{
    ActivityTimes, ApiPages, ClientRules, Cull, Landing, LoginLimits, Profile, ServerLimits, Sessions,
    config::{AuthConfig, AuthenticatorConfig, PagesConfig, RbacConfig, TokenLogin},
};
use jiff::Timestamp;
use serde_json::Value;
use sqlx::{AssertSqlSafe, ConnectOptions, Row, SqlitePool, postgres::PgConnectOptions, sqlite::SqliteConnectOptions};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use url::Url;

use crate::{
    browser::{Answer, Browser},
    openapi,
};

/// Each user's login token.
pub(crate) const ALICE_TOKEN: &str = "a11ce00000000000000000000000000000000000000000a1";
pub(crate) const BOB_TOKEN: &str = "b0b0000000000000000000000000000000000000000000b0";
pub(crate) const ADMIN_TOKEN: &str = "ad31000000000000000000000000000000000000000000ad";

/// Stands in for a single-user server: writes down the environment that it got, and answers everything.
const SERVER: &str = "
import http.server, json, os, urllib.parse
with open(os.environ['JUPYTERHUB_USER'] + '.json.new', 'w') as out:
    json.dump(dict(os.environ), out)
os.rename(os.environ['JUPYTERHUB_USER'] + '.json.new', os.environ['JUPYTERHUB_USER'] + '.json')
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Length', '2')
        self.end_headers()
        self.wfile.write(b'{}')
    def log_message(self, *args):
        pass
port = urllib.parse.urlsplit(os.environ['JUPYTERHUB_SERVICE_URL']).port
http.server.ThreadingHTTPServer(('127.0.0.1', port), Answer).serve_forever()
";

pub(crate) struct TestHub {
    router: Router,
    pub(crate) app: App,
    pub(crate) directory: Arc<TempDir>,
    /// Its database: a file in the directory, or a schema of its own in the PostgreSQL that the tests are given.
    pub(crate) place: Place,
    /// Where the proxy listens for people: `http://127.0.0.1:40000`.
    pub(crate) proxy_url: String,
    stopping: CancellationToken,
}

impl Drop for TestHub {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

/// What differs between tests.
pub(crate) struct Settings {
    pub(crate) base_url: &'static str,
    pub(crate) public_url: Option<&'static str>,
    pub(crate) subdomain_host: Option<&'static str>,
    pub(crate) cookie_host_prefix: bool,
    pub(crate) dummy_password: Option<&'static str>,
    /// Another way of logging in, with its lists.
    pub(crate) auth: Option<AuthConfig>,
    /// People log in with passwords of their own: whether their first one becomes theirs. Root is an administrator.
    pub(crate) passwords: Option<bool>,
    pub(crate) blocked: &'static [&'static str],
    pub(crate) secure: bool,
    pub(crate) limits: ServerLimits,
    pub(crate) login_limits: LoginLimits,
    pub(crate) trusted_proxies: &'static [&'static str],
    pub(crate) clients: ClientRules,
    pub(crate) sessions: Sessions,
    pub(crate) landing: Landing,
    pub(crate) pages: PagesConfig,
    pub(crate) profiles: Vec<Profile>,
    pub(crate) api_pages: ApiPages,
    pub(crate) activity: ActivityTimes,
    pub(crate) cull: Option<Cull>,
    pub(crate) clock: fn() -> Timestamp,
    /// What users' servers run, in Python.
    pub(crate) server: &'static str,
    /// It runs behind `hub server`, and listens on the port that its first argument names.
    pub(crate) front: bool,
    pub(crate) rbac: RbacConfig,
    /// Tokens of services, each in a file named after its service with `-token`.
    pub(crate) service_tokens: &'static [(&'static str, &'static str)],
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            base_url: "/",
            public_url: None,
            subdomain_host: None,
            cookie_host_prefix: false,
            dummy_password: None,
            auth: None,
            passwords: None,
            blocked: &[],
            secure: true,
            limits: ServerLimits::default(),
            login_limits: LoginLimits::default(),
            trusted_proxies: &[],
            clients: ClientRules::default(),
            sessions: Sessions::default(),
            landing: Landing::default(),
            pages: PagesConfig::default(),
            profiles: Vec::new(),
            api_pages: ApiPages::default(),
            activity: ActivityTimes::default(),
            cull: None,
            clock: Timestamp::now,
            server: SERVER,
            front: false,
            rbac: RbacConfig::default(),
            service_tokens: &[],
        }
    }
}

impl Settings {
    /// Looks at everything that is tried, however many failures came before.
    pub(crate) fn patient() -> Self {
        let login_limits = LoginLimits { max_failures: LoginLimits::MOST_FAILURES, ..LoginLimits::default() };
        Self { login_limits, ..Self::default() }
    }
}

impl TestHub {
    /// Token login for alice, bob and the administrator root.
    pub(crate) async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = || Place::Sqlite(directory.path().join("hub.sqlite"));
        let place = Place::temporary().await.unwrap().unwrap_or_else(file);
        Self::at(Arc::new(directory), place, settings).await
    }

    /// Ends the hub and starts it anew in the same place.
    pub(crate) async fn restarted(self, settings: Settings) -> Self {
        self.restarted_after(settings, || ()).await
    }

    /// The same, with a change while it is down.
    pub(crate) async fn restarted_after(self, settings: Settings, change: impl FnOnce()) -> Self {
        let (directory, place) = (self.directory.clone(), self.place.clone());
        drop(self);
        change();
        Self::at(directory, place, settings).await
    }

    async fn at(directory: Arc<TempDir>, place: Place, mut settings: Settings) -> Self {
        let at = |name: &str| directory.path().join(name);
        fs::write(at("cookie-secret"), "6b".repeat(32)).unwrap();
        let stopping = CancellationToken::new();
        let proxy = hub_proxy::bind(hub_proxy::ProxyConfig {
            token: hub_proxy::Token::Value("the-proxy-token".into()),
            host_routing: settings.subdomain_host.is_some(),
            ..hub_proxy::ProxyConfig::default()
        })
        .await
        .unwrap();
        let [proxy_url, api_url] = [proxy.public_addr(), proxy.api_addr().unwrap()]
            .map(|address| format!("http://{}", address.socket_addr().unwrap()));
        tokio::spawn(proxy.run(stopping.clone()));
        let url = |url| Url::parse(url).unwrap();
        let urls = match settings.subdomain_host {
            Some(host) => Urls::with_subdomains(settings.base_url, url(host)),
            None => Urls::new(settings.base_url, settings.public_url.map(url)),
        };
        let database = open(&place).await;
        for (service, token) in settings.service_tokens {
            let file = at(&format!("{service}-token"));
            fs::write(&file, token).unwrap();
            let mut services = settings.rbac.services.iter_mut();
            services.find(|known| known.name == *service).unwrap().token_file = Some(file);
        }
        let port = settings.front.then_some("{port}");
        let spawner = Spawner::local(LocalSettings {
            command: ["python3", "-c", settings.server].into_iter().chain(port).map(str::to_owned).collect(),
            front: settings.front.then(|| env!("CARGO_BIN_EXE_hub").into()),
            ..LocalSettings::new(at("run"), directory.path().to_owned())
        });
        let proxy = ProxyClient::new(&api_url, ProxyToken::Value("the-proxy-token".to_owned().into()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connect_url = format!("http://{}", listener.local_addr().unwrap());
        let server_settings = ServerSettings {
            limits: settings.limits.clone(),
            profiles: settings.profiles.clone(),
            activity_interval: settings.activity.every(),
            cookie_host_prefix: settings.cookie_host_prefix,
            token_login: settings.dummy_password.is_none() && settings.auth.is_none() && settings.passwords.is_none(),
            ..ServerSettings::new(urls.clone(), &connect_url)
        };
        let servers = Servers::new(database.clone(), spawner, proxy, server_settings);
        let hub = Hub {
            address: Address { url: format!("{proxy_url}{}", settings.base_url), forward: None, show_logins: None },
            urls,
            directory: directory.path().to_owned(),
            database,
            servers,
            people: People::of_files(&auth(&settings, &directory), settings.rbac).unwrap(),
            cookie_secret: CookieSecret::file(at("cookie-secret")).unwrap(),
            crypt_keys: crypt_keys(&at(CRYPT_KEYS)),
            keeper: own_keeper(&at("cookie-secret")),
            secure: settings.secure,
            login_limits: settings.login_limits,
            trusted_proxies: settings.trusted_proxies.iter().map(|net| parse_net(net).unwrap()).collect(),
            clients: settings.clients,
            sessions: settings.sessions,
            landing: settings.landing,
            pages: settings.pages,
            api_pages: settings.api_pages,
            activity: settings.activity,
            cull: settings.cull,
            clock: settings.clock,
        };
        let app = build(hub, stopping.clone()).await.unwrap();
        tokio::spawn(app.servers.clone().run(stopping.clone()));
        tokio::spawn(upkeep::run(app.clone()));
        let router = router(&app);
        let serving = axum::serve(listener, router.clone()).with_graceful_shutdown(stopping.clone().cancelled_owned());
        tokio::spawn(serving.into_future());
        Self { router, app, directory, place, proxy_url, stopping }
    }

    /// The hub as it is after a restart with other settings of who may come in, on the same database and with the same
    /// secrets.
    pub(crate) async fn restart(&mut self, settings: Settings) {
        let hub = Hub {
            urls: self.app.urls.clone(),
            address: self.app.address.clone(),
            directory: self.app.directory.clone(),
            database: self.app.database.clone(),
            servers: self.app.servers.clone(),
            people: People::of_files(&auth(&settings, &self.directory), settings.rbac).unwrap(),
            cookie_secret: CookieSecret::file(self.path("cookie-secret")).unwrap(),
            crypt_keys: crypt_keys(&self.path(CRYPT_KEYS)),
            keeper: own_keeper(&self.path("cookie-secret")),
            secure: settings.secure,
            login_limits: settings.login_limits,
            trusted_proxies: settings.trusted_proxies.iter().map(|net| parse_net(net).unwrap()).collect(),
            clients: settings.clients,
            sessions: settings.sessions,
            landing: settings.landing,
            pages: settings.pages,
            api_pages: settings.api_pages,
            activity: settings.activity,
            cull: settings.cull,
            clock: settings.clock,
        };
        self.app = build(hub, self.stopping.clone()).await.unwrap();
        self.router = router(&self.app);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Answers of the API must be as it describes them.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let answer = Answer::read(self.router.clone().oneshot(request).await.unwrap()).await;
        if let Some(path) = path.strip_prefix(&self.app.urls.at("api")) {
            openapi::check(&method, path, &answer);
        }
        answer
    }

    /// The same, over the proxy.
    pub(crate) async fn send_to_proxy(&self, request: Request<Body>) -> Answer {
        let (parts, body) = request.into_parts();
        let client = hub_server::http_client().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let request = client.request(parts.method, format!("{}{}", self.proxy_url, parts.uri)).headers(parts.headers);
        let answer = request.body(body).send().await.unwrap();
        Answer { status: answer.status(), headers: answer.headers().clone(), text: answer.text().await.unwrap() }
    }

    /// A browser without cookies.
    pub(crate) fn browser(&self) -> Browser<'_> {
        Browser::new(self)
    }

    /// A browser in which this user logged in with the form.
    pub(crate) async fn logged_in(&self, token: &str) -> Browser<'_> {
        let mut browser = self.browser();
        let answer = browser.log_in("/hub/login", "", token).await;
        assert_eq!(answer.status, StatusCode::FOUND, "{}", answer.text);
        browser
    }

    /// A request as a program makes it.
    pub(crate) async fn api(&self, method: Method, path: &str, token: &str, body: Option<Value>) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("/hub/api{path}"));
        if !token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("token {token}"));
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.send(request.body(body).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        self.api(Method::GET, path, token, None).await
    }

    /// Changes the database as another program does.
    pub(crate) async fn sql(&self, statements: &str) {
        let statements = sqlx::raw_sql(AssertSqlSafe(statements));
        match &self.place {
            Place::Sqlite(path) => {
                let options = SqliteConnectOptions::new().filename(path).foreign_keys(true);
                statements.execute(&mut options.connect().await.unwrap()).await.map(drop)
            }
            Place::Postgres(options) => statements.execute(&mut options.connect().await.unwrap()).await.map(drop),
        }
        .unwrap();
    }

    /// Bytes as they are written in a statement.
    pub(crate) fn blob(&self, bytes: impl AsRef<[u8]>) -> String {
        let digits = hex::encode(bytes);
        match self.place {
            Place::Sqlite(_) => format!("X'{digits}'"),
            Place::Postgres(_) => format!("'\\x{digits}'"),
        }
    }

    /// Every value of the database, each as text: what a thief of it has.
    pub(crate) async fn stored(&self) -> Vec<String> {
        match &self.place {
            Place::Sqlite(path) => stored_in_file(path).await,
            Place::Postgres(options) => stored_in_postgres(options).await,
        }
    }

    /// Gives a user these scopes through a role of that user alone.
    pub(crate) async fn give(&self, user: &str, scopes: &[&str]) {
        let scopes = serde_json::to_string(scopes).unwrap();
        self.sql(&format!(
            "INSERT INTO roles (name, scopes, managed_by_auth) VALUES ('of-{user}', '{scopes}', FALSE);
             INSERT INTO user_role_map (user_id, role_id, managed_by_auth)
                 SELECT u.id, r.id, FALSE FROM users u, roles r WHERE u.name = '{user}' AND r.name = 'of-{user}'"
        ))
        .await;
    }

    /// Starts a user's server and waits until it is ready.
    pub(crate) async fn start_server(&self, user: &str, token: &str) -> BTreeMap<String, String> {
        let answer = self.api(Method::POST, &format!("/users/{user}/server"), token, None).await;
        assert!(answer.status.is_success(), "{} {}", answer.status, answer.text);
        self.becomes_ready(user, token).await;
        // Another test's server may have answered at its port for a moment.
        let note = self.path(&format!("{user}.json"));
        for _ in 0..100 {
            if note.exists() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        serde_json::from_slice(&fs::read(note).unwrap()).unwrap()
    }

    /// Follows a start to its good end.
    pub(crate) async fn becomes_ready(&self, user: &str, token: &str) {
        let events = self.get(&format!("/users/{user}/server/progress"), token).await;
        assert!(events.text.contains("\"ready\":true"), "{}", events.text);
    }

    /// Stops it again and waits until it is gone.
    pub(crate) async fn stop_server(&self, user: &str, token: &str) {
        self.api(Method::DELETE, &format!("/users/{user}/server"), token, None).await;
        for _ in 0..200 {
            let server = self.get(&format!("/users/{user}/server"), token).await;
            if server.json()["stopped"] == true {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{user}'s server did not stop");
    }
}

/// In a directory of its own, as every secret with versions beside another one.
pub(crate) const CRYPT_KEYS: &str = "crypt-keys/crypt-keys";

/// The hub has crypt keys if a test has put some there.
fn crypt_keys(file: &Path) -> Option<CryptKeeper> {
    file.exists().then(|| CryptKeeper::file(file).unwrap())
}

fn own_keeper(cookie_secret: &Path) -> Keeper {
    let cookie_secret = Ok(tokio::sync::Mutex::new(OwnSecret::new(cookie_secret)));
    Keeper::Own { cookie_secret, proxy_token: "the proxy's token is the test's".to_owned() }
}

async fn stored_in_file(path: &Path) -> Vec<String> {
    let pool = SqlitePool::connect_with(SqliteConnectOptions::new().filename(path).read_only(true)).await.unwrap();
    let tables = sqlx::query("SELECT name FROM sqlite_master WHERE type = 'table'").fetch_all(&pool).await.unwrap();
    let mut stored = Vec::new();
    for table in tables {
        let query = AssertSqlSafe(format!("SELECT * FROM \"{}\"", table.get::<String, _>(0)));
        for row in sqlx::query(query).fetch_all(&pool).await.unwrap() {
            for column in 0..row.len() {
                let text = row.try_get_unchecked::<Option<String>, _>(column).ok().flatten();
                let number = row.try_get_unchecked::<Option<i64>, _>(column).ok().flatten().map(|n| n.to_string());
                stored.extend(text.into_iter().chain(number));
            }
        }
    }
    stored
}

async fn stored_in_postgres(options: &PgConnectOptions) -> Vec<String> {
    let mut connection = options.connect().await.unwrap();
    let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()";
    let mut stored = Vec::new();
    for table in sqlx::query(tables).fetch_all(&mut connection).await.unwrap() {
        let columns = "SELECT c.value FROM \"{}\" t, jsonb_each_text(to_jsonb(t)) c WHERE c.value IS NOT NULL";
        let query = AssertSqlSafe(columns.replace("{}", table.get(0)));
        let rows = sqlx::query(query).fetch_all(&mut connection).await.unwrap();
        stored.extend(rows.iter().map(|row| row.get::<String, _>(0)));
    }
    stored
}

/// The hub before may need a moment to end.
async fn open(place: &Place) -> Database {
    for _ in 0..200 {
        match Database::open_place(place).await {
            Err(DatabaseError::InUse { .. }) => tokio::time::sleep(Duration::from_millis(25)).await,
            opened => return opened.unwrap(),
        }
    }
    panic!("{place} stays in use");
}

fn auth(settings: &Settings, directory: &TempDir) -> AuthConfig {
    if let Some(auth) = &settings.auth {
        return auth.clone();
    }
    let names = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect();
    let authenticator = match (settings.dummy_password, settings.passwords) {
        (None, Some(first_use)) => {
            let users_dir = directory.path().join("passwords");
            fs::create_dir_all(&users_dir).unwrap();
            AuthenticatorConfig::Password { users_dir: Some(users_dir), first_use, min_length: 8 }
        }
        (Some(password), _) => {
            let file = directory.path().join("password");
            fs::write(&file, password).unwrap();
            AuthenticatorConfig::Dummy { password_file: Some(file) }
        }
        (None, None) => {
            let tokens = directory.path().join("tokens");
            fs::create_dir_all(&tokens).unwrap();
            for (name, token) in [("alice", ALICE_TOKEN), ("bob", BOB_TOKEN), ("root", ADMIN_TOKEN)] {
                if !tokens.join(name).exists() {
                    fs::write(tokens.join(name), token).unwrap();
                }
            }
            let user = |name: &str| TokenLogin { name: name.into(), admin: name == "root" };
            AuthenticatorConfig::Token {
                users: ["alice", "bob", "root"].map(user).into(),
                tokens_dir: tokens,
                log: true,
            }
        }
    };
    AuthConfig {
        allowed_users: names(&["alice", "bob"]),
        blocked_users: names(settings.blocked),
        admin_users: names(if settings.passwords.is_some() { &["root"] } else { &[] }),
        ..AuthConfig::new(authenticator)
    }
}
