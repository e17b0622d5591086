//! The step that reads: the Secrets that a Hub refers to, its Secrets of record, its claim. In the steady state all of
//! it is in the stores, and nothing is asked.

use std::{collections::BTreeMap, sync::Arc};

use hub_crds::{
    HttpsType, HubSpec,
    names::child,
    report::{self, Report},
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{ResourceExt, runtime::reflector::ObjectRef};

use super::{Context, types::Found};
use crate::{
    rotation::{Rotating, request::Request},
    secrets::{Known, Record},
    stored::{StoredHub, Unreadable},
};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to read the spec: {0}")]
    Spec(#[from] Unreadable),
    #[error("failed to read the Secrets that the spec refers to: {0}")]
    Secrets(#[source] kube::Error),
    #[error("failed to read a Secret of record: {0}")]
    Record(#[source] kube::Error),
}

/// Reads what the Hub is made from.
pub async fn dereference(context: &Context, stored: &StoredHub) -> Result<Found, Error> {
    let spec = stored.spec()?;
    let (name, namespace) = (stored.name_any(), stored.namespace());
    let names = stored.referenced_secrets();
    let referenced =
        context.stores.referenced.get(&context.client, &namespace, &names).await.map_err(Error::Secrets)?;
    let status = stored.status();
    let had = &status.secrets;
    let mut known = Vec::new();
    for record in records(&name, &spec, &referenced) {
        let seen = Known::look(&context.stores.secrets, &namespace, &record, had.contains(&record.name));
        let sure = seen.be_sure(&context.client, &namespace, &record).await.map_err(Error::Record)?;
        known.push((record, sure));
    }
    let claim = context.stores.claims.get(&ObjectRef::new(&child::database_claim(&name)).within(&namespace));
    let alive = context.stores.hubs.state().iter().map(|hub| hub.uid().to_owned()).collect();
    let report = report(context, &name, &namespace);
    let operator_namespace = context.namespace.clone();
    Ok(Found {
        uid: stored.uid().to_owned(),
        name,
        namespace,
        spec,
        referenced,
        records: known,
        requests: Request::of(&report).into_iter().collect(),
        report,
        rotation: status.rotation,
        now: Timestamp::now(),
        alive,
        claim,
        operator_namespace,
    })
}

/// What the hub says that it has loaded. What cannot be read says nothing.
fn report(context: &Context, hub: &str, namespace: &str) -> Report {
    let found = context.stores.config_maps.get(&ObjectRef::new(&child::report(hub)).within(namespace));
    let text = found.as_ref().and_then(|found| found.data.as_ref()?.get(report::KEY));
    let report = text.map(|text| serde_json::from_str(text)).transpose();
    report
        .unwrap_or_else(|error| {
            tracing::debug!(hub.name = hub, hub.namespace = namespace, %error, "the hub's report cannot be read");
            None
        })
        .unwrap_or_default()
}

/// The Secrets of record that a spec asks for: one for each secret that rotates, with the value that the administrator
/// gives, those for the keys of the Hub's own authorities, and one for tokens of users that have none.
fn records(hub: &str, spec: &HubSpec, referenced: &BTreeMap<String, Arc<Secret>>) -> Vec<Record> {
    let rotating = Rotating::ALL.into_iter().filter_map(|secret| {
        let reference = secret.source(spec)?.secret_ref.as_ref();
        let given = reference.and_then(|reference| referenced.get(&reference.name)?.data.as_ref()?.get(&reference.key));
        Some(Record::rotating(hub, secret, given.cloned()))
    });
    let mut records: Vec<_> = rotating.collect();
    if spec.https.as_ref().is_some_and(|https| https.https_type == HttpsType::SelfSigned) {
        records.push(Record::ca_key(hub));
    }
    if spec.https.as_ref().is_some_and(|https| https.https_type == HttpsType::LetsEncrypt) {
        records.push(Record::acme(hub));
    }
    if spec.security.internal_tls {
        records.push(Record::internal_ca_key(hub));
    }
    if let Some(token) = spec.auth.as_ref().and_then(|auth| auth.token.as_ref()) {
        let generated = token.users.iter().filter(|user| user.token_secret_ref.is_none());
        let users: Vec<_> = generated.map(|user| user.name.clone()).collect();
        if !users.is_empty() {
            records.push(Record::login_tokens(hub, users));
        }
    }
    records
}
