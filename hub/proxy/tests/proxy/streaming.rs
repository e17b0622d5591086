//! Bytes move as they come, in both directions, and no faster than they are taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::backend::{ok, raw, read_request};
use crate::harness::{Client, PATIENCE, TestProxy, get};

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn an_upload_reaches_the_backend_piece_by_piece() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let address = raw(move |mut stream| {
        let tell = tell.clone();
        async move {
            read_head(&mut stream).await;
            for _ in 0..2 {
                let mut piece = [0; 8];
                stream.read_exact(&mut piece).await.unwrap();
                tell.send(String::from_utf8(piece.to_vec()).unwrap()).unwrap();
            }
            let mut end = [0; 5];
            stream.read_exact(&mut end).await.unwrap();
            stream.write_all(&ok("done")).await.unwrap();
        }
    })
    .await;
    let proxy = TestProxy::to(address).await;
    let mut client = proxy.client().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    for piece in ["one", "two"] {
        client.send(format!("3;ext=1\r\n{piece}\r\n")).await;
        let seen = tokio::time::timeout(PATIENCE, told.recv()).await.unwrap().unwrap();
        assert_eq!(seen, format!("3\r\n{piece}\r\n"));
    }
    client.send("0\r\nTrailer-Field: x\r\n\r\n").await;
    assert_eq!(client.answer(false).await.unwrap().text(), "done");
}

#[tokio::test]
async fn an_answer_reaches_the_client_piece_by_piece() {
    let (go, wait) = mpsc::unbounded_channel::<()>();
    let wait = Arc::new(tokio::sync::Mutex::new(wait));
    let address = raw(move |mut stream| {
        let wait = wait.clone();
        async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n").await.unwrap();
            wait.lock().await.recv().await;
            stream.write_all(b"data: 2\n\n").await.unwrap();
        }
    })
    .await;
    let proxy = TestProxy::to(address).await;
    let mut client = proxy.client().await;
    client.send(get("/progress")).await;
    client.head().await.unwrap();
    client.until(b"data: 1\n\n").await.unwrap();
    go.send(()).unwrap();
    client.until(b"data: 2\n\n").await.unwrap();
}

