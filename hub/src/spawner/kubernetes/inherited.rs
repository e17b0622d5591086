//! What kubespawner left in a database that comes from JupyterHub: pods that run on, and claims with its older names. A pod
//! is taken up if the server's state in the database names it, it carries kubespawner's labels and that server's names,
//! and no Hub's. It goes on with the token that the database knows, and its server is one of ours from the next start on.

use hub_crds::names::{label, label_value};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::Value;
use std::{borrow::Cow, sync::Arc};

use super::{KubernetesSpawner, claims, pod, pods, slug};
use crate::spawner::{ServerName, SpawnError, StartRequest};

/// Finds kubespawner's pods, and no Hub's.
pub(super) fn selector() -> String {
    format!("{}={},!{}", label::KUBESPAWNER_COMPONENT, label_value::SINGLEUSER_SERVER, label::HUB)
}

/// The pod of a server, as the watch shows it.
pub(super) fn find(spawner: &KubernetesSpawner, server: &ServerName, state: &Value) -> Option<Arc<Pod>> {
    let found = spawner.inherited.get(pod_name(spawner, state)?)?;
    is_of(server, &found).then_some(found)
}

/// Deletes the pod of a server and returns when it is gone. One that is another's is not touched.
pub(super) async fn remove(spawner: &KubernetesSpawner, server: &ServerName, state: &Value) -> Result<(), SpawnError> {
    let Some(name) = pod_name(spawner, state) else { return Ok(()) };
    match pods::get(spawner, name).await?.filter(|found| is_of(server, found)) {
        Some(found) => pods::end(spawner, &found).await,
        None => Ok(()),
    }
}

/// The request with the claim that kubespawner before 7 made for the server, whose name it did not note, if there is one and
/// none with today's name.
pub(super) async fn with_claim<'a>(
    spawner: &KubernetesSpawner,
    request: &'a StartRequest,
) -> Result<Cow<'a, StartRequest>, SpawnError> {
    let (name, state) = (&request.name, &request.state);
    let is_old = pod_name(spawner, state).is_some() && state.get("kubespawner_version").is_none();
    if !is_old
        || state.get("pvc_name").is_some()
        || claims::get(spawner, &pod::claim_name(name, state)).await?.is_some()
    {
        return Ok(Cow::Borrowed(request));
    }
    for claim in slug::old_claim_names(&name.user, &name.server) {
        if claims::get(spawner, &claim).await?.is_some_and(|found| is_named_after(name, &found)) {
            let mut request = request.clone();
            request.state["pvc_name"] = claim.into();
            return Ok(Cow::Owned(request));
        }
    }
    Ok(Cow::Borrowed(request))
}

/// Name of the pod that kubespawner noted, if the state is its and the pod where this hub's are.
fn pod_name<'a>(spawner: &KubernetesSpawner, state: &'a Value) -> Option<&'a str> {
    let text = |key| state.get(key).and_then(Value::as_str);
    let is_its = text(pod::STATE_HUB).is_none() && text("namespace") == Some(&spawner.config.namespace);
    text("pod_name").filter(|_| is_its)
}

fn is_of(server: &ServerName, pod: &Pod) -> bool {
    let labels = pod.labels();
    !labels.contains_key(label::HUB)
        && labels.get(label::KUBESPAWNER_COMPONENT).is_some_and(|value| value == label_value::SINGLEUSER_SERVER)
        && is_named_after(server, pod)
}

fn is_named_after(server: &ServerName, object: &impl ResourceExt) -> bool {
    let annotation = |key| object.annotations().get(key).map(String::as_str).unwrap_or_default();
    annotation(label::USERNAME) == server.user && annotation(label::SERVERNAME) == server.server
}

#[cfg(test)]
mod tests;
