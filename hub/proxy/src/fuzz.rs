//! Fuzzing of what is pure: heads, bodies, targets and the routing table, each with properties that hold for any input.
//!
//! Each target first runs its corpus, `__fuzz__/<target>/corpus`, then inputs made from it, for as long as `FUZZ_SECONDS`
//! says. An input that broke something is put into the corpus and stays there.

use std::collections::BTreeMap;
use std::panic::RefUnwindSafe;

use bytes::BytesMut;
use httparse::Header;

use crate::gate::{AnswerChanges, Passage};
use crate::headers::{Back, ClientSide, Hop, Rewrite, write_request, write_response};
use crate::http1::body::{Body, BodyError, Piece};
use crate::http1::field::{self, Name};
use crate::http1::head::{FieldSlots, HeadScan};
use crate::http1::request::{self, RequestError};
use crate::http1::response;
use crate::path::{self, PathError};
use crate::routes::{Trie, clean_path};
use crate::target::{Address, Target, TargetError};

mod mutation;

/// Runs a target for its time: `property` must hold for every input.
fn fuzz(target: &'static str, property: impl Fn(&[u8]) + RefUnwindSafe) {
    mutation::fuzz(concat!(env!("CARGO_MANIFEST_DIR"), "/src"), target, property);
}

#[test]
fn request_heads() {
    fuzz("request_heads", |input| {
        let Some(head) = head_of(input) else { return };
        let mut slots = FieldSlots::new();
        let Ok(parsed) = request::parse(head, &mut slots) else { return };
        let Ok(facts) = request::examine(&parsed) else { return };
        assert_one_framing(head, &facts.body);
        let hosts = values_of(head, "host").len();
        assert!(hosts == 1 || (hosts == 0 && !parsed.is_http11), "{hosts} hosts: {}", shown(head));
        let Some(forwarded) = forward(head) else { return };
        // Fields are added: what was just small enough is not any more.
        if matches!(request::parse(&forwarded, &mut FieldSlots::new()), Err(RequestError::HeadTooLarge)) {
            return;
        }
        assert_forwarded_alike(head, &forwarded);
        assert_eq!(forward(&forwarded).map(|again| shown(&again)), Some(shown(&forwarded)), "{}", shown(head));
    });
}

/// What the backend reads means what the client's head meant.
fn assert_forwarded_alike(head: &[u8], forwarded: &[u8]) {
    let (mut before_slots, mut after_slots) = (FieldSlots::new(), FieldSlots::new());
    let before = request::parse(head, &mut before_slots).unwrap();
    let after = request::parse(forwarded, &mut after_slots).unwrap();
    let (facts, facts_after) = (request::examine(&before).unwrap(), request::examine(&after).unwrap());
    let what = || format!("{} became {}", shown(head), shown(forwarded));
    assert_eq!(head_of(forwarded), Some(forwarded), "{}", what());
    assert_one_framing(forwarded, &facts_after.body);
    assert_eq!(before.method, after.method, "{}", what());
    assert_eq!(format!("{:?}", facts.body), format!("{:?}", facts_after.body), "{}", what());
    assert_eq!(facts.websocket, facts_after.websocket, "{}", what());
    assert_eq!(facts.expects_continue, facts_after.expects_continue, "{}", what());
    let (path, path_after) = (path::parse_target(before.target).unwrap(), path::parse_target(after.target).unwrap());
    assert_eq!(
        (path.path, path.query.trim_start_matches('?')),
        (path_after.path, path_after.query.trim_start_matches('?')),
        "{}",
        what()
    );
    assert!(after.fields.iter().all(|header| field::classify(header.name) != Name::HopByHop), "{}", what());
    if !facts.nominates {
        assert_eq!(others(before.fields), others(after.fields), "{}", what());
    }
}

/// The head as a backend gets it, unless its target is refused.
fn forward(head: &[u8]) -> Option<Vec<u8>> {
    let mut slots = FieldSlots::new();
    let parsed = request::parse(head, &mut slots).unwrap();
    let facts = request::examine(&parsed).unwrap();
    let path = path::parse_target(parsed.target).ok()?;
    let authority = path.authority.map(str::as_bytes);
    if authority.is_some_and(|authority| !field::is_valid_host(authority)) {
        return None;
    }
    let target = Target::parse("http://127.0.0.1:1").unwrap();
    let hop = Hop {
        peer: None,
        is_secure: false,
        target: &target,
        realm: None,
        host: authority.or(facts.host),
        path: &path.path,
        query: path.query,
        passage: &Passage::default(),
    };
    let mut out = BytesMut::new();
    write_request(&mut out, &parsed, &facts, &hop, &Rewrite { include_prefix: true, ..Rewrite::default() });
    Some(out.to_vec())
}

