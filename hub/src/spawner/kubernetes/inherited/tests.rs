//! The spawner against an API server in memory that has what kubespawner made.

use axum::{
    Json, Router,
    body::Body,
    extract::{Query, State},
    http::{Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use hub_crds::config::{HubIdentity, KubernetesConfig};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Client;
use secrecy::SecretString;
use serde_json::json;
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};
use tokio::sync::mpsc;

use super::*;
use crate::spawner::{Health, kubernetes::is_ours};

/// Objects by their paths.
type Objects = Arc<Mutex<BTreeMap<String, Value>>>;

const NAMESPACE: &str = "/api/v1/namespaces/users";

/// Lists by label, reads, creates and deletes. A watch never tells anything; whoever is created runs at once.
async fn api(
    State(objects): State<Objects>,
    method: Method,
    uri: Uri,
    Query(query): Query<BTreeMap<String, String>>,
    body: String,
) -> Response {
    let path = uri.path().to_owned();
    let mut objects = objects.lock().unwrap_or_else(PoisonError::into_inner);
    let is_list = ["/pods", "/persistentvolumeclaims", "/secrets", "/events"].iter().any(|kind| path.ends_with(kind));
    if query.get("watch").is_some_and(|watch| watch == "true" || watch == "1") {
        return Body::from_stream(futures::stream::pending::<Result<String, std::io::Error>>()).into_response();
    }
    match method {
        Method::GET if is_list => {
            let selector = query.get("labelSelector").cloned().unwrap_or_default();
            let is_in = |(at, object): &(&String, &Value)| at.starts_with(&path) && selects(&selector, object);
            let items: Vec<_> = objects.iter().filter(is_in).map(|(_, object)| object.clone()).collect();
            Json(json!({"metadata": {"resourceVersion": "1"}, "items": items})).into_response()
        }
        Method::POST => {
            let object: Value = serde_json::from_str(&body).unwrap();
            objects.insert(format!("{path}/{}", object["metadata"]["name"].as_str().unwrap()), object.clone());
            Json(object).into_response()
        }
        Method::DELETE => answer(objects.remove(&path)),
        _ => answer(objects.get(&path).cloned()),
    }
}

fn answer(object: Option<Value>) -> Response {
    let missing = json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "message": "", "code": 404});
    match object {
        Some(object) => Json(object).into_response(),
        None => (StatusCode::NOT_FOUND, Json(missing)).into_response(),
    }
}

fn selects(selector: &str, object: &Value) -> bool {
    let label = |key: &str| object["metadata"]["labels"].get(key).and_then(Value::as_str);
    selector.split(',').filter(|term| !term.is_empty()).all(|term| {
        match (term.strip_prefix('!'), term.split_once('=')) {
            (Some(key), _) => label(key).is_none(),
            (None, Some((key, value))) => label(key) == Some(value),
            (None, None) => label(term).is_some(),
        }
    })
}

struct Cluster(Objects);

