//! Servers as pods.
//!
//! ```text
//! start: claim (kept) -> Secret with the token (and the certificate) -> pod -> Secret owned by the pod -> running, with an address
//! stop:  pod -> what is left of the Secret
//! ```
//! Pods that kubespawner made are polled and stopped like those made here; see [`inherited`].
//!
//! [`pod`], [`chosen`], [`merge`], [`slug`], [`restricted`], [`quantity`], [`server_tls`] and [`health`] are pure; the others speak to the API server.

use hub_crds::{
    StorageType, VolumeDeletePolicy,
    config::KubernetesConfig,
    names::{label, label_value},
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim, Pod, Secret};
use kube::{Api, Client, ResourceExt};
use reqwest::ClientBuilder;
use serde_json::Value;
use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::task::AbortOnDropHandle;

use super::{Change, Health, ProgressSender, ServerName, SpawnError, StartRequest, Started};
use crate::internal_tls::{InternalTls, ServerCertificate};

mod chosen;
mod claims;
mod events;
mod front;
mod health;
mod inherited;
mod merge;
pub mod permissions;
mod pod;
mod pods;
mod quantity;
mod restricted;
mod retry;
mod secrets;
mod server_tls;
pub mod slug;
mod start;
#[cfg(test)]
mod tests;
mod view;

use view::View;

/// How long a stop may take, with the pod's own time to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a question about a server waits for the first list of pods.
const LIST_TIMEOUT: Duration = Duration::from_secs(10);

/// Starts servers as pods of one Hub.
pub struct KubernetesSpawner {
    config: KubernetesConfig,
    pods: Api<Pod>,
    claims: Api<PersistentVolumeClaim>,
    secrets: Api<Secret>,
    events: Api<Event>,
    view: Arc<View>,
    /// Pods that kubespawner made.
    inherited: Arc<View>,
    /// With it servers speak TLS.
    tls: Option<InternalTls>,
    _watches: [AbortOnDropHandle<()>; 2],
}

/// Uses the service account of the pod that the hub runs in, or else `KUBECONFIG`.
///
/// # Errors
/// There is neither.
pub async fn connect() -> kube::Result<Client> {
    hub_server::choose_tls_provider();
    Client::try_default().await
}

impl KubernetesSpawner {
    /// Connects as [`connect`] does.
    pub(super) async fn connect(config: KubernetesConfig) -> Result<Self, SpawnError> {
        let client = connect()
            .await
            .map_err(|error| SpawnError::Backend { action: "connect to the API server", source: error.into() })?;
        let tls = config.internal_tls_dir.as_deref().map(InternalTls::load).transpose();
        let tls =
            tls.map_err(|error| SpawnError::Backend { action: "set up TLS with servers", source: error.into() })?;
        Ok(Self { tls, ..Self::new(&client, config) })
    }

    /// Must be called inside a tokio runtime: the watch over the Hub's pods begins here.
    pub fn new(client: &Client, config: KubernetesConfig) -> Self {
        let pods: Api<Pod> = Api::namespaced(client.clone(), &config.namespace);
        let (view, inherited) = (Arc::<View>::default(), Arc::<View>::default());
        let follow = |view: &Arc<View>, selector: String| {
            let (view, pods) = (view.clone(), pods.clone());
            AbortOnDropHandle::new(tokio::spawn(async move { view.follow(pods, &selector).await }))
        };
        let watches = [follow(&view, selector(&config)), follow(&inherited, inherited::selector())];
        Self {
            claims: Api::namespaced(client.clone(), &config.namespace),
            secrets: Api::namespaced(client.clone(), &config.namespace),
            events: Api::namespaced(client.clone(), &config.namespace),
            pods,
            view,
            inherited,
            config,
            tls: None,
            _watches: watches,
        }
    }

    pub(super) async fn start(&self, request: &StartRequest, progress: &ProgressSender) -> Result<Started, SpawnError> {
        let last = start::LastTrouble::default();
        let after = self.start_timeout();
        match timeout(after, start::run(self, request, progress, &last)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(SpawnError::Timeout { after, last: last.take() }),
        }
    }

    pub(super) async fn poll(&self, name: &ServerName, state: &Value) -> Result<Health, SpawnError> {
        let listed = async { tokio::join!(self.view.listed(), self.inherited.listed()) };
        timeout(LIST_TIMEOUT, listed).await.map_err(|_| SpawnError::Backend {
            action: "see the user pods",
            source: anyhow::anyhow!("the API server has not listed them yet"),
        })?;
        let own = self.view.get(&pod::pod_name(name)).filter(|pod| is_of(&self.config, name, &**pod));
        Ok(match own.or_else(|| inherited::find(self, name, state)) {
            Some(pod) => health::health(&pod),
            None => Health::Stopped { reason: "its pod is not there".to_owned() },
        })
    }

