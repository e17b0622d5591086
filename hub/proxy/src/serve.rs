//! Serves a client's connection, one request after the other: reads, decides, forwards or answers.

use std::future::Future;
use std::io::Write as _;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::{Buf, BytesMut};

use crate::client::{Client, NoHead, Reply};
use crate::forward::{self, Failure, Finished, Outcome, Request};
use crate::gate::{AnswerChanges, Arrival, Passage, Verdict};
use crate::headers::{Hop, write_request};
use crate::http1::body::Body;
use crate::http1::field;
use crate::http1::head::FieldSlots;
use crate::http1::request::{self, RequestError, RequestFacts, RequestHead};
use crate::log;
use crate::path;
use crate::shared::Shared;
use crate::stream::{Conn, Stream};
use crate::table::Route;
use crate::transfer::Transfer;
use crate::upgrade;

/// Serves a connection until either side ends it.
pub(crate) async fn serve(stream: Stream, peer: Option<IpAddr>, shared: Arc<Shared>) {
    let mut client = Client::new(stream, peer);
    let mut idle = shared.limits.head;
    loop {
        match client.read_head(&shared.limits, idle).await {
            Ok(length) => match serve_request(&mut client, &shared, length).await {
                Next::Request => {}
                Next::Close => break,
                Next::Tunnel(upstream, route) => return upgrade::tunnel(&mut client, upstream, &route).await,
            },
            Err(NoHead::Gone) => return,
            Err(NoHead::Slow) => {
                client.refuse(408, "the request did not arrive in time").await;
                break;
            }
            Err(NoHead::Refused(error)) => {
                refuse(&mut client, &shared, error).await;
                break;
            }
        }
        idle = shared.limits.keep_alive;
    }
    client.close().await;
}

/// How a client's connection goes on after a request.
enum Next {
    Request,
    Close,
    Tunnel(Conn, Arc<Route>),
}

/// Serves the request whose head stands at the front of the buffer.
async fn serve_request(client: &mut Client, shared: &Shared, length: usize) -> Next {
    let _active = shared.begin_request();
    let started = Instant::now();
    let from = Sender { peer: client.peer, is_secure: client.conn.is_secure() };
    let mut verdict = None;
    let planned = loop {
        match plan(&client.conn.read[..length], from, verdict.take(), shared) {
            Ok(plan) => break Ok(plan),
            Err(NoPlan::Wait(judging)) => verdict = Some(judging.await),
            Err(NoPlan::Refused(error)) => break Err(error),
        }
    };
    client.conn.read.advance(length);
    let (request, action) = match planned {
        Ok(plan) => plan,
        Err(error) => {
            refuse(client, shared, error).await;
            return Next::Close;
        }
    };
    let mut tunnel = None;
    let finished = match action {
        Action::Health(is_healthy, has_body) => health(client, &request, is_healthy, has_body).await,
        Action::NoRoute(has_body) => fail(client, shared, &request, 404, has_body).await,
        Action::Forward(route, upload) => match forward(client, shared, &request, &route, upload).await {
            Outcome::Answered(finished) => finished,
            Outcome::Upgraded(upstream) => {
                tunnel = Some(Next::Tunnel(upstream, route));
                Finished { status: 101, reusable: false }
            }
        },
    };
    if shared.access_log {
        access_log(client.peer, &request, finished, started);
    }
    tunnel.unwrap_or(if finished.reusable { Next::Request } else { Next::Close })
}

/// Where a request comes from.
#[derive(Clone, Copy)]
struct Sender {
    peer: Option<IpAddr>,
    is_secure: bool,
}

