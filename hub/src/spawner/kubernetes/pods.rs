//! Creating and deleting of pods: never another Hub's or server's, never another pod than the one that was looked at.

use hub_crds::{config::KubernetesConfig, names::label};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    api::{DeleteParams, PostParams, Preconditions},
};
use std::time::Duration;
use tracing::info;

use super::{KubernetesSpawner, is_of, is_ours, refusal, retry};
use crate::spawner::{ServerName, SpawnError};

/// How long a server has to save its work before it is killed.
const GRACE_SECONDS: u32 = 10;
const FIRST_LOOK: Duration = Duration::from_millis(100);
const LONGEST_LOOK: Duration = Duration::from_secs(2);

/// Creates the pod of a server. One of the server's that has its name is what an earlier start left, and goes first.
pub(super) async fn create(spawner: &KubernetesSpawner, server: &ServerName, pod: &Pod) -> Result<Pod, SpawnError> {
    let params = PostParams::default();
    loop {
        match retry::persist("create a user pod", || spawner.pods.create(&params, pod)).await {
            Ok(created) => return Ok(created),
            Err(error) if retry::has_code(&error, 409) => {
                info!(pod = pod.name_any(), "replacing what an earlier start left");
                remove(spawner, server, &pod.name_any()).await?;
            }
            Err(error) => return Err(refusal("the pod", error)),
        }
    }
}

/// Deletes a pod and returns when it is gone. `Refused`: the pod of that name is not this server's, and was not touched.
pub(super) async fn remove(spawner: &KubernetesSpawner, server: &ServerName, name: &str) -> Result<(), SpawnError> {
    let Some(pod) = get(spawner, name).await? else { return Ok(()) };
    if is_of(&spawner.config, server, &pod) {
        end(spawner, &pod).await
    } else {
        Err(not_ours(&spawner.config, name, &pod))
    }
}

/// Deletes a pod that was looked at, and returns when it is gone.
pub(super) async fn end(spawner: &KubernetesSpawner, pod: &Pod) -> Result<(), SpawnError> {
    let name = &pod.name_any();
    let uid = pod.metadata.uid.clone();
    let params = DeleteParams::default()
        .grace_period(GRACE_SECONDS)
        .preconditions(Preconditions { uid: uid.clone(), resource_version: None });
    match retry::persist("delete a user pod", || spawner.pods.delete(name, &params)).await {
        Ok(_) => {}
        // It is gone, or another has its name already.
        Err(error) if retry::has_code(&error, 404) || retry::has_code(&error, 409) => {}
        Err(error) => return Err(refusal("to delete the pod", error)),
    }
    let mut pause = FIRST_LOOK;
    while get(spawner, name).await?.is_some_and(|pod| pod.metadata.uid == uid) {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_LOOK);
    }
    Ok(())
}

pub(super) async fn get(spawner: &KubernetesSpawner, name: &str) -> Result<Option<Pod>, SpawnError> {
    retry::persist("read a user pod", || spawner.pods.get_opt(name))
        .await
        .map_err(|error| refusal("to show the pod", error))
}

fn not_ours(config: &KubernetesConfig, name: &str, pod: &Pod) -> SpawnError {
    if is_ours(config, pod) {
        return SpawnError::Refused(format!(
            "pod {name} is another server's: ask an administrator to look at its user's name"
        ));
    }
    let labels = pod.labels();
    let whose = match (labels.get(label::HUB), labels.get(label::HUB_NAMESPACE)) {
        (Some(hub), Some(namespace)) => format!("belongs to the Hub {hub} in namespace {namespace}"),
        _ => "was not made by this Hub".to_owned(),
    };
    SpawnError::Refused(format!(
        "pod {name} in namespace {} {whose} and is left alone: delete it, or give this Hub's user pods a namespace of \
         their own with spec.singleuser.namespace",
        config.namespace
    ))
}
