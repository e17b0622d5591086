//! One reconcile: what a Hub asks for is read, judged, built, applied and reported on. It never asks why it was called.

pub mod apply;
pub mod build;
pub mod compare;
pub mod dereference;
pub mod quantity;
pub mod status;
pub mod types;
pub mod validate;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use hub_crds::status::reason;
use jiff::Timestamp;
use kube::{
    Client, ResourceExt,
    runtime::{controller::Action, events::Recorder},
};

use crate::{
    acme::Acme, certificate, events, extension::Extensions, finalizer, internal_tls, metrics::Metrics, rotation, route,
    secrets, stored::StoredHub, stores::Stores,
};
use types::{Images, ValidatedHub};

/// What every reconcile needs.
pub struct Context {
    pub client: Client,
    pub stores: Stores,
    pub images: Images,
    pub recorder: Recorder,
    pub metrics: Arc<Metrics>,
    pub backoff: Backoff,
    pub going: Going,
    pub extensions: Extensions,
    /// Namespace of the operator itself, if it runs in a cluster.
    pub namespace: Option<String>,
    pub acme: Acme,
}

/// A step that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Dereference(#[from] dereference::Error),
    #[error(transparent)]
    Validate(#[from] validate::Error),
    #[error(transparent)]
    Certificate(certificate::Error),
    #[error(transparent)]
    Finalizer(#[from] finalizer::Error),
    #[error(transparent)]
    Rotation(#[from] rotation::carry_out::Error),
    #[error(transparent)]
    Apply(#[from] apply::Error),
    #[error("failed to write the status: {0}")]
    Status(#[source] kube::Error),
    #[error("gave up after {} seconds without an answer", .0.as_secs())]
    Timeout(Duration),
}

impl Error {
    /// The step, for metrics.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Dereference(_) => "Dereference",
            Self::Validate(_) => "Validate",
            Self::Certificate(_) => "Certificate",
            Self::Finalizer(_) => "Finalizer",
            Self::Rotation(_) => "Rotation",
            Self::Apply(_) => "Apply",
            Self::Status(_) => "Status",
            Self::Timeout(_) => "Timeout",
        }
    }

    /// Reason of the condition that tells of it.
    fn reason(&self) -> &'static str {
        match self {
            Self::Dereference(dereference::Error::Spec(_)) => reason::INVALID,
            Self::Validate(error) => error.reason(),
            Self::Certificate(certificate::Error::Nothing(trouble)) => trouble.reason,
            Self::Apply(apply::Error::Conflict { .. } | apply::Error::Secret(secrets::Error::Conflict { .. })) => {
                reason::CONFLICT
            }
            Self::Apply(apply::Error::Secret(secrets::Error::Lost { .. })) => reason::SECRET_LOST,
            Self::Apply(error) if error.api_status().is_some_and(|status| status.is_forbidden()) => reason::FORBIDDEN,
            _ => reason::APPLY_FAILED,
        }
    }

    fn is_about_secrets(&self) -> bool {
        match self {
            Self::Validate(error) => error.is_about_secrets(),
            Self::Apply(error) => matches!(error, apply::Error::Secret(_)),
            _ => false,
        }
    }

    /// Only a change of the Hub, or of a Secret that it refers to, can help: both wake the reconcile up.
    fn needs_a_person(&self) -> bool {
        matches!(
            self,
            Self::Dereference(dereference::Error::Spec(_))
                | Self::Validate(_)
                | Self::Certificate(certificate::Error::Nothing(_))
        )
    }

    /// The namespace is going: nothing can be created in it any more.
    fn is_namespace_going(&self) -> bool {
        const CAUSE: &str = "NamespaceTerminating";
        let Self::Apply(error) = self else { return false };
        let details = error.api_status().and_then(|status| status.details.as_ref());
        details.is_some_and(|details| details.causes.iter().any(|cause| cause.reason == CAUSE))
    }
}

/// What the API server refused for a certificate is told as for any other child.
impl From<certificate::Error> for Error {
    fn from(error: certificate::Error) -> Self {
        match error {
            certificate::Error::Object(error) => Self::Apply(error),
            error => Self::Certificate(error),
        }
    }
}

/// A reconcile that takes longer is given up and begun anew.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// A look at everything that needs no event; it costs no request.
const RESYNC: Duration = Duration::from_secs(300);
/// A look for what is due, so that clocks that differ a little are no busy loop.
const SOON: Duration = Duration::from_millis(100);

/// Brings one Hub to what it asks for.
pub async fn reconcile(stored: Arc<StoredHub>, context: Arc<Context>) -> Result<Action, Error> {
    let started = Instant::now();
    let result = tokio::time::timeout(TIME_LIMIT, look_at(&stored, &context)).await;
    context.metrics.count_reconcile(started.elapsed());
    let action = result.unwrap_or(Err(Error::Timeout(TIME_LIMIT)))?;
    context.backoff.reset(stored.uid());
    Ok(action)
}

async fn look_at(stored: &StoredHub, context: &Context) -> Result<Action, Error> {
    if stored.is_going() {
        return Ok(finalizer::clean_up(context, stored).await?);
    }
    if context.going.contains(stored.uid()) {
        release_all(stored, context).await?;
        return Ok(Action::await_change());
    }
    let outcome = attempt(stored, context).await;
    if let Err(error) = &outcome
        && error.is_namespace_going()
    {
        tracing::info!(hub.name = stored.name_any(), hub.namespace = stored.namespace(), "the namespace is going");
        context.going.insert(stored.uid());
        release_all(stored, context).await?;
        return Ok(Action::await_change());
    }
    status::update_status(context, stored, &outcome).await.map_err(Error::Status)?;
    outcome.map(|(hub, _)| Action::requeue(next_look(&hub, Timestamp::now())))
}

/// Without an event: when something is due, and else now and then.
fn next_look(hub: &ValidatedHub, now: Timestamp) -> Duration {
    let until = |time: Timestamp| Duration::try_from(time.duration_since(now)).unwrap_or(Duration::ZERO);
    let rotation = hub.rotation.again.map(|again| until(again).max(SOON));
    [rotation, hub.next_look()].into_iter().flatten().min().map_or(RESYNC, |next| next.min(RESYNC))
}

/// The six steps but the last, which tells of their outcome.
async fn attempt(stored: &StoredHub, context: &Context) -> status::Outcome {
    let mut found = dereference::dereference(context, stored).await?;
    if !found.spec.paused {
        found.requests.extend(rotation::carry_out::claim(context, stored).await?);
    }
    let mut hub = validate::validate(&found, &context.images)?;
    if !hub.paused {
        finalizer::ensure(context, stored).await?;
        rotation::carry_out::carry_out(context, stored, &hub.rotation).await?;
    }
    hub.certificate = certificate::obtain(context, &found, &hub).await?;
    hub.internal_tls = internal_tls::obtain(context, &found, &hub).map_err(certificate::Error::from)?;
    let prepared = build::build(&hub);
    let (applied, changes) = apply::apply(context, &hub, prepared).await?;
    hub.route = route::keep(context, stored, &hub).await?;
    events::tell_changes(&context.recorder, stored, &changes).await;
    Ok((hub, applied))
}

/// In a namespace that is going, a finalizer of ours would only hold it up.
async fn release_all(stored: &StoredHub, context: &Context) -> Result<(), Error> {
    for secret in crate::stores::owned(&context.stores.secrets, &stored.name_any(), &stored.namespace()) {
        secrets::release(&context.client, &secret, false).await.map_err(apply::Error::Secret)?;
    }
    Ok(())
}

/// When a failed reconcile is tried again.
pub fn error_policy(stored: &StoredHub, error: &Error, context: &Context) -> Action {
    context.metrics.count_error(error.category());
    let (name, namespace) = (stored.name_any(), stored.namespace());
    if error.needs_a_person() {
        tracing::info!(hub.name = name, hub.namespace = namespace, %error, "the Hub waits for a person");
        return Action::await_change();
    }
    let delay = context.backoff.next(stored.uid());
    tracing::warn!(hub.name = name, hub.namespace = namespace, retry_ms = delay.as_millis(), %error, "failed to reconcile");
    Action::requeue(delay)
}

/// Uids of the Hubs whose namespaces are going, as the API server's refusals told. None comes back: what is put right there
/// would only be taken away again.
#[derive(Default)]
pub struct Going(Mutex<HashSet<String>>);

impl Going {
    fn insert(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.to_owned());
    }

    fn contains(&self, uid: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(uid)
    }
}