    pub(super) async fn stop(&self, name: &ServerName, state: &Value) -> Result<(), SpawnError> {
        let stop = async {
            inherited::remove(self, name, state).await?;
            match pods::remove(self, name, &pod::pod_name(name)).await {
                // Another's pod of that name is no server of ours: there is nothing to stop.
                Err(SpawnError::Refused(_)) | Ok(()) => secrets::remove(self, name, &pod::secret_name(name)).await,
                Err(error) => Err(error),
            }
        };
        timeout(STOP_TIMEOUT, stop).await.unwrap_or_else(|_| {
            let source = anyhow::anyhow!("its pod is still there after {} seconds", STOP_TIMEOUT.as_secs());
            Err(SpawnError::Backend { action: "stop the server", source })
        })
    }

    pub(super) async fn delete_storage(&self, name: &ServerName, state: &Value) -> Result<(), SpawnError> {
        match self.config.singleuser.storage.delete_policy {
            VolumeDeletePolicy::Retain => Ok(()),
            VolumeDeletePolicy::DeleteWithUser => claims::remove(self, &pod::claim_name(name, state)).await,
        }
    }

    pub(super) fn watch(&self, changes: mpsc::UnboundedSender<Change>) {
        self.inherited.subscribe(changes.clone());
        self.view.subscribe(changes);
    }

    /// The home that outlives a pod.
    pub(super) fn home(&self) -> Option<&Path> {
        let storage = &self.config.singleuser.storage;
        (storage.storage_type == StorageType::Dynamic).then_some(Path::new(&storage.home_mount_path))
    }

    /// Name for which the server that runs has its certificate, if it speaks TLS.
    pub(super) fn tls_name(&self, name: &ServerName) -> Option<String> {
        let pod = self.view.get(&pod::pod_name(name))?;
        server_tls::name_in(&pod).map(str::to_owned)
    }

    /// A client to be for the server at this address, if TLS is spoken with servers.
    pub(super) fn tls_client(&self, name: &ServerName, address: SocketAddr) -> Option<ClientBuilder> {
        Some(self.tls.as_ref()?.client(&self.tls_name(name)?, address))
    }

    fn issue(&self, name: &ServerName) -> Result<Option<ServerCertificate>, SpawnError> {
        let issue = |tls: &InternalTls| tls.issue(&server_tls::new_name(&self.config.hub.name, name), Timestamp::now());
        self.tls
            .as_ref()
            .map(issue)
            .transpose()
            .map_err(|error| SpawnError::Backend { action: "issue the server's certificate", source: error.into() })
    }

    pub(super) fn start_timeout(&self) -> Duration {
        Duration::from_secs(self.config.singleuser.start_timeout.into())
    }

    pub(super) fn http_timeout(&self) -> Duration {
        Duration::from_secs(self.config.singleuser.http_timeout.into())
    }
}

/// Finds what this Hub made for its servers, but not their volumes.
fn selector(config: &KubernetesConfig) -> String {
    let hub = &config.hub;
    format!(
        "{}={},{}={},{}={}",
        label::HUB,
        hub.name,
        label::HUB_NAMESPACE,
        hub.namespace,
        label::KUBESPAWNER_COMPONENT,
        label_value::SINGLEUSER_SERVER
    )
}

/// Whether this Hub made an object. Name and namespace, not the UID: a Hub that was deleted and applied again is the same
/// to its users.
fn is_ours(config: &KubernetesConfig, object: &impl ResourceExt) -> bool {
    let labels = object.labels();
    labels.get(label::HUB) == Some(&config.hub.name) && labels.get(label::HUB_NAMESPACE) == Some(&config.hub.namespace)
}

/// Whether this Hub made an object for this server. Names of objects hold 32 bits of a hash, for which whoever chooses
/// their own user name can find another one (CVE-2020-15110); annotations hold the names themselves.
fn is_of(config: &KubernetesConfig, server: &ServerName, object: &impl ResourceExt) -> bool {
    let annotation = |key| object.annotations().get(key).map(String::as_str).unwrap_or_default();
    is_ours(config, object)
        && annotation(label::USERNAME) == server.user
        && annotation(label::SERVERNAME) == server.server
}

/// What the API server says to a person when it refuses an object, such as the words of a quota.
fn refusal(what: &str, error: kube::Error) -> SpawnError {
    match error {
        kube::Error::Api(status) if (400..500).contains(&status.code) => {
            SpawnError::Refused(format!("the cluster refused {what}: {}", status.message))
        }
        error => SpawnError::Backend {
            action: "use the API server",
            source: anyhow::Error::new(error).context(what.to_owned()),
        },
    }
}
