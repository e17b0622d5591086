//! The pod, the volume claim and the Secret of one server, from the Hub's settings. Pure.

use hub_crds::{
    Amount, Bounds, Hub, SingleUser, StorageType,
    config::KubernetesConfig,
    names::{TLS_NAME_ANNOTATION, label, label_value, port},
};
use k8s_openapi::{
    api::core::v1::{
        Affinity, Capabilities, Container, ContainerPort, EnvVar, EnvVarSource, PersistentVolumeClaim,
        PersistentVolumeClaimSpec, PersistentVolumeClaimVolumeSource, Pod, PodSecurityContext, PodSpec,
        ResourceRequirements, SeccompProfile, Secret, SecretKeySelector, SecurityContext, Volume, VolumeMount,
        VolumeResourceRequirements,
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{ObjectMeta, OwnerReference},
    },
};
use kube::Resource;
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;

use super::{chosen, front, merge::merge, quantity, restricted, server_tls, slug};
use crate::{
    internal_tls::ServerCertificate,
    spawner::{ServerName, StartRequest},
};

pub(super) const CONTAINER: &str = "notebook";
const HOME_VOLUME: &str = "home";
/// Key of the token in the pod's Secret.
const TOKEN_KEY: &str = "api-token";
/// Key in a server's state: the Hub that wrote it. kubespawner has no such key.
pub(super) const STATE_HUB: &str = "hub";
/// The version of kubespawner whose names these are; a JupyterHub that takes over reads it.
const KUBESPAWNER_VERSION: &str = "7.1.0";

/// What one server consists of. No `Debug`: the Secret holds its token in the clear.
pub(super) struct Objects {
    /// `None`: nothing outlives the pod.
    pub claim: Option<PersistentVolumeClaim>,
    pub secret: Secret,
    pub pod: Pod,
}

/// Name of a server's pod.
pub(super) fn pod_name(name: &ServerName) -> String {
    slug::pod_name(&name.user, &name.server)
}

/// Name of the Secret with a server's token, and with its certificate.
pub(super) fn secret_name(name: &ServerName) -> String {
    format!("{}-token", pod_name(name))
}

/// Name of a server's claim: the one that it had before, whoever named it.
pub(super) fn claim_name(name: &ServerName, state: &Value) -> String {
    match state.get("pvc_name").and_then(Value::as_str) {
        Some(known) => known.to_owned(),
        None => slug::claim_name(&name.user, &name.server),
    }
}

/// What is kept in the database; kubespawner's keys, and the Hub's name.
pub(super) fn state(config: &KubernetesConfig, name: &ServerName, claim: Option<&str>) -> Value {
    let pod = pod_name(name);
    let mut state = serde_json::json!({
        "pod_name": pod,
        "namespace": config.namespace,
        "dns_name": format!("{pod}.{}.svc.cluster.local", config.namespace),
        "kubespawner_version": KUBESPAWNER_VERSION,
        STATE_HUB: config.hub.name,
    });
    if let Some(claim) = claim {
        state["pvc_name"] = claim.into();
    }
    state
}

