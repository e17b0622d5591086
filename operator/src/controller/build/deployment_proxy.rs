//! The proxy's Deployment: our own or configurable-http-proxy, wired the way zero-to-jupyterhub wires it.

use std::collections::BTreeMap;

use hub_crds::{
    ProxyImplementation, TlsVersion,
    names::{
        CERTIFICATE_SERIAL_ANNOTATION, PROXY_TOKEN_VERSION_ANNOTATION, child, label_value, path, port, secret_key,
    },
};
use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{
            Container, ContainerPort, EnvVar, EnvVarSource, Lifecycle, LifecycleHandler, ObjectFieldSelector, PodSpec,
            PodTemplateSpec, SecretKeySelector, SleepAction, TopologySpreadConstraint, Volume, VolumeMount,
        },
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::{ValidatedHub, hub_url, owned_meta, pod, selector};

/// Seconds that a pod has to end when the proxy is replaced: in the first ones new connections still come, as not every node
/// knows yet that they shouldn't; then what goes on may go on; the rest is for the end.
const GRACE_SECONDS: i64 = 30;
const STILL_COMING_SECONDS: i64 = 5;
const GOING_ON_SECONDS: i64 = 20;

pub(super) fn build_proxy_deployment(hub: &ValidatedHub) -> Deployment {
    Deployment {
        metadata: owned_meta(hub, child::proxy(&hub.name), label_value::PROXY),
        spec: Some(DeploymentSpec {
            replicas: Some(hub.proxy_replicas),
            // A new proxy is ready before an old one goes.
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(1)),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            selector: LabelSelector {
                match_labels: Some(selector(hub, label_value::PROXY)),
                ..LabelSelector::default()
            },
            revision_history_limit: Some(3),
            template: build_template(hub),
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    }
}

fn build_template(hub: &ValidatedHub) -> PodTemplateSpec {
    let spec = PodSpec {
        service_account_name: Some(child::proxy(&hub.name)),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        containers: vec![build_container(hub)],
        volumes: Some(build_volumes(hub)),
        topology_spread_constraints: (hub.proxy_replicas > 1).then(|| vec![spread_over_nodes(hub)]),
        ..PodSpec::default()
    };
    let mut template = pod::template(hub, label_value::PROXY, &hub.proxy, spec);
    template.metadata.get_or_insert_default().annotations = annotations(hub);
    template
}

/// The death of one node is not that of all.
fn spread_over_nodes(hub: &ValidatedHub) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: "kubernetes.io/hostname".to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(LabelSelector {
            match_labels: Some(selector(hub, label_value::PROXY)),
            ..LabelSelector::default()
        }),
        ..TopologySpreadConstraint::default()
    }
}

/// configurable-http-proxy reads its certificate and its token at its start only: another one rolls it. Neither a serial
/// number nor that of a version is a secret.
fn annotations(hub: &ValidatedHub) -> Option<BTreeMap<String, String>> {
    if hub.proxy_implementation == ProxyImplementation::HubProxy {
        return None;
    }
    let served = hub.certificate.served.as_ref();
    let serial = served.map(|served| (CERTIFICATE_SERIAL_ANNOTATION, served.facts.serial.clone()));
    let version = Some(hub.rotation.proxy_token_version).filter(|version| *version > 0);
    let version = version.map(|version| (PROXY_TOKEN_VERSION_ANNOTATION, version.to_string()));
    let all: BTreeMap<_, _> = serial.into_iter().chain(version).map(|(key, value)| (key.to_owned(), value)).collect();
    (!all.is_empty()).then_some(all)
}

