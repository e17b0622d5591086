//! Whether what is made is what rustls takes from a client, and how long it stays.

use std::sync::Arc;

use jiff::SignedDuration;
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use serde_json::json;

use super::*;
use crate::{
    certificate::self_signed::generate_key,
    fixtures,
    secrets::{Known, Record},
};

/// The Hub of the fixtures with internal TLS, and its authority's key if there is one.
fn found(key: Option<&str>) -> Found {
    let mut found = fixtures::found(&json!({"security": {"internalTLS": true}}));
    let live = key.map(|key| (*fixtures::secret("physics-pods-authority", &json!({"ca.key": key})).1).clone());
    found.records.push((Record::internal_ca_key("physics"), Known { live, ..Known::default() }));
    found
}

fn secret(internal: &InternalTls) -> Secret {
    Secret { data: Some(internal.files.clone()), ..Secret::default() }
}

fn made(key: &str, live: Option<&InternalTls>, now: Timestamp) -> InternalTls {
    make(&found(Some(key)), live.map(secret).as_ref(), now).unwrap().unwrap()
}

fn der(internal: &InternalTls, name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(&internal.files[name].0).unwrap()
}

/// Whether a server that was given `server`'s authority lets in who has `client`'s certificate.
fn lets_in(server: &InternalTls, client: &InternalTls, at: Timestamp) -> bool {
    let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::try_from(at.as_second()).unwrap()));
    verifier(server).verify_client_cert(&der(client, "tls.crt"), &[], time).is_ok()
}

fn roots(internal: &InternalTls) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(der(internal, "ca.crt")).unwrap();
    Arc::new(roots)
}

fn verifier(internal: &InternalTls) -> Arc<dyn ClientCertVerifier> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    WebPkiClientVerifier::builder_with_provider(roots(internal), provider).build().unwrap()
}

#[test]
fn nothing_is_made_before_there_is_a_key() {
    let found = found(None);
    assert_eq!(make(&found, None, found.now).unwrap(), None);
}

#[test]
fn servers_let_in_who_has_the_hubs_certificate_and_it_serves_nothing() {
    let now = found(None).now;
    let ours = made(&generate_key(), None, now);
    assert_eq!(
        ours.files.keys().collect::<Vec<_>>(),
        ["ca.crt", "tls.crt", "tls.key"],
        "the authority's key stays away"
    );
    assert!(lets_in(&ours, &ours, now));
    assert!(!lets_in(&ours, &made(&generate_key(), None, now), now), "another Hub's");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let as_server = WebPkiServerVerifier::builder_with_provider(roots(&ours), provider).build().unwrap();
    let (name, time) = (ServerName::try_from("hub").unwrap(), UnixTime::now());
    assert!(as_server.verify_server_cert(&der(&ours, "tls.crt"), &[], &name, &[], time).is_err());
    assert!(!format!("{ours:?}").contains("PRIVATE"));
}

/// What is there stays, so that nothing is written in the steady state; what is near its end is made anew with the same key,
/// and old and new go together.
#[test]
fn it_stays_until_it_is_due_and_what_servers_have_holds_on() {
    let (key, now) = (generate_key(), found(None).now);
    let first = made(&key, None, now);
    for years in [0, 1, 6] {
        let later = now + SignedDuration::from_hours(24 * 365 * years);
        assert_eq!(made(&key, Some(&first), later), first, "after {years} years");
    }
    let later = now + SignedDuration::from_hours(24 * (365 * 9 + 10));
    let second = made(&key, Some(&first), later);
    assert_ne!(second.files["ca.crt"], first.files["ca.crt"]);
    assert_ne!(second.files["tls.crt"], first.files["tls.crt"]);
    assert!(lets_in(&first, &second, later) && lets_in(&second, &first, later) && lets_in(&second, &second, later));
}

#[test]
fn what_was_broken_by_hand_or_is_of_another_key_is_made_anew() {
    let (key, now) = (generate_key(), found(None).now);
    let first = made(&key, None, now);
    for name in ["ca.crt", "tls.crt", "tls.key"] {
        let mut broken = first.clone();
        broken.files.insert(name.to_owned(), ByteString(b"x".to_vec()));
        let mended = made(&key, Some(&broken), now);
        assert!(lets_in(&first, &mended, now) && lets_in(&mended, &first, now), "{name}");
    }
    let others = made(&generate_key(), Some(&first), now);
    assert!(lets_in(&others, &others, now) && !lets_in(&first, &others, now));
}