/// Labels that say which Hub an object belongs to.
pub(super) fn hub_labels(config: &KubernetesConfig) -> BTreeMap<String, String> {
    [
        (label::HUB, config.hub.name.as_str()),
        (label::HUB_NAMESPACE, &config.hub.namespace),
        (label::HUB_UID, &config.hub.uid),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// All objects of a server, with its certificate if it is to speak TLS. The error says which field of the Hub is wrong, and
/// what to do.
pub(super) fn build(
    config: &KubernetesConfig,
    request: &StartRequest,
    tls: Option<&ServerCertificate>,
) -> Result<Objects, String> {
    let config = &chosen::apply(config, &request.overrides);
    let dynamic = config.singleuser.storage.storage_type == StorageType::Dynamic;
    let claim = dynamic.then(|| build_claim(config, request));
    let claim_name = claim.as_ref().and_then(|claim| claim.metadata.name.clone());
    Ok(Objects { secret: build_secret(config, request, tls), pod: build_pod(config, request, claim_name, tls)?, claim })
}

fn build_claim(config: &KubernetesConfig, request: &StartRequest) -> PersistentVolumeClaim {
    let storage = &config.singleuser.storage;
    let requests = BTreeMap::from([("storage".to_owned(), storage.capacity.to_quantity())]);
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(claim_name(&request.name, &request.state)),
            namespace: Some(config.namespace.clone()),
            labels: Some(labels(config, &request.name, label_value::SINGLEUSER_STORAGE)),
            annotations: Some(annotations(&request.name)),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            resources: Some(VolumeResourceRequirements { requests: Some(requests), limits: None }),
            storage_class_name: storage.storage_class_name.clone(),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}

fn build_secret(config: &KubernetesConfig, request: &StartRequest, tls: Option<&ServerCertificate>) -> Secret {
    let token = (TOKEN_KEY.to_owned(), request.api_token.expose_secret().to_owned());
    Secret {
        metadata: ObjectMeta {
            name: Some(secret_name(&request.name)),
            namespace: Some(config.namespace.clone()),
            labels: Some(labels(config, &request.name, label_value::SINGLEUSER_SERVER)),
            annotations: Some(annotations(&request.name)),
            owner_references: owner(config),
            ..ObjectMeta::default()
        },
        immutable: Some(true),
        string_data: Some(std::iter::once(token).chain(tls.into_iter().flat_map(server_tls::data)).collect()),
        ..Secret::default()
    }
}

/// The hub's own pod, the administrator's templates over it, and over both what the hub must be able to rely on.
fn build_pod(
    config: &KubernetesConfig,
    request: &StartRequest,
    claim: Option<String>,
    tls: Option<&ServerCertificate>,
) -> Result<Pod, String> {
    let mut pod = base_pod(config, claim)?;
    let of_profile = request.overrides.iter().filter_map(|overrides| overrides.pod_template.as_ref());
    for template in config.singleuser.pod_template.iter().chain(of_profile) {
        let base = serde_json::to_value(&pod).map_err(|error| error.to_string())?;
        pod = parse("podTemplate", &merge(base, template))?;
    }
    seal(config, request, tls, &mut pod);
    front::put_in(config, &mut pod)?;
    if tls.is_some() {
        server_tls::put_in(&mut pod, secret_name(&request.name));
    }
    match restricted::violations(pod.spec.as_ref()).as_slice() {
        [] => Ok(pod),
        violations => Err(format!(
            "the pod would break the Pod Security Standard `restricted`: {}; change spec.singleuser of the Hub",
            violations.join(", ")
        )),
    }
}

fn base_pod(config: &KubernetesConfig, claim: Option<String>) -> Result<Pod, String> {
    let singleuser = &config.singleuser;
    let home = claim.map(|claim_name| Volume {
        name: HOME_VOLUME.to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource { claim_name, read_only: None }),
        ..Volume::default()
    });
    let has_home = home.is_some();
    let volumes: Vec<Volume> = parse_list("extraVolumes", &singleuser.extra_volumes)?;
    let volumes: Vec<Volume> = home.into_iter().chain(volumes).collect();
    Ok(Pod {
        metadata: ObjectMeta {
            labels: some_map(singleuser.extra_labels.clone()),
            annotations: some_map(singleuser.extra_annotations.clone()),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            affinity: singleuser.affinity.as_ref().map(|open| parse::<Affinity>("affinity", open)).transpose()?,
            automount_service_account_token: Some(singleuser.service_account_name.is_some()),
            containers: vec![container(singleuser, has_home)?],
            enable_service_links: Some(false),
            image_pull_secrets: some_list(singleuser.image_pull_secrets.clone()),
            init_containers: some_list(init_containers(singleuser)?),
            node_selector: some_map(singleuser.node_selector.clone()),
            priority_class_name: singleuser.priority_class_name.clone(),
            restart_policy: Some("OnFailure".to_owned()),
            security_context: Some(pod_security(singleuser)),
            service_account_name: singleuser.service_account_name.clone(),
            tolerations: some_list(singleuser.tolerations.clone()),
            volumes: some_list(volumes),
            ..PodSpec::default()
        }),
        status: None,
    })
}

fn container(singleuser: &SingleUser, has_home: bool) -> Result<Container, String> {
    let home = has_home.then(|| VolumeMount {
        name: HOME_VOLUME.to_owned(),
        mount_path: singleuser.storage.home_mount_path.clone(),
        ..VolumeMount::default()
    });
    let mounts: Vec<VolumeMount> = parse_list("extraVolumeMounts", &singleuser.extra_volume_mounts)?;
    Ok(Container {
        name: CONTAINER.to_owned(),
        image: Some(singleuser.image.clone()),
        image_pull_policy: policy(singleuser)?,
        // As arguments: what the image's entrypoint sets up comes first.
        args: Some(singleuser.command()),
        env: some_list(singleuser.extra_env.clone()),
        ports: Some(vec![ContainerPort {
            name: Some(port::NOTEBOOK_NAME.to_owned()),
            container_port: port::NOTEBOOK.into(),
            ..ContainerPort::default()
        }]),
        resources: Some(resources(singleuser)).filter(|resources| *resources != ResourceRequirements::default()),
        security_context: Some(container_security()),
        volume_mounts: some_list(home.into_iter().chain(mounts).collect()),
        ..Container::default()
    })
}

