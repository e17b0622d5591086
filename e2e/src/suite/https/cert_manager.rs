//! The real cert-manager: missed when it is not there, noticed when it comes, and used.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use hub_crds::{names::child, status::condition};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use serde_json::json;

use super::{Expected, Site, conforms, hsts};
use crate::cluster::Cluster;

const NAMESPACE: &str = "cert-manager";
const RELEASE: &str = "cert-manager";
/// Row 24: how long its resource definitions may be there before the operator notices them.
const NOTICED: Duration = Duration::from_secs(30);
/// For what cert-manager does once all of it runs, with the kubelet's round where a proxy serves it.
const ISSUED: Duration = Duration::from_secs(120);

/// Row 24: without cert-manager the Hub says what is missing; it goes on by itself when cert-manager is there. Then the
/// suite, and a renewal that cert-manager makes.
pub(in crate::suite) async fn cert_manager_is_missed_noticed_and_used(cluster: &Cluster) -> Result<()> {
    uninstall(cluster).await?; // what a broken run left
    let result = cluster.with_temp_ns("cert-manager", async |namespace| used(cluster, namespace).await).await;
    let gone = uninstall(cluster).await;
    result.and(gone)
}

async fn used(cluster: &Cluster, namespace: &str) -> Result<()> {
    let site = Site::new(cluster, namespace, "managed").await?;
    let https = json!({
        "type": "certManager", "hosts": [site.host], "hsts": hsts(),
        "certManager": {"issuerRef": {"name": "e2e-ca"}, "duration": "2160h", "renewBefore": "720h"},
    });
    site.place.apply(site.spec(&https)).await?;
    let missing = async || {
        let condition = site.condition(condition::CERTIFICATE_READY).await?;
        ensure!(condition.status == "False" && condition.message.contains("cert-manager"), "it is {condition:?}");
        Ok(())
    };
    cluster.eventually("the Hub to miss cert-manager", NOTICED, missing).await?;

    let definitions = install(cluster).await?;
    // By now its webhook is there, too, without which no Certificate is taken.
    let installed = Instant::now();
    let noticed = async || {
        let certificate =
            ["--namespace", namespace, "get", "certificate.cert-manager.io", &child::cert_manager("managed")];
        cluster.kubectl(&certificate).await
    };
    cluster.eventually("the operator to notice cert-manager", ISSUED, noticed).await?;
    let time = installed.elapsed();
    let since = definitions.elapsed().as_secs();
    cluster.measured("cert-manager there -> noticed", format!("{} s, {since} s after its definitions", time.as_secs()));
    ensure!(time <= NOTICED, "cert-manager was noticed after {} s", time.as_secs());

    make_issuer(cluster, namespace).await?;
    let authority = authority(cluster, namespace).await?;
    site.await_ready(&authority).await?;
    let expected = Expected { source: "e2e-ca".to_owned(), issuer: "e2e authority".to_owned(), chain: 1 };
    let is_theirs = async || {
        let served = site.served().await?;
        ensure!(served.issuer.contains(&expected.issuer), "the certificate is of {}", served.issuer);
        ensure!(site.certificate().await?.issuer.contains(&expected.issuer), "the status has another one");
        Ok(served.serial)
    };
    let first = cluster.eventually("cert-manager's certificate", ISSUED, is_theirs).await?;
    conforms(&site, &authority, &expected).await?;

    // cert-manager makes a new one at once when its Secret is gone.
    cluster.kubectl(&["--namespace", namespace, "delete", "secret", &child::cert_manager("managed")]).await?;
    let renewed = async || {
        ensure!(is_theirs().await? != first, "the first one is served");
        Ok(())
    };
    cluster.eventually("a renewed certificate", ISSUED, renewed).await
}

/// Gives when the resource definitions were there: they are among the first things that the chart brings.
async fn install(cluster: &Cluster) -> Result<Instant> {
    let peers = cluster.peers()?;
    let values = cluster.output()?.join("cert-manager-values.json");
    fs::write(&values, peers.cert_manager_values().to_string())?;
    let (chart, values) = (peers.cert_manager_chart().to_string_lossy(), values.to_string_lossy());
    let install = async {
        let upgrade = ["upgrade", "--install", RELEASE, &*chart, "--namespace", NAMESPACE, "--create-namespace"];
        cluster.helm(&[&upgrade[..], &["--values", &values, "--wait", "--timeout", "180s"]].concat()).await
    };
    let watch = async {
        let established = async || {
            let wait = ["wait", "--for=condition=Established", "--timeout=1s", "crd/certificates.cert-manager.io"];
            cluster.kubectl(&wait).await
        };
        cluster.eventually("cert-manager's definitions", Duration::from_secs(60), established).await?;
        Ok(Instant::now())
    };
    let (_, there) = tokio::try_join!(install, watch).context("failed to install cert-manager")?;
    Ok(there)
}

/// The chart and the resource definitions in it; what is of them goes with them.
async fn uninstall(cluster: &Cluster) -> Result<()> {
    let args = ["uninstall", RELEASE, "--namespace", NAMESPACE, "--ignore-not-found", "--wait", "--timeout", "120s"];
    cluster.helm(&args).await?;
    cluster.kubectl(&["delete", "namespace", NAMESPACE, "--ignore-not-found"]).await.map(|_| ())
}

/// An authority of the namespace's own, signed by itself, and an issuer that issues by it.
async fn make_issuer(cluster: &Cluster, namespace: &str) -> Result<()> {
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "cert-manager.io/v1", "kind": "Issuer",
            "metadata": {"name": "self-signed"}, "spec": {"selfSigned": {}},
        },
        {
            "apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": "e2e-ca"},
            "spec": {
                "isCA": true, "commonName": "e2e authority", "secretName": "e2e-ca",
                "privateKey": {"algorithm": "ECDSA"}, "issuerRef": {"name": "self-signed"},
            },
        },
        {
            "apiVersion": "cert-manager.io/v1", "kind": "Issuer",
            "metadata": {"name": "e2e-ca"}, "spec": {"ca": {"secretName": "e2e-ca"}},
        },
    ]});
    // Its webhook may need a moment after its pod is ready.
    let apply =
        async || cluster.kubectl_with(&["--namespace", namespace, "apply", "-f", "-"], objects.to_string()).await;
    cluster.eventually("cert-manager to take an issuer", ISSUED, apply).await.map(|_| ())
}

async fn authority(cluster: &Cluster, namespace: &str) -> Result<String> {
    let secrets: Api<Secret> = cluster.api(namespace);
    let question = async || {
        let data = secrets.get("e2e-ca").await?.data.unwrap_or_default();
        let certificate = data.get("tls.crt").context("the authority has no certificate yet")?;
        Ok(String::from_utf8(certificate.0.clone())?)
    };
    cluster.eventually("the issuer's authority", ISSUED, question).await
}
