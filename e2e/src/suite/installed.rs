//! What an installation is made of: charts that lint and test well, and pods that pass `restricted`.

use anyhow::{Result, ensure};

use crate::cluster::{Cluster, NAMESPACE, OPERATOR_NAMESPACE};

/// The namespaces enforce `restricted` from the start; asked again, the API server has nothing to say of any pod.
pub(super) async fn every_pod_passes_restricted(cluster: &Cluster) -> Result<()> {
    let version = cluster.client.apiserver_version().await?;
    // A pinned version makes it another policy than the one in force, so that all pods are looked at.
    let minor = version.minor.trim_end_matches('+');
    for namespace in [OPERATOR_NAMESPACE, NAMESPACE] {
        let enforced =
            cluster.kubectl(&["get", "namespace", namespace, "--output", "jsonpath={.metadata.labels}"]).await?;
        ensure!(
            enforced.contains(r#""pod-security.kubernetes.io/enforce":"restricted""#),
            "namespace {namespace} does not enforce `restricted`: {enforced}"
        );
        cluster
            .kubectl(&[
                "--warnings-as-errors",
                "label",
                "--dry-run=server",
                "--overwrite",
                "namespace",
                namespace,
                "pod-security.kubernetes.io/enforce=restricted",
                &format!("pod-security.kubernetes.io/enforce-version=v{}.{minor}", version.major),
            ])
            .await?;
    }
    Ok(())
}

pub(super) async fn charts_pass_helm_lint(cluster: &Cluster) -> Result<()> {
    for chart in ["hub-crds", "hub-operator", "hub"] {
        let chart = cluster.repository().join("charts").join(chart);
        cluster.helm(&["lint", "--strict", &chart.to_string_lossy()]).await?;
    }
    Ok(())
}

/// The chart's own test asks the operator from another pod whether all is there.
pub(super) async fn helm_test_passes(cluster: &Cluster) -> Result<()> {
    let words = cluster.helm(&["test", "hub-operator", "--namespace", OPERATOR_NAMESPACE, "--timeout", "60s"]).await?;
    ensure!(words.contains("Succeeded"), "helm ran no test:\n{words}");
    Ok(())
}
