//! Certificates made for each case by rcgen.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
};
use secrecy::ExposeSecret as _;

use hub_tls::{Certificate, Problem, Warning, read};

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn root(name: &str) -> Issuer {
    CertifiedIssuer::self_signed(authority_params(name), KeyPair::generate().unwrap()).unwrap()
}

fn intermediate(name: &str, issuer: &Issuer) -> Issuer {
    CertifiedIssuer::signed_by(authority_params(name), KeyPair::generate().unwrap(), issuer).unwrap()
}

/// A leaf's certificate and key in PEM.
fn leaf(names: &[&str], issuer: &Issuer) -> (String, String) {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, issuer).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn ok(certificate: &str, key: &str) -> Certificate {
    read(certificate.as_bytes(), Some(key.as_bytes())).unwrap()
}

fn problem(certificate: &str, key: Option<&str>) -> Problem {
    read(certificate.as_bytes(), key.map(str::as_bytes)).unwrap_err()
}

fn in_one_format(pem: &str) -> String {
    pem.replace('\r', "")
}

/// All orders of up to four pieces.
fn orders(pieces: &[String]) -> Vec<String> {
    if pieces.len() < 2 {
        return vec![pieces.concat()];
    }
    let mut all = Vec::new();
    for at in 0..pieces.len() {
        let mut rest = pieces.to_vec();
        let first = rest.remove(at);
        all.extend(orders(&rest).into_iter().map(|rest| first.clone() + &rest));
    }
    all
}

#[test]
fn a_chain_in_any_order_is_mended_s41() {
    let root = root("Root");
    let upper = intermediate("Upper", &root);
    let lower = intermediate("Lower", &upper);
    let (certificate, key) = leaf(&["hub.example.org"], &lower);
    let expected = in_one_format(&(certificate.clone() + &lower.pem() + &upper.pem()));
    for given in orders(&[certificate, lower.pem(), upper.pem(), root.pem()]) {
        let read = ok(&given, &key);
        assert_eq!(in_one_format(&read.chain_pem), expected);
        assert_eq!((read.issuer.as_str(), &read.warnings[..]), ("Lower", &[][..]));
        assert_eq!(read.certified_key().cert.len(), 3);
    }
}

#[test]
fn the_key_may_be_in_the_certificates_file_s39() {
    let root = root("Root");
    let lower = intermediate("Lower", &root);
    let (certificate, key) = leaf(&["hub.example.org"], &lower);
    for given in orders(&[certificate, lower.pem(), key.clone()]) {
        let read = read(given.as_bytes(), None).unwrap();
        assert_eq!(in_one_format(read.key_pem.expose_secret()), in_one_format(&key));
        assert!(!read.chain_pem.contains("PRIVATE") && !format!("{read:?}").contains("PRIVATE"));
    }
}

#[test]
fn facts_are_read_from_the_leaf() {
    let key = KeyPair::generate().unwrap();
    let names = ["Hub.example.org", "*.hub.example.org", "10.0.0.1", "::1"].map(str::to_owned);
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2026, 4, 1);
    params.serial_number = Some(vec![0x0A, 0xFF].into());
    let issuer = root("Root");
    let certificate = params.signed_by(&key, &issuer).unwrap().pem();
    let mut read = ok(&certificate, &key.serialize_pem());
    assert_eq!(read.names, ["hub.example.org", "*.hub.example.org", "10.0.0.1", "::1"]);
    assert_eq!((read.issuer.as_str(), read.serial.as_str()), ("Root", "0AFF"));
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    assert_eq!(read.not_before, at("2026-01-01T00:00:00Z"));
    // The last second named is still valid.
    assert_eq!(read.check(at("2026-04-01T00:00:00Z")), Ok(()));
    assert!(read.is_expired(at("2026-04-01T00:00:01Z")));
    assert!(matches!(read.check(at("2026-05-01T00:00:00Z")), Err(Problem::Expired(_))));
    assert!(matches!(read.check(at("2025-12-31T00:00:00Z")), Err(Problem::NotYetValid(_))));

    assert_eq!(read.warnings, [Warning::IntermediateMissing("Root".to_owned())]);
    read.note_authorities(root("Root").pem().as_bytes()).unwrap();
    assert_eq!(read.warnings.len(), 1, "another authority of the same name");
    read.note_authorities(issuer.pem().as_bytes()).unwrap();
    assert_eq!(read.warnings, []);
}

#[test]
fn names_cover_hosts_as_browsers_have_it() {
    let (certificate, key) = leaf(&["hub.example.org", "*.hub.example.org", "10.0.0.1", "::1"], &root("Root"));
    let read = ok(&certificate, &key);
    for host in ["hub.example.org", "HUB.example.org", "a.hub.example.org", "hub.example.org.", "10.0.0.1", "0::1"] {
        assert!(read.covers(host), "{host}");
    }
    for host in ["example.org", "a.b.hub.example.org", ".hub.example.org", "xhub.example.org", "10.0.0.2", ""] {
        assert!(!read.covers(host), "{host}");
    }
}

