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

/// With their values the charts have the objects that Prometheus' operator and Grafana look for, and without them none.
pub(super) async fn charts_have_monitors_and_a_dashboard_on_request(cluster: &Cluster) -> Result<()> {
    let monitors = ["kind: ServiceMonitor", "path: /hub/metrics", "kind: PodMonitor", "name: lab-hub-metrics"];
    let operators = ["kind: ServiceMonitor", "path: /metrics", "grafana_dashboard: \"1\"", "hubs.json: |-"];
    for (chart, value, expected) in [
        ("hub", "serviceMonitor.enabled=true", &monitors),
        ("hub-operator", "serviceMonitor.enabled=true,dashboard.enabled=true", &operators),
    ] {
        let path = cluster.repository().join("charts").join(chart);
        let template = ["template", "lab", &path.to_string_lossy()];
        let plain = cluster.helm(&template).await?;
        let asked = cluster.helm(&[&template[..], &["--set", value]].concat()).await?;
        for text in expected {
            ensure!(asked.contains(text), "{chart} with {value} has no `{text}`:\n{asked}");
        }
        ensure!(!plain.contains("monitoring.coreos.com") && !plain.contains("grafana"), "{chart} has monitors unasked");
    }
    Ok(())
}

/// The chart's own test asks the operator from another pod whether all is there.
pub(super) async fn helm_test_passes(cluster: &Cluster) -> Result<()> {
    let words = cluster.helm(&["test", "hub-operator", "--namespace", OPERATOR_NAMESPACE, "--timeout", "60s"]).await?;
    ensure!(words.contains("Succeeded"), "helm ran no test:\n{words}");
    Ok(())
}
