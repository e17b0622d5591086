//! TLS behind the proxy: towards targets, and of the REST API.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use hub_proxy::{ApiTls, ClientCertificates, ErrorPages, ProxyConfig, TargetTls, TlsFiles, TlsOptions, Token};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Message;

use super::{Authority, Secured, client_config, connect, exchange};
use crate::backend::{Backend, echo_server, ok, raw};
use crate::harness::{Answer, TestProxy, get};

impl Secured {
    fn authorities(&self) -> PathBuf {
        let file = self.path("authorities.pem");
        std::fs::write(&file, self.authority.pem()).unwrap();
        file
    }

    /// A proxy in front of this one, which believes as it is told.
    async fn behind(&self, target_tls: TargetTls) -> TestProxy {
        let proxy = TestProxy::start(ProxyConfig { target_tls, ..ProxyConfig::default() }).await;
        lead(&proxy, "/", &self.url());
        proxy
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.proxy.public.port())
    }

    fn believed(&self) -> TargetTls {
        TargetTls { authorities: Some(self.authorities()), ..TargetTls::default() }
    }
}

fn lead(proxy: &TestProxy, path: &str, target: &str) {
    proxy.routes.add(path, json!({"target": target}).as_object().cloned().unwrap()).unwrap();
}

#[tokio::test]
async fn a_target_is_held_to_its_authority_and_its_name() {
    let secured = Secured::start(Backend::echo().await, ProxyConfig::default()).await;
    let stranger = secured.path("stranger.pem");
    std::fs::write(&stranger, Authority::new("Stranger").pem()).unwrap();
    let other_name = format!("https://127.0.0.1:{}", secured.proxy.public.port());
    let believes = |file: &PathBuf| TargetTls { authorities: Some(file.clone()), ..TargetTls::default() };
    let insecure = TargetTls { insecure: true, ..TargetTls::default() };
    for (tls, target, status) in [
        (secured.believed(), secured.url(), 200),
        (secured.believed(), other_name.clone(), 503),
        (believes(&stranger), secured.url(), 503),
        // The system's know nothing of a test's authority.
        (TargetTls::default(), secured.url(), 503),
        (insecure, other_name, 200),
    ] {
        let proxy = TestProxy::start(ProxyConfig { target_tls: tls.clone(), ..ProxyConfig::default() }).await;
        lead(&proxy, "/", &target);
        assert_eq!(proxy.get("/x").await.status, status, "{target} {tls:?}");
    }
}

/// A target that counts handshakes and answers every request on a connection; with TLS 1.3 it sends its tickets, which are
/// no answer, while the connection is idle.
async fn counting(authority: &Authority) -> (SocketAddr, Arc<AtomicUsize>) {
    let issued = authority.issue(&["localhost"]);
    let key = rustls::pki_types::pem::PemObject::from_pem_slice(issued.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_no_client_auth().with_single_cert(vec![issued.der], key).unwrap();
    let (acceptor, count) = (TlsAcceptor::from(Arc::new(config)), Arc::new(AtomicUsize::new(0)));
    let counted = count.clone();
    let address = raw(move |stream| {
        counted.fetch_add(1, Ordering::SeqCst);
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(stream).await.unwrap();
            let mut request = [0; 4096];
            while stream.read(&mut request).await.is_ok_and(|count| count > 0) {
                stream.write_all(&ok("x")).await.unwrap();
            }
        }
    })
    .await;
    (address, count)
}

