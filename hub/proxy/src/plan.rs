//! Decides what is done with a request, by its head alone: refuse, answer, redirect or forward, and to which route.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::BytesMut;

use crate::forward::Request;
use crate::gate::{AnswerChanges, Arrival, Passage, Verdict};
use crate::headers::{Hop, write_request};
use crate::http1::body::Body;
use crate::http1::field;
use crate::http1::head::FieldSlots;
use crate::http1::request::{self, RequestError, RequestFacts, RequestHead};
use crate::path;
use crate::redirect;
use crate::request_id;
use crate::shared::Shared;
use crate::table::Route;
use crate::transfer::Transfer;

/// Where a connection came in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Entrance {
    /// Everything is served.
    Public,
    /// Without TLS: everybody is sent to this port of HTTPS.
    Redirect(u16),
}

/// Where a request comes from.
#[derive(Clone, Copy)]
pub(crate) struct Sender {
    pub(crate) peer: Option<IpAddr>,
    pub(crate) is_secure: bool,
    pub(crate) entrance: Entrance,
}

/// Why nothing is done with a request yet.
pub(crate) enum NoPlan {
    Refused(RequestError),
    /// The gate has to say.
    Wait(Pin<Box<dyn Future<Output = Verdict> + Send>>),
}

impl From<RequestError> for NoPlan {
    fn from(error: RequestError) -> Self {
        Self::Refused(error)
    }
}

/// What is done with a request.
pub(crate) enum Action {
    /// Whether to say that all is well, and whether a body follows.
    Health(bool, bool),
    NoRoute(bool),
    /// The address, and whether a body follows.
    Redirect(String, bool),
    Forward(Arc<Route>, Transfer),
}

/// Reads a request head and decides; the head is not needed any more after that, unless the gate has to say first: its
/// verdict then comes along with the same head.
pub(crate) fn plan(
    bytes: &[u8],
    from: Sender,
    verdict: Option<Verdict>,
    shared: &Shared,
) -> Result<(Request, Action), NoPlan> {
    let mut slots = FieldSlots::new();
    let head = request::parse(bytes, &mut slots)?;
    let mut facts = request::examine(&head)?;
    let target = if head.target == "*" && head.method == "OPTIONS" { "/*" } else { head.target };
    let target = path::parse_target(target).map_err(|_| RequestError::Malformed("the request target is malformed"))?;
    if let Some(authority) = target.authority {
        if !field::is_valid_host(authority.as_bytes()) {
            return Err(RequestError::Malformed("the host of the request target is malformed").into());
        }
        facts.host = Some(authority.as_bytes());
    }
    let host = facts.host.and_then(|host| std::str::from_utf8(host).ok());
    let mut request = Request {
        method: head.method.to_owned(),
        url: head.target.to_owned(),
        host: host.filter(|_| shared.rewrite.auto_rewrite).map(str::to_owned),
        is_http11: head.is_http11,
        keep_alive: facts.keep_alive,
        websocket: facts.websocket,
        id: None,
        changes: AnswerChanges::default(),
    };
    let has_body = !facts.body.is_empty();
    if let Entrance::Redirect(port) = from.entrance {
        return plan_redirect(request, &head, facts, &target, from, port, shared);
    }
    let passage = match verdict.unwrap_or_else(|| judge(&head, &facts, &target, from, shared)) {
        Verdict::Pass(passage) => Some(passage),
        Verdict::Keep => None,
        Verdict::Wait(judging) => return Err(NoPlan::Wait(judging)),
    };
    let action = match (health(head.target, shared), &shared.gate) {
        (Some(is_healthy), None) => Action::Health(is_healthy, has_body),
        (_, gated) => {
            let route = match gated.as_ref().filter(|_| passage.is_none()) {
                Some(gated) => Some(gated.pages.clone()),
                None => find_route(&target.path, facts.host, is_login(&head, &facts, target.query), shared)?,
            };
            match route {
                Some(route) => {
                    let mut passage = passage.unwrap_or_default();
                    request.changes = std::mem::take(&mut passage.answer);
                    if route.takes_ids {
                        let id = shared.request_ids.of(head.fields, shared.rewrite.trusts(from.peer));
                        passage.fields.push((request_id::NAME, Some(id.clone())));
                        request.id = Some(id);
                    }
                    let upload = start_upload(&head, facts, from, &target, &route, &passage, shared);
                    Action::Forward(route, upload)
                }
                None => Action::NoRoute(has_body),
            }
        }
    };
    if !matches!(action, Action::Health(..)) {
        let counter = if request.websocket { &shared.metrics.requests_ws } else { &shared.metrics.requests_web };
        counter.fetch_add(1, Ordering::Relaxed);
    }
    Ok((request, action))
}

