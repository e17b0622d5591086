//! The pods of this Hub as one watch shows them: polling a server and waiting for one cost no request.

use futures::StreamExt;
use hub_crds::names::label;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    runtime::{WatchStreamExt, watcher, watcher::Event},
};
use std::{
    collections::{HashMap, HashSet},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{mpsc, watch};
use tracing::warn;

use super::health;
use crate::spawner::{Change, Health, ServerName};

/// What is known of this Hub's pods.
#[derive(Default)]
pub(super) struct View {
    pods: Mutex<HashMap<String, Arc<Pod>>>,
    /// Number of changes, and whether all pods have been listed once.
    changes: watch::Sender<(u64, bool)>,
    subscribers: Mutex<Vec<mpsc::UnboundedSender<Change>>>,
}

impl View {
    /// Follows the pods that `selector` finds, for as long as it is polled.
    pub(super) async fn follow(&self, pods: Api<Pod>, selector: &str) {
        let mut events = pin!(watcher(pods, watcher::Config::default().labels(selector)).default_backoff());
        let mut listed = HashSet::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(pod)) => {
                    listed.insert(pod.name_any());
                    self.apply(pod);
                }
                Ok(Event::InitDone) => self.keep_only(&listed),
                Ok(Event::Apply(pod)) => self.apply(pod),
                Ok(Event::Delete(pod)) => self.remove(&pod.name_any()),
                Err(error) => warn!(%error, "the watch over user pods was interrupted"),
            }
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<Arc<Pod>> {
        lock(&self.pods).get(name).cloned()
    }

    /// Ticks at every change.
    pub(super) fn changes(&self) -> watch::Receiver<(u64, bool)> {
        self.changes.subscribe()
    }

    /// Waits until all pods have been listed once: only then is one that is not here not there.
    pub(super) async fn listed(&self) {
        let mut changes = self.changes.subscribe();
        // The sender lives as long as `self`.
        let _ = changes.wait_for(|(_, listed)| *listed).await;
    }

    pub(super) fn subscribe(&self, subscriber: mpsc::UnboundedSender<Change>) {
        lock(&self.subscribers).push(subscriber);
    }

    fn apply(&self, mut pod: Pod) {
        // Thousands of pods are kept: only what is read.
        pod.metadata.managed_fields = None;
        pod.spec = None;
        let pod = Arc::new(pod);
        let before = lock(&self.pods).insert(pod.name_any(), pod.clone());
        let health = health::health(&pod);
        if before.is_none_or(|before| health::health(&before) != health) {
            self.publish(&pod, &health);
        }
        self.tick(false);
    }

    fn remove(&self, name: &str) {
        if let Some(pod) = lock(&self.pods).remove(name) {
            self.publish(&pod, &Health::Stopped { reason: "its pod was deleted".to_owned() });
        }
        self.tick(false);
    }

    fn keep_only(&self, listed: &HashSet<String>) {
        let gone: Vec<String> = lock(&self.pods).keys().filter(|name| !listed.contains(*name)).cloned().collect();
        for name in gone {
            self.remove(&name);
        }
        self.tick(true);
    }

    fn tick(&self, listed: bool) {
        self.changes.send_modify(|(count, was_listed)| {
            *count += 1;
            *was_listed |= listed;
        });
    }

    fn publish(&self, pod: &Pod, health: &Health) {
        let Some(name) = server_name(pod) else { return };
        lock(&self.subscribers)
            .retain(|subscriber| subscriber.send(Change { name: name.clone(), health: health.clone() }).is_ok());
    }
}

/// Whose server a pod is: its annotations have the names as they are.
fn server_name(pod: &Pod) -> Option<ServerName> {
    let annotations = pod.annotations();
    let user = annotations.get(label::USERNAME)?.clone();
    Some(ServerName { user, server: annotations.get(label::SERVERNAME).cloned().unwrap_or_default() })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(ready: bool) -> Pod {
        let annotations = json!({"hub.jupyter.org/username": "alice", "hub.jupyter.org/servername": "s1"});
        let status: Value = json!({"phase": "Running", "podIP": "10.0.0.1", "containerStatuses": [
            {"name": "notebook", "image": "", "imageID": "", "ready": ready, "restartCount": 0}]});
        let metadata = json!({"name": "jupyter-alice--s1", "annotations": annotations});
        serde_json::from_value(json!({"metadata": metadata, "status": status})).unwrap()
    }

    /// Each change of a server is told once; a pod that a new list does not have any more is gone.
    #[tokio::test]
    async fn subscribers_hear_of_changes_only() {
        let view = View::default();
        let (sender, mut changes) = mpsc::unbounded_channel();
        view.subscribe(sender);
        for ready in [false, false, true, true] {
            view.apply(pod(ready));
        }
        view.keep_only(&HashSet::from(["jupyter-alice--s1".to_owned()]));
        view.listed().await;
        view.keep_only(&HashSet::new());
        let mut heard = Vec::new();
        while let Ok(change) = changes.try_recv() {
            assert_eq!(change.name, ServerName { user: "alice".to_owned(), server: "s1".to_owned() });
            heard.push(change.health);
        }
        assert!(matches!(heard[..], [Health::Starting, Health::Running { .. }, Health::Stopped { .. }]), "{heard:?}");
        assert!(view.get("jupyter-alice--s1").is_none());
    }
}
