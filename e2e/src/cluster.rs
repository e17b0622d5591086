//! What a test is given: a cluster with the operator in it, and the ways to it.

use std::{
    fmt::Debug,
    future::Future,
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Config, Resource, ResourceExt,
    api::{DeleteParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    runtime::wait::{self, Condition},
};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    diagnosis,
    images::Images,
    kind::Kind,
    peers::Peers,
    places::Places,
    program::{Program, which},
};

/// Namespace of the operator.
pub const OPERATOR_NAMESPACE: &str = "hub-system";
/// Namespace of the example Hub.
pub const NAMESPACE: &str = "jupyter";
/// Name of the example Hub, and of the Helm release that renders it.
pub const HUB: &str = "jhub";

/// A cluster with the charts' custom resource and operator, and the example Hub.
#[derive(Clone)]
pub struct Cluster {
    pub client: Client,
    /// The example Hub's address on this host, without a slash at its end.
    pub base_url: String,
    /// The images that the cluster has.
    pub images: Images,
    pub(crate) places: Places,
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
    kind: Option<Kind>,
    peers: Option<Peers>,
    measured: Arc<Mutex<Vec<(String, String)>>>,
}

impl Cluster {
    /// A kind cluster whose node's HTTP port is on a port of this host.
    pub(crate) async fn of_kind(kind: Kind, port: u16, images: Images) -> Result<Self> {
        let file = kind.kubeconfig();
        let kubeconfig = Kubeconfig::read_from(&file).with_context(|| format!("failed to read {}", file.display()))?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Ok(Self {
            client: Client::try_from(config)?,
            base_url: format!("http://127.0.0.1:{port}"),
            images,
            places: kind.places.clone(),
            kubeconfig: Some(file),
            context: None,
            kind: Some(kind),
            peers: None,
            measured: Arc::default(),
        })
    }

    /// A cluster of the user's own, by a context of their kubeconfig. Its address is that of a port that they forward.
    pub(crate) async fn of_context(places: &Places, context: &str, images: Images) -> Result<Self> {
        let options = KubeConfigOptions { context: Some(context.to_owned()), ..KubeConfigOptions::default() };
        let config = Config::from_kubeconfig(&options)
            .await
            .with_context(|| format!("failed to use context {context}; `kubectl config get-contexts` lists them"))?;
        Ok(Self {
            client: Client::try_from(config)?,
            base_url: "http://127.0.0.1:8080".to_owned(),
            images,
            places: places.clone(),
            kubeconfig: None,
            context: Some(context.to_owned()),
            kind: None,
            peers: None,
            measured: Arc::default(),
        })
    }

    /// The same cluster, in which there are the images of others' programs too.
    pub(crate) fn with_peers(self, peers: Peers) -> Self {
        Self { peers: Some(peers), ..self }
    }

    /// The images of others' programs.
    pub fn peers(&self) -> Result<&Peers> {
        self.peers.as_ref().context("this cluster has no images of others' programs")
    }

    /// Whether the node's ports reach this host by themselves.
    pub(crate) fn is_on_this_host(&self) -> bool {
        self.kind.is_some()
    }

    /// What a person types before `kubectl` is there and means this cluster.
    pub(crate) fn kubeconfig_hint(&self) -> String {
        let hint = match (&self.kubeconfig, &self.context) {
            (Some(file), _) => format!("export KUBECONFIG={}", file.display()),
            (None, Some(context)) => format!("kubectl config use-context {context}"),
            (None, None) => String::new(),
        };
        match which("kubectl") {
            Some(_) => hint,
            None => format!("export PATH=$PATH:{}\n  {hint}", self.places.cache.join("bin").display()),
        }
    }

