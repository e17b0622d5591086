//! Certificates by ACME from a real authority: Pebble, with its own DNS server. It asks the proxy for the answers to its
//! challenges, on port 80 of the name that a certificate is for, as Let's Encrypt does.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hub_crds::{
    names::{child, label_value},
    status::condition,
};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{Api, ResourceExt, api::LogParams};
use serde_json::{Value, json};

use super::{Expected, Site, conforms, hsts, people_work, pods};
use crate::{cluster::Cluster, suite::tls::Authority};

const PEBBLE: &str = "pebble";
/// Every second nonce is refused without need, and nothing is taken as proven before.
const PEBBLE_ENV: &[(&str, &str)] =
    &[("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "50"), ("PEBBLE_AUTHZREUSE", "0")];
/// From the wish for a certificate until it is served, with the kubelet's round between.
const ISSUED: Duration = Duration::from_secs(90);
/// How long certificates last that are to be renewed while a test looks on.
const SHORT: Duration = Duration::from_secs(150);
const LONG: Duration = Duration::from_secs(90 * 24 * 3600);
/// Row 26: failed validations in an hour.
const FAILED: usize = 5;

/// S42: ordered after a probe over port 80, in use, and renewed at two thirds of its life.
pub(in crate::suite) async fn a_certificate_is_ordered_after_a_probe_and_renewed_s42(cluster: &Cluster) -> Result<()> {
    cluster.with_temp_ns("acme", async |namespace| ordered(cluster, namespace).await).await
}

async fn ordered(cluster: &Cluster, namespace: &str) -> Result<()> {
    let site = Site::new(cluster, namespace, "acme").await?;
    let pebble = Pebble::start(&site, SHORT).await?;
    let mut spec = pebble.spec(&site, "required");
    spec["proxy"]["extraEnv"] = json!([{"name": "HUB_PROXY_ACCESS_LOG", "value": "true"}]);
    pebble.apply_when_resolved(&site, spec).await?;
    let authority = pebble.authority().await?;
    let first = await_pebbles(&site, "").await?;
    site.await_ready(&authority).await?;
    let expected = Expected { source: PEBBLE.to_owned(), issuer: "Pebble Intermediate".to_owned(), chain: 2 };
    conforms(&site, &authority, &expected).await?;

    let asked = pebble.validations().await?;
    ensure!(asked > 0, "Pebble asked for no answer to a challenge");
    let log = access_log(&site).await?;
    let answered = log.iter().filter(|line| line["status"] == 200).count();
    ensure!(answered > asked, "{asked} validations, {} requests for challenges, {answered} answers", log.len());

    let second = await_pebbles(&site, &first).await.context("the renewal")?;
    ensure!(second != first, "the certificate was not renewed");
    site.browser("anybody", &authority)?.look("/hub/health").await?.expect(&[200])?;
    let events = ["--namespace", namespace, "get", "events", "--output", "jsonpath={.items[*].reason}"];
    let events = cluster.kubectl(&events).await?;
    for reason in ["CertificateIssued", "CertificateRenewed"] {
        ensure!(events.split(' ').any(|event| event == reason), "there is no event {reason}: {events}");
    }
    Ok(())
}

/// The proxy that ours stands in for gets its answers to challenges by its REST API as well.
pub(in crate::suite) async fn configurable_http_proxy_serves_a_certificate_by_acme(cluster: &Cluster) -> Result<()> {
    cluster
        .with_temp_ns("chp", async |namespace| {
            let site = Site::new(cluster, namespace, "chp").await?;
            let pebble = Pebble::start(&site, LONG).await?;
            let mut spec = pebble.spec(&site, "required");
            // Challenges are redirected as well, and authorities follow to port 443 only.
            spec["publicUrl"] = json!(format!("https://{}/", site.host));
            spec["proxy"]["implementation"] = json!("configurable-http-proxy");
            spec["proxy"]["image"] = json!(cluster.peers()?.configurable_http_proxy);
            // That proxy knows nothing of it.
            spec["https"].as_object_mut().context("https is an object")?.remove("hsts");
            pebble.apply_when_resolved(&site, spec).await?;
            let authority = pebble.authority().await?;
            await_pebbles(&site, "").await?;
            site.await_ready(&authority).await?;
            people_work(&site, &authority).await.map(|_| ())
        })
        .await
}

/// Row 26: who can't be validated costs the authority little, is answered with a temporary certificate, and is told why.
pub(in crate::suite) async fn failed_validations_back_off_row_26(cluster: &Cluster) -> Result<()> {
    cluster
        .with_temp_ns("lost", async |namespace| {
            let site = Site::new(cluster, namespace, "lost").await?;
            let pebble = Pebble::start(&site, LONG).await?;
            // For Pebble the name leads to Pebble's own pod, where nothing listens on port 80.
            site.place.apply(pebble.spec(&site, "skip")).await?;
            let told = async || {
                let condition = site.condition(condition::CERTIFICATE_READY).await?;
                let names_it = condition.message.contains(&site.host);
                ensure!(condition.status == "False" && names_it, "CertificateReady is {condition:?}");
                ensure!(pebble.failures().await? > 0, "no validation has failed yet");
                Ok(())
            };
            cluster.eventually("the status to tell of a failed validation", ISSUED, told).await?;
            ensure!(site.certificate().await?.source == "temporary", "the status tells of no temporary certificate");
            cluster.eventually("HTTPS to be answered meanwhile", ISSUED, async || site.served().await).await?;
            tokio::time::sleep(Duration::from_secs(60)).await;
            let failures = pebble.failures().await?;
            ensure!(failures <= FAILED, "{failures} validations failed within minutes");
            cluster.measured("failed validations within a minute", failures.to_string());
            Ok(())
        })
        .await
}

/// Pebble in a test's namespace, and its DNS server in the same pod.
struct Pebble<'a> {
    cluster: &'a Cluster,
    namespace: &'a str,
}

impl<'a> Pebble<'a> {
    /// Certificates last as long as `life`.
    async fn start(site: &Site<'a>, life: Duration) -> Result<Self> {
        let (cluster, namespace) = (site.place.cluster, site.place.namespace);
        let config = json!({"pebble": {
            "listenAddress": "0.0.0.0:14000", "managementListenAddress": "0.0.0.0:15000",
            "certificate": "/etc/peer/tls.crt", "privateKey": "/etc/peer/tls.key",
            "httpPort": 80, "tlsPort": 443, "ocspResponderURL": "", "externalAccountBindingRequired": false,
            "retryAfter": {"authz": 1, "order": 1}, "keyAlgorithm": "ecdsa",
            "profiles": {"default": {"description": "", "validityPeriod": life.as_secs()}},
        }});
        let authority = Authority::root("Pebble's own")?;
        let own = authority.issue(&format!("{PEBBLE}.{namespace}.svc"))?;
        let data = [("tls.crt", &own.certificate), ("tls.key", &own.key), ("ca.crt", &authority.pem())];
        let config = config.to_string();
        let data = data.map(|(key, value)| (key, value.as_str())).into_iter().chain([("pebble.json", config.as_str())]);
        site.put_secret(PEBBLE, &data.collect::<Vec<_>>()).await?;

        let peers = cluster.peers()?;
        let args = ["-config", "/etc/peer/pebble.json", "-dnsserver", "127.0.0.1:8053"];
        let pebble = pods::container(PEBBLE, &peers.pebble, &args, PEBBLE_ENV);
        let nothing_else = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "", "-defaultIPv6", ""];
        let dns = pods::container("dns", &peers.challtestsrv, &nothing_else, &[]);
        let ports: Vec<_> = [("acme", 14000), ("management", 15000), ("dns", 8055)]
            .map(|(name, port)| json!({"name": name, "port": port}))
            .into();
        pods::start(cluster, namespace, PEBBLE, &[pebble, dns], json!({"ports": ports})).await?;
        Ok(Self { cluster, namespace })
    }

    /// A Hub that orders its certificate here.
    fn spec(&self, site: &Site<'_>, self_check: &str) -> Value {
        site.spec(&json!({
            "type": "letsencrypt", "hosts": [site.host], "hsts": hsts(),
            "letsencrypt": {
                "email": "ada@example.org",
                "server": format!("https://{PEBBLE}.{}.svc:14000/dir", self.namespace),
                "serverCaSecretRef": {"name": PEBBLE, "key": "ca.crt"},
                "selfCheck": self_check,
            },
        }))
    }

    /// Applies the Hub with a certificate of its own first, so that the proxy has an address that the DNS server can tell.
    async fn apply_when_resolved(&self, site: &Site<'_>, spec: Value) -> Result<()> {
        let mut first = spec.clone();
        first["https"] = json!({"type": "selfSigned"});
        // No pod is rolled by what changes then.
        if let Some(hsts) = spec["https"].get("hsts") {
            first["https"]["hsts"] = hsts.clone();
        }
        site.place.apply(first).await?;
        let services: Api<Service> = self.cluster.api(self.namespace);
        let name = child::proxy_public(site.place.name);
        let is_there = |service: Option<&Service>| service.is_some();
        let service = self.cluster.await_condition(&services, &name, "the Service", ISSUED, is_there).await?;
        let address = service.and_then(|service| service.spec?.cluster_ip).context("the Service has an address")?;
        let record = json!({"host": site.host, "addresses": [address]}).to_string();
        let path = format!("/api/v1/namespaces/{}/services/{PEBBLE}:dns/proxy/add-a", self.namespace);
        self.cluster.kubectl_with(&["create", "--raw", &path, "-f", "-"], record.as_str()).await?;
        site.place.apply(spec).await.map(|_| ())
    }

    /// The root of what Pebble issues: another one each time that it starts.
    async fn authority(&self) -> Result<String> {
        let path = format!("/api/v1/namespaces/{}/services/https:{PEBBLE}:management/proxy/roots/0", self.namespace);
        self.cluster.kubectl(&["get", "--raw", &path]).await
    }

    /// How often Pebble asked for the answer to a challenge.
    async fn validations(&self) -> Result<usize> {
        Ok(self.log().await?.matches("Attempting to validate w/ HTTP").count())
    }

    async fn failures(&self) -> Result<usize> {
        let log = self.log().await?;
        Ok(log.lines().filter(|line| line.contains("authz") && line.contains("set INVALID")).count())
    }

    async fn log(&self) -> Result<String> {
        let pods: Api<Pod> = self.cluster.api(self.namespace);
        let of_pebble = LogParams { container: Some(PEBBLE.to_owned()), ..LogParams::default() };
        Ok(pods.logs(PEBBLE, &of_pebble).await?)
    }
}

/// Waits until a certificate of Pebble's is served that is another than the one with this serial number; gives its own.
async fn await_pebbles(site: &Site<'_>, not: &str) -> Result<String> {
    let is_served = async || {
        let served = site.served().await?;
        ensure!(served.issuer.contains("Pebble"), "served is a certificate of {}", served.issuer);
        ensure!(served.serial != not, "served is the same certificate");
        Ok(served.serial)
    };
    site.place.cluster.eventually("a certificate of Pebble's", SHORT.max(ISSUED), is_served).await
}

/// What the proxy's access log has about challenges.
async fn access_log(site: &Site<'_>) -> Result<Vec<Value>> {
    let pods: Api<Pod> = site.place.cluster.api(site.place.namespace);
    let log = pods.logs(&site.place.pod(label_value::PROXY).await?.name_any(), &LogParams::default()).await?;
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_challenge = |path: &str| path.starts_with("/.well-known/acme-challenge/");
    Ok(lines.filter(|line| line["path"].as_str().is_some_and(of_challenge)).collect())
}
