//! `hub-operator check`: does an installation stand? What `helm test` runs.

use anyhow::{Context, bail};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client, Config, api::ListParams};

use hub_crds::Hub;

/// Flags of `hub-operator check`; each can be an environment variable
#[derive(clap::Args, Clone, Debug)]
pub struct CheckArgs {
    /// Namespaces that the operator watches, separated by commas; all by default
    #[arg(long, env = "WATCH_NAMESPACES", value_delimiter = ',', value_name = "NAMESPACES")]
    pub watch_namespaces: Vec<String>,
    /// Name of the lease by which one of several replicas leads
    #[arg(long, env = "LEASE_NAME", default_value = "hub-operator", value_name = "NAME")]
    pub lease_name: String,
    /// Namespace of the lease; by default the pod's, or that of the kubeconfig
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE")]
    pub lease_namespace: Option<String>,
}

/// Says what it finds on standard output; an error is the first thing that is wrong, with the remedy.
pub async fn check(args: CheckArgs) -> anyhow::Result<()> {
    // Only the first of several can install one, and any will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = Config::infer().await.context("failed to find a cluster: set KUBECONFIG, or run in a pod")?;
    let namespace = args.lease_namespace.unwrap_or_else(|| config.default_namespace.clone());
    let client = Client::try_from(config).context("failed to set up the client")?;
    hubs_can_be_seen(&client, &args.watch_namespaces).await?;
    somebody_leads(&client, &namespace, &args.lease_name).await
}

async fn hubs_can_be_seen(client: &Client, namespaces: &[String]) -> anyhow::Result<()> {
    let apis: Vec<(String, Api<Hub>)> = if namespaces.is_empty() {
        vec![("all namespaces".to_owned(), Api::all(client.clone()))]
    } else {
        namespaces.iter().map(|name| (name.clone(), Api::namespaced(client.clone(), name))).collect()
    };
    for (place, api) in apis {
        api.list_metadata(&ListParams::default().limit(1)).await.with_context(|| {
            format!("failed to list Hubs in {place}: are the chart hub-crds and the operator's permissions installed?")
        })?;
        println!("Hubs can be seen in {place}");
    }
    Ok(())
}

async fn somebody_leads(client: &Client, namespace: &str, name: &str) -> anyhow::Result<()> {
    let lease = Api::<Lease>::namespaced(client.clone(), namespace)
        .get(name)
        .await
        .with_context(|| format!("failed to read the lease {namespace}/{name}: does the operator run?"))?;
    let spec = lease.spec.unwrap_or_default();
    let Some(holder) = spec.holder_identity else {
        bail!("no operator leads: none of its pods runs, see `kubectl -n {namespace} get pods`");
    };
    let renewed = spec.renew_time.map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    let age = Timestamp::now().duration_since(renewed).as_secs();
    if age > i64::from(spec.lease_duration_seconds.unwrap_or_default()) {
        bail!("{holder} stopped leading {age} s ago: see `kubectl -n {namespace} logs {holder} --previous`");
    }
    println!("{holder} leads");
    Ok(())
}
