//! The least that is true of a Hub that says it is Ready.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt, api::ListParams};

use crate::cluster::{Cluster, NAMESPACE, OPERATOR_NAMESPACE};

/// The namespaces enforce `restricted`, so pods that are there have passed it.
pub(super) async fn every_pod_is_ready_and_was_never_restarted(cluster: &Cluster) -> Result<()> {
    for namespace in [OPERATOR_NAMESPACE, NAMESPACE] {
        let pods: Api<Pod> = cluster.api(namespace);
        let pods = pods.list(&ListParams::default()).await?.items;
        ensure!(!pods.is_empty(), "namespace {namespace} has no pods");
        for pod in pods {
            let name = pod.name_any();
            let status = pod.status.with_context(|| format!("pod {name} has no status"))?;
            for container in status.container_statuses.unwrap_or_default() {
                ensure!(container.ready, "container {} of pod {name} is not ready", container.name);
                ensure!(container.restart_count == 0, "container {} of pod {name} was restarted", container.name);
            }
        }
    }
    Ok(())
}

pub(super) async fn the_login_page_comes_through_the_proxy(cluster: &Cluster) -> Result<()> {
    let answer = reqwest::get(format!("{}/hub/login", cluster.base_url)).await?.error_for_status()?;
    let page = answer.text().await?;
    ensure!(page.contains("<form"), "the login page has no form");
    Ok(())
}
