//! Targets that are known by a name and not by their address, which may be another's next.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hub_proxy::{ProxyConfig, TargetTls};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::Authority;
use crate::backend::ok;
use crate::harness::TestProxy;

const ADA: &str = "jupyter-ada.jhub.internal";
const GRACE: &str = "jupyter-grace.jhub.internal";

/// A server with a certificate for one name, and what it was sent after the handshake.
struct Server {
    address: SocketAddr,
    received: Arc<Mutex<Vec<u8>>>,
    arrivals: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start(authority: &Authority, name: &str, address: &str) -> Self {
        let issued = authority.issue(&[name]);
        let key = rustls::pki_types::pem::PemObject::from_pem_slice(issued.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let acceptor = TlsAcceptor::from(Arc::new(builder.with_single_cert(vec![issued.der], key).unwrap()));
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (received, arrivals) = (Arc::<Mutex<Vec<u8>>>::default(), Arc::<AtomicUsize>::default());
        let (record, count) = (received.clone(), arrivals.clone());
        let task = tokio::spawn(async move {
            // In one task, so that its connections end with it.
            let mut serving = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let (acceptor, record) = (acceptor.clone(), record.clone());
                serving.spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut bytes = [0; 4096];
                    while let Ok(count @ 1..) = stream.read(&mut bytes).await {
                        record.lock().unwrap().extend_from_slice(&bytes[..count]);
                        let _ = stream.write_all(&ok("served")).await;
                    }
                });
            }
        });
        Self { address, received, arrivals, task }
    }

    fn received(&self) -> String {
        String::from_utf8(self.received.lock().unwrap().clone()).unwrap()
    }

    /// Ends it with its connections, and waits until its address is free.
    async fn end(self) -> SocketAddr {
        self.task.abort();
        let _ = self.task.await;
        self.address
    }
}

async fn proxy(authority: &Authority) -> (TestProxy, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let file: PathBuf = directory.path().join("ca.crt");
    std::fs::write(&file, authority.pem()).unwrap();
    let target_tls = TargetTls { authorities: Some(file), ..TargetTls::default() };
    (TestProxy::start(ProxyConfig { target_tls, ..ProxyConfig::default() }).await, directory)
}

fn lead(proxy: &TestProxy, path: &str, address: SocketAddr, name: &str) {
    let data = json!({"target": format!("https://{address}"), "tls_name": name, "jupyterhub": true});
    proxy.routes.add(path, data.as_object().cloned().unwrap()).unwrap();
}

async fn ask(proxy: &TestProxy) -> u16 {
    let mut client = proxy.client().await;
    client.send("GET /user/ada/lab HTTP/1.1\r\nHost: proxy\r\nCookie: jupyterhub-user-ada=secret\r\n\r\n").await;
    client.answer(false).await.unwrap().status
}

/// A pod ends, and another user's gets its address before the hub has taken the route away: also a certificate of the same
/// authority does not help who has another name, and not a byte of the request gets there.
#[tokio::test]
async fn whoever_has_the_address_must_show_the_name_row_33() {
    let authority = Authority::new("Internal");
    let (proxy, _directory) = proxy(&authority).await;
    let ada = Server::start(&authority, ADA, "127.0.0.1:0").await;
    lead(&proxy, "/user/ada", ada.address, ADA);
    assert_eq!(ask(&proxy).await, 200);
    assert!(ada.received().contains("jupyterhub-user-ada=secret"));

    let address = ada.end().await;
    let grace = Server::start(&authority, GRACE, &address.to_string()).await;
    for _ in 0..3 {
        assert_eq!(ask(&proxy).await, 503);
    }
    assert!(grace.arrivals.load(Ordering::SeqCst) >= 3, "the proxy did not even try");
    assert_eq!(grace.received(), "");
    // It is not a matter of the address: by her own name she is reached there.
    lead(&proxy, "/user/ada", address, GRACE);
    assert_eq!(ask(&proxy).await, 200);
    assert!(grace.received().contains("GET /user/ada/lab"));
}

/// What was opened to one name is not used for another at the same address.
#[tokio::test]
async fn connections_are_kept_by_name() {
    let authority = Authority::new("Internal");
    let (proxy, _directory) = proxy(&authority).await;
    let ada = Server::start(&authority, ADA, "127.0.0.1:0").await;
    lead(&proxy, "/user/ada", ada.address, ADA);
    lead(&proxy, "/user/grace", ada.address, GRACE);
    assert_eq!((ask(&proxy).await, ask(&proxy).await), (200, 200));
    assert_eq!(ada.arrivals.load(Ordering::SeqCst), 1, "the connection is used again");
    assert_eq!(proxy.get("/user/grace/lab").await.status, 503);
    // A route that has another name now leads elsewhere.
    lead(&proxy, "/user/ada", ada.address, GRACE);
    assert_eq!(ask(&proxy).await, 503);
}

/// Requests wait for a hub that can't be reached, and not for one that is not who it should be.
#[tokio::test]
async fn nobody_waits_for_a_hub_whose_certificate_is_not_believed() {
    let authority = Authority::new("Internal");
    let (proxy, _directory) = proxy(&authority).await;
    let hub = Server::start(&authority, GRACE, "127.0.0.1:0").await;
    let data = json!({"target": format!("https://{}", hub.address), "tls_name": ADA, "hub": true});
    proxy.routes.add("/", data.as_object().cloned().unwrap()).unwrap();
    let asked = Instant::now();
    assert_eq!(proxy.get("/hub/home").await.status, 503);
    assert!(asked.elapsed() < Duration::from_secs(5), "it waited");
}