/// What health is answered with, if that is what was asked for.
fn health(target: &str, shared: &Shared) -> Option<bool> {
    match target {
        "/_chp_healthz" => Some(true),
        "/_hub_proxy_readyz" => Some(shared.routes.is_filled()),
        _ => None,
    }
}

/// Decides about a request that came without TLS.
fn plan_redirect(
    mut request: Request,
    head: &RequestHead<'_, '_>,
    facts: RequestFacts<'_>,
    target: &path::RequestTarget<'_>,
    from: Sender,
    port: u16,
    shared: &Shared,
) -> Result<(Request, Action), NoPlan> {
    let has_body = !facts.body.is_empty();
    if let Some(is_healthy) = health(head.target, shared) {
        return Ok((request, Action::Health(is_healthy, has_body)));
    }
    shared.metrics.requests_web.fetch_add(1, Ordering::Relaxed);
    if redirect::may_be_challenge(&request.method, &target.path) && !has_body && !facts.websocket {
        let route = find_route(&target.path, facts.host, false, shared)?;
        if let Some(route) = route.filter(|route| route.depth >= redirect::CHALLENGE_DEPTH) {
            let mut passage = redirect::passage();
            request.changes = std::mem::take(&mut passage.answer);
            let upload = start_upload(head, facts, from, target, &route, &passage, shared);
            return Ok((request, Action::Forward(route, upload)));
        }
    }
    let host = facts.host.and_then(|host| std::str::from_utf8(host).ok());
    let host =
        host.ok_or(RequestError::Malformed("this port only redirects to HTTPS, and there is no Host to go to"))?;
    Ok((request, Action::Redirect(redirect::location(host, port, head.target, target), has_body)))
}

/// What the gate says; without one everything passes as it is.
fn judge(
    head: &RequestHead<'_, '_>,
    facts: &RequestFacts<'_>,
    target: &path::RequestTarget<'_>,
    from: Sender,
    shared: &Shared,
) -> Verdict {
    let Some(gated) = &shared.gate else { return Verdict::Pass(Passage::default()) };
    gated.gate.judge(&Arrival {
        method: head.method,
        path: &target.path,
        query: target.query.strip_prefix('?').unwrap_or(target.query),
        host: facts.host.and_then(|host| std::str::from_utf8(host).ok()),
        peer: from.peer,
        is_secure: from.is_secure,
        is_websocket: facts.websocket,
        fields: head.fields,
    })
}

fn find_route(
    path: &str,
    host: Option<&[u8]>,
    is_login: bool,
    shared: &Shared,
) -> Result<Option<Arc<Route>>, RequestError> {
    let decoded =
        path::decode(path).map_err(|_| RequestError::Malformed("a percent escape in the path is malformed"))?;
    let host = host.map_or(&b""[..], |host| field::split_port(host).0);
    let host = std::str::from_utf8(host).unwrap_or_default();
    let metrics = &shared.metrics;
    Ok(metrics.time(&metrics.find_target_for_req, || shared.routes.find(host, &decoded, is_login)))
}

