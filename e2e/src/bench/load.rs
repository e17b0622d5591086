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
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep_until, timeout},
};

use super::MICROSECOND;

/// Connections at a time.
const CONNECTIONS: usize = 32;
/// An answer that takes longer is an error.
const ANSWER: Duration = Duration::from_secs(30);
/// Stands in a request's body for the time at which it is sent, and is as long.
pub(super) const NOW: &str = "0000-00-00T00:00:00.000000Z";
/// Words of an answer that are as long are times or signed values, and differ from answer to answer.
const LONG_WORD: usize = 20;

/// A request, and what its answer must be.
#[derive(Debug)]
pub(super) struct Request {
    bytes: Vec<u8>,
    /// Where [`NOW`] stands.
    times: Vec<usize>,
    /// A part of each good answer's body.
    marker: String,
}

impl Request {
    pub(super) fn get(path: &str, token: Option<&str>, marker: &str) -> Self {
        Self::new("GET", path, token, None, marker)
    }

    /// As a browser asks that is logged in. Its cookies are those of a host and port.
    pub(super) fn get_with_cookies(host: &str, path: &str, cookies: &str, marker: &str) -> Self {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\nCookie: {cookies}\r\n\r\n");
        Self { bytes: head.into_bytes(), times: Vec::new(), marker: marker.to_owned() }
    }

    pub(super) fn post(path: &str, token: Option<&str>, json: &str) -> Self {
        Self::new("POST", path, token, Some(json), "")
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
        let times = text.match_indices(NOW).map(|(at, _)| at).collect();
        Self { bytes: text.into_bytes(), times, marker: marker.to_owned() }
    }

    /// What is sent now.
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
#[derive(Debug)]
pub(super) struct Load {
    requests: Arc<[Request]>,
    /// Of each request's first answer what does not change; 0 before it.
    bodies: Arc<[AtomicU64]>,
    next: Arc<AtomicUsize>,
}

/// How one round went.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) time: Duration,
    /// How long each answer took, the shortest first.
    latencies: Vec<Duration>,
}

impl Round {
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
        Self { requests: requests.clone(), bodies, next: Arc::default() }
    }

    /// Sends for a while, on each connection as soon as the last answer is there, or `pace` requests a second over all.
    /// Latencies of a pace count from when the request was due.
    pub(super) async fn run(&self, address: SocketAddr, time: Duration, pace: Option<f64>) -> Result<Round> {
        let start = Instant::now();
        let schedule = Schedule { start, end: start + time, interval: pace.map(|pace| CONNECTIONS as f64 / pace) };
        let connections = (0..CONNECTIONS).map(|connection| self.connection(address, schedule, connection));
        let mut latencies = try_join_all(connections).await?.concat();
        latencies.sort_unstable();
        ensure!(!latencies.is_empty(), "no answer came");
        Ok(Round { time: start.elapsed(), latencies })
    }

    async fn connection(&self, address: SocketAddr, schedule: Schedule, connection: usize) -> Result<Vec<Duration>> {
        let mut stream = TcpStream::connect(address).await.context("failed to connect")?;
        stream.set_nodelay(true)?;
        let mut buffer = Vec::new();
        let mut latencies = Vec::new();
        while let Some(due) = schedule.due(connection, latencies.len()) {
            sleep_until(due.into()).await;
            let index = self.next.fetch_add(1, Ordering::Relaxed) % self.requests.len();
            let request = &self.requests[index];
            stream.write_all(&request.bytes()).await.context("failed to send a request")?;
            let answer = timeout(ANSWER, read_answer(&mut stream, &mut buffer)).await.context("no answer came")??;
            latencies.push(due.elapsed());
            self.check(index, &answer)?;
        }
        Ok(latencies)
    }

    /// The status is 200, the body that of the right thing and, but for times and signatures, always the same.
    fn check(&self, index: usize, answer: &Answer) -> Result<()> {
        let marker = &self.requests[index].marker;
        let text = String::from_utf8_lossy(&answer.body);
        ensure!(answer.status == 200, "an answer has status {}: {text}", answer.status);
        ensure!(text.contains(marker.as_str()), "an answer lacks {marker}: {text}");
        let hash = stable_hash(&answer.body);
        if let Err(before) = self.bodies[index].compare_exchange(0, hash, Ordering::Relaxed, Ordering::Relaxed) {
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
    /// Seconds between two requests of a connection; none: as soon as the last answer is there.
    interval: Option<f64>,
}

impl Schedule {
    /// When a connection's request is due; `None` once the time is over.
    fn due(self, connection: usize, request: usize) -> Option<Instant> {
        let due = match self.interval {
            Some(interval) => {
                let turn = request as f64 + connection as f64 / CONNECTIONS as f64;
                self.start + Duration::from_secs_f64(interval * turn)
            }
            None => Instant::now(),
        };
        (due < self.end).then_some(due)
    }
}

struct Answer {
    status: u16,
    body: Vec<u8>,
}

/// Reads one answer. `buffer` is empty before and after: nothing is sent unasked.
async fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Answer> {
    buffer.clear();
    loop {
        if let Some((head, status, length)) = read_head(buffer)? {
            let end = head + length;
            ensure!(buffer.len() <= end, "an answer is longer than it says");
            if buffer.len() == end {
                return Ok(Answer { status, body: buffer.split_off(head) });
            }
        }
        if stream.read_buf(buffer).await? == 0 {
            bail!("the connection was closed: {}", String::from_utf8_lossy(buffer));
        }
    }
}

/// Length of the head, status, and length of the body, once the head is complete.
fn read_head(buffer: &[u8]) -> Result<Option<(usize, u16, usize)>> {
    let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&buffer[..end]).context("a head is no text")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("an answer without status")?;
    let length =
        lines.filter_map(|line| line.split_once(':')).find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let (_, length) = length.with_context(|| format!("an answer does not say its length: {head}"))?;
    Ok(Some((end + 4, status.parse()?, length.trim().parse()?)))
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
        assert_eq!(read_head(&answer[..30]).unwrap(), None);
        assert_eq!(read_head(answer).unwrap(), Some((answer.len() - 2, 201, 2)));
        assert!(read_head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
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
        let schedule = Schedule { start, end: start + Duration::from_secs(1), interval: Some(0.5) };
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
}
