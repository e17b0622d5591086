//! The conditions of a Hub, a function each. Messages say what to do.

use hub_crds::{
    HttpsType,
    status::{condition, reason},
};
use k8s_openapi::{
    api::apps::v1::Deployment,
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
};

use crate::{certificate, extension::Presence};

/// The types that the operator writes, in the order in which people read them.
const OURS: [&str; 10] = [
    condition::READY,
    condition::HUB_AVAILABLE,
    condition::PROXY_AVAILABLE,
    condition::SECRETS_READY,
    condition::TLS_CONFIGURED,
    condition::CERTIFICATE_READY,
    condition::ROUTE_READY,
    condition::SECRET_ROTATION,
    condition::PROGRESSING,
    condition::DEGRADED,
];
/// Those that a Hub has only while there is something to say.
const OPTIONAL: [&str; 2] = [condition::CERTIFICATE_READY, condition::ROUTE_READY];

/// Other writers may have conditions of their own beside ours.
pub fn is_ours(condition: &Condition) -> bool {
    OURS.contains(&condition.type_.as_str())
}

/// Whether a condition is to go when there is nothing to say.
pub fn is_optional(condition: &Condition) -> bool {
    OPTIONAL.contains(&condition.type_.as_str())
}

/// What a condition says; generation and time are added when it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub condition: &'static str,
    pub is_true: bool,
    pub reason: &'static str,
    pub message: String,
}

fn verdict(condition: &'static str, is_true: bool, reason: &'static str, message: impl Into<String>) -> Verdict {
    Verdict { condition, is_true, reason, message: message.into() }
}

/// How a Deployment stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rollout {
    /// As many pods as wanted, all of the newest template, all ready.
    Done,
    /// On its way.
    UnderWay,
    /// It will not get there by itself; Kubernetes' own words.
    Stuck(String),
}

/// Reads a Deployment's status.
pub fn rollout(deployment: &Deployment) -> Rollout {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let Some(status) = &deployment.status else { return Rollout::UnderWay };
    let stuck = status.conditions.iter().flatten().find(|condition| {
        (condition.type_ == "ReplicaFailure" && condition.status == "True")
            || (condition.type_ == "Progressing" && condition.status == "False")
    });
    if let Some(stuck) = stuck {
        return Rollout::Stuck(stuck.message.clone().unwrap_or_default());
    }
    let is_seen = status.observed_generation >= deployment.metadata.generation;
    let count = |number: Option<i32>| number.unwrap_or(0);
    let is_whole = count(status.updated_replicas) == wanted
        && count(status.replicas) == wanted
        && count(status.available_replicas) == wanted;
    if is_seen && is_whole { Rollout::Done } else { Rollout::UnderWay }
}

/// Whether any pod of a Deployment serves, be it of an older template.
fn serves(deployment: Option<&Deployment>) -> bool {
    deployment.and_then(|deployment| deployment.status.as_ref()?.available_replicas).unwrap_or(0) > 0
}

pub fn hub_available(deployment: Option<&Deployment>) -> Verdict {
    available(condition::HUB_AVAILABLE, "hub", deployment)
}

pub fn proxy_available(deployment: Option<&Deployment>) -> Verdict {
    available(condition::PROXY_AVAILABLE, "proxy", deployment)
}

fn available(condition: &'static str, component: &str, deployment: Option<&Deployment>) -> Verdict {
    if serves(deployment) {
        return verdict(condition, true, reason::AVAILABLE, format!("the {component} serves"));
    }
    let message = format!(
        "no pod of the {component} is ready: if this stays so, see its events and logs with `kubectl describe pod` and `kubectl logs`, \
         selector app.kubernetes.io/component={component}"
    );
    verdict(condition, false, reason::NOT_AVAILABLE, message)
}

pub fn secrets_ready() -> Verdict {
    verdict(condition::SECRETS_READY, true, reason::SECRETS_PRESENT, "all Secrets are there and hold what they should")
}

pub fn secrets_not_ready(reason: &'static str, message: &str) -> Verdict {
    verdict(condition::SECRETS_READY, false, reason, message)
}

