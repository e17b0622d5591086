//! Connections to backends that wait for their next request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::time::Instant;

use crate::stream::Stream;
use crate::target::{Address, Target};

/// The most idle connections to one backend.
const MAX_IDLE: usize = 64;
/// An idle connection is closed after this long.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// One backend and its idle connections; all routes to it share them.
#[derive(Debug, Default)]
pub(crate) struct Upstream {
    idle: Mutex<Vec<(Stream, Instant)>>,
}

impl Upstream {
    /// The connection that was used last, if one still stands.
    pub(crate) fn take(&self) -> Option<Stream> {
        let mut idle = lock(&self.idle);
        std::iter::from_fn(|| idle.pop()).find_map(|(mut stream, _)| stream.is_quiet().then_some(stream))
    }

    /// Keeps a connection for the next request.
    pub(crate) fn keep(&self, stream: Stream) {
        let mut idle = lock(&self.idle);
        if idle.len() < MAX_IDLE {
            idle.push((stream, Instant::now()));
        }
    }

    /// Closes all idle connections.
    pub(crate) fn close_idle(&self) {
        *lock(&self.idle) = Vec::new();
    }

    fn close_stale(&self, now: Instant) {
        let mut idle = lock(&self.idle);
        idle.retain_mut(|(stream, since)| now.duration_since(*since) < IDLE_TIMEOUT && stream.is_quiet());
        if idle.is_empty() {
            idle.shrink_to_fit();
        }
    }
}

/// An address, and the name that is shown there by TLS: what was opened to one name is not another's.
type Place = (Address, Option<ServerName<'static>>);

/// All backends that some route leads to.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    upstreams: Mutex<HashMap<Place, Weak<Upstream>>>,
}

impl Pool {
    pub(crate) fn upstream(&self, target: &Target) -> Arc<Upstream> {
        let place = (target.address.clone(), target.server_name.clone());
        let mut upstreams = lock(&self.upstreams);
        if let Some(upstream) = upstreams.get(&place).and_then(Weak::upgrade) {
            return upstream;
        }
        let upstream = Arc::<Upstream>::default();
        upstreams.insert(place, Arc::downgrade(&upstream));
        upstream
    }

    /// Closes connections that were idle for long or that their backend has closed, and forgets unused backends.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        lock(&self.upstreams).retain(|_, upstream| match upstream.upgrade() {
            Some(upstream) => {
                upstream.close_stale(now);
                true
            }
            None => false,
        });
    }
}

/// Nothing here can be left half-changed by a panic, so a poisoned lock is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
