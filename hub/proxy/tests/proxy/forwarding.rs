//! Requests and answers, one at a time: routes, connections, errors.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hub_proxy::{ErrorPages, ProxyConfig};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::backend::{Backend, closed_port, ok, raw, read_request};
use crate::harness::{Client, PATIENCE, TestProxy, get};

#[tokio::test]
async fn the_longest_route_gets_the_request_as_it_came() {
    let (hub, alice) = (Backend::echo().await, Backend::fixed(ok("alice")).await);
    let proxy = TestProxy::to(hub.address).await;
    proxy.route("/user/alice@example.com", alice.address, json!({}));
    for path in ["/user/alice@example.com/lab", "/user/alice%40example.com", "/x/../user/alice%40example.com/"] {
        assert_eq!(proxy.get(path).await.text(), "alice", "{path}");
    }
    let forwarded: Vec<_> =
        alice.requests().iter().map(|request| request.split(' ').nth(1).unwrap().to_owned()).collect();
    assert_eq!(forwarded, ["/user/alice@example.com/lab", "/user/alice%40example.com", "/user/alice%40example.com/"]);
    let seen = proxy.get("/user/alice/x?a=b").await.text();
    assert!(seen.starts_with("GET /user/alice/x?a=b HTTP/1.1\r\nHost: proxy\r\n"), "{seen}");
    assert!(
        seen.contains("X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Port: 80\r\nX-Forwarded-Proto: http\r\n"),
        "{seen}"
    );
}

/// A token that logs in at the hub must not reach a user's server; a WebSocket's, a script's and an unknown one must.
#[tokio::test]
async fn a_page_that_is_visited_with_a_token_is_the_hubs_where_the_route_says_so() {
    let (hub, alice) = (Backend::fixed(ok("hub")).await, Backend::fixed(ok("alice")).await);
    let proxy = TestProxy::to(hub.address).await;
    proxy.route("/user/alice", alice.address, json!({"token_login": true}));
    proxy.route("/user/bob", alice.address, json!({}));
    let mut client = proxy.client().await;
    for (path, accept, expected) in [
        ("/user/alice/tree?token=t", "text/html,*/*;q=0.8", "hub"),
        ("/user/alice/tree?token=t", "*/*", "alice"),
        ("/user/alice/tree?token=t&redirects=1", "text/html", "alice"),
        ("/user/alice/tree", "text/html", "alice"),
        ("/user/bob/tree?token=t", "text/html", "alice"),
    ] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n")).await;
        assert_eq!(client.answer(false).await.unwrap().text(), expected, "{path} {accept}");
    }
    assert!(hub.requests()[0].starts_with("GET /user/alice/tree?token=t "), "{:?}", hub.requests());
    assert!(!alice.requests().iter().any(|request| request.contains("text/html,") && request.contains("token=t")));
}

