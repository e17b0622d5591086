//! The node of a kind cluster, seen from inside: processes are killed, measured and read there. The containers of our
//! images have no shell to do it in.

use std::collections::BTreeSet;

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

    /// The same in good order, as the kubelet ends a container.
    pub(super) async fn end(&self, pod: &Pod) -> Result<()> {
        self.signal(pod, "SIGTERM").await
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
        let status = self.run(&["cat", &format!("/proc/{}/status", self.process(pod).await?)]).await?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("a process has memory")?;
        let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kibibytes * 1024)
    }

    /// Ports on which a pod listens: those of its loopback interface, and those of all others.
    pub(super) async fn open_ports(&self, pod: &Pod) -> Result<(BTreeSet<u16>, BTreeSet<u16>)> {
        let process = self.process(pod).await?;
        let sockets = ["tcp", "tcp6"].map(|table| format!("/proc/{process}/net/{table}"));
        let table = self.run(&["cat", &sockets[0], &sockets[1]]).await?;
        let (mut loopback, mut others) = (BTreeSet::new(), BTreeSet::new());
        for (address, port) in listening(&table) {
            let is_loopback = ["0100007F", "00000000000000000000000001000000"].contains(&address);
            if is_loopback {
                loopback.insert(port)
            } else {
                others.insert(port)
            };
        }
        Ok((loopback, others))
    }

    /// The first line of the answer to a request, from the node straight to an address.
    pub(super) async fn ask(&self, ip: &str, port: u16, path: &str) -> Result<String> {
        let script = format!(
            "exec 3<>/dev/tcp/{ip}/{port} && printf 'GET {path} HTTP/1.1\\r\\nHost: {ip}\\r\\nConnection: close\\r\\n\\r\\n' >&3 && head -n 1 <&3"
        );
        self.run(&["timeout", "10", "bash", "-c", &script]).await
    }

    /// Gives one pod's address to another, as the network does when a pod has gone: packets for it come to `to` from now on.
    /// `asking` are pods that knew the way before.
    pub(super) async fn hand_over(&self, from: &Pod, to: &Pod, asking: &[Pod]) -> Result<()> {
        let address = pod_address(from)?;
        self.in_network_of(from, &["ip", "link", "set", "eth0", "down"]).await?;
        self.in_network_of(to, &["ip", "address", "add", &format!("{address}/32"), "dev", "eth0"]).await?;
        // Where each pod has a route of its own, as with kind's own network; on a bridge there is none to change.
        let route = async |address: &str| self.run(&["ip", "-4", "route", "show", &format!("{address}/32")]).await;
        if !route(address).await?.is_empty() {
            let of_other = route(pod_address(to)?).await?;
            let device = of_other.split_whitespace().skip_while(|word| *word != "dev").nth(1);
            let device = device.context("a route leads over a device")?;
            self.run(&["ip", "route", "replace", &format!("{address}/32"), "dev", device]).await?;
        }
        let forget = ["ip", "neighbour", "flush", "all"];
        for pod in asking {
            self.in_network_of(pod, &forget).await?;
        }
        self.run(&forget).await.map(|_| ())
    }

    /// Runs one of the node's programs in the network of a pod.
    async fn in_network_of(&self, pod: &Pod, args: &[&str]) -> Result<String> {
        let process = self.process(pod).await?.to_string();
        self.run(&[&["nsenter", "--target", &process, "--net"], args].concat()).await
    }

    /// The first process of a pod's container, by its number in the node.
    async fn process(&self, pod: &Pod) -> Result<u32> {
        let id = container_id(pod)?;
        let tasks = self.run(&["ctr", "--namespace", "k8s.io", "tasks", "list"]).await?;
        let task = tasks.lines().find(|line| line.starts_with(&id)).context("the container has a task")?;
        let process = task.split_whitespace().nth(1).context("a task has a process id")?;
        process.parse().context("a process id is a number")
    }

    /// Arguments and environments of every process.
    pub(super) async fn arguments_and_environments(&self) -> Result<String> {
        // A process may end while it is read.
        self.run(&["sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null; true"]).await
    }
}

/// Address and port of the sockets that listen, of a table of the kernel's (proc_pid_net(5)): in hexadecimal, state `0A`.
fn listening(table: &str) -> impl Iterator<Item = (&str, u16)> {
    table.lines().filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (local, state) = (fields.get(1)?, fields.get(3)?);
        let (address, port) = local.split_once(':').filter(|_| *state == "0A")?;
        Some((address, u16::from_str_radix(port, 16).ok()?))
    })
}

/// The address of a pod that runs.
pub(super) fn pod_address(pod: &Pod) -> Result<&str> {
    pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()).context("a pod that runs has an address")
}

/// The id of a pod's only container, without the runtime's name.
fn container_id(pod: &Pod) -> Result<String> {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    let id = statuses.and_then(|statuses| statuses.first()).and_then(|status| status.container_id.as_ref());
    let id = id.with_context(|| format!("pod {} has no running container", pod.name_any()))?;
    Ok(id.rsplit('/').next().unwrap_or(id).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_that_listen_are_told_from_others() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1
   1: 00000000:22B8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 2
   2: 0100007F:1F91 0100007F:22B8 01 00000000:00000000 00:00000000 00000000  1000        0 3
";
        assert_eq!(listening(table).collect::<Vec<_>>(), [("0100007F", 8081), ("00000000", 8888)]);
    }
}
