//! Numbers for people, not a gate: how long, how much, how often.

use std::{fmt::Write, fs, time::Instant};

use anyhow::{Context, Result};
use hub_crds::names::label_value;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt, api::LogParams};

use super::{
    hubs::{self, Place},
    kills::number,
    metrics::Requests,
    node::Node,
    secrets::OPERATOR,
};
use crate::cluster::{Cluster, OPERATOR_NAMESPACE};

/// A new Hub is applied; the example Hub's processes are measured.
pub(super) async fn the_report_is_written(cluster: &Cluster) -> Result<()> {
    let mut lines = Vec::new();
    cluster.with_temp_ns("report", async |namespace| first_reconcile(cluster, namespace, &mut lines).await).await?;
    lines.extend(memory(cluster).await?);
    let mut report = "# Report of the cluster tests\n\n| what | measured | aim |\n|---|---|---|\n".to_owned();
    for (what, value, aim) in lines {
        writeln!(report, "| {what} | {value} | {aim} |")?;
        cluster.measured(&what, format!("{value} (aim {aim})"));
    }
    fs::write(cluster.output()?.join("report.md"), report).context("failed to write the report")
}

type Line = (String, String, &'static str);

async fn first_reconcile(cluster: &Cluster, namespace: &str, lines: &mut Vec<Line>) -> Result<()> {
    let hub = Place { cluster, namespace, name: "measured" };
    let before = Requests::of(cluster).await?;
    let start = Instant::now();
    hub.apply(hubs::spec(cluster)).await?;
    hub.await_ready().await?;
    lines.push(("apply to Ready".to_owned(), format!("{:.1} s", start.elapsed().as_secs_f64()), "10 s"));
    let writes = Requests::of(cluster).await?.since(&before).writes();
    let words = format!("{} ({})", writes.total(), writes.words());
    lines.push(("API writes of a first reconcile".to_owned(), words, "one a child, the finalizer, two of status"));

    let pods: Api<Pod> = cluster.api(namespace);
    let log = pods.logs(&hub.pod(label_value::HUB).await?.name_any(), &LogParams::default()).await?;
    let healthy =
        log.lines().find_map(|line| number(line, "start_ms")).map_or("not logged".to_owned(), |ms| format!("{ms} ms"));
    lines.push(("hub's start to healthy".to_owned(), healthy, "100 ms"));
    Ok(())
}

async fn memory(cluster: &Cluster) -> Result<Vec<Line>> {
    let Some(node) = Node::of(cluster).await? else { return Ok(Vec::new()) };
    let hub = Place::example(cluster);
    let operator = hubs::only_pod(cluster, OPERATOR_NAMESPACE, OPERATOR).await?;
    let (hub, proxy) = (hub.pod(label_value::HUB).await?, hub.pod(label_value::PROXY).await?);
    let mut lines = Vec::new();
    for (name, pod, aim) in [("hub", hub, "25 MB"), ("proxy", proxy, "12 MB"), ("operator", operator, "30 MB")] {
        let bytes = node.resident_memory(&pod).await?;
        let megabytes = format!("{:.1} MB", bytes as f64 / 1e6);
        lines.push((format!("resident memory of the {name}"), megabytes, aim));
    }
    Ok(lines)
}
