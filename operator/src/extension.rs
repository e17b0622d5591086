//! Objects of kinds that somebody else defines, and that may not be installed: cert-manager's `Certificate`, the Gateway
//! API's `HTTPRoute`. No watch is kept for them, since one for a kind that is missing would fail for ever; they are looked
//! at while their Hub is reconciled, and not again as long as that look is fresh.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use hub_crds::names::FIELD_MANAGER;
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions},
};

use crate::{
    controller::apply::{Error, is_satisfied},
    stores::{belongs_to, hub_of},
    watch::forget_other_managers,
};

/// How long a look at an object that is as it should be is good: somebody may delete or edit it.
const FRESH: Duration = Duration::from_secs(300);

const NOT_FOUND: u16 = 404;

/// A kind that may be missing.
#[derive(Clone, Copy, Debug)]
pub struct Extension {
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    pub plural: &'static str,
}

/// cert-manager's wish for a certificate.
pub const CERTIFICATE: Extension =
    Extension { group: "cert-manager.io", version: "v1", kind: "Certificate", plural: "certificates" };

/// The Gateway API's way in.
pub const HTTP_ROUTE: Extension =
    Extension { group: "gateway.networking.k8s.io", version: "v1", kind: "HTTPRoute", plural: "httproutes" };

impl Extension {
    pub fn resource(&self) -> ApiResource {
        ApiResource {
            group: self.group.to_owned(),
            version: self.version.to_owned(),
            api_version: format!("{}/{}", self.group, self.version),
            kind: self.kind.to_owned(),
            plural: self.plural.to_owned(),
        }
    }

    fn api(&self, client: &Client, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(client.clone(), namespace, &self.resource())
    }

    fn failed(&self, name: &str, source: kube::Error) -> Error {
        Error::Apply { kind: self.kind.to_owned(), name: name.to_owned(), source }
    }
}

/// How an object stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Presence {
    /// Its kind is not defined in this cluster.
    KindMissing,
    /// As desired; what the cluster has.
    Present(Arc<DynamicObject>),
}

/// What was seen of such objects, for as long as it is fresh.
#[derive(Default)]
pub struct Extensions(Mutex<HashMap<Key, Seen>>);

/// Plural name of the kind, namespace and name.
type Key = (&'static str, String, String);

struct Seen {
    desired: DynamicObject,
    live: Arc<DynamicObject>,
    at: Instant,
}

impl Extensions {
    /// Makes the cluster have an object, which carries the labels of its Hub. A look that is younger than `fresh` is not
    /// repeated, and none than [`FRESH`].
    ///
    /// # Errors
    /// The API server refuses, or there is an object of that name that was not made for this Hub.
    pub async fn keep(
        &self,
        client: &Client,
        extension: Extension,
        desired: DynamicObject,
        fresh: Duration,
    ) -> Result<Presence, Error> {
        let (name, namespace) = (desired.name_any(), desired.namespace().unwrap_or_default());
        let key = (extension.plural, namespace.clone(), name.clone());
        if let Some(live) = self.recall(&key, &desired, fresh.min(FRESH)) {
            return Ok(Presence::Present(live));
        }
        let api = extension.api(client, &namespace);
        let found = look(&api, &name).await.map_err(|source| extension.failed(&name, source))?;
        let live = match found {
            Some(found) if !is_of_same_hub(&found, &desired) => {
                return Err(Error::Conflict { kind: extension.kind.to_owned(), name });
            }
            Some(mut found) => {
                forget_other_managers(&mut found);
                is_satisfied(&found, &desired).then_some(found)
            }
            None => None,
        };
        let live = match live {
            Some(live) => live,
            None => {
                let parameters = PatchParams::apply(FIELD_MANAGER).force();
                match api.patch(&name, &parameters, &Patch::Apply(&desired)).await {
                    // An apply creates what is missing, so it is the kind that was not found.
                    Err(kube::Error::Api(status)) if status.code == NOT_FOUND => return Ok(Presence::KindMissing),
                    answer => answer.map_err(|source| extension.failed(&name, source))?,
                }
            }
        };
        let live = Arc::new(live);
        let seen = Seen { desired, live: live.clone(), at: Instant::now() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, seen);
        Ok(Presence::Present(live))
    }

    fn recall(&self, key: &Key, desired: &DynamicObject, fresh: Duration) -> Option<Arc<DynamicObject>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = known.get(key).filter(|seen| seen.desired == *desired && seen.at.elapsed() < fresh)?;
        Some(seen.live.clone())
    }

    /// Removes an object of a Hub that is wanted no more. Nothing happens if it, or its kind, is not there.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn remove(
        &self,
        client: &Client,
        extension: Extension,
        name: &str,
        (hub, namespace): (&str, &str),
    ) -> Result<(), Error> {
        let key = (extension.plural, namespace.to_owned(), name.to_owned());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        let api = extension.api(client, namespace);
        let found = look(&api, name).await.map_err(|source| extension.failed(name, source))?;
        let Some(found) = found.filter(|found| belongs_to(found, hub, namespace)) else { return Ok(()) };
        let parameters =
            DeleteParams::default().preconditions(Preconditions { uid: found.uid(), resource_version: None });
        match api.delete(name, &parameters).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            Err(source) => Err(Error::Delete { kind: extension.kind.to_owned(), name: name.to_owned(), source }),
            Ok(_) => Ok(()),
        }
    }
}

/// The object, if there is one. For a kind that is missing the API server answers with a page and not with a `Status`, and
/// kube then knows the code alone.
async fn look(api: &Api<DynamicObject>, name: &str) -> Result<Option<DynamicObject>, kube::Error> {
    match api.get(name).await {
        Err(kube::Error::Api(status)) if status.code == NOT_FOUND => Ok(None),
        answer => answer.map(Some),
    }
}

fn is_of_same_hub(found: &DynamicObject, desired: &DynamicObject) -> bool {
    hub_of(desired).is_some_and(|hub| belongs_to(found, &hub.name, &hub.namespace.unwrap_or_default()))
}
