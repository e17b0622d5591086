//! Where the hub keeps its state in a cluster: PostgreSQL, by which a new hub takes over without a gap, and copies of SQLite.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hub_crds::names::{child, label_value};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{PersistentVolumeClaim, Secret},
    rbac::v1::RoleBinding,
};
use kube::{Api, ResourceExt, api::PostParams};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    hubs::{self, Place, restarts},
    proxies::while_people_ask,
};
use crate::{cluster::Cluster, postgres::Postgres};

/// From a change until the new hub has taken over.
const ROLLED: Duration = Duration::from_secs(90);
/// From a restore until the hub has started with it.
const RESTARTED: Duration = Duration::from_secs(60);

pub(super) async fn a_new_hub_on_postgresql_takes_over_without_a_failed_request(cluster: &Cluster) -> Result<()> {
    let postgres = Postgres::start_at(cluster.host_address().await?).await?;
    let url = postgres.database("hub").await?;
    cluster
        .with_temp_ns("postgres", async |namespace| {
            let secrets: Api<Secret> = cluster.api(namespace);
            let secret = json!({"metadata": {"name": "database"}, "stringData": {"address": url}});
            secrets.create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
            let hub = Place { cluster, namespace, name: "pg" };
            let spec = |limit: u32| -> Value {
                let mut spec = hubs::spec(cluster);
                spec["database"] = json!({"type": "postgres", "urlSecretRef": {"name": "database", "key": "address"}});
                spec["hub"]["concurrentSpawnLimit"] = json!(limit);
                spec
            };
            let ada = hub.ada_at_work(spec(10)).await?;
            let claims: Api<PersistentVolumeClaim> = cluster.api(namespace);
            let claim = claims.get_opt(&child::database_claim("pg")).await?;
            ensure!(claim.is_none(), "there is a volume for a database that is elsewhere");
            // A setting that the hub reads at its start, so that its pod is replaced.
            let roll = async || {
                let before = hub.pod(label_value::HUB).await?.name_any();
                hub.apply(spec(20)).await?;
                cluster.eventually("another hub to take over", ROLLED, async || taken_over(&hub, &before).await).await
            };
            let pages = ["/hub/login", "/hub/api/", "/user/ada/api"];
            let asked = while_people_ask(&hub, &pages, roll).await?;
            cluster.measured("requests while a hub on PostgreSQL is replaced", format!("{asked}, none failed"));
            ensure!(ada.is_logged_in().await?, "ada is logged out");
            ada.open_lab().await?;
            ada.stop_server().await
        })
        .await
}

/// The new pod is the only one, and it was never restarted.
async fn taken_over(hub: &Place<'_>, before: &str) -> Result<()> {
    let pod = hub.pod(label_value::HUB).await?;
    ensure!(pod.name_any() != before, "it is still the old one");
    ensure!(restarts(&pod) == 0, "it was restarted");
    let deployments: Api<Deployment> = hub.cluster.api(hub.namespace);
    let status = deployments.get(&child::hub(hub.name)).await?.status.unwrap_or_default();
    ensure!(status.ready_replicas == Some(1) && status.replicas == Some(1), "the rollout goes on: {status:?}");
    Ok(())
}

/// A copy is taken from the pod, comes back into it, and nothing is wrong before or after.
pub(super) async fn a_copy_is_taken_and_comes_back_in_the_hubs_pod(cluster: &Cluster) -> Result<()> {
    cluster
        .with_temp_ns("backup", async |namespace| {
            let hub = Place { cluster, namespace, name: "copied" };
            hub.apply(hubs::spec(cluster)).await?;
            hub.await_ready().await?;
            let healthy = hub.command(&["doctor"]).await.context("hub doctor in a pod that is well")?;
            ensure!(!healthy.contains("wrong"), "{healthy}");
            let ada = hub.visitor("ada").await?;
            let add = async |name: &str| {
                let path = format!("/hub/api/users/{name}");
                ada.fetch(Method::POST, &path, None).await?.expect(&[201]).map(drop)
            };
            ada.visit("/hub/home").await?;
            add("before").await?;
            let deployment = format!("deployment/{}", child::hub("copied"));
            let exec = ["--namespace", namespace, "exec", &deployment, "--", "hub", "backup", "-"];
            let copy = cluster.kubectl_bytes(&exec).await?;
            add("after").await?;
            let restarted = restarts(&hub.pod(label_value::HUB).await?);
            let exec = ["--namespace", namespace, "exec", "-i", &deployment, "--", "hub", "restore", "-"];
            cluster.kubectl_with(&exec, copy).await?;
            let is_back = async || {
                let count = restarts(&hub.pod(label_value::HUB).await?);
                ensure!(count == restarted + 1, "the hub was restarted {count} times");
                ensure!(ada.is_logged_in().await?, "ada is logged out");
                Ok(())
            };
            cluster.eventually("the hub to start with the copy", RESTARTED, is_back).await?;
            let user =
                async |name: &str| Ok::<_, anyhow::Error>(ada.look(&format!("/hub/api/users/{name}")).await?.status);
            ensure!(user("before").await? == 200, "who was in the copy is gone");
            ensure!(user("after").await? == 404, "who came after it is still there");
            // Every node hears a moment later that the pod is ready again.
            let is_well = async || hub.command(&["doctor"]).await.map(drop);
            cluster.eventually("hub doctor to find nothing wrong", RESTARTED, is_well).await?;
            // What it isn't allowed to do is told by name.
            let roles: Api<RoleBinding> = cluster.api(namespace);
            let mut paused = hubs::spec(cluster);
            paused["paused"] = json!(true);
            hub.apply(paused).await?;
            roles.delete(&child::hub("copied"), &Default::default()).await?;
            let sick = hub.command(&["doctor"]).await.err().context("hub doctor finds nothing wrong")?;
            let sick = format!("{sick:#}");
            ensure!(sick.contains("create pods"), "{sick}");
            Ok(())
        })
        .await
}
