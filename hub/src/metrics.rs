//! What the hub counts, under JupyterHub's names, in the text format that Prometheus reads. Label values are words of our
//! own (statuses, routes, methods), never what a client sent.

use std::{
    collections::BTreeMap,
    fmt::{Display, Write},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The media type of the text format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper ends, in seconds, of the classes into which times are sorted: the Prometheus client's own.
const USUAL: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// The same for starts of servers, which take longer.
const OF_STARTS: &[f64] = &[0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 180.0, 300.0, 600.0];
/// The same for the stall of tasks, of which nothing below 50 ms is seen.
const OF_STALLS: &[f64] = &[0.05, 0.055, 0.06, 0.065, 0.07, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// How something ended.
const STATUS: &[&str] = &["status"];
const SUCCESS: &str = "success";
const FAILURE: &str = "failure";
/// What there is to see before the first.
const BOTH: &[&[&str]] = &[&[SUCCESS], &[FAILURE]];
const ONE: &[&[&str]] = &[&[]];

/// All that one hub counts.
#[derive(Debug)]
pub struct Metrics {
    /// Answers, by method, route and status.
    pub requests: Durations,
    /// Starts of servers, by what became of them.
    pub starts: Durations,
    pub stops: Durations,
    /// Questions whether a server runs, by the answer.
    pub polls: Durations,
    pub logins: Durations,
    pub logouts: Durations,
    /// From the program's start until the hub was healthy.
    pub startup: Durations,
    /// From a hub's start until it was known which servers of the last one run on.
    pub restores: Durations,
    /// Readings of the proxy's table, with what had to be mended.
    pub route_checks: Durations,
    /// Readings of the proxy's table alone.
    pub proxy_reads: Durations,
    pub route_additions: Durations,
    pub route_removals: Durations,
    /// How long a task waits for its turn.
    pub stalls: Durations,
    /// Pages that did what their policy forbids.
    pub csp_reports: Counts,
    /// What was stopped or removed because nobody used it: what, and why.
    pub culled: Counts,
}

impl Default for Metrics {
    fn default() -> Self {
        let of = |name, help, labels, seen| Durations::new(name, help, labels, USUAL, seen);
        let starts: &[&[&str]] = &[
            &[SUCCESS, ""],
            &[FAILURE, ""],
            &[FAILURE, "throttled"],
            &[FAILURE, "too-many-users"],
            &[FAILURE, "already-pending"],
        ];
        Self {
            requests: of(
                "jupyterhub_request_duration_seconds",
                "Time until the head of an answer was sent.",
                &["method", "handler", "code"],
                &[],
            ),
            starts: Durations::new(
                "jupyterhub_server_spawn_duration_seconds",
                "Time from the wish for a server to its end, good or bad.",
                &["status", "reason"],
                OF_STARTS,
                starts,
            ),
            stops: of("jupyterhub_server_stop_seconds", "Time that stops of servers took.", STATUS, BOTH),
            polls: of(
                "jupyterhub_server_poll_duration_seconds",
                "Time that it took to find out whether a server runs.",
                STATUS,
                &[&["running"], &["stopped"]],
            ),
            logins: of("jupyterhub_login_duration_seconds", "Time that logins took.", STATUS, BOTH),
            logouts: of("jupyterhub_logout_duration_seconds", "Time that logouts took.", &[], ONE),
            startup: of("jupyterhub_hub_startup_duration_seconds", "Time that the hub took to start.", &[], ONE),
            restores: of(
                "jupyterhub_init_spawners_duration_seconds",
                "Time until it was known which servers of the last hub run on.",
                &[],
                ONE,
            ),
            route_checks: of(
                "jupyterhub_check_routes_duration_seconds",
                "Time that it took to check all routes of the proxy, and to mend them.",
                &[],
                ONE,
            ),
            proxy_reads: of(
                "jupyterhub_proxy_poll_duration_seconds",
                "Time that it took to read all routes of the proxy.",
                &[],
                ONE,
            ),
            route_additions: of(
                "jupyterhub_proxy_add_duration_seconds",
                "Time that it took to add a server's route to the proxy.",
                STATUS,
                BOTH,
            ),
            route_removals: of(
                "jupyterhub_proxy_delete_duration_seconds",
                "Time that it took to remove a server's route from the proxy.",
                STATUS,
                BOTH,
            ),
            stalls: Durations::new(
                "jupyterhub_event_loop_interval_seconds",
                "Time that a task waits for its turn; 50 ms is the least that is measured.",
                &[],
                OF_STALLS,
                ONE,
            ),
            csp_reports: Counts::new(
                "jupyterhub_csp_reports_total",
                "Reports of pages that did what their policy forbids.",
                &[],
                ONE,
            ),
            culled: Counts::new(
                "hub_culled_total",
                "Servers that were stopped and users who were removed because nobody used them.",
                &["kind", "reason"],
                &[&["server", "idle"], &["server", "too old"], &["user", "idle"], &["user", "too old"]],
            ),
        }
    }
}

impl Metrics {
    pub fn render(&self, text: &mut String) {
        let Self {
            requests,
            starts,
            stops,
            polls,
            logins,
            logouts,
            startup,
            restores,
            route_checks,
            proxy_reads,
            route_additions,
            route_removals,
            stalls,
            csp_reports,
            culled,
        } = self;
        for durations in [
            requests,
            starts,
            stops,
            polls,
            logins,
            logouts,
            startup,
            restores,
            route_checks,
            proxy_reads,
            route_additions,
            route_removals,
            stalls,
        ] {
            durations.render(text);
        }
        for counts in [csp_reports, culled] {
            counts.render(text);
        }
    }
}

/// How often something happened, for each combination of labels: a counter.
#[derive(Debug)]
pub struct Counts {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    series: Mutex<BTreeMap<Vec<String>, u64>>,
}

impl Counts {
    fn new(name: &'static str, help: &'static str, labels: &'static [&'static str], seen: &[&[&str]]) -> Self {
        let series = seen.iter().map(|values| (owned(values), 0)).collect();
        Self { name, help, labels, series: Mutex::new(series) }
    }

    /// Counts one. `values` are those of the labels, in their order.
    pub fn count(&self, values: &[&str]) {
        *self.series.lock().unwrap_or_else(PoisonError::into_inner).entry(owned(values)).or_default() += 1;
    }

    fn render(&self, text: &mut String) {
        family(text, self.name, "counter", self.help);
        for (values, count) in self.series.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            sample(text, self.name, &labelled(self.labels, values), count);
        }
    }
}

