//! A hub in a cluster.

use hub_crds::config::{HubConfig, KubernetesConfig};
use std::path::Path;
use url::Url;

use super::{Finding, database, hub, in_time, proxy, secret, whole};
use crate::{
    auth_state::CryptKeeper,
    config::database_place,
    cookie_secret::CookieSecret,
    proxy::{ProxyClient, ProxyToken},
    spawner::kubernetes::permissions,
};

pub(super) async fn examine(file: &Path, config: &HubConfig) -> Vec<Finding> {
    let mut findings = vec![
        ("settings", Ok(file.display().to_string())),
        ("cookie secret", secret(&config.cookie_secret_file, |file| CookieSecret::file(file).map(drop))),
        ("proxy token", secret(&config.proxy.token_file, |file| ProxyToken::file(file).check())),
    ];
    if let Some(file) = &config.crypt_keys_file {
        findings.push(("crypt keys", secret(file, |file| CryptKeeper::file(file).map(drop))));
    }
    let client = ProxyClient::new(&config.proxy.api_url, ProxyToken::file(&config.proxy.token_file));
    findings.push(("database", in_time(database_of(config)).await));
    findings.push(("names", in_time(names(config)).await));
    findings.push(("proxy", in_time(proxy(&config.proxy.api_url, &client)).await));
    findings.push(("hub", in_time(hub(&config.connect_url, &config.base_url, false)).await));
    if let Some(kubernetes) = &config.kubernetes {
        findings.push(("permissions", in_time(allowed(kubernetes)).await));
    }
    findings
}

async fn database_of(config: &HubConfig) -> Result<String, String> {
    database(&database_place(config).map_err(whole)?).await
}

/// The hosts that hub, proxy and servers call each other by.
async fn names(config: &HubConfig) -> Result<String, String> {
    let mut found = Vec::new();
    for address in [&config.connect_url, &config.proxy.api_url] {
        let url = Url::parse(address).map_err(whole)?;
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { continue };
        let resolved = tokio::net::lookup_host((host.trim_matches(['[', ']']), port)).await;
        resolved.map(drop).map_err(|error| {
            format!("{host} is not known ({error}): look at the Services, and at the cluster's DNS")
        })?;
        found.push(host.to_owned());
    }
    Ok(found.join(", "))
}

async fn allowed(kubernetes: &KubernetesConfig) -> Result<String, String> {
    let missing = permissions::missing(&kubernetes.namespace).await.map_err(whole)?;
    if missing.is_empty() {
        return Ok(format!("servers can be started in namespace {}", kubernetes.namespace));
    }
    Err(format!(
        "the hub's ServiceAccount may not {} in namespace {}: the operator's Role and RoleBinding give it that; look for what \
         took them away",
        missing.join(", "),
        kubernetes.namespace
    ))
}