#[test]
fn response_heads() {
    fuzz("response_heads", |input| {
        let Some(head) = head_of(input) else { return };
        for (to_head, is_http11) in [(false, true), (false, false), (true, true)] {
            assert_answered_alike(head, to_head, is_http11);
        }
    });
}

/// What the client reads means what the backend's head meant, as far as its version goes.
fn assert_answered_alike(head: &[u8], to_head: bool, is_http11: bool) {
    let mut slots = FieldSlots::new();
    let Ok(before) = response::parse(head, &mut slots) else { return };
    let Ok(facts) = response::examine(&before, to_head) else { return };
    if !matches!(facts.body, Body::Empty) {
        assert_one_framing(head, &facts.body);
    }
    let has_no_length = matches!(facts.body, Body::Chunked(_) | Body::UntilClose);
    let chunked = has_no_length && is_http11;
    let client = ClientSide { is_http11, keep_alive: is_http11, host: None };
    let target = Target::parse("http://127.0.0.1:1").unwrap();
    let back = Back { target: &target, realm: None, changes: &AnswerChanges::default(), hsts: None, client };
    let mut out = BytesMut::new();
    write_response(&mut out, &before, &facts, chunked, &back, &Rewrite::default());
    let what = || format!("{} became {}", shown(head), shown(&out));
    assert_eq!(head_of(&out), Some(&out[..]), "{}", what());
    let mut slots = FieldSlots::new();
    let after = response::parse(&out, &mut slots).unwrap_or_else(|error| panic!("{error}: {}", what()));
    let facts_after = response::examine(&after, to_head).unwrap_or_else(|error| panic!("{error}: {}", what()));
    let expected = match &facts.body {
        Body::Chunked(_) | Body::UntilClose if chunked => Body::chunked(),
        Body::Chunked(_) => Body::UntilClose,
        Body::Length(length) => Body::Length(*length),
        Body::UntilClose => Body::UntilClose,
        Body::Empty => Body::Empty,
    };
    assert_eq!(format!("{expected:?}"), format!("{:?}", facts_after.body), "{}", what());
    assert_eq!((before.status, facts.websocket), (after.status, facts_after.websocket), "{}", what());
    assert_eq!(others(before.fields), others(after.fields), "{}", what());
}

/// The head at the front of `input`; where reads cut it makes no difference.
fn head_of(input: &[u8]) -> Option<&[u8]> {
    let found = HeadScan::default().find(input).ok().flatten();
    let mut scan = HeadScan::default();
    let bit_by_bit = (0..=input.len()).find_map(|end| scan.find(&input[..end]).transpose()).and_then(Result::ok);
    assert_eq!(found, bit_by_bit, "{}", shown(input));
    let head = &input[..found?];
    let is_bare = |at: usize| head[at] == b'\n' && (at == 0 || head[at - 1] != b'\r');
    assert!(!(0..head.len()).any(is_bare), "a bare line feed: {}", shown(head));
    Some(head)
}

/// The values of a field, read in the plainest way that there is.
fn values_of(head: &[u8], name: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(head).into_owned();
    let fields = text.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    fields
        .filter(|(field, _)| field.trim().eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim().to_owned())
        .collect()
}

/// No other reader of an accepted head can find another length than ours.
fn assert_one_framing(head: &[u8], body: &Body) {
    let (lengths, codings) = (values_of(head, "content-length"), values_of(head, "transfer-encoding"));
    let what = || format!("{body:?} of {}", shown(head));
    match body {
        Body::Chunked(_) => assert!(lengths.is_empty() && codings.len() == 1, "{}", what()),
        Body::Length(length) => {
            assert!(codings.is_empty() && !lengths.is_empty(), "{}", what());
            assert!(lengths.iter().all(|value| value.parse() == Ok(*length)), "{}", what());
        }
        Body::Empty | Body::UntilClose => assert!(lengths.is_empty() && codings.is_empty(), "{}", what()),
    }
    assert!(!head.contains(&0), "{}", what());
    assert_eq!(memchr::memchr_iter(b'\r', head).count(), memchr::memchr_iter(b'\n', head).count(), "{}", what());
    assert!(!head.windows(3).any(|at| matches!(at, b"\r\n " | b"\r\n\t")), "a folded field: {}", what());
}

