//! TLS towards clients, with certificates made for the test.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hub_proxy::{BindError, ProxyConfig, TlsFiles};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::backend::Backend;
use crate::harness::TestProxy;

/// Key and certificate of `localhost`, in files of their own and together.
fn write_certificate(dir: &Path) -> (CertificateDer<'static>, TlsFiles, PathBuf) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let [certificate, key, both] = ["cert.pem", "key.pem", "both.pem"].map(|name| dir.join(name));
    std::fs::write(&certificate, cert.pem()).unwrap();
    std::fs::write(&key, signing_key.serialize_pem()).unwrap();
    std::fs::write(&both, format!("{}{}", signing_key.serialize_pem(), cert.pem())).unwrap();
    (cert.der().clone(), TlsFiles { certificate, key: Some(key) }, both)
}

async fn get(proxy: &TestProxy, trusted: &CertificateDer<'static>, path: &str) -> String {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    let stream = TcpStream::connect(proxy.public).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(config).connect(name, stream).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn bodies_of_every_size_arrive_encrypted() {
    let dir = tempfile::tempdir().unwrap();
    let (trusted, files, both) = write_certificate(dir.path());
    // The key may be in the certificate's file (S39).
    for tls in [files, TlsFiles { certificate: both, key: None }] {
        let backend = Backend::with(|request| {
            let path = request.split(' ').nth(1).unwrap();
            let size = path.trim_start_matches('/').parse().unwrap();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nX-Seen: {}\r\n\r\n", request.len());
            [head.into_bytes(), vec![b'x'; size]].concat()
        })
        .await;
        let proxy = TestProxy::start(ProxyConfig { tls: Some(tls), ..ProxyConfig::default() }).await;
        proxy.route("/", backend.address, json!({}));
        for size in [0, 1, 5_000, 70_000, 3_000_000] {
            let answer = get(&proxy, &trusted, &format!("/{size}")).await;
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            assert_eq!(body.len(), size);
        }
        assert!(backend.requests()[0].contains("X-Forwarded-Proto: https\r\n"), "{}", backend.requests()[0]);
    }
}

/// Who says nothing of TLS gets no answer, and doesn't keep others waiting.
#[tokio::test]
async fn a_client_without_tls_is_not_served() {
    let dir = tempfile::tempdir().unwrap();
    let (trusted, files, _) = write_certificate(dir.path());
    let backend = Backend::echo().await;
    let proxy = TestProxy::start(ProxyConfig { tls: Some(files), ..ProxyConfig::default() }).await;
    proxy.route("/", backend.address, json!({}));
    let _silent = TcpStream::connect(proxy.public).await.unwrap();
    let mut plain = TcpStream::connect(proxy.public).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // A reset is as good as an end.
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    assert!(get(&proxy, &trusted, "/").await.starts_with("HTTP/1.1 200"));
    assert_eq!(backend.requests().len(), 1);
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let (_, files, both) = write_certificate(dir.path());
    let other = tempfile::tempdir().unwrap();
    let (_, others, _) = write_certificate(other.path());
    let empty = dir.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let cases = [
        (TlsFiles { certificate: dir.path().join("missing.pem"), key: files.key.clone() }, "missing.pem"),
        (TlsFiles { certificate: empty.clone(), key: files.key.clone() }, "empty.pem holds no certificate"),
        (TlsFiles { certificate: both, key: Some(empty) }, "a private key that is not encrypted from"),
        (TlsFiles { certificate: files.certificate.clone(), key: None }, "a private key that is not encrypted from"),
        (TlsFiles { certificate: files.certificate, key: others.key }, "can't be used together"),
    ];
    for (tls, expected) in cases {
        let config = ProxyConfig { tls: Some(tls.clone()), ..ProxyConfig::default() };
        let error = hub_proxy::bind(config).await.unwrap_err();
        assert!(matches!(error, BindError::Tls(_)) && error.to_string().contains(expected), "{tls:?}: {error}");
    }
}
