//! The load generator: connections that are kept open, one request at a time on each, and every answer checked.

use std::{
    collections::hash_map::DefaultHasher,
    hash::Hasher,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use futures::future::try_join_all;
use jiff::Timestamp;
use rustls::{HandshakeKind, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{sleep_until, timeout},
};
use tokio_rustls::TlsConnector;

use super::MICROSECOND;

/// Connections at a time, unless a load says another number.
const CONNECTIONS: usize = 32;
/// An answer that takes longer is an error.
const ANSWER: Duration = Duration::from_secs(30);
/// Stands in a request's body for the time at which it is sent, and is as long.
pub(super) const NOW: &str = "0000-00-00T00:00:00.000000Z";
/// Words of an answer that are as long are times or signed values, and differ from answer to answer.
const LONG_WORD: usize = 20;
/// Room to read into; long bodies are sent in pieces of the same size.
const BUFFER: usize = 64 * 1024;
static FILLING: [u8; BUFFER] = [b'x'; BUFFER];

/// A request, and what its answer must be.
#[derive(Debug)]
pub(super) struct Request {
    bytes: Vec<u8>,
    /// Where [`NOW`] stands.
    times: Vec<usize>,
    /// Bytes that are sent after all this, whatever they are.
    filling: usize,
    /// Of each good answer.
    status: u16,
    body: Body,
}

/// What the body of a good answer is.
#[derive(Debug)]
enum Body {
    /// It contains this, and is always the same but for times and signatures.
    Marked(String),
    /// So many bytes, which are counted as they come and not kept.
    Counted(usize),
}

impl Request {
    pub(super) fn get(path: &str, token: Option<&str>, marker: &str) -> Self {
        Self::new("GET", path, token, None, marker)
    }

    /// As a browser asks that is logged in. Its cookies are those of a host and port.
    pub(super) fn get_with_cookies(host: &str, path: &str, cookies: &str, marker: &str) -> Self {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\nCookie: {cookies}\r\n\r\n");
        Self::from_text(head, Body::Marked(marker.to_owned()))
    }

    /// The answer's body has so many bytes.
    pub(super) fn get_bytes(path: &str, length: usize) -> Self {
        let head = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n\r\n");
        Self::from_text(head, Body::Counted(length))
    }

    /// Sends so many bytes; the answer's body has as many as `answer` says.
    pub(super) fn post_bytes(path: &str, length: usize, answer: usize) -> Self {
        let head = format!("POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n\r\n");
        Self { filling: length, ..Self::from_text(head, Body::Counted(answer)) }
    }

    /// The same, but good answers have this status.
    pub(super) fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    pub(super) fn post(path: &str, token: Option<&str>, json: &str) -> Self {
        Self::new("POST", path, token, Some(json), "")
    }

    pub(super) fn delete(path: &str, token: Option<&str>) -> Self {
        Self { body: Body::Counted(0), ..Self::new("DELETE", path, token, None, "") }
    }

    fn new(method: &str, path: &str, token: Option<&str>, json: Option<&str>, marker: &str) -> Self {
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n");
        if let Some(token) = token {
            text += &format!("Authorization: token {token}\r\n");
        }
        if let Some(json) = json {
            text += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", json.len());
        }
        text += &format!("\r\n{}", json.unwrap_or_default());
        Self::from_text(text, Body::Marked(marker.to_owned()))
    }

    fn from_text(text: String, body: Body) -> Self {
        let times = text.match_indices(NOW).map(|(at, _)| at).collect();
        Self { bytes: text.into_bytes(), times, filling: 0, status: 200, body }
    }

    async fn send(&self, stream: &mut dyn Stream) -> Result<()> {
        if self.times.is_empty() {
            stream.write_all(&self.bytes).await?;
        } else {
            stream.write_all(&self.bytes()).await?;
        }
        let mut left = self.filling;
        while left > 0 {
            let part = left.min(FILLING.len());
            stream.write_all(&FILLING[..part]).await?;
            left -= part;
        }
        Ok(stream.flush().await?)
    }

    /// What is sent now, but for the filling.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        if !self.times.is_empty() {
            let now = format!("{:.6}", Timestamp::now());
            for at in &self.times {
                bytes[*at..*at + NOW.len()].copy_from_slice(now.as_bytes());
            }
        }
        bytes
    }
}

