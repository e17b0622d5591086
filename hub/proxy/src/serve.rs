//! Serves a client's connection, one request after the other: reads, decides, forwards or answers.

use std::io::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf as _, BytesMut};

use crate::client::{Client, NoHead, Reply};
use crate::forward::{self, Failure, Finished, Outcome, Request};
use crate::headers::{write_hsts, write_text};
use crate::http1::request::RequestError;
use crate::log;
use crate::plan::{Action, Entrance, NoPlan, Sender, plan};
use crate::redirect;
use crate::shared::{Active, Shared};
use crate::stream::{Conn, Stream};
use crate::table::Route;
use crate::transfer::Transfer;
use crate::upgrade;

/// Serves a connection until either side ends it.
pub(crate) async fn serve(stream: Stream, peer: Option<IpAddr>, entrance: Entrance, shared: Arc<Shared>) {
    let mut client = Client::new(stream, peer, shared.hsts.clone());
    let mut idle = shared.limits.head;
    loop {
        match client.read_head(&shared.limits, idle).await {
            Ok(length) => match serve_request(&mut client, entrance, &shared, length).await {
                Next::Request => {}
                Next::Close => break,
                Next::Tunnel(upstream, route, _active) => return upgrade::tunnel(&mut client, upstream, &route).await,
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
enum Next<'a> {
    Request,
    Close,
    /// It counts as the request did, without a gap in which an end of the proxy would not wait for it.
    Tunnel(Conn, Arc<Route>, Active<'a>),
}

/// Serves the request whose head stands at the front of the buffer.
async fn serve_request<'a>(client: &mut Client, entrance: Entrance, shared: &'a Shared, length: usize) -> Next<'a> {
    let active = shared.running.begin();
    let started = Instant::now();
    let from = Sender { peer: client.peer, is_secure: client.conn.is_secure(), entrance };
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
        Action::Health(is_healthy, has_body) => say_health(client, &request, is_healthy, has_body).await,
        Action::NoRoute(has_body) => fail(client, shared, &request, 404, has_body).await,
        Action::Redirect(location, has_body) => send_to_https(client, shared, &request, &location, has_body).await,
        Action::Forward(route, upload) => match forward(client, shared, &request, &route, upload).await {
            Outcome::Answered(finished) => finished,
            Outcome::Upgraded(upstream) => {
                tunnel = Some((upstream, route));
                Finished { status: 101, reusable: false }
            }
        },
    };
    if shared.access_log {
        access_log(client.peer, &request, finished, started);
    }
    match tunnel {
        Some((upstream, route)) => Next::Tunnel(upstream, route, active),
        None if finished.reusable => Next::Request,
        None => Next::Close,
    }
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
        tracing::debug!(method, path, request_id = request.id, error = %failure, "request ended early");
        return Outcome::Answered(Finished { status: 0, reusable: false });
    };
    tracing::warn!(status, method, path, request_id = request.id, error = %failure, "request failed");
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
        Failure::Connect(_) | Failure::Closed | Failure::RouteEnded => Some(503),
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
        let mut answer = BytesMut::new();
        write_text(&mut answer, format_args!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n"));
        write_hsts(&mut answer, client.hsts.as_deref());
        answer.extend_from_slice(b"\r\n");
        // A client that is gone has no use for it.
        let _ = client.conn.write_all(&answer).await;
        return Finished { status, reusable: false };
    }
    let page = shared.error_pages.page(status, &request.url, &shared.connector).await;
    let keep_alive = request.keep_alive && request.is_http11 && !has_body && !shared.running.is_draining();
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

async fn send_to_https(
    client: &mut Client,
    shared: &Shared,
    request: &Request,
    location: &str,
    has_body: bool,
) -> Finished {
    let status = redirect::status(&request.method);
    shared.metrics.requests_proxy.count(status);
    let keep_alive = request.keep_alive && request.is_http11 && !has_body && !shared.running.is_draining();
    let location = format!("Location: {location}\r\n");
    let reply = Reply { status, extra: &location, to_head: request.is_head(), keep_alive, ..Reply::default() };
    let sent = client.reply(&reply).await;
    Finished { status, reusable: keep_alive && sent.is_ok() }
}

async fn say_health(client: &mut Client, request: &Request, is_healthy: bool, has_body: bool) -> Finished {
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
        "request_id": request.id,
        "status": finished.status,
        "duration_ms": u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    });
    // A log that nobody reads any more must not end a connection.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
