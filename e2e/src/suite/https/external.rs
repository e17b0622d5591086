//! TLS that ends in front of the proxy: a real nginx, as people have it (S46).

use anyhow::{Context, Result, ensure};
use hub_crds::status::{condition, reason};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::Api;
use reqwest::Method;
use serde_json::json;

use super::{Site, header, people_work, pods};
use crate::{cluster::Cluster, http::client, suite::tls::Authority};

const NGINX: &str = "front";
/// An address that nobody here has.
const ELSEWHERE: &str = "203.0.113.7";

/// S46: people work through nginx, WebSockets too; what it says of their addresses is believed, and nobody else's word.
pub(in crate::suite) async fn tls_that_ends_in_nginx_s46(cluster: &Cluster) -> Result<()> {
    cluster
        .with_temp_ns("external", async |namespace| {
            let (site, root) = (Site::new(cluster, namespace, "behind").await?, Authority::root("e2e root")?);
            let nginx = start_nginx(&site, &root).await?;
            let mut spec = site.spec(&json!({"type": "external"}));
            spec["proxy"]["service"]["nodePorts"] = json!({"http": site.http_port});
            spec["proxy"]["trustedProxies"] = json!([format!("{nginx}/32")]);
            site.place.apply(spec).await?;
            site.await_ready(&root.pem()).await?;
            let ada = people_work(&site, &root.pem()).await?;
            let configured = site.condition(condition::TLS_CONFIGURED).await?;
            ensure!(configured.status == "True" && configured.reason == reason::TERMINATED_OUTSIDE, "{configured:?}");
            ensure!(
                site.certificate().await.is_err(),
                "the status tells of a certificate that the proxy does not have"
            );

            let through = ada.visit("/user/ada/").await?.json()?;
            ensure!(header(&through, "x-forwarded-proto") == Some("https"), "nginx's word is not taken: {through}");
            only_nginx_is_believed(&site).await
        })
        .await
}

/// Whoever comes past nginx says in vain who they are and how they came.
async fn only_nginx_is_believed(site: &Site<'_>) -> Result<()> {
    let request = client(None)?.request(Method::GET, format!("http://{}/user/ada/", site.http()));
    let claims = [
        ("Host", site.host.as_str()),
        ("X-Forwarded-For", ELSEWHERE),
        ("X-Real-IP", ELSEWHERE),
        ("X-Forwarded-Proto", "https"),
        ("Forwarded", "for=203.0.113.7;proto=https"),
    ];
    let claimed = claims.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let seen = claimed.send().await?.error_for_status()?.json().await?;
    ensure!(header(&seen, "x-forwarded-proto") == Some("http"), "the claim to come over TLS is believed: {seen}");
    ensure!(!seen.to_string().contains(ELSEWHERE), "the claim to come from elsewhere is believed: {seen}");
    Ok(())
}

/// Gives its pod's address.
async fn start_nginx(site: &Site<'_>, root: &Authority) -> Result<String> {
    let (cluster, namespace) = (site.place.cluster, site.place.namespace);
    let own = root.issue(&site.host)?;
    let config = config(&dns_server(cluster).await?, &site.host);
    let data = [("tls.crt", &own.certificate), ("tls.key", &own.key), ("nginx.conf", &config)];
    site.put_secret(NGINX, &data.map(|(key, value)| (key, value.as_str()))).await?;
    let container = pods::container(NGINX, &cluster.peers()?.nginx, &[], &[]);
    let port = json!({"port": 443, "targetPort": 8443, "nodePort": site.https_port});
    let service = json!({"type": "NodePort", "ports": [port]});
    let pod: Pod = pods::start(cluster, namespace, NGINX, &[container], service).await?;
    pod.status.and_then(|status| status.pod_ip).context("a pod that runs has an address")
}

/// The cluster's own, which nginx has to be told: it asks when somebody comes, not when it starts.
async fn dns_server(cluster: &Cluster) -> Result<String> {
    let services: Api<Service> = cluster.api("kube-system");
    services.get("kube-dns").await?.spec.and_then(|spec| spec.cluster_ip).context("the cluster has a DNS server")
}

fn config(dns_server: &str, hub: &str) -> String {
    format!(
        "pid /tmp/nginx.pid;
error_log /dev/stderr;
events {{}}
http {{
    access_log /dev/stdout;
    client_body_temp_path /tmp/body;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;
    resolver {dns_server} valid=5s;
    map $http_upgrade $connection_upgrade {{
        default upgrade;
        '' close;
    }}
    server {{
        listen 8443 ssl;
        ssl_certificate /etc/peer/tls.crt;
        ssl_certificate_key /etc/peer/tls.key;
        location / {{
            set $hub http://{hub}:80;
            proxy_pass $hub;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_buffering off;
        }}
    }}
}}
"
    )
}
