//! Certificates that change while the proxy serves (row 25 of the faults).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hub_proxy::ProxyConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::certificates::{Authority, set_mode, write_secret};
use super::{Secured, client_config, connect};
use crate::backend::Backend;

const FAILURES: &str = "hub_proxy_certificate_reload_failures_total";

/// So soon must a renewed certificate be on the next handshake.
const SOON: Duration = Duration::from_secs(5);

/// Waits until something holds, which it must soon.
pub(super) async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(SOON, waiting).await.expect("it did not come true soon");
}

/// Asks over connections that stay and over new ones, until it is told to stop; gives the number of answers.
async fn load(address: std::net::SocketAddr, config: rustls::ClientConfig, stop: Arc<AtomicBool>) -> usize {
    let mut answers = 0;
    let mut kept = connect(address, "localhost", &config).await.unwrap();
    while !stop.load(Ordering::Relaxed) {
        let mut fresh = connect(address, "localhost", &config).await.unwrap();
        for stream in [&mut kept, &mut fresh] {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
            let mut answer = [0; 1024];
            let count = stream.read(&mut answer).await.unwrap();
            assert!(answer[..count].starts_with(b"HTTP/1.1 200"), "{:?}", &answer[..count]);
            answers += 1;
        }
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_served_soon_and_no_connection_drops_row_25() {
    let secured = Secured::start(Backend::fixed(crate::backend::ok("")).await, ProxyConfig::default()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            // Without sessions to resume, each connection is a whole handshake.
            let mut config = client_config(&secured.authority, &[]);
            config.resumption = rustls::client::Resumption::disabled();
            tokio::spawn(load(secured.proxy.public, config, stop.clone()))
        })
        .collect();
    for _ in 0..3 {
        let renewed = secured.authority.issue(&["localhost"]);
        renewed.write(secured.directory.path(), "tls");
        until(async || secured.served().await == renewed.der).await;
    }
    stop.store(true, Ordering::Relaxed);
    let answers = AtomicUsize::new(0);
    for client in clients {
        answers.fetch_add(client.await.expect("a request failed"), Ordering::Relaxed);
    }
    assert!(answers.into_inner() > 50, "there was hardly any load");
    assert_eq!(secured.metric(FAILURES).await, Some(0));
}

#[tokio::test]
async fn what_cannot_be_used_leaves_the_old_one_and_is_counted_row_25() {
    let secured = Secured::start(Backend::echo().await, ProxyConfig::default()).await;
    let first = secured.served().await;
    let (certificate, key) = (secured.path("tls.crt"), secured.path("tls.key"));
    let (good, other) = (secured.authority.issue(&["localhost"]), secured.authority.issue(&["localhost"]));
    let expired = secured.authority.issue_until(&["localhost"], 2020);
    let half = &good.certificate[..good.certificate.len() / 2];
    let mut failures = 0;
    for (content, key_content) in [
        (Some(good.certificate.as_str()), other.key.as_str()),
        (Some(&expired.certificate), &expired.key),
        (Some(half), &good.key),
        (Some(""), &good.key),
        (None, &good.key),
    ] {
        match content {
            Some(content) => std::fs::write(&certificate, content).unwrap(),
            None => std::fs::remove_file(&certificate).unwrap(),
        }
        write_secret(&key, key_content);
        failures += 1;
        until(async || secured.metric(FAILURES).await == Some(failures)).await;
        assert_eq!(secured.served().await, first, "{content:?}");
    }
    // Repaired, but the key can be read by everybody (S40) ...
    std::fs::write(&certificate, &good.certificate).unwrap();
    set_mode(&key, 0o644);
    until(async || secured.metric(FAILURES).await == Some(failures + 1)).await;
    assert_eq!(secured.served().await, first);
    // ... until somebody does as they are told.
    set_mode(&key, 0o640);
    until(async || secured.served().await == good.der).await;
    let not_after = secured.metric("hub_proxy_certificate_not_after_seconds{name=\"tls.crt\"}").await;
    assert!(not_after > Some(0) && secured.metric("hub_proxy_certificate_loaded_timestamp_seconds").await > Some(0));
}

/// As a mounted Secret changes: a link is swapped, and with it every file at once.
#[tokio::test]
async fn a_swapped_directory_is_noticed() {
    let authority = Authority::new("Test Authority");
    let directory = tempfile::tempdir().unwrap();
    let publish = |version: &str, names: &[&str], extra: Option<&str>| {
        let data = directory.path().join(version);
        std::fs::create_dir(&data).unwrap();
        let issued = authority.issue(names);
        issued.write(&data, "tls");
        if let Some(name) = extra {
            authority.issue(&[name]).write(&data, "extra-0");
        }
        let new = directory.path().join("..new");
        std::os::unix::fs::symlink(version, &new).unwrap();
        std::fs::rename(new, directory.path().join("..data")).unwrap();
        issued
    };
    publish("..1", &["localhost"], None);
    for name in ["tls.crt", "tls.key", "extra-0.crt", "extra-0.key"] {
        std::os::unix::fs::symlink(format!("..data/{name}"), directory.path().join(name)).unwrap();
    }
    let [certificate, key] = ["tls.crt", "tls.key"].map(|name| directory.path().join(name));
    let tls_options = hub_proxy::TlsOptions { sni_directory: Some(directory.path().to_owned()), ..Default::default() };
    let tls = Some(hub_proxy::TlsFiles { certificate, key: Some(key) });
    let proxy = crate::harness::TestProxy::start(ProxyConfig { tls, tls_options, ..ProxyConfig::default() }).await;
    let config = client_config(&authority, &[]);
    let second = publish("..2", &["localhost"], Some("extra.example.org"));
    until(async || super::leaf(proxy.public, "localhost", &config).await == second.der).await;
    assert!(connect(proxy.public, "extra.example.org", &config).await.is_ok());
}
