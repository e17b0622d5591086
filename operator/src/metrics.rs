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
    /// End of each Hub's certificate, by namespace and name.
    certificates: Mutex<BTreeMap<(String, String), i64>>,
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

    /// When the certificate that a Hub serves ends, in seconds since 1970; none if it serves none.
    pub fn set_certificate(&self, namespace: &str, hub: &str, end: Option<i64>) {
        let mut certificates = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (namespace.to_owned(), hub.to_owned());
        match end {
            Some(end) => certificates.insert(key, end),
            None => certificates.remove(&key),
        };
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
        let certificates = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        if !certificates.is_empty() {
            let name = "hub_operator_certificate_expiry_timestamp_seconds";
            family(&mut text, name, "gauge", "End of the certificate that a Hub serves.");
            for ((namespace, hub), end) in certificates.iter() {
                sample(&mut text, name, &format!("{{namespace=\"{namespace}\",hub=\"{hub}\"}}"), end);
            }
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

    /// A panel that asks for what nobody exports stays empty, and nobody notices.
    #[test]
    fn the_dashboard_asks_only_for_what_is_exported() {
        const DASHBOARD: &str = include_str!("../../charts/hub-operator/dashboards/hubs.json");
        let metrics = Metrics::default();
        metrics.set_certificate("lab", "physics", Some(1));
        let text = metrics.render();
        let words = DASHBOARD.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let names: Vec<_> = words.filter(|word| word.starts_with("hub_operator_")).collect();
        assert!(names.len() > 2, "{names:?}");
        for name in names {
            let family = name.strip_suffix("_count").unwrap_or(name);
            assert!(text.contains(&format!("# TYPE {family} ")), "{name}");
        }
    }

    #[test]
    fn the_exposition_names_each_family_once_and_each_series_with_its_labels() {
        let metrics = Metrics::default();
        metrics.count_reconcile(Duration::from_millis(1500));
        metrics.count_error("Apply");
        metrics.count_api_request("patch", "hubs/status".to_owned());
        metrics.count_api_request("patch", "hubs/status".to_owned());
        metrics.count_api_request("list", "secrets".to_owned());
        metrics.set_certificate("lab", "physics", Some(1_800_000_000));
        metrics.set_certificate("lab", "chemistry", Some(1));
        metrics.set_certificate("lab", "chemistry", None);
        let text = metrics.render();
        assert!(text.contains("hub_operator_reconcile_duration_seconds_sum 1.5\n"), "{text}");
        assert!(text.contains("hub_operator_reconcile_errors_total{category=\"Apply\"} 1\n"), "{text}");
        assert!(
            text.contains("hub_operator_api_requests_total{resource=\"hubs/status\",verb=\"patch\"} 2\n"),
            "{text}"
        );
        let certificate =
            "hub_operator_certificate_expiry_timestamp_seconds{namespace=\"lab\",hub=\"physics\"} 1800000000\n";
        assert!(text.contains(certificate) && !text.contains("chemistry"), "{text}");
        assert_eq!(text.matches("# TYPE hub_operator_api_requests_total").count(), 1);
    }
}
