//! Faults between the operator and the API server: a layer of its client counts writes and does harm at one of them.

use std::{
    convert::Infallible,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use axum::body::{Body, Bytes, HttpBody};
use futures::{FutureExt, future::BoxFuture};
use http::{Method, Request, Response, StatusCode};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tower::{BoxError, Layer, Service};

/// What happens at a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The operator is killed before it sends it.
    CrashBefore,
    /// The operator is killed before it hears of the answer.
    CrashAfter,
    /// Somebody else wrote first: it is refused.
    Conflict,
    /// It is done, and the answer is lost.
    LostAnswer,
    /// It is done, and the answer says that it failed.
    ErrorAfter,
}

pub(super) const FAULTS: [Fault; 5] =
    [Fault::CrashBefore, Fault::CrashAfter, Fault::Conflict, Fault::LostAnswer, Fault::ErrorAfter];

/// Counts the writes of one operator, and does harm at one of them.
#[derive(Debug)]
pub(super) struct Harm {
    /// Which write, from 0 on; and what.
    at: Option<(usize, Fault)>,
    writes: AtomicUsize,
    /// Nothing is counted before.
    armed: AtomicBool,
    /// The operator is dead: it sends nothing any more.
    pub(super) crashed: CancellationToken,
    pub(super) done: CancellationToken,
}

impl Harm {
    pub(super) fn new(at: Option<(usize, Fault)>) -> Arc<Self> {
        Arc::new(Self {
            at,
            writes: AtomicUsize::new(0),
            armed: AtomicBool::new(false),
            crashed: CancellationToken::new(),
            done: CancellationToken::new(),
        })
    }

    /// Counts from now on.
    pub(super) fn arm(&self) {
        self.armed.store(true, Ordering::Relaxed);
    }

    /// Writes since then.
    pub(super) fn writes(&self) -> usize {
        self.writes.load(Ordering::Relaxed)
    }

    /// What happens to a request.
    fn meets<B>(&self, request: &Request<B>) -> Option<Fault> {
        let is_write = request.method() != Method::GET && !request.uri().path().contains("/leases/");
        if !is_write || !self.armed.load(Ordering::Relaxed) {
            return None;
        }
        let number = self.writes.fetch_add(1, Ordering::Relaxed);
        let fault = self.at.and_then(|(at, fault)| (at == number).then_some(fault));
        if fault.is_some() {
            self.done.cancel();
        }
        fault
    }
}

/// Puts the harm in front of a client's service.
#[derive(Clone)]
pub(super) struct DoHarm(pub(super) Arc<Harm>);

impl<S> Layer<S> for DoHarm {
    type Service = Harmed<S>;

    fn layer(&self, inner: S) -> Harmed<S> {
        Harmed { inner, harm: self.0.clone() }
    }
}

/// A service that may be harmed.
#[derive(Clone)]
pub(super) struct Harmed<S> {
    inner: S,
    harm: Arc<Harm>,
}

impl<S, A, B> Service<Request<A>> for Harmed<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + Send,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let crashed = self.harm.crashed.clone();
        if crashed.is_cancelled() {
            return dead();
        }
        let fault = self.harm.meets(&request);
        match fault {
            Some(Fault::CrashBefore) => {
                crashed.cancel();
                return dead();
            }
            Some(Fault::Conflict) => return async { Ok(refusal(StatusCode::CONFLICT, "Conflict")) }.boxed(),
            _ => {}
        }
        let sent = self.inner.call(request);
        async move {
            let answer = sent.await.map_err(Into::into)?.map(Body::new);
            match fault {
                Some(Fault::CrashAfter) => crashed.cancel(),
                Some(Fault::LostAnswer) => return Err(io::Error::from(io::ErrorKind::ConnectionReset).into()),
                Some(Fault::ErrorAfter) => return Ok(refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalError")),
                _ => {}
            }
            if crashed.is_cancelled() {
                return dead().await;
            }
            Ok(answer)
        }
        .boxed()
    }
}

/// A process that was killed waits for nothing.
fn dead() -> BoxFuture<'static, Result<Response<Body>, BoxError>> {
    std::future::pending::<Result<Infallible, BoxError>>().map(|never| never.map(|never| match never {})).boxed()
}

fn refusal(status: StatusCode, reason: &str) -> Response<Body> {
    let body = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": reason, "message": "made by the test",
        "code": status.as_u16(),
    });
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response
}
