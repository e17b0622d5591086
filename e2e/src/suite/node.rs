//! The node of a kind cluster, seen from inside: processes are killed, measured and read there. The containers of our
//! images have no shell to do it in.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Node as KubeNode, Pod};
use kube::{Api, ResourceExt, api::ListParams};

use crate::{cluster::Cluster, docker::Docker};

/// A node that is a container of this machine.
pub(super) struct Node {
    docker: Docker,
    name: String,
}

impl Node {
    /// The cluster's only node; `None` if it is no container here, as in a cluster that `--context` named.
    pub(super) async fn of(cluster: &Cluster) -> Result<Option<Self>> {
        let nodes: Api<KubeNode> = Api::all(cluster.client.clone());
        let name =
            nodes.list(&ListParams::default()).await?.items.first().context("the cluster has a node")?.name_any();
        let Some(docker) = Docker::connect().await else { return Ok(None) };
        let node = Self { docker, name };
        Ok(node.run(&["true"]).await.is_ok().then_some(node))
    }

    /// Runs a program in the node; gives its standard output.
    pub(super) async fn run(&self, args: &[&str]) -> Result<String> {
        self.docker.output(["exec", &self.name].iter().chain(args)).await
    }

    /// `kill -9` of a container's first process. The kubelet starts the container again in the same pod.
    pub(super) async fn kill(&self, pod: &Pod) -> Result<()> {
        self.signal(pod, "SIGKILL").await
    }

    /// A container's first process stops and does not end: it hangs.
    pub(super) async fn hang(&self, pod: &Pod) -> Result<()> {
        self.signal(pod, "SIGSTOP").await
    }

    async fn signal(&self, pod: &Pod, signal: &str) -> Result<()> {
        let id = container_id(pod)?;
        self.run(&["ctr", "--namespace", "k8s.io", "tasks", "kill", "--signal", signal, &id]).await.map(|_| ())
    }

    /// Resident memory of a container's first process, in bytes.
    pub(super) async fn resident_memory(&self, pod: &Pod) -> Result<u64> {
        let id = container_id(pod)?;
        let tasks = self.run(&["ctr", "--namespace", "k8s.io", "tasks", "list"]).await?;
        let task = tasks.lines().find(|line| line.starts_with(&id)).context("the container has a task")?;
        let pid = task.split_whitespace().nth(1).context("a task has a process id")?;
        let status = self.run(&["cat", &format!("/proc/{pid}/status")]).await?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("a process has memory")?;
        let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kibibytes * 1024)
    }

    /// Arguments and environments of every process.
    pub(super) async fn arguments_and_environments(&self) -> Result<String> {
        // A process may end while it is read.
        self.run(&["sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null; true"]).await
    }
}

/// The id of a pod's only container, without the runtime's name.
fn container_id(pod: &Pod) -> Result<String> {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    let id = statuses.and_then(|statuses| statuses.first()).and_then(|status| status.container_id.as_ref());
    let id = id.with_context(|| format!("pod {} has no running container", pod.name_any()))?;
    Ok(id.rsplit('/').next().unwrap_or(id).to_owned())
}
