//! Follows the proxy's pods.

use futures::StreamExt;
use hub_crds::proxy_pods::{Member, SERVICE_LABEL, members_of};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{
    Api, Client,
    runtime::{WatchStreamExt, reflector, watcher},
};
use std::future;
use tokio::sync::watch;

/// Follows the pods of a Service for as long as the program runs.
pub fn watch_members(client: Client, namespace: &str, service: &str) -> watch::Receiver<Vec<Member>> {
    let (sender, members) = watch::channel(Vec::new());
    let config = watcher::Config::default().labels(&format!("{SERVICE_LABEL}={service}"));
    let (store, writer) = reflector::store();
    let slices = watcher(Api::<EndpointSlice>::namespaced(client, namespace), config).default_backoff();
    let changes = reflector(writer, slices).for_each(move |change| {
        if let Err(error) = change {
            tracing::warn!(%error, "the proxy's pods can't be watched");
        }
        let slices = store.state();
        let found = members_of(slices.iter().map(|slice| &**slice));
        sender.send_if_modified(|known| {
            *known != found && {
                *known = found;
                true
            }
        });
        future::ready(())
    });
    tokio::spawn(changes);
    members
}
