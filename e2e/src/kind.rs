//! kind clusters: made, found again, and deleted. Their kubeconfig stays in the cache, never merged into the user's.

use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::json;
use tokio::time::sleep;

use crate::{docker::Docker, node_image::NodeImage, places::Places, program::Program, progress::step};

/// Node ports that reach this host; a Hub's public Service asks for them.
pub(crate) const HTTP_NODE_PORT: u16 = 30080;
pub(crate) const HTTPS_NODE_PORT: u16 = 30443;
/// How long a node that runs may take to answer before it is made anew.
const PATIENCE: Duration = Duration::from_secs(30);

/// A cluster by name, on a daemon.
#[derive(Clone)]
pub(crate) struct Kind {
    pub(crate) places: Places,
    pub(crate) docker: Docker,
    pub(crate) name: String,
}

impl Kind {
    pub(crate) fn new(places: &Places, docker: &Docker, name: &str) -> Self {
        Self { places: places.clone(), docker: docker.clone(), name: name.to_owned() }
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        kubeconfig(&self.places, &self.name)
    }

    /// The container that is the cluster's only node.
    pub(crate) fn node(&self) -> String {
        format!("{}-control-plane", self.name)
    }

    /// Whether its node runs, answering or not.
    pub(crate) async fn exists(&self) -> bool {
        let state = self.docker.output(["inspect", "--format", "{{.State.Running}}", &self.node()]).await;
        state.is_ok_and(|running| running == "true")
    }

    /// A cluster that answers, on a host port for HTTP: any free one if none is named.
    pub(crate) async fn ensure(&self, image: &NodeImage, port: Option<u16>) -> Result<u16> {
        if self.answers().await? {
            let published = self.docker.published_port(&self.node(), HTTP_NODE_PORT).await?;
            if let Some(port) = port.filter(|port| *port != published) {
                bail!(
                    "cluster {} is on port {published}, not {port}: `cargo e2e down --name {}` first",
                    self.name,
                    self.name
                );
            }
            return Ok(published);
        }
        let http = port.map_or_else(free_port, |port| {
            TcpListener::bind(("127.0.0.1", port))
                .with_context(|| format!("port {port} of this host is taken; choose another with --port"))?;
            Ok(port)
        })?;
        step(&self.places, &format!("Make cluster {}", self.name), async |log| {
            self.delete().await?; // what a killed daemon left
            fs::create_dir_all(self.kubeconfig().parent().context("a kubeconfig has a directory")?)?;
            let config = self.places.file(&format!("clusters/{}/kind.json", self.name))?;
            fs::write(&config, config_of(image, http, free_port()?))?;
            self.kind(["create", "cluster", "--image", &image.name, "--wait", "90s", "--config"])
                .arg(config)
                .logged(log)
                .await
        })
        .await?;
        Ok(http)
    }

    /// Deletes the cluster, whatever is left of it.
    pub(crate) async fn delete(&self) -> Result<()> {
        self.kind(["delete", "cluster"]).output().await?;
        let dir = self.kubeconfig();
        if let Some(dir) = dir.parent().filter(|dir| dir.exists()) {
            fs::remove_dir_all(dir)?;
        }
        Ok(())
    }

    /// Brings images into the node. One that is there under its name, which its content gave it, is left out.
    pub(crate) async fn load(&self, images: &[&str]) -> Result<()> {
        let there = self.docker.output(["exec", &self.node(), "ctr", "-n", "k8s.io", "images", "ls", "-q"]).await?;
        let missing: Vec<_> = images.iter().filter(|image| !there.lines().any(|line| line == **image)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        // All at once: what they have in common is sent one time.
        step(&self.places, &format!("Load {} images into {}", missing.len(), self.name), async |_| {
            let node = self.node();
            let import = ["exec", "-i", &node, "ctr", "-n", "k8s.io", "images", "import", "-"];
            self.docker.command(["save"]).args(missing).pipe_into(self.docker.command(import)).await
        })
        .await
    }

    async fn answers(&self) -> Result<bool> {
        if !self.exists().await || !self.kubeconfig().exists() {
            return Ok(false);
        }
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let kubectl = Program::new(self.places.bin("kubectl")).arg("--kubeconfig").arg(self.kubeconfig());
            if kubectl.args(["get", "--raw", "/readyz"]).succeeds_within(Duration::from_secs(5)).await {
                return Ok(true);
            }
            sleep(Duration::from_millis(500)).await;
        }
        Ok(false)
    }

    fn kind<A: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Program {
        let kind = self.docker.known_to(Program::new(self.places.bin("kind")));
        kind.env("KUBECONFIG", self.kubeconfig()).env("KIND_CLUSTER_NAME", &self.name).args(args)
    }
}

/// Where a cluster's kubeconfig is kept.
pub(crate) fn kubeconfig(places: &Places, name: &str) -> PathBuf {
    places.cache.join("clusters").join(name).join("kubeconfig")
}

/// Names of the clusters that were made here.
pub(crate) fn ours(places: &Places) -> Vec<String> {
    let entries = fs::read_dir(places.cache.join("clusters")).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// kind's configuration: one node, reached from this host over loopback only.
fn config_of(image: &NodeImage, http: u16, https: u16) -> String {
    let port = |host: u16, node: u16| json!({"listenAddress": "127.0.0.1", "hostPort": host, "containerPort": node});
    // Kubernetes leaves cgroup v1 behind; a machine that has nothing else is served all the same.
    let mut patches = vec!["kind: KubeletConfiguration\nfailCgroupV1: false\nfailSwapOn: false\n".to_owned()];
    // A changed Secret reaches a pod when the kubelet looks at the pod the next time. It usually does once a minute, which
    // tests of renewals would wait out.
    patches[0] += "syncFrequency: 10s\n";
    if image.built_here {
        patches = vec![format!("{}cgroupDriver: cgroupfs\n", patches[0])];
        // The sysctl for the table's size is read-only in the node.
        patches.push("kind: KubeProxyConfiguration\nconntrack: { maxPerCore: 0 }\n".to_owned());
    }
    json!({
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {"ipFamily": "ipv4"},
        "kubeadmConfigPatches": patches,
        "nodes": [{
            "role": "control-plane",
            "extraPortMappings": [port(http, HTTP_NODE_PORT), port(https, HTTPS_NODE_PORT)],
        }],
    })
    .to_string()
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("failed to find a free port on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_reached_over_loopback_only() {
        let image = NodeImage { name: "n".to_owned(), built_here: true };
        let config: serde_json::Value = serde_json::from_str(&config_of(&image, 1, 2)).unwrap();
        let ports = config["nodes"][0]["extraPortMappings"].as_array().unwrap();
        assert_eq!(ports.len(), 2);
        assert!(ports.iter().all(|port| port["listenAddress"] == "127.0.0.1"));
    }

    #[test]
    fn only_a_node_that_was_built_here_changes_the_cgroup_driver() {
        let config = |built_here| config_of(&NodeImage { name: "n".to_owned(), built_here }, 1, 2);
        assert!(config(true).contains("cgroupfs"));
        assert!(!config(false).contains("cgroupfs"));
    }
}