/// Why nothing is done with a request yet.
enum NoPlan {
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
enum Action {
    /// Whether to say that all is well, and whether a body follows.
    Health(bool, bool),
    NoRoute(bool),
    Forward(Arc<Route>, Transfer),
}

/// Reads a request head and decides; the head is not needed any more after that, unless the gate has to say first: its
/// verdict then comes along with the same head.
fn plan(bytes: &[u8], from: Sender, verdict: Option<Verdict>, shared: &Shared) -> Result<(Request, Action), NoPlan> {
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
        changes: AnswerChanges::default(),
    };
    let has_body = !facts.body.is_empty();
    let passage = match verdict.unwrap_or_else(|| judge(&head, &facts, &target, from, shared)) {
        Verdict::Pass(passage) => Some(passage),
        Verdict::Keep => None,
        Verdict::Wait(judging) => return Err(NoPlan::Wait(judging)),
    };
    let action = match (head.target, &shared.gate) {
        ("/_chp_healthz", None) => Action::Health(true, has_body),
        ("/_hub_proxy_readyz", None) => Action::Health(shared.routes.is_filled(), has_body),
        (_, gated) => {
            let route = match gated.as_ref().filter(|_| passage.is_none()) {
                Some(gated) => Some(gated.pages.clone()),
                None => find_route(&target.path, facts.host, is_login(&head, &facts, target.query), shared)?,
            };
            match route {
                Some(route) => {
                    let mut passage = passage.unwrap_or_default();
                    request.changes = std::mem::take(&mut passage.answer);
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

/// Forwards, and answers for the target if it does not answer itself.
async fn forward(client: &mut Client, shared: &Shared, request: &Request, route: &Route, upload: Transfer) -> Outcome {
    let failure = match forward::forward(client, shared, request, route, upload).await {
        Ok(outcome) => {
            if matches!(&outcome, Outcome::Answered(finished) if finished.status < 300 && !request.websocket) {
                shared.metrics.time(&shared.metrics.last_activity_updating, || route.touch());
            }
            return outcome;
        }
        Err(failure) => failure,
    };
    let (status, method, path) = (status_of(&failure), &request.method, log::path(&request.url));
    let Some(status) = status else {
        tracing::debug!(method, path, error = %failure, "request ended early");
        return Outcome::Answered(Finished { status: 0, reusable: false });
    };
    tracing::warn!(status, method, path, error = %failure, "request failed");
    if status < 500 {
        client.refuse(status, &failure.to_string()).await;
        return Outcome::Answered(Finished { status, reusable: false });
    }
    Outcome::Answered(fail(client, shared, request, status, true).await)
}

/// What a failure is answered with; nothing if nobody is left to answer or the answer has begun, where closing is all
/// that can still be said.
fn status_of(failure: &Failure) -> Option<u16> {
    match failure {
        Failure::Connect(_) | Failure::Closed => Some(503),
        Failure::Invalid(_) => Some(502),
        Failure::UpstreamTimeout => Some(504),
        Failure::ClientTimeout => Some(408),
        Failure::RequestBody(_) => Some(400),
        Failure::ClientGone | Failure::BrokeOff => None,
    }
}

/// Answers with an error page. What may follow of the request was not read, so the connection ends if there is any.
async fn fail(client: &mut Client, shared: &Shared, request: &Request, status: u16, has_body: bool) -> Finished {
    shared.metrics.requests_proxy.count(status);
    if request.websocket {
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        // A client that is gone has no use for it.
        let _ = client.conn.write_all(answer.as_bytes()).await;
        return Finished { status, reusable: false };
    }
    let page = shared.error_pages.page(status, &request.url).await;
    let keep_alive = request.keep_alive && request.is_http11 && !has_body && !shared.is_draining();
    let reply = Reply {
        status,
        content_type: &page.content_type,
        content_encoding: page.content_encoding.as_deref(),
        body: &page.body,
        to_head: request.is_head(),
        keep_alive,
        ..Reply::default()
    };
    let sent = client.reply(&reply).await;
    Finished { status, reusable: keep_alive && sent.is_ok() }
}

async fn health(client: &mut Client, request: &Request, is_healthy: bool, has_body: bool) -> Finished {
    let (status, body): (_, &[u8]) =
        if is_healthy { (200, br#"{"status":"OK"}"#) } else { (503, br#"{"status":"no routing table yet"}"#) };
    let keep_alive = request.keep_alive && request.is_http11 && !has_body;
    let reply = Reply {
        status,
        content_type: "application/json",
        body,
        to_head: request.is_head(),
        keep_alive,
        ..Reply::default()
    };
    let sent = client.reply(&reply).await;
    Finished { status, reusable: keep_alive && sent.is_ok() }
}

async fn refuse(client: &mut Client, shared: &Shared, error: RequestError) {
    tracing::debug!(status = error.status(), %error, "request refused");
    shared.metrics.requests_proxy.count(error.status());
    client.refuse(error.status(), &error.to_string()).await;
}

fn access_log(peer: Option<IpAddr>, request: &Request, finished: Finished, started: Instant) {
    let line = serde_json::json!({
        "time": jiff::Timestamp::now().to_string(),
        "client": peer.map(|peer| peer.to_canonical().to_string()),
        "method": request.method.get(..32).unwrap_or(&request.method),
        "path": log::path(&request.url),
        "status": finished.status,
        "duration_ms": u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    });
    // A log that nobody reads any more must not end a connection.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
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
