//! The last step: says how a Hub stands, with one patch and only if something changed.

use hub_crds::{
    Hub, HubStatus, ServiceType,
    names::{FIELD_MANAGER, child, port},
    status::{Versions, condition, reason},
};
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{LoadBalancerIngress, Service},
    },
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
};
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
    runtime::reflector::ObjectRef,
};
use serde_json::json;

use super::{
    Context, Error,
    apply::{hear, is_as_new},
    types::{Applied, Resources, ValidatedHub},
};
use crate::{
    conditions::{self, Rollout, Verdict},
    events,
    stored::StoredHub,
};

/// What a reconcile came to.
pub type Outcome = Result<(ValidatedHub, Resources<Applied>), Error>;

/// Writes the status that the outcome means; returns when the watch has shown it.
pub async fn update_status(context: &Context, stored: &StoredHub, outcome: &Outcome) -> Result<(), kube::Error> {
    let mut before = stored.status();
    before.conditions.retain(conditions::is_ours);
    let pods = Pods::of(context, stored, outcome);
    let after = assess(stored, outcome, &pods, &before, &Time(jiff::Timestamp::now()));
    context.metrics.set_certificate(&stored.namespace(), &stored.name_any(), expiry(&after));
    if after == before {
        return Ok(());
    }
    let (name, namespace) = (stored.name_any(), stored.namespace());
    let body = json!({
        "apiVersion": Hub::api_version(&()),
        "kind": Hub::kind(&()),
        "metadata": {"name": name, "namespace": namespace},
        "status": after,
    });
    let api = Api::<StoredHub>::namespaced(context.client.clone(), &namespace);
    let written = match api.patch_status(&name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(body)).await {
        // It went while it was looked at.
        Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(()),
        answer => answer?,
    };
    tell_failure(context, stored, &before, &after).await;
    for notice in events::notices(&before, &after) {
        events::tell_notice(&context.recorder, stored, notice).await;
    }
    let version = written.resource_version().unwrap_or_default();
    hear(|| context.stores.hubs.get(&stored.reference()).is_none_or(|seen| is_as_new(&*seen, &version))).await;
    Ok(())
}

/// When the certificate that is served ends, in seconds since 1970.
fn expiry(status: &HubStatus) -> Option<i64> {
    let end: jiff::Timestamp = status.certificate.as_ref()?.not_after.parse().ok()?;
    Some(end.as_second())
}

/// An event for a failure that the status did not tell of before.
async fn tell_failure(context: &Context, stored: &StoredHub, before: &HubStatus, after: &HubStatus) {
    let degraded = |status: &HubStatus| {
        let is_it = |found: &&Condition| found.type_ == condition::DEGRADED && found.status == "True";
        status.conditions.iter().find(is_it).map(|found| (found.reason.clone(), found.message.clone()))
    };
    if let Some((reason, message)) = degraded(after)
        && degraded(before) != Some((reason.clone(), message.clone()))
    {
        events::tell_failure(&context.recorder, stored, &reason, &message).await;
    }
}

/// The pods of a Hub, as the cluster has them.
struct Pods {
    hub: Option<Deployment>,
    proxy: Option<Deployment>,
}

impl Pods {
    /// As they were applied; after a failure as they still are, since they go on serving.
    fn of(context: &Context, stored: &StoredHub, outcome: &Outcome) -> Self {
        let name = stored.name_any();
        let find = |name: String| match outcome {
            Ok((_, applied)) => applied.deployments.iter().find(|found| found.name_any() == name).cloned(),
            Err(_) => {
                let key = ObjectRef::new(&name).within(&stored.namespace());
                context.stores.deployments.get(&key).map(|found| (*found).clone())
            }
        };
        Self { hub: find(child::hub(&name)), proxy: find(child::proxy(&name)) }
    }
}

/// The status that an outcome means: pure.
fn assess(stored: &StoredHub, outcome: &Outcome, pods: &Pods, before: &HubStatus, now: &Time) -> HubStatus {
    let generation = stored.metadata.generation;
    let mut status = before.clone();
    status.observed_generation = generation;
    let mut verdicts =
        vec![conditions::hub_available(pods.hub.as_ref()), conditions::proxy_available(pods.proxy.as_ref())];
    match outcome {
        Ok((hub, applied)) => {
            let public = applied.services.iter().find(|found| found.name_any() == child::proxy_public(&hub.name));
            status.url = Some(url(hub, public));
            status.versions = Some(versions(hub));
            status.certificate = hub.certificate.served.as_ref().map(|served| served.facts.clone());
            status.login_urls_secret = (!hub.secrets.login_tokens.is_empty()).then(|| child::login_urls(&hub.name));
            status.rotation = Some(hub.rotation.status.clone());
            remember_secrets(hub, &mut status.secrets);
            verdicts.extend(success_verdicts(hub, pods));
            let is_said = |found: &Condition| verdicts.iter().any(|verdict| verdict.condition == found.type_);
            status.conditions.retain(|found| !conditions::is_optional(found) || is_said(found));
        }
        Err(error) => verdicts.extend(failure_verdicts(error)),
    }
    verdicts.insert(0, conditions::ready(&deciding(outcome, &verdicts)));
    status.conditions = conditions::merge(&status.conditions, &verdicts, generation, now);
    status
}

