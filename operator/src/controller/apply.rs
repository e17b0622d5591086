//! The step that writes children. What is already as desired is not touched; the rest is applied server-side in order,
//! and only when all of it succeeded is removed what is no longer wanted.

use std::{collections::BTreeSet, marker::PhantomData, time::Duration};

use hub_crds::names::{FIELD_MANAGER, child};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
    runtime::reflector::{ObjectRef, Store},
};
use serde::Serialize;

use super::{
    Context, compare,
    types::{Applied, Prepared, Resources, ValidatedHub},
};
use crate::{
    events::Change,
    secrets::{self, Known},
    stores::{belongs_to, owned},
    watch::Kind,
};

/// How long a write may take to come back through its watch before the reconcile goes on without.
const ECHO: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Secret(#[from] secrets::Error),
    #[error("failed to read {kind} {name}: {source}")]
    Read { kind: String, name: String, source: kube::Error },
    #[error("failed to apply {kind} {name}: {source}")]
    Apply { kind: String, name: String, source: kube::Error },
    #[error("failed to delete {kind} {name}: {source}")]
    Delete { kind: String, name: String, source: kube::Error },
    #[error("{kind} {name} exists and was not made for this Hub: delete or rename it, or give the Hub another name")]
    Conflict { kind: String, name: String },
}

impl Error {
    /// The API server's own answer, if that is what went wrong.
    pub fn api_status(&self) -> Option<&kube::core::Status> {
        let source = match self {
            Self::Secret(secrets::Error::Request { source, .. })
            | Self::Read { source, .. }
            | Self::Apply { source, .. }
            | Self::Delete { source, .. } => source,
            Self::Secret(_) | Self::Conflict { .. } => return None,
        };
        match source {
            kube::Error::Api(status) => Some(status),
            _ => None,
        }
    }
}

/// Makes the cluster have what was built, and returns it as the cluster has it, with what was done.
pub async fn apply(
    context: &Context,
    hub: &ValidatedHub,
    prepared: Resources<Prepared>,
) -> Result<(Resources<Applied>, Vec<Change>), Error> {
    let mut applier = Applier { context, hub, changes: Vec::new(), echoes: Vec::new() };
    if !hub.paused {
        applier.settle_secrets().await?;
    }
    // Every field is named: a kind that nobody applies does not compile.
    let Resources {
        service_accounts,
        roles,
        role_bindings,
        config_maps,
        secrets,
        claims,
        services,
        ingresses,
        network_policies,
        disruption_budgets,
        deployments,
        state: PhantomData,
    } = prepared;
    let stores = &context.stores;
    let applied = Resources {
        service_accounts: applier.all(&stores.service_accounts, service_accounts).await?,
        roles: applier.all(&stores.roles, roles).await?,
        role_bindings: applier.all(&stores.role_bindings, role_bindings).await?,
        config_maps: applier.all(&stores.config_maps, config_maps).await?,
        secrets: applier.all(&stores.secrets, secrets).await?,
        claims: applier.all(&stores.claims, claims).await?,
        services: applier.all(&stores.services, services).await?,
        ingresses: applier.all(&stores.ingresses, ingresses).await?,
        network_policies: applier.all(&stores.network_policies, network_policies).await?,
        disruption_budgets: applier.all(&stores.disruption_budgets, disruption_budgets).await?,
        deployments: applier.all(&stores.deployments, deployments).await?,
        state: PhantomData,
    };
    if !hub.paused {
        applier.delete_orphans(&applied).await?;
    }
    applier.hear_echoes().await;
    Ok((applied, applier.changes))
}

struct Applier<'a> {
    context: &'a Context,
    hub: &'a ValidatedHub,
    changes: Vec<Change>,
    /// For each write, whether its watch has shown it. The next reconcile must not see an older state than this one.
    echoes: Vec<Box<dyn Fn() -> bool + Send + Sync + 'a>>,
}

