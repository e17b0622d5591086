//! The binary: what survives its death, how it stops, what it reads and what it costs.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::backend::{Backend, echo_server, ok, raw, read_request};
use crate::harness::{Client, PATIENCE, get};

pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) public: SocketAddr,
    api: SocketAddr,
    /// What it logged before it accepted connections.
    log: Vec<String>,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(arguments: &[&str]) -> Command {
    set_up(Command::new(env!("CARGO_BIN_EXE_hub-proxy")), arguments)
}

/// The proxy's arguments and environment, for a program that runs it.
pub(crate) fn set_up(mut command: Command, arguments: &[&str]) -> Command {
    command.args(["--ip", "127.0.0.1", "--port", "0", "--api-ip", "127.0.0.1"]).args(arguments);
    command.env_remove("CONFIGPROXY_AUTH_TOKEN").env_remove("CONFIGPROXY_AUTH_TOKEN_FILE").env("POD_UID", "pod");
    command.stderr(Stdio::piped()).stdout(Stdio::null());
    command
}

impl Process {
    fn start(arguments: &[&str]) -> Self {
        Self::run(command(arguments))
    }

    pub(crate) fn run(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut log = Vec::new();
        let address = |line: &str, name: &str| {
            line.split_whitespace().find_map(|word| word.strip_prefix(name)).unwrap().parse().unwrap()
        };
        while let Some(Ok(line)) = lines.next() {
            log.push(line.clone());
            if line.contains("accepting connections") {
                // Somebody must go on reading, or the process would block on a full pipe.
                std::thread::spawn(move || lines.for_each(drop));
                return Self { child, public: address(&line, "public="), api: address(&line, "api="), log };
            }
        }
        let status = child.wait().unwrap();
        panic!("it did not start, {status}: {log:#?}");
    }

    /// A number that the process logged beside a message.
    fn logged(&self, message: &str, name: &str) -> u64 {
        let line = self.log.iter().find(|line| line.contains(message)).unwrap_or_else(|| panic!("{:#?}", self.log));
        line.split_whitespace().find_map(|word| word.strip_prefix(name)).unwrap().parse().unwrap()
    }

    pub(crate) async fn post(&self, path: &str, target: SocketAddr, token: &str) -> u16 {
        let body = format!("{{\"target\": \"http://{target}\", \"jupyterhub\": true}}");
        let length = body.len();
        let mut client = Client::connect(self.api).await;
        client
            .send(format!("POST /api/routes{path} HTTP/1.1\r\nHost: a\r\nAuthorization: token {token}\r\nContent-Length: {length}\r\n\r\n{body}"))
            .await;
        client.answer(false).await.unwrap().status
    }

    async fn status(&self, path: &str) -> u16 {
        let mut client = Client::connect(self.public).await;
        client.send(get(path)).await;
        client.answer(false).await.unwrap().status
    }

    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(sent.success());
    }
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what} did not come true"));
}

