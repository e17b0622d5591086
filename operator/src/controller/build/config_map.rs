//! ConfigMaps: the hub's settings file, which holds no secret but the names of the files that do, and the authority of a
//! self-signed certificate.

use std::path::PathBuf;

use hub_crds::{
    Front, Pages,
    config::{FrontImage, HubConfig, HubIdentity, KubernetesConfig, PagesConfig, ProxyConnection},
    names::{child, label_value, path, port, secret_key},
};
use k8s_openapi::api::core::v1::ConfigMap;
use sha2::{Digest, Sha256};

use super::{ValidatedHub, hub_url, owned_meta, proxy_api_url};
use crate::controller::types::DatabasePlace;

pub(super) fn build_config_map(hub: &ValidatedHub) -> ConfigMap {
    let text = serde_yaml::to_string(&hub_config(hub)).expect("the settings are maps with text keys");
    ConfigMap {
        metadata: owned_meta(hub, child::hub(&hub.name), label_value::HUB),
        data: Some([(path::CONFIG_FILE.to_owned(), text)].into()),
        ..ConfigMap::default()
    }
}

/// Where the hub reports to. What is in it is the hub's own: nothing of it is applied.
pub(super) fn build_report(hub: &ValidatedHub) -> ConfigMap {
    ConfigMap { metadata: owned_meta(hub, child::report(&hub.name), label_value::HUB), ..ConfigMap::default() }
}

/// The Hub's own authority, for people to trust.
pub(super) fn build_authority(hub: &ValidatedHub) -> Option<ConfigMap> {
    let certificate = hub.certificate.authority.clone()?;
    Some(ConfigMap {
        metadata: owned_meta(hub, child::ca(&hub.name), label_value::PROXY),
        data: Some([(secret_key::CA_CERTIFICATE.to_owned(), certificate)].into()),
        ..ConfigMap::default()
    })
}

/// Changes when the settings do; on the hub's pod template it rolls the pod.
pub(super) fn checksum(config_map: &ConfigMap) -> String {
    let mut digest = Sha256::new();
    for (name, text) in config_map.data.iter().flatten() {
        digest.update(name.len().to_be_bytes());
        digest.update(name);
        digest.update(text);
    }
    hex::encode(digest.finalize())
}

fn hub_config(hub: &ValidatedHub) -> HubConfig {
    HubConfig {
        base_url: hub.base_url.clone(),
        public_url: hub.public_url.clone(),
        subdomain_host: hub.subdomain_host.clone(),
        bind: format!("0.0.0.0:{}", port::HUB),
        connect_url: hub_url(hub),
        https: hub.https,
        database_file: hub.database.claim(&hub.name).map(|_| PathBuf::from(path::DATABASE_FILE)),
        database_url_file: matches!(hub.database, DatabasePlace::Postgres(_))
            .then(|| PathBuf::from(path::DATABASE_DIR).join(secret_key::DATABASE_URL)),
        cookie_secret_file: PathBuf::from(path::COOKIE_DIR).join(secret_key::COOKIE_SECRET),
        crypt_keys_file: hub.crypt_keys.then(|| PathBuf::from(path::CRYPT_DIR).join(secret_key::CRYPT_KEYS)),
        cookie_host_prefix: hub.cookie_host_prefix,
        proxy: ProxyConnection {
            api_url: proxy_api_url(hub),
            service: Some(child::proxy_api(&hub.name)),
            token_file: PathBuf::from(path::PROXY_DIR).join(secret_key::PROXY_TOKEN),
            trusted_proxies: hub.trusted_proxies.clone(),
        },
        auth: hub.auth.clone(),
        login_limits: hub.login_limits.clone(),
        servers: hub.server_limits.clone(),
        clients: hub.client_rules.clone(),
        sessions: hub.sessions.clone(),
        landing: hub.landing.clone(),
        api_pages: hub.api_pages.clone(),
        activity: hub.activity.clone(),
        pages: pages(hub),
        cull: hub.cull.clone(),
        control_socket: PathBuf::from(path::CONTROL_SOCKET),
        rbac: hub.rbac.clone(),
        kubernetes: Some(KubernetesConfig {
            hub: HubIdentity { name: hub.name.clone(), namespace: hub.namespace.clone(), uid: hub.uid.clone() },
            report: Some(child::report(&hub.name)),
            namespace: hub.user_namespace.clone(),
            singleuser: hub.singleuser.clone(),
            front: hub.singleuser.front.map(|Front::HubServer| front_image(hub)),
            internal_tls_dir: hub.has_internal_tls.then(|| PathBuf::from(path::INTERNAL_TLS_DIR)),
        }),
    }
}

fn pages(hub: &ValidatedHub) -> PagesConfig {
    let Pages { title, logo, announcement, links } = hub.pages.clone();
    PagesConfig {
        title,
        logo_file: logo.map(|logo| PathBuf::from(path::PAGES_DIR).join(logo.key)),
        announcement,
        links,
    }
}

/// The hub's image has the program. Secrets are found in their own namespace only.
fn front_image(hub: &ValidatedHub) -> FrontImage {
    let same_namespace = hub.user_namespace == hub.namespace;
    FrontImage {
        image: hub.hub.image.clone(),
        image_pull_policy: hub.hub.image_pull_policy.clone(),
        image_pull_secrets: if same_namespace { hub.hub.image_pull_secrets.clone() } else { Vec::new() },
    }
}
