//! `hub doctor`: whether a hub has what it needs, one line for each thing, with what to do about it.

use hub_crds::{
    config::{HubConfig, KubernetesConfig},
    names::path::{CONFIG_DIR, CONFIG_FILE},
};
use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::timeout;
use url::Url;

use crate::{
    auth_state::CryptKeeper,
    config,
    cookie_secret::CookieSecret,
    database::Database,
    proxy::{ProxyClient, ProxyToken},
    spawner::kubernetes::permissions,
};

/// Looks for what is wrong with a hub.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  kubectl exec deploy/jhub-hub -- hub doctor
  hub doctor --config hub.yaml

Settings, secrets, database, proxy, names and permissions are looked at, and nothing is changed. It may run beside the hub or in
its place. Each line starts with `ok` or `wrong`; the remedy follows.
Exit codes: 0 nothing is wrong, 1 something is, 2 wrong usage.")]
pub struct Doctor {
    /// The hub's settings
    #[arg(long, value_name = "FILE", env = "HUB_CONFIG", default_value_os_t = Path::new(CONFIG_DIR).join(CONFIG_FILE))]
    config: PathBuf,
}

/// How long one thing may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was looked at, and how it is; or what is wrong, and the remedy.
type Finding = (&'static str, Result<String, String>);

impl Doctor {
    pub async fn run(self) -> anyhow::Result<()> {
        let findings = match config::load(&self.config) {
            Ok(config) => examine(&self.config, &config).await,
            Err(error) => vec![("settings", Err(whole(error)))],
        };
        let wrong = findings.iter().filter(|(_, found)| found.is_err()).count();
        for (what, found) in findings {
            match found {
                Ok(how) => println!("ok     {what:<12} {how}"),
                Err(remedy) => println!("wrong  {what:<12} {remedy}"),
            }
        }
        anyhow::ensure!(wrong == 0, "{wrong} of these are wrong");
        Ok(())
    }
}

async fn examine(file: &Path, config: &HubConfig) -> Vec<Finding> {
    let mut findings = vec![
        ("settings", Ok(file.display().to_string())),
        ("cookie secret", secret(&config.cookie_secret_file, |file| CookieSecret::file(file).map(drop))),
        ("proxy token", secret(&config.proxy.token_file, |file| ProxyToken::file(file).check())),
    ];
    if let Some(file) = &config.crypt_keys_file {
        findings.push(("crypt keys", secret(file, |file| CryptKeeper::file(file).map(drop))));
    }
    findings.push(("database", in_time(database(config)).await));
    findings.push(("names", in_time(names(config)).await));
    findings.push(("proxy", in_time(proxy(config)).await));
    findings.push(("hub", in_time(hub(config)).await));
    if let Some(kubernetes) = &config.kubernetes {
        findings.push(("permissions", in_time(allowed(kubernetes)).await));
    }
    findings
}

async fn in_time(work: impl Future<Output = Result<String, String>>) -> Result<String, String> {
    timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(format!("there was no answer in {} s", PATIENCE.as_secs())))
}

/// A file with a secret can be used, and others can't read it (S82).
fn secret<E: Into<anyhow::Error>>(file: &Path, open: impl Fn(&Path) -> Result<(), E>) -> Result<String, String> {
    open(file).map_err(whole)?;
    let mode = std::fs::metadata(file).map_err(whole)?.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        return Err(format!("others can read {} (mode {mode:04o}): run `chmod o-rwx` on it", file.display()));
    }
    Ok(file.display().to_string())
}

async fn database(config: &HubConfig) -> Result<String, String> {
    let place = config::database_place(config).map_err(whole)?;
    Database::examine(&place).await.map_err(whole)?;
    Ok(place.to_string())
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

async fn proxy(config: &HubConfig) -> Result<String, String> {
    let client = ProxyClient::new(&config.proxy.api_url, ProxyToken::file(&config.proxy.token_file));
    let routes = client.routes().await.map_err(whole)?;
    Ok(format!("{} has {} routes", config.proxy.api_url, routes.len()))
}

/// As servers reach it.
async fn hub(config: &HubConfig) -> Result<String, String> {
    let health = format!("{}{}hub/health", config.connect_url, config.base_url);
    let client = hub_server::http_client().no_proxy().build().map_err(whole)?;
    let answer = client.get(&health).send().await.map_err(|error| {
        format!("{health} does not answer ({}): look at the hub's log, and at NetworkPolicies", whole(error))
    })?;
    if answer.status().is_success() {
        Ok(health)
    } else {
        Err(format!("{health} answers {}: look at the hub's log", answer.status()))
    }
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

fn whole(error: impl Into<anyhow::Error>) -> String {
    format!("{:#}", error.into())
}
