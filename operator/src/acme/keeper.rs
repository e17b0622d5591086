//! Where the state of ACME is kept: a Secret of record, which others make and restore.

use hub_crds::names::{child, label};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt, api::PostParams};

use super::{
    solver::LIVE,
    state::{self, Data},
};
use crate::stores::belongs_to;

/// Keeps the state of one Hub.
pub trait Keeper {
    type Error: std::error::Error;

    /// The newest there is; nothing if there is no Secret now.
    fn read(&mut self) -> impl Future<Output = Result<Option<Data>, Self::Error>> + Send;

    /// Writes over what was read last; false if somebody else has written since.
    fn write(&mut self, data: Data) -> impl Future<Output = Result<bool, Self::Error>> + Send;
}

/// Why the Secret could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("failed to {action} Secret {name}: {source}")]
pub struct Error {
    pub action: &'static str,
    pub name: String,
    pub source: kube::Error,
}

/// Keeps it in the Secret of record [`child::acme`].
pub struct SecretKeeper {
    api: Api<Secret>,
    hub: String,
    namespace: String,
    secret: Option<Secret>,
}

impl SecretKeeper {
    pub fn new(client: &Client, namespace: &str, hub: &str) -> Self {
        let api = Api::namespaced(client.clone(), namespace);
        Self { api, hub: hub.to_owned(), namespace: namespace.to_owned(), secret: None }
    }

    fn failed(&self, action: &'static str, source: kube::Error) -> Error {
        Error { action, name: child::acme(&self.hub), source }
    }
}

impl Keeper for SecretKeeper {
    type Error = Error;

    async fn read(&mut self) -> Result<Option<Data>, Error> {
        let found = self.api.get_opt(&child::acme(&self.hub)).await.map_err(|source| self.failed("read", source))?;
        // A dying one is about to be made anew.
        self.secret = found.filter(|secret| {
            secret.metadata.deletion_timestamp.is_none() && belongs_to(secret, &self.hub, &self.namespace)
        });
        Ok(self.secret.as_ref().map(|secret| secret.data.clone().unwrap_or_default()))
    }

    async fn write(&mut self, data: Data) -> Result<bool, Error> {
        let Some(secret) = &mut self.secret else { return Ok(false) };
        mark(secret, !state::challenges(&data).is_empty());
        secret.data = Some(data);
        match self.api.replace(&secret.name_any(), &PostParams::default(), secret).await {
            Ok(written) => {
                self.secret = Some(written);
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => Ok(false),
            Err(source) => Err(self.failed("update", source)),
        }
    }
}

/// Lets the solvers see it, or not.
fn mark(secret: &mut Secret, is_live: bool) {
    if is_live {
        secret.labels_mut().insert(label::ACME.to_owned(), LIVE.to_owned());
    } else {
        secret.labels_mut().remove(label::ACME);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solvers_see_a_secret_only_while_it_has_challenges() {
        let mut secret = Secret::default();
        mark(&mut secret, true);
        assert_eq!(secret.labels().get(label::ACME).map(String::as_str), Some(LIVE));
        mark(&mut secret, false);
        assert!(secret.labels().is_empty());
    }
}
