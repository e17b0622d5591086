//! The operator at rest, and how fast it leaves it: nothing is asked for without need, what was changed is put right,
//! and nobody but the Hub concerned is touched.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use hub_crds::names::{child, label};
use k8s_openapi::api::{
    apps::v1::Deployment,
    coordination::v1::Lease,
    core::v1::{ConfigMap, Namespace, Pod, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, ListParams, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    hubs::{self, Place, is_ready},
    metrics::Requests,
    people::login_token,
    person::Person,
    secrets::{BACK, OPERATOR, delete_and_await},
};
use crate::cluster::{Cluster, HUB, NAMESPACE, OPERATOR_NAMESPACE};

const QUIET: Duration = Duration::from_secs(30);
/// A Lease that was given up is taken at once; one that was not would last three times as long.
const HANDOVER: Duration = Duration::from_secs(5);

/// Absence can only be seen by watching for a while.
pub(super) async fn at_rest_the_operator_writes_and_lists_nothing(cluster: &Cluster) -> Result<()> {
    Place::example(cluster).await_ready().await?;
    nothing_is_going(cluster).await?;
    // What earlier tests set off has come to its end when nothing was written for a second.
    let what = "the operator to come to rest";
    let before = cluster
        .eventually(what, Duration::from_secs(30), async || {
            let before = Requests::of(cluster).await?;
            sleep(Duration::from_secs(1)).await;
            let now = Requests::of(cluster).await?;
            ensure!(now.since(&before).writes().total() == 0, "it writes");
            Ok(now)
        })
        .await?;
    sleep(QUIET).await;
    let asked = Requests::of(cluster).await?.since(&before);
    ensure!(asked.writes().total() == 0, "at rest the operator writes: {}", asked.writes().words());
    ensure!(asked.lists().total() == 0, "at rest the operator lists: {}", asked.lists().words());
    Ok(())
}

/// Namespaces of earlier tests go in their own time, and each Hub in them is let go.
async fn nothing_is_going(cluster: &Cluster) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    cluster
        .eventually("namespaces of earlier tests to be gone", Duration::from_secs(60), async || {
            let all = namespaces.list(&ListParams::default()).await?;
            let going = all.iter().filter(|namespace| namespace.metadata.deletion_timestamp.is_some());
            let going: Vec<_> = going.map(ResourceExt::name_any).collect();
            ensure!(going.is_empty(), "{going:?} are still going");
            Ok(())
        })
        .await
}

/// Each kind once: deleted, and edited.
pub(super) async fn a_deleted_or_edited_child_is_back_within_two_seconds(cluster: &Cluster) -> Result<()> {
    cluster
        .with_temp_ns("children", async |namespace| {
            let hub = Place { cluster, namespace, name: "steady" };
            hub.apply(hubs::spec(cluster)).await?;
            hub.await_ready().await?;
            edit_children(&hub).await?;
            delete_children(&hub).await
        })
        .await
}

async fn delete_children(hub: &Place<'_>) -> Result<()> {
    let (cluster, namespace) = (hub.cluster, hub.namespace);
    let (hub_name, proxy_name) = (child::hub(hub.name), child::proxy(hub.name));
    let mut slowest = Duration::ZERO;
    macro_rules! delete {
        ($($kind:ty: $name:expr),+ $(,)?) => {
            $(slowest = slowest.max(delete_and_await(cluster, &cluster.api::<$kind>(namespace), $name).await?.0);)+
        };
    }
    delete!(
        ConfigMap: &hub_name,
        NetworkPolicy: &hub_name,
        NetworkPolicy: &proxy_name,
        NetworkPolicy: &child::singleuser(hub.name),
        Role: &hub_name,
        RoleBinding: &hub_name,
        ServiceAccount: &hub_name,
        Service: &child::proxy_api(hub.name),
        Service: &hub_name,
        Deployment: &proxy_name,
        Deployment: &hub_name,
    );
    cluster.measured("slowest return of a deleted child", format!("{} ms", slowest.as_millis()));
    Ok(())
}

async fn edit_children(hub: &Place<'_>) -> Result<()> {
    let name = child::hub(hub.name);
    let cases = [
        ("", "ConfigMap", json!({"data": {"hub.yaml": "edited: true"}})),
        ("", "Service", json!({"spec": {"selector": {"app.kubernetes.io/component": "edited"}}})),
        ("apps", "Deployment", json!({"spec": {"replicas": 3}})),
        ("networking.k8s.io", "NetworkPolicy", json!({"spec": {"podSelector": {"matchLabels": {"edited": "true"}}}})),
        ("rbac.authorization.k8s.io", "Role", json!({"rules": []})),
        ("rbac.authorization.k8s.io", "RoleBinding", json!({"subjects": []})),
    ];
    for (group, kind, edit) in cases {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind));
        let api: Api<DynamicObject> = Api::namespaced_with(hub.cluster.client.clone(), hub.namespace, &resource);
        let before = content(&api.get(&name).await?);
        let start = Instant::now();
        api.patch(&name, &PatchParams::default(), &Patch::Merge(edit)).await?;
        let same = |object: Option<&DynamicObject>| object.is_some_and(|object| content(object) == before);
        hub.cluster
            .await_condition(&api, &name, &format!("{kind} to be as it was"), 5 * BACK, same)
            .await
            .with_context(|| format!("{kind} {name} stays edited"))?;
        let time = start.elapsed();
        ensure!(time <= BACK, "{kind} {name} was put right after {} ms", time.as_millis());
    }
    Ok(())
}

