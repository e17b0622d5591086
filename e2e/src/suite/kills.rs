//! `kill -9` of each component once, while somebody works in a notebook.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hub_crds::names::{label, label_value};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt, api::LogParams};

use super::{
    hubs::{self, Place, pod_is_ready, restarts},
    node::Node,
    people,
    person::Kernel,
    secrets::OPERATOR,
};
use crate::{
    cluster::{Cluster, HUB, NAMESPACE, OPERATOR_NAMESPACE},
    suite::skip,
};

const RESTART: Duration = Duration::from_secs(60);
/// From the proxy's death until a cell runs again.
const OUTAGE: Duration = Duration::from_secs(5);
/// Of that, from the process's start until it has a whole routing table.
const TABLE: u64 = 250;

/// A notebook lives through the operator's and the hub's death, and works again soon after the proxy's.
pub(super) async fn a_notebook_lives_through_the_death_of_each_component(cluster: &Cluster) -> Result<()> {
    let Some(node) = Node::of(cluster).await? else {
        return skip("processes are killed on the node, which must be a container of this machine");
    };
    let hub = Place::example(cluster);
    let ada = people::ada(cluster).await?;
    ada.log_in_with_url(&ada.token).await?;
    ada.start_server().await?;
    ada.open_lab().await?;
    let id = ada.start_kernel().await?;
    let mut kernel = ada.connect(&id).await?;
    kernel.run("x = 41").await?;
    let user_pod = hub.user_pod("ada").await?;

    let operator = hubs::only_pod(cluster, OPERATOR_NAMESPACE, OPERATOR).await?;
    lives_through(cluster, &node, OPERATOR_NAMESPACE, &operator, &mut kernel).await.context("the operator's death")?;
    let component = hub.pod(label_value::HUB).await?;
    lives_through(cluster, &node, NAMESPACE, &component, &mut kernel).await.context("the hub's death")?;
    ensure!(ada.is_logged_in().await?, "after the hub's death nobody is logged in");
    drop(kernel);

    let proxy = hub.pod(label_value::PROXY).await?;
    let start = Instant::now();
    node.kill(&proxy).await?;
    let what = "the notebook after the proxy's death";
    let answer = cluster.eventually(what, RESTART, async || ada.connect(&id).await?.run("x + 1").await).await?;
    let outage = start.elapsed();
    cluster.measured("proxy killed -> cell runs", format!("{} ms", outage.as_millis()));
    ensure!(answer == "42", "the kernel forgot: x + 1 is {answer}");
    ensure!(outage <= OUTAGE, "the notebook works again after {} ms", outage.as_millis());
    let table = await_table(cluster, &proxy).await?;
    cluster.measured("proxy process start -> whole table", format!("{table} ms"));
    ensure!(table <= TABLE, "the proxy had its table {table} ms after its start");

    // Connections that were kept end when they are used next: a browser opens another one.
    let answers = async || ada.visit("/hub/home").await?.expect(&[200]);
    cluster.eventually("the hub's pages after the proxy's death", RESTART, answers).await?;
    let same = hub.user_pod("ada").await?;
    ensure!(same.uid() == user_pod.uid() && restarts(&same) == 0, "the user's pod was touched");
    ada.stop_server().await?;
    renew(cluster).await
}

/// The same WebSocket answers while the container is dead and after it is back.
async fn lives_through(cluster: &Cluster, node: &Node, namespace: &str, pod: &Pod, kernel: &mut Kernel) -> Result<()> {
    let before = restarts(pod);
    node.kill(pod).await?;
    let answer = kernel.run("x + 1").await.context("right after the kill")?;
    ensure!(answer == "42", "x + 1 is {answer}");
    let pods: Api<Pod> = cluster.api(namespace);
    let restarted = |pod: Option<&Pod>| pod.is_some_and(|pod| restarts(pod) > before);
    let name = pod.name_any();
    cluster.await_condition(&pods, &name, "the container to be restarted", RESTART, restarted).await?;
    cluster.await_condition(&pods, &name, "the pod to be ready", RESTART, pod_is_ready()).await?;
    let answer = kernel.run("x + 1").await.context("when it was back")?;
    ensure!(answer == "42", "x + 1 is {answer}");
    Ok(())
}

/// Milliseconds from the proxy's start until its table was whole and it served by it, as its log says.
async fn await_table(cluster: &Cluster, pod: &Pod) -> Result<u64> {
    let pods: Api<Pod> = cluster.api(NAMESPACE);
    // Until the kubelet has seen the new container, the log is the dead one's.
    let what = "the proxy's log to say when its table was whole";
    cluster
        .eventually(what, RESTART, async || {
            let log = pods.logs(&pod.name_any(), &LogParams::default()).await?;
            let line = log.lines().find(|line| line.contains("route table restored")).context(log.clone())?;
            number(line, "ms_since_start").context("the line about the table has no ms_since_start")
        })
        .await
}

/// The number of a field of a log line, whatever the log's format and colours.
pub(super) fn number(line: &str, field: &str) -> Option<u64> {
    let rest = line.split(field).nth(1)?;
    let plain = strip_colours(rest);
    let digits = plain.trim_start_matches(|it: char| !it.is_ascii_digit());
    digits.split(|it: char| !it.is_ascii_digit()).next()?.parse().ok()
}

fn strip_colours(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain += part.split_once('m').map_or("", |(_, rest)| rest);
    }
    plain
}

/// New pods for those that were killed: the kubelet would let a second death wait for its restart.
pub(super) async fn renew(cluster: &Cluster) -> Result<()> {
    hubs::replace_pod(cluster, OPERATOR_NAMESPACE, OPERATOR).await?;
    for component in [label_value::HUB, label_value::PROXY] {
        let selector = format!("{}={component},{}={HUB}", label::COMPONENT, label::HUB);
        hubs::replace_pod(cluster, NAMESPACE, &selector).await?;
    }
    Place::example(cluster).await_ready().await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_text_and_json() {
        assert_eq!(number("INFO route table restored routes=3 ms_since_start=12", "ms_since_start"), Some(12));
        assert_eq!(number(r#"{"ms_since_start":7,"routes":3}"#, "ms_since_start"), Some(7));
        assert_eq!(number("\u{1b}[3mms_since_start\u{1b}[0m\u{1b}[2m=\u{1b}[0m41 x", "ms_since_start"), Some(41));
        assert_eq!(number("no number", "start_ms"), None);
    }
}
