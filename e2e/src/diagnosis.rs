//! What people look at first when a Hub does not come up: pods, events, conditions and last words.

use crate::cluster::{Cluster, NAMESPACE, OPERATOR_NAMESPACE};

/// Lines of each container's log.
const LOG_LINES: &str = "--tail=40";
/// The newest events are the last ones.
const EVENTS: usize = 40;

/// The state of the operator and the example Hub.
pub(crate) async fn of_cluster(cluster: &Cluster) -> String {
    of_namespaces(cluster, &[OPERATOR_NAMESPACE, NAMESPACE]).await
}

/// The state of namespaces. What cannot be had is said and does not end the report.
pub(crate) async fn of_namespaces(cluster: &Cluster, namespaces: &[&str]) -> String {
    let mut report = String::new();
    for namespace in namespaces {
        let ask = async |title: &str, args: &[&str]| {
            let words = cluster
                .kubectl(&[&["-n", namespace], args].concat())
                .await
                .unwrap_or_else(|error| format!("{error:#}"));
            format!("\n--- {namespace}: {title}\n{words}\n")
        };
        report += &ask("pods", &["get", "pods", "-o", "wide"]).await;
        report += &ask("conditions", &["get", "hubs", "-o", CONDITIONS]).await;
        let events = ask("events", &["get", "events", "--sort-by=.lastTimestamp"]).await;
        report += &newest(&events);
        let pods = cluster.kubectl(&["-n", namespace, "get", "pods", "-o", "name"]).await.unwrap_or_default();
        for pod in pods.lines() {
            report += &ask(&format!("log of {pod}"), &["logs", pod, "--all-containers", "--prefix", LOG_LINES]).await;
            // A container that was restarted said why before it ended.
            if let Ok(before) = cluster.kubectl(&["-n", namespace, "logs", pod, "--previous", LOG_LINES]).await {
                report += &format!("\n--- {namespace}: {pod} before its restart\n{before}\n");
            }
        }
    }
    report
}

const CONDITIONS: &str = "jsonpath={range .items[*]}{.metadata.name}{\"\\n\"}{range .status.conditions[*]}  {.type}={.status} {.reason}: {.message}{\"\\n\"}{end}{end}";

/// The title and the last events.
fn newest(events: &str) -> String {
    let lines: Vec<&str> = events.lines().collect();
    if lines.len() <= EVENTS + 3 {
        return events.to_owned();
    }
    let (head, rest) = lines.split_at(3);
    format!("{}\n{}\n", head.join("\n"), rest[rest.len() - EVENTS..].join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_events_are_kept_with_their_heading() {
        let events =
            format!("\n--- ns: events\nLAST SEEN\n{}", (0..100).map(|n| format!("e{n}\n")).collect::<String>());
        let shown = newest(&events);
        assert!(
            shown.contains("LAST SEEN") && shown.contains("e99") && !shown.contains("e59\n") && shown.contains("e60")
        );
    }
}
