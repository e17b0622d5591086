//! Progress from the Events that Kubernetes writes about a pod.

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Event as KubernetesEvent;
use kube::{
    Api,
    runtime::{WatchStreamExt, watcher},
};
use std::collections::HashMap;

use crate::spawner::Progress;

/// How far a start has come: each Event takes it a third of the way to 90, as kubespawner counts.
pub(super) struct Counter {
    percent: f64,
    /// The last message of each Event: one that is only counted up tells nothing new.
    seen: HashMap<String, String>,
}

impl Counter {
    pub(super) fn new() -> Self {
        Self { percent: 0.0, seen: HashMap::new() }
    }

    /// The line for an Event; `None` if it was told before.
    pub(super) fn line(&mut self, event: &KubernetesEvent) -> Option<Progress> {
        let key = event.metadata.uid.clone().or_else(|| event.metadata.name.clone())?;
        let message = event.message.clone().unwrap_or_default();
        if self.seen.insert(key, message.clone()).as_ref() == Some(&message) {
            return None;
        }
        self.percent += (90.0 - self.percent) / 3.0;
        let time = event.last_timestamp.as_ref().map(|time| time.0).or(event.event_time.as_ref().map(|time| time.0));
        let time = time.map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ ").to_string()).unwrap_or_default();
        let kind = event.type_.as_deref().unwrap_or("Normal");
        Some(Progress {
            percent: percent(self.percent),
            message: format!("{time}[{kind}] {message}"),
            raw_event: serde_json::to_value(event).ok(),
        })
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 90")]
fn percent(value: f64) -> u8 {
    value as u8
}

/// The Events about the pod with this UID, from its first one on. Trouble with the watch is waited out.
pub(super) fn about(events: Api<KubernetesEvent>, uid: &str) -> impl Stream<Item = KubernetesEvent> + Send + use<> {
    let config = watcher::Config::default().fields(&format!("involvedObject.uid={uid}"));
    watcher(events, config).default_backoff().applied_objects().filter_map(|event| async { event.ok() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(name: &str, kind: &str, message: &str) -> KubernetesEvent {
        serde_json::from_value(json!({
            "metadata": {"name": name}, "involvedObject": {}, "type": kind, "message": message,
            "lastTimestamp": "2026-11-23T14:21:51Z",
        }))
        .unwrap()
    }

    #[test]
    fn progress_counts_as_kubespawner_does() {
        let mut counter = Counter::new();
        let lines: Vec<Progress> = [
            event("a", "Normal", "Successfully assigned"),
            event("b", "Normal", "Pulling image"),
            event("b", "Normal", "Pulling image"),
            event("c", "Warning", "Failed to pull"),
            event("c", "Warning", "Failed to pull again"),
        ]
        .iter()
        .filter_map(|event| counter.line(event))
        .collect();
        assert_eq!(lines.iter().map(|line| line.percent).collect::<Vec<_>>(), [30, 50, 63, 72]);
        assert_eq!(lines[0].message, "2026-11-23T14:21:51Z [Normal] Successfully assigned");
        assert_eq!(lines[2].message, "2026-11-23T14:21:51Z [Warning] Failed to pull");
        assert_eq!(lines[1].raw_event.as_ref().unwrap()["metadata"]["name"], "b");
    }
}
