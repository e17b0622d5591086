//! A certificate that is renewed while people work: the next handshake has it, and nobody notices.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use hub_crds::names::label_value;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::json;

use super::{Site, says_again};
use crate::{
    cluster::Cluster,
    suite::{
        hubs::{Place, restarts},
        load::keep_asking,
        node::Node,
        skip,
        tls::{Authority, Pair},
    },
};

/// From the file in the pod until a handshake shows it.
const SHOWN: Duration = Duration::from_secs(5);
/// From the Secret until the kubelet has brought it to the pod: it looks every ten seconds here.
const MOUNTED: Duration = Duration::from_secs(60);
/// People who ask all the time: half of them on one connection, half on a new one each time.
const PEOPLE: usize = 8;

/// Row 25: no request fails, no WebSocket ends, no pod is touched, and within five seconds everybody new gets the new one.
pub(in crate::suite) async fn a_renewed_certificate_is_served_under_load_and_nothing_fails(
    cluster: &Cluster,
) -> Result<()> {
    let Some(node) = Node::of(cluster).await? else {
        return skip("the file is looked for on the node, which must be a container of this machine");
    };
    cluster.with_temp_ns("renewal", async |namespace| renewed(cluster, &node, namespace).await).await
}

async fn renewed(cluster: &Cluster, node: &Node, namespace: &str) -> Result<()> {
    let (site, root) = (Site::new(cluster, namespace, "renewal").await?, Authority::root("e2e root")?);
    let put =
        async |leaf: &Pair| site.put_secret("given", &[("tls.crt", &leaf.certificate), ("tls.key", &leaf.key)]).await;
    put(&root.issue(&site.host)?).await?;
    site.place.apply(site.spec(&json!({"type": "secret", "secret": {"name": "given"}}))).await?;
    site.await_ready(&root.pem()).await?;
    let ada = site.ada(&root.pem()).await?;
    ada.start_server().await?;
    let (before, first) = (pods(&site.place).await?, site.served().await?.serial);
    let file = mounted_certificate(&before[1])?;

    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let load = async {
        let somebody = || site.browser("somebody", &root.pem());
        let people = (0..PEOPLE).map(|number| keep_asking(number, somebody, &["/hub/login"], &over, &asked));
        futures::future::try_join_all(people).await.map(|_| ())
    };
    let talk = async {
        while !over.load(Ordering::Relaxed) {
            says_again(&ada, "still there").await?;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    };
    let renew = async {
        let renewed = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            let leaf = root.issue(&site.host)?;
            put(&leaf).await?;
            let is_mounted = async || {
                ensure!(node.run(&["cat", &file]).await?.trim() == leaf.certificate.trim(), "the pod has the old one");
                Ok(())
            };
            cluster.eventually("the certificate in the pod", MOUNTED, is_mounted).await?;
            let mounted = Instant::now();
            let is_served = async || {
                ensure!(site.served().await?.serial != first, "the old one is served");
                Ok(())
            };
            cluster.eventually("the new certificate", SHOWN, is_served).await?;
            tokio::time::sleep(Duration::from_secs(2)).await;
            Ok(mounted.elapsed() - Duration::from_secs(2))
        };
        let renewed: Result<Duration> = renewed.await;
        over.store(true, Ordering::Relaxed);
        renewed
    };
    let ((), (), shown) = tokio::try_join!(load, talk, renew)?;
    ensure!(shown <= SHOWN, "the new certificate was served after {} ms", shown.as_millis());
    let asked = asked.load(Ordering::Relaxed);
    ensure!(asked > 20 * PEOPLE, "only {asked} requests were made");
    cluster
        .measured("certificate in the pod -> served", format!("{} ms, {asked} requests beside it", shown.as_millis()));
    ensure!(
        pods(&site.place).await?.map(|pod| identity(&pod)) == before.map(|pod| identity(&pod)),
        "a pod was touched"
    );
    Ok(())
}

/// The pods of hub and proxy.
pub(in crate::suite) async fn pods(place: &Place<'_>) -> Result<[Pod; 2]> {
    Ok([place.pod(label_value::HUB).await?, place.pod(label_value::PROXY).await?])
}

/// What would be another one if the pod had been replaced or restarted.
pub(in crate::suite) fn identity(pod: &Pod) -> (Option<String>, Option<String>, i32) {
    let started = pod.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0.to_string());
    (pod.uid(), started, restarts(pod))
}

/// Where the kubelet puts the certificate of the proxy's pod, on the node.
fn mounted_certificate(proxy: &Pod) -> Result<String> {
    let volumes = proxy.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let is_tls = |name: &Option<String>| name.as_ref().is_some_and(|name| name.ends_with("-tls"));
    let volume = volumes
        .filter(|volume| volume.secret.as_ref().is_some_and(|secret| is_tls(&secret.secret_name)))
        .map(|volume| volume.name.clone())
        .next();
    let (uid, volume) = (proxy.uid().context("a pod has a UID")?, volume.context("the proxy mounts its certificate")?);
    Ok(format!("/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~secret/{volume}/tls.crt"))
}
