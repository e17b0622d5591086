//! The step that reads: the Secrets that a Hub refers to, its Secrets of record, its claim. In the steady state all of
//! it is in the stores, and nothing is asked.

use hub_crds::{HubSpec, names::child};
use kube::{ResourceExt, runtime::reflector::ObjectRef};

use super::{Context, types::Found};
use crate::{
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
    let had = stored.status().secrets;
    let mut known = Vec::new();
    for record in records(&name, &spec) {
        let seen = Known::look(&context.stores.secrets, &namespace, &record, had.contains(&record.name));
        let sure = seen.be_sure(&context.client, &namespace, &record).await.map_err(Error::Record)?;
        known.push((record, sure));
    }
    let claim = context.stores.claims.get(&ObjectRef::new(&child::database_claim(&name)).within(&namespace));
    let alive = context.stores.hubs.state().iter().map(|hub| hub.uid().to_owned()).collect();
    Ok(Found { uid: stored.uid().to_owned(), name, namespace, spec, referenced, records: known, alive, claim })
}

/// The Secrets of record that a spec asks for: one for each value that it does not refer to.
fn records(hub: &str, spec: &HubSpec) -> Vec<Record> {
    let mut records = Vec::new();
    if spec.security.cookie_secret.secret_ref.is_none() {
        records.push(Record::cookie_secret(hub));
    }
    if spec.security.proxy_auth_token.secret_ref.is_none() {
        records.push(Record::proxy_token(hub));
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