/// The fields that mean nothing to the proxy, in their order.
fn others(fields: &[Header<'_>]) -> Vec<(String, Vec<u8>)> {
    let passing = fields.iter().filter(|header| field::classify(header.name) == Name::Other);
    passing.map(|header| (header.name.to_owned(), header.value.to_vec())).collect()
}

fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

#[test]
fn chunked_bodies() {
    fuzz("chunked_bodies", |input| {
        let whole = decode(input, input.len().max(1));
        for step in [1, 3, 64] {
            assert_eq!(whole.as_ref().ok(), decode(input, step).as_ref().ok(), "by {step}: {}", shown(input));
        }
        let plainly = decode_plainly(input);
        match whole {
            Ok(decoded) => assert_eq!(Some(decoded), plainly, "{}", shown(input)),
            // So short that no limit is met.
            Err(error) if input.len() <= 1024 => assert_eq!(plainly, None, "{error}: {}", shown(input)),
            Err(_) => {}
        }
    });
}

/// Content, and how much stands behind it; `step` bytes arrive at a time.
fn decode(wire: &[u8], step: usize) -> Result<(Vec<u8>, usize), BodyError> {
    let (mut body, mut buf, mut content, mut rest) = (Body::chunked(), BytesMut::new(), Vec::new(), wire);
    loop {
        match body.next(&mut buf)? {
            Piece::Data(size) => content.extend_from_slice(&buf.split_to(size)),
            Piece::End => return Ok((content, buf.len() + rest.len())),
            Piece::NeedMore if rest.is_empty() => return Err(BodyError::Truncated),
            Piece::NeedMore => {
                let (next, later) = rest.split_at(step.min(rest.len()));
                buf.extend_from_slice(next);
                rest = later;
            }
        }
    }
}

/// RFC 9112 section 7.1 word by word, of a body that is there as a whole.
fn decode_plainly(wire: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut content, mut rest) = (Vec::new(), wire);
    loop {
        let line = take_line(&mut rest)?;
        let (size, extension) = line.split_at(line.iter().position(|byte| *byte == b';').unwrap_or(line.len()));
        let is_hex = !size.is_empty() && size.len() <= 16 && size.iter().all(u8::is_ascii_hexdigit);
        if !is_hex || !extension.iter().all(|byte| is_text(*byte)) {
            return None;
        }
        let size = usize::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()?;
        if size == 0 {
            break;
        }
        content.extend_from_slice(rest.get(..size)?);
        rest = rest[size..].strip_prefix(b"\r\n")?;
    }
    loop {
        let line = take_line(&mut rest)?;
        if line.is_empty() {
            return Some((content, rest.len()));
        }
        let name = &line[..line.iter().position(|byte| *byte == b':')?];
        let is_name = http::HeaderName::from_bytes(name).is_ok();
        if !is_name || !line.iter().all(|byte| is_text(*byte)) {
            return None;
        }
    }
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}

fn take_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let line = rest[..end].strip_suffix(b"\r")?;
    *rest = &rest[end + 1..];
    Some(line)
}

#[test]
fn request_targets() {
    let mut routes = Trie::default();
    for path in ["/user/a", "/user/a@b", "/user/é/x", "/services/s", "/a"] {
        routes.insert(path, path);
    }
    fuzz("request_targets", |input| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        // No head holds these outside of its line ends.
        if text.contains(|c: char| c.is_ascii_control()) {
            return;
        }
        let Ok(target) = path::parse_target(text) else { return };
        let path = &*target.path;
        assert!(path.starts_with('/') && !path.contains(['\\', '#', '?']), "{text:?} became {path:?}");
        let plain = path.replace("%2e", ".").replace("%2E", ".");
        assert!(!plain.split('/').any(|segment| matches!(segment, "." | "..")), "{text:?} became {path:?}");
        let again = format!("{path}{}", target.query);
        let expected = path::RequestTarget { authority: None, path: path.into(), query: target.query };
        assert_eq!(path::parse_target(&again), Ok(expected), "{text:?}");
        let decoded = path::decode(path);
        assert_decoded(path, &decoded);
        let Ok(decoded) = decoded else { return };
        assert_as_browsers_do(text, &decoded);
        assert_matched_as_forwarded(&routes, path, &decoded);
    });
}

fn assert_decoded(path: &str, decoded: &Result<std::borrow::Cow<'_, str>, PathError>) {
    match decoded {
        Ok(decoded) => {
            assert!(!decoded.contains('\0') && decoded.starts_with('/'), "{path:?} is {decoded:?}");
            let encoded: String = decoded.bytes().map(|byte| format!("%{byte:02x}")).collect();
            assert_eq!(path::decode(&encoded).as_ref(), Ok(decoded), "{path:?}");
        }
        Err(_) => assert!(path.contains('%'), "{path:?} was refused"),
    }
}

/// What is forwarded is where a browser would have gone.
fn assert_as_browsers_do(text: &str, decoded: &str) {
    // Browsers take a space at the end out before they look; and this one takes `c:` for a drive, which only files have.
    if !text.starts_with('/') || text.contains([' ', ':']) {
        return;
    }
    let url = url::Url::parse(&format!("http://host{text}")).unwrap();
    assert_eq!(path::decode(url.path()).as_deref(), Ok(decoded), "{text:?}");
}

