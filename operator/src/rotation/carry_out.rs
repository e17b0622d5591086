//! Carries a plan out: the Secrets first, then the requests are taken off, so that a crash in between repeats nothing
//! and loses nothing.

use hub_crds::names::{NUDGE_ANNOTATION, label};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
    runtime::reflector::ObjectRef,
};
use serde_json::json;

use super::{
    Plan,
    plan::COMPONENTS,
    request::{Place, Request},
};
use crate::{
    controller::{
        Context,
        apply::{hear, is_as_new},
    },
    events,
    secrets::{self, settle},
    stored::StoredHub,
};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Secret(#[from] secrets::Error),
    #[error("failed to {action} the annotation {annotation}: {source}")]
    Annotation { action: &'static str, annotation: &'static str, source: kube::Error },
}

/// The requests on a Hub's annotations. One that is new gets an id first: so it is acted on once, whatever fails later.
pub async fn claim(context: &Context, stored: &StoredHub) -> Result<Vec<Request>, Error> {
    let mut requests = Vec::new();
    for place in Place::ANNOTATIONS {
        let Some(annotation) = place.annotation() else { continue };
        let Some(value) = stored.annotations().get(annotation) else { continue };
        if let Some(request) = Request::claimed(place, value) {
            requests.push(request);
            continue;
        }
        let claimed = Request::claim(value, &format!("{:08x}", rand::random::<u32>()));
        patch(context, stored, annotation, value, Some(&claimed)).await.map_err(|source| Error::Annotation {
            action: "claim",
            annotation,
            source,
        })?;
        requests.extend(Request::claimed(place, &claimed));
    }
    Ok(requests)
}

/// Writes the Secrets, takes the requests off, and tells of both.
pub async fn carry_out(context: &Context, stored: &StoredHub, plan: &Plan) -> Result<(), Error> {
    for secret in &plan.writes {
        let written = settle::rewrite(&context.client, secret).await?;
        let version = written.resource_version().unwrap_or_default();
        let key = ObjectRef::from_obj(&written);
        hear(|| context.stores.secrets.get(&key).is_none_or(|seen| is_as_new(&*seen, &version))).await;
        nudge(context, stored, &version).await;
    }
    events::tell_news(&context.recorder, stored, &plan.news).await;
    for request in &plan.answered {
        take_off(context, stored, request).await?;
    }
    Ok(())
}

/// Takes an annotation off if it is still the one that was acted on.
async fn take_off(context: &Context, stored: &StoredHub, request: &Request) -> Result<(), Error> {
    let Some(annotation) = request.place.annotation() else { return Ok(()) };
    match patch(context, stored, annotation, &request.value(), None).await {
        // Somebody asks for something else by now.
        Err(kube::Error::Api(status)) if status.is_invalid() || status.is_not_found() => Ok(()),
        answer => answer.map_err(|source| Error::Annotation { action: "take off", annotation, source }),
    }
}

/// Replaces or removes an annotation of the Hub that has a certain value, and waits until the watch has shown it.
async fn patch(
    context: &Context,
    stored: &StoredHub,
    annotation: &str,
    value: &str,
    new: Option<&str>,
) -> Result<(), kube::Error> {
    let path = format!("/metadata/annotations/{}", annotation.replace('~', "~0").replace('/', "~1"));
    let change = match new {
        Some(new) => json!({"op": "replace", "path": path, "value": new}),
        None => json!({"op": "remove", "path": path}),
    };
    let operations = json!([{"op": "test", "path": path, "value": value}, change]);
    let patch = serde_json::from_value(operations).map_err(kube::Error::SerdeError)?;
    let api = Api::<StoredHub>::namespaced(context.client.clone(), &stored.namespace());
    let written = api.patch(&stored.name_any(), &PatchParams::default(), &Patch::<()>::Json(patch)).await?;
    let version = written.resource_version().unwrap_or_default();
    hear(|| context.stores.hubs.get(&stored.reference()).is_none_or(|seen| is_as_new(&*seen, &version))).await;
    Ok(())
}

/// A kubelet looks at a pod's mounts when the pod changes, and else within two minutes. A courtesy: without it the same
/// happens later.
async fn nudge(context: &Context, stored: &StoredHub, version: &str) {
    let api = Api::<Pod>::namespaced(context.client.clone(), &stored.namespace());
    let selector = format!("{}={},{} in ({})", label::HUB, stored.name_any(), label::COMPONENT, COMPONENTS.join(","));
    let body = Patch::Merge(json!({"metadata": {"annotations": {NUDGE_ANNOTATION: version}}}));
    let pods = match api.list_metadata(&ListParams::default().labels(&selector)).await {
        Ok(pods) => pods.items,
        Err(error) => return tracing::debug!(%error, "failed to list pods whose Secret changed"),
    };
    for pod in pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
        if let Err(error) = api.patch_metadata(&pod.name_any(), &PatchParams::default(), &body).await {
            tracing::debug!(%error, pod.name = pod.name_any(), "failed to tell a kubelet of a changed Secret");
        }
    }
}
