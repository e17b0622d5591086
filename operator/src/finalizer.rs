//! The going of a Hub. Owner references take most of it along; the finalizer orders the rest: children and user pods in
//! another namespace, which owner references cannot reach, and what `deletionPolicy` keeps or removes.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use hub_crds::{
    DeletionPolicy,
    names::{HUB_FINALIZER, child, label},
};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
    runtime::{
        controller::Action,
        reflector::{ObjectRef, Store},
    },
};
use serde_json::json;

use crate::{
    controller::{
        Context,
        apply::{self, delete, hear, is_as_new},
    },
    secrets,
    stored::StoredHub,
    stores::owned,
    watch::Kind,
};

/// How long the hub's own pod may take to end before its user pods are removed anyhow.
const HUB_PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to {action} the finalizer of the Hub: {source}")]
    Finalizer { action: &'static str, source: kube::Error },
    #[error(transparent)]
    Child(#[from] apply::Error),
    #[error("failed to {action} user pods in namespace {namespace}: {source}")]
    UserPods { action: &'static str, namespace: String, source: kube::Error },
    #[error(transparent)]
    Secret(#[from] secrets::Error),
}

/// Puts the finalizer on a Hub before anything is made for it.
pub async fn ensure(context: &Context, stored: &StoredHub) -> Result<(), Error> {
    if stored.has_finalizer() {
        return Ok(());
    }
    let mut finalizers = stored.finalizers().to_vec();
    finalizers.push(HUB_FINALIZER.to_owned());
    write(context, stored, "add", &finalizers).await
}

/// One step of a Hub's going; called again for each change until the finalizer is off.
pub async fn clean_up(context: &Context, stored: &StoredHub) -> Result<Action, Error> {
    if !stored.has_finalizer() {
        return Ok(Action::await_change());
    }
    if reaches_elsewhere(context, stored) && !clean_up_elsewhere(context, stored).await? {
        return Ok(Action::requeue(Duration::from_secs(1)));
    }
    let delete_it = stored.deletion_policy() == DeletionPolicy::Delete;
    release_secrets(context, stored, delete_it).await?;
    if delete_it {
        delete_claim(context, stored).await?;
    }
    let mut finalizers = stored.finalizers().to_vec();
    finalizers.retain(|name| name != HUB_FINALIZER);
    write(context, stored, "remove", &finalizers).await?;
    Ok(Action::await_change())
}

/// Writes the list of finalizers; refused if the Hub has changed since it was seen.
async fn write(
    context: &Context,
    stored: &StoredHub,
    action: &'static str,
    finalizers: &[String],
) -> Result<(), Error> {
    let api = Api::<StoredHub>::namespaced(context.client.clone(), &stored.namespace());
    let body = json!({"metadata": {
        "uid": stored.metadata.uid,
        "resourceVersion": stored.metadata.resource_version,
        "finalizers": finalizers,
    }});
    match api.patch(&stored.name_any(), &PatchParams::default(), &Patch::Merge(body)).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(source) => Err(Error::Finalizer { action, source }),
        Ok(written) => {
            let version = written.resource_version().unwrap_or_default();
            hear(|| context.stores.hubs.get(&stored.reference()).is_none_or(|seen| is_as_new(&*seen, &version))).await;
            Ok(())
        }
    }
}

/// Whether the Hub has, or may have, anything in another namespace.
fn reaches_elsewhere(context: &Context, stored: &StoredHub) -> bool {
    stored.user_namespace() != stored.namespace()
        || !elsewhere(&context.stores.roles, stored).is_empty()
        || !elsewhere(&context.stores.role_bindings, stored).is_empty()
        || !elsewhere(&context.stores.network_policies, stored).is_empty()
}

/// First the hub, so that it starts no more pods; then the pods; then what the hub was allowed. Says whether it is done.
async fn clean_up_elsewhere(context: &Context, stored: &StoredHub) -> Result<bool, Error> {
    let key = ObjectRef::new(&child::hub(&stored.name_any())).within(&stored.namespace());
    if let Some(deployment) = context.stores.deployments.get(&key) {
        let api = Api::namespaced(context.client.clone(), &stored.namespace());
        if deployment.metadata.deletion_timestamp.is_none() {
            delete_foreground(&api, &*deployment).await?;
        }
        if !is_overdue(stored) {
            return Ok(false);
        }
    }
    delete_user_pods(context, stored).await?;
    delete_elsewhere(context, &context.stores.network_policies, stored).await?;
    delete_elsewhere(context, &context.stores.role_bindings, stored).await?;
    delete_elsewhere(context, &context.stores.roles, stored).await?;
    Ok(true)
}

/// A Deployment that is deleted so is there until its pods are gone.
async fn delete_foreground<K: Kind>(api: &Api<K>, object: &K) -> Result<(), Error> {
    match api.delete(&object.name_any(), &DeleteParams::foreground()).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(source) => {
            let kind = K::kind(&()).into_owned();
            Err(apply::Error::Delete { kind, name: object.name_any(), source }.into())
        }
        Ok(_) => Ok(()),
    }
}

fn is_overdue(stored: &StoredHub) -> bool {
    let Some(since) = &stored.metadata.deletion_timestamp else { return false };
    SystemTime::now().duration_since(SystemTime::from(since.0)).is_ok_and(|passed| passed > HUB_PATIENCE)
}

async fn delete_user_pods(context: &Context, stored: &StoredHub) -> Result<(), Error> {
    let namespace = stored.user_namespace();
    let api = Api::<Pod>::namespaced(context.client.clone(), &namespace);
    let selector = format!("{}={},{}={}", label::HUB, stored.name_any(), label::HUB_NAMESPACE, stored.namespace());
    let failed = |action| {
        let namespace = namespace.clone();
        move |source| Error::UserPods { action, namespace, source }
    };
    let pods = api.list_metadata(&ListParams::default().labels(&selector)).await.map_err(failed("list"))?;
    for pod in pods {
        match api.delete(&pod.name_any(), &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            answer => {
                answer.map_err(failed("delete"))?;
            }
        }
    }
    Ok(())
}

fn elsewhere<K: Kind>(store: &Store<K>, stored: &StoredHub) -> Vec<Arc<K>> {
    let own = stored.namespace();
    let mut objects = owned(store, &stored.name_any(), &own);
    objects.retain(|object| object.namespace().as_deref() != Some(&own));
    objects
}

async fn delete_elsewhere<K: Kind>(context: &Context, store: &Store<K>, stored: &StoredHub) -> Result<(), Error> {
    for object in elsewhere(store, stored) {
        let api = Api::namespaced(context.client.clone(), &object.namespace().unwrap_or_default());
        delete(&api, &*object).await?;
    }
    Ok(())
}

/// The Secrets of record are let go: kept ones can be deleted by whoever wants to.
async fn release_secrets(context: &Context, stored: &StoredHub, delete_it: bool) -> Result<(), Error> {
    for secret in owned(&context.stores.secrets, &stored.name_any(), &stored.namespace()) {
        if secret.labels().get(label::HUB_UID).is_some_and(|uid| uid == stored.uid()) {
            secrets::release(&context.client, &secret, delete_it).await?;
        }
    }
    Ok(())
}

async fn delete_claim(context: &Context, stored: &StoredHub) -> Result<(), Error> {
    let (name, namespace) = (child::database_claim(&stored.name_any()), stored.namespace());
    let claims = owned(&context.stores.claims, &stored.name_any(), &namespace);
    if let Some(claim) = claims.iter().find(|claim| claim.name_any() == name) {
        let api = Api::namespaced(context.client.clone(), &namespace);
        delete(&api, &**claim).await?;
    }
    Ok(())
}
