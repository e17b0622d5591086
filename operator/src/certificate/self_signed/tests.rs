//! Whether what the operator issues is what rustls, and so a browser, takes.

use std::sync::Arc;

use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};

use super::*;

fn now() -> Timestamp {
    "2026-06-15T12:00:00Z".parse().unwrap()
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

fn authority(key: &str, published: Option<&str>, now: Timestamp) -> Authority {
    Authority::new(key, "Hub physics in lab", published, now).unwrap()
}

fn issued(authority: &Authority, current: Option<&Candidate>, list: &[&str], now: Timestamp) -> Candidate {
    match authority.offer(current, &names(list), now).unwrap() {
        Offer::Certificate(candidate) => candidate,
        Offer::Nothing(trouble) => panic!("{trouble:?}"),
    }
}

/// Whether a client that trusts `authority` takes the certificate for a host.
fn is_trusted(candidate: &Candidate, authority: &str, host: &str, at: Timestamp) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let leaf = CertificateDer::from_pem_slice(candidate.certificate.chain_pem.as_bytes()).unwrap();
    let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::try_from(at.as_second()).unwrap()));
    verifier.verify_server_cert(&leaf, &[], &ServerName::try_from(host.to_owned()).unwrap(), &[], time).is_ok()
}

#[test]
fn who_trusts_the_authority_trusts_what_it_issues_for_its_names_only() {
    let ours = authority(&generate_key(), None, now());
    let leaf = issued(&ours, None, &["hub.org", "*.hub.org", "192.0.2.7"], now());
    for (host, expected) in [("hub.org", true), ("ada.hub.org", true), ("192.0.2.7", true), ("other.org", false)] {
        assert_eq!(is_trusted(&leaf, &ours.certificate, host, now()), expected, "{host}");
    }
    let foreign = authority(&generate_key(), None, now());
    assert!(!is_trusted(&leaf, &foreign.certificate, "hub.org", now()));
    assert!(leaf.certificate.warnings.is_empty(), "{:?}", leaf.certificate.warnings);
    assert_eq!(leaf.source, SELF_SIGNED);
}

#[test]
fn a_certificate_stays_until_two_thirds_of_its_life_and_is_then_renewed() {
    let key = generate_key();
    let ours = authority(&key, None, now());
    let first = issued(&ours, None, &["hub.org"], now());
    let after = |days: i64| now() + SignedDuration::from_hours(24 * days);
    for (days, is_same) in [(0, true), (59, true), (65, false), (200, false)] {
        let ours = authority(&key, Some(&ours.certificate), after(days));
        let next = issued(&ours, Some(&first), &["hub.org"], after(days));
        assert_eq!(next.certificate.serial == first.certificate.serial, is_same, "after {days} days");
        assert!(is_trusted(&next, &ours.certificate, "hub.org", after(days)));
    }
    let life = first.certificate.not_after.duration_since(first.certificate.not_before);
    assert_eq!(life, SignedDuration::from_hours(24 * 91));
}

#[test]
fn a_new_name_another_key_or_another_source_make_a_new_certificate() {
    let ours = authority(&generate_key(), None, now());
    let first = issued(&ours, None, &["a.org", "b.org"], now());
    let serial = |candidate: &Candidate| candidate.certificate.serial.clone();
    assert_eq!(serial(&issued(&ours, Some(&first), &["a.org"], now())), serial(&first), "one name less");
    assert_ne!(serial(&issued(&ours, Some(&first), &["a.org", "c.org"], now())), serial(&first));
    let others = authority(&generate_key(), None, now());
    assert_ne!(serial(&issued(&others, Some(&first), &["a.org"], now())), serial(&first));
    let given = Candidate { source: "Secret x".to_owned(), ..first.clone() };
    assert_ne!(serial(&issued(&ours, Some(&given), &["a.org"], now())), serial(&first));
}

/// Ten years are long, and trust must not end with them: the key stays.
#[test]
fn the_authority_is_published_anew_in_time_and_old_trust_holds() {
    let key = generate_key();
    let first = authority(&key, None, now());
    assert_eq!(authority(&key, Some(&first.certificate), now()).certificate, first.certificate);
    let later = now() + SignedDuration::from_hours(24 * 365 * 9 + 48);
    let second = authority(&key, Some(&first.certificate), later);
    assert_ne!(second.certificate, first.certificate);
    let leaf = issued(&second, None, &["hub.org"], later);
    assert!(is_trusted(&leaf, &first.certificate, "hub.org", later), "what people trusted before");
    assert!(is_trusted(&leaf, &second.certificate, "hub.org", later));
    for broken in ["", "x", &authority(&generate_key(), None, now()).certificate] {
        assert_ne!(authority(&key, Some(broken), now()).certificate, broken, "somebody else's, or none");
    }
}

#[test]
fn a_temporary_certificate_is_of_no_authority() {
    let temporary = temporary(&names(&["hub.org"]), now()).unwrap();
    assert_eq!(
        (temporary.source.as_str(), temporary.certificate.names.as_slice()),
        (TEMPORARY, &names(&["hub.org"])[..])
    );
    assert!(!is_due(&temporary.certificate, &names(&["hub.org"]), now()));
    assert!(is_due(&temporary.certificate, &names(&["other.org"]), now()));
}

#[test]
fn a_key_is_told_from_what_is_none() {
    assert!(is_key(generate_key().as_bytes()));
    assert!(
        !is_key(b"") && !is_key(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n") && !is_key(&[0xff])
    );
}

#[test]
fn a_long_name_of_an_authority_is_cut_and_keeps_the_digest_of_its_key() {
    let key = KeyPair::generate().unwrap();
    let name = authority_name(&"é".repeat(100), &key);
    assert!(name.chars().count() <= COMMON_NAME_MAX && name.ends_with(&key_digest(&key)));
}