/// The enum's own spelling is Kubernetes'.
fn policy(singleuser: &SingleUser) -> Result<Option<String>, String> {
    match &singleuser.image_pull_policy {
        None => Ok(None),
        Some(policy) => {
            let value = serde_json::to_value(policy).map_err(|error| error.to_string())?;
            Ok(value.as_str().map(str::to_owned))
        }
    }
}

/// Init containers run under the same restrictions, unless they say otherwise.
fn init_containers(singleuser: &SingleUser) -> Result<Vec<Container>, String> {
    let containers: Vec<Container> = parse_list("initContainers", &singleuser.init_containers)?;
    let secured = containers.into_iter().map(|container| Container {
        security_context: Some(container.security_context.unwrap_or_else(container_security)),
        ..container
    });
    Ok(secured.collect())
}

fn pod_security(singleuser: &SingleUser) -> PodSecurityContext {
    PodSecurityContext {
        fs_group: Some(singleuser.fs_group),
        // A large home is not walked at every start.
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        run_as_non_root: Some(true),
        run_as_user: Some(singleuser.uid),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
        ..PodSecurityContext::default()
    }
}

pub(super) fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { add: None, drop: Some(vec!["ALL".to_owned()]) }),
        ..SecurityContext::default()
    }
}

fn resources(singleuser: &SingleUser) -> ResourceRequirements {
    let of = |pick: fn(&Bounds) -> Option<Quantity>, extra: &BTreeMap<String, Amount>| {
        let named = [("cpu", pick(&singleuser.cpu)), ("memory", pick(&singleuser.memory))];
        let named = named.into_iter().filter_map(|(key, amount)| Some((key.to_owned(), amount?)));
        let extra = extra.iter().map(|(key, amount)| (key.clone(), amount.to_quantity()));
        some_map(named.chain(extra).collect())
    };
    ResourceRequirements {
        requests: of(|bounds| Some(bounds.guarantee.as_ref()?.to_quantity()), &singleuser.extra_resources.guarantees),
        limits: of(|bounds| Some(bounds.limit.as_ref()?.to_quantity()), &singleuser.extra_resources.limits),
        claims: None,
    }
}

/// Names, labels, owner and the protocol's environment: no template replaces them, or one user's pod could pass for
/// another's.
fn seal(config: &KubernetesConfig, request: &StartRequest, tls: Option<&ServerCertificate>, pod: &mut Pod) {
    let meta = &mut pod.metadata;
    meta.name = Some(pod_name(&request.name));
    meta.generate_name = None;
    meta.namespace = Some(config.namespace.clone());
    meta.owner_references = owner(config);
    meta.finalizers = None;
    let own = labels(config, &request.name, label_value::SINGLEUSER_SERVER);
    meta.labels.get_or_insert_default().extend(own);
    let servername = (label::SERVERNAME.to_owned(), slug::label_value(&request.name.server));
    meta.labels.get_or_insert_default().extend([servername]);
    let sealed = meta.annotations.get_or_insert_default();
    sealed.remove(TLS_NAME_ANNOTATION);
    sealed.extend(annotations(&request.name));
    sealed.extend(tls.map(|tls| (TLS_NAME_ANNOTATION.to_owned(), tls.name.clone())));
    let Some(spec) = &mut pod.spec else { return };
    let Some(container) = spec.containers.iter_mut().find(|container| container.name == CONTAINER) else { return };
    let own = environment(config, request, tls.is_some(), container.image.as_deref().unwrap_or_default());
    let env = container.env.get_or_insert_default();
    env.retain(|variable| !own.iter().any(|own| own.name == variable.name));
    env.extend(own);
}