#[test]
fn what_does_not_belong_is_left_out_and_what_is_missing_is_named() {
    let root = root("Root");
    let lower = intermediate("Lower", &root);
    let (certificate, key) = leaf(&["a"], &lower);
    let (stranger, _) = leaf(&["b"], &lower);
    let read = ok(&(stranger + &certificate + &lower.pem()), &key);
    assert_eq!((read.names.as_slice(), &read.warnings[..]), (&["a".to_owned()][..], &[Warning::Unrelated(1)][..]));
    // The same certificate twice is clumsy and harmless.
    let twice = ok(&(certificate.clone() + &certificate + &lower.pem()), &key);
    assert_eq!((twice.certified_key().cert.len(), twice.warnings.len()), (2, 0));

    let alone = ok(&certificate, &key);
    assert_eq!(alone.warnings, [Warning::IntermediateMissing("Lower".to_owned())]);
    // An authority of the same name that did not sign it is not its issuer.
    let forged = ok(&(certificate + &intermediate("Lower", &root).pem()), &key);
    assert!(forged.warnings.contains(&Warning::IntermediateMissing("Lower".to_owned())), "{:?}", forged.warnings);
}

#[test]
fn a_self_signed_certificate_is_whole() {
    for algorithm in [&PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let read = ok(&certificate.pem(), &key.serialize_pem());
        assert_eq!((read.warnings.len(), read.certified_key().cert.len()), (0, 1));
    }
    let key = KeyPair::generate().unwrap();
    let nameless = CertificateParams::default().self_signed(&key).unwrap();
    assert_eq!(ok(&nameless.pem(), &key.serialize_pem()).warnings, [Warning::NamesMissing]);
}

/// Row 66 of the attacks: it is served, and said.
#[test]
fn an_expired_authority_is_a_warning_in_its_time() {
    let root = root("Root");
    let mut params = authority_params("Lower");
    params.not_after = rcgen::date_time_ymd(2026, 4, 1);
    let lower = CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &root).unwrap();
    let (certificate, key) = leaf(&["a"], &lower);
    let read = ok(&(certificate + &lower.pem()), &key);
    let end: Timestamp = "2026-04-01T00:00:00Z".parse().unwrap();
    assert_eq!(read.warnings_at(end), []);
    let warnings = read.warnings_at(end + SignedDuration::from_secs(1));
    assert_eq!(warnings, [Warning::AuthorityExpired { issuer: "Lower".to_owned(), at: end }]);
    assert!(warnings[0].to_string().contains("Lower") && warnings[0].to_string().contains("2026-04-01"));
}

/// Row 66 of the attacks, and what people do by mistake.
#[test]
fn problems_name_what_is_wrong_and_the_remedy() {
    let root = root("Root");
    let (certificate, key) = leaf(&["a"], &root);
    let (_, other) = leaf(&["a"], &root);
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGTMBwGCg==\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n\
               -----END RSA PRIVATE KEY-----\n";
    let unsupported = "-----BEGIN PRIVATE KEY-----\nMAMCAQA=\n-----END PRIVATE KEY-----\n";
    let garbage = "-----BEGIN CERTIFICATE-----\neA==\n-----END CERTIFICATE-----\n";
    let half = &certificate[..certificate.len() / 2];
    for (certificate, key, expected, named) in [
        ("", Some(key.as_str()), Problem::NoCertificate, "BEGIN CERTIFICATE"),
        ("hello", Some(&key), Problem::NoCertificate, "BEGIN CERTIFICATE"),
        (&certificate, Some(""), Problem::NoKey, "no private key"),
        (&certificate, None, Problem::NoKey, "no private key"),
        (&certificate, Some(encrypted), Problem::KeyEncrypted, "openssl pkey"),
        (&certificate, Some(old), Problem::KeyEncrypted, "openssl pkey"),
        (&certificate, Some(unsupported), Problem::KeyUnsupported, "2048"),
        (&certificate, Some(&other), Problem::KeyDoesNotFit, "doesn't fit"),
        (half, Some(&key), Problem::Malformed(String::new()), "cut off"),
        (garbage, Some(&key), Problem::Malformed(String::new()), "malformed"),
        (&certificate.repeat(11), Some(&key), Problem::HugeChain, "10 certificates"),
        (&"x".repeat(65 * 1024), Some(&key), Problem::HugeChain, "64 KiB"),
    ] {
        let found = problem(certificate, key);
        assert_eq!(std::mem::discriminant(&found), std::mem::discriminant(&expected), "{found}");
        assert!(found.to_string().contains(named), "{found}");
    }
}

/// A truncated or garbled key must not be quoted.
#[test]
fn no_text_holds_key_material() {
    let (certificate, key) = leaf(&["a"], &root("Root"));
    let line = key.lines().nth(1).unwrap();
    for bad in [key.replace("-----END", "x"), key.replacen(line, &format!("!{line}"), 1)] {
        let found = problem(&certificate, Some(&bad));
        let texts = format!("{found} {found:?}");
        assert!(!texts.contains(&line[..16]), "{texts}");
    }
}