impl<'a> Applier<'a> {
    async fn settle_secrets(&mut self) -> Result<(), Error> {
        let holder = self.hub.holder();
        let stores = &self.context.stores;
        for record in &self.hub.records {
            let known = Known::look(&stores.secrets, &self.hub.namespace, record, false);
            let is_alive = |uid: &str| stores.hubs.find(|hub| hub.uid() == uid).is_some();
            let had = known.live.is_some() || known.copy.is_some();
            let settled = secrets::settle(&self.context.client, &holder, record, known, is_alive).await?;
            let name = settled.name.clone();
            if let Some(version) = settled.written {
                self.changes.push(match (settled.restored, had) {
                    (true, _) => Change::restored("Secret", &name),
                    (false, false) => Change::created("Secret", &name),
                    (false, true) => Change::updated("Secret", &name),
                });
                self.expect_echo(&stores.secrets, ObjectRef::new(&name).within(&holder.namespace), version);
            }
        }
        Ok(())
    }

    async fn all<K: Kind + Serialize>(&mut self, store: &'a Store<K>, desired: Vec<K>) -> Result<Vec<K>, Error> {
        let mut applied = Vec::with_capacity(desired.len());
        for object in desired {
            applied.push(self.one(store, object).await?);
        }
        Ok(applied)
    }

    async fn one<K: Kind + Serialize>(&mut self, store: &'a Store<K>, desired: K) -> Result<K, Error> {
        let key = ObjectRef::from_obj(&desired);
        let live = store.get(&key);
        if let Some(live) = &live {
            let is_ours = belongs_to(&**live, &self.hub.name, &self.hub.namespace);
            if !is_ours {
                return Err(conflict(&desired));
            }
            if is_satisfied(&**live, &desired) {
                return Ok((**live).clone());
            }
        }
        if self.hub.paused {
            return Ok(live.map_or(desired, |live| (*live).clone()));
        }
        if live.is_none() {
            self.refuse_foreign(&desired).await?;
        }
        let name = desired.name_any();
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let applied = self
            .api(&desired)
            .patch(&name, &parameters, &Patch::Apply(&desired))
            .await
            .map_err(|source| Error::Apply { kind: kind(&desired), name: name.clone(), source })?;
        self.changes.push(match live {
            None => Change::created(&kind(&desired), &name),
            Some(_) => Change::updated(&kind(&desired), &name),
        });
        self.expect_echo(store, key, applied.resource_version().unwrap_or_default());
        Ok(applied)
    }

    /// Applying would take an object of that name over; one that the stores do not know may be somebody else's.
    async fn refuse_foreign<K: Kind>(&self, desired: &K) -> Result<(), Error> {
        let name = desired.name_any();
        let found = self.api(desired).get_metadata_opt(&name).await;
        match found.map_err(|source| Error::Read { kind: kind(desired), name, source })? {
            Some(found) if !belongs_to(&found, &self.hub.name, &self.hub.namespace) => Err(conflict(desired)),
            _ => Ok(()),
        }
    }

    /// Removes what carries our labels and is not desired any more. Volumes and Secrets of record are never among it.
    async fn delete_orphans(&mut self, applied: &Resources<Applied>) -> Result<(), Error> {
        let stores = &self.context.stores;
        self.orphans(&stores.deployments, &applied.deployments).await?;
        self.orphans(&stores.disruption_budgets, &applied.disruption_budgets).await?;
        self.orphans(&stores.network_policies, &applied.network_policies).await?;
        self.orphans(&stores.ingresses, &applied.ingresses).await?;
        self.orphans(&stores.services, &applied.services).await?;
        self.orphans(&stores.config_maps, &applied.config_maps).await?;
        self.orphan_secrets(&applied.secrets).await?;
        self.orphans(&stores.role_bindings, &applied.role_bindings).await?;
        self.orphans(&stores.roles, &applied.roles).await?;
        self.orphans(&stores.service_accounts, &applied.service_accounts).await
    }

