//! Which handshakes succeed, and with which certificate.

use hub_proxy::{BindError, ClientCertificates, ProxyConfig, TlsFiles, TlsOptions, TlsVersion};
use rustls::{HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::certificates::{Authority, set_mode, write_secret};
use super::{Secured, client_config, connect, exchange, leaf};
use crate::backend::Backend;
use crate::harness::TestProxy;

#[tokio::test]
async fn bodies_of_every_size_arrive_encrypted() {
    let backend = Backend::with(|request| {
        let path = request.split(' ').nth(1).unwrap();
        let size = path.trim_start_matches('/').parse().unwrap();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nX-Seen: {}\r\n\r\n", request.len());
        [head.into_bytes(), vec![b'x'; size]].concat()
    })
    .await;
    let secured = Secured::start(backend, ProxyConfig::default()).await;
    for size in [0, 1, 5_000, 70_000, 3_000_000] {
        let answer = secured.get(&format!("/{size}")).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert_eq!(body.len(), size);
    }
    let request = &secured.backend.requests()[0];
    assert!(request.contains("X-Forwarded-Proto: https\r\n"), "{request}");
}

/// Who says nothing of TLS gets no answer, and doesn't keep others waiting.
#[tokio::test]
async fn a_client_without_tls_is_not_served() {
    let secured = Secured::start(Backend::echo().await, ProxyConfig::default()).await;
    let _silent = TcpStream::connect(secured.proxy.public).await.unwrap();
    let mut plain = TcpStream::connect(secured.proxy.public).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // A reset is as good as an end.
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    assert!(secured.get("/").await.starts_with("HTTP/1.1 200"));
    assert_eq!(secured.backend.requests().len(), 1);
}

/// A hello with these two bytes as its version and this one suite; the description of the alert that it is answered with.
async fn alert(secured: &Secured, version: [u8; 2], suite: [u8; 2]) -> u8 {
    // P-256 and ECDSA with SHA-256, as everybody has them.
    let extensions = [&[0, 10, 0, 4, 0, 2, 0, 23][..], &[0, 13, 0, 4, 0, 2, 4, 3], &[0, 11, 0, 2, 1, 0]].concat();
    let mut hello =
        [&version[..], &[7; 32], &[0, 0, 2], &suite, &[1, 0, 0, extensions.len() as u8], &extensions].concat();
    hello.splice(0..0, [1, 0, 0, hello.len() as u8]);
    hello.splice(0..0, [22, 3, 1, 0, hello.len() as u8]);
    let mut stream = TcpStream::connect(secured.proxy.public).await.unwrap();
    stream.write_all(&hello).await.unwrap();
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!((answer[0], answer[5]), (21, 2), "a fatal alert was expected: {answer:?}");
    answer[6]
}

/// Row 64 of the attacks.
#[tokio::test]
async fn old_versions_and_weak_suites_are_refused_row_64() {
    const PROTOCOL_VERSION: u8 = 70;
    const HANDSHAKE_FAILURE: u8 = 40;
    let secured = Secured::start(Backend::echo().await, ProxyConfig::default()).await;
    for version in [[3, 0], [3, 1], [3, 2]] {
        assert_eq!(alert(&secured, version, [0xc0, 0x2b]).await, PROTOCOL_VERSION, "{version:?}");
    }
    // ECDHE-ECDSA with AES-CBC, RC4 and 3DES; RSA with AES-CBC.
    for suite in [[0xc0, 0x09], [0xc0, 0x07], [0xc0, 0x08], [0x00, 0x2f]] {
        assert_eq!(alert(&secured, [3, 3], suite).await, HANDSHAKE_FAILURE, "{suite:?}");
    }
}

#[tokio::test]
async fn protocols_are_agreed_on_by_alpn_row_64() {
    let secured = Secured::start(Backend::echo().await, ProxyConfig::default()).await;
    for (offered, expected) in [
        (&["h2", "http/1.1"][..], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&["x", "h2"], Some("h2")),
        (&[], None),
    ] {
        let stream =
            connect(secured.proxy.public, "localhost", &client_config(&secured.authority, offered)).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), expected.map(str::as_bytes), "{offered:?}");
    }
    assert!(connect(secured.proxy.public, "localhost", &client_config(&secured.authority, &["x"])).await.is_err());
}