#[tokio::test]
async fn connections_are_kept_on_both_sides() {
    let backend = Backend::echo().await;
    let proxy = TestProxy::to(backend.address).await;
    let mut client = proxy.client().await;
    for n in 0..20 {
        client.send(format!("POST /{n} HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody")).await;
        let answer = client.answer(false).await.unwrap();
        assert!(answer.text().starts_with(&format!("POST /{n} ")) && answer.text().ends_with("\r\n\r\nbody"));
    }
    assert_eq!(backend.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let backend = Backend::echo().await;
    let proxy = TestProxy::to(backend.address).await;
    let mut client = proxy.client().await;
    let wire: String = (0..200)
        .map(|n| match n % 3 {
            0 => get(&format!("/{n}")),
            1 => format!("POST /{n} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"),
            _ => format!("PUT /{n} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        })
        .collect();
    client.send(wire).await;
    for n in 0..200 {
        let text = client.answer(false).await.unwrap().text();
        assert_eq!(text.split(' ').nth(1), Some(format!("/{n}").as_str()));
    }
}

/// Answers without a body must leave the connection where the next answer begins.
#[tokio::test]
async fn answers_without_a_body_keep_the_connection_in_step() {
    let backend = Backend::with(|request| match request.split(' ').nth(1).unwrap() {
        "/204" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        "/304" => b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: \"a\"\r\n\r\n".to_vec(),
        "/head" => b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n".to_vec(),
        _ => ok("end"),
    })
    .await;
    let proxy = TestProxy::to(backend.address).await;
    let mut client = proxy.client().await;
    client.send(format!("{}{}HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n{}", get("/204"), get("/304"), get("/end"))).await;
    assert_eq!(client.answer(false).await.unwrap().status, 204);
    let not_modified = client.answer(false).await.unwrap();
    assert_eq!((not_modified.status, not_modified.field("content-length")), (304, Some("99")));
    assert_eq!(client.answer(true).await.unwrap().field("content-length"), Some("99"));
    assert_eq!(client.answer(false).await.unwrap().text(), "end");
    assert_eq!(backend.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn old_clients_get_bodies_without_chunks() {
    let backend =
        Backend::fixed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").await;
    let proxy = TestProxy::to(backend.address).await;
    let mut client = proxy.client().await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    let answer = client.answer(false).await.unwrap();
    assert_eq!((answer.text().as_str(), answer.field("transfer-encoding")), ("abcde", None));
}

#[tokio::test]
async fn a_body_that_ends_by_closing_is_passed_on_in_chunks() {
    let backend = Backend::fixed("HTTP/1.0 200 OK\r\n\r\nall of itCLOSE").await;
    let proxy = TestProxy::to(backend.address).await;
    let mut client = proxy.client().await;
    for _ in 0..2 {
        client.send(get("/")).await;
        assert_eq!(client.answer(false).await.unwrap().text(), "all of it");
    }
}

/// A backend may close an idle connection at any time; nobody should notice.
#[tokio::test]
async fn a_stale_connection_is_replaced() {
    let served = std::sync::Arc::new(AtomicUsize::new(0));
    let count = served.clone();
    let address = raw(move |mut stream| {
        let count = count.clone();
        async move {
            // Serves one request, and closes only when the second has come.
            if read_request(&mut stream).await.is_some() {
                count.fetch_add(1, Ordering::SeqCst);
                let _ = stream.write_all(&ok("once")).await;
            }
            let _ = stream.read_u8().await;
        }
    })
    .await;
    let proxy = TestProxy::to(address).await;
    let mut client = proxy.client().await;
    for _ in 0..3 {
        client.send(get("/")).await;
        assert_eq!(client.answer(false).await.unwrap().text(), "once");
    }
    assert_eq!(served.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn errors_of_the_proxy_have_the_originals_status() {
    let proxy = TestProxy::start(ProxyConfig::default()).await;
    proxy.route("/refused", closed_port().await, json!({}));
    let missing = proxy.get("/nowhere").await;
    assert_eq!((missing.status, missing.field("content-type")), (404, Some("text/html")));
    assert_eq!(proxy.get("/refused").await.status, 503);
    let mut client = proxy.client().await;
    client.send(format!("{}{}", get("/nowhere"), get("/_chp_healthz"))).await;
    assert_eq!(client.answer(false).await.unwrap().status, 404);
    assert_eq!(client.answer(false).await.unwrap().text(), r#"{"status":"OK"}"#);
}

#[tokio::test]
async fn doubtful_answers_become_502_row_22() {
    let flood = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100);
    let huge = format!("HTTP/1.1 200 OK\r\nSet-Cookie: {}\r\n\r\n", "a".repeat(100_000));
    for reply in [
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 1\n\na",
        "HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\nHalf a heaCLOSE",
        "220 smtp.example ESMTP\r\n\r\n",
        &flood,
        &huge,
    ] {
        let backend = Backend::fixed(reply).await;
        let proxy = TestProxy::to(backend.address).await;
        let mut client = proxy.client().await;
        client.send(get("/")).await;
        let shown = &reply[..reply.len().min(80)];
        let answer = loop {
            let answer = client.answer(false).await.unwrap();
            if answer.status >= 200 {
                break answer;
            }
        };
        assert_eq!(answer.status, 502, "{shown:?}");
        assert!(!answer.head.contains("Set-Cookie"), "{shown:?}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_ends_the_connection_row_32() {
    for reply in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalfCLOSE",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nCLOSE",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nodd\r\n",
    ] {
        let backend = Backend::fixed(reply).await;
        let proxy = TestProxy::to(backend.address).await;
        let mut client = proxy.client().await;
        client.send(get("/")).await;
        assert_eq!(client.answer(false).await, None, "{reply:?}");
        assert_eq!(proxy.get("/_chp_healthz").await.status, 200);
    }
}

#[tokio::test]
async fn interim_answers_are_passed_on() {
    let backend =
        Backend::fixed([&b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"[..], &ok("late")].concat()).await;
    let proxy = TestProxy::to(backend.address).await;
    let mut client = proxy.client().await;
    client.send(get("/")).await;
    let early = client.answer(false).await.unwrap();
    assert_eq!((early.status, early.field("link")), (103, Some("</a.css>")));
    assert_eq!(client.answer(false).await.unwrap().text(), "late");
}

#[tokio::test]
async fn a_slow_target_times_out_where_that_is_asked_for_row_32() {
    let address = raw(|mut stream| async move {
        read_request(&mut stream).await;
        tokio::time::sleep(PATIENCE).await;
    })
    .await;
    let config = ProxyConfig { proxy_timeout: Some(Duration::from_millis(100)), ..ProxyConfig::default() };
    let proxy = TestProxy::start(config).await;
    proxy.route("/", address, json!({}));
    assert_eq!(proxy.get("/").await.status, 504);
}

/// Targets that say a byte at a time, or nothing more, are given up in time, and their connection is closed. One that said
/// nothing at all counts as one that isn't there, as with the original.
#[tokio::test]
async fn a_target_that_drips_or_half_closes_is_given_up_row_32() {
    for (drips, said, status) in [(true, "HTTP/1.1 ", 504), (false, "HTTP/1.1 ", 502), (false, "", 503)] {
        let (ended, mut end) = tokio::sync::mpsc::unbounded_channel();
        let address = raw(move |mut stream| {
            let ended = ended.clone();
            async move {
                read_request(&mut stream).await;
                stream.write_all(said.as_bytes()).await.unwrap();
                while drips && stream.write_all(b"2").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                let _ = stream.shutdown().await;
                let _ = stream.read(&mut [0]).await;
                ended.send(()).unwrap();
            }
        })
        .await;
        let config = ProxyConfig { proxy_timeout: Some(Duration::from_millis(500)), ..ProxyConfig::default() };
        let proxy = TestProxy::start(config).await;
        proxy.route("/", address, json!({}));
        assert_eq!(proxy.get("/").await.status, status, "{said:?}, drips: {drips}");
        tokio::time::timeout(PATIENCE, end.recv()).await.expect("its connection stays open");
    }
}

/// A hub that restarts must not cost anybody a request: it waits, body and all.
#[tokio::test]
async fn requests_wait_for_a_hub_that_restarts() {
    let address = closed_port().await;
    let proxy = TestProxy::start(ProxyConfig::default()).await;
    proxy.route("/", address, json!({"hub": true}));
    let mut client = proxy.client().await;
    client.send("POST /hub/login HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody").await;
    let later = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        Backend::at(address, ok).await
    };
    let (answer, _hub) = tokio::join!(client.answer(false), later);
    let answer = answer.unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.text().ends_with("\r\n\r\nbody"), "{}", answer.text());
}

#[tokio::test]
async fn the_default_target_waits_too_but_is_no_table() {
    let address = closed_port().await;
    let config = ProxyConfig { default_target: Some(format!("http://{address}")), ..ProxyConfig::default() };
    let proxy = TestProxy::start(config).await;
    assert_eq!(proxy.get("/_hub_proxy_readyz").await.status, 503);
    let later = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        Backend::at(address, |_| ok("back")).await
    };
    let (answer, hub) = tokio::join!(proxy.get("/"), later);
    assert_eq!(answer.text(), "back");
    proxy.route("/user/a", hub.address, json!({}));
    assert_eq!(proxy.get("/_hub_proxy_readyz").await.status, 200);
}

#[tokio::test]
async fn error_pages_come_from_the_error_target() {
    let pages = Backend::with(|request| {
        let body = format!("page of {}", request.split(' ').nth(1).unwrap());
        format!("HTTP/1.1 418 Odd\r\nContent-Type: text/x-page\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            .into_bytes()
    })
    .await;
    let error_pages = ErrorPages::Target(format!("http://{}/hub/error", pages.address));
    let proxy = TestProxy::start(ProxyConfig { error_pages, ..ProxyConfig::default() }).await;
    let answer = proxy.get("/nowhere?a=b").await;
    assert_eq!((answer.status, answer.field("content-type")), (404, Some("text/x-page")));
    assert_eq!(answer.text(), "page of /hub/error/404?url=%2Fnowhere%3Fa%3Db");
}

#[tokio::test]
async fn hosts_route_where_that_is_asked_for_row_25() {
    let (hub, alice) = (Backend::fixed(ok("hub")).await, Backend::fixed(ok("alice")).await);
    let proxy = TestProxy::start(ProxyConfig { host_routing: true, ..ProxyConfig::default() }).await;
    proxy.route("/", hub.address, json!({}));
    proxy.route("/alice.example/user/alice", alice.address, json!({}));
    for (host, target, expected) in [
        ("alice.example:8000", "/user/alice/lab", "alice"),
        ("alice.example", "/user/bob", "hub"),
        ("other.example", "/user/alice", "hub"),
        ("other.example", "http://alice.example/user/alice", "alice"),
    ] {
        let mut client = proxy.client().await;
        client.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(client.answer(false).await.unwrap().text(), expected, "{host} {target}");
    }
}

#[tokio::test]
async fn prefixes_are_taken_off_where_that_is_asked_for() {
    let backend = Backend::with(|request| ok(request.split(' ').nth(1).unwrap())).await;
    let proxy = TestProxy::start(ProxyConfig { include_prefix: false, ..ProxyConfig::default() }).await;
    proxy.route("/user/a@b", backend.address, json!({}));
    for (path, expected) in [("/user/a%40b/x?q", "/x?q"), ("/user/a@b", "/"), ("/user/a@b?q", "/?q")] {
        assert_eq!(proxy.get(path).await.text(), expected, "{path}");
    }
}

/// What counts as activity decides which servers are culled.
#[tokio::test]
async fn activity_is_noted_for_answers_below_300_and_for_request_bodies() {
    let backend = Backend::with(|request| match request.split(' ').nth(1).unwrap() {
        "/200" => ok("fine"),
        _ => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
    })
    .await;
    let proxy = TestProxy::to(backend.address).await;
    let seen = || proxy.routes.get("/").unwrap()["last_activity"].clone();
    let cases = [
        (get("/404"), false),
        (get("/200"), true),
        ("POST /404 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na".to_owned(), true),
    ];
    for (request, counts) in cases {
        let before = seen();
        tokio::time::sleep(Duration::from_millis(20)).await;
        let mut client = proxy.client().await;
        client.send(&request).await;
        client.answer(false).await.unwrap();
        // The note is made just after the last byte of the answer.
        let deadline = std::time::Instant::now() + if counts { PATIENCE } else { Duration::from_millis(100) };
        while seen() == before && std::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(seen() != before, counts, "{request:?}");
    }
}

#[tokio::test]
async fn unix_sockets_are_targets_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("server.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buf = [0; 1024];
        let _ = stream.read(&mut buf).await;
        let _ = stream.write_all(&ok("unix")).await;
    });
    let proxy = TestProxy::start(ProxyConfig::default()).await;
    let escaped = path.to_str().unwrap().replace('/', "%2F");
    let data = json!({"target": format!("http+unix://{escaped}")});
    proxy.routes.add("/", data.as_object().cloned().unwrap()).unwrap();
    assert_eq!(proxy.get("/").await.text(), "unix");
}

#[tokio::test]
async fn counters_have_the_originals_names_and_gauges_ours() {
    let backend = Backend::fixed(ok("")).await;
    let config = ProxyConfig { metrics: Some(crate::harness::loopback()), ..ProxyConfig::default() };
    let proxy = TestProxy::start(config).await;
    proxy.get("/nowhere").await;
    proxy.route("/", backend.address, json!({}));
    proxy.get("/").await;
    proxy.route("/", closed_port().await, json!({"hub": true}));
    let mut waiting = proxy.client().await;
    waiting.send(get("/hub/home")).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut client = Client::connect(proxy.metrics.unwrap()).await;
    client.send(get("/metrics")).await;
    let page = client.answer(false).await.unwrap().text();
    for line in [
        "requests_web 3",
        "requests_proxy{status=\"200\"} 1",
        "requests_proxy{status=\"404\"} 1",
        "find_target_for_req_count 3",
        "hub_proxy_routes 1",
        "hub_proxy_active 1",
        "hub_proxy_waiting_for_hub 1",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} in {page}");
    }
}
