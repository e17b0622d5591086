//! The Secrets of record: made once, kept whatever happens, and seen nowhere else.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use hub_crds::names::{child, label, label_value};
use k8s_openapi::{
    ByteString,
    api::{
        core::v1::{Pod, Secret},
        networking::v1::NetworkPolicy,
    },
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DynamicObject, ListParams, LogParams, Patch, PatchParams},
    discovery::{Discovery, Scope, verbs},
};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{
    hubs::{Place, replace_pod},
    node::Node,
};
use crate::cluster::{Cluster, HUB, NAMESPACE, OPERATOR_NAMESPACE};

/// A child that was deleted or edited is back within this.
pub(super) const BACK: Duration = Duration::from_secs(2);
const RECONCILES: usize = 10;

/// Labels of the operator's pod.
pub(super) const OPERATOR: &str = "app.kubernetes.io/name=hub-operator,app.kubernetes.io/component=operator";

type Values = BTreeMap<String, BTreeMap<String, ByteString>>;

fn names() -> [String; 3] {
    [child::cookie_secret(HUB), child::proxy_token(HUB), child::login_tokens(HUB)]
}

async fn values(cluster: &Cluster) -> Result<Values> {
    let secrets: Api<Secret> = cluster.api(NAMESPACE);
    let mut values = Values::new();
    for name in names() {
        let secret = secrets.get(&name).await.with_context(|| format!("failed to read Secret {name}"))?;
        values.insert(name, secret.data.unwrap_or_default());
    }
    Ok(values)
}

/// Restarts, reconciles and even `kubectl delete secret` leave them as they are, byte for byte.
pub(super) async fn secrets_survive_everything(cluster: &Cluster) -> Result<()> {
    let hub = Place::example(cluster);
    let secrets: Api<Secret> = cluster.api(NAMESPACE);
    let labelled = secrets.list(&ListParams::default().labels(&format!("{}={HUB}", label::HUB))).await?;
    let there: BTreeSet<String> = labelled.iter().map(ResourceExt::name_any).collect();
    let of_users = |name: &String| name.starts_with("jupyter-"); // tokens of user pods, which come and go with them
    let there: BTreeSet<String> = there.into_iter().filter(|name| !of_users(name)).collect();
    // The one with the login URLs is made from the others, and is not of record.
    let expected = BTreeSet::from_iter(names().into_iter().chain([child::login_urls(HUB)]));
    ensure!(there == expected, "the Hub has the Secrets {there:?}");
    let first = values(cluster).await?;

    for round in 0..RECONCILES {
        touch(&hub, round).await?;
        // Its return shows that a reconcile took place.
        let policies: Api<NetworkPolicy> = cluster.api(NAMESPACE);
        delete_and_await(cluster, &policies, &child::singleuser(HUB)).await?;
        ensure!(values(cluster).await? == first, "reconcile {round} changed a Secret");
    }
    for name in names() {
        let (_, again) = delete_and_await(cluster, &secrets, &name).await?;
        ensure!(again.data.as_ref() == first.get(&name), "Secret {name} came back with other bytes");
    }
    replace_pod(cluster, OPERATOR_NAMESPACE, OPERATOR).await?;
    let component = format!("{}={},{}={HUB}", label::COMPONENT, label_value::HUB, label::HUB);
    replace_pod(cluster, NAMESPACE, &component).await?;
    hub.await_ready().await?;
    ensure!(values(cluster).await? == first, "a restart changed a Secret");
    Ok(())
}

