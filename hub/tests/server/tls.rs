//! HTTPS by `--certfile` and `--keyfile`.

use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use std::{fs::Permissions, os::unix::fs::PermissionsExt, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::front::{Setup, TOKEN};

/// Small images, such as BusyBox's, have no authorities.
#[tokio::test]
async fn it_runs_where_no_authorities_are_installed() {
    let setup = Setup::new().env("JUPYTER_TOKEN", TOKEN);
    let setup = setup.env("SSL_CERT_FILE", "/nowhere").env("SSL_CERT_DIR", "/nowhere");
    assert!(setup.guard().await.url.starts_with("http://"));
}

#[tokio::test]
async fn with_a_certificate_the_server_speaks_https_and_its_cookie_is_secure() {
    let setup = Setup::new().env("JUPYTER_TOKEN", TOKEN);
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| setup.dir.path().join(name));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let front = setup.args(["--certfile", cert.to_str().unwrap(), "--keyfile", key.to_str().unwrap()]).guard().await;
    assert!(front.url.starts_with("https://localhost:"), "{}", front.url);
    assert_eq!(front.info("secure"), true);

    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(("localhost", front.port())).await.unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    let head =
        format!("GET /?token={TOKEN} HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 302") && answer.contains("; Secure\r\n"), "{answer}");
}
