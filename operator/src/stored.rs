//! A `Hub` as it is stored: one whose spec cannot be read stays an object like the others, with its status and with
//! words about what is wrong, and stops nobody else's watch.

use std::borrow::Cow;

use hub_crds::{
    DeletionPolicy, HttpsType, Hub, HubSpec, HubStatus,
    names::{HUB_FINALIZER, child},
};
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
        // The API server's rules take a null for a field that is not there.
        if let Some(path) = null_below(&self.spec["https"], "spec.https") {
            return Err(Unreadable { path, message: "must not be null: remove the line (S48)".to_owned() });
        }
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
    pub fn referenced_secrets(&self) -> Vec<Cow<'_, str>> {
        let users = items(&self.spec["auth"]["token"]["users"]);
        let services = items(&self.spec["services"]);
        let https = &self.spec["https"];
        [
            &self.spec["security"]["cookieSecret"]["secretRef"],
            &self.spec["security"]["proxyAuthToken"]["secretRef"],
            &self.spec["security"]["cryptKeys"]["secretRef"],
            &self.spec["auth"]["password"]["usersSecretRef"],
            &self.spec["auth"]["dummy"]["passwordSecretRef"],
            &self.spec["auth"]["oidc"]["clientSecretRef"],
            &self.spec["auth"]["oidc"]["caSecretRef"],
            &self.spec["database"]["urlSecretRef"],
            &https["secret"],
            &https["manual"]["certSecretRef"],
            &https["manual"]["keySecretRef"],
            &https["letsencrypt"]["serverCaSecretRef"],
            &https["letsencrypt"]["eab"]["secretRef"],
        ]
        .into_iter()
        .chain(users.iter().map(|user| &user["tokenSecretRef"]))
        .chain(services.iter().map(|service| &service["apiTokenSecretRef"]))
        .chain(items(&https["extraSecrets"]))
        .filter_map(|reference| reference["name"].as_str().map(Cow::Borrowed))
        .chain(self.issued_secret().map(Cow::Owned))
        .collect()
    }

    /// The Secret that cert-manager writes, if it is asked to.
    fn issued_secret(&self) -> Option<String> {
        let is_asked = self.spec["https"]["type"] == HttpsType::CertManager.as_str();
        is_asked.then(|| child::cert_manager(&self.name_any()))
    }

    pub fn reference(&self) -> ObjectRef<Self> {
        ObjectRef::from_obj(self)
    }

    /// What events are about.
    pub fn object_reference(&self) -> ObjectReference {
        Resource::object_ref(self, &())
    }
}

/// Path of the first field below a section that is there and null.
fn null_below(section: &Value, path: &str) -> Option<String> {
    let fields: Vec<(String, &Value)> = match section {
        Value::Object(fields) => fields.iter().map(|(name, value)| (format!("{path}.{name}"), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(at, value)| (format!("{path}[{at}]"), value)).collect(),
        _ => Vec::new(),
    };
    fields.iter().find_map(|(path, value)| match value {
        Value::Null => Some(path.clone()),
        value => null_below(value, path),
    })
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

    #[test]
    fn a_null_in_https_is_no_missing_line_s48() {
        let secret = json!({"type": "secret", "secret": {"name": "a"}});
        assert!(stored(&json!({"https": secret})).spec().is_ok());
        for (https, path) in [
            (json!({"type": "secret", "secret": null}), "spec.https.secret"),
            (json!({"type": "secret", "secret": {"name": "a", "keyKey": null}}), "spec.https.secret.keyKey"),
            (
                json!({"type": "secret", "secret": {"name": "a"}, "extraSecrets": [{"name": "b", "keyKey": null}]}),
                "spec.https.extraSecrets[0].keyKey",
            ),
            (
                json!({"type": "manual", "manual": {"certSecretRef": {"name": "a", "key": "k"}, "keySecretRef": null}}),
                "spec.https.manual.keySecretRef",
            ),
        ] {
            let error = stored(&json!({"https": https})).spec().unwrap_err();
            assert_eq!(
                (error.path.as_str(), error.message.as_str()),
                (path, "must not be null: remove the line (S48)")
            );
        }
    }

    #[test]
    fn every_secret_of_a_certificate_is_watched() {
        let key = |name: &str| json!({"name": name, "key": "k"});
        for (https, expected) in [
            (json!({"type": "secret", "secret": {"name": "a"}, "extraSecrets": [{"name": "b"}]}), vec!["a", "b"]),
            (
                json!({"type": "manual", "manual": {"certSecretRef": key("a"), "keySecretRef": key("b")}}),
                vec!["a", "b"],
            ),
            (json!({"type": "certManager"}), vec!["h-cert-manager"]),
            (
                json!({"type": "letsencrypt", "letsencrypt": {"serverCaSecretRef": key("a"), "eab": {"secretRef": key("b")}}}),
                vec!["a", "b"],
            ),
            (json!({"type": "selfSigned"}), vec![]),
        ] {
            assert_eq!(stored(&json!({"https": https})).referenced_secrets(), expected, "{https}");
        }
    }
}