    /// Runs `kubectl ARGS`; gives its standard output.
    pub async fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.pointed(Program::new(self.places.bin("kubectl")), "--context").args(args).output().await
    }

    /// The same for a program that prints no text.
    pub async fn kubectl_bytes(&self, args: &[&str]) -> Result<Vec<u8>> {
        self.pointed(Program::new(self.places.bin("kubectl")), "--context").args(args).bytes().await
    }

    /// Runs `kubectl ARGS` with something on its standard input, as for `apply -f -`.
    pub async fn kubectl_with(&self, args: &[&str], input: impl Into<Vec<u8>>) -> Result<String> {
        self.pointed(Program::new(self.places.bin("kubectl")), "--context").args(args).input(input).output().await
    }

    /// Runs `helm ARGS`; gives its standard output.
    pub async fn helm(&self, args: &[&str]) -> Result<String> {
        self.pointed(Program::new(self.places.bin("helm")), "--kube-context").args(args).output().await
    }

    fn pointed(&self, mut program: Program, context_flag: &str) -> Program {
        if let Some(file) = &self.kubeconfig {
            program = program.env("KUBECONFIG", file);
        }
        match &self.context {
            Some(context) => program.args([context_flag, context]),
            None => program,
        }
    }

    /// Objects of one kind in a namespace.
    pub fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<Scope = kube::core::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// The address, from this host, of a NodePort of the cluster: for Hubs other than the example.
    pub async fn node_address(&self, node_port: u16) -> Result<String> {
        let kind = self.kind.as_ref().context("node addresses are known of kind clusters only")?;
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}";
        let addresses = kind.docker.output(["inspect", "--format", format, &kind.node()]).await?;
        let address = addresses.split_whitespace().next().context("the node has no address")?;
        Ok(format!("{address}:{node_port}"))
    }

    /// An address of this host that pods reach.
    pub(crate) async fn host_address(&self) -> Result<IpAddr> {
        let kind = self.kind.as_ref().context("this host's address is known to kind clusters only")?;
        let format = "{{range .NetworkSettings.Networks}}{{.Gateway}} {{end}}";
        let addresses = kind.docker.output(["inspect", "--format", format, &kind.node()]).await?;
        Ok(addresses.split_whitespace().next().context("the node has no gateway")?.parse()?)
    }

    /// Runs a test in a namespace of its own, where the Pod Security Standard `restricted` is enforced, and deletes the
    /// namespace. If the test fails the namespace's state is printed first.
    pub async fn with_temp_ns<T>(&self, prefix: &str, test: impl AsyncFnOnce(&str) -> Result<T>) -> Result<T> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let namespace: Namespace = serde_json::from_value(json!({
            "metadata": {
                "generateName": format!("e2e-{prefix}-"),
                "labels": {"pod-security.kubernetes.io/enforce": "restricted", "hub-e2e": "temporary"},
            },
        }))?;
        let name = namespaces
            .create(&PostParams::default(), &namespace)
            .await
            .context("failed to make a namespace")?
            .name_any();
        let result = test(&name).await;
        if result.is_err() {
            eprintln!("{}", diagnosis::of_namespaces(self, &[&name]).await);
        }
        namespaces
            .delete(&name, &DeleteParams::default())
            .await
            .with_context(|| format!("failed to delete namespace {name}"))?;
        result
    }

    /// Waits, by a watch, until an object meets a condition. `what` completes the sentence "waited N s for ...".
    pub async fn await_condition<K>(
        &self,
        api: &Api<K>,
        name: &str,
        what: &str,
        limit: Duration,
        condition: impl Condition<K>,
    ) -> Result<Option<K>>
    where
        K: Resource + Clone + Debug + Send + DeserializeOwned + 'static,
    {
        match timeout(limit, wait::await_condition(api.clone(), name, condition)).await {
            Ok(met) => Ok(met.with_context(|| format!("failed to watch {name} for {what}"))?),
            Err(_) => bail!("waited {} s for {what}: {name}", limit.as_secs()),
        }
    }

    /// Asks again and again until there is an answer, for what cannot be watched. The last error says why there was none.
    pub async fn eventually<T, F>(&self, what: &str, limit: Duration, mut question: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let end = Instant::now() + limit;
        loop {
            let error = match timeout(limit, question()).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => error,
                Err(_) => anyhow!("the last try did not end"),
            };
            if Instant::now() > end {
                return Err(error.context(format!("waited {} s for {what}", limit.as_secs())));
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// A number for the report at the end of the run, such as `("apply to Ready", "8.2 s")`.
    pub fn measured(&self, what: &str, value: impl Into<String>) {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner).push((what.to_owned(), value.into()));
    }

    pub(crate) fn measurements(&self) -> Vec<(String, String)> {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The directory for screenshots and logs that a run leaves, `e2e/output`.
    pub fn output(&self) -> Result<PathBuf> {
        self.places.output()
    }

    /// The checkout's root, for charts and manifests.
    pub fn repository(&self) -> &std::path::Path {
        &self.places.repository
    }
}
