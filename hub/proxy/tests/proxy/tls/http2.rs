//! HTTP/2 as its clients speak it.

use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use http::{Method, Request, Response, StatusCode};
use hub_proxy::ProxyConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Secured, client_config, connect};
use crate::backend::{Backend, ok, raw, read_request};
use crate::harness::PATIENCE;

/// A client's connection. What drives it goes on until it ends.
async fn client(secured: &Secured) -> SendRequest<Bytes> {
    let stream = connect(secured.proxy.public, "localhost", &client_config(&secured.authority, &["h2"])).await.unwrap();
    let (client, connection) = h2::client::Builder::new().initial_window_size(1 << 20).handshake(stream).await.unwrap();
    tokio::spawn(connection);
    client
}

fn request(method: Method, path: &str) -> Request<()> {
    Request::builder().method(method).uri(format!("https://localhost{path}")).body(()).unwrap()
}

async fn send(
    client: &SendRequest<Bytes>,
    request: Request<()>,
    is_whole: bool,
) -> (ResponseFuture, SendStream<Bytes>) {
    client.clone().ready().await.unwrap().send_request(request, is_whole).unwrap()
}

async fn body(response: Response<h2::RecvStream>) -> Result<Vec<u8>, h2::Error> {
    let (mut stream, mut all) = (response.into_body(), Vec::new());
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len()).unwrap();
        all.extend_from_slice(&data);
    }
    Ok(all)
}

async fn get(client: &SendRequest<Bytes>, path: &str) -> (StatusCode, Vec<u8>) {
    let (response, _) = send(client, request(Method::GET, path), true).await;
    let response = tokio::time::timeout(PATIENCE, response).await.unwrap().unwrap();
    (response.status(), body(response).await.unwrap())
}

#[tokio::test]
async fn a_request_reaches_its_target_as_any_other() {
    let secured = Secured::start(Backend::echo().await, ProxyConfig::default()).await;
    let client = client(&secured).await;
    let mut asked = request(Method::GET, "/user/a/lab?x=1");
    for cookie in ["a=1", "b=2"] {
        asked.headers_mut().append("cookie", cookie.parse().unwrap());
    }
    let (response, _) = send(&client, asked, true).await;
    let response = response.await.unwrap();
    assert_eq!(response.headers().get("connection"), None);
    let text = String::from_utf8(body(response).await.unwrap()).unwrap();
    assert!(text.starts_with("GET /user/a/lab?x=1 HTTP/1.1\r\nHost: localhost\r\n"), "{text}");
    for expected in ["cookie: a=1; b=2\r\n", "X-Forwarded-For: 127.0.0.1\r\n", "X-Forwarded-Proto: https\r\n"] {
        assert!(text.contains(expected), "{text}");
    }
    let (response, _) = send(&client, request(Method::HEAD, "/"), true).await;
    let response = response.await.unwrap();
    assert!(response.headers().contains_key("content-length") && body(response).await.unwrap().is_empty());
    assert_eq!(get(&client, "/_chp_healthz").await.0, 200);
    assert_eq!(get(&client, "/%").await.0, 400);
    secured.proxy.routes.remove("/");
    assert_eq!(get(&client, "/nowhere").await.0, 404);
}

/// Row 18 of the attacks: what HTTP/1.1 would read differently never reaches a target.
#[tokio::test]
async fn what_the_translation_cannot_carry_is_refused_row_18() {
    let secured = Secured::start(Backend::echo().await, ProxyConfig::default()).await;
    for (name, value) in
        [("host", "evil.example.org"), ("transfer-encoding", "chunked"), ("te", "gzip"), ("connection", "x")]
    {
        // Some are errors of the stream, and an errant client may lose its connection.
        let client = client(&secured).await;
        let mut asked = request(Method::GET, "/");
        asked.headers_mut().append(name, value.parse().unwrap());
        let status = match client.clone().ready().await.unwrap().send_request(asked, true) {
            Ok((response, _)) => response.await.ok().map(|response| response.status().as_u16()),
            Err(_) => None,
        };
        assert!(matches!(status, None | Some(400)), "{name}: {status:?}");
    }
    let client = client(&secured).await;
    let mut large = request(Method::GET, "/");
    large.headers_mut().append("x", "y".repeat(40_000).parse().unwrap());
    let (response, _) = send(&client, large, true).await;
    assert!(response.await.map_or(true, |response| response.status() == 431));
    assert!(secured.backend.requests().is_empty(), "{:?}", secured.backend.requests());
}

/// 100 MB in memory that stays bounded: what the target hasn't read, the client can't send.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_upload_and_a_large_download_stream() {
    const SIZE: usize = 100_000_000;
    let target = raw(|mut stream| async move {
        let mut read = vec![0; 256 * 1024];
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let mut received = 0;
        while received < SIZE {
            received += stream.read(&mut read).await.unwrap();
        }
        stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes()).await.unwrap();
        for _ in 0..SIZE / 100_000 {
            stream.write_all(&read[..100_000]).await.unwrap();
        }
    })
    .await;
    let secured = Secured::start(Backend::echo().await, ProxyConfig::default()).await;
    secured.proxy.route("/big", target, serde_json::json!({}));
    let client = client(&secured).await;
    let mut asked = request(Method::POST, "/big");
    asked.headers_mut().append("content-length", SIZE.into());
    let (response, mut upload) = send(&client, asked, false).await;
    let piece = Bytes::from(vec![b'x'; 1_000_000]);
    for sent in 0..SIZE / piece.len() {
        let mut rest = piece.clone();
        while !rest.is_empty() {
            upload.reserve_capacity(rest.len());
            let room = std::future::poll_fn(|cx| upload.poll_capacity(cx)).await.unwrap().unwrap();
            let part = rest.split_to(room.min(rest.len()));
            let is_last = rest.is_empty() && (sent + 1) * piece.len() == SIZE;
            upload.send_data(part, is_last).unwrap();
        }
    }
    assert_eq!(body(response.await.unwrap()).await.unwrap().len(), SIZE);
}

