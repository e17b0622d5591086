//! Servers as a whole: real processes that speak HTTP (`python3 -m http.server`), the real proxy, a real database.

use super::*;
use crate::{proxy::ProxyToken, spawner::local::LocalSettings};
use futures::StreamExt;
use hub_crds::proxy_pods::Member;
use hub_proxy::{ProxyConfig, RouteTable};
use jiff::Timestamp;
use serde_json::json;
use std::{net::SocketAddr, path::Path};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

mod partition;

/// Listens where the hub says, as a single-user server does.
const SERVER: &str =
    r#"port=${JUPYTERHUB_SERVICE_URL#http://127.0.0.1:}; exec python3 -m http.server --bind 127.0.0.1 ${port%%/*}"#;

/// A proxy, a database and the servers of one hub.
struct Place {
    servers: Servers,
    database: Database,
    proxy: ProxyClient,
    public: SocketAddr,
    user: User,
    directory: TempDir,
}

impl Place {
    async fn new(script: &str) -> Self {
        let proxy = hub_proxy::bind(ProxyConfig::default()).await.unwrap();
        let public = proxy.public_addr().socket_addr().unwrap();
        let client = ProxyClient::new(
            &format!("http://{}", proxy.api_addr().unwrap().socket_addr().unwrap()),
            ProxyToken::Value("unused".to_owned().into()),
        );
        tokio::spawn(proxy.run(CancellationToken::new()));
        let database = Database::temporary().await.unwrap();
        let user = database.create_user("alice", false, Timestamp::now()).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let servers = servers(script, directory.path(), &database, &client);
        Self { servers, database, proxy: client, public, user, directory }
    }

    async fn start(&self) {
        assert_eq!(self.servers.start(&self.user, "", None).await.unwrap(), StartOutcome::Pending);
    }

    /// Events until the start has ended.
    async fn progress(&self) -> Vec<ProgressEvent> {
        let events = self.servers.progress("alice", "").expect("it starts").collect::<Vec<_>>();
        timeout(Duration::from_secs(20), events).await.expect("the start ends")
    }

