//! The Secret with a server's token: made before its pod, owned by it, gone with it. The hub may neither read nor list
//! Secrets, so that its own rights show nobody another's.

use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{
    ResourceExt,
    api::{DeleteParams, PartialObjectMeta, Patch, PatchParams, PostParams, Preconditions},
};
use serde_json::json;

use super::{KubernetesSpawner, is_of, refusal, retry};
use crate::spawner::{ServerName, SpawnError};

/// Creates the Secret. One of this server's that an earlier start left goes first.
pub(super) async fn create(
    spawner: &KubernetesSpawner,
    server: &ServerName,
    secret: &Secret,
) -> Result<(), SpawnError> {
    let params = PostParams::default();
    let create = || retry::persist("create a server's Secret", || spawner.secrets.create(&params, secret));
    match create().await {
        Ok(_) => return Ok(()),
        Err(error) if retry::has_code(&error, 409) => remove(spawner, server, &secret.name_any()).await?,
        Err(error) => return Err(refusal("the Secret with the server's token", error)),
    }
    match create().await {
        Ok(_) => Ok(()),
        Err(error) if retry::has_code(&error, 409) => Err(SpawnError::Refused(format!(
            "Secret {} in namespace {} was not made by this Hub for this server and is left alone: delete it, or give this Hub's user pods a \
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

/// Deletes a Secret that no pod came to own, if it is this server's.
pub(super) async fn remove(spawner: &KubernetesSpawner, server: &ServerName, name: &str) -> Result<(), SpawnError> {
    let Some(found) = metadata(spawner, name).await?.filter(|found| is_of(&spawner.config, server, found)) else {
        return Ok(());
    };
    let uid = found.metadata.uid;
    let params = DeleteParams::default().preconditions(Preconditions { uid, resource_version: None });
    match retry::persist("delete a server's Secret", || spawner.secrets.delete(name, &params)).await {
        Ok(_) => Ok(()),
        Err(error) if retry::has_code(&error, 404) || retry::has_code(&error, 409) => Ok(()),
        Err(error) => Err(refusal("to delete the server's Secret", error)),
    }
}

/// Whose a Secret is. A patch of nothing changes nothing, and is answered without the data.
async fn metadata(spawner: &KubernetesSpawner, name: &str) -> Result<Option<PartialObjectMeta<Secret>>, SpawnError> {
    let (params, nothing) = (PatchParams::default(), Patch::Merge(json!({})));
    let patch = || spawner.secrets.patch_metadata(name, &params, &nothing);
    match retry::persist("look at a server's Secret", patch).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if retry::has_code(&error, 404) => Ok(None),
        Err(error) => Err(refusal("to show the server's Secret", error)),
    }
}
