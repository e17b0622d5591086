//! What the operator knows of the cluster without asking: Hubs, their children, and the Secrets that they refer to.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use futures::{Stream, StreamExt, stream, stream::BoxStream};
use hub_crds::names::{label, label_value};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, PersistentVolumeClaim, Secret, Service, ServiceAccount},
    networking::v1::{Ingress, NetworkPolicy},
    policy::v1::PodDisruptionBudget,
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::PartialObjectMeta,
    runtime::{
        WatchStreamExt,
        reflector::{ObjectRef, Store},
        watcher::{self, Event, watcher},
    },
};

use crate::{
    stored::StoredHub,
    watch::{Kind, Namespaces, watch},
};

/// A Hub that has to be looked at.
pub type HubRef = ObjectRef<StoredHub>;

/// Every kind that the operator watches.
#[derive(Clone)]
pub struct Stores {
    pub hubs: Store<StoredHub>,
    pub secrets: Store<Secret>,
    pub service_accounts: Store<ServiceAccount>,
    pub roles: Store<Role>,
    pub role_bindings: Store<RoleBinding>,
    pub config_maps: Store<ConfigMap>,
    pub claims: Store<PersistentVolumeClaim>,
    pub services: Store<Service>,
    pub ingresses: Store<Ingress>,
    pub network_policies: Store<NetworkPolicy>,
    pub disruption_budgets: Store<PodDisruptionBudget>,
    pub deployments: Store<Deployment>,
    pub referenced: ReferencedSecrets,
}

/// What makes a Hub be looked at.
pub type Queue = BoxStream<'static, HubRef>;

impl Stores {
    /// Starts all watches. The stores fill as long as the queue is polled.
    pub fn start(client: &Client, namespaces: &Namespaces) -> (Self, Queue) {
        let mut queues = Vec::new();
        let own = watcher::Config::default().labels(&own_selector());
        let (hubs, touched) = watch::<StoredHub>(namespaces.apis(client), &watcher::Config::default());
        queues.push(touched.map(|hub| hub.reference()).boxed());
        let referenced = ReferencedSecrets::default();
        queues.push(referenced.watch(namespaces.apis(client), hubs.clone()).boxed());
        let stores = Self {
            secrets: children(client, namespaces, &own, &mut queues),
            service_accounts: children(client, namespaces, &own, &mut queues),
            roles: children(client, namespaces, &own, &mut queues),
            role_bindings: children(client, namespaces, &own, &mut queues),
            config_maps: children(client, namespaces, &own, &mut queues),
            claims: children(client, namespaces, &own, &mut queues),
            services: children(client, namespaces, &own, &mut queues),
            ingresses: children(client, namespaces, &own, &mut queues),
            network_policies: children(client, namespaces, &own, &mut queues),
            disruption_budgets: children(client, namespaces, &own, &mut queues),
            deployments: children(client, namespaces, &own, &mut queues),
            hubs,
            referenced,
        };
        (stores, stream::select_all(queues).boxed())
    }

    /// Waits until every store has been filled once. Polls nothing: the queue must be polled beside it.
    pub async fn ready(&self) {
        tokio::join!(
            settled(&self.hubs),
            settled(&self.secrets),
            settled(&self.service_accounts),
            settled(&self.roles),
            settled(&self.role_bindings),
            settled(&self.config_maps),
            settled(&self.claims),
            settled(&self.services),
            settled(&self.ingresses),
            settled(&self.network_policies),
            settled(&self.disruption_budgets),
            settled(&self.deployments),
        );
    }
}

async fn settled<K: Kind>(store: &Store<K>) {
    if store.wait_until_ready().await.is_err() {
        // The watch is gone, so the operator is stopping: whoever waits is dropped with it.
        futures::future::pending::<()>().await;
    }
}

fn children<K: Kind>(
    client: &Client,
    namespaces: &Namespaces,
    config: &watcher::Config,
    queues: &mut Vec<Queue>,
) -> Store<K> {
    let (store, touched) = watch::<K>(namespaces.apis(client), config);
    queues.push(touched.filter_map(|child| async move { hub_of(&child) }).boxed());
    store
}

/// Selects what this operator made for any Hub.
fn own_selector() -> String {
    format!("{},{}={}", label::HUB, label::MANAGED_BY, label_value::OPERATOR)
}

/// The Hub that an object's labels name.
pub fn hub_of(object: &impl Resource) -> Option<HubRef> {
    let labels = object.meta().labels.as_ref()?;
    Some(HubRef::new(labels.get(label::HUB)?).within(labels.get(label::HUB_NAMESPACE)?))
}

/// Whether an object's labels say that the operator made it for this Hub.
pub fn belongs_to(object: &impl Resource, hub: &str, namespace: &str) -> bool {
    let Some(labels) = &object.meta().labels else { return false };
    let is = |key: &str, value: &str| labels.get(key).is_some_and(|found| found == value);
    is(label::MANAGED_BY, label_value::OPERATOR) && is(label::HUB, hub) && is(label::HUB_NAMESPACE, namespace)
}

/// What belongs to a Hub in a store.
pub fn owned<K: Kind>(store: &Store<K>, hub: &str, namespace: &str) -> Vec<Arc<K>> {
    store.state_filter(|object| belongs_to(object, hub, namespace))
}

/// Secrets that Hubs refer to: watched by metadata only, their data asked for by name and kept until the watch shows
/// another version.
#[derive(Clone, Default)]
pub struct ReferencedSecrets(Arc<Mutex<HashMap<SecretName, Option<Arc<Secret>>>>>);

