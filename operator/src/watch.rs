//! Watches of one kind, over one or several namespaces, kept as one store. Unlike a plain reflector it also reports
//! what vanished while a watch was down, and stays silent about what a new listing shows unchanged.

use std::{collections::HashSet, fmt::Debug};

use futures::{Stream, StreamExt, stream};
use hub_crds::names::FIELD_MANAGER;
use kube::{
    Api, Client, Resource, ResourceExt,
    core::NamespaceResourceScope,
    runtime::{
        WatchStreamExt,
        reflector::{
            ObjectRef, Store,
            store::{Writer, store},
        },
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;

/// A namespaced kind that can be watched.
pub trait Kind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Send + Sync + 'static
{
}

impl<K> Kind for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + Sync
        + 'static
{
}

/// Where the operator looks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Namespaces(pub Vec<String>);

impl Namespaces {
    /// One API handle for each watch: a namespace each, or one for the cluster.
    pub fn apis<K: Kind>(&self, client: &Client) -> Vec<Api<K>> {
        if self.0.is_empty() {
            return vec![Api::all(client.clone())];
        }
        self.0.iter().map(|namespace| Api::namespaced(client.clone(), namespace)).collect()
    }
}

/// Starts the watches of one kind: the store that they fill, and the objects that were touched.
pub fn watch<K: Kind>(apis: Vec<Api<K>>, config: &watcher::Config) -> (Store<K>, impl Stream<Item = K> + use<K>) {
    let (reader, writer) = store();
    let mut mirror = Mirror { writer, reader: reader.clone(), parts: vec![Part::default(); apis.len()] };
    let events = stream::select_all(
        apis.into_iter()
            .enumerate()
            .map(|(part, api)| watcher(api, config.clone()).default_backoff().map(move |event| (part, event)).boxed()),
    );
    let touched = events.flat_map(move |(part, event)| {
        stream::iter(match event {
            Ok(event) => mirror.take(part, event),
            Err(error) => {
                tracing::warn!(kind = %K::kind(&()), %error, "a watch failed and is taken up again");
                Vec::new()
            }
        })
    });
    (reader, touched)
}

/// One store fed by several watches.
struct Mirror<K: Kind> {
    writer: Writer<K>,
    reader: Store<K>,
    parts: Vec<Part<K>>,
}

/// What one watch has shown.
#[derive(Clone)]
struct Part<K: Kind> {
    known: HashSet<ObjectRef<K>>,
    listing: Vec<K>,
    listed: bool,
}

impl<K: Kind> Default for Part<K> {
    fn default() -> Self {
        Self { known: HashSet::new(), listing: Vec::new(), listed: false }
    }
}

impl<K: Kind> Mirror<K> {
    /// Takes in one event and returns what it touched.
    fn take(&mut self, part: usize, event: Event<K>) -> Vec<K> {
        match event.modify(forget_other_managers) {
            Event::Init => self.parts[part].listing.clear(),
            Event::InitApply(object) => self.parts[part].listing.push(object),
            Event::InitDone => return self.take_listing(part),
            Event::Apply(object) => {
                self.put(part, &object);
                return vec![object];
            }
            Event::Delete(object) => {
                self.remove(part, &object);
                return vec![object];
            }
        }
        Vec::new()
    }

    fn put(&mut self, part: usize, object: &K) {
        self.parts[part].known.insert(ObjectRef::from_obj(object));
        self.writer.apply_watcher_event(&Event::Apply(object.clone()));
    }

    fn remove(&mut self, part: usize, object: &K) {
        self.parts[part].known.remove(&ObjectRef::from_obj(object));
        self.writer.apply_watcher_event(&Event::Delete(object.clone()));
    }

    fn take_listing(&mut self, part: usize) -> Vec<K> {
        let listing = std::mem::take(&mut self.parts[part].listing);
        let listed: HashSet<_> = listing.iter().map(ObjectRef::from_obj).collect();
        let mut touched = Vec::new();
        let vanished: Vec<_> =
            self.parts[part].known.difference(&listed).filter_map(|key| self.reader.get(key)).collect();
        for object in vanished {
            self.remove(part, &object);
            touched.push((*object).clone());
        }
        for object in listing {
            let stored = self.reader.get(&ObjectRef::from_obj(&object));
            if stored.is_none_or(|stored| stored.resource_version() != object.resource_version()) {
                self.put(part, &object);
                touched.push(object);
            }
        }
        self.mark_listed(part);
        touched
    }

    /// Once every part is listed, the store says that it is ready: it is told its own contents as a whole listing.
    fn mark_listed(&mut self, part: usize) {
        let was_ready = self.parts.iter().all(|part| part.listed);
        self.parts[part].listed = true;
        if was_ready || !self.parts.iter().all(|part| part.listed) {
            return;
        }
        self.writer.apply_watcher_event(&Event::Init);
        for object in self.reader.state() {
            self.writer.apply_watcher_event(&Event::InitApply((*object).clone()));
        }
        self.writer.apply_watcher_event(&Event::InitDone);
    }
}

/// Of who manages which field only our own entry is needed; the others' can be larger than the object.
pub(crate) fn forget_other_managers<K: Resource>(object: &mut K) {
    if let Some(entries) = &mut object.meta_mut().managed_fields {
        entries.retain(|entry| {
            entry.manager.as_deref() == Some(FIELD_MANAGER)
                && entry.operation.as_deref() == Some("Apply")
                && entry.subresource.is_none()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    fn object(namespace: &str, name: &str, version: u32) -> ConfigMap {
        let version = version.to_string();
        serde_json::from_value(json!({"metadata": {"name": name, "namespace": namespace, "resourceVersion": version}}))
            .unwrap()
    }

    fn mirror(parts: usize) -> Mirror<ConfigMap> {
        let (reader, writer) = store();
        Mirror { writer, reader, parts: vec![Part::default(); parts] }
    }

    fn list(mirror: &mut Mirror<ConfigMap>, part: usize, objects: &[ConfigMap]) -> Vec<String> {
        mirror.take(part, Event::Init);
        for object in objects {
            mirror.take(part, Event::InitApply(object.clone()));
        }
        let mut names: Vec<_> = mirror.take(part, Event::InitDone).iter().map(ResourceExt::name_any).collect();
        names.sort();
        names
    }

    fn is_ready(mirror: &Mirror<ConfigMap>) -> bool {
        mirror.reader.wait_until_ready().now_or_never().is_some()
    }

    #[test]
    fn a_store_of_two_namespaces_is_ready_when_both_are_listed() {
        let mut mirror = mirror(2);
        assert_eq!(list(&mut mirror, 0, &[object("a", "x", 1)]), ["x"]);
        assert!(!is_ready(&mirror));
        assert_eq!(list(&mut mirror, 1, &[object("b", "y", 2)]), ["y"]);
        assert!(is_ready(&mirror));
        assert_eq!(mirror.reader.len(), 2, "listing one namespace must not forget the other");
    }

    #[test]
    fn a_new_listing_reports_what_vanished_and_changed_but_not_the_rest() {
        let mut mirror = mirror(2);
        list(&mut mirror, 0, &[object("a", "same", 1), object("a", "gone", 2), object("a", "changed", 3)]);
        list(&mut mirror, 1, &[object("b", "other", 4)]);
        let touched = list(&mut mirror, 0, &[object("a", "same", 1), object("a", "changed", 5), object("a", "new", 6)]);
        assert_eq!(touched, ["changed", "gone", "new"]);
        assert_eq!(mirror.reader.len(), 4);
    }

    #[test]
    fn an_object_deleted_and_applied_is_in_the_store_as_last_seen() {
        let mut mirror = mirror(1);
        list(&mut mirror, 0, &[]);
        mirror.take(0, Event::Apply(object("a", "x", 1)));
        assert_eq!(mirror.reader.len(), 1);
        mirror.take(0, Event::Delete(object("a", "x", 2)));
        assert!(mirror.reader.is_empty());
    }
}
