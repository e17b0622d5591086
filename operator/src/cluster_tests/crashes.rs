//! Each lifecycle of a Hub, again for each write of the operator, with a fault at that write: it must end as it does
//! without one, with the same Secrets, and then nothing is written any more (rows 1 to 3 and 17 of the faults; what Sieve
//! calls intermediate states). Every write meets one of the faults; with `HUB_TEST_LONG` each of them.

use std::collections::BTreeSet;

use futures::{StreamExt, stream};
use hub_crds::names::ROTATE_ANNOTATION;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    api::DynamicObject,
    core::{ApiResource, GroupVersionKind},
};

use super::{
    fault::{FAULTS, Fault, Harm},
    *,
};

/// Operators at a time, each with namespaces of its own.
const TOGETHER: usize = 4;
/// Until everything is as it should be, the pause after a failure included.
const CONVERGES: Duration = Duration::from_secs(90);
/// Nothing is written for so long: what a failed reconcile would try again comes within it.
const STABLE: Duration = Duration::from_millis(1500);

/// What is done to a Hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lifecycle {
    Create,
    Change,
    Rotate,
    Renew,
    Delete,
}

/// Kinds that the operator makes.
const KINDS: [(&str, &str, &str); 11] = [
    ("jupyter.rs", "v1alpha1", "Hub"),
    ("apps", "v1", "Deployment"),
    ("", "v1", "Service"),
    ("", "v1", "ConfigMap"),
    ("", "v1", "Secret"),
    ("", "v1", "ServiceAccount"),
    ("", "v1", "PersistentVolumeClaim"),
    ("rbac.authorization.k8s.io", "v1", "Role"),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding"),
    ("networking.k8s.io", "v1", "NetworkPolicy"),
    ("policy", "v1", "PodDisruptionBudget"),
];

/// What Kubernetes makes in each namespace, in its own time.
const OF_EVERY_NAMESPACE: [&str; 2] = ["default", "kube-root-ca.crt"];

#[tokio::test]
async fn a_hub_is_created_whatever_write_fails_rows_1_2_3() {
    every_write(Lifecycle::Create).await;
}

#[tokio::test]
async fn a_hub_is_changed_whatever_write_fails_rows_1_2_3() {
    every_write(Lifecycle::Change).await;
}

#[tokio::test]
async fn a_secret_rotates_whatever_write_fails_rows_1_2_3() {
    every_write(Lifecycle::Rotate).await;
}

#[tokio::test]
async fn a_certificate_renews_whatever_write_fails_rows_1_2_3() {
    every_write(Lifecycle::Renew).await;
}

#[tokio::test]
async fn a_hub_is_deleted_whatever_write_fails_row_17() {
    every_write(Lifecycle::Delete).await;
}

async fn every_write(lifecycle: Lifecycle) {
    if test_config().await.is_none() {
        return;
    }
    let (writes, reference) = run(lifecycle, None, None).await;
    assert!(writes > 2, "{lifecycle:?} is {writes} writes");
    let is_long = std::env::var_os("HUB_TEST_LONG").is_some();
    let at_each = |at: usize| match is_long {
        true => FAULTS.to_vec(),
        false => vec![FAULTS[at % FAULTS.len()]],
    };
    let runs = (0..writes).flat_map(|at| at_each(at).into_iter().map(move |fault| (at, fault)));
    let runs = stream::iter(runs).map(|harm| run(lifecycle, Some(harm), Some(&reference)));
    let count = runs.buffer_unordered(TOGETHER).count().await;
    println!("{lifecycle:?}: {writes} writes, {count} runs with a fault");
}

/// One lifecycle, from the beginning to its end: how many writes it took, and what is there then. `reference` is what must
/// be.
async fn run(lifecycle: Lifecycle, at: Option<(usize, Fault)>, reference: Option<&Value>) -> (usize, Value) {
    let harm = Harm::new(at);
    let mut result = None;
    in_lab_with(harm.clone(), async |lab| {
        lifecycle.prepare(&lab).await;
        harm.arm();
        let before = secrets(&lab).await;
        lifecycle.act(&lab, &harm).await;
        let state = match reference {
            Some(reference) => converges(&lab, reference, lifecycle, at).await,
            None => {
                lab.stable().await;
                state(&lab).await
            }
        };
        let writes = harm.writes();
        if at.is_some() {
            assert!(harm.done.is_cancelled(), "{lifecycle:?} {at:?}: the fault never came");
        }
        kept(&before, &secrets(&lab).await, lifecycle, at);
        result = Some((writes, state));
    })
    .await;
    result.unwrap()
}