/// Requests that are sent in turn, and the answers that they had so far on one side.
#[derive(Clone, Debug)]
pub(super) struct Load {
    requests: Arc<[Request]>,
    /// Of each request's first answer what does not change; 0 before it.
    bodies: Arc<[AtomicU64]>,
    next: Arc<AtomicUsize>,
    /// After so many requests nothing is sent any more.
    limit: usize,
    connections: usize,
    tls: Option<Tls>,
    /// Each request has a connection of its own.
    reconnects: bool,
}

/// How connections are encrypted.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) connector: TlsConnector,
    pub(super) name: ServerName<'static>,
    /// What each handshake must be, if it matters, but for each connection's first.
    pub(super) handshakes: Option<HandshakeKind>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Tls").field("handshakes", &self.handshakes).finish_non_exhaustive()
    }
}

/// A connection, encrypted or not.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// How one round went.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) time: Duration,
    /// How long each answer took, the shortest first.
    latencies: Vec<Duration>,
}

impl Round {
    /// Of latencies in any order; an error if there are none.
    pub(super) fn of(time: Duration, mut latencies: Vec<Duration>) -> Result<Self> {
        ensure!(!latencies.is_empty(), "no answer came");
        latencies.sort_unstable();
        Ok(Self { time, latencies })
    }

    /// Microseconds of CPU time for each request, of what was needed for the round.
    pub(super) fn cpu_per_request(&self, cpu: Duration) -> f64 {
        cpu.as_secs_f64() * MICROSECOND / self.requests() as f64
    }

    pub(super) fn requests(&self) -> usize {
        self.latencies.len()
    }

    /// The time within which a part of all answers came: 0.5 is the median.
    pub(super) fn within(&self, part: f64) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies.get((last as f64 * part).round() as usize).copied().unwrap_or_default()
    }
}

impl Load {
    pub(super) fn new(requests: &Arc<[Request]>) -> Self {
        let bodies = requests.iter().map(|_| AtomicU64::new(0)).collect();
        Self {
            requests: requests.clone(),
            bodies,
            next: Arc::default(),
            limit: usize::MAX,
            connections: CONNECTIONS,
            tls: None,
            reconnects: false,
        }
    }

    pub(super) fn with_connections(self, connections: usize) -> Self {
        Self { connections, ..self }
    }

    pub(super) fn with_tls(self, tls: Option<Tls>) -> Self {
        Self { tls, ..self }
    }

    /// Each request once and no more.
    pub(super) fn once(self) -> Self {
        Self { limit: self.requests.len(), ..self }
    }

    /// Each request on a new connection, whose making counts as part of it.
    pub(super) fn reconnecting(self) -> Self {
        Self { reconnects: true, ..self }
    }

    /// Sends for a while, on each connection as soon as the last answer is there, or `pace` requests a second over all.
    /// Latencies of a pace count from when the request was due.
    pub(super) async fn run(&self, address: SocketAddr, time: Duration, pace: Option<f64>) -> Result<Round> {
        let start = Instant::now();
        let schedule = Schedule { start, end: start + time, connections: self.connections, pace };
        let connections = (0..self.connections).map(|connection| self.connection(address, schedule, connection));
        let latencies = try_join_all(connections).await?.concat();
        Round::of(start.elapsed(), latencies)
    }

    async fn connection(&self, address: SocketAddr, schedule: Schedule, connection: usize) -> Result<Vec<Duration>> {
        let mut stream = None;
        let mut buffer = Vec::with_capacity(BUFFER);
        let mut latencies = Vec::new();
        while let Some(due) = schedule.due(connection, latencies.len()) {
            sleep_until(due.into()).await;
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.limit {
                break;
            }
            let index = number % self.requests.len();
            let exchange = async {
                let mut open = match stream.take() {
                    Some(open) => open,
                    None => self.connect(address, number).await.context("failed to connect")?,
                };
                self.exchange(index, &mut *open, &mut buffer).await?;
                stream = Some(open).filter(|_| !self.reconnects);
                anyhow::Ok(())
            };
            timeout(ANSWER, exchange).await.context("no answer came")??;
            latencies.push(due.elapsed());
        }
        Ok(latencies)
    }