/// What an object says, without what the API server and the controllers add.
fn content(object: &DynamicObject) -> BTreeMap<String, Value> {
    let data = object.data.as_object().into_iter().flatten();
    data.filter(|(field, _)| *field != "status").map(|(field, value)| (field.clone(), value.clone())).collect()
}

/// Two Hubs beside each other: own secrets, own users, and one's end is nothing to the other.
pub(super) async fn hubs_of_a_namespace_do_not_touch_each_other(cluster: &Cluster) -> Result<()> {
    cluster
        .with_temp_ns("two", async |namespace| {
            let [left, right] = ["left", "right"].map(|name| Place { cluster, namespace, name });
            for hub in [&left, &right] {
                hub.apply(hubs::spec(cluster)).await?;
            }
            left.await_ready().await?;
            right.await_ready().await?;
            let token = login_token(cluster, namespace, "left", "ada").await?;
            ensure!(token != login_token(cluster, namespace, "right", "ada").await?, "two Hubs share a token");
            let stranger = Person::new("ada", &right.address().await?)?;
            stranger.log_in_with_url(&token).await?;
            ensure!(!stranger.is_logged_in().await?, "a Hub takes another one's token");

            let before = children(&right).await?;
            ensure!(before.len() >= 10, "the Hub has only the children {:?}", before.keys());
            left.delete().await?;
            let selector = format!("{}=left", label::HUB);
            let pods: Api<Pod> = cluster.api(namespace);
            cluster
                .eventually("the other Hub's pods to be gone", Duration::from_secs(60), async || {
                    let left = pods.list(&ListParams::default().labels(&selector)).await?.items.len();
                    ensure!(left == 0, "{left} pods are left");
                    Ok(())
                })
                .await?;
            ensure!(children(&right).await? == before, "the end of one Hub changed the other's children");
            let still = right.hubs().get("right").await?;
            ensure!(kube::runtime::wait::Condition::matches_object(&is_ready(), Some(&still)), "it is not Ready");
            Ok(())
        })
        .await
}

/// Uid and generation of each child.
async fn children(hub: &Place<'_>) -> Result<BTreeMap<String, (Option<String>, Option<i64>)>> {
    let kinds = [
        ("", "Secret"),
        ("", "ConfigMap"),
        ("", "Service"),
        ("", "ServiceAccount"),
        ("", "PersistentVolumeClaim"),
        ("apps", "Deployment"),
        ("networking.k8s.io", "NetworkPolicy"),
        ("rbac.authorization.k8s.io", "Role"),
        ("rbac.authorization.k8s.io", "RoleBinding"),
    ];
    let params = ListParams::default().labels(&format!("{}={}", label::HUB, hub.name));
    let mut children = BTreeMap::new();
    for (group, kind) in kinds {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind));
        let api: Api<DynamicObject> = Api::namespaced_with(hub.cluster.client.clone(), hub.namespace, &resource);
        for object in api.list(&params).await? {
            let key = format!("{kind} {}", object.name_any());
            children.insert(key, (object.uid(), object.metadata.generation));
        }
    }
    Ok(children)
}

/// SIGTERM makes the leading replica give its Lease up, so that the other leads at once.
pub(super) async fn leadership_is_handed_over_on_sigterm(cluster: &Cluster) -> Result<()> {
    let result = hand_over(cluster).await;
    scale(cluster, 1).await?;
    result
}

async fn hand_over(cluster: &Cluster) -> Result<()> {
    scale(cluster, 2).await?;
    let leases: Api<Lease> = cluster.api(OPERATOR_NAMESPACE);
    let pods: Api<Pod> = cluster.api(OPERATOR_NAMESPACE);
    let leader = holder(&leases.get("hub-operator").await?).context("nobody holds the Lease")?;
    let listed = pods.list(&ListParams::default().labels(OPERATOR)).await?;
    let pod = listed.iter().map(ResourceExt::name_any).find(|pod| leader.contains(pod.as_str()));
    let pod = pod.with_context(|| format!("the Lease's holder {leader} is no pod of the operator"))?;
    let start = Instant::now();
    pods.delete(&pod, &Default::default()).await?;
    let taken =
        |lease: Option<&Lease>| lease.and_then(holder).is_some_and(|holder| !holder.is_empty() && holder != leader);
    cluster.await_condition(&leases, "hub-operator", "another leader", Duration::from_secs(40), taken).await?;
    let time = start.elapsed();
    cluster.measured("leader ended -> another leads", format!("{} ms", time.as_millis()));
    ensure!(time <= HANDOVER, "the other replica leads after {} ms only", time.as_millis());
    let policies: Api<NetworkPolicy> = cluster.api(NAMESPACE);
    delete_and_await(cluster, &policies, &child::singleuser(HUB))
        .await
        .context("the new leader does not work")
        .map(|_| ())
}

fn holder(lease: &Lease) -> Option<String> {
    lease.spec.as_ref()?.holder_identity.clone()
}

async fn scale(cluster: &Cluster, replicas: u8) -> Result<()> {
    let deployment = "deployment/hub-operator";
    let replicas = format!("--replicas={replicas}");
    cluster.kubectl(&["--namespace", OPERATOR_NAMESPACE, "scale", deployment, &replicas]).await?;
    cluster.kubectl(&["--namespace", OPERATOR_NAMESPACE, "rollout", "status", deployment, "--timeout=60s"]).await?;
    Ok(())
}
