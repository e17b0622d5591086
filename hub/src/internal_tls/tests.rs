//! Against real servers of rustls that ask who comes, as `jupyterhub-singleuser` does.

use super::*;
use crate::proxy::Route;
use hub_proxy::{ProxyConfig, TargetTls, TlsFiles};
use rcgen::{BasicConstraints, CertifiedIssuer, IsCa};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use std::{
    os::unix::fs::PermissionsExt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// The hub's directory, as the operator fills it.
fn directory() -> TempDir {
    let named = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let mut authority = named("Pods of Hub jhub in jupyter 0123456789ab");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let mut own = named("hub and proxy");
    own.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let own_key = KeyPair::generate().unwrap();
    let own = own.signed_by(&own_key, &authority).unwrap();
    let directory = tempfile::tempdir().unwrap();
    for (file, text) in [
        ("ca.crt", authority.pem()),
        ("ca.key", authority.key().serialize_pem()),
        ("tls.crt", own.pem()),
        ("tls.key", own_key.serialize_pem()),
    ] {
        let file = directory.path().join(file);
        fs::write(&file, text).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o440)).unwrap();
    }
    directory
}

fn loaded() -> InternalTls {
    InternalTls::load(directory().path()).unwrap()
}

fn now() -> Timestamp {
    Timestamp::now()
}

fn verifier(authority: &str) -> Arc<dyn ClientCertVerifier> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    WebPkiClientVerifier::builder_with_provider(roots.into(), ring::default_provider().into()).build().unwrap()
}

/// A server with this certificate, which answers nobody whom it doesn't know; and how many requests it was sent.
async fn serve(issued: &ServerCertificate) -> (SocketAddr, Arc<AtomicUsize>) {
    let certificate = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(issued.key.expose_secret().as_bytes()).unwrap();
    let builder = ServerConfig::builder_with_provider(ring::default_provider().into());
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let config = builder.with_client_cert_verifier(verifier(&issued.authority));
    let acceptor = TlsAcceptor::from(Arc::new(config.with_single_cert(vec![certificate], key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, requests) = (listener.local_addr().unwrap(), Arc::<AtomicUsize>::default());
    let count = requests.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = [0; 4096];
            if stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                count.fetch_add(1, Ordering::SeqCst);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
            }
        }
    });
    (address, requests)
}

async fn ask(client: ClientBuilder, name: &str, address: SocketAddr) -> bool {
    let url = format!("https://{name}:{}/user/ada/api", address.port());
    client.no_proxy().build().unwrap().get(url).send().await.is_ok_and(|answer| answer.status().is_success())
}

/// Row 33, from the hub's side: who has the address is not asked anything but for its name.
#[tokio::test]
async fn a_server_is_found_by_its_name_and_no_other_at_its_address_row_33() {
    let tls = loaded();
    let issued = tls.issue("jupyter-grace.jhub.internal", now()).unwrap();
    let (address, requests) = serve(&issued).await;
    assert!(ask(tls.client(&issued.name, address), &issued.name, address).await);
    assert_eq!(requests.load(Ordering::SeqCst), 1);
    let name = "jupyter-ada.jhub.internal";
    assert!(!ask(tls.client(name, address), name, address).await);
    let stranger = loaded();
    assert!(!ask(stranger.client(&issued.name, address), &issued.name, address).await, "another Hub's authority");
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

/// The proxy with the operator's files, a route with the hub's name, a server with the hub's certificate: what each says
/// fits what the others say.
#[tokio::test]
async fn the_proxy_leads_to_the_server_that_has_the_routes_name_row_33() {
    let directory = directory();
    let tls = InternalTls::load(directory.path()).unwrap();
    let (address, requests) = serve(&tls.issue("jupyter-grace.jhub.internal", now()).unwrap()).await;
    let file = |name: &str| directory.path().join(name);
    let certificate = Some(TlsFiles { certificate: file("tls.crt"), key: Some(file("tls.key")) });
    let target_tls = TargetTls { authorities: Some(file("ca.crt")), certificate, insecure: false };
    let proxy = hub_proxy::bind(ProxyConfig { target_tls, ..ProxyConfig::default() }).await.unwrap();
    let (routes, public) = (proxy.routes(), proxy.public_addr().socket_addr().unwrap());
    tokio::spawn(proxy.run(CancellationToken::new()));
    let http = http_client().no_proxy().build().unwrap();
    for (user, status) in [("grace", 200), ("ada", 503)] {
        let name = format!("jupyter-{user}.jhub.internal");
        let route = Route::of_server(&format!("https://{address}"), user, "").with_tls_name(&name);
        let data = serde_json::to_value(route).unwrap().as_object().cloned().unwrap();
        routes.add(&format!("/user/{user}"), data).unwrap();
        let answer = http.get(format!("http://{public}/user/{user}/api")).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{user}");
    }
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

/// Row 55: a user's own server can't be used to come to another's past the proxy.
#[test]
fn a_servers_certificate_opens_no_other_server_row_55() {
    let tls = loaded();
    let issued = tls.issue("jupyter-ada.jhub.internal", now()).unwrap();
    let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now().as_second().try_into().unwrap()));
    let verifier = verifier(&issued.authority);
    let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    assert!(verifier.verify_client_cert(&der(&issued.certificate), &[], time).is_err());
}

#[test]
fn a_file_that_can_not_be_used_is_named() {
    for (file, content, words) in [
        ("ca.crt", None, "failed to read ca.crt"),
        ("ca.key", None, "failed to read ca.key"),
        ("tls.key", None, "failed to read tls.key"),
        ("ca.key", Some("x"), "the authority of servers' certificates"),
        ("ca.crt", Some("x"), "the authority of servers' certificates"),
        ("tls.crt", Some("x"), "the hub's own certificate"),
    ] {
        let directory = directory();
        let path = directory.path().join(file);
        fs::remove_file(&path).unwrap();
        if let Some(content) = content {
            fs::write(path, content).unwrap();
        }
        let error = InternalTls::load(directory.path()).err().unwrap().to_string();
        assert!(error.contains(words), "{file}: {error}");
    }
}
