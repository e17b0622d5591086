//! From zero-to-jupyterhub to a Hub: its values, its Secret, its database and its users' claims, and nobody is logged out.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use hub_crds::names::{label, label_value};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret};
use kube::{Api, ResourceExt, api::PostParams, runtime::wait::conditions::is_pod_running};
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::process::Command;

use super::{hubs::Place, person::Person};
use crate::{
    cargo,
    cluster::Cluster,
    environments::{self, Version},
    real_hub::RealHub,
};

/// Until a pod that fills a claim runs.
const FILLED: Duration = Duration::from_secs(60);
/// What the chart's Secret calls them.
const COOKIE_SECRET: &str = "hub.config.JupyterHub.cookie_secret";
const PROXY_TOKEN: &str = "hub.config.ConfigurableHTTPProxy.auth_token";
const CRYPT_KEYS: &str = "hub.config.CryptKeeper.keys";
const PASSWORD: &str = "the-password-of-everybody";

pub(super) async fn zero_to_jupyterhubs_secret_database_and_claims_are_taken_up(cluster: &Cluster) -> Result<()> {
    let [hub_program, proxy] = cargo::build_hub_and_proxy(&cluster.places).await?;
    let dir = tempfile::tempdir()?;
    let (ada, token) = live_with_jupyterhub(cluster, &proxy, dir.path()).await?;
    cluster
        .with_temp_ns("moving-in", async |namespace| {
            make_secret(cluster, namespace, dir.path()).await?;
            let database = fs::read(dir.path().join("jupyterhub.sqlite"))?;
            fill_claim(cluster, namespace, &json!({"name": "hub-db-dir"}), "jupyterhub.sqlite", database).await?;
            // As kubespawner marks it.
            let metadata = json!({
                "name": "claim-ada",
                "labels": {label::KUBESPAWNER_COMPONENT: label_value::SINGLEUSER_STORAGE, label::USERNAME: "ada"},
                "annotations": {label::USERNAME: "ada"},
            });
            fill_claim(cluster, namespace, &metadata, "thesis.txt", b"years of work".to_vec()).await?;

            let manifest = migrate(cluster, &hub_program, namespace, dir.path()).await?;
            let apply = ["--namespace", namespace, "apply", "--server-side", "-f", "-"];
            cluster.kubectl_with(&apply, manifest).await?;
            let hub = Place { cluster, namespace, name: "moved" };
            hub.await_ready().await?;

            let ada = ada.moved_to(&hub.address().await?)?;
            ensure!(ada.is_logged_in().await?, "the browser that was logged in at JupyterHub has to log in again");
            let user = ask(&hub, &token, "/user").await?;
            ensure!(user["name"] == "ada" && user["admin"] == true, "the token that JupyterHub gave is {user}'s");
            ada.start_server().await?;
            ada.open_lab().await?;
            let file =
                ada.fetch(Method::GET, "/user/ada/api/contents/thesis.txt", None).await?.expect(&[200])?.json()?;
            ensure!(file["content"] == "years of work", "ada's files are {file}");
            ada.stop_server().await
        })
        .await
}

/// Ada works with JupyterHub itself; gives her browser and an API token. The directory keeps the database and the secret.
async fn live_with_jupyterhub(cluster: &Cluster, proxy: &Path, dir: &Path) -> Result<(Person, String)> {
    let environment = environments::ensure(&cluster.places, Version::V6).await?;
    let config = cluster.places.source("clients/jupyterhub_config.py");
    let hub = RealHub::start(&environment, &config, proxy, dir, &["sleep", "1"]).await?;
    let lived = async {
        let ada = Person::new("ada", &hub.base_url)?;
        ada.log_in_with_form(PASSWORD).await?;
        ada.visit("/hub/token").await?;
        let body = json!({"note": "from before"});
        let answer = ada.fetch(Method::POST, "/hub/api/users/ada/tokens", Some(&body)).await?.expect(&[201])?.json()?;
        let token = answer["token"].as_str().context("a new token is told")?.to_owned();
        Ok((ada, token))
    }
    .await;
    hub.stop().await?;
    lived
}

/// In the shape of the chart's.
async fn make_secret(cluster: &Cluster, namespace: &str, dir: &Path) -> Result<()> {
    let cookie_secret = fs::read_to_string(dir.join("jupyterhub_cookie_secret"))?;
    let data = json!({
        COOKIE_SECRET: cookie_secret.trim(),
        PROXY_TOKEN: "Rn3K".repeat(16),
        CRYPT_KEYS: "5c".repeat(32),
        "values.yaml": "hub: {}",
    });
    create::<Secret>(cluster, namespace, json!({"metadata": {"name": "hub"}, "stringData": data})).await?;
    let password = json!({"metadata": {"name": "moved-password"}, "stringData": {"password": PASSWORD}});
    create::<Secret>(cluster, namespace, password).await
}