async fn touch(hub: &Place<'_>, round: usize) -> Result<()> {
    let patch = json!({"metadata": {"annotations": {"e2e/touched": round.to_string()}}});
    hub.hubs().patch(hub.name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

/// Deletes an object and waits until the operator has made it anew; gives how long that took, and the new one.
pub(super) async fn delete_and_await<K>(cluster: &Cluster, api: &Api<K>, name: &str) -> Result<(Duration, K)>
where
    K: Resource + Clone + std::fmt::Debug + Send + DeserializeOwned + 'static,
{
    let old = api.get(name).await?.meta().uid.clone();
    let start = Instant::now();
    api.delete(name, &Default::default()).await.with_context(|| format!("failed to delete {name}"))?;
    let anew = |object: Option<&K>| {
        object.is_some_and(|object| object.meta().uid != old && object.meta().deletion_timestamp.is_none())
    };
    let what = "what was deleted to be back";
    let new = cluster.await_condition(api, name, what, 5 * BACK, anew).await?.context("it is there")?;
    let time = start.elapsed();
    ensure!(time <= BACK, "{name} was back after {} ms, not within {} ms", time.as_millis(), BACK.as_millis());
    Ok((time, new))
}

/// Neither cookie secret nor proxy token nor login tokens stand in anything but their Secrets: raw, hex or base64.
pub(super) async fn secret_values_are_seen_nowhere_else(cluster: &Cluster) -> Result<()> {
    let mut needles = Vec::new();
    for (secret, data) in values(cluster).await? {
        for (key, value) in data {
            let login = secret == child::login_tokens(HUB);
            needles.extend(forms(&value.0).into_iter().map(|form| (format!("{secret}/{key}"), form, login)));
        }
    }
    let places = everything(cluster).await?;
    ensure!(places.len() > 20, "only {} places were searched", places.len());
    for (place, text) in &places {
        for (what, form, login) in &needles {
            // The hub logs the login URL, as the documentation says.
            let documented = *login && place.starts_with("log of hub");
            let found =
                text.lines().find(|line| line.contains(form.as_str()) && !(documented && line.contains("/?token=")));
            ensure!(found.is_none(), "the value of {what} stands in the {place}");
        }
    }
    Ok(())
}

/// How a value could be written down: as it is, what its hexadecimal digits mean, and each of these in base64 and hex.
fn forms(value: &[u8]) -> BTreeSet<String> {
    let mut raw = vec![value.to_vec()];
    raw.extend(hex::decode(value).ok());
    let mut forms: BTreeSet<String> = BTreeSet::new();
    forms.extend(std::str::from_utf8(value).ok().map(str::to_owned));
    for bytes in raw {
        forms.insert(BASE64_STANDARD.encode(&bytes).trim_end_matches('=').to_owned());
        forms.insert(hex::encode(&bytes));
    }
    forms
}

/// Every object but Secrets, every log, and what the processes of the node were started with.
async fn everything(cluster: &Cluster) -> Result<Vec<(String, String)>> {
    let mut places = Vec::new();
    let discovery = Discovery::new(cluster.client.clone()).run().await?;
    for namespace in [NAMESPACE, OPERATOR_NAMESPACE] {
        for (resource, capabilities) in discovery.groups().flat_map(kube::discovery::ApiGroup::recommended_resources) {
            let listed = capabilities.scope == Scope::Namespaced && capabilities.supports_operation(verbs::LIST);
            if !listed || resource.kind == "Secret" {
                continue;
            }
            let api: Api<DynamicObject> = Api::namespaced_with(cluster.client.clone(), namespace, &resource);
            for object in api.list(&ListParams::default()).await? {
                let place = format!("{} {}", resource.kind, object.name_any());
                places.push((place, serde_json::to_string_pretty(&object)?));
            }
        }
        places.extend(logs(cluster, namespace).await?);
    }
    if let Some(node) = Node::of(cluster).await? {
        let words = node.arguments_and_environments().await?.replace('\0', "\n");
        places.push(("arguments and environments of processes".to_owned(), words));
    }
    Ok(places)
}

async fn logs(cluster: &Cluster, namespace: &str) -> Result<Vec<(String, String)>> {
    let pods: Api<Pod> = cluster.api(namespace);
    let mut logs = Vec::new();
    for pod in pods.list(&ListParams::default()).await? {
        let component = pod.labels().get(label::COMPONENT).or(pod.labels().get("component"));
        let place = format!("log of {} {}", component.map_or("pod", String::as_str), pod.name_any());
        for previous in [false, true] {
            let params = LogParams { previous, ..LogParams::default() };
            // A container that was never restarted has no previous log.
            if let Ok(text) = pods.logs(&pod.name_any(), &params).await {
                logs.push((place.clone(), text));
            }
        }
    }
    Ok(logs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_looked_for_in_every_usual_form() {
        let forms = forms(b"6b6b6b6b");
        for form in ["6b6b6b6b", "NmI2YjZiNmI", "a2tra", "3662366236623662"] {
            assert!(forms.iter().any(|it| it.contains(form)), "{form} of {forms:?}");
        }
    }
}
