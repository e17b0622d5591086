//! Kubernetes Events about a Hub: what was done, and what went wrong, each told once.

use hub_crds::{
    HubStatus,
    status::{condition, reason},
};
use kube::runtime::events::{Event, EventType, Recorder};

use crate::{certificate::choice::TEMPORARY, rotation::plan::News, stored::StoredHub};

/// Something that was done to a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    verb: &'static str,
    what: String,
}

impl Change {
    pub fn created(kind: &str, name: &str) -> Self {
        Self { verb: "Created", what: format!("{kind} {name}") }
    }

    pub fn updated(kind: &str, name: &str) -> Self {
        Self { verb: "Updated", what: format!("{kind} {name}") }
    }

    pub fn deleted(kind: &str, name: &str) -> Self {
        Self { verb: "Deleted", what: format!("{kind} {name}") }
    }

    pub fn restored(kind: &str, name: &str) -> Self {
        Self { verb: "Restored", what: format!("{kind} {name}") }
    }
}

/// An event's note may have 1 KiB.
const NOTE_MAX: usize = 1000;

/// One note for each verb: `("Created", "Service h-hub, Deployment h-hub")`.
fn notes(changes: &[Change]) -> Vec<(&'static str, String)> {
    ["Restored", "Created", "Updated", "Deleted"]
        .into_iter()
        .filter_map(|verb| {
            let what: Vec<_> =
                changes.iter().filter(|change| change.verb == verb).map(|change| change.what.as_str()).collect();
            (!what.is_empty()).then(|| (verb, shorten(what.join(", "))))
        })
        .collect()
}

fn shorten(mut note: String) -> String {
    if note.len() > NOTE_MAX {
        let end = (0..=NOTE_MAX).rev().find(|end| note.is_char_boundary(*end)).unwrap_or(0);
        note.truncate(end);
        note.push('…');
    }
    note
}

/// Tells what was done to a Hub's children.
pub async fn tell_changes(recorder: &Recorder, hub: &StoredHub, changes: &[Change]) {
    for (verb, note) in notes(changes) {
        tell(recorder, hub, EventType::Normal, verb, note).await;
    }
}

/// Tells what became of the secrets that rotate.
pub async fn tell_news(recorder: &Recorder, hub: &StoredHub, news: &[News]) {
    for News { is_warning, reason, note } in news {
        let type_ = if *is_warning { EventType::Warning } else { EventType::Normal };
        tell(recorder, hub, type_, reason, shorten(note.clone())).await;
    }
}

/// Tells of a failure, by the reason of its condition.
pub async fn tell_failure(recorder: &Recorder, hub: &StoredHub, reason: &str, message: &str) {
    tell(recorder, hub, EventType::Warning, reason, shorten(message.to_owned())).await;
}

/// News of the certificate, and of what is at risk without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    type_: EventType,
    reason: &'static str,
    note: String,
}

/// What one status has to tell that the one before did not.
pub fn notices(before: &HubStatus, after: &HubStatus) -> Vec<Notice> {
    let said = |status: &HubStatus, condition: &str| {
        let found = status.conditions.iter().find(|found| found.type_ == condition)?;
        Some((found.status.clone(), found.reason.clone(), found.message.clone()))
    };
    let news = |condition| said(after, condition).filter(|told| said(before, condition).as_ref() != Some(told));
    let warning = |reason, note| Notice { type_: EventType::Warning, reason, note: shorten(note) };
    let mut notices: Vec<_> = issued(before, after).into_iter().collect();
    notices.extend(news(condition::CERTIFICATE_READY).and_then(|(status, reason, message)| match reason.as_str() {
        reason::VALID | reason::ISSUING | reason::PAUSED => None,
        _ if status == "True" => Some(warning("CertificateWarning", message)),
        _ => Some(warning("CertificateFailed", message)),
    }));
    notices.extend(
        news(condition::TLS_CONFIGURED)
            .filter(|(_, reason, _)| reason == reason::INSECURE_ALLOWED)
            .map(|(_, _, message)| warning(reason::INSECURE_ALLOWED, message)),
    );
    notices
}