fn build_container(hub: &ValidatedHub) -> Container {
    let is_own = hub.proxy_implementation == ProxyImplementation::HubProxy;
    let alive = "/_chp_healthz";
    let ready = if is_own { "/_hub_proxy_readyz" } else { alive };
    let door = if hub.https.is_served() { port::PROXY_HTTPS_NAME } else { port::PROXY_HTTP_NAME };
    Container {
        name: label_value::PROXY.to_owned(),
        image: Some(hub.proxy.image.clone()),
        image_pull_policy: hub.proxy.image_pull_policy.clone(),
        // Our image's entry point is the proxy; the other's is a shell script.
        command: (!is_own).then(|| vec!["configurable-http-proxy".to_owned()]),
        args: Some(arguments(hub, is_own)),
        env: Some(environment(hub, is_own)),
        ports: Some(build_ports(hub)),
        resources: Some(hub.proxy.resources.clone()),
        security_context: Some(pod::container_security()),
        startup_probe: Some(pod::http_probe(alive.to_owned(), door, 1, 60)),
        liveness_probe: Some(pod::http_probe(alive.to_owned(), door, 10, 3)),
        readiness_probe: Some(pod::http_probe(ready.to_owned(), door, 1, 3)),
        volume_mounts: Some(build_mounts(hub, is_own)),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                sleep: Some(SleepAction { seconds: STILL_COMING_SECONDS }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        ..Container::default()
    }
}

fn arguments(hub: &ValidatedHub, is_own: bool) -> Vec<String> {
    let hub_url = hub_url(hub);
    let door = if hub.https.is_served() { port::PROXY_HTTPS } else { port::PROXY_HTTP };
    let mut arguments = vec![
        "--ip=".to_owned(),
        format!("--port={door}"),
        "--api-ip=".to_owned(),
        format!("--api-port={}", port::PROXY_API),
        format!("--metrics-port={}", port::PROXY_METRICS),
        format!("--default-target={hub_url}"),
        format!("--error-target={hub_url}{}hub/error", hub.base_url),
    ];
    if hub.subdomain_host.is_some() {
        arguments.push("--host-routing".to_owned());
    }
    if hub.https.is_served() {
        arguments.extend(tls_arguments(hub));
    }
    if is_own {
        arguments.push(format!("--trusted-proxies={}", hub.trusted_proxies.join(",")));
        arguments.push(format!("--auth-token-dir={}", path::PROXY_DIR));
        arguments.push(format!("--snapshot={}", path::PROXY_SNAPSHOT));
        arguments.push(format!("--grace-period={GOING_ON_SECONDS}"));
        arguments.extend(pod::log_format(hub.log_format));
    }
    if hub.has_internal_tls {
        arguments.extend(internal_tls_arguments());
    }
    arguments
}

/// As zero-to-jupyterhub gives them; the last ones know our own proxy only, and the other is not asked for them.
fn tls_arguments(hub: &ValidatedHub) -> Vec<String> {
    let file = |name: &str| format!("{}/{name}", path::TLS_DIR);
    let mut arguments = vec![
        format!("--redirect-port={}", port::PROXY_HTTP),
        format!("--redirect-to={}", hub.redirect_port),
        format!("--ssl-key={}", file(secret_key::TLS_KEY)),
        format!("--ssl-cert={}", file(secret_key::TLS_CERTIFICATE)),
    ];
    if hub.has_extra_certificates {
        arguments.push(format!("--ssl-sni-dir={}", path::TLS_DIR));
    }
    if let Some(hsts) = &hub.hsts {
        arguments.push(format!("--hsts={}", hsts.max_age));
        arguments.extend(hsts.include_subdomains.then(|| "--hsts-include-subdomains".to_owned()));
    }
    if hub.min_tls_version == TlsVersion::Tls13 {
        arguments.push("--ssl-min-version=1.3".to_owned());
    }
    arguments
}

/// By which users' servers know the proxy, and it them.
fn internal_tls_arguments() -> [String; 3] {
    [("ca", secret_key::CA_CERTIFICATE), ("cert", secret_key::TLS_CERTIFICATE), ("key", secret_key::TLS_KEY)]
        .map(|(option, name)| format!("--client-ssl-{option}={}/{name}", path::INTERNAL_TLS_DIR))
}

fn build_ports(hub: &ValidatedHub) -> Vec<ContainerPort> {
    let mut ports = vec![
        pod::container_port(port::PROXY_HTTP_NAME, port::PROXY_HTTP),
        pod::container_port(port::PROXY_API_NAME, port::PROXY_API),
        pod::container_port(port::PROXY_METRICS_NAME, port::PROXY_METRICS),
    ];
    if hub.https.is_served() {
        ports.push(pod::container_port(port::PROXY_HTTPS_NAME, port::PROXY_HTTPS));
    }
    ports
}

/// The pod's uid tells whose snapshot it is. The other implementation reads its token from the environment only.
fn environment(hub: &ValidatedHub, is_own: bool) -> Vec<EnvVar> {
    let from = |name: &str, source| EnvVar { name: name.to_owned(), value_from: Some(source), value: None };
    let mut environment = vec![if is_own {
        let field = ObjectFieldSelector { api_version: Some("v1".to_owned()), field_path: "metadata.uid".to_owned() };
        from("POD_UID", EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() })
    } else {
        let key = SecretKeySelector {
            name: child::proxy_token(&hub.name),
            key: secret_key::PROXY_TOKEN.to_owned(),
            optional: None,
        };
        from("CONFIGPROXY_AUTH_TOKEN", EnvVarSource { secret_key_ref: Some(key), ..EnvVarSource::default() })
    }];
    environment.extend(hub.proxy.extra_env.iter().cloned());
    environment
}

fn build_mounts(hub: &ValidatedHub, is_own: bool) -> Vec<VolumeMount> {
    let mut mounts = vec![pod::mount("tmp", "/tmp")];
    if hub.https.is_served() {
        mounts.push(pod::read_only_mount("tls", path::TLS_DIR));
    }
    if is_own {
        mounts.push(pod::read_only_mount("proxy-token", path::PROXY_DIR));
        mounts.push(pod::mount("state", path::PROXY_STATE_DIR));
    }
    if hub.has_internal_tls {
        mounts.push(pod::read_only_mount("internal-tls", path::INTERNAL_TLS_DIR));
    }
    mounts
}

fn build_volumes(hub: &ValidatedHub) -> Vec<Volume> {
    let mut volumes = vec![pod::scratch_volume("tmp")];
    if hub.https.is_served() {
        volumes.push(pod::whole_secret_volume("tls", child::tls(&hub.name)));
    }
    if hub.proxy_implementation == ProxyImplementation::HubProxy {
        volumes.push(pod::whole_secret_volume("proxy-token", child::proxy_token(&hub.name)));
        volumes.push(pod::scratch_volume("state"));
    }
    if hub.has_internal_tls {
        volumes.push(pod::whole_secret_volume("internal-tls", child::internal_tls(&hub.name)));
    }
    volumes
}
