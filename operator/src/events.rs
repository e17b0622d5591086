//! Kubernetes Events about a Hub: what was done, and what went wrong, each told once.

use kube::runtime::events::{Event, EventType, Recorder};

use crate::stored::StoredHub;

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

/// Tells of a failure, by the reason of its condition.
pub async fn tell_failure(recorder: &Recorder, hub: &StoredHub, reason: &str, message: &str) {
    tell(recorder, hub, EventType::Warning, reason, shorten(message.to_owned())).await;
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

    #[test]
    fn the_changes_of_one_reconcile_are_one_event_for_each_verb() {
        let changes =
            [Change::created("Service", "a"), Change::deleted("Role", "b"), Change::created("Deployment", "c")];
        let expected = [("Created", "Service a, Deployment c".to_owned()), ("Deleted", "Role b".to_owned())];
        assert_eq!(notes(&changes), expected);
        let many = vec![Change::created("Secret", &"é".repeat(200)); 9];
        assert!(notes(&many)[0].1.len() <= NOTE_MAX + '…'.len_utf8());
    }
}
