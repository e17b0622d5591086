//! Hubs of tests: applied, waited for, and reached. The example Hub is one of them.

use std::time::Duration;

use anyhow::{Context, Result};
use hub_crds::{
    Hub,
    names::{child, label, label_value},
    status::condition,
};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
    runtime::wait::Condition,
};
use serde_json::{Value, json};

use super::{people::login_token, person::Person};
use crate::cluster::{Cluster, HUB, NAMESPACE};

/// From nothing to Ready, on a machine that is busy.
pub(super) const READY: Duration = Duration::from_secs(90);
/// How long a node's port may stay closed after the Hub is Ready.
const PORT: Duration = Duration::from_secs(15);

/// Where a Hub lies.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
}

/// The spec of a small Hub whose only user is an administrator called `ada`.
pub(super) fn spec(cluster: &Cluster) -> Value {
    json!({
        "https": {"type": "none", "allowInsecure": true},
        "auth": {"token": {"users": [{"name": "ada", "admin": true}]}},
        "hub": {"image": cluster.images.hub},
        "proxy": {"image": cluster.images.proxy, "service": {"type": "NodePort"}},
        "singleuser": {
            "image": cluster.images.singleuser,
            "memory": {"guarantee": "128M"},
            "storage": {"capacity": "100Mi"},
        },
        "database": {"pvc": {"storage": "100Mi"}},
    })
}

impl<'a> Place<'a> {
    /// Where the example Hub lies.
    pub(super) fn example(cluster: &'a Cluster) -> Self {
        Self { cluster, namespace: NAMESPACE, name: HUB }
    }

    pub(super) fn hubs(&self) -> Api<Hub> {
        self.cluster.api(self.namespace)
    }

    /// What `kubectl apply --server-side` does.
    pub(super) async fn apply(&self, spec: Value) -> Result<Hub> {
        let hub = json!({
            "apiVersion": "jupyter.rs/v1alpha1", "kind": "Hub", "metadata": {"name": self.name}, "spec": spec,
        });
        let params = PatchParams::apply("e2e").force();
        self.hubs().patch(self.name, &params, &Patch::Apply(hub)).await.context("failed to apply the Hub")
    }

    pub(super) async fn await_ready(&self) -> Result<Hub> {
        let what = "the Hub to be Ready";
        let hub = self.cluster.await_condition(&self.hubs(), self.name, what, READY, is_ready()).await?;
        let hub = hub.context("a Hub that is Ready is there")?;
        // The node's own rules for a new port follow a moment later.
        let address = self.address().await?;
        let answers = async || {
            reqwest::get(format!("{address}/hub/health")).await?.error_for_status()?;
            Ok(())
        };
        self.cluster.eventually("the node's port to be open", PORT, answers).await?;
        Ok(hub)
    }

    /// What a command of the `hub` program prints, in the hub's pod.
    pub(super) async fn command(&self, command: &[&str]) -> Result<String> {
        let deployment = format!("deployment/{}", child::hub(self.name));
        let exec = ["--namespace", self.namespace, "exec", &deployment, "--", "hub"];
        self.cluster.kubectl(&[&exec, command].concat()).await
    }

    pub(super) async fn delete(&self) -> Result<()> {
        self.hubs().delete(self.name, &Default::default()).await.context("failed to delete the Hub")?;
        let gone = |hub: Option<&Hub>| hub.is_none();
        self.cluster.await_condition(&self.hubs(), self.name, "the Hub to be gone", READY, gone).await.map(|_| ())
    }

    /// The address from this host, without a slash at its end.
    pub(super) async fn address(&self) -> Result<String> {
        let services: Api<Service> = self.cluster.api(self.namespace);
        let service = services.get(&child::proxy_public(self.name)).await?;
        let ports = service.spec.and_then(|spec| spec.ports).unwrap_or_default();
        let port = ports.iter().find_map(|port| port.node_port).context("the public Service has no node port")?;
        Ok(format!("http://{}", self.cluster.node_address(u16::try_from(port)?).await?))
    }

