//! The steps of one start, in order.

use futures::StreamExt;
use kube::ResourceExt;
use std::{
    convert::Infallible,
    pin::pin,
    sync::{Mutex, PoisonError},
};
use url::Url;

use super::{KubernetesSpawner, claims, events, health, inherited, pod, pods, secrets};
use crate::spawner::{Health, ProgressSender, SpawnError, StartRequest, Started};

/// What went wrong last, for the message if time runs out.
#[derive(Default)]
pub(super) struct LastTrouble(Mutex<Option<String>>);

impl LastTrouble {
    fn set(&self, trouble: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(trouble);
    }

    pub(super) fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Makes the server's objects and waits until the pod runs. The caller sets the time limit.
pub(super) async fn run(
    spawner: &KubernetesSpawner,
    request: &StartRequest,
    progress: &ProgressSender,
    last: &LastTrouble,
) -> Result<Started, SpawnError> {
    let tls = spawner.issue(&request.name)?;
    let request = &*inherited::with_claim(spawner, request).await?;
    let objects = pod::build(&spawner.config, request, tls.as_ref()).map_err(SpawnError::Refused)?;
    let mut claim_name = None;
    if let Some(claim) = &objects.claim {
        claims::ensure(spawner, &request.name, claim).await?;
        claim_name = claim.metadata.name.as_deref();
    }
    inherited::remove(spawner, &request.name, &request.state).await?;
    secrets::create(spawner, &request.name, &objects.secret).await?;
    let created = pods::create(spawner, &request.name, &objects.pod).await?;
    secrets::give_to_pod(spawner, &objects.secret, &created).await?;
    let (pod_name, uid) = (created.name_any(), created.metadata.uid.as_deref().unwrap_or_default());
    let address = tokio::select! {
        address = running(spawner, &pod_name, uid, last) => address?,
        never = tell(spawner, uid, progress, last) => match never {},
    };
    Ok(Started { address, state: pod::state(&spawner.config, &request.name, claim_name) })
}

/// Waits until the pod with this UID runs, as the watch over all pods shows it.
async fn running(spawner: &KubernetesSpawner, name: &str, uid: &str, last: &LastTrouble) -> Result<Url, SpawnError> {
    let mut changes = spawner.view.changes();
    let mut seen = false;
    loop {
        let current = spawner.view.get(name).filter(|pod| pod.metadata.uid.as_deref() == Some(uid));
        match current {
            Some(pod) => {
                seen = true;
                match health::health(&pod) {
                    Health::Running { address } => return Ok(address),
                    Health::Stopped { reason } => return Err(SpawnError::Refused(reason)),
                    Health::Starting => {}
                }
                if let Some(reason) = health::hopeless(&pod) {
                    return Err(SpawnError::Refused(reason));
                }
                if let Some(trouble) = health::trouble(&pod) {
                    last.set(trouble);
                }
            }
            None if seen => return Err(SpawnError::Refused("its pod was deleted while it started".to_owned())),
            None => {}
        }
        // The view outlives this wait.
        let _ = changes.changed().await;
    }
}

/// Hands the pod's Events on, for as long as it is polled.
async fn tell(spawner: &KubernetesSpawner, uid: &str, progress: &ProgressSender, last: &LastTrouble) -> Infallible {
    let mut counter = events::Counter::new();
    let mut events = pin!(events::about(spawner.events.clone(), uid));
    while let Some(event) = events.next().await {
        let Some(line) = counter.line(&event) else { continue };
        if event.type_.as_deref() == Some("Warning") {
            last.set(event.message.unwrap_or_default());
        }
        let _ = progress.send(line);
    }
    std::future::pending().await
}