/// Row 29 of the faults: nobody's server may vanish because the proxy's process did.
#[tokio::test]
async fn the_table_is_whole_soon_after_a_kill_row_29() {
    const ROUTES: usize = 1000;
    let backend = Backend::fixed(ok("")).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("routes.json");
    let arguments = ["--snapshot", file.to_str().unwrap()];
    let mut process = Process::start(&arguments);
    assert_eq!(process.status("/_hub_proxy_readyz").await, 503);
    for n in 0..ROUTES {
        assert_eq!(process.post(&format!("/user/{n}"), backend.address, "").await, 201);
    }
    let last = format!("/user/{}\"", ROUTES - 1);
    eventually("the last route in the snapshot", async || {
        std::fs::read_to_string(&file).is_ok_and(|text| text.contains(&last))
    })
    .await;
    process.child.kill().unwrap();
    process.child.wait().unwrap();

    let restarted = Process::start(&arguments);
    assert_eq!(restarted.logged("route table restored from snapshot", "routes="), ROUTES as u64);
    let ms = restarted.logged("accepting connections", "ms_since_start=");
    println!("{ROUTES} routes, {ms} ms from start to accepting");
    assert!(ms <= 250, "it took {ms} ms");
    assert_eq!(restarted.status("/_hub_proxy_readyz").await, 200);
    for n in [0, ROUTES / 2, ROUTES - 1] {
        assert_eq!(restarted.status(&format!("/user/{n}/lab")).await, 200);
    }
    assert_eq!(restarted.status("/user/nobody").await, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_finish_before_it_stops() {
    let address = raw(|mut stream| async move {
        read_request(&mut stream).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, &ok("finished")).await;
    })
    .await;
    let mut process = Process::start(&["--grace-period", "20"]);
    process.post("/", address, "").await;
    let mut busy = Client::connect(process.public).await;
    let mut idle = Client::connect(process.public).await;
    busy.send(get("/")).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    process.signal("TERM");
    let answer = busy.answer(false).await.unwrap();
    assert_eq!((answer.text().as_str(), answer.field("connection")), ("finished", Some("close")));
    // Its client doesn't know yet: what it asks meanwhile is answered, and it is told.
    idle.send(get("/")).await;
    let answer = idle.answer(false).await.unwrap();
    assert_eq!((answer.text().as_str(), answer.field("connection")), ("finished", Some("close")));
    let status = tokio::task::block_in_place(|| process.child.wait()).unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_do_not_finish_are_cut_off_after_the_grace_period() {
    let address = raw(|mut stream| async move {
        read_request(&mut stream).await;
        tokio::time::sleep(PATIENCE).await;
    })
    .await;
    let mut process = Process::start(&["--grace-period", "1"]);
    process.post("/", address, "").await;
    let mut busy = Client::connect(process.public).await;
    busy.send(get("/")).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    process.signal("INT");
    let started = std::time::Instant::now();
    let status = tokio::task::block_in_place(|| process.child.wait()).unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert!(busy.answer(false).await.is_none());
}

/// WebSockets go on for the grace period, in which browsers find their way to the next process, and no longer.
#[tokio::test(flavor = "multi_thread")]
async fn tunnels_go_on_for_the_grace_period_and_no_longer() {
    let mut process = Process::start(&["--grace-period", "2"]);
    process.post("/", echo_server().await, "").await;
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{}/", process.public)).await.unwrap();
    process.signal("TERM");
    let started = std::time::Instant::now();
    eventually("the end of accepting", async || TcpStream::connect(process.public).await.is_err()).await;
    socket.send(Message::text("last words")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("last words"));
    let status = tokio::task::block_in_place(|| process.child.wait()).unwrap();
    assert_eq!(status.code(), Some(0));
    assert!((2..PATIENCE.as_secs()).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
}

/// A mounted Secret changes by swapping a link to a directory; what cannot be used changes nothing.
#[tokio::test]
async fn the_token_file_is_read_again_when_it_changes() {
    let directory = tempfile::tempdir().unwrap();
    let publish = |version: &str, content: &str| {
        let (data, link) = (directory.path().join(version), directory.path().join("..data"));
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join("token"), content).unwrap();
        std::os::unix::fs::symlink(&data, directory.path().join("new")).unwrap();
        std::fs::rename(directory.path().join("new"), link).unwrap();
    };
    publish("1", "first\n");
    let file = directory.path().join("token");
    std::os::unix::fs::symlink("..data/token", &file).unwrap();
    let process = Process::start(&["--auth-token-file", file.to_str().unwrap()]);
    let target = "127.0.0.1:1".parse().unwrap();
    assert_eq!(process.post("/a", target, "first").await, 201);
    assert_eq!(process.post("/a", target, "second").await, 403);
    publish("2", "second");
    eventually("the second token", async || process.post("/a", target, "second").await == 201).await;
    assert_eq!(process.post("/a", target, "first").await, 403);
    publish("3", "");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(process.post("/a", target, "second").await, 201);
}

/// While the token rotates, every accepted version opens the API, and none longer than it is accepted.
#[tokio::test]
async fn the_versions_of_a_mounted_token_are_accepted_as_they_change() {
    let directory = tempfile::tempdir().unwrap();
    let publish = |state: &str, files: &[(&str, &str)]| {
        let data = directory.path().join(state);
        std::fs::create_dir(&data).unwrap();
        for (name, content) in files {
            std::fs::write(data.join(name), content).unwrap();
        }
        std::os::unix::fs::symlink(&data, directory.path().join("new")).unwrap();
        std::fs::rename(directory.path().join("new"), directory.path().join("..data")).unwrap();
    };
    publish("1", &[("proxy-token", "zero")]);
    let process = Process::start(&["--auth-token-dir", directory.path().to_str().unwrap()]);
    let target = "127.0.0.1:1".parse().unwrap();
    assert_eq!(process.post("/a", target, "zero").await, 201);
    assert_eq!(process.post("/a", target, "one").await, 403);
    let versions = |text: &'static str| ("versions.json", text);
    let [zero, one] = [("proxy-token.0", "zero"), ("proxy-token.1", "one")];
    publish("2", &[("proxy-token", "zero"), zero, one, versions(r#"{"current": 0, "accepted": [0, 1]}"#)]);
    eventually("the second version", async || process.post("/a", target, "one").await == 201).await;
    assert_eq!(process.post("/a", target, "zero").await, 201);
    publish("3", &[("proxy-token", "one"), one, versions(r#"{"current": 1, "accepted": [1]}"#)]);
    eventually("the end of the first version", async || process.post("/a", target, "zero").await == 403).await;
    publish("4", &[versions(r#"{"current": 2, "accepted": [2]}"#)]);
    tokio::time::sleep(Duration::from_millis(2000)).await;
    assert_eq!(process.post("/a", target, "one").await, 201);
}

/// Row 66 of the attacks: nobody but root may look into the process, and there is no dump of it.
#[tokio::test]
async fn its_memory_is_closed_to_others_row_66() {
    use std::os::unix::fs::MetadataExt as _;
    let process = Process::start(&[]);
    let environ = format!("/proc/{}/environ", process.child.id());
    // What belongs to a process that can't be dumped belongs to root.
    assert_eq!(std::fs::metadata(environ).unwrap().uid(), 0);
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.child.id())).unwrap();
    println!("{}", status.lines().filter(|line| line.starts_with("CoreDumping")).collect::<String>());
}

#[tokio::test]
async fn unix_sockets_serve_too_and_are_taken_over() {
    let directory = tempfile::tempdir().unwrap();
    let (public, api) = (directory.path().join("proxy.sock"), directory.path().join("api.sock"));
    // Left behind by a process that was killed.
    drop(std::os::unix::net::UnixListener::bind(&public).unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_hub-proxy"));
    command.arg("--socket").arg(&public).arg("--api-socket").arg(&api).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let ask = async |socket: &Path, path: &str| {
        let mut stream = tokio::net::UnixStream::connect(socket).await.ok()?;
        let wire = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        tokio::io::AsyncWriteExt::write_all(&mut stream, wire.as_bytes()).await.ok()?;
        let mut answer = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await.ok()?;
        Some(answer)
    };
    for (socket, path) in [(&public, "/_chp_healthz"), (&api, "/api/routes")] {
        eventually(path, async || ask(socket, path).await.is_some_and(|answer| answer.starts_with("HTTP/1.1 200 ")))
            .await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Row 40 of the faults: with few files there is room for few people, and the others are told so; the hub is heard all the
/// same, and who comes later gets in.
#[tokio::test]
async fn with_few_files_people_are_turned_away_and_the_hub_is_heard_row_40() {
    let backend = Backend::echo().await;
    let mut command = Command::new("prlimit");
    command.args(["--nofile=256", "--", env!("CARGO_BIN_EXE_hub-proxy")]);
    let process = Process::run(set_up(command, &["--keep-alive-timeout", "60000"]));
    assert_eq!(process.post("/", backend.address, "").await, 201);
    let mut people = Vec::new();
    let mut turned_away = 0;
    for _ in 0..400 {
        let mut client = Client::connect(process.public).await;
        client.send(get("/")).await;
        match client.answer(false).await {
            Some(answer) if answer.status == 200 => people.push(client),
            _ => turned_away += 1,
        }
    }
    assert!((64..200).contains(&people.len()) && turned_away > 200, "{} are in", people.len());
    assert_eq!(process.post("/other", backend.address, "").await, 201);
    people.truncate(1);
    eventually("a place", async || process.status("/").await == 200).await;
}

#[test]
fn it_does_not_start_with_what_it_cannot_honour() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("token");
    std::fs::write(&empty, "\n").unwrap();
    let missing = directory.path().join("missing");
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    for (arguments, named) in [
        (vec!["--auth-token-file".to_owned(), path(&empty)], "is empty"),
        (vec!["--auth-token-file".to_owned(), path(&missing)], "missing"),
        (vec!["--ssl-key".to_owned(), "key.pem".to_owned()], "--ssl-cert"),
        (vec!["--ssl-cert".to_owned(), path(&missing)], "missing"),
        (vec!["--redirect-port".to_owned(), "0".to_owned()], "certificates not provided"),
        (vec!["--default-target".to_owned(), "file:///a".to_owned()], "--default-target"),
    ] {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let output = command(&arguments).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && message.contains(named), "{arguments:?}: {message}");
    }
}

#[tokio::test]
async fn idle_it_takes_little_memory_and_a_pid_file_comes_and_goes() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let mut process = Process::start(&["--pid-file", file.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), process.child.id().to_string());
    assert_eq!(process.status("/_chp_healthz").await, 200);
    let idle: Vec<_> = futures::future::join_all((0..200).map(|_| Client::connect(process.public))).await;
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kilobytes: u64 = line.split_whitespace().next().unwrap().parse().unwrap();
    println!("resident with {} idle connections: {kilobytes} kB", idle.len());
    assert!(kilobytes < 12 * 1024, "{kilobytes} kB");
    process.signal("TERM");
    process.child.wait().unwrap();
    assert!(!file.exists());
}

/// A token in an address must not be found in a log.
#[tokio::test]
async fn tokens_stay_out_of_the_access_log() {
    let mut child = command(&["--access-log", "--log-level", "debug"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = log.by_ref().map_while(Result::ok).find(|line| line.contains("accepting connections")).unwrap();
    let public = line.split_whitespace().find_map(|word| word.strip_prefix("public=")).unwrap().parse().unwrap();
    let mut client = Client::connect(public).await;
    client.send(get("/user/a?token=secret-value")).await;
    assert_eq!(client.answer(false).await.unwrap().status, 404);
    let mut access = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut access).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let rest: Vec<String> = log.map_while(Result::ok).collect();
    let entry: serde_json::Value = serde_json::from_str(&access).unwrap();
    assert_eq!((&entry["path"], &entry["status"]), (&"/user/a".into(), &404.into()));
    assert!(!access.contains("secret-value") && !rest.iter().any(|line| line.contains("secret-value")), "{rest:#?}");
}
