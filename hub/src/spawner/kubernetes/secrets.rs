//! The Secret with a server's token: made before its pod, owned by it, gone with it. The hub may neither read nor list
//! Secrets, so that its own rights show nobody another's.

use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::json;

use super::{KubernetesSpawner, refusal, retry, selector};
use crate::spawner::SpawnError;

/// Creates the Secret. One of ours that an earlier start left goes first.
pub(super) async fn create(spawner: &KubernetesSpawner, secret: &Secret) -> Result<(), SpawnError> {
    let params = PostParams::default();
    let create = || retry::persist("create a server's Secret", || spawner.secrets.create(&params, secret));
    match create().await {
        Ok(_) => return Ok(()),
        Err(error) if retry::has_code(&error, 409) => remove(spawner, &secret.name_any()).await?,
        Err(error) => return Err(refusal("the Secret with the server's token", error)),
    }
    match create().await {
        Ok(_) => Ok(()),
        Err(error) if retry::has_code(&error, 409) => Err(SpawnError::Refused(format!(
            "Secret {} in namespace {} was not made by this Hub and is left alone: delete it, or give this Hub's user pods a \
             namespace of their own with spec.singleuser.namespace",
            secret.name_any(),
            spawner.config.namespace
        ))),
        Err(error) => Err(refusal("the Secret with the server's token", error)),
    }
}

/// Makes the pod the Secret's owner: Kubernetes deletes it when the pod goes.
pub(super) async fn give_to_pod(spawner: &KubernetesSpawner, secret: &Secret, pod: &Pod) -> Result<(), SpawnError> {
    let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": pod.name_any(), "uid": pod.uid()});
    let patch = Patch::Merge(json!({"metadata": {"ownerReferences": [owner]}}));
    let (name, params) = (secret.name_any(), PatchParams::default());
    let patched = retry::persist("give a Secret to its pod", || spawner.secrets.patch_metadata(&name, &params, &patch));
    patched.await.map(|_| ()).map_err(|error| refusal("to give the Secret to its pod", error))
}

/// Deletes a Secret that no pod came to own. Selected by label, so that another's of the same name stays.
pub(super) async fn remove(spawner: &KubernetesSpawner, name: &str) -> Result<(), SpawnError> {
    let ours = ListParams::default().labels(&selector(&spawner.config)).fields(&format!("metadata.name={name}"));
    let params = DeleteParams::default();
    let deleted = retry::persist("delete a server's Secret", || spawner.secrets.delete_collection(&params, &ours));
    deleted.await.map(|_| ()).map_err(|error| refusal("to delete the server's Secret", error))
}
