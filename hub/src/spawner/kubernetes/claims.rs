//! Volume claims: made once for each server, kept when it stops, never another's.

use hub_crds::names::label;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{
    ResourceExt,
    api::{DeleteParams, PostParams, Preconditions},
};

use super::{KubernetesSpawner, is_ours, refusal, retry, slug};
use crate::spawner::{ServerName, SpawnError};

/// Makes the claim if it is not there. One that is must be this user's: kubespawner's of the same name is taken up, since
/// it says so in its annotations.
pub(super) async fn ensure(
    spawner: &KubernetesSpawner,
    server: &ServerName,
    claim: &PersistentVolumeClaim,
) -> Result<(), SpawnError> {
    let name = claim.name_any();
    if let Some(found) = get(spawner, &name).await? {
        return check(spawner, server, &found);
    }
    let params = PostParams::default();
    match retry::persist("create a volume claim", || spawner.claims.create(&params, claim)).await {
        Ok(_) => Ok(()),
        // It came between the two requests, or the first answer to this one was lost.
        Err(error) if retry::has_code(&error, 409) => match get(spawner, &name).await? {
            Some(found) => check(spawner, server, &found),
            None => Err(refusal("the volume claim", error)),
        },
        Err(error) => Err(refusal("the volume claim", error)),
    }
}

/// Deletes the claim if it is this Hub's.
pub(super) async fn remove(spawner: &KubernetesSpawner, name: &str) -> Result<(), SpawnError> {
    let Some(found) = get(spawner, name).await?.filter(|found| is_ours(&spawner.config, found)) else { return Ok(()) };
    let uid = found.metadata.uid;
    let params = DeleteParams::default().preconditions(Preconditions { uid, resource_version: None });
    match retry::persist("delete a volume claim", || spawner.claims.delete(name, &params)).await {
        Ok(_) => Ok(()),
        Err(error) if retry::has_code(&error, 404) || retry::has_code(&error, 409) => Ok(()),
        Err(error) => Err(refusal("to delete the volume claim", error)),
    }
}

pub(super) async fn get(spawner: &KubernetesSpawner, name: &str) -> Result<Option<PersistentVolumeClaim>, SpawnError> {
    let found = retry::persist("read a volume claim", || spawner.claims.get_opt(name)).await;
    found.map_err(|error| refusal("to show the volume claim", error))
}

fn check(spawner: &KubernetesSpawner, server: &ServerName, found: &PersistentVolumeClaim) -> Result<(), SpawnError> {
    let annotation = |key| found.annotations().get(key).map(String::as_str);
    let problem = if found.labels().contains_key(label::HUB) && !is_ours(&spawner.config, found) {
        "belongs to another Hub"
    } else if annotation(label::USERNAME) != Some(&server.user)
        // A server that was renamed keeps its claim, whose name its state tells.
        || annotation(label::SERVERNAME).unwrap_or_default() != server.server
            && found.name_any() == slug::claim_name(&server.user, &server.server)
    {
        "is not annotated as this user's (hub.jupyter.org/username)"
    } else if found.metadata.deletion_timestamp.is_some() {
        "is being deleted"
    } else {
        return Ok(());
    };
    Err(SpawnError::Refused(format!(
        "volume claim {} in namespace {} {problem}, so it is not mounted: ask an administrator to look at it",
        found.name_any(),
        spawner.config.namespace
    )))
}
