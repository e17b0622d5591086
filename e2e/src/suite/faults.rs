//! The hub's own mishaps: it hangs, it is killed while many servers start, a user's pod is taken away under it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use hub_crds::names::{label, label_value};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    hubs::{self, Place, pod_is_ready, restarts},
    kills::renew,
    node::Node,
    people::{self, login_token},
};
use crate::{
    cluster::{Cluster, NAMESPACE},
    suite::skip,
};

/// A hub that hangs is running again.
const HANG: Duration = Duration::from_secs(40);
/// After the hub's death no start hangs for longer.
const SETTLED: Duration = Duration::from_secs(30);
/// Nobody is sent to a pod that is going for longer.
const ROUTE_GONE: Duration = Duration::from_secs(5);
const STORM: usize = 8;

/// Fault row 28, without a standby: a stopped process answers nothing, so the kubelet replaces it. The users' connections
/// don't notice.
pub(super) async fn a_hub_that_hangs_is_running_again_within_40_seconds(cluster: &Cluster) -> Result<()> {
    let Some(node) = Node::of(cluster).await? else {
        return skip("processes are stopped on the node, which must be a container of this machine");
    };
    let hub = Place::example(cluster);
    let ada = people::ada(cluster).await?;
    ada.log_in_with_url(&ada.token).await?;
    ada.start_server().await?;
    ada.open_lab().await?;
    let mut kernel = ada.connect(&ada.start_kernel().await?).await?;
    let pod = hub.pod(label_value::HUB).await?;
    let (before, start) = (restarts(&pod), Instant::now());
    node.hang(&pod).await?;
    ensure!(kernel.run("6*7").await? == "42", "the kernel does not answer while the hub hangs");
    let pods: Api<Pod> = cluster.api(NAMESPACE);
    let restarted = |pod: Option<&Pod>| pod.is_some_and(|pod| restarts(pod) > before);
    let (name, limit) = (pod.name_any(), HANG * 2);
    cluster.await_condition(&pods, &name, "the hub to be restarted", limit, restarted).await?;
    cluster.await_condition(&pods, &name, "the hub to be ready", limit, pod_is_ready()).await?;
    let outage = start.elapsed();
    cluster.measured("hub hangs -> ready again", format!("{} s", outage.as_secs()));
    ensure!(outage <= HANG, "the hub was ready again after {} s", outage.as_secs());
    ensure!(kernel.run("6*7").await? == "42", "the kernel does not answer after the hub came back");
    drop(kernel);
    ada.stop_server().await?;
    renew(cluster).await
}

/// Fault row 27: what was starting is taken up or written off within 30 s, nobody has two pods, and who works goes on.
pub(super) async fn a_hub_killed_in_a_storm_of_starts_leaves_nothing_pending(cluster: &Cluster) -> Result<()> {
    let Some(node) = Node::of(cluster).await? else {
        return skip("processes are killed on the node, which must be a container of this machine");
    };
    cluster.with_temp_ns("storm", async |namespace| storm(cluster, &node, namespace).await).await
}

