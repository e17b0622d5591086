//! Backends: one that answers whole requests, one that does anything with a connection.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::harness::field;

/// A server that sends fixed bytes to each request, and remembers what it was sent.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Backend {
    /// Answers each request with what `answer` makes of it; an answer that ends in `CLOSE` closes the connection.
    pub(crate) async fn with(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), answer).await
    }

    pub(crate) async fn at(address: SocketAddr, answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let (requests, seen) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (recorded, answer, count) = (requests.clone(), Arc::new(answer), seen.clone());
        let (address, task) = listen(address, move |mut stream| {
            let (recorded, answer) = (recorded.clone(), answer.clone());
            count.fetch_add(1, Ordering::SeqCst);
            async move {
                while let Some(request) = read_request(&mut stream).await {
                    let reply = answer(&request);
                    recorded.lock().unwrap().push(request);
                    let (bytes, close) = match reply.strip_suffix(b"CLOSE") {
                        Some(bytes) => (bytes, true),
                        None => (&reply[..], false),
                    };
                    if stream.write_all(bytes).await.is_err() || close {
                        return;
                    }
                }
            }
        })
        .await;
        Self { address, connections: seen, requests, task }
    }

    /// Answers 200 with the request as the body.
    pub(crate) async fn echo() -> Self {
        Self::with(ok).await
    }

    /// Answers every request with the same bytes.
    pub(crate) async fn fixed(reply: impl Into<Vec<u8>>) -> Self {
        let reply = reply.into();
        Self::with(move |_| reply.clone()).await
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

pub(crate) fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A server of WebSockets that says again what it hears.
pub(crate) async fn echo_server() -> SocketAddr {
    raw(|stream| async move {
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if message.is_close() || (!message.is_ping() && socket.send(message).await.is_err()) {
                break;
            }
        }
    })
    .await
}

/// Serves every connection with `serve`.
pub(crate) async fn raw<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    listen("127.0.0.1:0".parse().unwrap(), serve).await.0
}

async fn listen<F>(address: SocketAddr, serve: impl Fn(TcpStream) -> F + Send + 'static) -> (SocketAddr, JoinHandle<()>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    (address, task)
}

/// A port on which nobody listens.
pub(crate) async fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// One request as it came, head and body.
pub(crate) async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte).await {
            Ok(1) => bytes.push(byte[0]),
            _ => return None,
        }
    }
    let head = String::from_utf8_lossy(&bytes).into_owned();
    if let Some(length) = field(&head, "content-length") {
        // What can't be read is a request all the same: it got here.
        let Ok(length) = length.parse() else { return Some(head) };
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        bytes.extend_from_slice(&body);
    } else if field(&head, "transfer-encoding").is_some() {
        while !bytes.ends_with(b"\r\n0\r\n\r\n") {
            bytes.push(stream.read_u8().await.ok()?);
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
