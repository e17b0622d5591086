//! People who ask all the time: none of them notices when pods of the proxy come and go, or when the hub restarts.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use hub_crds::names::{label_value, port};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
    runtime::wait::Condition,
};
use serde_json::json;

use super::{
    hubs::{self, Place, pod_is_ready, restarts},
    load::keep_asking,
    node::Node,
    person::Person,
    skip,
};
use crate::cluster::Cluster;

const REPLICAS: usize = 2;
/// From a change of the Deployment until every pod is another one.
const ROLLED: Duration = Duration::from_secs(90);
/// Until a pod that has become ready is asked for what its table must have.
const TABLE: Duration = Duration::from_secs(10);
/// People who ask all the time: half of them on one connection, half on a new one each time.
const PEOPLE: usize = 6;
/// How long they ask before a change, and after it.
const BEFORE: Duration = Duration::from_secs(2);
const AFTERWARDS: Duration = Duration::from_secs(8);

/// Each pod has the whole table; none is missed when it is deleted, and none when all are replaced.
pub(super) async fn no_request_fails_while_pods_of_the_proxy_come_and_go(cluster: &Cluster) -> Result<()> {
    cluster
        .with_temp_ns("proxies", async |namespace| {
            let hub = Place { cluster, namespace, name: "many" };
            let mut spec = hubs::spec(cluster);
            spec["proxy"]["replicas"] = json!(REPLICAS);
            let ada = hub.ada_at_work(spec).await?;
            every_pod_leads_to_the_server(&hub).await?;
            under_load(&hub, &ada).await?;
            every_pod_leads_to_the_server(&hub).await
        })
        .await
}

/// Asked past the Service.
async fn every_pod_leads_to_the_server(hub: &Place<'_>) -> Result<()> {
    let all_lead = async || {
        let pods = hub.pods(label_value::PROXY).await?;
        ensure!(pods.len() == REPLICAS, "there are {} pods", pods.len());
        for pod in pods {
            let place = format!("/api/v1/namespaces/{}/pods/{}:{}", hub.namespace, pod.name_any(), port::PROXY_HTTP);
            let answer = hub.cluster.kubectl(&["get", "--raw", &format!("{place}/proxy/user/ada/api")]).await?;
            ensure!(answer.contains("version"), "{}: {answer}", pod.name_any());
        }
        Ok(())
    };
    hub.cluster.eventually("every pod of the proxy to lead to ada's server", TABLE, all_lead).await
}

async fn under_load(hub: &Place<'_>, ada: &Person) -> Result<()> {
    let changes = async || {
        delete_one(hub).await.context("a pod was deleted")?;
        roll_all(hub).await.context("all pods were replaced")
    };
    let asked = while_people_ask(hub, &["/hub/login", "/user/ada/api"], changes).await?;
    hub.cluster.measured("requests while pods of the proxy come and go", format!("{asked}, none failed"));
    ensure!(ada.is_logged_in().await?, "ada is logged out");
    Ok(())
}

/// Requests for the hub wait in the proxy until it is back.
pub(super) async fn no_request_fails_while_the_hub_restarts(cluster: &Cluster) -> Result<()> {
    let Some(node) = Node::of(cluster).await? else {
        return skip("processes are ended on the node, which must be a container of this machine");
    };
    cluster
        .with_temp_ns("restart", async |namespace| {
            let hub = Place { cluster, namespace, name: "restarted" };
            hub.apply(hubs::spec(cluster)).await?;
            hub.await_ready().await?;
            let restart = async || {
                let before = hub.pod(label_value::HUB).await?;
                node.end(&before).await?;
                let is_back = async || {
                    let count = restarts(&hub.pod(label_value::HUB).await?);
                    ensure!(count == restarts(&before) + 1, "the hub was started {count} times again");
                    Ok(())
                };
                cluster.eventually("the hub to be started again", ROLLED, is_back).await
            };
            let asked = while_people_ask(&hub, &["/hub/login", "/hub/health"], restart).await?;
            cluster.measured("requests while the hub restarts", format!("{asked}, none failed"));
            Ok(())
        })
        .await
}

/// Gives how many requests were answered, all of them well, before, during and after the change.
pub(super) async fn while_people_ask(
    hub: &Place<'_>,
    pages: &[&str],
    change: impl AsyncFnOnce() -> Result<()>,
) -> Result<usize> {
    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let address = hub.address().await?;
    let load = async {
        let somebody = || Person::new("somebody", &address);
        let people = (0..PEOPLE).map(|number| keep_asking(number, somebody, pages, &over, &asked));
        futures::future::try_join_all(people).await.map(|_| ())
    };
    let changes = async {
        tokio::time::sleep(BEFORE).await;
        let changed = change().await;
        if changed.is_ok() {
            tokio::time::sleep(AFTERWARDS).await;
        }
        over.store(true, Ordering::Relaxed);
        changed
    };
    tokio::try_join!(load, changes)?;
    let asked = asked.load(Ordering::Relaxed);
    ensure!(asked > 50 * PEOPLE, "only {asked} requests were made");
    Ok(asked)
}

async fn delete_one(hub: &Place<'_>) -> Result<()> {
    let api: Api<Pod> = hub.cluster.api(hub.namespace);
    let before = hub.pods(label_value::PROXY).await?;
    let gone = before.first().context("there is a pod")?.name_any();
    api.delete(&gone, &DeleteParams::default()).await?;
    replaced(hub, &[gone]).await
}

/// By an annotation of the template, as `kubectl rollout restart` does it.
async fn roll_all(hub: &Place<'_>) -> Result<()> {
    let before: Vec<_> = hub.pods(label_value::PROXY).await?.iter().map(ResourceExt::name_any).collect();
    let deployments: Api<Deployment> = hub.cluster.api(hub.namespace);
    let name = hub_crds::names::child::proxy(hub.name);
    let annotation = json!({"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"});
    let patch = json!({"spec": {"template": {"metadata": {"annotations": annotation}}}});
    deployments.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    replaced(hub, &before).await
}

/// Waits until none of these pods is there and as many as are wanted are ready.
async fn replaced(hub: &Place<'_>, before: &[String]) -> Result<()> {
    let is_replaced = async || {
        let pods = hub.pods(label_value::PROXY).await?;
        let is_ready = |pod: &Pod| pod_is_ready().matches_object(Some(pod));
        ensure!(pods.iter().all(|pod| !before.contains(&pod.name_any())), "an old pod is there");
        ensure!(pods.iter().filter(|pod| is_ready(pod)).count() == REPLICAS, "not all pods are ready");
        Ok(())
    };
    hub.cluster.eventually("other pods of the proxy", ROLLED, is_replaced).await
}
