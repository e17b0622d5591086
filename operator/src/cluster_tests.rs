//! The operator against a real API server: the cluster of the kubeconfig that `KUBECONFIG_TEST` names. Without one, or
//! where an operator runs already, these tests say so and end. Nothing needs to be pulled: pods may stay pending.

mod children;
mod crashes;
mod fault;
mod going;
mod https;
mod rotation;
mod secrets;

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Parser;
use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::Namespace},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Config, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    client::ClientBuilder,
    config::{KubeConfigOptions, Kubeconfig},
    runtime::{conditions, wait::await_condition},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use self::fault::{DoHarm, Harm};
use crate::{
    fixtures,
    metrics::Metrics,
    requests::CountRequests,
    run::{RunArgs, control},
    stored::StoredHub,
    watch::Kind,
};

/// How long the operator may go on sending requests.
const COMES_TO_REST: Duration = Duration::from_secs(90);

/// What a test has: a namespace of its own, and an operator that watches it.
struct Lab {
    client: Client,
    namespace: String,
    /// Requests of the operator, not of the test.
    metrics: Arc<Metrics>,
    config: Config,
    namespaces: Vec<String>,
    stop: CancellationToken,
}

/// Runs a test in a lab; its namespaces are removed afterwards.
async fn in_lab<F: Future<Output = ()>>(test: impl FnOnce(Arc<Lab>) -> F) {
    in_lab_with(Harm::new(None), test).await;
}

/// The same with an operator that is harmed. One that is killed has a successor that is not.
async fn in_lab_with<F: Future<Output = ()>>(harm: Arc<Harm>, test: impl FnOnce(Arc<Lab>) -> F) {
    let Some(config) = test_config().await else { return };
    let client = Client::try_from(config.clone()).unwrap();
    install_definition(&client).await;
    let namespace = format!("operator-test-{:08x}", rand::random::<u32>());
    let namespaces = vec![namespace.clone(), format!("{namespace}-users")];
    for name in &namespaces {
        create::<Namespace>(&Api::all(client.clone()), &json!({"metadata": {"name": name}})).await;
    }
    let stop = CancellationToken::new();
    let lab = Arc::new(Lab { client, namespace, metrics: Arc::default(), config, namespaces, stop });
    let operator = tokio::spawn(lab.clone().keep_operator(harm));
    test(lab.clone()).await;
    // Once its Hubs are gone nothing of ours holds the namespaces up, and nobody needs to wait for them.
    let hubs = lab.api::<StoredHub>();
    for hub in hubs.list(&ListParams::default()).await.unwrap() {
        hubs.delete(&hub.name_any(), &DeleteParams::default()).await.unwrap();
    }
    eventually(Duration::from_secs(30), || async { hubs.list(&ListParams::default()).await.unwrap().items.is_empty() })
        .await;
    for name in &lab.namespaces {
        // The test may have removed it.
        let _ = Api::<Namespace>::all(lab.client.clone()).delete(name, &DeleteParams::default()).await;
    }
    lab.stop.cancel();
    operator.await.unwrap().unwrap();
}

async fn test_config() -> Option<Config> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let Ok(path) = std::env::var("KUBECONFIG_TEST") else {
        eprintln!("skipped: KUBECONFIG_TEST names no kubeconfig");
        return None;
    };
    let kubeconfig = Kubeconfig::read_from(path).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    let deployments = Api::<Deployment>::all(Client::try_from(config.clone()).unwrap());
    let operators = ListParams::default().labels("app.kubernetes.io/name=hub-operator");
    if !deployments.list(&operators).await.unwrap().items.is_empty() {
        eprintln!("skipped: an operator runs in this cluster already");
        return None;
    }
    Some(config)
}

async fn install_definition(client: &Client) {
    let api = Api::<CustomResourceDefinition>::all(client.clone());
    let parameters = PatchParams::apply("operator-test").force();
    api.patch("hubs.jupyter.rs", &parameters, &Patch::Apply(hub_crds::crd())).await.unwrap();
    let established = await_condition(api, "hubs.jupyter.rs", conditions::is_crd_established());
    tokio::time::timeout(Duration::from_secs(10), established).await.unwrap().unwrap();
}

impl Lab {
    /// An operator until the lab's end.
    async fn keep_operator(self: Arc<Self>, harm: Arc<Harm>) -> anyhow::Result<()> {
        let operator = self.start_operator(&harm);
        let killed = operator.abort_handle();
        tokio::select! {
            ended = operator => ended?,
            () = harm.crashed.cancelled() => {
                killed.abort();
                self.start_operator(&Harm::new(None)).await?
            }
        }
    }

