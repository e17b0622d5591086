//! Answers the challenges that authorities ask at the proxies: on every replica of the operator, from a watch of the Secrets that
//! have live ones, which is none most of the time.
//!
//! A proxy's route leads to `/{namespace}/{hub}` here, so that a request finds the challenges of that proxy's own Hub only:
//! nobody can have a certificate for another Hub's host by naming it in a Hub of his own.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header::HOST},
    response::{IntoResponse, Response},
};
use futures::{Stream, StreamExt};
use hub_crds::names::{child, label, label_value};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Client, ResourceExt,
    runtime::{
        reflector::{ObjectRef, Store},
        watcher,
    },
};
use tokio::net::TcpListener;

use super::{
    CHALLENGE_PATH,
    state::{self, Challenges},
};
use crate::{
    stores::belongs_to,
    watch::{Namespaces, watch},
};

/// Value of [`label::ACME`] while there is something to answer.
pub const LIVE: &str = "live";

/// Longer tokens are nobody's: RFC 8555 wants 22 characters, and authorities give 43.
const LONGEST_TOKEN: usize = 256;

/// Where challenges are found.
pub trait Lookup: Clone + Send + Sync + 'static {
    /// The challenges of a Hub.
    fn challenges(&self, namespace: &str, hub: &str) -> Challenges;
}

impl Lookup for Store<Secret> {
    fn challenges(&self, namespace: &str, hub: &str) -> Challenges {
        let secret = self.get(&ObjectRef::new(&child::acme(hub)).within(namespace));
        let secret = secret.filter(|secret| belongs_to(&**secret, hub, namespace) && is_live(secret));
        secret.and_then(|secret| secret.data.as_ref().map(state::challenges)).unwrap_or_default()
    }
}

fn is_live(secret: &Secret) -> bool {
    secret.labels().get(label::ACME).is_some_and(|value| value == LIVE)
}

/// Watches the Secrets that have challenges; the store fills as long as the stream is polled.
pub fn watch_live(client: &Client, namespaces: &Namespaces) -> (Store<Secret>, impl Stream<Item = Secret> + use<>) {
    let selector = format!("{}={LIVE},{}={}", label::ACME, label::MANAGED_BY, label_value::OPERATOR);
    watch(namespaces.apis(client), &watcher::Config::default().labels(&selector))
}

/// Listens; returns the address that was bound and what to run: watch and server.
///
/// # Errors
/// The address cannot be listened on.
pub async fn serve(
    bind: SocketAddr,
    client: &Client,
    namespaces: &Namespaces,
) -> std::io::Result<(SocketAddr, impl Future<Output = std::io::Result<()>> + use<>)> {
    let listener = TcpListener::bind(bind).await?;
    let address = listener.local_addr()?;
    let (store, touched) = watch_live(client, namespaces);
    let server = axum::serve(listener, router(store, Arc::default())).into_future();
    Ok((address, async move {
        tokio::select! {
            answer = server => answer,
            () = touched.for_each(|_| async {}) => Ok(()),
        }
    }))
}

/// The server's only path; `answered` counts what it gave away.
pub fn router<L: Lookup>(lookup: L, answered: Arc<AtomicU64>) -> Router {
    Router::new().fallback(answer::<L>).with_state((lookup, answered))
}

async fn answer<L: Lookup>(State((lookup, answered)): State<(L, Arc<AtomicU64>)>, request: Request) -> Response {
    let is_read = request.method() == Method::GET || request.method() == Method::HEAD;
    let found = is_read.then(|| find(&lookup, request.uri().path(), request.headers(), Timestamp::now())).flatten();
    match found {
        Some(answer) => {
            answered.fetch_add(1, Ordering::Relaxed);
            ([("content-type", "application/octet-stream"), ("cache-control", "no-store")], answer).into_response()
        }
        // Always the same: what there is can't be learned from what there isn't.
        None => (StatusCode::NOT_FOUND, "not found\n").into_response(),
    }
}

/// The answer to a live token, for the host that it is of. Nothing is decoded and nothing is normalised: a token is looked up as
/// it was sent, or not at all.
fn find(lookup: &impl Lookup, path: &str, headers: &HeaderMap, now: Timestamp) -> Option<String> {
    let (namespace, rest) = path.strip_prefix('/')?.split_once('/')?;
    let (hub, rest) = rest.split_once('/')?;
    let token = rest.strip_prefix(&CHALLENGE_PATH[1..])?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if token.is_empty() || token.len() > LONGEST_TOKEN || !token.bytes().all(is_token) {
        return None;
    }
    let challenge = lookup.challenges(namespace, hub).remove(token)?;
    let is_for = host(headers).is_some_and(|host| host.eq_ignore_ascii_case(&challenge.host));
    (is_for && challenge.expires > now).then_some(challenge.answer)
}

/// The host that was asked, without its port.
fn host(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(HOST).iter();
    let (value, None) = (values.next()?.to_str().ok()?, values.next()) else { return None };
    let host = match value.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => value.split_once(':').map_or(value, |(host, _)| host),
    };
    Some(host.strip_suffix('.').unwrap_or(host))
}

#[cfg(test)]
mod tests;
