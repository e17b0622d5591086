//! TLS of the server in a pod: its certificate is beside its token in the pod's Secret, is mounted, and is named in
//! JupyterHub's variables; an annotation says that the server speaks TLS. Pure.

use hub_crds::names::{TLS_NAME_ANNOTATION, path::SERVER_TLS_DIR, secret_key};
use k8s_openapi::api::core::v1::{KeyToPath, Pod, SecretVolumeSource, Volume, VolumeMount};
use kube::ResourceExt;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use super::pod::{CONTAINER, pod_name};
use crate::{internal_tls::ServerCertificate, spawner::ServerName};

const VOLUME: &str = "server-tls";
/// The pod's group may read it.
const MODE: i32 = 0o440;

/// Name for which a server has its certificate. The pod's name is for people; that of no other server has the same digest,
/// whatever names people choose (CVE-2020-15110). Servers that run have it: it must never be made otherwise.
pub(super) fn name(hub: &str, server: &ServerName) -> String {
    let digest = Sha256::new().chain_update(&server.user).chain_update([0]).chain_update(&server.server).finalize();
    format!("{}.{}.{hub}.internal", pod_name(server), hex::encode(&digest[..16]))
}

/// Whether the server in a pod speaks TLS. One that was started before the Hub asked for it does not.
pub(super) fn is_spoken(pod: &Pod) -> bool {
    pod.annotations().contains_key(TLS_NAME_ANNOTATION)
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

    /// Names of pods hold 32 bits of a hash, those in certificates 128.
    #[test]
    fn every_server_has_a_name_of_its_own_that_is_a_host() {
        let name = |hub: &str, user: &str, server: &str| {
            name(hub, &ServerName { user: user.to_owned(), server: server.to_owned() })
        };
        assert_eq!(
            name("jhub", "ada", ""),
            "jupyter-ada.a88ba3146a1b3daa62f18a27ba275c7e.jhub.internal",
            "servers that run have it"
        );
        let longest = "x".repeat(255);
        let mut seen = std::collections::BTreeSet::new();
        for (user, server) in [
            ("ada", ""),
            ("ada", "b"),
            ("ad", "ab"),
            ("adab", ""),
            ("ada-b", ""),
            ("ada--b", ""),
            ("é", "ß"),
            (&longest, &longest),
        ] {
            let name = name(&"h".repeat(40), user, server);
            assert!(name.len() <= 253 && name.split('.').all(|label| (1..=63).contains(&label.len())), "{name}");
            assert!(rustls::pki_types::ServerName::try_from(name.clone()).is_ok(), "{name}");
            assert!(seen.insert(name.split('.').nth(1).unwrap().to_owned()), "{user} {server}");
        }
    }
}
