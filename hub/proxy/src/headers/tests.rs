//! Whole heads in, whole heads out.

use super::*;
use crate::http1::head::FieldSlots;
use crate::http1::{request, response};
use crate::path;

fn rewrite() -> Rewrite {
    Rewrite { x_forward: true, prepend_path: true, include_prefix: true, ..Rewrite::default() }
}

fn to_backend(input: &str, target: &str, rewrite: &Rewrite) -> String {
    let mut slots = FieldSlots::new();
    let head = request::parse(input.as_bytes(), &mut slots).unwrap();
    let facts = request::examine(&head).unwrap();
    let path = path::parse_target(head.target).unwrap();
    let target = Target::parse(target).unwrap();
    let hop = Hop {
        peer: Some("::ffff:10.0.0.1".parse().unwrap()),
        is_secure: false,
        target: &target,
        realm: None,
        host: facts.host,
        path: &path.path,
        query: path.query,
        passage: &Passage::default(),
    };
    let mut out = BytesMut::new();
    write_request(&mut out, &head, &facts, &hop, rewrite);
    String::from_utf8(out.to_vec()).unwrap()
}

#[test]
fn a_request_goes_on_with_forwarding_fields() {
    let input =
        "GET /user/a/lab?x=1 HTTP/1.1\r\nHost: hub.example:8443\r\nCookie: a=b\r\nConnection: keep-alive\r\n\r\n";
    let expected = "GET /user/a/lab?x=1 HTTP/1.1\r\nHost: hub.example:8443\r\nCookie: a=b\r\n\
                    X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Port: 8443\r\nX-Forwarded-Proto: http\r\n\
                    X-Forwarded-Host: hub.example:8443\r\n\r\n";
    assert_eq!(to_backend(input, "http://127.0.0.1:8888", &rewrite()), expected);
}

#[test]
fn forwarding_fields_grow_and_the_host_is_kept() {
    let input = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n\
                 X-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Host: b\r\n\r\n";
    let expected = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Host: b\r\nX-Forwarded-For: 1.1.1.1,2.2.2.2,10.0.0.1\r\n\
                    X-Forwarded-Port: 443,80\r\nX-Forwarded-Proto: https,http\r\n\r\n";
    assert_eq!(to_backend(input, "http://b", &rewrite()), expected);
    let untouched = to_backend(input, "http://b", &Rewrite { x_forward: false, ..rewrite() });
    assert!(untouched.contains("X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n"), "{untouched}");
    assert!(!untouched.contains("10.0.0.1"), "{untouched}");
}

