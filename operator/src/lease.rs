//! Leader election: of several replicas the one that holds the Lease works. It stops before its lease can be taken over,
//! by a clock that nobody sets, and gives it up when it is told to end.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};

/// After this long without a sign of life another replica may take over.
const DURATION: Duration = Duration::from_secs(15);
/// The holder writes this often.
const RENEW: Duration = Duration::from_secs(5);
/// A holder that could not write for this long stops: well before another may start.
const DEADLINE: Duration = Duration::from_secs(10);
/// The others look this often.
const RETRY: Duration = Duration::from_secs(1);

/// The lease, seen by one replica.
pub struct Election {
    api: Api<Lease>,
    name: String,
    identity: String,
}

/// What another replica's lease looked like, and since when by our own clock.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    version: Option<String>,
    since: Instant,
}

impl Election {
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str) -> Self {
        Self { api: Api::namespaced(client, namespace), name: name.to_owned(), identity: identity.to_owned() }
    }

    /// Waits until this replica leads. `answered` is called whenever the API server has.
    pub async fn acquire(&self, answered: impl Fn()) {
        let mut seen = None;
        loop {
            match self.try_acquire(&mut seen).await {
                Ok(true) => return answered(),
                Ok(false) => answered(),
                Err(error) => tracing::warn!(%error, lease = self.name, "failed to look at the lease"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Renews until it could not for too long: then this replica leads no more.
    pub async fn hold(&self) {
        let mut renewed = Instant::now();
        while renewed.elapsed() < DEADLINE {
            tokio::time::sleep(if renewed.elapsed() < RENEW { RENEW } else { RETRY }).await;
            let left = DEADLINE.saturating_sub(renewed.elapsed());
            match tokio::time::timeout(left, self.renew()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => return,
                Ok(Err(error)) => tracing::warn!(%error, lease = self.name, "failed to renew the lease"),
                Err(_) => return,
            }
        }
    }

    /// Lets another replica lead at once.
    pub async fn release(&self) {
        let Ok(Some(mut lease)) = self.api.get_opt(&self.name).await else { return };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            return;
        }
        spec.holder_identity = None;
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        if let Err(error) = self.api.replace(&self.name, &PostParams::default(), &lease).await {
            tracing::warn!(%error, lease = self.name, "failed to give the lease up");
        }
    }

    async fn try_acquire(&self, seen: &mut Option<Seen>) -> Result<bool, kube::Error> {
        let Some(lease) = self.api.get_opt(&self.name).await? else {
            return won(self.api.create(&PostParams::default(), &self.lease(None)).await);
        };
        if !self.may_take(&lease, seen, Instant::now()) {
            return Ok(false);
        }
        won(self.api.replace(&self.name, &PostParams::default(), &self.lease(Some(&lease))).await)
    }

    /// Free, our own from before a restart, or unchanged for as long as its holder promised to be alive. Clocks of other
    /// machines are not believed: what counts is how long we have seen no change.
    fn may_take(&self, lease: &Lease, seen: &mut Option<Seen>, now: Instant) -> bool {
        let spec = lease.spec.as_ref();
        let holder = spec.and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default();
        if holder.is_empty() || holder == self.identity {
            return true;
        }
        let version = lease.metadata.resource_version.clone();
        let since = match seen {
            Some(seen) if seen.version == version => seen.since,
            _ => now,
        };
        *seen = Some(Seen { version, since });
        let promised =
            spec.and_then(|spec| spec.lease_duration_seconds).and_then(|seconds| u64::try_from(seconds).ok());
        now.duration_since(since) > promised.map_or(DURATION, Duration::from_secs)
    }

    async fn renew(&self) -> Result<bool, kube::Error> {
        let lease = self.api.get(&self.name).await?;
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
        if holder != Some(&self.identity) {
            return Ok(false);
        }
        won(self.api.replace(&self.name, &PostParams::default(), &self.lease(Some(&lease))).await)
    }

    /// The lease as we want it: with the version that was seen, so that only one replica can win.
    fn lease(&self, before: Option<&Lease>) -> Lease {
        let now = MicroTime(Timestamp::now());
        let old = before.and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let is_ours = old.holder_identity.as_deref() == Some(&self.identity);
        let metadata = before.map_or_else(
            || ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
            |lease| lease.metadata.clone(),
        );
        let transitions = old.lease_transitions.unwrap_or(0) + i32::from(!is_ours && before.is_some());
        Lease {
            metadata,
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
                acquire_time: if is_ours { old.acquire_time } else { Some(now.clone()) },
                renew_time: Some(now),
                lease_transitions: Some(transitions),
                ..LeaseSpec::default()
            }),
        }
    }
}

/// Somebody else was first: not an error.
fn won(answer: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
    match answer {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(false),
        Err(error) => Err(error),
    }
}
