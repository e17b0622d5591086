//! The charts and the example Hub, and the wait until it is Ready.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use hub_crds::{Hub, login_url, names::child, status::condition};
use k8s_openapi::{api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::Condition};
use kube::Api;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    cluster::{Cluster, HUB, NAMESPACE, OPERATOR_NAMESPACE},
    diagnosis,
    images::Images,
    kind::HTTP_NODE_PORT,
    progress::{seconds, step},
};

const ROLLOUT: Duration = Duration::from_secs(180);
const POLL: Duration = Duration::from_millis(250);

/// What a person wants to know of a Hub that is Ready.
pub(crate) struct Welcome {
    pub(crate) base_url: String,
    pub(crate) login_url: String,
    /// Commands worth knowing next.
    pub(crate) kubectl: Vec<String>,
}

/// Installs or upgrades everything, and waits. On failure the cluster's state is printed.
pub(crate) async fn install(cluster: &Cluster) -> Result<Welcome> {
    let result = try_install(cluster).await;
    if result.is_err() {
        eprintln!("{}", diagnosis::of_cluster(cluster).await);
    }
    result
}

async fn try_install(cluster: &Cluster) -> Result<Welcome> {
    step(&cluster.places, "Install the operator", async |_| install_operator(cluster).await).await?;
    step(&cluster.places, "Apply the example Hub", async |_| apply_example(cluster).await).await?;
    let start = Instant::now();
    await_ready(cluster).await?;
    eprintln!("✓ Hub {HUB} is Ready  {}", seconds(start.elapsed()));
    if cluster.is_on_this_host() {
        await_login_page(cluster).await?;
    }
    welcome(cluster).await
}

/// The operator's chart brings the resource definition, and the operator the images that Hubs run unless they name others.
async fn install_operator(cluster: &Cluster) -> Result<()> {
    ensure_namespace(cluster, OPERATOR_NAMESPACE).await?;
    let images = &cluster.images;
    let values = json!({"images": {"operator": images.operator, "hub": images.hub, "proxy": images.proxy}});
    let values = values_file(cluster, "hub-operator", &values)?;
    upgrade(cluster, "hub-operator", OPERATOR_NAMESPACE, "hub-operator", &[values]).await?;
    cluster.kubectl(&["wait", "--for=condition=Established", "--timeout=30s", "crd/hubs.jupyter.rs"]).await.map(|_| ())
}

async fn apply_example(cluster: &Cluster) -> Result<()> {
    ensure_namespace(cluster, NAMESPACE).await?;
    let mut spec = json!({"singleuser": {"image": cluster.images.singleuser}});
    if cluster.is_on_this_host() {
        spec["proxy"]["service"] = json!({"type": "NodePort", "nodePorts": {"http": HTTP_NODE_PORT}});
    }
    let overrides = values_file(cluster, HUB, &json!({"spec": spec}))?;
    upgrade(cluster, HUB, NAMESPACE, "hub", &[cluster.places.source("example-values.yaml"), overrides]).await
}

/// A namespace in which the Pod Security Standard `restricted` is enforced.
async fn ensure_namespace(cluster: &Cluster, name: &str) -> Result<()> {
    let namespace = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    });
    cluster.kubectl_with(&["apply", "--server-side", "-f", "-"], namespace.to_string()).await.map(|_| ())
}

/// `helm upgrade --install`, waiting until what it made is up.
async fn upgrade(cluster: &Cluster, release: &str, namespace: &str, chart: &str, values: &[PathBuf]) -> Result<()> {
    let chart = cluster.places.repository.join("charts").join(chart);
    let chart = chart.to_string_lossy();
    let values: Vec<String> =
        values.iter().flat_map(|file| ["--values".to_owned(), file.display().to_string()]).collect();
    let mut args =
        vec!["upgrade", "--install", release, &chart, "--namespace", namespace, "--wait", "--timeout", "120s"];
    args.extend(values.iter().map(String::as_str));
    cluster.helm(&args).await.map(|_| ())
}

