//! `hub server` in front of the program of a pod: an init container copies it out of the hub's image, and it starts the
//! program in place of the image's entrypoint, which may not run what it is given. Pure.

use hub_crds::{
    config::{FrontImage, KubernetesConfig},
    names::path::FRONT_DIR,
};
use k8s_openapi::{
    api::core::v1::{
        Container, EmptyDirVolumeSource, LocalObjectReference, Pod, PodSpec, ResourceRequirements, SecurityContext,
        Volume, VolumeMount,
    },
    apimachinery::pkg::api::resource::Quantity,
};
use std::collections::BTreeMap;

use super::pod::{CONTAINER, container_security};

/// Of the init container and of the volume.
const NAME: &str = "hub-server";
/// The file in [`FRONT_DIR`].
const PROGRAM: &str = "hub";
/// More than the program takes.
const VOLUME_SIZE: &str = "256Mi";

/// Puts the front into a pod, if the settings want one. It comes after the administrator's template, which can't take
/// it away: the program would be open to everybody who reaches the pod.
pub(super) fn put_in(config: &KubernetesConfig, pod: &mut Pod) -> Result<(), String> {
    if config.singleuser.front.is_none() {
        return Ok(());
    }
    let Some(front) = &config.front else {
        return Err("the hub's settings name no image for the front; upgrade the operator".to_owned());
    };
    let spec = pod.spec.get_or_insert_default();
    let Some(container) = spec.containers.iter_mut().find(|container| container.name == CONTAINER) else {
        return Err(format!("spec.singleuser.podTemplate of the Hub takes the container {CONTAINER} away; leave it"));
    };
    guard(container, config.singleuser.command());
    bring(spec, front);
    Ok(())
}

/// The program starts behind the front.
fn guard(container: &mut Container, command: Vec<String>) {
    let front = [format!("{FRONT_DIR}/{PROGRAM}"), "server".to_owned(), "--".to_owned()];
    container.command = Some(front.into_iter().chain(command).collect());
    container.args = None;
    let mounts = container.volume_mounts.get_or_insert_default();
    mounts.retain(|mount| mount.name != NAME && mount.mount_path != FRONT_DIR);
    mounts.push(VolumeMount { read_only: Some(true), ..mount() });
}

/// The front is there when the program's container starts.
fn bring(spec: &mut PodSpec, front: &FrontImage) {
    let volumes = spec.volumes.get_or_insert_default();
    volumes.retain(|volume| volume.name != NAME);
    volumes.push(Volume {
        name: NAME.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource { medium: None, size_limit: Some(Quantity(VOLUME_SIZE.to_owned())) }),
        ..Volume::default()
    });
    let containers = spec.init_containers.get_or_insert_default();
    containers.retain(|container| container.name != NAME);
    containers.insert(0, init_container(front));
    add_pull_secrets(spec, &front.image_pull_secrets);
}

fn init_container(front: &FrontImage) -> Container {
    Container {
        name: NAME.to_owned(),
        image: Some(front.image.clone()),
        image_pull_policy: front.image_pull_policy.clone(),
        args: Some(["server", "install", FRONT_DIR].map(str::to_owned).to_vec()),
        resources: Some(resources()),
        security_context: Some(SecurityContext { read_only_root_filesystem: Some(true), ..container_security() }),
        volume_mounts: Some(vec![mount()]),
        ..Container::default()
    }
}

fn mount() -> VolumeMount {
    VolumeMount { name: NAME.to_owned(), mount_path: FRONT_DIR.to_owned(), ..VolumeMount::default() }
}

/// To copy a file; a quota of the namespace may ask for all of them.
fn resources() -> ResourceRequirements {
    let amounts = |cpu: &str, memory: &str| {
        let amounts = [("cpu", cpu), ("memory", memory)];
        Some(BTreeMap::from(amounts.map(|(name, amount)| (name.to_owned(), Quantity(amount.to_owned())))))
    };
    ResourceRequirements { requests: amounts("10m", "16Mi"), limits: amounts("500m", "64Mi"), claims: None }
}

fn add_pull_secrets(spec: &mut PodSpec, secrets: &[LocalObjectReference]) {
    let mut all = spec.image_pull_secrets.take().unwrap_or_default();
    for secret in secrets {
        if !all.contains(secret) {
            all.push(secret.clone());
        }
    }
    spec.image_pull_secrets = Some(all).filter(|all| !all.is_empty());
}
