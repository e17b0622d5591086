//! TLS between the proxy and users' servers: real servers work with it, and who has come to another's address gets nothing.

use anyhow::{Context, Result, ensure};
use hub_crds::names::{TLS_NAME_ANNOTATION, label_value};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::{
    hubs::{self, Place},
    node::Node,
    person::Person,
};
use crate::{cluster::Cluster, suite::skip};

/// Answers everything with whose server it is, which requests it was sent, with their cookies, and how many connections
/// ended before one.
const WATCHER: &str = r#"
import http.server, json, os, ssl
seen = []
context = None
if "JUPYTERHUB_SSL_CERTFILE" in os.environ:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=os.environ["JUPYTERHUB_SSL_CLIENT_CA"])
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(os.environ["JUPYTERHUB_SSL_CERTFILE"], os.environ["JUPYTERHUB_SSL_KEYFILE"])
class Watcher(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        seen.append(self.path + " " + (self.headers.get("Cookie") or ""))
        answer = {"user": os.environ["JUPYTERHUB_USER"], "seen": seen, "refused": Server.refused}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
class Server(http.server.ThreadingHTTPServer):
    refused = 0
    def finish_request(self, stream, address):
        if context is None:
            return super().finish_request(stream, address)
        try:
            encrypted = context.wrap_socket(stream, server_side=True)
        except OSError:
            Server.refused += 1
            return
        with encrypted:
            super().finish_request(encrypted, address)
Server(("", 8888), Watcher).serve_forever()
"#;

/// Fault row 33, attack row 55: ada's pod loses its address to grace's before the hub knows. Without TLS between the pods
/// that is where ada's request ends up, cookies and all, which shows that the test does what it says; with it grace's
/// server gets nothing.
pub(super) async fn an_address_that_is_anothers_now_gets_nothing_row_33(cluster: &Cluster) -> Result<()> {
    let Some(node) = Node::of(cluster).await? else {
        return skip("addresses are handed over on the node, which must be a container of this machine");
    };
    cluster.with_temp_ns("reused", async |namespace| without_names(cluster, &node, namespace).await).await?;
    cluster.with_temp_ns("named", async |namespace| with_names(cluster, &node, namespace).await).await
}

/// The control.
async fn without_names(cluster: &Cluster, node: &Node, namespace: &str) -> Result<()> {
    let hub = Place { cluster, namespace, name: "reused" };
    hub.apply(watched(spec(cluster))).await?;
    hub.await_ready().await?;
    let [ada, grace] = [hub.visitor("ada").await?, hub.visitor("grace").await?];
    ada.start_server().await?;
    grace.start_server().await?;
    ensure!(ask(&ada, "/user/ada/api").await?["user"] == "ada", "ada's server is another's from the start");
    hand_over(&hub, node).await?;
    let reached = async || {
        let answer = ask(&ada, "/user/ada/lab").await?;
        ensure!(answer["user"] == "grace", "the request went to {}", answer["user"]);
        Ok(answer)
    };
    let answer = cluster.eventually("ada's request to reach grace's server", hubs::READY, reached).await?;
    let with_cookie = has_seen(&answer, "jupyterhub-session-id");
    ensure!(with_cookie, "the control shows no cookie at grace's server: {answer}");
    grace.stop_server().await
}

async fn with_names(cluster: &Cluster, node: &Node, namespace: &str) -> Result<()> {
    let hub = Place { cluster, namespace, name: "named" };
    let mut spec = spec(cluster);
    spec["security"] = json!({"internalTLS": true});
    let ada = hub.ada_at_work(spec.clone()).await?;
    let mut kernel = ada.connect(&ada.start_kernel().await?).await?;
    ensure!(kernel.run("6*7").await? == "42", "the kernel does not answer over TLS");
    let pod = hub.user_pod("ada").await?;
    ensure!(pod.annotations().contains_key(TLS_NAME_ANNOTATION), "ada's server speaks no TLS");

    // Only servers that start now are watchers; ada's goes on, and the hub that comes back finds it.
    hub.apply(watched(spec)).await?;
    hub.await_ready().await?;
    ensure!(kernel.run("6*7").await? == "42", "the kernel does not answer after the hub came back");
    drop(kernel);
    let grace = hub.visitor("grace").await?;
    grace.start_server().await?;
    let before = ask(&grace, "/user/grace/").await?;
    ada.visit("/user/ada/api").await?.expect(&[200])?;

    hand_over(&hub, node).await?;
    let attempts = async || {
        let answer = ada.look("/user/ada/lab").await?;
        ensure!(answer.status == 503, "with grace's server at its address, ada's answers {}", answer.status);
        let seen = ask(&grace, "/user/grace/").await?;
        ensure!(seen["refused"].as_u64() > before["refused"].as_u64(), "the proxy has not come to grace's server yet");
        Ok(seen)
    };
    let seen = cluster.eventually("the proxy to come to grace's server", hubs::READY, attempts).await?;
    ensure!(!has_seen(&seen, "/user/ada"), "grace's server was sent ada's requests: {}", seen["seen"]);
    ensure!(!has_seen(&seen, "jupyterhub-user-ada"), "grace's server was sent ada's cookie");
    cluster.measured(
        "connections that a server at another's address got, and requests in them",
        format!("{}, none", seen["refused"]),
    );
    grace.stop_server().await
}

/// A Hub of ada and grace, whose servers keep nothing.
fn spec(cluster: &Cluster) -> Value {
    let mut spec = hubs::spec(cluster);
    spec["auth"] = json!({"token": {"users": [{"name": "ada", "admin": true}, {"name": "grace"}]}});
    spec["singleuser"]["storage"] = json!({"type": "none"});
    spec
}

/// The same with watchers for servers.
fn watched(mut spec: Value) -> Value {
    spec["singleuser"]["cmd"] = json!(["python3", "-c", WATCHER]);
    spec["singleuser"]["storage"] = json!({"type": "none"});
    spec
}

/// What a watcher answers.
async fn ask(person: &Person, path: &str) -> Result<Value> {
    person.look(path).await?.expect(&[200])?.json().context("a watcher answers JSON")
}

fn has_seen(answer: &Value, words: &str) -> bool {
    answer["seen"].as_array().into_iter().flatten().any(|seen| seen.as_str().is_some_and(|seen| seen.contains(words)))
}

/// From ada's pod to grace's.
async fn hand_over(hub: &Place<'_>, node: &Node) -> Result<()> {
    let (ada, grace) = (hub.user_pod("ada").await?, hub.user_pod("grace").await?);
    let asking = [hub.pod(label_value::PROXY).await?, hub.pod(label_value::HUB).await?];
    node.hand_over(&ada, &grace, &asking).await.context("failed to hand ada's address over")
}