/// How long something took, counted by classes of time for each combination of labels: a histogram.
#[derive(Debug)]
pub struct Durations {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    bounds: &'static [f64],
    series: Mutex<BTreeMap<Vec<String>, Series>>,
}

#[derive(Debug)]
struct Series {
    /// One more than there are bounds: the last is of what took longer than all of them.
    counts: Vec<u64>,
    seconds: f64,
}

impl Series {
    fn new(bounds: &[f64]) -> Self {
        Self { counts: vec![0; bounds.len() + 1], seconds: 0.0 }
    }
}

impl Durations {
    /// `seen` are the labels' values that are shown before the first is counted.
    fn new(
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        bounds: &'static [f64],
        seen: &[&[&str]],
    ) -> Self {
        let series = seen.iter().map(|values| (owned(values), Series::new(bounds))).collect();
        Self { name, help, labels, bounds, series: Mutex::new(series) }
    }

    /// Counts one. `values` are those of the labels, in their order.
    pub fn record(&self, values: &[&str], took: Duration) {
        let seconds = took.as_secs_f64();
        let class = self.bounds.iter().take_while(|bound| seconds > **bound).count();
        let mut all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let series = all.entry(owned(values)).or_insert_with(|| Series::new(self.bounds));
        series.counts[class] += 1;
        series.seconds += seconds;
    }

    /// Counts how long `work` takes, by whether it succeeds.
    ///
    /// # Errors
    /// What `work` fails with.
    pub async fn time<T, E>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let begun = Instant::now();
        let result = work.await;
        self.record(&[if result.is_ok() { SUCCESS } else { FAILURE }], begun.elapsed());
        result
    }

    fn render(&self, text: &mut String) {
        family(text, self.name, "histogram", self.help);
        for (values, series) in self.series.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let labels = labelled(self.labels, values);
            let before = if labels.is_empty() { String::new() } else { format!("{labels},") };
            let ends = self.bounds.iter().map(|bound| format!("{bound:?}")).chain(["+Inf".to_owned()]);
            let mut count = 0;
            for (end, of_class) in ends.zip(&series.counts) {
                count += of_class;
                sample(text, &format!("{}_bucket", self.name), &format!("{before}le=\"{end}\""), count);
            }
            sample(text, &format!("{}_count", self.name), &labels, count);
            sample(text, &format!("{}_sum", self.name), &labels, series.seconds);
        }
    }
}

fn owned(values: &[&str]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

fn labelled(names: &[&str], values: &[String]) -> String {
    let labels: Vec<_> = names.iter().zip(values).map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    labels.join(",")
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
        let starts = &Metrics::default().starts;
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