#[tokio::test]
async fn connections_to_encrypted_targets_are_used_again() {
    let directory = tempfile::tempdir().unwrap();
    let (authority, authorities) = (Authority::new("Internal"), directory.path().join("authorities.pem"));
    std::fs::write(&authorities, authority.pem()).unwrap();
    let (address, handshakes) = counting(&authority).await;
    let target_tls = TargetTls { authorities: Some(authorities), ..TargetTls::default() };
    let proxy = TestProxy::start(ProxyConfig { target_tls, ..ProxyConfig::default() }).await;
    lead(&proxy, "/", &format!("https://localhost:{}", address.port()));
    for _ in 0..20 {
        assert_eq!(proxy.get("/").await.status, 200);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(handshakes.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn bodies_and_websockets_pass_to_an_encrypted_target() {
    let big = "x".repeat(3_000_000);
    let length = |request: &str| ok(&request.split_once("\r\n\r\n").unwrap().1.len().to_string());
    let secured = Secured::start(Backend::with(length).await, ProxyConfig::default()).await;
    secured.proxy.route("/ws", echo_server().await, json!({}));
    secured.proxy.route("/big", Backend::fixed(ok(&big)).await.address, json!({}));
    let proxy = secured.behind(secured.believed()).await;
    let mut client = proxy.client().await;
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{big}", big.len())).await;
    assert_eq!(client.answer(false).await.unwrap().text(), big.len().to_string());
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{}/ws", proxy.public)).await.unwrap();
    for size in [1, 70_000, 1_000_000] {
        let message = Message::binary(vec![7; size]);
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message, "{size} bytes");
    }
}

/// As servers of a hub with `internal_ssl` ask for it.
#[tokio::test]
async fn the_proxy_shows_its_own_certificate_to_targets_that_ask() {
    let clients = Authority::new("Clients");
    let directory = tempfile::tempdir().unwrap();
    let authorities = directory.path().join("clients.pem");
    std::fs::write(&authorities, clients.pem()).unwrap();
    let client_certificates = Some(ClientCertificates { authorities, required: true });
    let tls_options = TlsOptions { client_certificates, ..TlsOptions::default() };
    let config = ProxyConfig { tls_options, ..ProxyConfig::default() };
    let secured = Secured::start(Backend::echo().await, config).await;
    let own = clients.issue(&["proxy-client"]).write(directory.path(), "own");
    for (certificate, is_served) in [(Some(own), true), (None, false)] {
        let proxy = secured.behind(TargetTls { certificate, ..secured.believed() }).await;
        assert_eq!(proxy.get("/").await.status == 200, is_served);
    }
}

#[tokio::test]
async fn error_pages_come_from_an_encrypted_server_too() {
    let secured = Secured::start(Backend::fixed(ok("a page of the hub")).await, ProxyConfig::default()).await;
    let error_pages = ErrorPages::Target(format!("{}/hub/error", secured.url()));
    let config = ProxyConfig { target_tls: secured.believed(), error_pages, ..ProxyConfig::default() };
    let answer: Answer = TestProxy::start(config).await.get("/nothing").await;
    assert_eq!((answer.status, answer.text().as_str()), (404, "a page of the hub"));
}

async fn ask(api: SocketAddr, config: &rustls::ClientConfig, token: &str) -> Option<String> {
    let mut stream = connect(api, "localhost", config).await.ok()?;
    let request = get("/api/routes").replace("\r\n\r\n", "\r\nConnection: close\r\n");
    let answer = exchange(&mut stream, &format!("{request}Authorization: token {token}\r\n\r\n")).await;
    Some(answer).filter(|answer| !answer.is_empty())
}

/// A program needs both, a certificate where one is asked for and the token.
#[tokio::test]
async fn the_rest_api_is_spoken_to_by_tls() {
    let (authority, clients) = (Authority::new("Internal"), Authority::new("Programs"));
    let directory = tempfile::tempdir().unwrap();
    let files: TlsFiles = authority.issue(&["localhost"]).write(directory.path(), "api");
    let authorities = directory.path().join("clients.pem");
    std::fs::write(&authorities, clients.pem()).unwrap();
    let own = clients.issue(&["hub"]);
    let plain = client_config(&authority, &["h2", "http/1.1"]);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.der()).unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(plain.crypto_provider().clone());
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let key = rustls::pki_types::pem::PemObject::from_pem_slice(own.key.as_bytes()).unwrap();
    let mut known = builder.with_client_auth_cert(vec![own.der.clone()], key).unwrap();
    known.alpn_protocols.clone_from(&plain.alpn_protocols);
    for is_asked in [false, true] {
        let client_certificates =
            is_asked.then(|| ClientCertificates { authorities: authorities.clone(), required: true });
        let api_tls = Some(ApiTls { files: files.clone(), client_certificates });
        let config = ProxyConfig { api_tls, token: Token::Value("t".to_owned()), ..ProxyConfig::default() };
        let proxy = TestProxy::start(config).await;
        // One that never shakes hands holds up nobody.
        let _silent = tokio::net::TcpStream::connect(proxy.api).await.unwrap();
        let answer = ask(proxy.api, &known, "t").await.unwrap();
        let table = answer.split_once("\r\n\r\n").unwrap().1;
        assert!(answer.starts_with("HTTP/1.1 200") && serde_json::from_str::<Value>(table).is_ok(), "{answer}");
        assert!(ask(proxy.api, &known, "wrong").await.unwrap().starts_with("HTTP/1.1 403"));
        assert_eq!(ask(proxy.api, &plain, "t").await.is_some(), !is_asked);
    }
}
