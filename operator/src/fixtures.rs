//! What the tests share: one Hub, written as a person would.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

use crate::{
    controller::types::{Found, Images},
    secrets::{Known, Record},
    stored::StoredHub,
};

/// The name of the Hub differs from every product's and component's, so that swapped labels show.
pub(crate) const HUB: &str = r"
metadata: { name: physics, namespace: lab, uid: u-1, generation: 3, resourceVersion: '100' }
spec:
  baseUrl: /jupyter/
  https: { type: none, allowInsecure: true }
  auth:
    token:
      users: [{ name: ada, admin: true }, { name: grace, tokenSecretRef: { name: grace-secret, key: tok } }]
  proxy:
    service: { type: NodePort, nodePorts: { http: 30080 } }
  singleuser: { image: 'example.org/lab:1' }
";

pub(crate) fn images() -> Images {
    Images { hub: "hub:1".into(), hub_proxy: "hub-proxy:1".into(), configurable_http_proxy: "chp:5".into() }
}

/// The Hub of [`HUB`] with `changes` merged over its spec.
pub(crate) fn stored(changes: &Value) -> StoredHub {
    let mut hub: Value = serde_yaml::from_str(HUB).unwrap();
    merge(&mut hub["spec"], changes);
    serde_json::from_value(hub).unwrap()
}

/// What is found for it when all is well and nothing was made yet.
pub(crate) fn found(changes: &Value) -> Found {
    let stored = stored(changes);
    let records = vec![
        (Record::cookie_secret("physics"), Known::default()),
        (Record::proxy_token("physics"), Known::default()),
        (Record::login_tokens("physics", vec!["ada".into()]), Known::default()),
    ];
    Found {
        name: "physics".into(),
        namespace: "lab".into(),
        uid: "u-1".into(),
        spec: stored.spec().unwrap(),
        referenced: BTreeMap::from([secret("grace-secret", &json!({"tok": "correct-horse"}))]),
        records,
        alive: vec!["u-1".into()],
        claim: None,
    }
}

/// A Secret of somebody's, by name.
pub(crate) fn secret(name: &str, values: &Value) -> (String, Arc<Secret>) {
    let data = values
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| (key.clone(), k8s_openapi::ByteString(value.as_str().unwrap().as_bytes().to_vec())));
    let mut secret = Secret { data: Some(data.collect()), ..Secret::default() };
    secret.metadata.name = Some(name.to_owned());
    (name.to_owned(), Arc::new(secret))
}

/// JSON merge patch, as RFC 7386 has it.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut target[key], value);
        }
    }
}