/// Row 17 of the attacks: whoever comes past the proxies that were named says nothing about where it comes from.
#[test]
fn only_named_proxies_are_believed_row_17() {
    let input = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\n\
                 X-Forwarded-Port: 443\r\nX-Forwarded-Host: b\r\nX-Forwarded-Prefix: /p\r\nForwarded: for=1.1.1.1\r\n\
                 X-Real-IP: 1.1.1.1\r\nx-scheme: https\r\nX_Forwarded_For: 1.1.1.1\r\nX_Real-IP: 1.1.1.1\r\n\r\n";
    let trusting = |nets: &[&str]| {
        let trusted_proxies = Some(nets.iter().map(|net| net.parse().unwrap()).collect());
        to_backend(input, "http://b", &Rewrite { trusted_proxies, ..rewrite() })
    };
    let stranger = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Port: 80\r\n\
                    X-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\n\r\n";
    assert_eq!(trusting(&[]), stranger);
    assert_eq!(trusting(&["10.0.0.2/32", "::/0"]), stranger);
    let trusted = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Host: b\r\nX-Forwarded-Prefix: /p\r\n\
                   Forwarded: for=1.1.1.1\r\nX-Real-IP: 1.1.1.1\r\nx-scheme: https\r\n\
                   X-Forwarded-For: 1.1.1.1,10.0.0.1\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Proto: https\r\n\r\n";
    assert_eq!(trusting(&["192.168.0.0/16", "10.0.0.0/8"]), trusted);
    // What a trusted proxy doesn't say is said for it.
    let silent = to_backend(
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "http://b",
        &Rewrite { trusted_proxies: Some(vec!["10.0.0.0/8".parse().unwrap()]), ..rewrite() },
    );
    assert!(
        silent.contains("X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Port: 80\r\nX-Forwarded-Proto: http\r\n"),
        "{silent}"
    );
    let none = Rewrite { x_forward: false, trusted_proxies: Some(Vec::new()), ..rewrite() };
    assert_eq!(to_backend(input, "http://b", &none), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
}

#[test]
fn websockets_go_on_without_a_forwarded_host() {
    let input = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let expected = "GET /ws HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                    Sec-WebSocket-Version: 13\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                    X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Port: 80\r\nX-Forwarded-Proto: ws\r\n\r\n";
    assert_eq!(to_backend(input, "http://b", &rewrite()), expected);
}

/// Nominating a credential or a forwarding field would let a client hide it from the backend.
#[test]
fn fields_for_this_hop_stay_here_and_credentials_go_on() {
    let input = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Secret, Authorization, X-Forwarded-For, Cookie\r\n\
                 X-Secret: s\r\nAuthorization: token t\r\nCookie: c\r\nTE: trailers\r\nTrailer: x\r\nKeep-Alive: 5\r\n\
                 Proxy-Authorization: p\r\nHTTP2-Settings: A\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n";
    let expected =
        "POST / HTTP/1.1\r\nHost: a\r\nAuthorization: token t\r\nCookie: c\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(to_backend(input, "http://b", &Rewrite { x_forward: false, ..rewrite() }), expected);
}

#[test]
fn paths_and_queries_join_as_in_the_original() {
    let line = |request_target: &str, target: &str, prepend: bool| {
        let input = format!("GET {request_target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let head = to_backend(&input, target, &Rewrite { prepend_path: prepend, ..rewrite() });
        head.split(' ').nth(1).unwrap().to_owned()
    };
    for (request_target, target, prepend, expected) in [
        ("/x", "http://b", true, "/x"),
        ("/x", "http://b/base", true, "/base/x"),
        ("/x", "http://b/base/", true, "/base/x"),
        ("/x?q", "http://b/base?t=1", true, "/base/x?t=1&q"),
        ("/x", "http://b/?t=1", true, "/x?t=1"),
        ("/x?q", "http://b/base?t=1", false, "/x?q"),
        ("/user/a%40b/x", "http://b", true, "/user/a%40b/x"),
        ("/user/a@b/x", "http://b", true, "/user/a@b/x"),
        ("/a/../b", "http://b", true, "/b"),
        ("//a", "http://b", true, "//a"),
    ] {
        assert_eq!(line(request_target, target, prepend), expected, "{request_target} {target}");
    }
}

#[test]
fn custom_fields_replace_and_origin_can_change() {
    let input = "GET / HTTP/1.0\r\nX-A: 1\r\n\r\n";
    let custom = vec![("x-a".to_owned(), "2".to_owned())];
    let changed = Rewrite { custom_headers: custom, change_origin: true, ..Rewrite::default() };
    assert_eq!(to_backend(input, "http://b:81", &changed), "GET / HTTP/1.1\r\nHost: b:81\r\nx-a: 2\r\n\r\n");
}

fn to_client(input: &str, to_head: bool, client: ClientSide<'_>, rewrite: &Rewrite) -> String {
    let mut slots = FieldSlots::new();
    let head = response::parse(input.as_bytes(), &mut slots).unwrap();
    let facts = response::examine(&head, to_head).unwrap();
    let chunked = client.is_http11 && matches!(facts.body, Body::Chunked(_) | Body::UntilClose);
    let target = Target::parse("http://b:81").unwrap();
    let mut out = BytesMut::new();
    let back = Back { target: &target, realm: None, changes: &AnswerChanges::default(), hsts: None, client };
    write_response(&mut out, &head, &facts, chunked, &back, rewrite);
    String::from_utf8(out.to_vec()).unwrap()
}

#[test]
fn responses_are_framed_anew() {
    let modern = ClientSide { is_http11: true, keep_alive: true, host: None };
    let old = ClientSide { is_http11: false, keep_alive: true, host: None };
    let last = ClientSide { is_http11: true, keep_alive: false, host: None };
    for (input, to_head, client, expected) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nKeep-Alive: 5\r\nConnection: x\r\n\r\n",
            false,
            modern,
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
        ),
        ("HTTP/1.0 200 OK\r\n\r\n", false, modern, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true, modern, "HTTP/1.1 200 OK\r\n\r\n"),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", false, modern, "HTTP/1.1 204 No Content\r\n\r\n"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
            false,
            old,
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\n",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
            false,
            last,
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n",
        ),
    ] {
        assert_eq!(to_client(input, to_head, client, &Rewrite::default()), expected, "{input:?}");
    }
}

#[test]
fn redirects_to_the_target_are_rewritten_if_asked() {
    let client = ClientSide { is_http11: true, keep_alive: true, host: Some("hub.example") };
    let both = Rewrite { auto_rewrite: true, protocol_rewrite: Some("https".to_owned()), ..Rewrite::default() };
    for (location, expected) in
        [("http://b:81/x?y", "https://hub.example/x?y"), ("http://other/x", "http://other/x"), ("/x", "/x")]
    {
        let input = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        let head = to_client(&input, false, client, &both);
        assert!(head.contains(&format!("Location: {expected}\r\n")), "{head}");
    }
}
