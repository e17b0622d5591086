//! Carries out the steps for Secrets of record, each with what the API server answered to the one before.

use hub_crds::names::SECRET_FINALIZER;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, PostParams, Preconditions},
};

use super::{Holder, Known, Record, Step, is_held, next_step, without_finalizer};

/// More steps than the longest way through the table has.
const MOST_STEPS: usize = 8;

/// Why a Secret of record could not be settled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to {action} Secret {name}: {source}")]
    Request { action: &'static str, name: String, source: kube::Error },
    #[error("failed to settle Secret {name}: it changes under the operator's hands")]
    Restless { name: String },
    #[error("Secret {name} was made by someone else: rename or delete it, or give the Hub another name")]
    Conflict { name: String },
    #[error("Secret {name} is gone and with it the value that this Hub has used: restore it from a backup")]
    Lost { name: String },
}

/// What settling did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Settled {
    pub name: String,
    /// Resource version of the Secret after the last write.
    pub written: Option<String>,
    pub restored: bool,
}

/// Takes one Secret of record to where it should be.
pub async fn settle(
    client: &Client,
    holder: &Holder,
    record: &Record,
    mut known: Known,
    is_alive: impl Fn(&str) -> bool,
) -> Result<Settled, Error> {
    let api = Api::<Secret>::namespaced(client.clone(), &holder.namespace);
    let mut settled = Settled { name: record.name.clone(), ..Settled::default() };
    for _ in 0..MOST_STEPS {
        match next_step(record, holder, &known, &is_alive) {
            Step::Done => return Ok(settled),
            Step::Create(secret) => {
                settled.restored = known.copy.is_some();
                let created = create(&api, &secret).await?;
                settled.written = created.resource_version();
                known.live = Some(created);
            }
            Step::Update(secret) => {
                let updated = replace(&api, "update", &secret).await?;
                settled.written = updated.resource_version();
                known.live = Some(updated);
            }
            Step::Copy(secret) => known.copy = Some(create(&api, &secret).await?),
            Step::Release(secret) => {
                replace(&api, "release", &secret).await?;
                known.live = read(&api, &record.name).await?;
            }
            Step::DropCopy(secret) => {
                delete(&api, &secret).await?;
                known.copy = None;
            }
            Step::Conflict => return Err(Error::Conflict { name: record.name.clone() }),
            // The store may lag behind: only the API server's own word makes it lost.
            Step::Lost => {
                known.live = read(&api, &record.name).await?;
                known.copy = read(&api, &record.copy_name()).await?;
                if known.live.is_none() && known.copy.is_none() {
                    return Err(Error::Lost { name: record.name.clone() });
                }
            }
        }
    }
    Err(Error::Restless { name: record.name.clone() })
}

/// Writes a Secret of record back with other data; refused if it is not as it was seen any more.
pub async fn rewrite(client: &Client, secret: &Secret) -> Result<Secret, Error> {
    let api = Api::<Secret>::namespaced(client.clone(), &secret.namespace().unwrap_or_default());
    replace(&api, "rotate", secret).await
}

/// Lets a Secret of record go: the finalizer goes, and the Secret too if `delete_it`.
pub async fn release(client: &Client, secret: &Secret, delete_it: bool) -> Result<(), Error> {
    let api = Api::<Secret>::namespaced(client.clone(), &secret.namespace().unwrap_or_default());
    if is_held(secret) {
        replace(&api, "release", &without_finalizer(secret)).await?;
    }
    if delete_it && secret.metadata.deletion_timestamp.is_none() {
        let uid = Preconditions { uid: secret.uid(), resource_version: None };
        let parameters = DeleteParams::default().preconditions(uid);
        gone_is_fine(api.delete(&secret.name_any(), &parameters).await.map(|_| ()))
            .map_err(|source| failed("delete", &secret.name_any(), source))?;
    }
    Ok(())
}

/// Releases the dying Secrets of a Hub that does not exist any more, however it went.
pub async fn release_without_hub(client: &Client, secrets: &[std::sync::Arc<Secret>]) -> Result<(), Error> {
    for secret in secrets.iter().filter(|secret| secret.metadata.deletion_timestamp.is_some() && is_held(secret)) {
        tracing::info!(secret.name = secret.name_any(), "released {SECRET_FINALIZER}: its Hub is gone");
        release(client, secret, false).await?;
    }
    Ok(())
}

/// Creates; a Secret of that name that exists already is read instead and judged by the next step.
async fn create(api: &Api<Secret>, secret: &Secret) -> Result<Secret, Error> {
    let name = secret.name_any();
    match api.create(&PostParams::default(), secret).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            read(api, &name).await?.ok_or(Error::Restless { name })
        }
        answer => answer.map_err(|source| failed("create", &name, source)),
    }
}

/// Writes one back. The API server refuses it if it has changed since, or is another of the same name.
async fn replace(api: &Api<Secret>, action: &'static str, secret: &Secret) -> Result<Secret, Error> {
    let name = secret.name_any();
    match api.replace(&name, &PostParams::default(), secret).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(secret.clone()),
        answer => answer.map_err(|source| failed(action, &name, source)),
    }
}

async fn read(api: &Api<Secret>, name: &str) -> Result<Option<Secret>, Error> {
    api.get_opt(name).await.map_err(|source| failed("read", name, source))
}

async fn delete(api: &Api<Secret>, secret: &Secret) -> Result<(), Error> {
    let name = secret.name_any();
    let preconditions = Preconditions { uid: secret.uid(), resource_version: secret.resource_version() };
    let answer = api.delete(&name, &DeleteParams::default().preconditions(preconditions)).await;
    gone_is_fine(answer.map(|_| ())).map_err(|source| failed("delete", &name, source))
}

fn gone_is_fine(answer: Result<(), kube::Error>) -> Result<(), kube::Error> {
    match answer {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        answer => answer,
    }
}

fn failed(action: &'static str, name: &str, source: kube::Error) -> Error {
    Error::Request { action, name: name.to_owned(), source }
}
