//! A client's connection: reads heads in time, and sends answers of the proxy's own.

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BufMut, BytesMut};
use tokio::time::Instant;

use crate::headers::{write_hsts, write_status, write_text};
use crate::http1::head::HeadScan;
use crate::http1::request::RequestError;
use crate::shared::Limits;
use crate::stream::{Conn, Stream};
use crate::timer::Timer;

/// While a request is answered, so much of the next ones is read, to notice when the client goes away.
const READ_AHEAD: usize = 8 * 1024;
/// How long, and how much, is still read from a client that was refused, so that it gets to see why.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 * 1024;

pub(crate) struct Client {
    pub(crate) conn: Conn,
    pub(crate) timer: Timer,
    pub(crate) peer: Option<IpAddr>,
    /// `Strict-Transport-Security` of each answer.
    pub(crate) hsts: Option<Arc<str>>,
}

#[derive(Debug)]
pub(crate) enum NoHead {
    /// The client left, or was idle for too long.
    Gone,
    /// The head did not come in time.
    Slow,
    Refused(RequestError),
}

/// An answer of the proxy's own.
#[derive(Debug, Default)]
pub(crate) struct Reply<'a> {
    pub(crate) status: u16,
    pub(crate) content_type: &'a str,
    pub(crate) content_encoding: Option<&'a str>,
    pub(crate) extra: &'a str,
    pub(crate) body: &'a [u8],
    pub(crate) to_head: bool,
    pub(crate) keep_alive: bool,
}

impl Client {
    /// `hsts` is sent if the connection is encrypted.
    pub(crate) fn new(stream: Stream, peer: Option<IpAddr>, hsts: Option<Arc<str>>) -> Self {
        let hsts = hsts.filter(|_| stream.is_secure());
        Self { conn: Conn::new(stream), timer: Timer::default(), peer, hsts }
    }

    /// Waits for the next request and gives the length of its head, which stands at the front of the buffer.
    pub(crate) async fn read_head(&mut self, limits: &Limits, idle: Duration) -> Result<usize, NoHead> {
        let mut scan = HeadScan::default();
        let mut has_begun = !self.conn.read.is_empty();
        let mut deadline = Instant::now() + if has_begun { limits.head } else { idle };
        let mut skipped = false;
        poll_fn(|cx| {
            loop {
                match scan.find(&self.conn.read) {
                    // One empty line before a request is forgiven (RFC 9112 section 2.2).
                    Ok(Some(2)) if !skipped => {
                        self.conn.read.advance(2);
                        skipped = true;
                        continue;
                    }
                    Ok(Some(length)) => return Poll::Ready(Ok(length)),
                    Ok(None) => {}
                    Err(error) => return Poll::Ready(Err(NoHead::Refused(error.into()))),
                }
                match self.conn.poll_fill(cx) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(NoHead::Gone)),
                    Poll::Ready(Ok(_)) if !has_begun => {
                        has_begun = true;
                        deadline = Instant::now() + limits.head;
                    }
                    Poll::Ready(Ok(_)) => {}
                    Poll::Pending => break,
                }
            }
            let late = if has_begun { NoHead::Slow } else { NoHead::Gone };
            self.timer.poll(cx, deadline).map(|()| Err(late))
        })
        .await
    }

    /// Ready once the client has closed the connection. What it sends meanwhile is kept for later, within bounds.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.conn.read.len() < READ_AHEAD {
            match self.conn.poll_fill(cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => break,
            }
        }
        Poll::Pending
    }

    pub(crate) async fn reply(&mut self, reply: &Reply<'_>) -> std::io::Result<()> {
        let mut out = BytesMut::with_capacity(256 + reply.body.len());
        write_status(&mut out, reply.status, reason(reply.status));
        write_text(&mut out, format_args!("Content-Length: {}\r\n", reply.body.len()));
        if !reply.content_type.is_empty() {
            write_text(&mut out, format_args!("Content-Type: {}\r\n", reply.content_type));
        }
        if let Some(encoding) = reply.content_encoding {
            write_text(&mut out, format_args!("Content-Encoding: {encoding}\r\n"));
        }
        out.put_slice(reply.extra.as_bytes());
        write_hsts(&mut out, self.hsts.as_deref());
        if !reply.keep_alive {
            out.put_slice(b"Connection: close\r\n");
        }
        out.put_slice(b"\r\n");
        if !reply.to_head {
            out.put_slice(reply.body);
        }
        self.conn.write_all(&out).await
    }

    /// Refuses a request for its form; the connection is of no use after that.
    pub(crate) async fn refuse(&mut self, status: u16, text: &str) {
        let version = if status == 426 { "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" } else { "" };
        let body = format!("{text}\n");
        let reply =
            Reply { status, content_type: "text/plain", extra: version, body: body.as_bytes(), ..Reply::default() };
        // A client that does not read its refusal has lost nothing.
        let _ = self.reply(&reply).await;
    }

    /// Closes, but reads a little of what is still coming: closing with unread bytes would reset the connection, and
    /// the client might never see the answer (RFC 9112 section 9.6).
    pub(crate) async fn close(mut self) {
        let until = Instant::now() + LINGER;
        let mut drained = 0;
        if poll_fn(|cx| self.conn.stream().poll_shutdown(cx)).await.is_err() {
            return;
        }
        poll_fn(|cx| {
            loop {
                self.conn.read.clear();
                match self.conn.poll_fill(cx) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                    Poll::Ready(Ok(count)) => drained += count,
                    Poll::Pending => break,
                }
                if drained > LINGER_BYTES {
                    return Poll::Ready(());
                }
            }
            self.timer.poll(cx, until)
        })
        .await;
    }
}

/// The reason phrase of a status that the proxy sends by itself.
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        301 => "Moved Permanently",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        426 => "Upgrade Required",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}
