//! HTTP/2: each stream becomes a connection of HTTP/1.1 in memory, which is served as any other, so that what is refused,
//! where requests go and what they become is written once.
//!
//! What is particular to HTTP/2 is held off here and by the h2 crate: many streams, streams reset in a storm, heads
//! without end. WebSockets are not offered (RFC 8441): browsers open a connection of HTTP/1.1 for them.

mod exchange;
mod translate;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, Connection};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_rustls::server::TlsStream;

use crate::http1::head::MAX_HEAD;
use crate::shared::Shared;

/// The most streams at once on a connection.
const MAX_STREAMS: u32 = 100;
/// So much of a request's body is taken in before its target has read it, on one stream and on all of a connection.
const STREAM_WINDOW: u32 = 512 * 1024;
const CONNECTION_WINDOW: u32 = 2 * 1024 * 1024;
/// So much of an answer waits on a stream for its client.
const SEND_BUFFER: usize = 64 * 1024;
/// A connection without a stream ends after this time. A handshake costs more than a place in memory.
const IDLE: Duration = Duration::from_secs(60);
/// A client that is told of the end has this long to agree.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves a connection until either side ends it.
pub(crate) async fn serve(stream: TlsStream<TcpStream>, peer: Option<IpAddr>, shared: Arc<Shared>) {
    let handshake = Builder::new()
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD as u32)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .handshake(stream);
    match tokio::time::timeout(shared.limits.head, handshake).await {
        Ok(Ok(connection)) => serve_streams(connection, peer, &shared).await,
        Ok(Err(error)) => tracing::debug!(%error, "a connection of HTTP/2 did not begin"),
        Err(_) => tracing::debug!("a connection of HTTP/2 did not begin in time"),
    }
}

async fn serve_streams(
    mut connection: Connection<TlsStream<TcpStream>, Bytes>,
    peer: Option<IpAddr>,
    shared: &Arc<Shared>,
) {
    // Dropped with the connection, they are cancelled, and so is what they wait for.
    let mut streams = JoinSet::new();
    // Held until the last answer is written to the connection, not only to the stream.
    let mut active = None;
    let mut ending = false;
    let mut deadline = std::pin::pin!(sleep(IDLE));
    loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    active.get_or_insert_with(|| shared.running.begin());
                    streams.spawn(exchange::serve(request, respond, peer, shared.clone()));
                }
                Some(Err(error)) => return tracing::debug!(%error, "a connection of HTTP/2 failed"),
                None => return,
            },
            Some(_) = streams.join_next() => if streams.is_empty() {
                if !ending {
                    active = None;
                }
                deadline.as_mut().reset(Instant::now() + if ending { FAREWELL } else { IDLE });
            },
            () = shared.running.stopping(), if !ending => {
                ending = true;
                connection.graceful_shutdown();
                deadline.as_mut().reset(Instant::now() + FAREWELL);
            }
            () = deadline.as_mut(), if streams.is_empty() => {
                if ending {
                    return;
                }
                ending = true;
                connection.graceful_shutdown();
                deadline.as_mut().reset(Instant::now() + FAREWELL);
            }
        }
    }
}
