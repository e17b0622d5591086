//! What the hub counts, under JupyterHub's names, in the text format that Prometheus reads. Label values are words of our
//! own (statuses, routes, methods), never what a client sent.

use std::{
    collections::BTreeMap,
    fmt::{Display, Write},
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// The media type of the text format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper ends, in seconds, of the classes into which requests are sorted: the Prometheus client's own.
const OF_REQUESTS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// The same for starts of servers, which take longer.
const OF_STARTS: &[f64] = &[0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 180.0, 300.0, 600.0];

/// How long something took, counted by classes of time for each combination of labels: a histogram.
#[derive(Debug)]
pub struct Durations {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    bounds: &'static [f64],
    series: Mutex<BTreeMap<Vec<String>, Series>>,
}

#[derive(Debug, Default)]
struct Series {
    /// One more than there are bounds: the last is of what took longer than all of them.
    counts: Vec<u64>,
    seconds: f64,
}

impl Durations {
    /// Of answers, by method, route and status.
    pub fn of_requests() -> Self {
        let labels = &["method", "handler", "code"];
        Self::new(
            "jupyterhub_request_duration_seconds",
            "Time until the head of an answer was sent.",
            labels,
            OF_REQUESTS,
        )
    }

    /// Of starts of servers, by what became of them.
    pub fn of_starts() -> Self {
        let labels = &["status", "reason"];
        let help = "Time from the wish for a server to its end, good or bad.";
        Self::new("jupyterhub_server_spawn_duration_seconds", help, labels, OF_STARTS)
    }

    fn new(name: &'static str, help: &'static str, labels: &'static [&'static str], bounds: &'static [f64]) -> Self {
        Self { name, help, labels, bounds, series: Mutex::default() }
    }

    /// Counts one. `values` are those of the labels, in their order.
    pub fn record(&self, values: &[&str], took: Duration) {
        let seconds = took.as_secs_f64();
        let class = self.bounds.iter().take_while(|bound| seconds > **bound).count();
        let mut all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let series = all.entry(values.iter().map(ToString::to_string).collect()).or_default();
        series.counts.resize(self.bounds.len() + 1, 0);
        series.counts[class] += 1;
        series.seconds += seconds;
    }

    pub fn render(&self, text: &mut String) {
        family(text, self.name, "histogram", self.help);
        for (values, series) in self.series.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let labels: Vec<_> =
                self.labels.iter().zip(values).map(|(name, value)| format!("{name}=\"{value}\"")).collect();
            let labels = labels.join(",");
            let ends = self.bounds.iter().map(|bound| format!("{bound:?}")).chain(["+Inf".to_owned()]);
            let mut count = 0;
            for (end, of_class) in ends.zip(&series.counts) {
                count += of_class;
                sample(text, &format!("{}_bucket", self.name), &format!("{labels},le=\"{end}\""), count);
            }
            sample(text, &format!("{}_count", self.name), &labels, count);
            sample(text, &format!("{}_sum", self.name), &labels, series.seconds);
        }
    }
}

/// A number that goes up and down, with its labels, if it has some.
pub fn gauge(text: &mut String, name: &str, help: &str, samples: &[(&str, u64)]) {
    family(text, name, "gauge", help);
    for (labels, value) in samples {
        sample(text, name, labels, value);
    }
}

fn family(text: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn sample(text: &mut String, name: &str, labels: &str, value: impl Display) {
    let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
    let _ = writeln!(text, "{name}{labels} {value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_long_is_counted_in_every_class_that_holds_it() {
        let starts = Durations::of_starts();
        for seconds in [0.5, 4.0, 4.0, 1000.0] {
            starts.record(&["success", ""], Duration::from_secs_f64(seconds));
        }
        starts.record(&["failure", ""], Duration::from_secs(1));
        let mut text = String::new();
        starts.render(&mut text);
        let name = "jupyterhub_server_spawn_duration_seconds";
        for line in [
            format!("# TYPE {name} histogram"),
            format!("{name}_bucket{{status=\"success\",reason=\"\",le=\"0.5\"}} 1"),
            format!("{name}_bucket{{status=\"success\",reason=\"\",le=\"2.5\"}} 1"),
            format!("{name}_bucket{{status=\"success\",reason=\"\",le=\"5.0\"}} 3"),
            format!("{name}_bucket{{status=\"success\",reason=\"\",le=\"+Inf\"}} 4"),
            format!("{name}_count{{status=\"success\",reason=\"\"}} 4"),
            format!("{name}_sum{{status=\"success\",reason=\"\"}} 1008.5"),
            format!("{name}_bucket{{status=\"failure\",reason=\"\",le=\"1.0\"}} 1"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        assert_eq!(text.matches("# HELP").count(), 1);
    }

    #[test]
    fn a_gauge_has_labels_or_none() {
        let mut text = String::new();
        gauge(&mut text, "users", "All.", &[("", 3), ("period=\"7d\"", 2)]);
        assert_eq!(text, "# HELP users All.\n# TYPE users gauge\nusers 3\nusers{period=\"7d\"} 2\n");
    }
}
