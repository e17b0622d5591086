//! Starting and stopping of servers, seen from the rest of the hub: what is asked of a spawner and what it answers.
//! How it is done is the business of the two spawners below.

use hub_crds::{Overrides, config::KubernetesConfig};
use reqwest::ClientBuilder;
use secrecy::SecretString;
use serde_json::Value;
use std::{collections::BTreeMap, net::SocketAddr, path::Path, time::Duration};
use tokio::sync::mpsc;
use url::Url;

pub mod kubernetes;
pub mod local;

/// A server: whose, and which (`""` is the default one).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerName {
    pub user: String,
    pub server: String,
}

/// All that a spawner needs to start one server.
#[derive(Clone, Debug)]
pub struct StartRequest {
    pub name: ServerName,
    /// `JUPYTERHUB_*` as the protocol has them, without the token and what depends on the place
    /// (`JUPYTERHUB_SERVICE_URL`, resource limits, image).
    pub environment: BTreeMap<String, String>,
    /// Path of the server, such as `/user/alice/`.
    pub prefix: String,
    /// The server's own API token, for `JUPYTERHUB_API_TOKEN` and `JPY_API_TOKEN`.
    pub api_token: SecretString,
    /// Options that the user chose.
    pub user_options: Value,
    /// What they change of the pod, in order: only what the administrator wrote.
    pub overrides: Vec<Overrides>,
    /// The spawner's state of the server's last run: names once used are used again.
    pub state: Value,
}

/// One line of progress, 0 to 99.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    pub percent: u8,
    pub message: String,
    /// The Kubernetes Event behind it, if one is.
    pub raw_event: Option<Value>,
}

/// Where progress goes. A receiver that has gone is no error.
pub type ProgressSender = mpsc::UnboundedSender<Progress>;

/// A server that has an address. It may not answer yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Started {
    /// Scheme, host and port, such as `http://10.244.0.7:8888`; with `https` the server shows [`Spawner::tls_name`].
    pub address: Url,
    /// What [`Spawner::poll`] and [`Spawner::stop`] will need, also after a restart of the hub. JupyterHub's
    /// `spawners.state` column.
    pub state: Value,
}

/// How a server is doing.
#[derive(Clone, Debug, PartialEq)]
pub enum Health {
    Running {
        /// It may have changed: a pod that was moved has another address.
        address: Url,
    },
    /// It is gone, or ended, with words for a person.
    Stopped { reason: String },
    /// It is on its way up.
    Starting,
}

/// A server ended, appeared or moved without being asked to.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub name: ServerName,
    pub health: Health,
}

/// Why a server could not be started, seen or stopped. The text is for the user's progress page.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    #[error("{0}")]
    Refused(String),
    #[error("server did not start within {} seconds{}", .after.as_secs(), .last.as_deref().map(|m| format!(": {m}")).unwrap_or_default())]
    Timeout { after: Duration, last: Option<String> },
    #[error("failed to {action}: {source}")]
    Backend { action: &'static str, source: anyhow::Error },
}

/// The two places where servers run.
pub enum Spawner {
    Kubernetes(Box<kubernetes::KubernetesSpawner>),
    Local(Box<local::LocalSpawner>),
}

impl Spawner {
    /// Servers as pods of the cluster that this hub runs in, or that `KUBECONFIG` names.
    pub async fn kubernetes(config: KubernetesConfig) -> Result<Self, SpawnError> {
        kubernetes::KubernetesSpawner::connect(config).await.map(|spawner| Self::Kubernetes(Box::new(spawner)))
    }

    /// Servers as processes on this machine.
    pub fn local(settings: local::LocalSettings) -> Self {
        Self::Local(Box::new(local::LocalSpawner::new(settings)))
    }

    /// Starts a server and waits until it has an address, for at most its start timeout. A dropped future leaves what
    /// it made behind for [`Self::stop`]. What an earlier hub left half made under the same name is adopted or replaced.
    pub async fn start(&self, request: &StartRequest, progress: &ProgressSender) -> Result<Started, SpawnError> {
        match self {
            Self::Kubernetes(spawner) => spawner.start(request, progress).await,
            Self::Local(spawner) => spawner.start(request, progress).await,
        }
    }

    pub async fn poll(&self, name: &ServerName, state: &Value) -> Result<Health, SpawnError> {
        match self {
            Self::Kubernetes(spawner) => spawner.poll(name, state).await,
            Self::Local(spawner) => spawner.poll(name, state).await,
        }
    }

    /// Ends a server, whatever state it is in, and returns when it is gone. A server that is not there is no error.
    pub async fn stop(&self, name: &ServerName, state: &Value) -> Result<(), SpawnError> {
        match self {
            Self::Kubernetes(spawner) => spawner.stop(name, state).await,
            Self::Local(spawner) => spawner.stop(name, state).await,
        }
    }

    /// Called when a user or a named server is deleted: removes the volume if the policy says so.
    pub async fn delete_storage(&self, name: &ServerName, state: &Value) -> Result<(), SpawnError> {
        match self {
            Self::Kubernetes(spawner) => spawner.delete_storage(name, state).await,
            Self::Local(_) => Ok(()),
        }
    }

    /// Servers that end, move or come up unasked, for as long as the receiver lives.
    pub fn watch(&self, changes: mpsc::UnboundedSender<Change>) {
        match self {
            Self::Kubernetes(spawner) => spawner.watch(changes),
            Self::Local(spawner) => spawner.watch(changes),
        }
    }

    /// How long a server has to get an address.
    pub fn start_timeout(&self) -> Duration {
        match self {
            Self::Kubernetes(spawner) => spawner.start_timeout(),
            Self::Local(spawner) => spawner.start_timeout(),
        }
    }

    /// How long a server has to answer HTTP once it has an address.
    pub fn http_timeout(&self) -> Duration {
        match self {
            Self::Kubernetes(spawner) => spawner.http_timeout(),
            Self::Local(spawner) => spawner.http_timeout(),
        }
    }

    /// Name that the server shows by TLS, at an address that begins with `https`. Who has that address may change.
    pub fn tls_name(&self, name: &ServerName) -> Option<String> {
        match self {
            Self::Kubernetes(spawner) => spawner.tls_name(name),
            Self::Local(_) => None,
        }
    }

    /// A client to be that finds the server of this name at this address by TLS; `None` if TLS is not spoken with servers.
    pub fn tls_client(&self, name: &ServerName, address: SocketAddr) -> Option<ClientBuilder> {
        match self {
            Self::Kubernetes(spawner) => spawner.tls_client(name, address),
            Self::Local(_) => None,
        }
    }

    /// Where the files of a server are, in its own view.
    pub fn home(&self) -> Option<&Path> {
        match self {
            Self::Kubernetes(spawner) => spawner.home(),
            Self::Local(spawner) => spawner.root_dir(),
        }
    }

    /// Class and version for `GET /hub/api/info`.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Kubernetes(_) => "kubernetes",
            Self::Local(_) => "local",
        }
    }
}
