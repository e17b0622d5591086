//! Servers whose image has nothing of JupyterHub: `hub server` stands in front of their program.

use anyhow::{Context, Result, ensure};
use hub_crds::names::port;
use serde_json::json;

use super::{
    hubs::{self, Place},
    node::{Node, pod_address},
    person::Person,
};
use crate::cluster::Cluster;

const HUB: &str = "fronted";
/// JupyterLab's own login is off: the front has seen to it.
const JUPYTER: &[&str] = &[
    "jupyter",
    "lab",
    "--ServerApp.sock={socket}",
    "--ServerApp.base_url={base_url}",
    "--ServerApp.allow_remote_access=True",
    "--IdentityProvider.token=",
    "--ServerApp.password=",
];
/// A web server of a few kilobytes, with one page.
const HTTPD: &[&str] = &[
    "sh",
    "-c",
    "mkdir -p /tmp/www{base_url} && echo a page of BusyBox > /tmp/www{base_url}index.html && exec httpd -f -p 127.0.0.1:{port} -h /tmp/www",
];

/// On Debian, over a Unix socket: real JupyterLab, in which a cell runs.
pub(super) async fn jupyter_without_jupyterhub_is_safe_behind_the_front(cluster: &Cluster) -> Result<()> {
    with_front(cluster, &cluster.images.jupyter, JUPYTER, async |hub, ada| {
        ada.open_lab().await?;
        let kernel = ada.start_kernel().await?;
        let answer = ada.connect(&kernel).await?.run("6*7").await?;
        ensure!(answer == "42", "6*7 is {answer}");
        is_closed_to_others(hub).await
    })
    .await
}

/// As on Alpine there is no glibc, nor anything else that the front could need.
pub(super) async fn a_program_without_a_c_library_is_safe_behind_the_front(cluster: &Cluster) -> Result<()> {
    with_front(cluster, &cluster.images.busybox, HTTPD, async |hub, ada| {
        let page = ada.visit("/user/ada/").await?.expect(&[200])?;
        ensure!(page.body.contains("a page of BusyBox"), "the program's page is {}", page.body);
        is_closed_to_others(hub).await
    })
    .await
}

/// A Hub whose servers have a front, and ada, whose server runs.
async fn with_front(
    cluster: &Cluster,
    image: &str,
    cmd: &[&str],
    test: impl AsyncFnOnce(&Place<'_>, &Person) -> Result<()>,
) -> Result<()> {
    cluster
        .with_temp_ns("front", async |namespace| {
            let hub = Place { cluster, namespace, name: HUB };
            let mut spec = hubs::spec(cluster);
            spec["singleuser"]["image"] = json!(image);
            spec["singleuser"]["front"] = json!("hub-server");
            spec["singleuser"]["cmd"] = json!(cmd);
            hub.apply(spec).await?;
            hub.await_ready().await?;
            let ada = hub.visitor("ada").await?;
            ada.start_server().await?;
            test(&hub, &ada).await?;
            ada.stop_server().await
        })
        .await
}

/// Who is not logged in is sent to the hub, past the proxy too, and the program itself can't be reached.
async fn is_closed_to_others(hub: &Place<'_>) -> Result<()> {
    let stranger = Person::new("nobody", &hub.address().await?)?;
    let answer = stranger.look("/user/ada/").await?;
    let location = answer.headers.get("location").context("a stranger is sent nowhere")?.to_str()?;
    ensure!(location.starts_with("/hub/api/oauth2/authorize?"), "a stranger is sent to {location}");
    let script = stranger.fetch(reqwest::Method::GET, "/user/ada/api/contents", None).await?;
    ensure!(script.status == 403, "a stranger's script is answered {}", script.status);

    let Some(node) = Node::of(hub.cluster).await? else {
        return super::skip("the node is no container of this machine: the pod's ports can't be seen");
    };
    let pod = hub.user_pod("ada").await?;
    let ip = pod_address(&pod)?;
    let (loopback, others) = node.open_ports(&pod).await?;
    ensure!(others == [port::NOTEBOOK].into(), "the pod listens on {others:?}");
    let answer = node.ask(ip, port::NOTEBOOK, "/user/ada/").await?;
    ensure!(answer.contains(" 302 "), "past the proxy the front answers {answer}");
    for port in loopback {
        let reached = node.ask(ip, port, "/user/ada/").await;
        ensure!(reached.is_err(), "port {port} of the program is open: {reached:?}");
    }
    Ok(())
}