    async fn until(&self, what: &str, seconds: u64, mut look: impl AsyncFnMut(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        while !look(self).await {
            assert!(Instant::now() < deadline, "{what} did not come within {seconds} s");
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn get(&self, path: &str) -> u16 {
        reqwest::get(format!("http://{}{path}", self.public)).await.unwrap().status().as_u16()
    }

    async fn row(&self) -> crate::database::ServerRow {
        self.database.server(self.user.id, "").await.unwrap().unwrap()
    }
}

fn servers(script: &str, directory: &Path, database: &Database, proxy: &ProxyClient) -> Servers {
    let mut settings = LocalSettings::new(directory.join("servers"), directory.to_owned());
    settings.command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    settings.http_timeout = Duration::from_secs(10);
    let spawner = Spawner::local(settings);
    let settings = ServerSettings::new(Urls::new("/", None), "http://127.0.0.1:9");
    Servers::new(database.clone(), spawner, proxy.clone(), settings)
}

fn stopped(status: &ServerStatus) -> bool {
    matches!(status, ServerStatus::Stopped { .. })
}

#[tokio::test]
async fn a_server_starts_is_reached_through_the_proxy_and_stops() {
    let place = Place::new(SERVER).await;
    place.start().await;
    assert_eq!(place.servers.status("alice", ""), ServerStatus::Pending(Pending::Spawn));
    assert!(matches!(place.servers.start(&place.user, "", None).await, Err(StartError::Pending(Pending::Spawn))));
    let events = place.progress().await;
    assert_eq!(events.first(), Some(&ProgressEvent::step(0, "Server requested")));
    assert_eq!(events.last(), Some(&ProgressEvent::ready("/user/alice/")), "{events:?}");
    let ServerStatus::Ready { target, .. } = place.servers.status("alice", "") else { panic!("it is not ready") };
    assert!(matches!(place.servers.start(&place.user, "", None).await, Err(StartError::Running)));
    let row = place.row().await;
    assert!(row.active && row.address.map(|address| launch::target(&address)) == Some(target));
    // The server has no such file, which is an answer of the server's; without a route the proxy's own is the same
    // number, but has another body.
    let body = reqwest::get(format!("http://{}/user/alice/x", place.public)).await.unwrap().text().await.unwrap();
    assert!(body.contains("File not found"), "{body}");
    let client = hub_auth::names::server_client_id("alice", "");
    assert!(place.database.oauth_client(&client).await.unwrap().is_some());

    assert_eq!(place.servers.stop("alice", "").await, StopOutcome::Stopping);
    place.until("the stop", 15, async |place| stopped(&place.servers.status("alice", ""))).await;
    assert!(!place.proxy.routes().await.unwrap().contains_key("/user/alice"));
    assert!(!place.row().await.active);
    assert!(place.database.oauth_client(&client).await.unwrap().is_none());
    assert!(place.servers.progress("alice", "").is_none());
    assert_eq!(place.servers.stop("alice", "").await, StopOutcome::Stopped);
}

/// A server that never answers can be given up, and leaves nothing.
#[tokio::test]
async fn a_pending_start_is_cancelled_by_a_stop() {
    let place = Place::new("sleep 300").await;
    place.start().await;
    place.until("the rows", 5, async |place| place.database.server(place.user.id, "").await.unwrap().is_some()).await;
    let progress = tokio::spawn(place.servers.progress("alice", "").unwrap().collect::<Vec<_>>());
    // On a busy machine it may be gone already when this answers.
    place.servers.stop("alice", "").await;
    let events = timeout(Duration::from_secs(15), progress).await.unwrap().unwrap();
    assert_eq!(events.last(), Some(&ProgressEvent::failed("Spawn cancelled")));
    let last_failure = Some("Spawn cancelled".to_owned());
    assert_eq!(place.servers.status("alice", ""), ServerStatus::Stopped { last_failure });
    assert!(!place.row().await.active);
    assert_eq!(place.progress().await, [ProgressEvent::failed("Spawn cancelled")]);
}

#[tokio::test]
async fn a_failed_start_says_why() {
    let place = Place::new("echo cannot bind >&2; exit 1").await;
    place.start().await;
    let events = place.progress().await;
    let last = events.last().unwrap();
    assert!(
        last.failed && last.message.starts_with("Spawn failed: ") && last.message.contains("cannot bind"),
        "{last:?}"
    );
    assert!(!place.row().await.active);
}

/// A server that ends by itself is noticed without anyone asking: nobody is sent to its port any more.
#[tokio::test]
async fn a_server_that_ends_by_itself_loses_its_route() {
    let place = Place::new(&SERVER.replace("exec", "timeout 2")).await;
    let stop = CancellationToken::new();
    let upkeep = tokio::spawn(place.servers.clone().run(stop.clone()));
    place.start().await;
    place.progress().await;
    place.until("the end", 10, async |place| stopped(&place.servers.status("alice", ""))).await;
    assert!(!place.proxy.routes().await.unwrap().contains_key("/user/alice"));
    assert!(!place.row().await.active);
    stop.cancel();
    upkeep.await.unwrap();
}

/// Row 31 of the faults: missing, stale and wrong routes are mended within 5 s, and no wrong target survives one check; what
/// others put there stays.
#[tokio::test]
async fn a_table_that_was_tampered_with_is_mended_row_31() {
    let place = Place::new(SERVER).await;
    place.start().await;
    place.progress().await;
    let keeping = tokio::spawn(place.servers.clone().run(CancellationToken::new()));
    let hub = Route::of_hub("http://127.0.0.1:9");
    let right = async |place: &Place| {
        let routes = place.proxy.routes().await.unwrap();
        let ServerStatus::Ready { target, .. } = place.servers.status("alice", "") else { panic!("it is not ready") };
        routes.get("/").is_some_and(|route| route.target == hub.target)
            && routes.get("/user/alice").is_some_and(|route| route.target == target)
            && !routes.contains_key("/user/gone")
    };
    place.until("the first table", 5, right).await;

    let mut foreign = Route::of_hub("http://127.0.0.1:7");
    foreign.data.clear();
    place.proxy.add("/other", &foreign).await.unwrap();
    place.proxy.add("/user/gone", &Route::of_server("http://127.0.0.1:6", "gone", "")).await.unwrap();
    place.proxy.add("/user/alice", &Route::of_server("http://127.0.0.1:6", "alice", "")).await.unwrap();
    place.proxy.remove("/").await.unwrap();
    place.until("the mended table", 5, right).await;
    assert_eq!(place.get("/user/alice/").await, 404);
    assert_eq!(place.proxy.routes().await.unwrap()["/other"].target, foreign.target);

    keeping.abort();
    // One check alone.
    for path in ["/", "/user/alice", "/user/gone"] {
        place.proxy.add(path, &Route::of_server("http://127.0.0.1:6", "mallory", "")).await.unwrap();
    }
    place.servers.check_routes().await.unwrap();
    assert!(right(&place).await, "{:?}", place.proxy.routes().await);
    place.servers.stop_all().await;
}

/// A local server cannot be taken over by the next hub: it is ended and written off, and can be started again.
#[tokio::test]
async fn what_the_last_hub_left_is_written_off_where_it_cannot_live() {
    let place = Place::new(SERVER).await;
    place.start().await;
    place.progress().await;
    let old = place.row().await;
    assert!(old.state["pid"].as_i64().is_some(), "{:?}", old.state);

    let next = servers(SERVER, place.directory.path(), &place.database, &place.proxy);
    next.restore().await.unwrap();
    assert!(matches!(next.status("alice", ""), ServerStatus::Pending(Pending::Check)));
    place.until("the write-off", 15, async |_| stopped(&next.status("alice", ""))).await;
    assert!(!place.row().await.active);
    let process = format!("/proc/{}/stat", old.state["pid"]);
    let ended = async |_: &Place| std::fs::read_to_string(&process).map_or(true, |stat| stat.contains(") Z "));
    place.until("the end of the process", 5, ended).await;
    next.start(&place.user, "", Some(json!({"profile": "small"}))).await.unwrap();
    let events: Vec<_> = next.progress("alice", "").unwrap().collect().await;
    assert!(events.last().unwrap().ready, "{events:?}");
    assert_eq!(place.row().await.user_options, json!({"profile": "small"}));
    next.stop_all().await;
}

/// A proxy of several pods.
struct Pods {
    pods: Vec<Member>,
    known: watch::Sender<Vec<Member>>,
    tables: Vec<RouteTable>,
}

impl Pods {
    fn new() -> Self {
        Self { pods: Vec::new(), known: watch::channel(Vec::new()).0, tables: Vec::new() }
    }

    fn client(&self) -> ProxyClient {
        let token = ProxyToken::Value("unused".to_owned().into());
        ProxyClient::new("http://127.0.0.1:9", token).with_members(self.known.subscribe())
    }

    /// One more pod, with a table that is empty.
    async fn start(&mut self, is_ready: bool) {
        let proxy = hub_proxy::bind(ProxyConfig::default()).await.unwrap();
        let api_url = format!("http://{}", proxy.api_addr().unwrap().socket_addr().unwrap());
        self.tables.push(proxy.routes());
        tokio::spawn(proxy.run(CancellationToken::new()));
        self.add(Member { api_url, is_ready });
    }

    fn add(&mut self, pod: Member) {
        self.pods.push(pod);
        self.known.send_replace(self.pods.clone());
    }
}

#[tokio::test]
async fn every_pod_of_the_proxy_has_the_whole_table() {
    let mut pods = Pods::new();
    for _ in 0..2 {
        pods.start(true).await;
    }
    let place = Place { proxy: pods.client(), ..Place::new(SERVER).await };
    let place = Place { servers: servers(SERVER, place.directory.path(), &place.database, &place.proxy), ..place };
    let keeping = tokio::spawn(place.servers.clone().run(CancellationToken::new()));
    // Its address leads nowhere, as that of a pod that has just been taken away.
    pods.add(Member { api_url: "http://127.0.0.1:9".to_owned(), is_ready: false });
    place.start().await;
    assert_eq!(place.progress().await.last(), Some(&ProgressEvent::ready("/user/alice/")));
    assert!(pods.tables.iter().all(|table| table.get("/user/alice").is_some()), "a pod lacks the server's route");

    // A new pod waits for its table to become ready.
    pods.start(false).await;
    let fresh = pods.tables[2].clone();
    place
        .until("the table of the new pod", 5, async |_| fresh.get("/user/alice").is_some() && fresh.get("/").is_some())
        .await;
    // Each is mended by itself.
    pods.tables[0].remove("/user/alice");
    let mended = pods.tables[0].clone();
    place.until("the repair", 5, async |_| mended.get("/user/alice").is_some()).await;

    assert_eq!(place.servers.stop("alice", "").await, StopOutcome::Stopping);
    place.until("the stop", 15, async |place| stopped(&place.servers.status("alice", ""))).await;
    assert!(pods.tables.iter().all(|table| table.get("/user/alice").is_none()), "a pod still has the route");
    keeping.abort();
}
