//! ACME against Pebble, with its own DNS server, through a real proxy. `PEBBLE` and `PEBBLE_CHALLTESTSRV` name the programs;
//! without them these tests say so and end. Pebble really validates: each test sees its requests at the solver.

mod pebble;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use hub_proxy::{ProxyConfig, Token};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{solver::Lookup, state::Challenges, *};

const PROXY_TOKEN: &str = "token-of-the-proxy";

/// How Pebble is started.
#[derive(Clone, Default)]
struct Pebble {
    environment: Vec<(&'static str, &'static str)>,
    /// Life of its certificates, in seconds.
    life: Option<u32>,
    /// It wants external accounts, and knows this MAC key for `kid-1`.
    mac_key: Option<&'static str>,
}

/// An authority, a proxy and a solver.
struct Lab {
    acme: Acme,
    memory: Memory,
    answered: Arc<AtomicU64>,
    ports: Ports,
    directory: PathBuf,
    ca: String,
    proxy: SocketAddr,
    proxy_api: SocketAddr,
    programs: Vec<Child>,
    stop: CancellationToken,
}

#[derive(Clone, Copy)]
struct Ports {
    acme: u16,
    management: u16,
    dns: u16,
    dns_management: u16,
}

/// Programs end with their test, however that ends.
impl Drop for Lab {
    fn drop(&mut self) {
        self.stop.cancel();
        for program in &mut self.programs {
            let _ = program.kill();
            let _ = program.wait();
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// The Secrets of all Hubs of a test, by name.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<BTreeMap<String, Data>>>);

impl Memory {
    fn data(&self, hub: &str) -> Data {
        self.0.lock().unwrap().get(hub).cloned().unwrap_or_default()
    }

    fn state(&self, hub: &str) -> State {
        State::read(&self.data(hub)).unwrap()
    }

    fn change(&self, hub: &str, change: impl FnOnce(&mut State)) {
        let mut state = self.state(hub);
        change(&mut state);
        self.0.lock().unwrap().insert(hub.to_owned(), state.write());
    }
}

impl Lookup for Memory {
    fn challenges(&self, namespace: &str, hub: &str) -> Challenges {
        if namespace == "lab" { state::challenges(&self.data(hub)) } else { Challenges::default() }
    }
}

/// Keeps one Hub's state in memory, and crashes when it is told to.
struct MemoryKeeper {
    memory: Memory,
    hub: String,
    reads: usize,
    writes: usize,
    crash: Option<Crash>,
}

/// At which write, counted from 0, the operator crashes; and whether the write still reaches the API server.
#[derive(Clone, Copy, Debug)]
struct Crash {
    at: usize,
    is_written: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("crashed")]
struct Crashed;

impl Keeper for MemoryKeeper {
    type Error = Crashed;

    async fn read(&mut self) -> Result<Option<Data>, Crashed> {
        self.reads += 1;
        Ok(Some(self.memory.data(&self.hub)))
    }

    async fn write(&mut self, data: Data) -> Result<bool, Crashed> {
        let number = self.writes;
        self.writes += 1;
        let crash = self.crash.filter(|crash| crash.at == number);
        if crash.is_none_or(|crash| crash.is_written) {
            self.memory.0.lock().unwrap().insert(self.hub.clone(), data);
        }
        if crash.is_some() { Err(Crashed) } else { Ok(true) }
    }
}

fn program(name: &str) -> Option<String> {
    let path = std::env::var(name).ok();
    if path.is_none() {
        eprintln!("skipped: {name} names no program");
    }
    path
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Whether a program comes to listen; false if it ends.
fn wait_for(program: &mut Child, port: u16) -> bool {
    let started = Instant::now();
    while std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        if program.try_wait().unwrap().is_some() {
            return false;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "nothing listens on {port}");
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

impl Lab {
    /// Nothing where there is no Pebble.
    async fn start(pebble: &Pebble) -> Option<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (_, resolver) = (program("PEBBLE")?, program("PEBBLE_CHALLTESTSRV")?);
        let directory = std::env::temp_dir().join(format!("acme-test-{:016x}", rand::random::<u64>()));
        std::fs::create_dir_all(&directory).unwrap();
        let memory = Memory::default();
        let (stop, answered) = (CancellationToken::new(), Arc::<AtomicU64>::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let solver_url = format!("http://{}", listener.local_addr().unwrap());
        let app = solver::router(memory.clone(), answered.clone());
        tokio::spawn(axum::serve(listener, app).with_graceful_shutdown(stop.clone().cancelled_owned()).into_future());
        let config =
            ProxyConfig { token: Token::Value(PROXY_TOKEN.into()), host_routing: true, ..ProxyConfig::default() };
        let proxy = hub_proxy::bind(config).await.unwrap();
        let address = proxy.public_addr().socket_addr().unwrap();
        let proxy_api = proxy.api_addr().unwrap().socket_addr().unwrap();
        tokio::spawn(proxy.run(stop.clone()));
        let prober = prober(address);
        let ports = Ports { acme: free_port(), management: free_port(), dns: free_port(), dns_management: free_port() };
        let ca = certificate_of_pebble(&directory);
        let acme = Acme { solver_url, prober, router: Router::new().unwrap() };
        let mut lab = Self {
            acme,
            memory,
            answered,
            ports,
            directory,
            ca,
            proxy: address,
            proxy_api,
            programs: Vec::new(),
            stop,
        };
        let mut command = Command::new(resolver);
        let [dns, management] = [ports.dns, ports.dns_management].map(|port| format!("127.0.0.1:{port}"));
        command.args(["-dnsserver", &dns, "-management", &management, "-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""]);
        command.args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", ""]);
        assert!(lab.spawn(command, ports.dns_management), "the DNS server ended at once");
        // A port that was free may be somebody's by now.
        while !lab.start_pebble(pebble) {
            (lab.ports.acme, lab.ports.management) = (free_port(), free_port());
        }
        Some(lab)
    }

    /// False if it ended at once.
    fn start_pebble(&mut self, pebble: &Pebble) -> bool {
        let file = |name: &str| self.directory.join(name).to_str().unwrap().to_owned();
        let mut config = json!({"pebble": {
            "listenAddress": format!("127.0.0.1:{}", self.ports.acme),
            "managementListenAddress": format!("127.0.0.1:{}", self.ports.management),
            "certificate": file("cert.pem"), "privateKey": file("key.pem"),
            "httpPort": self.proxy.port(), "tlsPort": free_port(), "ocspResponderURL": "",
            "externalAccountBindingRequired": pebble.mac_key.is_some(),
            "domainBlocklist": ["refused.test"],
            "retryAfter": {"authz": 1, "order": 1}, "keyAlgorithm": "ecdsa",
            "profiles": {"default": {"description": "", "validityPeriod": pebble.life.unwrap_or(7_776_000)}},
        }});
        if let Some(key) = pebble.mac_key {
            config["pebble"]["externalAccountMACKeys"] = json!({"kid-1": key});
        }
        std::fs::write(file("config.json"), config.to_string()).unwrap();
        let mut command = Command::new(program("PEBBLE").unwrap());
        command.args(["-config", &file("config.json"), "-dnsserver", &format!("127.0.0.1:{}", self.ports.dns)]);
        command
            .env_remove("PEBBLE_VA_ALWAYS_VALID")
            .env("PEBBLE_VA_NOSLEEP", "1")
            .envs(pebble.environment.iter().copied());
        self.spawn(command, self.ports.acme)
    }

    fn spawn(&mut self, mut command: Command, port: u16) -> bool {
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut program = command.spawn().unwrap();
        let listens = wait_for(&mut program, port);
        self.programs.extend(listens.then_some(program));
        listens
    }

    fn stop_pebble(&mut self) {
        let mut pebble = self.programs.pop().unwrap();
        pebble.kill().unwrap();
        pebble.wait().unwrap();
    }

    fn wanted(&self, hub: &str, hosts: &[&str]) -> Wanted {
        Wanted {
            name: hub.to_owned(),
            namespace: "lab".to_owned(),
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            email: "ada@hub.test".to_owned(),
            server: format!("https://127.0.0.1:{}/dir", self.ports.acme),
            server_ca: Some(self.ca.clone().into_bytes()),
            eab: None,
            self_check: SelfCheck::Required,
            proxy: Proxy {
                pods: None,
                api_url: format!("http://{}", self.proxy_api),
                tokens: ["an-older-one", PROXY_TOKEN].map(SecretString::from).to_vec(),
                is_by_host: true,
            },
        }
    }

    fn keeper(&self, hub: &str, crash: Option<Crash>) -> MemoryKeeper {
        MemoryKeeper { memory: self.memory.clone(), hub: hub.to_owned(), reads: 0, writes: 0, crash }
    }

    async fn advance(&self, wanted: &Wanted, keeper: &mut MemoryKeeper) -> Result<Progress, Crashed> {
        advance(&self.acme, wanted, &self.memory.data(&wanted.name), keeper).await
    }

    /// Goes on until it is so, as reconciles would.
    async fn until(&self, wanted: &Wanted, is_so: impl Fn(&Progress) -> bool) -> Progress {
        let (started, mut keeper) = (Instant::now(), self.keeper(&wanted.name, None));
        loop {
            let progress = self.advance(wanted, &mut keeper).await.unwrap();
            if is_so(&progress) {
                return progress;
            }
            assert!(started.elapsed() < Duration::from_secs(90), "{progress:?} {:?}", self.memory.state(&wanted.name));
            tokio::time::sleep(progress.next.min(Duration::from_secs(10))).await;
        }
    }

    /// All routes of the proxy.
    async fn routes(&self) -> Value {
        let request = reqwest::Client::new().get(format!("http://{}/api/routes", self.proxy_api));
        let answer = request.header("authorization", format!("token {PROXY_TOKEN}")).send().await.unwrap();
        answer.json().await.unwrap()
    }

    fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

/// Pebble's DNS server knows every name; the test's own client is told.
fn prober(proxy: SocketAddr) -> Prober {
    let hosts = ["hub.test", "www.hub.test", "refused.test"];
    let crashing: Vec<_> = (0..40).map(|number| format!("crash-{number}.test")).collect();
    let known: Vec<_> =
        hosts.into_iter().chain(crashing.iter().map(String::as_str)).map(|host| (host, proxy)).collect();
    Prober::with([proxy.port(), 443], &known).unwrap()
}

/// Writes the certificate of Pebble's own directory, and returns it.
fn certificate_of_pebble(directory: &std::path::Path) -> String {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    std::fs::write(directory.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(directory.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    made.cert.pem()
}

fn names(issued: &Issued) -> Vec<String> {
    let mut names = facts(issued).unwrap().names;
    names.sort();
    names
}
