//! The tunnel after a WebSocket's handshake: bytes both ways until both sides have closed.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use crate::client::Client;
use crate::stream::Conn;
use crate::table::Route;
use crate::transfer::Transfer;

/// After one side has closed, the other has this long to do the same.
const HALF_CLOSED: Duration = Duration::from_secs(10);

/// Only what the client sends counts as activity: a kernel that talks to itself is idle. A tunnel ends with its route.
pub(crate) async fn tunnel(client: &mut Client, mut upstream: Conn, route: &Route) {
    let mut up = Direction::default();
    let mut down = Direction::default();
    let mut closing_since = None;
    let both_ways = poll_fn(|cx| {
        let before = up.transfer.body_read();
        let up_done = up.poll(cx, &mut client.conn, &mut upstream);
        if up.transfer.body_read() > before {
            route.touch();
        }
        let down_done = down.poll(cx, &mut upstream, &mut client.conn);
        match (up_done, down_done) {
            (Ok(true), Ok(true)) | (Err(()), _) | (_, Err(())) => Poll::Ready(()),
            (Ok(false), Ok(false)) => Poll::Pending,
            _ => {
                let since = *closing_since.get_or_insert_with(Instant::now);
                client.timer.poll(cx, since + HALF_CLOSED)
            }
        }
    });
    tokio::select! {
        () = both_ways => {}
        () = route.ended() => {}
    }
}

/// One direction, and whether its end was passed on.
struct Direction {
    transfer: Transfer,
    is_shut: bool,
}

impl Default for Direction {
    fn default() -> Self {
        Self { transfer: Transfer::tunnel(), is_shut: false }
    }
}

impl Direction {
    /// True once everything was written and the end passed on; an error ends the tunnel.
    fn poll(&mut self, cx: &mut std::task::Context<'_>, source: &mut Conn, sink: &mut Conn) -> Result<bool, ()> {
        if self.is_shut {
            return Ok(true);
        }
        match self.transfer.poll(cx, source, sink) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Err(_)) => return Err(()),
            Poll::Ready(Ok(())) => {}
        }
        match sink.stream().poll_shutdown(cx) {
            Poll::Pending => Ok(false),
            Poll::Ready(Err(_)) => Err(()),
            Poll::Ready(Ok(())) => {
                self.is_shut = true;
                Ok(true)
            }
        }
    }
}