/// `trusts` says whether the proxy believes anybody's `X-Forwarded-*`.
pub fn tls_configured(https: HttpsType, trusts: bool) -> Verdict {
    match https {
        HttpsType::External => verdict(
            condition::TLS_CONFIGURED,
            true,
            reason::TERMINATED_OUTSIDE,
            format!(
                "TLS ends in front of the proxy, as spec.https.type 'external' says{}",
                if trusts {
                    ""
                } else {
                    "; X-Forwarded-* is believed from nobody, for spec.proxy.trustedProxies is empty"
                }
            ),
        ),
        HttpsType::None => verdict(
            condition::TLS_CONFIGURED,
            false,
            reason::INSECURE_ALLOWED,
            "passwords and tokens travel in the clear, as spec.https.allowInsecure accepts: use another spec.https.type for anything but a trial",
        ),
        _ => verdict(
            condition::TLS_CONFIGURED,
            true,
            reason::TERMINATED_IN_PROXY,
            "TLS ends in the proxy: CertificateReady tells of its certificate",
        ),
    }
}

/// `is_true` while a value is published and not in use yet. It keeps no Hub from being ready.
pub fn secret_rotation(is_true: bool, reason: &'static str, message: String) -> Verdict {
    verdict(condition::SECRET_ROTATION, is_true, reason, message)
}

/// What [`crate::certificate`] found.
pub fn certificate_ready(found: &certificate::Verdict) -> Verdict {
    verdict(condition::CERTIFICATE_READY, found.is_true, found.reason, found.message.clone())
}

/// Nothing can be served for want of a certificate.
pub fn no_certificate(reason: &'static str, message: &str) -> Verdict {
    verdict(condition::CERTIFICATE_READY, false, reason, message)
}

pub fn route_ready(presence: &Presence) -> Verdict {
    match presence {
        Presence::Present(_) => verdict(
            condition::ROUTE_READY,
            true,
            reason::ROUTE_APPLIED,
            "the HTTPRoute is there: its own status says whether its Gateway took it",
        ),
        Presence::KindMissing => verdict(
            condition::ROUTE_READY,
            false,
            reason::GATEWAY_API_MISSING,
            "the Gateway API is not installed in this cluster: install it (it is noticed within 30 seconds), or remove spec.proxy.httpRoute",
        ),
    }
}

pub fn progressing(rollouts: &[Rollout]) -> Verdict {
    if rollouts.iter().all(|rollout| *rollout == Rollout::Done) {
        verdict(condition::PROGRESSING, false, reason::ROLLED_OUT, "every pod is of this generation")
    } else {
        verdict(condition::PROGRESSING, true, reason::ROLLING_OUT, "pods of this generation are on their way")
    }
}

pub fn paused() -> Verdict {
    verdict(
        condition::PROGRESSING,
        false,
        reason::PAUSED,
        "spec.paused is true: the operator changes nothing until it is false",
    )
}

pub fn held_up() -> Verdict {
    verdict(
        condition::PROGRESSING,
        false,
        reason::INVALID,
        "nothing is changed until what Degraded tells of is put right",
    )
}

pub fn not_degraded() -> Verdict {
    verdict(condition::DEGRADED, false, reason::AS_EXPECTED, "nothing is wrong")
}

pub fn degraded(reason: &'static str, message: &str) -> Verdict {
    verdict(condition::DEGRADED, true, reason, message)
}

/// The sum of the others: the first that keeps the Hub from being ready lends its words.
pub fn ready(others: &[Verdict]) -> Verdict {
    let is_good = |verdict: &&Verdict| match verdict.condition {
        condition::DEGRADED => !verdict.is_true,
        condition::PROGRESSING => !verdict.is_true,
        condition::TLS_CONFIGURED | condition::SECRET_ROTATION => true,
        _ => verdict.is_true,
    };
    let order = [
        condition::DEGRADED,
        condition::SECRETS_READY,
        condition::CERTIFICATE_READY,
        condition::ROUTE_READY,
        condition::HUB_AVAILABLE,
        condition::PROXY_AVAILABLE,
        condition::PROGRESSING,
    ];
    let first_bad = order
        .iter()
        .filter_map(|name| others.iter().find(|verdict| verdict.condition == *name))
        .find(|verdict| !is_good(verdict));
    match first_bad {
        Some(bad) => verdict(condition::READY, false, bad.reason, bad.message.clone()),
        None => verdict(condition::READY, true, reason::AVAILABLE, "the Hub serves"),
    }
}

