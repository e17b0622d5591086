//! What every connection of one proxy shares.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};

use crate::error_page::ErrorPageSource;
use crate::gate::Gated;
use crate::headers::Rewrite;
use crate::metrics::Metrics;
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
    pub(crate) error_pages: ErrorPageSource,
    pub(crate) metrics: Metrics,
    pub(crate) access_log: bool,
    pub(crate) gate: Option<Gated>,
    pub(crate) waiting: Semaphore,
    draining: AtomicBool,
    active: AtomicUsize,
    idle: Notify,
}

impl Shared {
    pub(crate) fn new(
        routes: RouteTable,
        rewrite: Rewrite,
        limits: Limits,
        error_pages: ErrorPageSource,
        metrics: Metrics,
        access_log: bool,
        gate: Option<Gated>,
    ) -> Self {
        Self {
            routes,
            rewrite,
            limits,
            error_pages,
            metrics,
            access_log,
            gate,
            waiting: Semaphore::new(MAX_WAITING),
            draining: AtomicBool::new(false),
            active: AtomicUsize::new(0),
            idle: Notify::new(),
        }
    }

    /// Counts a request until the guard is dropped.
    pub(crate) fn begin_request(&self) -> ActiveRequest<'_> {
        self.active.fetch_add(1, Ordering::AcqRel);
        ActiveRequest(self)
    }

    /// Whether connections are to be closed after the request that they are at.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Lets requests finish, for at most `grace`. Tunnels are not waited for: they have no end.
    pub(crate) async fn drain(&self, grace: Duration) {
        self.draining.store(true, Ordering::Release);
        let all_done = async {
            while self.active.load(Ordering::Acquire) > 0 {
                let idle = self.idle.notified();
                if self.active.load(Ordering::Acquire) == 0 {
                    break;
                }
                idle.await;
            }
        };
        if tokio::time::timeout(grace, all_done).await.is_err() {
            tracing::warn!(
                requests = self.active.load(Ordering::Acquire),
                "grace period is over, requests are cut off"
            );
        }
    }
}

pub(crate) struct ActiveRequest<'a>(&'a Shared);

impl Drop for ActiveRequest<'_> {
    fn drop(&mut self) {
        if self.0.active.fetch_sub(1, Ordering::AcqRel) == 1 && self.0.is_draining() {
            self.0.idle.notify_one();
        }
    }
}