/// Delays of retries: doubled for each failure in a row, capped, and jittered so that many Hubs do not come at once.
#[derive(Default)]
pub struct Backoff(Mutex<HashMap<String, u32>>);

impl Backoff {
    const FIRST: Duration = Duration::from_millis(500);
    const MOST: Duration = Duration::from_secs(60);

    fn next(&self, uid: &str) -> Duration {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(uid.to_owned()).or_default();
        let delay = Self::delay(*count, rand::random::<f64>());
        *count = count.saturating_add(1);
        delay
    }

    fn reset(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }

    /// `jitter` is 0 to 1: the delay is one half to the whole.
    fn delay(failures: u32, jitter: f64) -> Duration {
        let whole = Self::FIRST.saturating_mul(1 << failures.min(16)).min(Self::MOST);
        whole.mul_f64(0.5 + 0.5 * jitter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_double_up_to_a_minute_with_jitter() {
        assert_eq!(Backoff::delay(0, 1.0), Duration::from_millis(500));
        assert_eq!(Backoff::delay(1, 1.0), Duration::from_secs(1));
        assert_eq!(Backoff::delay(1, 0.0), Duration::from_millis(500));
        assert_eq!(Backoff::delay(40, 1.0), Duration::from_secs(60));
        let backoff = Backoff::default();
        let first = backoff.next("u");
        assert!(backoff.next("u") >= first.mul_f64(0.9) && backoff.next("other") <= Duration::from_millis(500));
        backoff.reset("u");
        assert!(backoff.next("u") <= Duration::from_millis(500));
    }
}
