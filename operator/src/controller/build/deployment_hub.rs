//! The hub's Deployment.

use std::collections::BTreeMap;

use hub_crds::{
    AuditLog, ConfigMapKeyRef, SecretKeyRef,
    names::{CONFIG_CHECKSUM_ANNOTATION, child, label_value, path, port, secret_key},
};
use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{
            ConfigMap, ConfigMapVolumeSource, Container, KeyToPath, PersistentVolumeClaimVolumeSource, PodSpec,
            PodTemplateSpec, ProjectedVolumeSource, SecretProjection, Volume, VolumeMount, VolumeProjection,
        },
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::{ValidatedHub, config_map, owned_meta, pod, selector};
use crate::controller::types::DatabasePlace;

/// Volume of the certificates by which pods know each other.
const INTERNAL_TLS: &str = "internal-tls";
/// Seconds that a hub has to end: it holds nothing that would take long.
const GRACE_SECONDS: i64 = 5;

pub(super) fn build_hub_deployment(hub: &ValidatedHub, config_map: &ConfigMap) -> Deployment {
    let mut template = build_template(hub);
    let checksum = config_map::checksum(config_map);
    template.metadata.get_or_insert_default().annotations =
        Some([(CONFIG_CHECKSUM_ANNOTATION.to_owned(), checksum)].into());
    Deployment {
        metadata: owned_meta(hub, child::hub(&hub.name), label_value::HUB),
        spec: Some(DeploymentSpec {
            replicas: Some(1),
            strategy: Some(build_strategy(&hub.database)),
            selector: LabelSelector { match_labels: Some(selector(hub, label_value::HUB)), ..LabelSelector::default() },
            revision_history_limit: Some(3),
            template,
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    }
}

/// One SQLite file, one hub. With PostgreSQL the next one stands ready, and waits for the lead, before the old one ends.
fn build_strategy(database: &DatabasePlace) -> DeploymentStrategy {
    match database {
        DatabasePlace::Volume(_) | DatabasePlace::Claim(_) => {
            DeploymentStrategy { type_: Some("Recreate".to_owned()), rolling_update: None }
        }
        DatabasePlace::Postgres(_) => DeploymentStrategy {
            type_: Some("RollingUpdate".to_owned()),
            rolling_update: Some(RollingUpdateDeployment {
                max_surge: Some(IntOrString::Int(1)),
                max_unavailable: Some(IntOrString::Int(0)),
            }),
        },
    }
}

fn build_template(hub: &ValidatedHub) -> PodTemplateSpec {
    let spec = PodSpec {
        service_account_name: Some(child::hub(&hub.name)),
        automount_service_account_token: Some(true),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        containers: vec![build_container(hub)],
        volumes: Some(build_volumes(hub)),
        ..PodSpec::default()
    };
    pod::template(hub, label_value::HUB, &hub.hub, spec)
}

fn build_container(hub: &ValidatedHub) -> Container {
    let health = format!("{}hub/health", hub.base_url);
    Container {
        name: label_value::HUB.to_owned(),
        image: Some(hub.hub.image.clone()),
        image_pull_policy: hub.hub.image_pull_policy.clone(),
        args: Some(arguments(hub)),
        env: Some(hub.hub.extra_env.clone()).filter(|env| !env.is_empty()),
        ports: Some(vec![pod::container_port(port::HUB_NAME, port::HUB)]),
        resources: Some(hub.hub.resources.clone()),
        security_context: Some(pod::container_security()),
        startup_probe: Some(pod::http_probe(health.clone(), port::HUB_NAME, 1, 120)),
        // A hub that hangs is running again within 40 s, its grace period included.
        liveness_probe: Some(pod::http_probe(health.clone(), port::HUB_NAME, 5, 4)),
        readiness_probe: Some(pod::http_probe(health, port::HUB_NAME, 1, 3)),
        volume_mounts: Some(build_mounts(hub)),
        ..Container::default()
    }
}

fn arguments(hub: &ValidatedHub) -> Vec<String> {
    let config = format!("{}/{}", path::CONFIG_DIR, path::CONFIG_FILE);
    let mut arguments = vec!["serve".to_owned(), "--config".to_owned(), config];
    arguments.extend(pod::log_format(hub.log_format));
    if hub.audit_log == AuditLog::File {
        arguments.push(format!("--audit-file={}", path::AUDIT_FILE));
    }
    arguments
}

fn build_mounts(hub: &ValidatedHub) -> Vec<VolumeMount> {
    let mut mounts = vec![
        pod::read_only_mount("config", path::CONFIG_DIR),
        pod::read_only_mount("cookie-secret", path::COOKIE_DIR),
        pod::read_only_mount("proxy-token", path::PROXY_DIR),
        match &hub.database {
            DatabasePlace::Volume(_) | DatabasePlace::Claim(_) => pod::mount("data", path::DATA_DIR),
            DatabasePlace::Postgres(_) => pod::read_only_mount("database", path::DATABASE_DIR),
        },
        pod::mount("tmp", "/tmp"),
    ];
    if hub.crypt_keys {
        mounts.push(pod::read_only_mount("crypt-keys", path::CRYPT_DIR));
    }
    if !hub.secrets.login_tokens.is_empty() {
        mounts.push(pod::read_only_mount("login-tokens", path::LOGIN_TOKENS_DIR));
    }
    if hub.secrets.passwords.is_some() {
        mounts.push(pod::read_only_mount("passwords", path::PASSWORDS_DIR));
    }
    if hub.secrets.dummy_password.is_some() {
        mounts.push(pod::read_only_mount("dummy-password", path::DUMMY_DIR));
    }
    if !hub.secrets.oidc.is_empty() {
        mounts.push(pod::read_only_mount("oidc", path::OIDC_DIR));
    }
    if !hub.secrets.service_tokens.is_empty() {
        mounts.push(pod::read_only_mount("service-tokens", path::SERVICE_TOKENS_DIR));
    }
    if hub.pages.logo.is_some() {
        mounts.push(pod::read_only_mount("logo", path::PAGES_DIR));
    }
    if hub.has_internal_tls {
        mounts.push(pod::read_only_mount(INTERNAL_TLS, path::INTERNAL_TLS_DIR));
    }
    mounts
}

fn build_volumes(hub: &ValidatedHub) -> Vec<Volume> {
    let mut volumes = vec![
        Volume {
            name: "config".to_owned(),
            config_map: Some(ConfigMapVolumeSource { name: child::hub(&hub.name), ..ConfigMapVolumeSource::default() }),
            ..Volume::default()
        },
        pod::whole_secret_volume("cookie-secret", child::cookie_secret(&hub.name)),
        pod::whole_secret_volume("proxy-token", child::proxy_token(&hub.name)),
        build_database_volume(hub),
        pod::scratch_volume("tmp"),
    ];
    if hub.crypt_keys {
        volumes.push(pod::whole_secret_volume("crypt-keys", child::crypt_keys(&hub.name)));
    }
    if !hub.secrets.login_tokens.is_empty() {
        volumes.push(files_volume("login-tokens", &hub.secrets.login_tokens));
    }
    if let Some(secret) = &hub.secrets.passwords {
        volumes.push(pod::whole_secret_volume("passwords", secret.clone()));
    }
    if let Some(password) = &hub.secrets.dummy_password {
        volumes.push(pod::secret_volume("dummy-password", password, secret_key::DUMMY_PASSWORD));
    }
    if !hub.secrets.oidc.is_empty() {
        volumes.push(files_volume("oidc", &hub.secrets.oidc));
    }
    if !hub.secrets.service_tokens.is_empty() {
        volumes.push(files_volume("service-tokens", &hub.secrets.service_tokens));
    }
    if let Some(logo) = &hub.pages.logo {
        volumes.push(logo_volume(logo));
    }
    if hub.has_internal_tls {
        volumes.push(internal_tls_volume(hub));
    }
    volumes
}

fn build_database_volume(hub: &ValidatedHub) -> Volume {
    let claim = |claim_name| Volume {
        name: "data".to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource { claim_name, read_only: None }),
        ..Volume::default()
    };
    match &hub.database {
        DatabasePlace::Volume(_) => claim(child::database_claim(&hub.name)),
        DatabasePlace::Claim(name) => claim(name.clone()),
        DatabasePlace::Postgres(secret) => pod::secret_volume("database", secret, secret_key::DATABASE_URL),
    }
}

/// A hub starts without its logo, too.
fn logo_volume(logo: &ConfigMapKeyRef) -> Volume {
    Volume {
        name: "logo".to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: logo.name.clone(),
            items: Some(vec![KeyToPath { key: logo.key.clone(), path: logo.key.clone(), mode: None }]),
            optional: Some(true),
            default_mode: None,
        }),
        ..Volume::default()
    }
}

/// One directory with a file of each name, from the Secrets that hold them.
fn files_volume(name: &str, files: &BTreeMap<String, SecretKeyRef>) -> Volume {
    let sources = files.iter().map(|(file, secret)| VolumeProjection {
        secret: Some(SecretProjection {
            name: secret.name.clone(),
            items: Some(vec![KeyToPath { key: secret.key.clone(), path: file.clone(), mode: None }]),
            optional: None,
        }),
        ..VolumeProjection::default()
    });
    projected_volume(name, sources.collect())
}

/// What the proxy has, and the authority's key.
fn internal_tls_volume(hub: &ValidatedHub) -> Volume {
    let sources = [child::internal_tls(&hub.name), child::internal_ca_key(&hub.name)].map(|name| VolumeProjection {
        secret: Some(SecretProjection { name, items: None, optional: None }),
        ..VolumeProjection::default()
    });
    projected_volume(INTERNAL_TLS, sources.into())
}

fn projected_volume(name: &str, sources: Vec<VolumeProjection>) -> Volume {
    Volume {
        name: name.to_owned(),
        projected: Some(ProjectedVolumeSource { default_mode: Some(pod::SECRET_MODE), sources: Some(sources) }),
        ..Volume::default()
    }
}
