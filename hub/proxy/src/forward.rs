//! One exchange: a request goes to its target, and what comes back goes to the client, both at once.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::time::Instant;

use crate::client::Client;
use crate::gate::AnswerChanges;
use crate::headers::{Back, ClientSide, write_response};
use crate::http1::body::{Body, BodyError};
use crate::http1::head::{FieldSlots, HeadScan};
use crate::http1::response::{self, ResponseError};
use crate::shared::{Limits, Shared};
use crate::stream::{Conn, Stream};
use crate::table::Route;
use crate::transfer::{Transfer, TransferError, Waiting};

/// How long one attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request waits for a hub that refuses connections: so long may a restart take.
const HUB_WAIT: Duration = Duration::from_secs(10);
const HUB_RETRY: Duration = Duration::from_millis(50);
/// One attempt to reach the hub: the address of a pod that is gone may swallow it without an answer.
const HUB_ATTEMPT: Duration = Duration::from_secs(2);
/// The most interim responses to one request.
const MAX_INTERIM: usize = 16;

/// What the exchange needs to know of its request.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// The request target as it came.
    pub(crate) url: String,
    /// The host, if redirects are rewritten to it.
    pub(crate) host: Option<String>,
    pub(crate) is_http11: bool,
    pub(crate) keep_alive: bool,
    pub(crate) websocket: bool,
    /// What the hub calls it, if it goes to the hub.
    pub(crate) id: Option<String>,
    pub(crate) changes: AnswerChanges,
}

impl Request {
    pub(crate) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// Doing it twice is as good as once (RFC 9110 section 9.2.2).
    fn is_idempotent(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) status: u16,
    /// The client's connection can take another request.
    pub(crate) reusable: bool,
}

/// What an exchange led to.
pub(crate) enum Outcome {
    Answered(Finished),
    /// Both sides have switched protocols; what goes on between client and target is a tunnel.
    Upgraded(Conn),
}

/// Why there is no whole response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("failed to connect: {0}")]
    Connect(io::Error),
    #[error("the target closed the connection before it answered")]
    Closed,
    #[error("the route was removed before the request was sent")]
    RouteEnded,
    #[error("the target answered badly: {0}")]
    Invalid(#[from] ResponseError),
    #[error("the target took too long")]
    UpstreamTimeout,
    #[error("the client took too long")]
    ClientTimeout,
    #[error("the request's body is bad: {0}")]
    RequestBody(BodyError),
    #[error("the client left")]
    ClientGone,
    #[error("the response broke off")]
    BrokeOff,
}

/// Forwards one request whose head and body `upload` holds.
pub(crate) async fn forward(
    client: &mut Client,
    shared: &Shared,
    request: &Request,
    route: &Route,
    mut upload: Transfer,
) -> Result<Outcome, Failure> {
    let mut fresh = false;
    loop {
        let (upstream, reused) = acquire(client, shared, route, fresh).await?;
        let mut exchange = Exchange::new(client, upstream, upload, &shared.limits, route);
        match exchange.head().await {
            // An idle connection may be closed by its backend just when it is used again.
            Err(Failure::Closed) if reused && request.is_idempotent() && exchange.upload.restart() => {
                upload = exchange.upload;
                fresh = true;
            }
            Err(failure) => return Err(failure),
            Ok(length) => return respond(exchange, length, shared, request).await,
        }
    }
}

/// An idle connection to the route's target, or a new one; true if it was used before. None once the route has ended: its
/// address may be another's by now.
async fn acquire(client: &mut Client, shared: &Shared, route: &Route, fresh: bool) -> Result<(Conn, bool), Failure> {
    if let Some(stream) = route.upstream.take().filter(|_| !fresh) {
        return if route.has_ended() { Err(Failure::RouteEnded) } else { Ok((Conn::new(stream), true)) };
    }
    tokio::select! {
        biased;
        () = route.ended() => Err(Failure::RouteEnded),
        connected = connect_or_wait(client, shared, route) => Ok((Conn::new(connected?), false)),
    }
}

async fn connect_or_wait(client: &mut Client, shared: &Shared, route: &Route) -> Result<Stream, Failure> {
    let limit = if route.is_hub { HUB_ATTEMPT } else { CONNECT_TIMEOUT };
    match connect(shared, route, limit).await {
        // A certificate that is not believed will not be in ten seconds.
        Err(error) if route.is_hub && error.kind() != io::ErrorKind::InvalidData => {
            wait_for_hub(client, shared, route, error).await
        }
        connected => connected.map_err(Failure::Connect),
    }
}

