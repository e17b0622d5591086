//! TLS of the server in a pod: its certificate is beside its token in the pod's Secret, is mounted, and is named in
//! JupyterHub's variables; an annotation says that the server speaks TLS. Pure.

use hub_crds::names::{TLS_NAME_ANNOTATION, path::SERVER_TLS_DIR, secret_key};
use k8s_openapi::api::core::v1::{KeyToPath, Pod, SecretVolumeSource, Volume, VolumeMount};
use kube::ResourceExt;
use secrecy::ExposeSecret;

use super::pod::{CONTAINER, pod_name};
use crate::{internal_tls::ServerCertificate, spawner::ServerName};

const VOLUME: &str = "server-tls";
/// The pod's group may read it.
const MODE: i32 = 0o440;

/// A name for the certificate of a server that is about to start. The pod's name is for people; what is random is of this
/// start alone, so that a key that somebody kept from an earlier one is good for nothing.
pub(super) fn new_name(hub: &str, server: &ServerName) -> String {
    format!("{}.{}.{hub}.internal", pod_name(server), hex::encode(rand::random::<[u8; 16]>()))
}

/// The name that the server in a pod shows; none if it was started before the Hub asked for TLS.
pub(super) fn name_in(pod: &Pod) -> Option<&str> {
    pod.annotations().get(TLS_NAME_ANNOTATION).map(String::as_str)
}

/// What the pod's Secret holds beside the token.
pub(super) fn data(tls: &ServerCertificate) -> [(String, String); 3] {
    [
        (secret_key::TLS_CERTIFICATE, tls.certificate.as_str()),
        (secret_key::TLS_KEY, tls.key.expose_secret()),
        (secret_key::CA_CERTIFICATE, tls.authority.as_str()),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
}

/// As `jupyterhub-singleuser` reads them.
pub(super) fn environment() -> [(&'static str, String); 3] {
    [
        ("JUPYTERHUB_SSL_CERTFILE", secret_key::TLS_CERTIFICATE),
        ("JUPYTERHUB_SSL_KEYFILE", secret_key::TLS_KEY),
        ("JUPYTERHUB_SSL_CLIENT_CA", secret_key::CA_CERTIFICATE),
    ]
    .map(|(variable, file)| (variable, format!("{SERVER_TLS_DIR}/{file}")))
}

/// Mounts the files. It comes after the administrator's template, which can't take them away.
pub(super) fn put_in(pod: &mut Pod, secret: String) {
    let spec = pod.spec.get_or_insert_default();
    let volumes = spec.volumes.get_or_insert_default();
    volumes.retain(|volume| volume.name != VOLUME);
    volumes.push(volume(secret));
    let Some(container) = spec.containers.iter_mut().find(|container| container.name == CONTAINER) else { return };
    let mounts = container.volume_mounts.get_or_insert_default();
    mounts.retain(|mount| mount.name != VOLUME && mount.mount_path != SERVER_TLS_DIR);
    mounts.push(VolumeMount {
        name: VOLUME.to_owned(),
        mount_path: SERVER_TLS_DIR.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    });
}

/// The Secret without the token.
fn volume(secret: String) -> Volume {
    let files = [secret_key::TLS_CERTIFICATE, secret_key::TLS_KEY, secret_key::CA_CERTIFICATE];
    let items = files.map(|file| KeyToPath { key: file.to_owned(), path: file.to_owned(), mode: None });
    Volume {
        name: VOLUME.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret),
            default_mode: Some(MODE),
            items: Some(items.into()),
            optional: None,
        }),
        ..Volume::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_start_has_a_name_of_its_own_that_is_a_host() {
        let name = |hub: &str, user: &str, server: &str| {
            new_name(hub, &ServerName { user: user.to_owned(), server: server.to_owned() })
        };
        assert!(
            name("jhub", "ada", "").starts_with("jupyter-ada.") && name("jhub", "ada", "").ends_with(".jhub.internal")
        );
        assert_ne!(name("jhub", "ada", ""), name("jhub", "ada", ""));
        let longest = "x".repeat(255);
        for (user, server) in [("ada", "b"), ("é", "ß"), (&longest, &longest)] {
            let name = name(&"h".repeat(40), user, server);
            assert!(name.len() <= 253 && name.split('.').all(|label| (1..=63).contains(&label.len())), "{name}");
            assert!(rustls::pki_types::ServerName::try_from(name.clone()).is_ok(), "{name}");
        }
    }
}