#[tokio::test]
async fn large_bodies_arrive_whole_both_ways() {
    const SIZE: usize = 24 * 1024 * 1024;
    let address = raw(|mut stream| async move {
        let head = read_head(&mut stream).await;
        let mut body = vec![0; SIZE];
        stream.read_exact(&mut body).await.unwrap();
        let framing = if head.starts_with("POST /chunked") {
            "Transfer-Encoding: chunked".to_owned()
        } else {
            format!("Content-Length: {SIZE}")
        };
        stream.write_all(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").as_bytes()).await.unwrap();
        if framing.starts_with('C') {
            stream.write_all(&body).await.unwrap();
            return;
        }
        for piece in body.chunks(100_003) {
            stream.write_all(format!("{:X}\r\n", piece.len()).as_bytes()).await.unwrap();
            stream.write_all(piece).await.unwrap();
            stream.write_all(b"\r\n").await.unwrap();
        }
        stream.write_all(b"0\r\n\r\n").await.unwrap();
    })
    .await;
    let body: Vec<u8> = (0..SIZE as u64).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let proxy = TestProxy::to(address).await;
    for path in ["/plain", "/chunked"] {
        let mut client = proxy.client().await;
        client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n")).await;
        client.send(&body).await;
        let answer = client.answer(false).await.unwrap();
        assert!(answer.body == body, "{path}: {} bytes came back, not the same", answer.body.len());
    }
}

/// A client that does not read must stop the backend, not fill the proxy.
#[tokio::test]
async fn a_slow_reader_slows_its_writer_down() {
    let written = Arc::new(AtomicUsize::new(0));
    let counter = written.clone();
    let address = raw(move |mut stream| {
        let counter = counter.clone();
        async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await.unwrap();
            let piece = vec![0; 64 * 1024];
            while stream.write_all(&piece).await.is_ok() {
                counter.fetch_add(piece.len(), Ordering::SeqCst);
            }
        }
    })
    .await;
    let proxy = TestProxy::to(address).await;
    let mut client = proxy.client().await;
    client.send(get("/")).await;
    client.head().await.unwrap();
    let mut last = usize::MAX;
    while written.load(Ordering::SeqCst) != last {
        last = written.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert!(last < 32 * 1024 * 1024, "{last} bytes went somewhere");
}

#[tokio::test]
async fn continue_is_the_backends_to_say_row_13() {
    let address = raw(|mut stream| async move {
        let head = read_head(&mut stream).await;
        assert!(head.contains("Expect: 100-continue\r\n"), "{head}");
        if head.starts_with("POST /reject") {
            let _ = stream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n").await;
            let _ = stream.read_u8().await;
            return;
        }
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
        let mut body = [0; 4];
        stream.read_exact(&mut body).await.unwrap();
        stream.write_all(&ok("taken")).await.unwrap();
    })
    .await;
    let proxy = TestProxy::to(address).await;
    let ask =
        |path: &str| format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    let mut client = proxy.client().await;
    client.send(ask("/take")).await;
    assert_eq!(client.answer(false).await.unwrap().status, 100);
    client.send("body").await;
    assert_eq!(client.answer(false).await.unwrap().text(), "taken");

    // The body that was not asked for must not be taken for the next request.
    client.send(ask("/reject")).await;
    assert_eq!(client.answer(false).await.unwrap().status, 413);
    client.send(get("/smuggled")).await;
    assert_eq!(client.answer(false).await, None);
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_along() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let address = raw(move |mut stream| {
        let tell = tell.clone();
        async move {
            read_request(&mut stream).await;
            tell.send("asked").unwrap();
            let end = stream.read_u8().await;
            tell.send(if end.is_err() { "left" } else { "more" }).unwrap();
        }
    })
    .await;
    let proxy = TestProxy::to(address).await;
    let mut client = proxy.client().await;
    client.send(get("/long-poll")).await;
    assert_eq!(told.recv().await, Some("asked"));
    drop(client);
    assert_eq!(tokio::time::timeout(PATIENCE, told.recv()).await.unwrap(), Some("left"));
}

#[tokio::test]
async fn a_head_that_drips_in_is_cut_off_and_others_are_served_row_11() {
    let backend = crate::backend::Backend::fixed(ok("quick")).await;
    let config = hub_proxy::ProxyConfig { head_timeout: Duration::from_millis(300), ..Default::default() };
    let proxy = TestProxy::start(config).await;
    proxy.route("/", backend.address, serde_json::json!({}));
    let mut slow = proxy.client().await;
    slow.send("GET / HTT").await;
    assert_eq!(proxy.get("/").await.text(), "quick");
    assert_eq!(slow.answer(false).await.unwrap().status, 408);
    assert!(slow.rest().await.is_empty());
    let mut silent = Client::connect(proxy.public).await;
    assert!(silent.rest().await.is_empty());
}

/// Slow body, slow read: a client that stalls must not hold a connection for ever.
#[tokio::test]
async fn clients_that_stall_are_cut_off_row_11() {
    let address = raw(|mut stream| async move {
        let head = read_head(&mut stream).await;
        if head.starts_with("GET") {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
            while stream.write_all(&[0; 64 * 1024]).await.is_ok() {}
        } else {
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    })
    .await;
    let config = hub_proxy::ProxyConfig { stall_timeout: Duration::from_millis(300), ..Default::default() };
    let proxy = TestProxy::start(config).await;
    proxy.route("/", address, serde_json::json!({}));
    let mut slow_body = proxy.client().await;
    slow_body.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc").await;
    assert_eq!(slow_body.answer(false).await.unwrap().status, 408);
    let mut slow_read = proxy.client().await;
    slow_read.send(get("/")).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let got = slow_read.rest().await.len();
    assert!(got < 100_000_000, "{got} bytes");
}