/// Whether somebody visits a page with a token in the address: what a browser's address line or a link asks for, not a
/// program or a script. The hub takes such a token out of the address; one that it knows nothing of it sends on with
/// `redirects`, as it does with everything that it sends back.
fn is_login(head: &RequestHead<'_, '_>, facts: &RequestFacts<'_>, query: &str) -> bool {
    let has = |name: &str| {
        let arguments = query.strip_prefix('?').unwrap_or_default().split('&');
        arguments
            .filter_map(|argument| argument.split_once('='))
            .any(|(key, value)| percent_encoding::percent_decode_str(key).eq(name.bytes()) && !value.is_empty())
    };
    let accepts_pages = || {
        let accept = head.fields.iter().filter(|header| header.name.eq_ignore_ascii_case("accept"));
        accept.flat_map(|header| field::list(header.value)).any(|kind| kind.starts_with(b"text/html"))
    };
    !query.is_empty()
        && head.method == "GET"
        && !facts.websocket
        && has("token")
        && !has("redirects")
        && accepts_pages()
}

fn start_upload(
    head: &RequestHead<'_, '_>,
    facts: RequestFacts<'_>,
    from: Sender,
    target: &path::RequestTarget<'_>,
    route: &Route,
    passage: &Passage,
    shared: &Shared,
) -> Transfer {
    let path = if shared.rewrite.include_prefix { &target.path[..] } else { without_prefix(&target.path, route.depth) };
    let hop = Hop {
        peer: from.peer,
        is_secure: from.is_secure,
        target: &route.target,
        realm: route.realm.as_ref(),
        host: facts.host,
        path,
        query: passage.query.as_deref().unwrap_or(target.query),
        passage,
    };
    let mut out = BytesMut::new();
    write_request(&mut out, head, &facts, &hop, &shared.rewrite);
    let chunked = matches!(facts.body, Body::Chunked(_));
    Transfer::new(out, facts.body, chunked)
}

/// The rest of a path after its first `depth` segments; empty if there is none.
fn without_prefix(path: &str, depth: usize) -> &str {
    let mut rest = path;
    for _ in 0..depth {
        let segment_end = rest.get(1..).and_then(|inner| inner.find('/')).map(|end| end + 1);
        rest = segment_end.map_or("", |end| &rest[end..]);
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_a_page_that_is_visited_with_a_token() {
        let is_login = |text: &str| {
            let mut slots = FieldSlots::new();
            let head = request::parse(text.as_bytes(), &mut slots).unwrap();
            let facts = request::examine(&head).unwrap();
            is_login(&head, &facts, path::parse_target(head.target).unwrap().query)
        };
        let page = "HTTP/1.1\r\nHost: a\r\nAccept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\n\r\n";
        for (line, expected) in [
            ("GET /user/a/tree?token=t", true),
            ("GET /user/a/tree?a=b&token=t&c", true),
            ("GET /user/a/tree", false),
            ("GET /user/a/tree?token=", false),
            ("GET /user/a/tree?token", false),
            ("GET /user/a/tree?%74oken=t", true),
            ("GET /user/a/tree?tokens=t", false),
            ("GET /user/a/tree?a=token=t", false),
            ("GET /user/a/tree?token=t&redirects=1", false),
            ("POST /user/a/tree?token=t", false),
            ("HEAD /user/a/tree?token=t", false),
        ] {
            assert_eq!(is_login(&format!("{line} {page}")), expected, "{line}");
        }
        for fields in [
            "",
            "Accept: */*\r\n",
            "Accept: application/json, text/plain\r\n",
            "Accept: text/html\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        ] {
            assert!(!is_login(&format!("GET /user/a/api?token=t HTTP/1.1\r\nHost: a\r\n{fields}\r\n")), "{fields}");
        }
    }

    #[test]
    fn prefixes_are_taken_off_by_segments() {
        for (path, depth, rest) in [
            ("/user/a/lab", 2, "/lab"),
            ("/user/a/", 2, "/"),
            ("/user/a", 2, ""),
            ("/user/%40a/lab", 2, "/lab"),
            ("/lab", 0, "/lab"),
        ] {
            assert_eq!(without_prefix(path, depth), rest, "{path}");
        }
    }
}