/// Puts the verdicts over our conditions that are there; one without a verdict stays. A time changes only when a status
/// does.
pub fn merge(before: &[Condition], verdicts: &[Verdict], generation: Option<i64>, now: &Time) -> Vec<Condition> {
    OURS.into_iter()
        .filter_map(|name| {
            let old = before.iter().find(|condition| condition.type_ == name);
            match verdicts.iter().find(|verdict| verdict.condition == name) {
                Some(verdict) => Some(renew(old, verdict, generation, now)),
                None => old.cloned(),
            }
        })
        .collect()
}

fn renew(old: Option<&Condition>, verdict: &Verdict, generation: Option<i64>, now: &Time) -> Condition {
    let status = if verdict.is_true { "True" } else { "False" };
    let same = old.filter(|old| old.status == status);
    Condition {
        type_: verdict.condition.to_owned(),
        status: status.to_owned(),
        reason: verdict.reason.to_owned(),
        message: limited(&verdict.message),
        observed_generation: generation,
        last_transition_time: same.map_or_else(|| now.clone(), |same| same.last_transition_time.clone()),
    }
}

/// The API server takes 32 KiB; nobody reads more than a few lines.
fn limited(message: &str) -> String {
    const MAX: usize = 2000;
    if message.len() <= MAX {
        return message.to_owned();
    }
    let end = (0..=MAX).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", &message[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn deployment(status: &Value) -> Deployment {
        serde_json::from_value(json!({"metadata": {"generation": 2}, "spec": {"replicas": 1}, "status": status}))
            .unwrap()
    }

    #[test]
    fn a_rollout_is_done_when_the_newest_generation_is_seen_and_whole() {
        let whole = json!({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1});
        assert_eq!(rollout(&deployment(&whole)), Rollout::Done);
        for (field, value) in
            [("observedGeneration", 1), ("replicas", 2), ("updatedReplicas", 0), ("availableReplicas", 0)]
        {
            let mut status = whole.clone();
            status[field] = json!(value);
            assert_eq!(rollout(&deployment(&status)), Rollout::UnderWay, "{field}");
        }
        assert_eq!(rollout(&deployment(&json!({}))), Rollout::UnderWay);
    }

    #[test]
    fn a_rollout_that_kubernetes_refuses_is_stuck_with_its_words() {
        let status = json!({"conditions": [
            {"type": "ReplicaFailure", "status": "True", "message": "pods \"x\" is forbidden: exceeded quota"},
        ]});
        assert_eq!(rollout(&deployment(&status)), Rollout::Stuck("pods \"x\" is forbidden: exceeded quota".into()));
    }

    #[test]
    fn a_condition_keeps_its_time_unless_its_status_flips() {
        let [early, late] = ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"].map(|time| Time(time.parse().unwrap()));
        let before = merge(&[], &[not_degraded(), secrets_ready()], Some(1), &early);
        let after = merge(&before, &[degraded(reason::INVALID, "x"), secrets_ready()], Some(2), &late);
        let types: Vec<_> = after.iter().map(|condition| condition.type_.as_str()).collect();
        assert_eq!(types, [condition::SECRETS_READY, condition::DEGRADED]);
        assert_eq!(after[0].last_transition_time, early);
        assert_eq!(after[1].last_transition_time, late);
        assert!(after.iter().all(|condition| condition.observed_generation == Some(2)));
    }

    #[test]
    fn ready_tells_the_first_thing_that_is_wrong() {
        let good = [
            verdict(condition::HUB_AVAILABLE, true, reason::AVAILABLE, ""),
            verdict(condition::PROXY_AVAILABLE, true, reason::AVAILABLE, ""),
            secrets_ready(),
            tls_configured(HttpsType::None, false),
            progressing(&[Rollout::Done]),
            not_degraded(),
        ];
        assert!(ready(&good).is_true, "plain HTTP that was accepted does not keep a Hub from being ready");
        for (index, bad) in [
            (0, hub_available(None)),
            (1, proxy_available(None)),
            (2, secrets_not_ready(reason::SECRET_LOST, "lost")),
            (4, progressing(&[Rollout::UnderWay])),
            (5, degraded(reason::INVALID, "wrong")),
        ] {
            let mut verdicts = good.clone();
            verdicts[index] = bad.clone();
            let ready = ready(&verdicts);
            assert!(!ready.is_true);
            assert_eq!((ready.reason, ready.message), (bad.reason, bad.message));
        }
    }
}
