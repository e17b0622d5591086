//! What the tests share: one Hub, written as a person would.

use std::{collections::BTreeMap, sync::Arc};

use hub_crds::report::Report;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

use crate::{
    controller::types::{Found, Images},
    rotation::Rotating,
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
        (Record::rotating("physics", Rotating::CookieSecret, None), Known::default()),
        (Record::rotating("physics", Rotating::ProxyToken, None), Known::default()),
        (Record::login_tokens("physics", vec!["ada".into()]), Known::default()),
    ];
    Found {
        name: "physics".into(),
        namespace: "lab".into(),
        uid: "u-1".into(),
        spec: stored.spec().unwrap(),
        referenced: BTreeMap::from([secret("grace-secret", &json!({"tok": "correct-horse"}))]),
        records,
        requests: Vec::new(),
        report: Report::default(),
        rotation: None,
        now: "2026-01-01T00:00:00Z".parse().unwrap(),
        alive: vec!["u-1".into()],
        claim: None,
        operator_namespace: Some("operators".into()),
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

/// A certificate and its key in PEM, issued by an authority that `chain` has or not.
pub(crate) struct Pair {
    pub(crate) leaf: String,
    pub(crate) intermediate: String,
    pub(crate) root: String,
    pub(crate) key: String,
}

/// A certificate for these names, below an intermediate authority and a root, valid in these years.
pub(crate) fn pair(names: &[&str], years: std::ops::Range<i32>) -> Pair {
    let authority = |name: &str| {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        (params, rcgen::KeyPair::generate().unwrap())
    };
    let (root, root_key) = authority("Root");
    let (intermediate, intermediate_key) = authority("Intermediate");
    let key = rcgen::KeyPair::generate().unwrap();
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut leaf = rcgen::CertificateParams::new(names).unwrap();
    leaf.not_before = rcgen::date_time_ymd(years.start, 1, 1);
    leaf.not_after = rcgen::date_time_ymd(years.end, 1, 1);
    let issuer = rcgen::Issuer::from_params(&intermediate, &intermediate_key);
    Pair {
        leaf: leaf.signed_by(&key, &issuer).unwrap().pem(),
        intermediate: intermediate
            .signed_by(&intermediate_key, &rcgen::Issuer::from_params(&root, &root_key))
            .unwrap()
            .pem(),
        root: root.self_signed(&root_key).unwrap().pem(),
        key: key.serialize_pem(),
    }
}

impl Pair {
    /// Leaf and intermediate.
    pub(crate) fn chain(&self) -> String {
        format!("{}{}", self.leaf, self.intermediate)
    }

    /// As it is read.
    pub(crate) fn read(&self) -> hub_tls::Certificate {
        hub_tls::read(self.chain().as_bytes(), Some(self.key.as_bytes())).unwrap()
    }
}
