//! What a deleted Hub leaves behind, and how it is when it comes back.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Result, ensure};
use hub_crds::names::child;
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, ListParams},
    discovery::{ApiGroup, Discovery, Scope, verbs},
};

use super::hubs::{self, Place};
use crate::cluster::Cluster;

const HUB: &str = "leaving";
/// Pods take a while to end.
const GONE: Duration = Duration::from_secs(60);

/// Under `Retain` volumes and Secrets of record stay, and a Hub of the same name takes them up: the browser is still
/// logged in. Under `Delete` only the user's volume stays.
pub(super) async fn a_deleted_hub_leaves_what_its_policy_says(cluster: &Cluster) -> Result<()> {
    cluster.with_temp_ns("deletion", async |namespace| delete_twice(cluster, namespace).await).await
}

async fn delete_twice(cluster: &Cluster, namespace: &str) -> Result<()> {
    let hub = Place { cluster, namespace, name: HUB };
    let bare = objects(cluster, namespace).await?;
    hub.apply(hubs::spec(cluster)).await?;
    hub.await_ready().await?;
    let ada = hub.visitor("ada").await?;
    ada.start_server().await?;
    ada.open_lab().await?;

    hub.delete().await?;
    let volume = "PersistentVolumeClaim claim-ada".to_owned();
    let kept = [
        volume.clone(),
        format!("PersistentVolumeClaim {}", child::database_claim(HUB)),
        format!("Secret {}", child::cookie_secret(HUB)),
        format!("Secret {}", child::proxy_token(HUB)),
        format!("Secret {}", child::login_tokens(HUB)),
    ];
    await_left(cluster, namespace, &bare, kept.into()).await?;

    hub.apply(hubs::spec(cluster)).await?;
    hub.await_ready().await?;
    let ada = ada.moved_to(&hub.address().await?)?;
    ensure!(ada.is_logged_in().await?, "the browser is logged out after the Hub was deleted and applied again");

    let mut spec = hubs::spec(cluster);
    spec["deletionPolicy"] = "Delete".into();
    hub.apply(spec).await?;
    hub.await_ready().await?;
    hub.delete().await?;
    await_left(cluster, namespace, &bare, BTreeSet::from([volume])).await
}

/// Waits until exactly this is left, beside what every namespace has.
async fn await_left(cluster: &Cluster, namespace: &str, bare: &BTreeSet<String>, kept: BTreeSet<String>) -> Result<()> {
    cluster
        .eventually("what a deleted Hub leaves", GONE, async || {
            let left: BTreeSet<String> = objects(cluster, namespace).await?.difference(bare).cloned().collect();
            let missing: Vec<_> = kept.difference(&left).collect();
            ensure!(missing.is_empty(), "{missing:?} should have stayed");
            let excess: Vec<_> = left.difference(&kept).collect();
            ensure!(excess.is_empty(), "{excess:?} should have gone");
            Ok(())
        })
        .await
}

/// Every object of a namespace as `Kind name`, of every kind that can be listed. Events are no part of a Hub.
async fn objects(cluster: &Cluster, namespace: &str) -> Result<BTreeSet<String>> {
    let discovery = Discovery::new(cluster.client.clone()).run().await?;
    let mut objects = BTreeSet::new();
    for (resource, capabilities) in discovery.groups().flat_map(ApiGroup::recommended_resources) {
        let listed = capabilities.scope == Scope::Namespaced && capabilities.supports_operation(verbs::LIST);
        if listed && resource.kind != "Event" {
            let api: Api<DynamicObject> = Api::namespaced_with(cluster.client.clone(), namespace, &resource);
            let found = api.list(&ListParams::default()).await?;
            objects.extend(found.iter().map(|object| format!("{} {}", resource.kind, object.name_any())));
        }
    }
    Ok(objects)
}
