//! A `Hub` as it is stored: one whose spec cannot be read stays an object like the others, with its status and with
//! words about what is wrong, and stops nobody else's watch.

use std::borrow::Cow;

use hub_crds::{DeletionPolicy, Hub, HubSpec, HubStatus, names::HUB_FINALIZER};
use k8s_openapi::{
    api::core::v1::ObjectReference,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::{Resource, ResourceExt, core::NamespaceResourceScope, runtime::reflector::ObjectRef};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Metadata that is sure, and a spec and a status that may be anything.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoredHub {
    pub metadata: ObjectMeta,
    #[serde(default)]
    pub spec: Value,
    #[serde(default)]
    pub status: Value,
}

/// Why a stored spec is not a [`HubSpec`]: names the field.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("{path}: {message}")]
pub struct Unreadable {
    pub path: String,
    pub message: String,
}

impl StoredHub {
    /// The spec, if this operator's version can read it.
    pub fn spec(&self) -> Result<HubSpec, Unreadable> {
        serde_path_to_error::deserialize(&self.spec)
            .map_err(|error| Unreadable { path: format!("spec.{}", error.path()), message: error.inner().to_string() })
    }

    /// The status as it was written last; an unreadable one counts as none.
    pub fn status(&self) -> HubStatus {
        HubStatus::deserialize(&self.status).unwrap_or_default()
    }

    pub fn namespace(&self) -> String {
        ResourceExt::namespace(self).unwrap_or_default()
    }

    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    pub fn is_going(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    pub fn has_finalizer(&self) -> bool {
        self.finalizers().iter().any(|name| name == HUB_FINALIZER)
    }

    /// The policy even of a spec that is otherwise unreadable; what is in doubt is kept.
    pub fn deletion_policy(&self) -> DeletionPolicy {
        DeletionPolicy::deserialize(&self.spec["deletionPolicy"]).unwrap_or_default()
    }

    /// Namespace of the user pods, even of a spec that is otherwise unreadable.
    pub fn user_namespace(&self) -> String {
        self.spec["singleuser"]["namespace"].as_str().map_or_else(|| self.namespace(), str::to_owned)
    }

    /// Names of the Secrets that the spec refers to.
    pub fn referenced_secrets(&self) -> Vec<&str> {
        let users = items(&self.spec["auth"]["token"]["users"]);
        let services = items(&self.spec["services"]);
        [
            &self.spec["security"]["cookieSecret"]["secretRef"],
            &self.spec["security"]["proxyAuthToken"]["secretRef"],
            &self.spec["auth"]["dummy"]["passwordSecretRef"],
        ]
        .into_iter()
        .chain(users.iter().map(|user| &user["tokenSecretRef"]))
        .chain(services.iter().map(|service| &service["apiTokenSecretRef"]))
        .filter_map(|reference| reference["name"].as_str())
        .collect()
    }

    pub fn reference(&self) -> ObjectRef<Self> {
        ObjectRef::from_obj(self)
    }

    /// What events are about.
    pub fn object_reference(&self) -> ObjectReference {
        Resource::object_ref(self, &())
    }
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The owner that a Hub's children name.
pub fn owner_reference(name: &str, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: Hub::api_version(&()).into_owned(),
        kind: Hub::kind(&()).into_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

impl Resource for StoredHub {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        Hub::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        Hub::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        Hub::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        Hub::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn stored(spec: &Value) -> StoredHub {
        serde_json::from_value(json!({"metadata": {"name": "h", "namespace": "n"}, "spec": spec})).unwrap()
    }

    #[test]
    fn an_unreadable_spec_names_its_field() {
        let error = stored(&json!({"https": {"type": "carrier-pigeon"}})).spec().unwrap_err();
        assert_eq!(error.path, "spec.https.type");
        assert!(error.message.contains("carrier-pigeon"), "{error}");
    }

    #[test]
    fn an_unreadable_spec_still_says_what_to_keep_and_what_to_watch() {
        let hub = stored(&json!({
            "https": 7,
            "deletionPolicy": "Delete",
            "singleuser": {"namespace": "users"},
            "security": {"cookieSecret": {"secretRef": {"name": "a", "key": "k"}}},
            "auth": {"token": {"users": [{"name": "ada", "tokenSecretRef": {"name": "b", "key": "k"}}, {"name": "eve"}]}},
            "services": [{"name": "grades", "apiTokenSecretRef": {"name": "c", "key": "k"}}, {"name": "plain"}],
        }));
        assert!(hub.spec().is_err());
        assert_eq!(hub.deletion_policy(), DeletionPolicy::Delete);
        assert_eq!(hub.user_namespace(), "users");
        assert_eq!(hub.referenced_secrets(), ["a", "b", "c"]);
    }
}