/// The verdicts that decide whether a Hub is ready. As long as a good certificate is served, one that could not be renewed
/// keeps nobody out.
fn deciding(outcome: &Outcome, verdicts: &[Verdict]) -> Vec<Verdict> {
    let served = outcome.as_ref().ok().and_then(|(hub, _)| hub.certificate.served.as_ref());
    let is_safe = served.is_some_and(|served| served.is_good);
    verdicts.iter().filter(|verdict| !is_safe || verdict.condition != condition::CERTIFICATE_READY).cloned().collect()
}

fn success_verdicts(hub: &ValidatedHub, pods: &Pods) -> Vec<Verdict> {
    let rollouts: Vec<_> =
        [&pods.hub, &pods.proxy].map(|pods| pods.as_ref().map_or(Rollout::UnderWay, conditions::rollout)).into();
    let stuck = rollouts.iter().find_map(|rollout| match rollout {
        Rollout::Stuck(words) => Some(words.as_str()),
        _ => None,
    });
    let mut verdicts = vec![
        conditions::secrets_ready(),
        conditions::tls_configured(hub.https, !hub.trusted_proxies.is_empty()),
        hub.rotation.verdict.clone(),
        if hub.paused { conditions::paused() } else { conditions::progressing(&rollouts) },
        stuck.map_or_else(conditions::not_degraded, |words| conditions::degraded(reason::NOT_AVAILABLE, words)),
    ];
    verdicts.extend(hub.certificate.verdict.as_ref().map(conditions::certificate_ready));
    verdicts.extend(hub.route.as_ref().map(conditions::route_ready));
    verdicts
}

/// What is known after a failure; the rest of the conditions comes from what still runs.
fn failure_verdicts(error: &Error) -> Vec<Verdict> {
    let message = error.to_string();
    let mut verdicts = vec![conditions::held_up(), conditions::degraded(error.reason(), &message)];
    if let Error::Certificate(_) = error {
        verdicts.insert(0, conditions::no_certificate(error.reason(), &message));
    }
    if error.is_about_secrets() {
        verdicts.insert(0, conditions::secrets_not_ready(error.reason(), &message));
    }
    verdicts
}

fn remember_secrets(hub: &ValidatedHub, secrets: &mut Vec<String>) {
    if hub.paused {
        return;
    }
    for record in &hub.records {
        if !secrets.contains(&record.name) {
            secrets.push(record.name.clone());
        }
    }
}

fn versions(hub: &ValidatedHub) -> Versions {
    Versions {
        operator: env!("CARGO_PKG_VERSION").to_owned(),
        hub: hub.hub.image.clone(),
        proxy: hub.proxy.image.clone(),
    }
}

/// Where people reach the Hub, as far as the cluster tells.
fn url(hub: &ValidatedHub, public: Option<&Service>) -> String {
    if let Some(url) = &hub.public_url {
        return url.clone();
    }
    let base = &hub.base_url;
    let (scheme, name) =
        if hub.https.is_served() { ("https", port::PROXY_HTTPS_NAME) } else { ("http", port::PROXY_HTTP_NAME) };
    let ports = public.and_then(|service| service.spec.as_ref()?.ports.as_ref());
    let door = ports.and_then(|ports| ports.iter().find(|port| port.name.as_deref() == Some(name)));
    match (hub.proxy_service.service_type, balancer_address(public), door.and_then(|door| door.node_port)) {
        (ServiceType::LoadBalancer, Some(address), _) => format!("{scheme}://{address}{base}"),
        (ServiceType::NodePort, _, Some(port)) => format!("{scheme}://<node>:{port}{base}"),
        _ => format!("{scheme}://{}.{}{base}", child::proxy_public(&hub.name), hub.namespace),
    }
}

fn balancer_address(public: Option<&Service>) -> Option<String> {
    let LoadBalancerIngress { hostname, ip, .. } =
        public?.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref()?.first()?.clone();
    hostname.or_else(|| ip.map(|ip| if ip.contains(':') { format!("[{ip}]") } else { ip }))
}

#[cfg(test)]
mod tests;