/// Makes a claim with one file in it, as if a chart or kubespawner had, for whoever its pods run as.
async fn fill_claim(cluster: &Cluster, namespace: &str, metadata: &Value, file: &str, content: Vec<u8>) -> Result<()> {
    let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "100Mi"}}});
    let claim = json!({"metadata": metadata, "spec": spec});
    create::<PersistentVolumeClaim>(cluster, namespace, claim).await?;
    let name = metadata["name"].as_str().context("a claim has a name")?;
    let filler = format!("fill-{name}");
    let pod = json!({
        "metadata": {"name": filler},
        "spec": {
            "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "fill",
                "image": cluster.images.singleuser,
                "command": ["sleep", "600"],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                "volumeMounts": [{"name": "it", "mountPath": "/it"}],
            }],
            "volumes": [{"name": "it", "persistentVolumeClaim": {"claimName": name}}],
            "terminationGracePeriodSeconds": 0,
        },
    });
    create::<Pod>(cluster, namespace, pod).await?;
    let pods: Api<Pod> = cluster.api(namespace);
    cluster.await_condition(&pods, &filler, "the claim to be filled", FILLED, is_pod_running()).await?;
    let write = format!("umask 000; cat > /it/{file}");
    let exec = ["--namespace", namespace, "exec", "-i", &filler, "--", "sh", "-c", &write];
    cluster.kubectl_with(&exec, content).await?;
    pods.delete(&filler, &Default::default()).await?;
    let gone = |pod: Option<&Pod>| pod.is_none();
    cluster.await_condition(&pods, &filler, "the pod to be gone", FILLED, gone).await.map(drop)
}

/// What `hub migrate` makes of values, with this cluster's images in it.
async fn migrate(cluster: &Cluster, hub: &Path, namespace: &str, dir: &Path) -> Result<String> {
    let (image, tag) = cluster.images.singleuser.rsplit_once(':').context("an image has a tag")?;
    let values = json!({
        "hub": {"config": {
            "JupyterHub": {"authenticator_class": "dummy"},
            "DummyAuthenticator": {"password": PASSWORD},
            "Authenticator": {"admin_users": ["ada"], "enable_auth_state": true},
        }},
        "cull": {"enabled": false},
        "proxy": {"service": {"type": "NodePort"}, "https": {"enabled": false}},
        "singleuser": {
            "image": {"name": image, "tag": tag},
            "memory": {"guarantee": "128M"},
            "storage": {"capacity": "100Mi"},
            "cmd": "jupyterhub-singleuser",
        },
    });
    let file = dir.join("values.json");
    fs::write(&file, values.to_string())?;
    let report = dir.join("report.txt");
    let mut migrate = Command::new(hub);
    migrate.arg("migrate").arg(&file).args(["--name", "moved", "--namespace", namespace]);
    let ended = migrate.arg("--report").arg(&report).output().await.context("failed to run hub migrate")?;
    let (printed, report) = (String::from_utf8(ended.stdout)?, fs::read_to_string(report)?);
    // The password is a secret, so it is left to a person; nothing else is.
    let by_hand: Vec<_> = report.lines().filter(|line| line.contains("BY HAND") || line.contains("UNKNOWN")).collect();
    ensure!(ended.status.code() == Some(3), "hub migrate ended with {}: {report}", ended.status);
    ensure!(by_hand.len() == 1 && by_hand[0].contains("moved-password"), "{report}");
    ensure!(!printed.contains(PASSWORD) && !report.contains(PASSWORD), "a password was printed");
    let mut documents = Vec::new();
    for document in serde_yaml::Deserializer::from_str(&printed) {
        let mut object = <Value as serde::Deserialize>::deserialize(document)?;
        if object["kind"] == "Hub" {
            object["spec"]["hub"]["image"] = json!(cluster.images.hub);
            object["spec"]["proxy"]["image"] = json!(cluster.images.proxy);
        }
        documents.push(object.to_string());
    }
    ensure!(documents.len() == 2, "{printed}");
    Ok(documents.join("\n---\n"))
}

async fn ask(hub: &Place<'_>, token: &str, path: &str) -> Result<Value> {
    let url = format!("{}/hub/api{path}", hub.address().await?);
    let request = reqwest::Client::new().get(url).header("Authorization", format!("token {token}"));
    Ok(request.send().await?.error_for_status()?.json().await?)
}

async fn create<K>(cluster: &Cluster, namespace: &str, object: Value) -> Result<()>
where
    K: kube::Resource<Scope = kube::core::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + serde::Serialize,
    K::DynamicType: Default,
{
    let object: K = serde_json::from_value(object)?;
    let name = object.name_any();
    let api: Api<K> = cluster.api(namespace);
    api.create(&PostParams::default(), &object).await.with_context(|| format!("failed to make {name}"))?;
    Ok(())
}
