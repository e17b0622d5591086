//! What the operator counts, in the text format that Prometheus reads.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

/// Counters of one process.
#[derive(Default)]
pub struct Metrics {
    reconciles: AtomicU64,
    reconcile_micros: AtomicU64,
    leader: AtomicBool,
    errors: Mutex<BTreeMap<&'static str, u64>>,
    api_requests: Mutex<BTreeMap<(String, &'static str), u64>>,
}

impl Metrics {
    pub fn count_reconcile(&self, took: Duration) {
        self.reconciles.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.reconcile_micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub fn count_error(&self, category: &'static str) {
        *self.errors.lock().unwrap_or_else(PoisonError::into_inner).entry(category).or_default() += 1;
    }

    pub fn count_api_request(&self, verb: &'static str, resource: String) {
        let mut requests = self.api_requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((resource, verb)).or_default() += 1;
    }

    pub fn set_leader(&self, leads: bool) {
        self.leader.store(leads, Ordering::Relaxed);
    }

    /// The exposition.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let seconds = Duration::from_micros(self.reconcile_micros.load(Ordering::Relaxed)).as_secs_f64();
        family(&mut text, "hub_operator_leader", "gauge", "Whether this replica holds the lease.");
        sample(&mut text, "hub_operator_leader", "", u64::from(self.leader.load(Ordering::Relaxed)));
        family(&mut text, "hub_operator_reconcile_duration_seconds", "summary", "Time that reconciles took.");
        sample(&mut text, "hub_operator_reconcile_duration_seconds_sum", "", seconds);
        let count = self.reconciles.load(Ordering::Relaxed);
        sample(&mut text, "hub_operator_reconcile_duration_seconds_count", "", count);
        family(&mut text, "hub_operator_reconcile_errors_total", "counter", "Reconciles that failed, by step.");
        for (category, count) in self.errors.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let labels = format!("{{category=\"{category}\"}}");
            sample(&mut text, "hub_operator_reconcile_errors_total", &labels, count);
        }
        family(&mut text, "hub_operator_api_requests_total", "counter", "Requests to the API server.");
        for ((resource, verb), count) in self.api_requests.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let labels = format!("{{resource=\"{resource}\",verb=\"{verb}\"}}");
            sample(&mut text, "hub_operator_api_requests_total", &labels, count);
        }
        text
    }

    /// Requests so far that changed something, leases and events apart.
    #[cfg(test)]
    pub fn api_writes(&self) -> BTreeMap<(String, &'static str), u64> {
        let requests = self.api_requests.lock().unwrap_or_else(PoisonError::into_inner);
        let is_write = |(resource, verb): &(String, &str)| {
            !matches!(*verb, "get" | "list" | "watch") && !matches!(resource.as_str(), "leases" | "events")
        };
        requests.iter().filter(|(key, _)| is_write(key)).map(|(key, count)| (key.clone(), *count)).collect()
    }

    /// All requests so far.
    #[cfg(test)]
    pub fn api_requests(&self) -> BTreeMap<(String, &'static str), u64> {
        self.api_requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn family(text: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn sample(text: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    let _ = writeln!(text, "{name}{labels} {value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exposition_names_each_family_once_and_each_series_with_its_labels() {
        let metrics = Metrics::default();
        metrics.count_reconcile(Duration::from_millis(1500));
        metrics.count_error("Apply");
        metrics.count_api_request("patch", "hubs/status".to_owned());
        metrics.count_api_request("patch", "hubs/status".to_owned());
        metrics.count_api_request("list", "secrets".to_owned());
        let text = metrics.render();
        assert!(text.contains("hub_operator_reconcile_duration_seconds_sum 1.5\n"), "{text}");
        assert!(text.contains("hub_operator_reconcile_errors_total{category=\"Apply\"} 1\n"), "{text}");
        assert!(
            text.contains("hub_operator_api_requests_total{resource=\"hubs/status\",verb=\"patch\"} 2\n"),
            "{text}"
        );
        assert_eq!(text.matches("# TYPE hub_operator_api_requests_total").count(), 1);
    }
}