    async fn orphans<K: Kind>(&mut self, store: &Store<K>, wanted: &[K]) -> Result<(), Error> {
        let wanted: BTreeSet<_> = wanted.iter().map(|object| (object.namespace(), object.name_any())).collect();
        for object in owned(store, &self.hub.name, &self.hub.namespace) {
            if !wanted.contains(&(object.namespace(), object.name_any())) {
                self.remove(&*object).await?;
            }
        }
        Ok(())
    }

    /// Deletes a child that is not going already.
    async fn remove<K: Kind>(&mut self, object: &K) -> Result<(), Error> {
        if object.meta().deletion_timestamp.is_none() {
            delete(&self.api(object), object).await?;
            self.changes.push(Change::deleted(&kind(object), &object.name_any()));
        }
        Ok(())
    }

    /// Of all Secrets with our labels those that are made from others are the only ones that may be removed.
    async fn orphan_secrets(&mut self, wanted: &[Secret]) -> Result<(), Error> {
        for name in [child::login_urls, child::tls, child::internal_tls].map(|name| name(&self.hub.name)) {
            let key = ObjectRef::new(&name).within(&self.hub.namespace);
            let is_wanted = wanted.iter().any(|secret| secret.name_any() == name);
            let found = self.context.stores.secrets.get(&key).filter(|_| !is_wanted);
            if let Some(secret) = found.filter(|secret| belongs_to(&**secret, &self.hub.name, &self.hub.namespace)) {
                self.remove(&*secret).await?;
            }
        }
        Ok(())
    }

    fn api<K: Kind>(&self, object: &K) -> Api<K> {
        Api::namespaced(self.context.client.clone(), &object.namespace().unwrap_or_default())
    }

    fn expect_echo<K: Kind>(&mut self, store: &'a Store<K>, key: ObjectRef<K>, version: String) {
        self.echoes.push(Box::new(move || store.get(&key).is_some_and(|seen| is_as_new(&*seen, &version))));
    }

    async fn hear_echoes(&mut self) {
        let echoes = std::mem::take(&mut self.echoes);
        hear(|| echoes.iter().all(|has_come| has_come())).await;
    }
}

/// Waits until the watches have shown what was written, or for a moment.
pub async fn hear(has_come: impl Fn() -> bool) {
    let wait = async {
        while !has_come() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    if tokio::time::timeout(ECHO, wait).await.is_err() {
        tracing::debug!("a write has not come back through its watch yet");
    }
}

/// Whether an object is at least of this version.
pub fn is_as_new(object: &impl Resource, version: &str) -> bool {
    let Some(seen) = &object.meta().resource_version else { return false };
    match (seen.parse::<u64>(), version.parse::<u64>()) {
        (Ok(seen), Ok(version)) => seen >= version,
        _ => seen == version,
    }
}

/// Deletes exactly the object that was seen: one that was made anew or changed since is left alone.
pub async fn delete<K: Kind>(api: &Api<K>, object: &K) -> Result<(), Error> {
    let preconditions = Preconditions { uid: object.uid(), resource_version: object.resource_version() };
    match api.delete(&object.name_any(), &DeleteParams::background().preconditions(preconditions)).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(source) => Err(Error::Delete { kind: kind(object), name: object.name_any(), source }),
        Ok(_) => Ok(()),
    }
}

/// Whether applying `desired` would change nothing of `live`.
pub fn is_satisfied<K: Serialize>(live: &K, desired: &K) -> bool {
    match (serde_json::to_value(live), serde_json::to_value(desired)) {
        (Ok(live), Ok(desired)) => compare::is_satisfied(&live, &desired),
        _ => false,
    }
}

fn conflict<K: Kind>(object: &K) -> Error {
    Error::Conflict { kind: kind(object), name: object.name_any() }
}

fn kind<K: Kind>(_: &K) -> String {
    K::kind(&()).into_owned()
}