async fn connect(shared: &Shared, route: &Route, limit: Duration) -> io::Result<Stream> {
    let connecting = shared.connector.connect(&route.target);
    tokio::time::timeout(limit, connecting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Tries again until the hub is back: nothing of the request was sent yet, so nothing is lost.
async fn wait_for_hub(
    client: &mut Client,
    shared: &Shared,
    route: &Route,
    first: io::Error,
) -> Result<Stream, Failure> {
    let Ok(_place) = shared.running.waiting.try_acquire() else {
        return Err(Failure::Connect(first));
    };
    let until = Instant::now() + HUB_WAIT;
    let mut pause = HUB_RETRY;
    let mut last = first;
    while Instant::now() + pause < until {
        let next = Instant::now() + pause;
        let is_gone = poll_fn(|cx| match client.poll_gone(cx) {
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending => client.timer.poll(cx, next).map(|()| false),
        });
        if is_gone.await {
            return Err(Failure::ClientGone);
        }
        match connect(shared, route, HUB_ATTEMPT.min(until.saturating_duration_since(Instant::now()))).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
        pause = (pause * 2).min(HUB_RETRY * 5);
    }
    Err(Failure::Connect(last))
}

/// Passes the response on, interim ones first.
async fn respond(
    mut exchange: Exchange<'_>,
    mut length: usize,
    shared: &Shared,
    request: &Request,
) -> Result<Outcome, Failure> {
    for _ in 0..MAX_INTERIM {
        let mut answer = exchange.read_answer(length, shared, request)?;
        if answer.is_upgrade {
            exchange.relay(&mut answer.download).await?;
            return Ok(Outcome::Upgraded(exchange.upstream));
        }
        if answer.status < 200 {
            if request.is_http11 {
                exchange.relay(&mut answer.download).await?;
            }
            length = exchange.head().await?;
            continue;
        }
        exchange.relay(&mut answer.download).await?;
        let whole = exchange.uploaded && !exchange.upload_broken;
        if let Some(stream) = exchange.upstream.into_idle().filter(|_| whole && answer.upstream_keep_alive) {
            exchange.route.keep(stream);
        }
        let reusable = whole && answer.client_keep_alive;
        return Ok(Outcome::Answered(Finished { status: answer.status, reusable }));
    }
    Err(Failure::Invalid(ResponseError("too many interim responses")))
}

/// A response whose head is read, ready to be passed on.
struct Answer {
    status: u16,
    download: Transfer,
    is_upgrade: bool,
    upstream_keep_alive: bool,
    client_keep_alive: bool,
}

/// The two connections and the request that is on its way between them.
struct Exchange<'a> {
    client: &'a mut Client,
    upstream: Conn,
    upload: Transfer,
    uploaded: bool,
    /// The target stopped reading; it may have answered all the same.
    upload_broken: bool,
    scan: HeadScan,
    limits: &'a Limits,
    route: &'a Route,
    moved: u64,
    moved_at: Instant,
}

impl<'a> Exchange<'a> {
    fn new(client: &'a mut Client, upstream: Conn, upload: Transfer, limits: &'a Limits, route: &'a Route) -> Self {
        Self {
            client,
            upstream,
            upload,
            uploaded: false,
            upload_broken: false,
            scan: HeadScan::default(),
            limits,
            route,
            moved: 0,
            moved_at: Instant::now(),
        }
    }

    /// Sends the request and waits for a response head, which then stands at the front of the upstream's buffer.
    async fn head(&mut self) -> Result<usize, Failure> {
        poll_fn(|cx| {
            self.poll_upload(cx)?;
            loop {
                match self.scan.find(&self.upstream.read) {
                    Ok(Some(length)) => return Poll::Ready(Ok(length)),
                    Ok(None) => {}
                    Err(_) => return Poll::Ready(Err(ResponseError("the head is malformed").into())),
                }
                match self.upstream.poll_fill(cx) {
                    Poll::Ready(Ok(0) | Err(_)) if self.upstream.read.is_empty() => {
                        return Poll::Ready(Err(Failure::Closed));
                    }
                    Poll::Ready(Ok(0) | Err(_)) => {
                        return Poll::Ready(Err(ResponseError("the head broke off").into()));
                    }
                    Poll::Ready(Ok(_)) => {}
                    Poll::Pending => break,
                }
            }
            self.poll_deadline(cx, None).map(Err)
        })
        .await
    }

    /// Reads the head and takes it from the buffer.
    fn read_answer(&mut self, length: usize, shared: &Shared, request: &Request) -> Result<Answer, Failure> {
        let mut slots = FieldSlots::new();
        let head = response::parse(&self.upstream.read[..length], &mut slots)?;
        let facts = response::examine(&head, request.is_head())?;
        if head.status == 101 && !(facts.websocket && request.websocket) {
            return Err(ResponseError("it switched protocols without being asked").into());
        }
        let status = head.status;
        let has_no_length = matches!(facts.body, Body::Chunked(_) | Body::UntilClose);
        let chunked = has_no_length && request.is_http11;
        let client_keep_alive =
            request.keep_alive && (chunked || !has_no_length) && !request.websocket && !shared.running.is_draining();
        let client =
            ClientSide { is_http11: request.is_http11, keep_alive: client_keep_alive, host: request.host.as_deref() };
        let mut out = BytesMut::new();
        let hsts = self.client.hsts.as_deref();
        let Route { target, realm, .. } = self.route;
        let back = Back { target, realm: realm.as_ref(), changes: &request.changes, hsts, client };
        write_response(&mut out, &head, &facts, chunked, &back, &shared.rewrite);
        if status >= 200 && !request.websocket {
            shared.metrics.requests_proxy.count(status);
        }
        self.upstream.read.advance(length);
        Ok(Answer {
            status,
            is_upgrade: facts.websocket,
            upstream_keep_alive: facts.keep_alive,
            client_keep_alive,
            download: Transfer::new(out, facts.body, chunked),
        })
    }

    /// Writes a response to the client, while the request may still be on its way.
    async fn relay(&mut self, download: &mut Transfer) -> Result<(), Failure> {
        poll_fn(|cx| {
            self.poll_upload(cx)?;
            match download.poll(cx, &mut self.upstream, &mut self.client.conn) {
                Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
                Poll::Ready(Err(TransferError::Write(_))) => Poll::Ready(Err(Failure::ClientGone)),
                Poll::Ready(Err(TransferError::Read(_) | TransferError::Body(_))) => {
                    Poll::Ready(Err(Failure::BrokeOff))
                }
                Poll::Pending => self.poll_deadline(cx, Some(download)).map(|_| Err(Failure::BrokeOff)),
            }
        })
        .await
    }

    /// Sends what there is of the request; afterwards watches whether the client stays.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        if !self.uploaded && !self.upload_broken {
            let before = self.upload.body_read();
            let polled = self.upload.poll(cx, &mut self.client.conn, &mut self.upstream);
            if self.upload.body_read() > before {
                self.route.touch();
            }
            match polled {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(())) => self.uploaded = true,
                Poll::Ready(Err(TransferError::Write(_))) => self.upload_broken = true,
                Poll::Ready(Err(TransferError::Body(error))) if error != BodyError::Truncated => {
                    return Err(Failure::RequestBody(error));
                }
                Poll::Ready(Err(_)) => return Err(Failure::ClientGone),
            }
        }
        match self.client.poll_gone(cx) {
            Poll::Ready(()) => Err(Failure::ClientGone),
            Poll::Pending => Ok(()),
        }
    }

    /// Ready when whoever it waits for has taken too long.
    fn poll_deadline(&mut self, cx: &mut Context<'_>, download: Option<&Transfer>) -> Poll<Failure> {
        let moved = self.upload.moved() + download.map_or(0, Transfer::moved);
        if moved != self.moved {
            (self.moved, self.moved_at) = (moved, Instant::now());
        }
        let uploading = !self.uploaded && !self.upload_broken;
        let client_stalls = (uploading && self.upload.waiting() == Waiting::Source)
            || download.is_some_and(|download| download.waiting() == Waiting::Sink);
        let own = if client_stalls { Some(self.limits.client_stall) } else { self.limits.upstream };
        let Some(limit) = [own, self.limits.idle].into_iter().flatten().min() else {
            return Poll::Pending;
        };
        let failure = if client_stalls { Failure::ClientTimeout } else { Failure::UpstreamTimeout };
        self.client.timer.poll(cx, self.moved_at + limit).map(|()| failure)
    }
}
