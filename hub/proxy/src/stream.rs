//! One byte stream, whatever it runs over.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::BytesMut;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead as _, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsStream;
use tokio_util::io::poll_read_buf;

use crate::target::Address;

/// After this long without a byte the kernel asks whether the peer is still there, so that a laptop that was shut
/// leaves no WebSocket behind.
const KEEPALIVE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// Encrypted, a client's or a target's.
    Tls(Box<TlsStream<TcpStream>>),
    /// A client's, one stream of HTTP/2; what is behind it is encrypted.
    Http2(DuplexStream),
}

impl Stream {
    /// Connects without encryption.
    pub(crate) async fn connect(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(host, port) => Ok(Self::tcp(TcpStream::connect((host.as_str(), *port)).await?)),
            Address::Unix(path) => Ok(Self::Unix(UnixStream::connect(path).await?)),
        }
    }

    pub(crate) fn tcp(stream: TcpStream) -> Self {
        // Neither option changes what is sent, so a failure costs latency at most.
        let _ = stream.set_nodelay(true);
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4);
        let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
        Self::Tcp(stream)
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
            // What is decrypted may wait in the session, which only a read tells.
            Self::Tls(_) | Self::Http2(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => poll_read_buf(Pin::new(stream), cx, buf),
            Self::Unix(stream) => poll_read_buf(Pin::new(stream), cx, buf),
            Self::Tls(stream) => poll_read_buf(Pin::new(&mut **stream), cx, buf),
            Self::Http2(stream) => poll_read_buf(Pin::new(stream), cx, buf),
        }
    }

    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match (self, slices) {
            (Self::Tcp(stream), [one]) => Pin::new(stream).poll_write(cx, one),
            (Self::Unix(stream), [one]) => Pin::new(stream).poll_write(cx, one),
            (Self::Tls(stream), [one]) => Pin::new(&mut **stream).poll_write(cx, one),
            (Self::Http2(stream), [one]) => Pin::new(stream).poll_write(cx, one),
            (Self::Tcp(stream), _) => Pin::new(stream).poll_write_vectored(cx, slices),
            (Self::Unix(stream), _) => Pin::new(stream).poll_write_vectored(cx, slices),
            (Self::Tls(stream), _) => Pin::new(&mut **stream).poll_write_vectored(cx, slices),
            (Self::Http2(stream), _) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    /// Says that nothing more will be written.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
            Self::Http2(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    /// Gives what was written to the peer; only an encrypted stream holds any of it back.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(_) | Self::Unix(_) | Self::Http2(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    pub(crate) fn is_secure(&self) -> bool {
        matches!(self, Self::Tls(_) | Self::Http2(_))
    }

    /// Whether an idle connection can be used: the peer has neither closed it nor sent anything.
    ///
    /// Costs a system call only if the runtime has seen something happen on it.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let mut byte = [0];
        let read = match self {
            Self::Tcp(stream) if stream.poll_read_ready(&mut cx).is_pending() => return true,
            Self::Unix(stream) if stream.poll_read_ready(&mut cx).is_pending() => return true,
            Self::Tcp(stream) => stream.try_read(&mut byte),
            Self::Unix(stream) => stream.try_read(&mut byte),
            // It reads what TLS says for itself, such as tickets.
            Self::Tls(stream) => {
                return Pin::new(&mut **stream).poll_read(&mut cx, &mut ReadBuf::new(&mut byte)).is_pending();
            }
            // Only targets' connections are kept.
            Self::Http2(_) => return false,
        };
        read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// The least room for a read.
const MIN_READ: usize = 8 * 1024;
/// The most room for a read, reached while reads fill what they get.
const MAX_READ: usize = 64 * 1024;

/// A stream with what was read from it and not yet used. The buffer exists only while it holds something.
#[derive(Debug)]
pub(crate) struct Conn {
    stream: Stream,
    pub(crate) read: BytesMut,
    room: usize,
}

impl Conn {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, read: BytesMut::new(), room: MIN_READ }
    }

    /// Reads once more into the buffer; 0 means that the peer has closed.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.read.is_empty() {
            if self.stream.poll_read_ready(cx).is_pending() {
                self.read = BytesMut::new();
                self.room = MIN_READ;
                return Poll::Pending;
            }
            self.read.reserve(self.room);
        } else if self.read.capacity() - self.read.len() < MIN_READ / 2 {
            self.read.reserve(self.room);
        }
        let spare = self.read.capacity() - self.read.len();
        let polled = self.stream.poll_read(cx, &mut self.read);
        if polled.is_pending() && self.read.is_empty() {
            self.read = BytesMut::new();
        }
        let count = ready!(polled)?;
        if count == spare {
            self.room = (self.room * 2).min(MAX_READ);
        }
        Poll::Ready(Ok(count))
    }

    pub(crate) fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.stream.is_secure()
    }

    /// Writes all of `bytes`.
    pub(crate) async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = poll_fn(|cx| self.stream.poll_write(cx, &[IoSlice::new(bytes)])).await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = &bytes[count..];
        }
        poll_fn(|cx| self.stream.poll_flush(cx)).await
    }

    /// An idle connection for the pool; `None` if the peer sent more than it was asked for.
    pub(crate) fn into_idle(self) -> Option<Stream> {
        self.read.is_empty().then_some(self.stream)
    }
}