impl Cluster {
    fn new(objects: impl IntoIterator<Item = (&'static str, Value)>) -> Self {
        let at = |(kind, object): (&str, Value)| {
            (format!("{NAMESPACE}/{kind}/{}", object["metadata"]["name"].as_str().unwrap()), object)
        };
        Self(Arc::new(Mutex::new(objects.into_iter().map(at).collect())))
    }

    fn spawner(&self) -> KubernetesSpawner {
        let hub = HubIdentity { name: "jhub".to_owned(), namespace: "hubs".to_owned(), uid: "uid".to_owned() };
        let config = KubernetesConfig {
            hub,
            report: None,
            namespace: "users".to_owned(),
            singleuser: serde_json::from_value(json!({})).unwrap(),
            front: None,
            internal_tls_dir: None,
        };
        let router = Router::new().fallback(api).with_state(self.0.clone());
        KubernetesSpawner::new(&Client::new(router, "users"), config)
    }

    fn has(&self, kind: &str, name: &str) -> bool {
        self.0.lock().unwrap().contains_key(&format!("{NAMESPACE}/{kind}/{name}"))
    }
}

fn server(user: &str) -> ServerName {
    ServerName { user: user.to_owned(), server: String::new() }
}

/// As kubespawner in zero-to-jupyterhub labels and annotates.
fn metadata(name: &str, user: &str, component: &str) -> Value {
    json!({
        "name": name,
        "uid": format!("uid-of-{name}"),
        "labels": {
            "app": "jupyterhub", "release": "jhub", "component": component,
            "hub.jupyter.org/username": user.replace('@', "-40"), "hub.jupyter.org/network-access-hub": "true",
        },
        "annotations": {"hub.jupyter.org/username": user, "hub.jupyter.org/jupyterhub-version": "5.4.0"},
    })
}

fn pod(name: &str, user: &str) -> Value {
    let notebook = json!({"name": "notebook", "image": "", "imageID": "", "ready": true, "restartCount": 0});
    let status = json!({"phase": "Running", "podIP": "10.0.0.7", "containerStatuses": [notebook]});
    json!({"metadata": metadata(name, user, "singleuser-server"), "status": status})
}

fn claim(name: &str, user: &str) -> Value {
    json!({"metadata": metadata(name, user, "singleuser-storage")})
}

/// What kubespawner 7 notes.
fn state(pod: &str) -> Value {
    json!({"kubespawner_version": "7.1.0", "pod_name": pod, "namespace": "users", "dns_name": format!("{pod}.users.svc.cluster.local")})
}

fn running() -> Health {
    Health::Running { address: "http://10.0.0.7:8888".parse().unwrap() }
}

/// A server that JupyterHub started runs on under this hub, also with an older name, and ends when it is stopped.
#[tokio::test]
async fn a_pod_of_kubespawners_is_kept_and_stopped() {
    for (user, name) in [("ada", "jupyter-ada"), ("ada@example.com", "jupyter-ada-40example-2ecom")] {
        let cluster = Cluster::new([("pods", pod(name, user)), ("pods", pod("jupyter-bob", "bob"))]);
        let spawner = cluster.spawner();
        assert_eq!(spawner.poll(&server(user), &state(name)).await.unwrap(), running(), "{name}");
        spawner.stop(&server(user), &state(name)).await.unwrap();
        assert!(!cluster.has("pods", name) && cluster.has("pods", "jupyter-bob"), "{name}");
    }
}

/// Neither a label nor a name alone is enough, and a pod with a Hub's label is that Hub's.
#[tokio::test]
async fn a_pod_that_is_another_servers_or_another_hubs_is_left_alone() {
    let with_label = |key: &str, value: &str| {
        let mut pod = pod("jupyter-ada", "ada");
        pod["metadata"]["labels"][key] = value.into();
        pod
    };
    let mut ours = state("jupyter-ada");
    ours["hub"] = "jhub".into();
    let mut elsewhere = state("jupyter-ada");
    elsewhere["namespace"] = "others".into();
    let named = {
        let mut pod = pod("jupyter-ada", "ada");
        pod["metadata"]["annotations"]["hub.jupyter.org/servername"] = "lab".into();
        pod
    };
    for (what, pod, state) in [
        ("another user's", pod("jupyter-ada", "eve"), state("jupyter-ada")),
        ("a named server's", named, state("jupyter-ada")),
        ("of a Hub", with_label("jupyter.rs/hub", "other"), state("jupyter-ada")),
        ("no server", with_label("component", "hub"), state("jupyter-ada")),
        ("not in the state", pod("jupyter-ada", "ada"), Value::Null),
        ("started by this hub", pod("jupyter-ada", "ada"), ours),
        ("in another namespace", pod("jupyter-ada", "ada"), elsewhere),
    ] {
        let cluster = Cluster::new([("pods", pod)]);
        let spawner = cluster.spawner();
        let health = spawner.poll(&server("ada"), &state).await.unwrap();
        assert!(matches!(health, Health::Stopped { .. }), "{what}: {health:?}");
        spawner.stop(&server("ada"), &state).await.unwrap();
        assert!(cluster.has("pods", "jupyter-ada"), "{what}");
    }
}

fn request(user: &str, state: Value) -> StartRequest {
    StartRequest {
        name: server(user),
        environment: BTreeMap::new(),
        prefix: format!("/user/{user}/"),
        api_token: SecretString::from("0123456789abcdef0123456789abcdef"),
        user_options: Value::Null,
        overrides: Vec::new(),
        state,
    }
}

/// Homes are found whoever named their claims: by the state, by today's name, and by the names of kubespawner before 7.
#[tokio::test]
async fn a_home_of_kubespawners_is_mounted_again() {
    let old = json!({"pod_name": "jupyter-ada-2eb", "namespace": "users", "dns_name": "jupyter-ada-2eb.users"});
    let mut noted = state("jupyter-ada-b");
    noted["pvc_name"] = "claim-ada-of-old".into();
    let today = slug::claim_name("ada.b", "");
    for (claims, state, mounted) in [
        (vec!["claim-ada-of-old"], noted, "claim-ada-of-old"),
        (vec!["claim-ada-2eb"], old.clone(), "claim-ada-2eb"),
        (vec!["claim-ada-2eb", &today], old, &*today),
        (vec!["claim-ada-2eb"], state("jupyter-ada-b"), &*today),
    ] {
        let objects: Vec<_> = claims.iter().map(|name| ("persistentvolumeclaims", claim(name, "ada.b"))).collect();
        let cluster = Cluster::new(objects);
        let (progress, _lines) = mpsc::unbounded_channel();
        // The pod never runs here: what was made until then is looked at.
        let spawner = cluster.spawner();
        let request = request("ada.b", state);
        let start = spawner.start(&request, &progress);
        assert!(tokio::time::timeout(std::time::Duration::from_secs(2), start).await.is_err());
        let pod = spawner.pods.get(&slug::pod_name("ada.b", "")).await.unwrap();
        assert!(is_ours(&spawner.config, &pod));
        let volumes = serde_json::to_value(pod.spec.unwrap().volumes).unwrap();
        assert_eq!(volumes[0]["persistentVolumeClaim"]["claimName"], mounted, "{claims:?}");
    }
}

#[tokio::test]
async fn a_home_with_an_older_name_that_is_another_users_is_not_mounted() {
    let state = json!({"pod_name": "jupyter-ada-2eb", "namespace": "users"});
    let cluster = Cluster::new([("persistentvolumeclaims", claim("claim-ada-2eb", "eve"))]);
    let request = request("ada.b", state);
    let with_claim = with_claim(&cluster.spawner(), &request).await.unwrap().into_owned();
    assert_eq!(with_claim.state.get("pvc_name"), None);
    let found: PersistentVolumeClaim = cluster.spawner().claims.get("claim-ada-2eb").await.unwrap();
    assert_eq!(found.annotations()[label::USERNAME], "eve");
}