    /// Somebody who logged in with their token.
    pub(super) async fn visitor(&self, user: &str) -> Result<Person> {
        let token = login_token(self.cluster, self.namespace, self.name, user).await?;
        let person = Person::new(user, &self.address().await?)?;
        person.log_in_with_url(&token).await?;
        Ok(person)
    }

    /// The only pod of a component, `hub` or `proxy`.
    pub(super) async fn pod(&self, component: &str) -> Result<Pod> {
        only_pod(self.cluster, self.namespace, &self.selector(component)).await
    }

    /// The pods of a component that stay.
    pub(super) async fn pods(&self, component: &str) -> Result<Vec<Pod>> {
        pods_that_stay(self.cluster, self.namespace, &self.selector(component)).await
    }

    fn selector(&self, component: &str) -> String {
        format!("{}={component},{}={}", label::COMPONENT, label::HUB, self.name)
    }

    /// Applies the Hub, whose servers keep nothing, and gives ada in her notebook.
    pub(super) async fn ada_at_work(&self, mut spec: Value) -> Result<Person> {
        spec["singleuser"]["storage"] = json!({"type": "none"});
        self.apply(spec).await?;
        self.await_ready().await?;
        let ada = self.visitor("ada").await?;
        ada.start_server().await?;
        ada.open_lab().await?;
        Ok(ada)
    }

    /// The pod of a user's default server.
    pub(super) async fn user_pod(&self, user: &str) -> Result<Pod> {
        let selector =
            format!("{}={},{}={user}", label::KUBESPAWNER_COMPONENT, label_value::SINGLEUSER_SERVER, label::USERNAME);
        only_pod(self.cluster, self.namespace, &selector).await
    }
}

/// The only pod that a selector finds, apart from those that are going.
pub(super) async fn only_pod(cluster: &Cluster, namespace: &str, selector: &str) -> Result<Pod> {
    let mut pods = pods_that_stay(cluster, namespace, selector).await?;
    anyhow::ensure!(pods.len() == 1, "{selector} finds {} pods in {namespace}", pods.len());
    pods.pop().context("one pod")
}

async fn pods_that_stay(cluster: &Cluster, namespace: &str, selector: &str) -> Result<Vec<Pod>> {
    let pods: Api<Pod> = cluster.api(namespace);
    let mut pods = pods.list(&ListParams::default().labels(selector)).await?.items;
    pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    Ok(pods)
}

/// Ready, for the spec as it is now.
pub(super) fn is_ready() -> impl Condition<Hub> {
    |hub: Option<&Hub>| {
        hub.is_some_and(|hub| {
            hub.status.iter().flat_map(|status| &status.conditions).any(|it| {
                it.type_ == condition::READY && it.status == "True" && it.observed_generation == hub.metadata.generation
            })
        })
    }
}

/// All containers of a pod are ready.
pub(super) fn pod_is_ready() -> impl Condition<Pod> {
    |pod: Option<&Pod>| {
        pod.and_then(|pod| pod.status.as_ref())
            .and_then(|status| status.conditions.as_ref())
            .is_some_and(|conditions| conditions.iter().any(|it| it.type_ == "Ready" && it.status == "True"))
    }
}

/// Times that the pod's containers were restarted.
pub(super) fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    statuses.map(|status| status.restart_count).sum()
}

/// Replaces a component's pod and waits until the new one is ready.
pub(super) async fn replace_pod(cluster: &Cluster, namespace: &str, selector: &str) -> Result<Pod> {
    let old = only_pod(cluster, namespace, selector).await?;
    let pods: Api<Pod> = cluster.api(namespace);
    pods.delete(&old.name_any(), &Default::default()).await?;
    let new = cluster
        .eventually("a new pod", READY, async || {
            let new = only_pod(cluster, namespace, selector).await?;
            anyhow::ensure!(new.uid() != old.uid(), "the pod is still the old one");
            Ok(new)
        })
        .await?;
    let name = new.name_any();
    let ready = cluster.await_condition(&pods, &name, "the pod to be ready", READY, pod_is_ready()).await?;
    ready.context("a pod that is ready is there")
}
