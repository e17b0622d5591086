//! What every connection of one proxy shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::admission::Admission;
use crate::connect::Connector;
use crate::error_page::ErrorPageSource;
use crate::gate::Gated;
use crate::headers::Rewrite;
use crate::metrics::Metrics;
use crate::request_id::RequestIds;
use crate::table::RouteTable;

/// How many requests may wait at once for a hub that restarts.
const MAX_WAITING: usize = 512;

/// How long things may take.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// From the first byte of a head to its last.
    pub(crate) head: Duration,
    /// From one request to the next on a connection.
    pub(crate) keep_alive: Duration,
    /// While a client neither sends what it announced nor reads what it is sent.
    pub(crate) client_stall: Duration,
    /// While nothing moves at all.
    pub(crate) idle: Option<Duration>,
    /// While the target sends nothing.
    pub(crate) upstream: Option<Duration>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) routes: RouteTable,
    pub(crate) rewrite: Rewrite,
    pub(crate) limits: Limits,
    pub(crate) admission: Arc<Admission>,
    pub(crate) connector: Connector,
    pub(crate) error_pages: ErrorPageSource,
    pub(crate) metrics: Metrics,
    pub(crate) access_log: bool,
    pub(crate) request_ids: RequestIds,
    pub(crate) gate: Option<Gated>,
    /// `Strict-Transport-Security` of each answer over TLS.
    pub(crate) hsts: Option<Arc<str>>,
    pub(crate) running: Running,
}

impl Shared {
    /// What is going on at this moment: for each gauge its name, what it says, and the number.
    pub(crate) fn gauges(&self) -> [(&'static str, &'static str, usize); 4] {
        let waiting = MAX_WAITING - self.running.waiting.available_permits();
        [
            ("hub_proxy_routes", "Routes in the table", self.routes.len()),
            ("hub_proxy_connections", "Connections of clients that are open", self.admission.taken()),
            ("hub_proxy_active", "Requests and WebSockets that are going on", self.running.active()),
            ("hub_proxy_waiting_for_hub", "Requests that wait for a hub that cannot be reached", waiting),
        ]
    }
}

/// What is going on, and whether it is to come to an end.
#[derive(Debug)]
pub(crate) struct Running {
    /// Places of requests that wait for a hub that restarts.
    pub(crate) waiting: Semaphore,
    draining: AtomicBool,
    stopping: CancellationToken,
    active: AtomicUsize,
    idle: Notify,
}

impl Default for Running {
    fn default() -> Self {
        Self {
            waiting: Semaphore::new(MAX_WAITING),
            draining: AtomicBool::default(),
            stopping: CancellationToken::new(),
            active: AtomicUsize::default(),
            idle: Notify::default(),
        }
    }
}

impl Running {
    /// Counts a request or a tunnel until the guard is dropped.
    pub(crate) fn begin(&self) -> Active<'_> {
        self.active.fetch_add(1, Ordering::AcqRel);
        Active(self)
    }

    fn active(&self) -> usize {
        self.active.load(Ordering::Acquire)
    }

    /// Whether connections are to be closed after the request that they are at.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Waits until that is so.
    pub(crate) async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    /// From now on connections are closed after the request that they are at.
    pub(crate) fn stop(&self) {
        self.draining.store(true, Ordering::Release);
        self.stopping.cancel();
    }

    /// Lets requests finish and tunnels go on, for at most `grace`.
    pub(crate) async fn drain(&self, grace: Duration) {
        let all_done = async {
            while self.active() > 0 {
                let idle = self.idle.notified();
                if self.active() == 0 {
                    break;
                }
                idle.await;
            }
        };
        if tokio::time::timeout(grace, all_done).await.is_err() {
            tracing::info!(active = self.active(), "the grace period is over: what still goes on is cut off");
        }
    }
}

pub(crate) struct Active<'a>(&'a Running);

impl Drop for Active<'_> {
    fn drop(&mut self) {
        if self.0.active.fetch_sub(1, Ordering::AcqRel) == 1 && self.0.is_draining() {
            self.0.idle.notify_one();
        }
    }
}
