//! A proxy in this process, and a client that sends and sees raw bytes.

use std::net::SocketAddr;
use std::time::Duration;

use hub_proxy::{Bind, BoundAddr, ProxyConfig, RouteTable};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Nothing on loopback takes this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct TestProxy {
    pub(crate) public: SocketAddr,
    pub(crate) api: SocketAddr,
    pub(crate) metrics: Option<SocketAddr>,
    /// The port that sends to HTTPS.
    pub(crate) redirect: Option<SocketAddr>,
    pub(crate) routes: RouteTable,
    stop: Option<DropGuard>,
}

pub(crate) fn loopback() -> Bind {
    Bind::Tcp("127.0.0.1".to_owned(), 0)
}

impl TestProxy {
    pub(crate) async fn start(config: ProxyConfig) -> Self {
        let proxy = hub_proxy::bind(config).await.unwrap();
        let tcp = |address: &BoundAddr| address.socket_addr().unwrap();
        let (public, api) = (tcp(proxy.public_addr()), tcp(proxy.api_addr().unwrap()));
        let (metrics, redirect) = (proxy.metrics_addr().map(tcp), proxy.redirect_addr().map(tcp));
        let routes = proxy.routes();
        let stop = CancellationToken::new();
        tokio::spawn(proxy.run(stop.clone()));
        Self { public, api, metrics, redirect, routes, stop: Some(stop.drop_guard()) }
    }

    /// Tells it to stop, as a signal would.
    pub(crate) fn stop(&mut self) {
        self.stop = None;
    }

    /// A proxy with one route, for everything.
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let proxy = Self::start(ProxyConfig::default()).await;
        proxy.route("/", target, json!({}));
        proxy
    }

    pub(crate) fn route(&self, path: &str, target: SocketAddr, mut data: Value) {
        data["target"] = format!("http://{target}").into();
        self.routes.add(path, data.as_object().cloned().unwrap()).unwrap();
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.public).await
    }

    /// One request on its own connection.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        let mut client = self.client().await;
        client.send(&get(path)).await;
        client.answer(false).await.unwrap()
    }
}

pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: proxy\r\n\r\n")
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }
}

pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// A connection on which bytes go out as they are and answers are read one by one.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), read: Vec::new() }
    }

    /// Sends; a proxy that has closed already is seen when its answer is read.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// Reads more; false at the end.
    async fn fill(&mut self) -> bool {
        let mut chunk = [0; 64 * 1024];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut chunk)).await.expect("nothing came");
        let count = read.unwrap_or(0);
        self.read.extend_from_slice(&chunk[..count]);
        count > 0
    }

    pub(crate) async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|window| window == end) {
                return Some(self.read.drain(..at + end.len()).collect());
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    pub(crate) async fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.read.len() < count {
            if !self.fill().await {
                return None;
            }
        }
        Some(self.read.drain(..count).collect())
    }

    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.read)
    }

    pub(crate) async fn head(&mut self) -> Option<String> {
        self.until(b"\r\n\r\n").await.map(|bytes| String::from_utf8(bytes).unwrap())
    }

    /// One whole answer; `None` if the connection ends before that.
    pub(crate) async fn answer(&mut self, to_head: bool) -> Option<Answer> {
        let head = self.head().await?;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let has_none = to_head || status < 200 || status == 204 || status == 304;
        let body = if has_none {
            Vec::new()
        } else if field(&head, "transfer-encoding").is_some() {
            self.chunks().await?
        } else if let Some(length) = field(&head, "content-length") {
            self.exactly(length.parse().unwrap()).await?
        } else {
            self.rest().await
        };
        Some(Answer { status, head, body })
    }

    async fn chunks(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = String::from_utf8(self.until(b"\r\n").await?).unwrap();
            let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
            let chunk = self.exactly(size + 2).await?;
            assert!(chunk.ends_with(b"\r\n"), "a chunk does not end where it should");
            body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                return Some(body);
            }
        }
    }
}
