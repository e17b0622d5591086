//! Tells the operator, in a ConfigMap, which versions of the secrets this hub and its proxy have, and what somebody in its
//! pod asked for. Written only when it changes.

use anyhow::Context;
use hub_crds::{
    config::KubernetesConfig,
    report::{KEY, Report},
    versions::Versions,
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;
use std::{collections::BTreeSet, env, time::Duration};
use tokio::time::Instant;

use crate::{app::App, proxy::ProxyClient, rotation, spawner::kubernetes};

const INTERVAL: Duration = Duration::from_secs(1);
/// Of the fields that the hub applies.
const FIELD_MANAGER: &str = "hub";
/// A proxy that refuses a version is asked again after a while, which grows: one may never take it.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Writes the report of one hub.
pub struct Reporter {
    config_maps: Api<ConfigMap>,
    name: String,
    pod: String,
    written: Option<Report>,
    trial: Trial,
}

/// Which versions of its token the proxy has been seen to take.
struct Trial {
    of: Option<Versions>,
    accepted: BTreeSet<u32>,
    next: Instant,
    wait: Duration,
}

impl Reporter {
    /// For the ConfigMap that the settings name; `None` if they name none.
    ///
    /// # Errors
    /// There is no way to the API server.
    pub async fn connect(config: &KubernetesConfig) -> anyhow::Result<Option<Self>> {
        let Some(name) = &config.report else { return Ok(None) };
        let client = kubernetes::connect().await.context("failed to connect to the API server")?;
        Ok(Some(Self::new(&client, &config.hub.namespace, name)))
    }

    /// Writes to the ConfigMap of that name.
    pub fn new(client: &Client, namespace: &str, name: &str) -> Self {
        Self {
            config_maps: Api::namespaced(client.clone(), namespace),
            name: name.to_owned(),
            // Kubernetes gives each container the name of its pod.
            pod: env::var("HOSTNAME").unwrap_or_default(),
            written: None,
            trial: Trial { of: None, accepted: BTreeSet::new(), next: Instant::now(), wait: FIRST_WAIT },
        }
    }

    /// Runs until the hub stops.
    pub async fn run(mut self, app: App) {
        let stopping = app.stopping.clone();
        let mut failing = false;
        let work = async {
            loop {
                let result = self.update(&app).await;
                if let (Err(error), false) = (&result, failing) {
                    tracing::warn!(
                        error.message = format!("{error:#}"),
                        "the operator could not be told of the secrets"
                    );
                }
                failing = result.is_err();
                tokio::time::sleep(INTERVAL).await;
            }
        };
        stopping.run_until_cancelled(work).await;
    }

    /// Writes the report if it is another one.
    ///
    /// # Errors
    /// Something can't be read, or the ConfigMap can't be written.
    pub async fn update(&mut self, app: &App) -> anyhow::Result<()> {
        let report = self.report(app).await?;
        if self.written.as_ref() == Some(&report) {
            return Ok(());
        }
        let config_map = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": self.name},
            "data": {KEY: serde_json::to_string(&report)?},
        });
        let apply = PatchParams::apply(FIELD_MANAGER).force();
        self.config_maps
            .patch(&self.name, &apply, &Patch::Apply(config_map))
            .await
            .with_context(|| format!("failed to write the ConfigMap {}", self.name))?;
        self.written = Some(report);
        Ok(())
    }

    async fn report(&mut self, app: &App) -> anyhow::Result<Report> {
        let proxy = app.servers.proxy();
        let token = proxy.token().versions()?;
        let crypt_keys = app.crypt_keys.as_ref();
        Ok(Report {
            pod: self.pod.clone(),
            cookie_secret: app.cookie_secret.get()?.versions.accepted.clone(),
            proxy: self.trial.run(proxy, &token).await,
            proxy_token: token.accepted,
            crypt_keys: crypt_keys.map(|keeper| keeper.versions()).transpose()?.map(|v| v.accepted).unwrap_or_default(),
            crypt_keys_in_use: crypt_keys.map(|keeper| keeper.in_use()).unwrap_or_default(),
            request: rotation::newest_request(app).await?,
        })
    }
}

impl Trial {
    /// The versions that the proxy has taken so far. Others are tried, until all are taken.
    async fn run(&mut self, proxy: &ProxyClient, token: &Versions) -> BTreeSet<u32> {
        if self.of.as_ref() != Some(token) {
            self.accepted.retain(|version| token.accepted.contains(version));
            (self.of, self.next, self.wait) = (Some(token.clone()), Instant::now(), FIRST_WAIT);
        }
        let open: BTreeSet<_> = token.accepted.difference(&self.accepted).copied().collect();
        if !open.is_empty() && Instant::now() >= self.next {
            // A proxy that can't be reached is asked again like one that refuses; keeping the routes tells of it.
            self.accepted.extend(proxy.accepted_versions(&open).await.unwrap_or_default());
            self.next = Instant::now() + self.wait;
            self.wait = (self.wait * 2).min(LONGEST_WAIT);
        }
        self.accepted.clone()
    }
}