/// The route that is found lies before what is forwarded, segment by segment.
fn assert_matched_as_forwarded(routes: &Trie<&str>, path: &str, decoded: &str) {
    let route = routes.find(None, decoded, |_| true).copied();
    // An escaped slash is a slash to the table and none to the target: that is the original's way.
    if path.to_ascii_lowercase().contains("%2f") {
        return;
    }
    let segments: Vec<_> = path.split('/').map(|segment| path::decode(segment).unwrap()).collect();
    let begins_with =
        |route: &str| route.split('/').zip(&segments).filter(|(a, b)| a == b).count() == route.split('/').count();
    let expected =
        ["/user/a", "/user/a@b", "/user/é/x", "/services/s", "/a"].into_iter().find(|route| begins_with(route));
    assert_eq!(route, expected, "{path:?}");
}

#[test]
fn route_targets() {
    fuzz("route_targets", |input| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        let Ok(target) = Target::parse(text) else { return };
        assert!(target.path.starts_with('/') && !target.path.contains('?'), "{text:?} is {target:?}");
        assert!(!text.contains(char::is_control) && !text.contains(char::is_whitespace), "{text:?}");
        if let Address::Tcp(name, port) = &target.address {
            assert_not_link_local(text);
            assert!(!name.is_empty() && !name.contains(['@', '/', '?', '#']) && *port != 0, "{text:?} is {target:?}");
            let scheme = if target.server_name.is_some() { "https" } else { "http" };
            let query = if target.query.is_empty() { String::new() } else { format!("?{}", target.query) };
            let again: Result<Target, TargetError> =
                Target::parse(&format!("{scheme}://{}{}{query}", target.host, target.path));
            assert_eq!(again.as_ref(), Ok(&target), "{text:?}");
        }
    });
}

/// In none of the forms in which an address can be written.
fn assert_not_link_local(target: &str) {
    // Browsers decode a host; whoever resolves it here does not.
    let Some(url) = url::Url::parse(target).ok().filter(|_| !target.contains('%')) else { return };
    let is_link_local = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_link_local(),
        Some(url::Host::Ipv6(address)) => address.is_unicast_link_local(),
        _ => false,
    };
    assert!(!is_link_local, "{target:?} is {url}");
}

/// Lines `+ path`, `- path` and `? path`: routes come and go and are looked for, in the trie and in a plain list.
#[test]
fn routing_table() {
    fuzz("routing_table", |input| {
        let text = String::from_utf8_lossy(input);
        let (mut trie, mut plain) = (Trie::default(), BTreeMap::new());
        for (number, line) in text.lines().enumerate() {
            let Some((action, path)) = line.split_once(' ') else { continue };
            let clean = clean_path(path);
            if let Ok(clean) = &clean {
                assert_eq!(clean_path(clean).as_ref(), Ok(clean), "{path:?}");
            }
            match (action, clean) {
                ("+", Ok(path)) => assert_eq!(trie.insert(&path, number), plain.insert(path, number), "{text:?}"),
                ("-", Ok(path)) => assert_eq!(trie.remove(&path), plain.remove(&path), "{text:?}"),
                ("?", _) if path.starts_with('/') => assert_found_alike(&trie, &plain, path),
                _ => {}
            }
            assert_eq!(trie.len(), plain.len(), "{text:?}");
        }
        let mut all = Vec::new();
        trie.for_each(&mut |number| all.push(*number));
        all.sort_unstable();
        let mut expected: Vec<_> = plain.values().copied().collect();
        expected.sort_unstable();
        assert_eq!(all, expected, "{text:?}");
    });
}

fn assert_found_alike(trie: &Trie<usize>, plain: &BTreeMap<String, usize>, path: &str) {
    let is_even = |number: &usize| number.is_multiple_of(2);
    assert_eq!(trie.find(None, path, |_| true), find_plainly(plain, path, |_| true), "{plain:?} {path:?}");
    assert_eq!(trie.find(None, path, is_even), find_plainly(plain, path, is_even), "{plain:?} {path:?}");
    let below_host = format!("/host{path}");
    assert_eq!(
        trie.find(Some("host"), path, |_| true),
        find_plainly(plain, &below_host, |_| true),
        "{plain:?} {path:?}"
    );
    assert_eq!(trie.get("/host"), plain.get("/host"), "{plain:?}");
}

/// The longest of all the routes that fit and begin the path.
fn find_plainly<'a>(
    routes: &'a BTreeMap<String, usize>,
    path: &str,
    fits: impl Fn(&usize) -> bool,
) -> Option<&'a usize> {
    let begins = |route: &str| {
        route == "/" || path == route || path.strip_prefix(route).is_some_and(|rest| rest.starts_with('/'))
    };
    let fitting = routes.iter().filter(|(route, number)| begins(route) && fits(number));
    fitting.max_by_key(|(route, _)| route.len()).map(|(_, number)| number)
}