async fn storm(cluster: &Cluster, node: &Node, namespace: &str) -> Result<()> {
    let hub = Place { cluster, namespace, name: "storm" };
    let mut spec = hubs::spec(cluster);
    spec["singleuser"]["storage"] = json!({"type": "none"});
    spec["singleuser"]["memory"] = json!({"guarantee": "16M"});
    spec["singleuser"]["cmd"] = json!(["python3", "-c", SERVER]);
    hub.apply(spec).await?;
    hub.await_ready().await?;
    let admin = Admin::of(&hub).await?;
    let names: Vec<String> = (0..STORM).map(|number| format!("user{number}")).collect();
    admin.call(Method::POST, "/users", Some(json!({"usernames": names}))).await?;
    admin.start("ada").await?;
    cluster.eventually("ada's server to be ready", hubs::READY, async || admin.must_be_ready("ada").await).await?;

    for name in &names {
        admin.start(name).await?;
    }
    node.kill(&hub.pod(label_value::HUB).await?).await?;
    let (start, mut last) = (Instant::now(), Vec::new());
    while start.elapsed() < SETTLED * 2 {
        ensure!(
            admin.is_served("ada").await?,
            "ada's server could not be reached after {} ms",
            start.elapsed().as_millis()
        );
        if let Ok(pending) = admin.pending(&names).await {
            last = pending;
            if last.is_empty() {
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    ensure!(
        last.is_empty() && start.elapsed() <= SETTLED,
        "still pending after {} s: {last:?}",
        start.elapsed().as_secs()
    );
    cluster.measured("hub killed in a storm -> nothing pending", format!("{} s", start.elapsed().as_secs()));
    one_pod_each(cluster, namespace).await?;
    // Whoever was written off starts again without a trace of the first time.
    for name in &names {
        if admin.must_be_ready(name).await.is_err() {
            admin.start(name).await?;
        }
    }
    for name in &names {
        cluster.eventually("every server to be ready", hubs::READY, async || admin.must_be_ready(name).await).await?;
    }
    one_pod_each(cluster, namespace).await
}

/// Answers the hub's question whether it is there, and nothing else.
const SERVER: &str = "
import http.server
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Length', '2')
        self.end_headers()
        self.wfile.write(b'{}')
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(('', 8888), Answer).serve_forever()
";

async fn one_pod_each(cluster: &Cluster, namespace: &str) -> Result<()> {
    let pods: Api<Pod> = cluster.api(namespace);
    let selector = format!("{}={}", label::KUBESPAWNER_COMPONENT, label_value::SINGLEUSER_SERVER);
    let mut count = BTreeMap::<String, usize>::new();
    for pod in pods.list(&ListParams::default().labels(&selector)).await?.items {
        if pod.metadata.deletion_timestamp.is_none() {
            *count.entry(pod.annotations().get(label::USERNAME).cloned().unwrap_or_default()).or_default() += 1;
        }
    }
    let several: Vec<_> = count.iter().filter(|(_, count)| **count > 1).collect();
    ensure!(several.is_empty(), "users with more than one pod: {several:?}");
    Ok(())
}

/// Fault row 33, kubespawner#223: the route goes as soon as the pod is going, so that nobody is sent to its address when
/// somebody else's pod gets it.
pub(super) async fn a_pod_that_is_taken_away_loses_its_route_at_once(cluster: &Cluster) -> Result<()> {
    let hub = Place::example(cluster);
    let ada = people::ada(cluster).await?;
    ada.log_in_with_url(&ada.token).await?;
    ada.start_server().await?;
    let admin = Admin::of(&hub).await?;
    let routes = async || admin.call(Method::GET, "/proxy", None).await;
    ensure!(routes().await?.get("/user/ada/").is_some(), "ada's server has no route");
    let pod = hub.user_pod("ada").await?;
    let pods: Api<Pod> = cluster.api(NAMESPACE);
    // It stays for a while, as one that is evicted does.
    pods.delete(&pod.name_any(), &DeleteParams::default().grace_period(20)).await?;
    let start = Instant::now();
    let what = "the route of a pod that is going to be gone";
    cluster
        .eventually(what, ROUTE_GONE, async || {
            ensure!(routes().await?.get("/user/ada/").is_none(), "the route is still there");
            Ok(())
        })
        .await?;
    cluster.measured("pod taken away -> route gone", format!("{} ms", start.elapsed().as_millis()));
    ada.stop_server().await
}

/// The administrator's programs.
pub(super) struct Admin {
    http: reqwest::Client,
    address: String,
    token: String,
}

impl Admin {
    pub(super) async fn of(hub: &Place<'_>) -> Result<Self> {
        let token = login_token(hub.cluster, hub.namespace, hub.name, "ada").await?;
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build()?;
        Ok(Self { http, address: hub.address().await?, token })
    }

    pub(super) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let url = format!("{}/hub/api{path}", self.address);
        let mut request = self.http.request(method, url).header("Authorization", format!("token {}", self.token));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?.error_for_status().with_context(|| format!("failed to call {path}"))?;
        let text = answer.text().await?;
        Ok(if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? })
    }

    async fn start(&self, user: &str) -> Result<()> {
        self.call(Method::POST, &format!("/users/{user}/server"), None).await.map(|_| ())
    }

    async fn must_be_ready(&self, user: &str) -> Result<()> {
        let server = self.call(Method::GET, &format!("/users/{user}/server"), None).await?;
        ensure!(server["ready"] == true, "{user}'s server is {server}");
        Ok(())
    }

    /// Whose servers are between two states.
    async fn pending(&self, users: &[String]) -> Result<Vec<String>> {
        let mut pending = Vec::new();
        for user in users {
            let server = self.call(Method::GET, &format!("/users/{user}/server"), None).await?;
            if !server["pending"].is_null() {
                pending.push(user.clone());
            }
        }
        Ok(pending)
    }

    /// Whether the proxy still leads to this user's server.
    async fn is_served(&self, user: &str) -> Result<bool> {
        let answer = self.http.get(format!("{}/user/{user}/api", self.address)).send().await?;
        Ok(answer.status().is_success() && answer.text().await? == "{}")
    }
}