#[tokio::test]
async fn versions_can_be_limited() {
    for (min_version, max_version, old, new) in [
        (TlsVersion::Tls12, None, true, true),
        (TlsVersion::Tls13, None, false, true),
        (TlsVersion::Tls12, Some(TlsVersion::Tls12), true, false),
    ] {
        let tls_options = TlsOptions { min_version, max_version, ..TlsOptions::default() };
        let secured =
            Secured::start(Backend::echo().await, ProxyConfig { tls_options, ..ProxyConfig::default() }).await;
        for (version, accepted) in [(&rustls::version::TLS12, old), (&rustls::version::TLS13, new)] {
            let mut config = client_config(&secured.authority, &[]);
            let provider = config.crypto_provider().clone();
            let builder =
                rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
            let mut roots = rustls::RootCertStore::empty();
            roots.add(secured.authority.der()).unwrap();
            config = builder.with_root_certificates(roots).with_no_client_auth();
            assert_eq!(connect(secured.proxy.public, "localhost", &config).await.is_ok(), accepted, "{version:?}");
        }
    }
}

/// Row 64 of the attacks: a ticket is good over a renewal, and carries no request that could be replayed.
#[tokio::test]
async fn sessions_are_resumed_over_a_renewal_and_without_early_data_row_64() {
    let secured = Secured::start(Backend::echo().await, ProxyConfig::default()).await;
    let mut config = client_config(&secured.authority, &[]);
    config.enable_early_data = true;
    let again = async || {
        let mut stream = connect(secured.proxy.public, "localhost", &config).await.unwrap();
        let answer = exchange(&mut stream, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let session = stream.get_ref().1;
        assert!(!session.is_early_data_accepted());
        (session.handshake_kind(), session.protocol_version())
    };
    assert_eq!(again().await, (Some(HandshakeKind::Full), Some(ProtocolVersion::TLSv1_3)));
    assert_eq!(again().await.0, Some(HandshakeKind::Resumed));
    let renewed = secured.authority.issue(&["localhost"]);
    renewed.write(secured.directory.path(), "tls");
    super::reload::until(async || secured.served().await == renewed.der).await;
    // Resumed or not: it works.
    again().await;
    assert_eq!(again().await.0, Some(HandshakeKind::Resumed));
}

/// Row 64 of the attacks: who asks for a name that nobody has gets the main certificate.
#[tokio::test]
async fn each_name_gets_its_certificate_row_64() {
    let authority = Authority::new("Test Authority");
    let directory = tempfile::tempdir().unwrap();
    let main = authority.issue(&["localhost", "*.example.org"]);
    let files = main.write(directory.path(), "tls");
    let wide = authority.issue(&["*.example.net"]);
    wide.write(directory.path(), "a-wide");
    let exact = authority.issue(&["hub.example.org", "hub.example.net"]);
    exact.write(directory.path(), "z-exact");
    std::fs::write(directory.path().join("broken.crt"), "x").unwrap();
    let sni_directory = Some(directory.path().to_owned());
    let config = ProxyConfig {
        tls: Some(files),
        tls_options: TlsOptions { sni_directory, ..TlsOptions::default() },
        ..ProxyConfig::default()
    };
    let proxy = TestProxy::start(config).await;
    let mut config = client_config(&authority, &[]);
    for (name, expected) in [
        ("localhost", &main),
        ("hub.example.org", &exact),
        ("HUB.example.org", &exact),
        ("other.example.org", &main),
        ("hub.example.net", &exact),
        ("other.example.net", &wide),
    ] {
        assert_eq!(leaf(proxy.public, name, &config).await, expected.der, "{name}");
    }
    // Whom a client doesn't name, or names in vain, is the main one: such a client refuses it, but sees it.
    config.enable_sni = false;
    assert_eq!(leaf(proxy.public, "localhost", &config).await, main.der);
    config.enable_sni = true;
    let error = connect(proxy.public, "unknown.example.com", &config).await.unwrap_err().to_string();
    assert!(error.contains("not valid for name") && error.contains("localhost"), "{error}");
}

/// Row 66 of the attacks.
#[tokio::test]
async fn chains_are_mended_and_bad_files_are_named_row_66() {
    let root = Authority::new("Root");
    let (upper, lapsed) = (root.intermediate("Upper", false), root.intermediate("Lapsed", true));
    let lower = upper.intermediate("Lower", false);
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let (good, other) = (lower.issue(&["localhost"]), lower.issue(&["localhost"]));
    let doubtful = lapsed.issue(&["localhost"]);
    let expired = root.issue_until(&["localhost"], 2020);
    write_secret(&at("key"), &good.key);
    write_secret(&at("other.key"), &other.key);
    write_secret(&at("empty"), "");
    write_secret(&at("open.key"), &good.key);
    set_mode(&at("open.key"), 0o644);
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    write_secret(&at("encrypted.key"), encrypted);
    // Backwards, with the root (S41), and with the key in the same file (S39).
    let backwards = root.pem() + &upper.pem() + &lower.pem() + &good.certificate;
    std::fs::write(at("chain"), &backwards).unwrap();
    write_secret(&at("both"), &(good.key.clone() + &backwards));
    std::fs::write(at("huge"), backwards.repeat(3)).unwrap();
    std::fs::write(at("cut"), &backwards[..backwards.len() - 40]).unwrap();

    let files = |certificate: &str, key: Option<&str>| TlsFiles { certificate: at(certificate), key: key.map(at) };
    let config = |tls| ProxyConfig { tls: Some(tls), ..ProxyConfig::default() };
    for tls in [files("chain", Some("key")), files("both", None)] {
        let proxy = TestProxy::start(config(tls)).await;
        assert_eq!(leaf(proxy.public, "localhost", &client_config(&root, &[])).await, good.der);
    }
    // Served with a warning: at the start there is no better one.
    std::fs::write(at("doubtful"), doubtful.certificate + &lapsed.pem()).unwrap();
    write_secret(&at("doubtful.key"), &doubtful.key);
    std::fs::write(at("expired"), &expired.certificate).unwrap();
    write_secret(&at("expired.key"), &expired.key);
    for name in ["doubtful", "expired"] {
        let proxy = TestProxy::start(config(files(name, Some(&format!("{name}.key"))))).await;
        let error = connect(proxy.public, "localhost", &client_config(&root, &[])).await.unwrap_err();
        assert!(error.to_string().contains("expired"), "{name}: {error}");
    }

    for (tls, named) in [
        (files("missing", Some("key")), "missing"),
        (files("empty", Some("key")), "there is no certificate"),
        (files("chain", Some("empty")), "empty: there is no private key"),
        (files("chain", None), "chmod 640"),
        (files("chain", Some("open.key")), "0644"),
        (files("chain", Some("encrypted.key")), "is encrypted"),
        (files("chain", Some("other.key")), "doesn't fit"),
        (files("huge", Some("key")), "10 certificates"),
        (files("cut", Some("key")), "cut off"),
    ] {
        let error = hub_proxy::bind(config(tls.clone())).await.unwrap_err();
        assert!(matches!(error, BindError::Tls(_)) && error.to_string().contains(named), "{tls:?}: {error}");
    }
}

#[tokio::test]
async fn clients_can_be_asked_for_a_certificate() {
    let (clients, strangers) = (Authority::new("Clients"), Authority::new("Strangers"));
    let directory = tempfile::tempdir().unwrap();
    let authorities = directory.path().join("ca.pem");
    std::fs::write(&authorities, clients.pem()).unwrap();
    for required in [true, false] {
        let client_certificates = Some(ClientCertificates { authorities: authorities.clone(), required });
        let tls_options = TlsOptions { client_certificates, ..TlsOptions::default() };
        let config = ProxyConfig { tls_options, ..ProxyConfig::default() };
        let secured = Secured::start(Backend::echo().await, config).await;
        for (issuer, accepted) in [(Some(&clients), true), (Some(&strangers), false), (None, !required)] {
            let mut config = client_config(&secured.authority, &[]);
            if let Some(issuer) = issuer {
                let own = issuer.issue(&["client"]);
                let mut roots = rustls::RootCertStore::empty();
                roots.add(secured.authority.der()).unwrap();
                let provider = config.crypto_provider().clone();
                let builder = rustls::ClientConfig::builder_with_provider(provider);
                let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
                let key = rustls::pki_types::pem::PemObject::from_pem_slice(own.key.as_bytes()).unwrap();
                config = builder.with_client_auth_cert(vec![own.der], key).unwrap();
            }
            // In TLS 1.3 a client learns only with the first bytes that it was refused.
            let answered = match connect(secured.proxy.public, "localhost", &config).await {
                Err(_) => false,
                Ok(mut stream) => {
                    let request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
                    exchange(&mut stream, request).await.starts_with("HTTP/1.1 200")
                }
            };
            assert_eq!(answered, accepted, "required: {required}, with a certificate: {}", issuer.is_some());
        }
    }
}
