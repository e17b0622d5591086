//! The proxy's Deployment: our own or configurable-http-proxy, wired the way zero-to-jupyterhub wires it.

use hub_crds::{
    ProxyImplementation,
    names::{child, label_value, path, port, secret_key},
};
use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{
            Container, EnvVar, EnvVarSource, ObjectFieldSelector, PodSpec, PodTemplateSpec, SecretKeySelector, Volume,
            VolumeMount,
        },
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::{ValidatedHub, hub_url, owned_meta, pod, selector};

/// Seconds that connections have to end when the proxy is replaced.
const GRACE_SECONDS: i64 = 30;

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
        ..PodSpec::default()
    };
    pod::template(hub, label_value::PROXY, &hub.proxy, spec)
}

fn build_container(hub: &ValidatedHub) -> Container {
    let is_own = hub.proxy_implementation == ProxyImplementation::HubProxy;
    let alive = "/_chp_healthz";
    let ready = if is_own { "/_hub_proxy_readyz" } else { alive };
    Container {
        name: label_value::PROXY.to_owned(),
        image: Some(hub.proxy.image.clone()),
        image_pull_policy: hub.proxy.image_pull_policy.clone(),
        // Our image's entry point is the proxy; the other's is a shell script.
        command: (!is_own).then(|| vec!["configurable-http-proxy".to_owned()]),
        args: Some(arguments(hub, is_own)),
        env: Some(environment(hub, is_own)),
        ports: Some(vec![
            pod::container_port(port::PROXY_HTTP_NAME, port::PROXY_HTTP),
            pod::container_port(port::PROXY_API_NAME, port::PROXY_API),
            pod::container_port(port::PROXY_METRICS_NAME, port::PROXY_METRICS),
        ]),
        resources: Some(hub.proxy.resources.clone()),
        security_context: Some(pod::container_security()),
        startup_probe: Some(pod::http_probe(alive.to_owned(), port::PROXY_HTTP_NAME, 1, 60)),
        liveness_probe: Some(pod::http_probe(alive.to_owned(), port::PROXY_HTTP_NAME, 10, 3)),
        readiness_probe: Some(pod::http_probe(ready.to_owned(), port::PROXY_HTTP_NAME, 1, 3)),
        volume_mounts: Some(build_mounts(is_own)),
        ..Container::default()
    }
}

fn arguments(hub: &ValidatedHub, is_own: bool) -> Vec<String> {
    let hub_url = hub_url(hub);
    let mut arguments = vec![
        "--ip=".to_owned(),
        format!("--port={}", port::PROXY_HTTP),
        "--api-ip=".to_owned(),
        format!("--api-port={}", port::PROXY_API),
        format!("--metrics-port={}", port::PROXY_METRICS),
        format!("--default-target={hub_url}"),
        format!("--error-target={hub_url}{}hub/error", hub.base_url),
    ];
    if hub.subdomain_host.is_some() {
        arguments.push("--host-routing".to_owned());
    }
    if is_own {
        arguments.push(format!("--auth-token-file={}/{}", path::PROXY_DIR, secret_key::PROXY_TOKEN));
        arguments.push(format!("--snapshot={}", path::PROXY_SNAPSHOT));
    }
    arguments
}

/// The pod's uid tells whose snapshot it is. The other implementation reads its token from the environment only.
fn environment(hub: &ValidatedHub, is_own: bool) -> Vec<EnvVar> {
    let from = |name: &str, source| EnvVar { name: name.to_owned(), value_from: Some(source), value: None };
    let mut environment = vec![if is_own {
        let field = ObjectFieldSelector { api_version: Some("v1".to_owned()), field_path: "metadata.uid".to_owned() };
        from("POD_UID", EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() })
    } else {
        let token = &hub.secrets.proxy_token;
        let key = SecretKeySelector { name: token.name.clone(), key: token.key.clone(), optional: None };
        from("CONFIGPROXY_AUTH_TOKEN", EnvVarSource { secret_key_ref: Some(key), ..EnvVarSource::default() })
    }];
    environment.extend(hub.proxy.extra_env.iter().cloned());
    environment
}

fn build_mounts(is_own: bool) -> Vec<VolumeMount> {
    let mut mounts = vec![pod::mount("tmp", "/tmp")];
    if is_own {
        mounts.push(pod::read_only_mount("proxy-token", path::PROXY_DIR));
        mounts.push(pod::mount("state", path::PROXY_STATE_DIR));
    }
    mounts
}

fn build_volumes(hub: &ValidatedHub) -> Vec<Volume> {
    let mut volumes = vec![pod::scratch_volume("tmp")];
    if hub.proxy_implementation == ProxyImplementation::HubProxy {
        volumes.push(pod::secret_volume("proxy-token", &hub.secrets.proxy_token, secret_key::PROXY_TOKEN));
        volumes.push(pod::scratch_volume("state"));
    }
    volumes
}