fn values_file(cluster: &Cluster, name: &str, values: &Value) -> Result<PathBuf> {
    let file = cluster.places.file(&format!("values/{name}.json"))?;
    fs::write(&file, values.to_string())?;
    Ok(file)
}

/// Shows each condition when it changes, until Ready is true for the spec as it is now.
async fn await_ready(cluster: &Cluster) -> Result<()> {
    let hubs: Api<Hub> = cluster.api(NAMESPACE);
    let start = Instant::now();
    let mut shown: BTreeMap<String, String> = BTreeMap::new();
    loop {
        let hub = hubs.get(HUB).await.context("failed to read the Hub")?;
        let conditions = hub.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
        for condition in &conditions {
            let line = line_of(condition);
            if shown.insert(condition.type_.clone(), line.clone()).is_none_or(|before| before != line) {
                eprintln!("    {:>5.1} s  {line}", start.elapsed().as_secs_f64());
            }
        }
        let ready = conditions.iter().any(|condition| is_ready(condition, hub.metadata.generation));
        if ready && runs_our_images(&hub, &cluster.images) {
            return Ok(());
        }
        if start.elapsed() > ROLLOUT {
            bail!("Hub {HUB} was not Ready after {} s; its conditions are above", ROLLOUT.as_secs());
        }
        sleep(POLL).await;
    }
}

/// An operator that was just replaced has not spoken yet: until then the status is that of the images before.
fn runs_our_images(hub: &Hub, images: &Images) -> bool {
    let versions = hub.status.as_ref().and_then(|status| status.versions.as_ref());
    versions.is_some_and(|versions| versions.hub == images.hub && versions.proxy == images.proxy)
}

fn is_ready(condition: &Condition, generation: Option<i64>) -> bool {
    condition.type_ == condition::READY && condition.status == "True" && condition.observed_generation == generation
}

fn line_of(condition: &Condition) -> String {
    format!("{:<15} {:<8} {:<20} {}", condition.type_, condition.status, condition.reason, condition.message)
        .trim_end()
        .to_owned()
}

/// The proof that the address is right: the login page comes through it.
async fn await_login_page(cluster: &Cluster) -> Result<()> {
    let url = format!("{}/hub/login", cluster.base_url);
    cluster
        .eventually("the login page", Duration::from_secs(15), async || {
            reqwest::get(&url)
                .await
                .and_then(reqwest::Response::error_for_status)
                .with_context(|| format!("failed to get {url}"))
        })
        .await
        .map(|_| ())
}

async fn welcome(cluster: &Cluster) -> Result<Welcome> {
    let secrets: Api<Secret> = cluster.api(NAMESPACE);
    let name = child::login_tokens(HUB);
    let secret = secrets.get(&name).await.with_context(|| format!("failed to read Secret {name}"))?;
    let token = secret
        .data
        .and_then(|data| data.into_values().next())
        .with_context(|| format!("Secret {name} holds no token"))?;
    let token = String::from_utf8(token.0).with_context(|| format!("Secret {name} holds a token that is no text"))?;
    let mut kubectl = vec![
        format!("kubectl -n {NAMESPACE} get hub {HUB} -w"),
        format!("kubectl -n {NAMESPACE} get pods"),
        format!("kubectl -n {NAMESPACE} logs deployment/{} -f", child::hub(HUB)),
    ];
    if !cluster.is_on_this_host() {
        kubectl
            .insert(0, format!("kubectl -n {NAMESPACE} port-forward service/{} 8080:http", child::proxy_public(HUB)));
    }
    let base_url = format!("{}/", cluster.base_url);
    Ok(Welcome { login_url: login_url(&base_url, &token), base_url, kubectl })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(status: &str, generation: i64) -> Condition {
        serde_json::from_value(json!({
            "type": "Ready", "status": status, "observedGeneration": generation,
            "reason": "R", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
        }))
        .unwrap()
    }

    #[test]
    fn an_older_generation_being_ready_does_not_count() {
        assert!(is_ready(&ready("True", 2), Some(2)));
        assert!(!is_ready(&ready("True", 1), Some(2)));
        assert!(!is_ready(&ready("False", 2), Some(2)));
    }
}
