//! A Hub whose people log in at a real provider, in Chromium: both in pods, each found by the node's address.

use anyhow::{Result, ensure};
use serde_json::json;

use super::{
    https::{Site, pods},
    hubs,
    webdriver::{Browser, ENTER},
};
use crate::{
    cluster::Cluster,
    oidc_provider::{CLIENT_ID, CLIENT_SECRET, clients_of},
};

/// The provider's pod, Service and Secret.
const PROVIDER: &str = "login";
const CLIENT: &str = "provider-client";

/// Discovery, login, the provider's groups as the Hub's, and a logout on both sides.
pub(super) async fn people_log_in_and_out_at_a_provider(cluster: &Cluster) -> Result<()> {
    cluster
        .with_temp_ns("oidc", async |namespace| {
            let site = Site::new(cluster, namespace, "campus").await?;
            let hub = format!("http://{}", cluster.node_address(site.http_port).await?);
            let issuer = format!("http://{}", cluster.node_address(site.https_port).await?);
            start_provider(&site, &issuer, &hub).await?;
            site.put_secret(CLIENT, &[("secret", CLIENT_SECRET)]).await?;
            let mut spec = hubs::spec(cluster);
            spec["publicUrl"] = json!(format!("{hub}/"));
            spec["proxy"]["service"]["nodePorts"] = json!({"http": site.http_port});
            spec["security"] = json!({"cryptKeys": {}});
            spec["auth"] = json!({
                "oidc": {
                    "issuer": issuer,
                    "clientId": CLIENT_ID,
                    "clientSecretRef": {"name": CLIENT, "key": "secret"},
                    "displayName": "Campus",
                    "adminGroups": ["ops"],
                },
                "allowedGroups": ["staff"],
                "manageGroups": true,
                "enableAuthState": true,
            });
            site.place.apply(spec).await?;
            site.place.await_ready().await?;
            Browser::with(cluster.output()?, "oidc-cluster", async |browser| {
                log_in_and_out(browser, &hub, &issuer).await
            })
            .await
        })
        .await
}

async fn start_provider(site: &Site<'_>, issuer: &str, hub: &str) -> Result<()> {
    let (cluster, namespace) = (site.place.cluster, site.place.namespace);
    let mut clients = clients_of(hub);
    clients[0]["token_endpoint_auth_method"] = json!("client_secret_basic");
    let people = json!({"u1": {"preferred_username": "Ada", "groups": ["staff", "ops"]}});
    let (clients, people) = (clients.to_string(), people.to_string());
    site.put_secret(PROVIDER, &[("clients.json", &clients), ("people.json", &people)]).await?;
    // The same packages as the proxy's.
    let image = &cluster.peers()?.configurable_http_proxy;
    let mut container = pods::container(PROVIDER, image, &[issuer, "/etc/peer/clients.json"], &[]);
    container["command"] = json!(["node", "/srv/oidc-provider.mjs"]);
    let port = site.https_port;
    container["readinessProbe"] = json!({"httpGet": {"path": "/jwks", "port": port}, "periodSeconds": 1});
    let port = json!({"port": port, "targetPort": port, "nodePort": port});
    pods::start(cluster, namespace, PROVIDER, &[container], json!({"type": "NodePort", "ports": [port]})).await?;
    Ok(())
}

async fn log_in_and_out(browser: &Browser, hub: &str, issuer: &str) -> Result<()> {
    browser.goto(&format!("{hub}/hub/login?next=%2Fhub%2Fhome")).await?;
    browser.click("#login_provider").await?;
    browser.await_path(|path| path.starts_with("/interaction/")).await?;
    ensure!(browser.url().await?.as_str().starts_with(issuer), "the form is at {}", browser.url().await?);
    browser.type_into("input[name=login]", "u1").await?;
    browser.type_into("input[name=password]", &format!("x{ENTER}")).await?;
    browser.await_path(|path| path == "/hub/home").await?;
    let script = "return (await fetch('/hub/api/user')).json()";
    let me = browser.script(script, json!([])).await?;
    ensure!(me["name"] == "ada" && me["admin"] == true && me["groups"] == json!(["ops", "staff"]), "it is {me}");

    browser.goto(&format!("{hub}/hub/logout")).await?;
    browser.await_path(|path| path == "/session/end").await?;
    browser.click("button[name=logout]").await?;
    browser.await_path(|path| path == "/hub/login").await?;
    // At the provider, too: it asks again.
    browser.click("#login_provider").await?;
    browser.await_path(|path| path.starts_with("/interaction/")).await
}
