//! Load that the generator does not know: WebSockets that are idle, and WebSockets that echo.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep_until, timeout},
};

use super::super::load::Round;
use crate::upstream::WEBSOCKET_KEY;

/// Handshakes at a time.
const AT_A_TIME: usize = 64;
/// An answer that takes longer is an error.
const ANSWER: Duration = Duration::from_secs(30);
/// A binary frame of a client: two bytes, two of its length, four of a mask that changes nothing, and the message.
const HEAD: [u8; 8] = [0x82, 0x80 | 126, (MESSAGE >> 8) as u8, (MESSAGE & 0xff) as u8, 0, 0, 0, 0];
const MESSAGE: usize = 1024;
const FRAME: usize = HEAD.len() + MESSAGE;

/// The handshake of a WebSocket of `/user/u`.
pub(super) fn handshake() -> String {
    format!(
        "GET /user/u/socket HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {WEBSOCKET_KEY}\r\n\r\n"
    )
}

/// Opens WebSockets.
pub(super) async fn open(address: SocketAddr, count: usize) -> Result<Vec<TcpStream>> {
    let mut open = Vec::with_capacity(count);
    while open.len() < count {
        let some = (count - open.len()).min(AT_A_TIME);
        open.extend(try_join_all((0..some).map(|_| websocket(address))).await?);
    }
    Ok(open)
}

/// One WebSocket after its handshake.
pub(super) async fn websocket(address: SocketAddr) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await.context("failed to connect")?;
    stream.set_nodelay(true)?;
    stream.write_all(handshake().as_bytes()).await?;
    let mut answer = Vec::with_capacity(1024);
    while !answer.ends_with(b"\r\n\r\n") {
        let read = timeout(ANSWER, stream.read_buf(&mut answer)).await.context("no handshake came")??;
        ensure!(read > 0, "a handshake broke off");
    }
    let text = String::from_utf8_lossy(&answer);
    ensure!(text.starts_with("HTTP/1.1 101 "), "a handshake was answered with {text}");
    Ok(stream)
}

/// Sends messages of 1 KB on each WebSocket for a while, `pace` a second on each, and checks what comes back. Latencies
/// count from when a message was due.
pub(super) async fn echo(sockets: &mut [TcpStream], pace: f64, time: Duration) -> Result<Round> {
    let start = Instant::now();
    let count = sockets.len();
    let each = sockets.iter_mut().enumerate().map(|(number, socket)| {
        let shift = number as f64 / count as f64 / pace;
        talk(socket, start, shift, pace, time)
    });
    let latencies = try_join_all(each).await?.concat();
    Round::of(start.elapsed(), latencies)
}

async fn talk(socket: &mut TcpStream, start: Instant, shift: f64, pace: f64, time: Duration) -> Result<Vec<Duration>> {
    let mut frame = vec![0; FRAME];
    frame[..HEAD.len()].copy_from_slice(&HEAD);
    let mut answer = vec![0; FRAME];
    let mut latencies = Vec::new();
    loop {
        let due = start + Duration::from_secs_f64(shift + latencies.len() as f64 / pace);
        if due >= start + time {
            return Ok(latencies);
        }
        sleep_until(due.into()).await;
        frame[HEAD.len()..][..8].copy_from_slice(&latencies.len().to_be_bytes());
        socket.write_all(&frame).await?;
        timeout(ANSWER, socket.read_exact(&mut answer)).await.context("no echo came")??;
        ensure!(answer == frame, "an echo is not what was sent");
        latencies.push(due.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Upstream;

    #[tokio::test]
    async fn messages_come_back_at_their_pace() {
        let upstream = Upstream::start().await.unwrap();
        let mut sockets = open(upstream.address, 2).await.unwrap();
        let round = echo(&mut sockets, 50.0, Duration::from_millis(100)).await.unwrap();
        assert_eq!(round.requests(), 10);
    }
}
