//! Listening sockets: a port or a Unix socket.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::JoinSet;
use tokio_rustls::server::TlsStream;

use crate::config::Bind;
use crate::stream::Stream;
use crate::tls::shaken;

/// How long to wait when the process has no file descriptor left for another connection.
const OUT_OF_FILES: Duration = Duration::from_millis(50);
/// How long a program may take to shake hands with the REST API.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Where a server listens, once it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BoundAddr {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl BoundAddr {
    /// Address and port, unless it is a Unix socket.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl std::fmt::Display for BoundAddr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Listener {
    pub(crate) async fn bind(bind: &Bind) -> io::Result<Self> {
        match bind {
            Bind::Tcp(ip, port) if ip.is_empty() => match TcpListener::bind(("::", *port)).await {
                Ok(listener) => Ok(Self::Tcp(listener)),
                // A host without IPv6.
                Err(_) => Ok(Self::Tcp(TcpListener::bind(("0.0.0.0", *port)).await?)),
            },
            Bind::Tcp(ip, port) => Ok(Self::Tcp(TcpListener::bind((ip.as_str(), *port)).await?)),
            Bind::Unix(path) => {
                let is_socket = |meta: std::fs::Metadata| std::os::unix::fs::FileTypeExt::is_socket(&meta.file_type());
                if std::fs::symlink_metadata(path).is_ok_and(is_socket) {
                    std::fs::remove_file(path)?;
                }
                Ok(Self::Unix(UnixListener::bind(path)?, path.clone()))
            }
        }
    }

    pub(crate) fn addr(&self) -> io::Result<BoundAddr> {
        match self {
            Self::Tcp(listener) => Ok(BoundAddr::Tcp(listener.local_addr()?)),
            Self::Unix(_, path) => Ok(BoundAddr::Unix(path.clone())),
        }
    }

    /// The next connection, and where it comes from if that has an address.
    pub(crate) async fn accept(&self) -> (Stream, Option<IpAddr>) {
        loop {
            let accepted = match self {
                Self::Tcp(listener) => listener.accept().await.map(|(s, peer)| (Stream::tcp(s), Some(peer.ip()))),
                Self::Unix(listener, _) => listener.accept().await.map(|(s, _)| (Stream::Unix(s), None)),
            };
            match accepted {
                Ok(connection) => return connection,
                Err(error) if is_about_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a connection");
                    tokio::time::sleep(OUT_OF_FILES).await;
                }
            }
        }
    }

    /// Serves an axum router until the task is dropped.
    pub(crate) async fn serve(self, router: axum::Router, tls: Option<Arc<ServerConfig>>) -> io::Result<()> {
        match (self, tls) {
            (Self::Tcp(listener), None) => axum::serve(listener, router).await,
            (Self::Unix(listener, _), None) => axum::serve(listener, router).await,
            (listener, Some(tls)) => {
                axum::serve(TlsListener { listener, tls, handshakes: JoinSet::new() }, router).await
            }
        }
    }
}

/// Gives connections that have shaken hands. One that is slow to do so holds up no other.
struct TlsListener {
    listener: Listener,
    tls: Arc<ServerConfig>,
    handshakes: JoinSet<Option<TlsStream<TcpStream>>>,
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = ();

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            tokio::select! {
                (stream, _) = self.listener.accept() => {
                    // TLS is not asked for on a Unix socket.
                    let Stream::Tcp(tcp) = stream else { continue };
                    self.handshakes.spawn(shaken(tcp, self.tls.clone(), HANDSHAKE));
                }
                Some(ended) = self.handshakes.join_next() => {
                    if let Ok(Some(stream)) = ended {
                        return (stream, ());
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(())
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