impl Lifecycle {
    /// What is there before.
    async fn prepare(self, lab: &Lab) {
        match self {
            Self::Create => return,
            Self::Renew => {
                lab.put_secret("mine", &https::data(&fixtures::pair(&["hub.org"], 2020..2040))).await;
                lab.apply_hub(&https::of_secret()).await;
            }
            Self::Rotate => {
                lab.apply_hub(&json!({"security": {"cookieSecret": {"rotation": {"gracePeriod": "1s"}}}})).await;
            }
            Self::Change => lab.apply_hub(&json!({})).await,
            Self::Delete => lab.apply_hub(&json!({"deletionPolicy": "Delete"})).await,
        }
        lab.wait_until_applied().await;
        lab.stable().await;
    }

    async fn act(self, lab: &Lab, harm: &Harm) {
        match self {
            Self::Create => lab.apply_hub(&everything()).await,
            Self::Change => {
                lab.apply_hub(&everything()).await;
                lab.settle(harm).await;
                lab.apply_hub(&json!({"singleuser": {"image": "example.org/lab:2"}})).await;
            }
            Self::Rotate => {
                lab.annotate(ROTATE_ANNOTATION, "cookie-secret").await;
                lab.settle(harm).await;
                lab.report(&[0, 1], None).await;
            }
            Self::Renew => lab.put_secret("mine", &https::data(&fixtures::pair(&["hub.org"], 2020..2039))).await,
            Self::Delete => {
                lab.api::<StoredHub>().delete("physics", &DeleteParams::default()).await.unwrap();
            }
        }
    }
}

/// A Hub with every child that there can be without pods that run.
fn everything() -> Value {
    json!({
        "https": {"type": "selfSigned", "allowInsecure": false, "hosts": ["hub.org"]},
        "security": {"internalTLS": true},
        "proxy": {"replicas": 2},
    })
}

impl Lab {
    /// Waits until the operator, or the one after it, has nothing to do.
    async fn settle(&self, harm: &Harm) {
        if harm.done.is_cancelled() {
            // It may wait before it tries again.
            tokio::time::sleep(STABLE).await;
        }
        self.stable().await;
    }

    /// Waits until nothing has been sent for as long as nothing should be.
    async fn stable(&self) {
        self.quiet_for(STABLE).await;
    }
}

