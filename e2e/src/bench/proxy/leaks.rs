//! Connections that break in every way, and what of them is left afterwards.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{super::process::Process, traffic::websocket};

/// Connections at a time.
const AT_A_TIME: usize = 64;
/// After this long everything must be gone.
const DRAIN: Duration = Duration::from_secs(10);
/// What ends by itself does so within this.
const END: Duration = Duration::from_secs(30);

/// How a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Break {
    /// It says half a request and is reset.
    Connect,
    /// The server resets its connection in the middle of an answer.
    Server,
    /// The client sends a request and no more, and waits for what comes.
    HalfClosed,
    /// The client is gone in the middle of its request's body.
    Upload,
    /// The client is gone while its WebSocket talks.
    WebSocket,
}

impl Break {
    const ALL: [Self; 5] = [Self::Connect, Self::Server, Self::HalfClosed, Self::Upload, Self::WebSocket];

    async fn cause(self, address: SocketAddr) -> Result<()> {
        let head = |method: &str, path: &str, fields: &str| {
            format!("{method} /user/u/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{fields}\r\n")
        };
        match self {
            Self::Connect => reset(say(address, "GET /user/u/ HTTP/1.1\r\nHo").await?),
            Self::Server => {
                let mut stream = say(address, &head("GET", "broken", "")).await?;
                let answer = read_all(&mut stream).await?;
                ensure!(answer.len() < 1000, "a broken answer became a whole one");
                Ok(())
            }
            Self::HalfClosed => {
                let mut stream = say(address, &head("GET", "bytes/200", "")).await?;
                stream.shutdown().await?;
                read_all(&mut stream).await.map(drop)
            }
            Self::Upload => {
                let text = head("POST", "bytes/200", "Content-Length: 1000000\r\n") + &"x".repeat(10_000);
                reset(say(address, &text).await?)
            }
            Self::WebSocket => {
                let mut stream = websocket(address).await?;
                stream.write_all(b"a message").await?;
                reset(stream)
            }
        }
    }
}

async fn say(address: SocketAddr, text: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await.context("failed to connect")?;
    stream.write_all(text.as_bytes()).await?;
    Ok(stream)
}

/// What comes until the end, or until a reset.
async fn read_all(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    // A reset is an end as well.
    let _ = timeout(END, stream.read_to_end(&mut all)).await.context("a broken connection does not end")?;
    Ok(all)
}

fn reset(stream: TcpStream) -> Result<()> {
    stream.set_zero_linger()?;
    drop(stream);
    Ok(())
}

/// Breaks so many connections, in every way in turn.
pub(super) async fn break_connections(address: SocketAddr, count: usize) -> Result<()> {
    let next = AtomicUsize::new(0);
    let worker = async || -> Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(());
            }
            let way = Break::ALL[number % Break::ALL.len()];
            way.cause(address).await.with_context(|| format!("{way:?}, connection {number}"))?;
        }
    };
    try_join_all((0..AT_A_TIME).map(|_| worker())).await.map(drop)
}

/// What a process holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) files: usize,
    pub(super) sockets: usize,
    /// Bytes.
    pub(super) memory: f64,
}

impl Held {
    fn of(process: Process) -> Result<Self> {
        Ok(Self { files: process.open_files()?.len(), sockets: process.sockets()?, memory: process.memory()? })
    }

    /// What is left after the time that it may take to end.
    pub(super) async fn after_drain(process: Process) -> Result<Self> {
        sleep(DRAIN).await;
        Self::of(process)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Upstream;

    /// A server without a proxy has nothing left either: each way ends.
    #[tokio::test]
    async fn every_way_ends() {
        let upstream = Upstream::start().await.unwrap();
        break_connections(upstream.address, 2 * Break::ALL.len()).await.unwrap();
    }
}