    fn start_operator(&self, harm: &Arc<Harm>) -> tokio::task::JoinHandle<anyhow::Result<()>> {
        #[derive(Parser)]
        struct Cli {
            #[command(flatten)]
            run: RunArgs,
        }
        let namespaces = self.namespaces.join(",");
        let args = Cli::parse_from(["hub-operator", "--watch-namespaces", &namespaces]).run;
        let client = ClientBuilder::try_from(self.config.clone()).unwrap();
        let client = client.with_layer(&DoHarm(harm.clone())).with_layer(&CountRequests(self.metrics.clone())).build();
        tokio::spawn(control(client, args, self.metrics.clone(), self.stop.child_token()))
    }

    fn api<K: Kind>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Applies the Hub of the fixtures with changes to its spec, in this namespace and without its foreign Secret.
    async fn apply_hub(&self, changes: &Value) {
        let mut hub: Value = serde_yaml::from_str(fixtures::HUB).unwrap();
        hub["metadata"] = json!({"name": "physics", "namespace": self.namespace});
        hub["apiVersion"] = json!("jupyter.rs/v1alpha1");
        hub["kind"] = json!("Hub");
        hub["spec"]["auth"]["token"]["users"] = json!([{"name": "ada", "admin": true}]);
        hub["spec"]["proxy"]["service"] = json!({"type": "ClusterIP"});
        fixtures::merge(&mut hub["spec"], changes);
        let api = self.api::<StoredHub>();
        api.patch("physics", &PatchParams::apply("person").force(), &Patch::Apply(hub)).await.unwrap();
    }

    /// Waits until a condition of the Hub, of its current generation, has this status and reason.
    async fn wait_for(&self, condition: &str, status: &str, reason: &str) -> String {
        let api = self.api::<StoredHub>();
        let mut last = Vec::new();
        let deadline = Instant::now() + Duration::from_secs(15);
        while Instant::now() < deadline {
            let hub = api.get("physics").await.unwrap();
            last = hub.status().conditions;
            if let Some(found) = last.iter().find(|found| found.type_ == condition)
                && (found.status.as_str(), found.reason.as_str()) == (status, reason)
                && found.observed_generation == hub.metadata.generation
            {
                return found.message.clone();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{condition} is not {status}/{reason} but {last:?}");
    }

    /// Waits until the operator has nothing left to do; here pods never become ready.
    async fn wait_until_applied(&self) {
        self.wait_for("SecretsReady", "True", "SecretsPresent").await;
        self.wait_for("Progressing", "True", "RollingOut").await;
        self.quiet().await;
    }

    /// Waits until the operator has sent nothing for a while.
    async fn quiet(&self) {
        self.quiet_for(Duration::from_millis(700)).await;
    }

    async fn quiet_for(&self, period: Duration) {
        let mut before = self.metrics.api_requests();
        let mut since = Instant::now();
        let started = since;
        while since.elapsed() < period {
            assert!(started.elapsed() < COMES_TO_REST, "the operator does not come to rest");
            tokio::time::sleep(Duration::from_millis(50)).await;
            let now = self.metrics.api_requests();
            if now != before {
                (before, since) = (now, Instant::now());
            }
        }
    }

    /// Makes the operator look at the Hub, without a change of what it asks for.
    async fn touch(&self, number: usize) {
        let body = json!({"metadata": {"annotations": {"example.org/touch": number.to_string()}}});
        self.api::<StoredHub>().patch("physics", &PatchParams::default(), &Patch::Merge(body)).await.unwrap();
    }
}

async fn create<K>(api: &Api<K>, object: &Value) -> K
where
    K: kube::Resource + Clone + serde::Serialize + serde::de::DeserializeOwned + Debug,
{
    api.create(&PostParams::default(), &serde_json::from_value(object.clone()).unwrap()).await.unwrap()
}

/// Polls until it is so, and says how long it took.
async fn eventually<F: Future<Output = bool>>(limit: Duration, mut is_so: impl FnMut() -> F) -> Duration {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < limit, "not so after {limit:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    started.elapsed()
}

/// Deletes an object and measures how long its successor takes.
async fn comes_back<K: Kind>(lab: &Lab, name: &str) -> Duration {
    let api = lab.api::<K>();
    let before = api.get(name).await.unwrap().uid();
    api.delete(name, &DeleteParams::background()).await.unwrap();
    eventually(Duration::from_secs(2), || async {
        let found = api.get_opt(name).await.unwrap();
        found.is_some_and(|found| found.uid() != before && found.meta().deletion_timestamp.is_none())
    })
    .await
}

/// The difference of two counts.
fn since(
    before: &BTreeMap<(String, &'static str), u64>,
    after: &BTreeMap<(String, &'static str), u64>,
) -> BTreeMap<(String, &'static str), u64> {
    let difference = after.iter().map(|(key, count)| (key.clone(), count - before.get(key).copied().unwrap_or(0)));
    difference.filter(|(_, count)| *count > 0).collect()
}