/// Waits until the state is the one that was reached without a fault, and looks whether it stays.
async fn converges(lab: &Lab, wanted: &Value, lifecycle: Lifecycle, at: Option<(usize, Fault)>) -> Value {
    let end = Instant::now() + CONVERGES;
    loop {
        let found = state(lab).await;
        if found == *wanted {
            break;
        }
        assert!(Instant::now() < end, "{lifecycle:?} {at:?} ends otherwise:\n{}", difference(wanted, &found));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    lab.stable().await;
    let found = state(lab).await;
    assert!(found == *wanted, "{lifecycle:?} {at:?} does not stay so:\n{}", difference(wanted, &found));
    found
}

/// Objects that differ, one below the other.
fn difference(wanted: &Value, found: &Value) -> String {
    let (wanted, found) = (wanted.as_object().unwrap(), found.as_object().unwrap());
    let names: BTreeSet<&String> = wanted.keys().chain(found.keys()).collect();
    let differs = names.into_iter().filter(|name| wanted.get(*name) != found.get(*name));
    let line = |name: &String| format!("{name}\n  wanted {:?}\n  found  {:?}\n", wanted.get(name), found.get(name));
    differs.map(line).collect()
}

type Data = BTreeMap<String, ByteString>;

async fn secrets(lab: &Lab) -> BTreeMap<String, Data> {
    let secrets = lab.api::<Secret>().list(&ListParams::default()).await.unwrap();
    secrets.into_iter().map(|secret| (secret.name_any(), secret.data.unwrap_or_default())).collect()
}

/// No secret that there was is another one now, but for what the lifecycle is there to change.
fn kept(
    before: &BTreeMap<String, Data>,
    after: &BTreeMap<String, Data>,
    lifecycle: Lifecycle,
    at: Option<(usize, Fault)>,
) {
    for (name, data) in before {
        let Some(now) = after.get(name) else { continue };
        let may_change = match lifecycle {
            Lifecycle::Rotate => name == "physics-cookie-secret",
            Lifecycle::Renew => name == "physics-tls" || name == "mine",
            Lifecycle::Change => name == "physics-login-urls",
            Lifecycle::Create | Lifecycle::Delete => false,
        };
        assert!(may_change || now == data, "{lifecycle:?} {at:?}: Secret {name} has other bytes");
    }
}

/// Everything in the namespace by kind and name, without what differs from run to run.
async fn state(lab: &Lab) -> Value {
    let mut objects = serde_json::Map::new();
    let uid = lab.api::<StoredHub>().get_opt("physics").await.unwrap().map(|hub| hub.uid().to_owned());
    for (group, version, kind) in KINDS {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let api = Api::<DynamicObject>::namespaced_with(lab.client.clone(), &lab.namespace, &resource);
        for object in api.list(&ListParams::default()).await.unwrap() {
            let name = object.name_any();
            if OF_EVERY_NAMESPACE.contains(&name.as_str()) {
                continue;
            }
            let text = serde_json::to_string(&plain(&object, kind)).unwrap().replace(&lab.namespace, "NAMESPACE");
            let text = uid.as_deref().map_or_else(|| text.clone(), |uid| text.replace(uid, "UID"));
            objects.insert(format!("{kind} {name}"), serde_json::from_str(&text).unwrap());
        }
    }
    Value::Object(objects)
}

/// What the operator says of an object.
fn plain(object: &DynamicObject, kind: &str) -> Value {
    let metadata = &object.metadata;
    let annotations = metadata.annotations.iter().flatten().map(|(name, value)| match name.contains("jupyter.rs") {
        // Sums of what has the namespace's name in it, names of single starts, and the like.
        true => (name.clone(), String::new()),
        false => (name.clone(), value.clone()),
    });
    let annotations: BTreeMap<_, _> =
        annotations.filter(|(name, _)| !name.starts_with("deployment.kubernetes.io")).collect();
    let mut plain = json!({
        "labels": metadata.labels, "annotations": annotations, "finalizers": metadata.finalizers,
        "owners": metadata.owner_references, "going": metadata.deletion_timestamp.is_some(),
    });
    let data = &object.data;
    plain["data"] = match kind {
        // Random, or signed anew: which keys there are must suffice.
        "Secret" => json!(data["data"].as_object().map(|data| data.keys().collect::<Vec<_>>())),
        "Hub" => json!([data["spec"], conditions(&data["status"])]),
        "Service" => without(&data["spec"], &["clusterIP", "clusterIPs", "ports"]),
        "Deployment" => {
            let mut spec = data["spec"].clone();
            let of_pods = &mut spec["template"]["metadata"]["annotations"];
            *of_pods = json!(of_pods.as_object().map(|all| all.keys().cloned().collect::<Vec<_>>()));
            spec
        }
        "ConfigMap" => {
            let texts = data["data"].as_object().into_iter().flatten();
            let made_anew = |value: &Value| value.as_str().is_some_and(|text| text.contains("-----BEGIN"));
            json!(texts.map(|(key, value)| (key, (!made_anew(value)).then_some(value))).collect::<BTreeMap<_, _>>())
        }
        _ => without(data, &["status"]),
    };
    plain
}

fn without(value: &Value, keys: &[&str]) -> Value {
    let mut value = value.clone();
    for key in keys {
        if let Some(object) = value.as_object_mut() {
            object.remove(*key);
        }
    }
    value
}

/// How the Hub stands, without times and words.
fn conditions(status: &Value) -> Value {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    json!(conditions.map(|it| json!([it["type"], it["status"], it["reason"]])).collect::<Vec<_>>())
}
