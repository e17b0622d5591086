//! Counters under configurable-http-proxy's names, and `hub_proxy_...` of our own, in Prometheus' text format.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

/// Counts by status, 100 to 599.
#[derive(Debug)]
pub(crate) struct ByStatus([AtomicU64; 500]);

impl ByStatus {
    pub(crate) fn count(&self, status: u16) {
        if let Some(counter) = self.0.get(usize::from(status).wrapping_sub(100)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Count and total time of something that happens often.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    count: AtomicU64,
    nanos: AtomicU64,
}

impl Summary {
    fn record(&self, time: Duration) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// How the certificates stand; silent without TLS.
#[derive(Debug, Default)]
pub(crate) struct CertificateMetrics {
    /// Each one's file, and the second since 1970 from which on it is not valid.
    ends: Mutex<Vec<(String, i64)>>,
    /// When one was loaded last, in seconds since 1970.
    loaded: AtomicI64,
    failures: AtomicU64,
}

impl CertificateMetrics {
    pub(crate) fn set_ends(&self, ends: Vec<(String, i64)>) {
        *self.ends.lock().unwrap_or_else(PoisonError::into_inner) = ends;
    }

    pub(crate) fn loaded(&self, now: Timestamp) {
        self.loaded.store(now.as_second(), Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    fn render(&self, text: &mut String) {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        if ends.is_empty() {
            return;
        }
        let name = "hub_proxy_certificate_not_after_seconds";
        describe(text, name, "When the certificate ends, in seconds since 1970", "gauge");
        for (file, end) in &*ends {
            let file = file.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
            line(text, format_args!("{name}{{name=\"{file}\"}} {end}"));
        }
        let name = "hub_proxy_certificate_loaded_timestamp_seconds";
        describe(text, name, "When a certificate was loaded last, in seconds since 1970", "gauge");
        line(text, format_args!("{name} {}", self.loaded.load(Ordering::Relaxed)));
        let name = "hub_proxy_certificate_reload_failures_total";
        describe(text, name, "Count of certificates that could not be used when their files were read", "counter");
        line(text, format_args!("{name} {}", self.failures.load(Ordering::Relaxed)));
    }
}

#[derive(Debug)]
pub(crate) struct Metrics {
    /// Summaries cost two clock readings a request, so they are kept only where somebody can read them.
    enabled: bool,
    pub(crate) api_route_get: AtomicU64,
    pub(crate) api_route_add: AtomicU64,
    pub(crate) api_route_delete: AtomicU64,
    pub(crate) find_target_for_req: Summary,
    pub(crate) last_activity_updating: Summary,
    pub(crate) requests_ws: AtomicU64,
    pub(crate) requests_web: AtomicU64,
    pub(crate) requests_proxy: ByStatus,
    pub(crate) requests_api: ByStatus,
    pub(crate) certificates: Arc<CertificateMetrics>,
}

impl Metrics {
    pub(crate) fn new(enabled: bool) -> Self {
        let by_status = || ByStatus([const { AtomicU64::new(0) }; 500]);
        Self {
            enabled,
            api_route_get: AtomicU64::default(),
            api_route_add: AtomicU64::default(),
            api_route_delete: AtomicU64::default(),
            find_target_for_req: Summary::default(),
            last_activity_updating: Summary::default(),
            requests_ws: AtomicU64::default(),
            requests_web: AtomicU64::default(),
            requests_proxy: by_status(),
            requests_api: by_status(),
            certificates: Arc::default(),
        }
    }

    /// Runs `work`, timed if anybody can see it.
    pub(crate) fn time<T>(&self, summary: &Summary, work: impl FnOnce() -> T) -> T {
        if !self.enabled {
            return work();
        }
        let start = Instant::now();
        let result = work();
        summary.record(start.elapsed());
        result
    }

    /// The page. A gauge is a name, what it says, and its number now.
    pub(crate) fn render(&self, gauges: &[(&str, &str, usize)]) -> String {
        let mut text = String::new();
        for (name, help, number) in gauges {
            describe(&mut text, name, help, "gauge");
            line(&mut text, format_args!("{name} {number}"));
        }
        for (name, help, counter) in [
            ("api_route_get", "Count of API route get requests", &self.api_route_get),
            ("api_route_add", "Count of API route add requests", &self.api_route_add),
            ("api_route_delete", "Count of API route delete requests", &self.api_route_delete),
            ("requests_ws", "Count of websocket requests", &self.requests_ws),
            ("requests_web", "Count of web requests", &self.requests_web),
        ] {
            describe(&mut text, name, help, "counter");
            line(&mut text, format_args!("{name} {}", counter.load(Ordering::Relaxed)));
        }
        for (name, help, summary) in [
            ("find_target_for_req", "Summary of find target requests", &self.find_target_for_req),
            ("last_activity_updating", "Summary of last activity updating requests", &self.last_activity_updating),
        ] {
            describe(&mut text, name, help, "summary");
            let seconds = Duration::from_nanos(summary.nanos.load(Ordering::Relaxed)).as_secs_f64();
            line(&mut text, format_args!("{name}_sum {seconds}"));
            line(&mut text, format_args!("{name}_count {}", summary.count.load(Ordering::Relaxed)));
        }
        for (name, help, counters) in [
            ("requests_proxy", "Count of proxy requests", &self.requests_proxy),
            ("requests_api", "Count of API requests", &self.requests_api),
        ] {
            describe(&mut text, name, help, "counter");
            for (status, counter) in (100..).zip(&counters.0) {
                let count = counter.load(Ordering::Relaxed);
                if count > 0 {
                    line(&mut text, format_args!("{name}{{status=\"{status}\"}} {count}"));
                }
            }
        }
        self.certificates.render(&mut text);
        text
    }
}

fn describe(text: &mut String, name: &str, help: &str, kind: &str) {
    line(text, format_args!("# HELP {name} {help}"));
    line(text, format_args!("# TYPE {name} {kind}"));
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{arguments}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_the_original_names() {
        let metrics = Metrics::new(true);
        metrics.requests_proxy.count(503);
        metrics.requests_proxy.count(999);
        metrics.requests_ws.fetch_add(2, Ordering::Relaxed);
        metrics.time(&metrics.find_target_for_req, || ());
        let page = metrics.render(&[("hub_proxy_routes", "Routes in the table", 7)]);
        for expected in [
            "requests_proxy{status=\"503\"} 1\n",
            "requests_ws 2\n",
            "find_target_for_req_count 1\n",
            "# TYPE hub_proxy_routes gauge\nhub_proxy_routes 7\n",
        ] {
            assert!(page.contains(expected), "{expected} in {page}");
        }
        assert!(!page.contains("_total") && !page.contains("999"));
    }
}
