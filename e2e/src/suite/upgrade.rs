//! From the previous commit's charts to these: nobody's server is restarted, and no component without need.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use hub_crds::names::{child, label_value};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, ResourceExt};

use super::{
    hubs::{Place, restarts},
    people, skip,
};
use crate::{
    cluster::{Cluster, HUB, NAMESPACE, OPERATOR_NAMESPACE},
    program::Program,
};

const PREVIOUS: &str = "HEAD~1";
/// Releases with their charts and namespaces, in the order in which they are upgraded.
const RELEASES: [(&str, &str, &str); 2] =
    [("hub-operator", "hub-operator", OPERATOR_NAMESPACE), (HUB, "hub", NAMESPACE)];

/// What must not change without need.
#[derive(Debug, PartialEq)]
struct Running {
    pod: Option<String>,
    restarts: i32,
    /// The Deployment's template, as it is rendered; a user's pod has none.
    template: Option<String>,
}

pub(super) async fn an_upgrade_restarts_only_what_it_changes(cluster: &Cluster) -> Result<()> {
    let git = || Program::new("git").dir(cluster.repository());
    for (_, chart, _) in RELEASES {
        let file = format!("{PREVIOUS}:charts/{chart}/Chart.yaml");
        if git().args(["cat-file", "-e", &file]).output().await.is_err() {
            return skip(format!("the previous commit has no chart {chart}, or is not in this clone"));
        }
    }
    let previous = tempfile::tempdir()?;
    let unpack = Program::new("tar").args(["-x", "-C"]).arg(previous.path());
    git().args(["archive", PREVIOUS, "charts"]).pipe_into(unpack).await?;

    let hub = Place::example(cluster);
    let ada = people::ada(cluster).await?;
    ada.log_in_with_url(&ada.token).await?;
    ada.start_server().await?;
    ada.open_lab().await?;
    let id = ada.start_kernel().await?;
    let mut kernel = ada.connect(&id).await?;
    kernel.run("x = 41").await?;

    let result = async {
        move_to(cluster, &previous.path().join("charts")).await.context("to the previous commit's charts")?;
        let before = running(&hub).await?;
        move_to(cluster, &cluster.repository().join("charts")).await.context("to this commit's charts")?;
        for (before, after) in before.iter().zip(running(&hub).await?) {
            ensure!(
                before.template != after.template || *before == after,
                "restarted without need: {:?} became {:?}",
                before.pod,
                after.pod
            );
        }
        Ok(())
    }
    .await;
    if result.is_err() {
        move_to(cluster, &cluster.repository().join("charts")).await?; // for the tests after this one
    }
    result?;
    // The proxy carries this connection, and lets go of it only if it was restarted.
    let answer = match kernel.run("x + 1").await {
        Ok(answer) => answer,
        Err(_) => ada.connect(&id).await?.run("x + 1").await?,
    };
    ensure!(answer == "42", "the kernel forgot: x + 1 is {answer}");
    ada.stop_server().await
}

/// `helm upgrade` of every release with the values that it has.
async fn move_to(cluster: &Cluster, charts: &Path) -> Result<()> {
    for (release, chart, namespace) in RELEASES {
        let values = tempfile::NamedTempFile::with_suffix(".json")?;
        fs::write(
            values.path(),
            cluster.helm(&["get", "values", release, "--namespace", namespace, "--output", "json"]).await?,
        )?;
        cluster
            .helm(&[
                "upgrade",
                release,
                &charts.join(chart).to_string_lossy(),
                "--namespace",
                namespace,
                "--reset-values",
                "--values",
                &values.path().to_string_lossy(),
                "--wait",
                "--timeout",
                "90s",
            ])
            .await?;
    }
    Place::example(cluster).await_ready().await.map(|_| ())
}

async fn running(hub: &Place<'_>) -> Result<[Running; 3]> {
    let user = hub.user_pod("ada").await?;
    Ok([
        Running { pod: user.uid(), restarts: restarts(&user), template: None },
        component(hub, label_value::HUB, &child::hub(hub.name)).await?,
        component(hub, label_value::PROXY, &child::proxy(hub.name)).await?,
    ])
}

async fn component(hub: &Place<'_>, name: &str, deployment: &str) -> Result<Running> {
    let pod = hub.pod(name).await?;
    let deployments: Api<Deployment> = hub.cluster.api(hub.namespace);
    let template = deployments.get(deployment).await?.spec.map(|spec| spec.template);
    Ok(Running { pod: pod.uid(), restarts: restarts(&pod), template: Some(serde_json::to_string(&template)?) })
}
