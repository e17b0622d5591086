//! The spawner against a real cluster, in a namespace that enforces `restricted`.
//!
//! They run where `HUB_TEST_KUBECONFIG` names a kubeconfig, with the image `HUB_TEST_IMAGE` (any with `/bin/sh` that the
//! nodes have).

use super::*;
use hub_crds::config::HubIdentity;
use k8s_openapi::api::core::v1::{Namespace, ResourceQuota};
use kube::{
    api::{DeleteParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use secrecy::SecretString;
use serde_json::json;
use std::{collections::BTreeMap, env, path::PathBuf};
use tokio::time::sleep;

/// A namespace of a test's own, deleted at its end whatever comes.
struct Place {
    client: Client,
    namespace: String,
}

impl Place {
    /// `None`, with a line that says so, where there is no cluster to try.
    async fn new(test: &str) -> Option<Self> {
        let Some(file) = env::var_os("HUB_TEST_KUBECONFIG").map(PathBuf::from) else {
            println!("skipped: HUB_TEST_KUBECONFIG names no cluster");
            return None;
        };
        let _ = rustls::crypto::ring::default_provider().install_default();
        let kubeconfig = Kubeconfig::read_from(file).unwrap();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        let client = Client::try_from(config).unwrap();
        let namespace = format!("spawner-{test}-{:08x}", rand::random::<u32>());
        let object = serde_json::from_value(json!({"metadata": {
            "name": namespace, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}));
        Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &object.unwrap()).await.unwrap();
        Some(Self { client, namespace })
    }

    fn spawner(&self, hub: &str, singleuser: &Value) -> KubernetesSpawner {
        let image = env::var("HUB_TEST_IMAGE").unwrap_or_else(|_| "docker.io/library/debian:bookworm-slim".to_owned());
        let mut settings = json!({
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "cmd": ["/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"],
            "memory": {"guarantee": "16Mi"},
            "storage": {"type": "none"},
            "startTimeout": 60,
        });
        settings.as_object_mut().unwrap().extend(singleuser.as_object().unwrap().clone());
        let hub = HubIdentity { name: hub.to_owned(), namespace: "hubs".to_owned(), uid: "uid".to_owned() };
        let singleuser = serde_json::from_value(settings).unwrap();
        KubernetesSpawner::new(
            &self.client,
            KubernetesConfig {
                hub,
                report: None,
                namespace: self.namespace.clone(),
                singleuser,
                front: None,
                internal_tls_dir: None,
            },
        )
    }

    async fn end(self) {
        Api::<Namespace>::all(self.client).delete(&self.namespace, &DeleteParams::default()).await.unwrap();
    }
}

fn request(user: &str) -> StartRequest {
    StartRequest {
        name: server(user),
        environment: BTreeMap::new(),
        prefix: format!("/user/{user}/"),
        api_token: SecretString::from("0123456789abcdef0123456789abcdef"),
        user_options: Value::Null,
        overrides: Vec::new(),
        state: Value::Null,
    }
}

fn server(user: &str) -> ServerName {
    ServerName { user: user.to_owned(), server: String::new() }
}

async fn within<T>(seconds: u64, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..seconds * 10 {
        if let Some(found) = look().await {
            return found;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("{what} did not come within {seconds} s");
}

/// Started with progress, seen, found again by a hub that restarts, deleted by someone else, stopped; its volume stays.
#[tokio::test]
async fn a_server_lives_and_leaves_only_its_volume() {
    let Some(place) = Place::new("life").await else { return };
    let storage = json!({"storage": {"type": "dynamic", "capacity": "1Mi", "homeMountPath": "/home/jovyan"}});
    let spawner = place.spawner("jhub", &storage);
    let (changed, mut changes) = mpsc::unbounded_channel();
    spawner.watch(changed);
    let (progress, mut lines) = mpsc::unbounded_channel();
    let started = spawner.start(&request("Alice@example.com"), &progress).await.unwrap();
    let name = server("Alice@example.com");
    assert_eq!(started.address.port(), Some(8888));
    assert_eq!(started.state["pvc_name"], slug::claim_name(&name.user, ""));
    assert!(lines.recv().await.unwrap().raw_event.is_some());

    let running = Health::Running { address: started.address.clone() };
    let restarted = place.spawner("jhub", &storage);
    assert_eq!(restarted.poll(&name, &started.state).await.unwrap(), running);
    assert_eq!(
        restarted.poll(&server("nobody"), &Value::Null).await.unwrap(),
        Health::Stopped { reason: "its pod is not there".to_owned() }
    );
    let pod = spawner.pods.get(&pod::pod_name(&name)).await.unwrap();
    let secret = spawner.secrets.get_metadata(&pod::secret_name(&name)).await.unwrap();
    let owners = secret.metadata.owner_references.unwrap();
    let owners: Vec<_> = owners.iter().map(|owner| Some(owner.uid.as_str())).collect();
    assert_eq!(owners, [pod.metadata.uid.as_deref()]);

    // A start over what runs replaces it.
    let again = restarted.start(&request("Alice@example.com"), &progress).await.unwrap();
    let replaced = spawner.pods.get(&pod::pod_name(&name)).await.unwrap();
    assert_ne!(replaced.metadata.uid, pod.metadata.uid);

    while changes.try_recv().is_ok() {}
    spawner.pods.delete(&pod::pod_name(&name), &DeleteParams::default().grace_period(0)).await.unwrap();
    let change = timeout(Duration::from_secs(10), changes.recv()).await.unwrap().unwrap();
    assert!(matches!(change, Change { health: Health::Stopped { .. }, .. }) && change.name == name, "{change:?}");

    restarted.stop(&name, &again.state).await.unwrap();
    restarted.stop(&name, &again.state).await.unwrap();
    assert!(spawner.pods.get_opt(&pod::pod_name(&name)).await.unwrap().is_none());
    let gone = async || spawner.secrets.get_opt(&pod::secret_name(&name)).await.unwrap().is_none().then_some(());
    within(20, "the end of the Secret", gone).await;
    restarted.delete_storage(&name, &again.state).await.unwrap();
    let claim = pod::claim_name(&name, &Value::Null);
    assert!(spawner.claims.get_opt(&claim).await.unwrap().is_some(), "the policy is to retain it");
    let policy = json!({"storage": {"type": "dynamic", "deletePolicy": "DeleteWithUser"}});
    place.spawner("jhub", &policy).delete_storage(&name, &again.state).await.unwrap();
    let gone = async || spawner.claims.get_opt(&claim).await.unwrap().is_none().then_some(());
    within(20, "the end of the claim", gone).await;
    place.end().await;
}

/// Two Hubs may share a namespace by mistake: neither touches the other's pods, Secrets or volumes.
#[tokio::test]
async fn what_is_another_hubs_is_never_touched() {
    let Some(place) = Place::new("others").await else { return };
    let (first, second) = (place.spawner("first", &json!({})), place.spawner("second", &json!({})));
    let (progress, _lines) = mpsc::unbounded_channel();
    first.start(&request("alice"), &progress).await.unwrap();
    let before = first.pods.get("jupyter-alice").await.unwrap().metadata.uid;

    let error = second.start(&request("alice"), &progress).await.unwrap_err().to_string();
    assert!(error.contains("spec.singleuser.namespace"), "{error}");
    assert!(matches!(second.poll(&server("alice"), &Value::Null).await.unwrap(), Health::Stopped { .. }));
    second.stop(&server("alice"), &Value::Null).await.unwrap();
    assert_eq!(first.pods.get("jupyter-alice").await.unwrap().metadata.uid, before);
    assert!(first.secrets.get_metadata("jupyter-alice-token").await.is_ok());

    let claim = json!({"metadata": {"name": "claim-bob", "labels": {"jupyter.rs/hub": "first"}}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}});
    first.claims.create(&PostParams::default(), &serde_json::from_value(claim).unwrap()).await.unwrap();
    let with_storage = place.spawner("second", &json!({"storage": {"type": "dynamic"}}));
    let error = with_storage.start(&request("bob"), &progress).await.unwrap_err().to_string();
    assert!(error.contains("claim-bob") && error.contains("another Hub"), "{error}");
    first.stop(&server("alice"), &Value::Null).await.unwrap();
    place.end().await;
}

/// A start that is dropped while its pod is pending leaves nothing after a stop, and time running out names the cause.
#[tokio::test]
async fn a_pending_start_can_be_cancelled_and_names_its_trouble() {
    let Some(place) = Place::new("pending").await else { return };
    let spawner = place.spawner("jhub", &json!({"image": "registry.invalid/none:1", "startTimeout": 8}));
    let (progress, _lines) = mpsc::unbounded_channel();
    let cancelled = timeout(Duration::from_secs(2), spawner.start(&request("alice"), &progress)).await;
    assert!(cancelled.is_err());
    assert!(spawner.pods.get_opt("jupyter-alice").await.unwrap().is_some());
    spawner.stop(&server("alice"), &Value::Null).await.unwrap();
    assert!(spawner.pods.get_opt("jupyter-alice").await.unwrap().is_none());

    let error = spawner.start(&request("alice"), &progress).await.unwrap_err();
    let SpawnError::Timeout { last: Some(last), .. } = &error else { panic!("{error}") };
    assert!(last.contains("registry.invalid/none:1"), "{error}");
    spawner.stop(&server("alice"), &Value::Null).await.unwrap();

    let huge = place.spawner("jhub", &json!({"memory": {"guarantee": "1000Ti"}, "startTimeout": 8}));
    let error = huge.start(&request("bob"), &progress).await.unwrap_err().to_string();
    assert!(error.contains("Insufficient memory"), "{error}");
    huge.stop(&server("bob"), &Value::Null).await.unwrap();
    place.end().await;
}

/// What the API server refuses it refuses with reasons: they reach the person who waits.
#[tokio::test]
async fn a_refusal_has_the_clusters_words() {
    let Some(place) = Place::new("refused").await else { return };
    let quota = serde_json::from_value(json!({"metadata": {"name": "no-pods"}, "spec": {"hard": {"pods": "0"}}}));
    let quotas = Api::<ResourceQuota>::namespaced(place.client.clone(), &place.namespace);
    quotas.create(&PostParams::default(), &quota.unwrap()).await.unwrap();
    let (progress, _lines) = mpsc::unbounded_channel();
    let spawner = place.spawner("jhub", &json!({}));
    within(20, "the quota", async || quotas.get("no-pods").await.unwrap().status?.used).await;
    let error = spawner.start(&request("alice"), &progress).await.unwrap_err().to_string();
    assert!(error.contains("exceeded quota: no-pods"), "{error}");
    spawner.stop(&server("alice"), &Value::Null).await.unwrap();
    assert!(spawner.secrets.get_opt("jupyter-alice-token").await.unwrap().is_none());
    place.end().await;
}