    /// The first sessions can't be resumed ones: there was none before.
    async fn connect(&self, address: SocketAddr, number: usize) -> Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let stream = tls.connector.connect(tls.name.clone(), stream).await?;
        let kind = stream.get_ref().1.handshake_kind();
        let is_free = tls.handshakes.is_none() || number < self.connections;
        ensure!(is_free || tls.handshakes == kind, "a handshake was {kind:?}");
        Ok(Box::new(stream))
    }

    /// Sends a request and checks its answer.
    async fn exchange(&self, index: usize, stream: &mut dyn Stream, buffer: &mut Vec<u8>) -> Result<()> {
        let request = &self.requests[index];
        request.send(stream).await.context("failed to send a request")?;
        let head = read_head(stream, buffer).await?;
        match &request.body {
            Body::Counted(length) => {
                ensure!(head.status == request.status, "an answer has status {}", head.status);
                ensure!(head.length == Some(*length), "an answer has {:?} bytes, not {length}", head.length);
                skip_body(stream, buffer, *length).await
            }
            Body::Marked(marker) => {
                let body = read_body(stream, buffer, head.length).await?;
                let text = String::from_utf8_lossy(&body);
                ensure!(head.status == request.status, "an answer has status {}: {text}", head.status);
                ensure!(text.contains(marker.as_str()), "an answer lacks {marker}: {text}");
                self.compare(index, &body)
            }
        }
    }

    /// The body is, but for times and signatures, always the same.
    fn compare(&self, index: usize, body: &[u8]) -> Result<()> {
        let hash = stable_hash(body);
        if let Err(before) = self.bodies[index].compare_exchange(0, hash, Ordering::Relaxed, Ordering::Relaxed) {
            let text = String::from_utf8_lossy(body);
            ensure!(before == hash, "an answer differs from the one before: {text}");
        }
        Ok(())
    }
}

/// When requests are due.
#[derive(Clone, Copy)]
struct Schedule {
    start: Instant,
    end: Instant,
    connections: usize,
    /// Requests a second over all connections; none: as soon as the last answer is there.
    pace: Option<f64>,
}

impl Schedule {
    /// When a connection's request is due; `None` once the time is over.
    fn due(self, connection: usize, request: usize) -> Option<Instant> {
        let due = match self.pace {
            Some(pace) => {
                let turn = request * self.connections + connection;
                self.start + Duration::from_secs_f64(turn as f64 / pace)
            }
            None => Instant::now(),
        };
        (due < self.end).then_some(due)
    }
}

/// The head of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    /// Its own length in bytes.
    end: usize,
    status: u16,
    /// Of the body; `None` if it comes in chunks.
    length: Option<usize>,
}

/// Reads the head of an answer, and leaves what came behind it in `buffer`. Nothing is sent unasked, so that the buffer
/// held nothing before.
async fn read_head(stream: &mut dyn Stream, buffer: &mut Vec<u8>) -> Result<Head> {
    buffer.clear();
    loop {
        if let Some(head) = parse_head(buffer)? {
            buffer.drain(..head.end);
            return Ok(head);
        }
        read_more(stream, buffer).await?;
    }
}

/// Reads a body that is kept.
async fn read_body(stream: &mut dyn Stream, buffer: &mut Vec<u8>, length: Option<usize>) -> Result<Vec<u8>> {
    // The bodies that come in chunks are JSON, which has no such line of its own.
    let is_whole = |body: &[u8]| match length {
        Some(length) => body.len() >= length,
        None => body.ends_with(b"\r\n0\r\n\r\n") || body == b"0\r\n\r\n",
    };
    while !is_whole(buffer) {
        read_more(stream, buffer).await?;
    }
    ensure!(length.is_none_or(|length| length == buffer.len()), "an answer is longer than it says");
    Ok(buffer.clone())
}

/// Reads a body of which only the length matters.
async fn skip_body(stream: &mut dyn Stream, buffer: &mut Vec<u8>, length: usize) -> Result<()> {
    let mut count = buffer.len();
    while count < length {
        buffer.clear();
        count += read_more(stream, buffer).await?;
    }
    ensure!(count == length, "an answer is longer than it says");
    Ok(())
}

async fn read_more(stream: &mut dyn Stream, buffer: &mut Vec<u8>) -> Result<usize> {
    match stream.read_buf(buffer).await? {
        0 => bail!("the connection was closed: {}", String::from_utf8_lossy(buffer)),
        read => Ok(read),
    }
}

/// The head, once it is whole.
fn parse_head(buffer: &[u8]) -> Result<Option<Head>> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut answer = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(end) = answer.parse(buffer)? else { return Ok(None) };
    let status = answer.code.context("an answer has a status")?;
    let value = |name: &str| answer.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
    let length = match (value("content-length"), value("transfer-encoding")) {
        (Some(length), _) => Some(std::str::from_utf8(length.value)?.trim().parse()?),
        (None, Some(_)) => None,
        (None, None) if status == 204 => Some(0),
        (None, None) => bail!("an answer does not say its length: {}", String::from_utf8_lossy(&buffer[..end])),
    };
    Ok(Some(Head { end, status, length }))
}