#[tokio::test]
async fn a_body_without_a_length_is_sent_in_chunks() {
    let secured = Secured::start(Backend::echo().await, ProxyConfig::default()).await;
    let client = client(&secured).await;
    let (response, mut upload) = send(&client, request(Method::PUT, "/"), false).await;
    upload.send_data(Bytes::from_static(b"hello"), false).unwrap();
    upload.send_data(Bytes::from_static(b" world"), true).unwrap();
    let text = String::from_utf8(body(response.await.unwrap()).await.unwrap()).unwrap();
    assert!(
        text.contains("Transfer-Encoding: chunked") && text.contains("hello") && text.ends_with("0\r\n\r\n"),
        "{text}"
    );
}

/// As server-sent events come: each piece at once.
#[tokio::test]
async fn pieces_of_an_answer_arrive_as_they_are_sent() {
    let target = raw(|mut stream| async move {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
        loop {
            if stream.write_all(b"8\r\ndata: x\n\r\n").await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    let secured = Secured::start(Backend::echo().await, ProxyConfig::default()).await;
    secured.proxy.route("/events", target, serde_json::json!({}));
    let client = client(&secured).await;
    let (response, _) = send(&client, request(Method::GET, "/events"), true).await;
    let mut events = response.await.unwrap().into_body();
    for _ in 0..3 {
        let event = tokio::time::timeout(PATIENCE, events.data()).await.unwrap().unwrap().unwrap();
        assert_eq!(event, "data: x\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_streams_are_served_at_once() {
    let target = raw(|mut stream| async move {
        while read_request(&mut stream).await.is_some() {
            tokio::time::sleep(Duration::from_millis(500)).await;
            if stream.write_all(&ok("done")).await.is_err() {
                return;
            }
        }
    })
    .await;
    let secured = Secured::start(Backend::echo().await, ProxyConfig::default()).await;
    secured.proxy.route("/slow", target, serde_json::json!({}));
    let client = client(&secured).await;
    let started = std::time::Instant::now();
    let answers = futures::future::join_all((0..100).map(|_| get(&client, "/slow"))).await;
    assert!(answers.iter().all(|(status, body)| *status == 200 && body == b"done"));
    assert!(started.elapsed() < Duration::from_secs(20), "one after the other: {:?}", started.elapsed());
}

/// A client that resets a stream wants no answer: its target learns it.
#[tokio::test]
async fn a_reset_cancels_what_the_target_does() {
    let (gone, mut is_gone) = tokio::sync::mpsc::unbounded_channel();
    let target = raw(move |mut stream| {
        let gone = gone.clone();
        async move {
            read_request(&mut stream).await;
            let _ = stream.read(&mut [0]).await;
            gone.send(()).unwrap();
        }
    })
    .await;
    let secured = Secured::start(Backend::echo().await, ProxyConfig::default()).await;
    secured.proxy.route("/slow", target, serde_json::json!({}));
    let client = client(&secured).await;
    for is_whole in [true, false] {
        let (_response, mut stream) = send(&client, request(Method::POST, "/slow"), is_whole).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        stream.send_reset(Reason::CANCEL);
        if is_whole {
            tokio::time::timeout(PATIENCE, is_gone.recv()).await.expect("the target was left waiting");
        }
    }
    assert_eq!(get(&client, "/").await.0, 200, "the connection goes on");
}

/// Row 18 of the attacks: rapid reset.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_resets_ends_its_connection_and_harms_nobody_row_18() {
    let secured = Secured::start(Backend::echo().await, ProxyConfig::default()).await;
    let (attacker, other) = (client(&secured).await, client(&secured).await);
    let mut ended = None;
    for count in 0..20_000 {
        let Ok(mut ready) = attacker.clone().ready().await else {
            ended = Some(count);
            break;
        };
        let Ok((_, mut stream)) = ready.send_request(request(Method::GET, "/"), true) else {
            ended = Some(count);
            break;
        };
        stream.send_reset(Reason::CANCEL);
        tokio::task::yield_now().await;
    }
    println!("the connection ended after {ended:?} resets");
    assert_eq!(get(&other, "/").await.0, 200);
    // Streams that were reset don't wait for their targets: there are hardly more requests than the limit lets wait.
    assert!(ended.is_some() || secured.backend.requests().len() < 20_000);
}

/// On draining, what is under way is finished and nothing new is begun.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_told_of_the_end_and_finishes_its_streams() {
    let target = raw(|mut stream| async move {
        read_request(&mut stream).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        let _ = stream.write_all(&ok(&"x".repeat(1_000_000))).await;
    })
    .await;
    let mut secured = Secured::start(Backend::echo().await, ProxyConfig::default()).await;
    secured.proxy.route("/slow", target, serde_json::json!({}));
    let client = client(&secured).await;
    let (response, _) = send(&client, request(Method::GET, "/slow"), true).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    secured.proxy.stop();
    let response = tokio::time::timeout(PATIENCE, response).await.unwrap().unwrap();
    assert_eq!(body(response).await.unwrap().len(), 1_000_000);
    let again = async { client.clone().ready().await?.send_request(request(Method::GET, "/"), true)?.0.await };
    assert!(tokio::time::timeout(PATIENCE, again).await.unwrap().is_err());
}