/// A certificate that is another than before; a temporary one is no news.
fn issued(before: &HubStatus, after: &HubStatus) -> Option<Notice> {
    let new = after.certificate.as_ref().filter(|new| new.source != TEMPORARY)?;
    let old = before.certificate.as_ref();
    if old.is_some_and(|old| old.serial == new.serial && old.issuer == new.issuer) {
        return None;
    }
    let is_renewed = old.is_some_and(|old| old.source == new.source);
    let note = format!("{} for {}, good until {}", new.source, new.names.join(", "), new.not_after);
    let reason = if is_renewed { "CertificateRenewed" } else { "CertificateIssued" };
    Some(Notice { type_: EventType::Normal, reason, note: shorten(note) })
}

pub async fn tell_notice(recorder: &Recorder, hub: &StoredHub, notice: Notice) {
    tell(recorder, hub, notice.type_, notice.reason, notice.note).await;
}

async fn tell(recorder: &Recorder, hub: &StoredHub, type_: EventType, reason: &str, note: String) {
    let event =
        Event { type_, reason: reason.to_owned(), note: Some(note), action: "Reconcile".to_owned(), secondary: None };
    // An event is a courtesy: a Hub is kept without, too.
    if let Err(error) = recorder.publish(&event, &hub.object_reference()).await {
        tracing::debug!(%error, "failed to publish an event");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_changes_of_one_reconcile_are_one_event_for_each_verb() {
        let changes =
            [Change::created("Service", "a"), Change::deleted("Role", "b"), Change::created("Deployment", "c")];
        let expected = [("Created", "Service a, Deployment c".to_owned()), ("Deleted", "Role b".to_owned())];
        assert_eq!(notes(&changes), expected);
        let many = vec![Change::created("Secret", &"é".repeat(200)); 9];
        assert!(notes(&many)[0].1.len() <= NOTE_MAX + '…'.len_utf8());
    }

    fn status(certificate: Option<(&str, &str)>, condition: (&str, &str, &str)) -> HubStatus {
        let certificate = certificate.map(
            |(source, serial)| json!({"source": source, "serial": serial, "names": ["a.org"], "notAfter": "2027"}),
        );
        let (kind, status, reason) = condition;
        serde_json::from_value(json!({
            "certificate": certificate,
            "conditions": [{
                "type": kind, "status": status, "reason": reason, "message": "words",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }],
        }))
        .unwrap()
    }

    #[test]
    fn issue_renewal_failure_and_risk_are_told_once_s35() {
        let ready = |reason: &'static str| ("CertificateReady", "True", reason);
        let failed = |reason: &'static str| ("CertificateReady", "False", reason);
        let first = status(Some(("Secret x", "1")), ready("Valid"));
        let told = |before: &HubStatus, after: &HubStatus| -> Vec<_> {
            notices(before, after).iter().map(|notice| notice.reason).collect()
        };
        let none = HubStatus::default();
        for (before, after, expected) in [
            (&none, &first, vec!["CertificateIssued"]),
            (&first, &first, vec![]),
            (&first, &status(Some(("Secret x", "2")), ready("Valid")), vec!["CertificateRenewed"]),
            (&first, &status(Some(("Secret y", "2")), ready("Valid")), vec!["CertificateIssued"]),
            (&first, &status(Some(("Secret x", "1")), failed("CertificateInvalid")), vec!["CertificateFailed"]),
            (&first, &status(Some(("Secret x", "1")), ready("IntermediateMissing")), vec!["CertificateWarning"]),
            (&none, &status(Some(("temporary", "1")), failed("Issuing")), vec![]),
            (&none, &status(None, ("TLSConfigured", "False", "InsecureAllowed")), vec!["InsecureAllowed"]),
            (&none, &status(None, ("TLSConfigured", "True", "TerminatedOutside")), vec![]),
        ] {
            assert_eq!(told(before, after), expected, "{before:?} -> {after:?}");
        }
    }
}