/// Namespace and name.
type SecretName = (String, String);

impl ReferencedSecrets {
    /// The Secrets of these names in one namespace; those that do not exist are absent.
    pub async fn get(
        &self,
        client: &Client,
        namespace: &str,
        names: &[Cow<'_, str>],
    ) -> Result<BTreeMap<String, Arc<Secret>>, kube::Error> {
        let mut found = BTreeMap::new();
        for name in names {
            let key = (namespace.to_owned(), name.to_string());
            let known = self.lock().get(&key).cloned();
            let secret = match known {
                Some(secret) => secret,
                None => {
                    let secret =
                        Api::<Secret>::namespaced(client.clone(), namespace).get_opt(name).await?.map(Arc::new);
                    self.lock().insert(key, secret.clone());
                    secret
                }
            };
            found.extend(secret.map(|secret| (name.to_string(), secret)));
        }
        Ok(found)
    }

    fn watch(
        &self,
        apis: Vec<Api<PartialObjectMeta<Secret>>>,
        hubs: Store<StoredHub>,
    ) -> impl Stream<Item = HubRef> + use<> {
        let this = self.clone();
        let events = stream::select_all(
            apis.into_iter().map(|api| watcher(api, watcher::Config::default()).default_backoff().boxed()),
        );
        events.flat_map(move |event| {
            let forgotten = match event {
                Ok(event) => this.forget_changed(&event),
                Err(error) => {
                    tracing::warn!(kind = "Secret", %error, "a watch failed and is taken up again");
                    Vec::new()
                }
            };
            let touched: Vec<_> = forgotten.iter().flat_map(|secret| referring(&hubs, secret)).collect();
            stream::iter(touched)
        })
    }

    /// Forgets what an event shows to have changed, and names it.
    fn forget_changed(&self, event: &Event<PartialObjectMeta<Secret>>) -> Vec<SecretName> {
        match event {
            Event::Apply(secret) | Event::InitApply(secret) => {
                let name = secret_name(secret);
                let mut known = self.lock();
                let is_same = known.get(&name).is_some_and(|known| {
                    known.as_ref().is_some_and(|known| known.resource_version() == secret.resource_version())
                });
                if is_same || known.remove(&name).is_none() { Vec::new() } else { vec![name] }
            }
            Event::Delete(secret) => {
                let name = secret_name(secret);
                self.lock().remove(&name).map(|_| name).into_iter().collect()
            }
            // What vanished while the watch was down is not told: ask again for everything.
            Event::Init => self.lock().drain().map(|(name, _)| name).collect(),
            Event::InitDone => Vec::new(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SecretName, Option<Arc<Secret>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn secret_name(secret: &PartialObjectMeta<Secret>) -> SecretName {
    (secret.namespace().unwrap_or_default(), secret.name_any())
}

fn referring(hubs: &Store<StoredHub>, (namespace, name): &SecretName) -> Vec<HubRef> {
    hubs.state_filter(|hub| hub.namespace() == *namespace && hub.referenced_secrets().iter().any(|found| found == name))
        .iter()
        .map(|hub| hub.reference())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn metadata(name: &str, version: &str) -> PartialObjectMeta<Secret> {
        serde_json::from_value(json!({"metadata": {"name": name, "namespace": "n", "resourceVersion": version}}))
            .unwrap()
    }

    fn knowing(name: &str, version: &str) -> ReferencedSecrets {
        let secret = json!({"metadata": {"name": name, "namespace": "n", "resourceVersion": version}});
        let known = ReferencedSecrets::default();
        known.lock().insert(("n".to_owned(), name.to_owned()), Some(Arc::new(serde_json::from_value(secret).unwrap())));
        known
    }

    #[test]
    fn only_another_version_of_a_known_secret_is_asked_for_again() {
        let known = knowing("mine", "5");
        assert!(known.forget_changed(&Event::Apply(metadata("mine", "5"))).is_empty());
        assert!(known.forget_changed(&Event::Apply(metadata("foreign", "9"))).is_empty());
        assert_eq!(known.forget_changed(&Event::Apply(metadata("mine", "6"))), [("n".to_owned(), "mine".to_owned())]);
        assert!(known.forget_changed(&Event::Apply(metadata("mine", "7"))).is_empty(), "already forgotten");
    }

    #[test]
    fn a_deleted_secret_and_a_watch_begun_anew_are_noticed() {
        assert_eq!(knowing("mine", "5").forget_changed(&Event::Delete(metadata("mine", "5"))).len(), 1);
        assert_eq!(knowing("mine", "5").forget_changed(&Event::Init).len(), 1);
    }

    #[test]
    fn an_object_belongs_to_the_hub_of_its_labels_only_if_the_operator_made_it() {
        let labelled = |manager: &str, namespace: &str| -> Secret {
            let labels = json!({label::HUB: "h", label::HUB_NAMESPACE: namespace, label::MANAGED_BY: manager});
            serde_json::from_value(json!({"metadata": {"name": "x", "labels": labels}})).unwrap()
        };
        assert!(belongs_to(&labelled("hub-operator", "n"), "h", "n"));
        assert!(!belongs_to(&labelled("someone", "n"), "h", "n"));
        assert!(!belongs_to(&labelled("hub-operator", "other"), "h", "n"));
        assert!(!belongs_to(&Secret::default(), "h", "n"));
        assert_eq!(hub_of(&labelled("hub-operator", "n")), Some(HubRef::new("h").within("n")));
    }
}
