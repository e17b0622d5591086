//! Requests that are refused by their head, on raw sockets; and what others make of the same bytes, where they are installed:
//! `CHP` holds the command of configurable-http-proxy, `NGINX` and `HAPROXY` name programs.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::backend::{Backend, closed_port, ok};
use crate::harness::TestProxy;
use crate::parity::start_original;

/// Bytes that must not get through.
struct Attack {
    /// In the table of attacks.
    row: u8,
    what: &'static str,
    wire: String,
    /// What our proxy answers.
    status: u16,
}

/// What may hide behind a head.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";

fn attacks() -> Vec<Attack> {
    let post = |fields: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}");
    let get = |fields: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let line = |line: &str| format!("{line}\r\nHost: a\r\n\r\n");
    let chunked = "Transfer-Encoding: chunked\r\n";
    let hidden = |fields: &str| post(fields, HIDDEN);
    let many = "a: b\r\n".repeat(100_000);
    [
        (
            1,
            "Content-Length and Transfer-Encoding",
            post(&format!("Content-Length: 6\r\n{chunked}"), &format!("0\r\n\r\n{HIDDEN}")),
            400,
        ),
        (
            1,
            "the same, the other way round",
            post(&format!("{chunked}Content-Length: 6\r\n"), &format!("0\r\n\r\n{HIDDEN}")),
            400,
        ),
        (3, "two lengths", hidden("Content-Length: 0\r\nContent-Length: 34\r\n"), 400),
        (3, "two lengths in one field", hidden("Content-Length: 0, 34\r\n"), 400),
        (3, "a length with a sign", hidden("Content-Length: +34\r\n"), 400),
        (3, "a negative length", hidden("Content-Length: -1\r\n"), 400),
        (3, "a hexadecimal length", hidden("Content-Length: 0x22\r\n"), 400),
        (3, "a length of 2^64", hidden("Content-Length: 18446744073709551616\r\n"), 400),
        (3, "an empty length", hidden("Content-Length: \r\n"), 400),
        (4, "an unknown coding", hidden("Transfer-Encoding: xchunked\r\n"), 501),
        (4, "chunked is not the last coding", hidden("Transfer-Encoding: chunked, identity\r\n"), 501),
        (4, "a coding behind a vertical tab", hidden("Transfer-Encoding: \x0bchunked\r\n"), 400),
        (4, "chunked twice", hidden("Transfer-Encoding: chunked, chunked\r\n"), 501),
        (4, "two fields with a coding", hidden("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"), 501),
        (4, "a coding in HTTP/1.0", format!("POST / HTTP/1.0\r\nHost: a\r\n{chunked}\r\n0\r\n\r\n{HIDDEN}"), 400),
        (6, "lines that end with a line feed alone", format!("GET / HTTP/1.1\nHost: a\n\n{HIDDEN}"), 400),
        (6, "a bare carriage return", get("X: a\rb\r\n"), 400),
        (6, "NUL in a field", get("X: a\0b\r\n"), 400),
        (7, "a space before the colon", hidden("Content-Length : 34\r\n"), 400),
        (7, "a folded field", get("X: a\r\n folded\r\n"), 400),
        (7, "a space before the first field", "GET / HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n".to_owned(), 400),
        (7, "a field without a name", get(": x\r\n"), 400),
        (8, "no Host", "GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        (8, "two Hosts", get("Host: b\r\n"), 400),
        (8, "a Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".to_owned(), 400),
        (8, "user information in the target", line("GET http://a@b/ HTTP/1.1"), 400),
        (8, "another scheme in the target", line("GET ftp://a/ HTTP/1.1"), 400),
        (9, "a method that is no token", line("G@T / HTTP/1.1"), 400),
        (9, "HTTP/0.9", "GET /\r\n\r\n".to_owned(), 400),
        (9, "HTTP/1.32", line("GET / HTTP/1.32"), 505),
        (9, "HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 505),
        (9, "CONNECT", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n".to_owned(), 405),
        (10, "a target of 64 KiB", line(&format!("GET /{} HTTP/1.1", "a".repeat(64 * 1024))), 414),
        (10, "a field of 1 MiB", get(&format!("X: {}\r\n", "a".repeat(1024 * 1024))), 431),
        (10, "100,000 fields", get(&many), 431),
        (13, "an unknown expectation", get("Expect: tea\r\n"), 417),
        (19, "a backslash in the path", line("GET /a\\..\\b HTTP/1.1"), 400),
        (19, "NUL in the path", line("GET /%00 HTTP/1.1"), 400),
        (19, "overlong UTF-8 in the path", line("GET /%c0%ae%c0%ae/ HTTP/1.1"), 400),
        (19, "a percent sign alone", line("GET /%zz HTTP/1.1"), 400),
    ]
    .map(|(row, what, wire, status)| Attack { row, what, wire, status })
    .into()
}

/// Each of a row is answered with its status, the connection ends, and the backend sees nothing of it.
async fn are_refused(row: u8) {
    let backend = Backend::fixed(ok("")).await;
    let proxy = TestProxy::to(backend.address).await;
    let of_row: Vec<_> = attacks().into_iter().filter(|attack| attack.row == row).collect();
    assert!(!of_row.is_empty());
    for Attack { what, wire, status, .. } in of_row {
        let mut client = proxy.client().await;
        client.send(&wire).await;
        let answer = client.answer(false).await.unwrap_or_else(|| panic!("no answer to {what}"));
        assert_eq!(answer.status, status, "{what}");
        assert_eq!(answer.field("connection"), Some("close"), "{what}");
        assert!(client.rest().await.is_empty(), "{what}: it was answered twice");
    }
    assert_eq!(backend.requests(), Vec::<String>::new());
}

macro_rules! rows {
    ($($name:ident: $row:literal,)*) => {$(
        #[tokio::test]
        async fn $name() {
            are_refused($row).await;
        }
    )*};
}

rows! {
    two_framings_are_refused_row_1: 1,
    doubtful_lengths_are_refused_row_3: 3,
    doubtful_codings_are_refused_row_4: 4,
    doubtful_lines_are_refused_row_6: 6,
    doubtful_fields_are_refused_row_7: 7,
    doubtful_hosts_are_refused_row_8: 8,
    doubtful_request_lines_are_refused_row_9: 9,
    heads_without_measure_are_refused_row_10: 10,
    unknown_expectations_are_refused_row_13: 13,
    doubtful_paths_are_refused_row_19: 19,
}

/// Another proxy, with a backend of its own.
struct Peer {
    name: &'static str,
    public: SocketAddr,
    backend: Backend,
    child: Option<Child>,
    _directory: Option<TempDir>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Peer {
    /// A program with a settings file; `None` where it isn't installed.
    async fn start(
        name: &'static str,
        variable: &str,
        flag: &str,
        settings: fn(SocketAddr, SocketAddr, &str) -> String,
    ) -> Option<Self> {
        let program = std::env::var_os(variable)?;
        let (backend, public) = (Backend::fixed(ok("")).await, closed_port().await);
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("settings");
        std::fs::write(&file, settings(public, backend.address, directory.path().to_str().unwrap())).unwrap();
        let mut command = Command::new(program);
        command.arg(flag).arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        let child = Some(command.spawn().unwrap());
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(public).await.is_err() {
            assert!(Instant::now() < deadline, "{name} does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Some(Self { name, public, backend, child, _directory: Some(directory) })
    }

    /// Status codes that came back, and requests that got through.
    async fn outcome(&self, wire: &str) -> String {
        let before = self.backend.requests().len();
        let mut stream = TcpStream::connect(self.public).await.unwrap();
        let _ = stream.write_all(wire.as_bytes()).await;
        let (mut answer, mut chunk) = (Vec::new(), [0; 4096]);
        while let Ok(Ok(count)) = tokio::time::timeout(Duration::from_millis(700), stream.read(&mut chunk)).await {
            if count == 0 {
                break;
            }
            answer.extend_from_slice(&chunk[..count]);
        }
        let text = String::from_utf8_lossy(&answer).into_owned();
        let statuses: Vec<_> = text.split("HTTP/1.").skip(1).filter_map(|rest| rest.get(2..5)).collect();
        let answered = if statuses.is_empty() { "nothing".to_owned() } else { statuses.join(", ") };
        match self.backend.requests().len() - before {
            0 => answered,
            1 => format!("{answered}; passed on"),
            count => format!("{answered}; passed on as {count} requests"),
        }
    }
}

fn nginx(public: SocketAddr, backend: SocketAddr, directory: &str) -> String {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {directory}/{kind};"));
    format!(
        "daemon off; master_process off; error_log /dev/null; pid {directory}/pid; events {{}}\n\
         http {{ access_log off; {} upstream b {{ server {backend}; keepalive 8; }}\n\
         server {{ listen {public}; location / {{ proxy_pass http://b; proxy_http_version 1.1; proxy_set_header Connection \"\"; }} }} }}\n",
        temporary.concat()
    )
}

fn haproxy(public: SocketAddr, backend: SocketAddr, _: &str) -> String {
    format!(
        "global\n  maxconn 100\ndefaults\n  mode http\n  timeout connect 2s\n  timeout client 5s\n  timeout server 5s\n\
         frontend f\n  bind {public}\n  default_backend b\nbackend b\n  server s {backend}\n"
    )
}

async fn chp() -> Option<(Peer, impl Drop)> {
    let original = start_original().await?;
    let backend = Backend::fixed(ok("")).await;
    original.lead("/", backend.address).await;
    let public = original.public;
    Some((Peer { name: "configurable-http-proxy", public, backend, child: None, _directory: None }, original))
}

/// A table of who lets what through. It is skipped where there is nobody to compare with.
#[tokio::test]
async fn others_beside_it() {
    let original = chp().await;
    let (original, _running) = original.map_or((None, None), |(peer, running)| (Some(peer), Some(running)));
    let peers = [
        original,
        Peer::start("nginx", "NGINX", "-c", nginx).await,
        Peer::start("HAProxy", "HAPROXY", "-f", haproxy).await,
    ];
    let peers: Vec<_> = peers.into_iter().flatten().collect();
    if peers.is_empty() {
        return println!("skipped: none of CHP, NGINX and HAPROXY names a program");
    }
    let names: Vec<_> = peers.iter().map(|peer| peer.name).collect();
    println!("| row | what | hub-proxy | {} |\n|---|---|---|{}", names.join(" | "), "---|".repeat(names.len()));
    for attack in attacks() {
        let mut line = format!("| {} | {} | {} |", attack.row, attack.what, attack.status);
        for peer in &peers {
            line += &format!(" {} |", peer.outcome(&attack.wire).await);
        }
        println!("{line}");
    }
}