fn environment(config: &KubernetesConfig, request: &StartRequest, has_tls: bool, image: &str) -> Vec<EnvVar> {
    let singleuser = &config.singleuser;
    let amount = |amount: &Option<Amount>, as_text: fn(&str) -> Option<String>| {
        amount.as_ref().and_then(|amount| as_text(&amount.to_string()))
    };
    let for_user = |text: &Option<String>| text.as_ref().map(|text| text.replace("{username}", &request.name.user));
    let scheme = if has_tls { "https" } else { "http" };
    let of_place = [
        ("JUPYTERHUB_SERVICE_URL", Some(format!("{scheme}://0.0.0.0:{}{}", port::NOTEBOOK, request.prefix))),
        ("JUPYTERHUB_DEFAULT_URL", for_user(&singleuser.default_url)),
        ("JUPYTERHUB_ROOT_DIR", for_user(&singleuser.notebook_dir)),
        ("JUPYTER_IMAGE", Some(image.to_owned())),
        ("JUPYTER_IMAGE_SPEC", Some(image.to_owned())),
        ("MEM_GUARANTEE", amount(&singleuser.memory.guarantee, quantity::bytes)),
        ("MEM_LIMIT", amount(&singleuser.memory.limit, quantity::bytes)),
        ("CPU_GUARANTEE", amount(&singleuser.cpu.guarantee, quantity::cores)),
        ("CPU_LIMIT", amount(&singleuser.cpu.limit, quantity::cores)),
    ];
    let of_place = of_place.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    let mut plain = request.environment.clone();
    plain.extend(of_place);
    let of_tls = server_tls::environment().map(|(key, file)| (key.to_owned(), file));
    plain.extend(of_tls.into_iter().filter(|_| has_tls));
    let plain = plain.into_iter().map(|(name, value)| EnvVar { name, value: Some(literal(&value)), value_from: None });
    let tokens = ["JPY_API_TOKEN", "JUPYTERHUB_API_TOKEN"].map(|name| token_variable(name, &request.name));
    tokens.into_iter().chain(plain).collect()
}

/// The kubelet replaces `$(NAME)` by other variables, the token among them: a user's name must not do that.
fn literal(value: &str) -> String {
    value.replace("$(", "$$(")
}

fn token_variable(variable: &str, name: &ServerName) -> EnvVar {
    let key = SecretKeySelector { name: secret_name(name), key: TOKEN_KEY.to_owned(), optional: None };
    EnvVar {
        name: variable.to_owned(),
        value: None,
        value_from: Some(EnvVarSource { secret_key_ref: Some(key), ..EnvVarSource::default() }),
    }
}

fn labels(config: &KubernetesConfig, name: &ServerName, component: &str) -> BTreeMap<String, String> {
    let mut labels = hub_labels(config);
    let own = [
        (label::NAME, label_value::NAME.to_owned()),
        (label::INSTANCE, config.hub.name.clone()),
        (label::COMPONENT, component.to_owned()),
        // Not the operator's: what it made and no longer wants, it deletes.
        (label::MANAGED_BY, label_value::HUB.to_owned()),
        (label::KUBESPAWNER_COMPONENT, component.to_owned()),
        (label::USERNAME, slug::label_value(&name.user)),
    ];
    labels.extend(own.map(|(key, value)| (key.to_owned(), value)));
    labels
}

/// The names as they are: labels cannot hold all of them.
fn annotations(name: &ServerName) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::from([(label::USERNAME.to_owned(), name.user.clone())]);
    if !name.server.is_empty() {
        annotations.insert(label::SERVERNAME.to_owned(), name.server.clone());
    }
    annotations
}

/// User pods go with their Hub, where Kubernetes can see to that: an owner must be in the same namespace.
fn owner(config: &KubernetesConfig) -> Option<Vec<OwnerReference>> {
    let hub = &config.hub;
    (hub.namespace == config.namespace).then(|| {
        vec![OwnerReference {
            api_version: Hub::api_version(&()).into_owned(),
            kind: Hub::kind(&()).into_owned(),
            name: hub.name.clone(),
            uid: hub.uid.clone(),
            controller: None,
            block_owner_deletion: None,
        }]
    })
}

fn parse<T: DeserializeOwned>(field: &str, open: &Value) -> Result<T, String> {
    serde_path_to_error::deserialize(open).map_err(|error| {
        format!("spec.singleuser.{field} of the Hub is not what Kubernetes takes: {}: {}", error.path(), error.inner())
    })
}

fn parse_list<T: DeserializeOwned>(field: &str, open: &[Value]) -> Result<Vec<T>, String> {
    open.iter().enumerate().map(|(index, item)| parse(&format!("{field}[{index}]"), item)).collect()
}

fn some_list<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn some_map<T>(map: BTreeMap<String, T>) -> Option<BTreeMap<String, T>> {
    (!map.is_empty()).then_some(map)
}

#[cfg(test)]
mod tests;
