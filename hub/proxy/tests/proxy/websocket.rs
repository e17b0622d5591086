//! WebSockets: the handshake, the tunnel, and what is no WebSocket.

use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use hub_proxy::ProxyConfig;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::Message;

use crate::backend::{Backend, closed_port, echo_server, ok, raw, read_request};
use crate::harness::{PATIENCE, TestProxy, get};

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

fn handshake(fields: &str) -> String {
    format!("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{fields}\r\n")
}

#[tokio::test]
async fn messages_of_every_size_pass_both_ways() {
    let proxy = TestProxy::to(echo_server().await).await;
    let url = format!("ws://{}/user/a/api/kernels/1/channels?session_id=x", proxy.public);
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    for size in [0, 1, 125, 126, 5_000, 70_000, 3_000_000] {
        let message = Message::binary(vec![7; size]);
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message, "{size} bytes");
    }
    for n in 0..500 {
        socket.send(Message::text(n.to_string())).await.unwrap();
    }
    for n in 0..500 {
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(n.to_string()));
    }
    socket.close(None).await.unwrap();
    while let Some(Ok(_)) = socket.next().await {}
}

/// A kernel that prints all night does not keep its server alive; a person who types does.
#[tokio::test]
async fn only_the_clients_bytes_count_as_activity() {
    let address = raw(|stream| async move {
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            socket.send(Message::text("output")).await.unwrap();
        }
        while let Some(Ok(_)) = socket.next().await {}
    })
    .await;
    let proxy = TestProxy::to(address).await;
    let before = proxy.routes.get("/").unwrap();
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{}/", proxy.public)).await.unwrap();
    for _ in 0..5 {
        socket.next().await.unwrap().unwrap();
    }
    assert_eq!(proxy.routes.get("/").unwrap(), before);
    socket.send(Message::text("input")).await.unwrap();
    tokio::time::timeout(PATIENCE, async {
        while proxy.routes.get("/").unwrap() == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn bytes_that_come_with_the_handshake_are_not_lost() {
    let address = raw(|mut stream| async move {
        read_request(&mut stream).await;
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly";
        stream.write_all(answer).await.unwrap();
        let mut first = [0; 5];
        stream.read_exact(&mut first).await.unwrap();
        stream.write_all(&first).await.unwrap();
    })
    .await;
    let proxy = TestProxy::to(address).await;
    let mut client = proxy.client().await;
    client.send(format!("{}hasty", handshake(KEY))).await;
    let head = client.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("Upgrade: websocket\r\n"), "{head}");
    assert_eq!(client.exactly(10).await.unwrap(), b"earlyhasty");
    assert!(client.rest().await.is_empty());
}

/// Otherwise what the backend sends behind its refusal would be taken for the tunnel's bytes.
#[tokio::test]
async fn a_refused_handshake_is_an_answer_and_no_tunnel_row_15() {
    let backend =
        Backend::fixed("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nnoHTTP/1.1 200 OK\r\n\r\nmore").await;
    let proxy = TestProxy::to(backend.address).await;
    let mut client = proxy.client().await;
    client.send(format!("{}{}", handshake(KEY), get("/smuggled"))).await;
    let answer = client.answer(false).await.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (403, "no"));
    assert!(client.rest().await.is_empty());
    assert_eq!(backend.requests().len(), 1);
}

#[tokio::test]
async fn errors_are_the_originals_bytes() {
    let proxy = TestProxy::start(ProxyConfig::default()).await;
    let mut client = proxy.client().await;
    client.send(handshake(KEY)).await;
    assert_eq!(client.rest().await, b"HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n");
    proxy.route("/", closed_port().await, json!({}));
    let mut client = proxy.client().await;
    client.send(handshake(KEY)).await;
    assert_eq!(client.rest().await, b"HTTP/1.1 503\r\nContent-Length: 0\r\n\r\n");
}

#[tokio::test]
async fn bad_handshakes_are_refused_row_14() {
    let backend = Backend::fixed(ok("")).await;
    let proxy = TestProxy::to(backend.address).await;
    for (fields, status) in [
        ("Sec-WebSocket-Version: 13\r\n", 400),
        ("Sec-WebSocket-Key: short\r\nSec-WebSocket-Version: 13\r\n", 400),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 99\r\n", 426),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", 426),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nContent-Length: 3\r\n", 400),
    ] {
        let mut client = proxy.client().await;
        client.send(handshake(fields)).await;
        assert_eq!(client.answer(false).await.unwrap().status, status, "{fields:?}");
    }
    assert!(backend.requests().is_empty());
}

#[tokio::test]
async fn a_tunnel_ends_when_its_backend_does() {
    let address = raw(|mut stream| async move {
        read_request(&mut stream).await;
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        stream.write_all(answer).await.unwrap();
    })
    .await;
    let proxy = TestProxy::to(address).await;
    let mut client = proxy.client().await;
    client.send(handshake(KEY)).await;
    assert!(client.head().await.is_some());
    assert!(client.rest().await.is_empty());
}