/// A key of what does not change; never 0.
fn stable_hash(body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for word in body.split(|byte| !(byte.is_ascii_alphanumeric() || b"_-.:+=".contains(byte))) {
        if word.len() < LONG_WORD {
            hasher.write(word);
        }
        hasher.write_u8(0);
    }
    hasher.finish() | 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[test]
    fn times_and_signatures_do_not_count() {
        let body = |time: &str, name: &str| stable_hash(format!(r#"{{"at":"{time}","name":"{name}"}}"#).as_bytes());
        let (early, late) = ("2026-11-25T22:51:16.467543Z", "2026-11-25T23:00:00.000000Z");
        assert_eq!(body(early, "ada"), body(late, "ada"));
        assert_ne!(body(early, "ada"), body(early, "bob"));
    }

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let answer = b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok";
        assert_eq!(parse_head(&answer[..30]).unwrap(), None);
        let head = Head { end: answer.len() - 2, status: 201, length: Some(2) };
        assert_eq!(parse_head(answer).unwrap(), Some(head));
        let length = |head: &[u8]| parse_head(head).unwrap().unwrap().length;
        assert_eq!(length(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), None);
        assert_eq!(length(b"HTTP/1.1 204 No Content\r\n\r\n"), Some(0));
        assert!(parse_head(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn the_time_is_that_of_sending() {
        let request = Request::post("/a", Some("t"), &format!(r#"{{"at": "{NOW}"}}"#));
        let text = String::from_utf8(request.bytes()).unwrap();
        let year = jiff::Zoned::now().year().to_string();
        assert!(!text.contains(NOW) && text.contains(&format!("\"{year}-")), "{text}");
        assert_eq!(text.len(), request.bytes.len());
    }

    #[test]
    fn a_pace_is_spread_over_the_connections() {
        let start = Instant::now();
        let schedule = Schedule { start, end: start + Duration::from_secs(1), connections: 32, pace: Some(64.0) };
        let due = |connection, request| Some((schedule.due(connection, request)? - start).as_millis());
        assert_eq!([due(0, 0), due(16, 0), due(0, 1), due(0, 2)], [Some(0), Some(250), Some(500), None]);
    }

    /// Answers each request with a body, until the connection ends.
    async fn serve(body: impl Fn(usize) -> &'static str + Send + Sync + Copy + 'static) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let mut count = 0;
                    let mut buffer = [0; 1024];
                    while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                        let body = body(count);
                        count += 1;
                        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                });
            }
        });
        address
    }

    fn load() -> Load {
        let requests: Arc<[Request]> = [Request::get("/", None, "a")].into();
        Load::new(&requests)
    }

    #[tokio::test]
    async fn a_round_counts_what_was_answered() {
        let address = serve(|_| "a body").await;
        let round = load().run(address, Duration::from_millis(100), Some(1000.0)).await.unwrap();
        assert_eq!(round.requests(), 100);
        assert!(round.within(0.5) <= round.within(0.99));
    }

    #[tokio::test]
    async fn an_answer_that_changes_or_is_another_voids_the_round() {
        let address = serve(|count| if count < 3 { "a body" } else { "a bad one" }).await;
        let error = load().run(address, Duration::from_millis(200), None).await.unwrap_err().to_string();
        assert!(error.contains("differs"), "{error}");
        let address = serve(|_| "none").await;
        let error = load().run(address, Duration::from_millis(50), None).await.unwrap_err().to_string();
        assert!(error.contains("lacks"), "{error}");
    }

    #[tokio::test]
    async fn a_counted_body_has_the_length_that_is_expected() {
        let upstream = crate::upstream::Upstream::start().await.unwrap();
        let run = async |request: Request| {
            let load = Load::new(&[request].into()).with_connections(2).reconnecting();
            load.run(upstream.address, Duration::from_millis(50), None).await
        };
        assert!(run(Request::get_bytes("/bytes/100000", 100_000)).await.unwrap().requests() > 0);
        assert!(run(Request::post_bytes("/bytes/3", 200_000, 3)).await.unwrap().requests() > 0);
        let error = run(Request::get_bytes("/bytes/4", 5)).await.unwrap_err().to_string();
        assert!(error.contains("Some(4) bytes, not 5"), "{error}");
        let error = run(Request::get_bytes("/bytes/4", 4).with_status(201)).await.unwrap_err().to_string();
        assert!(error.contains("status 200"), "{error}");
    }
}
