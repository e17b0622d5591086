//! Where the database is.

use serde_json::json;

use super::{Place, draft::Draft};

pub(super) fn read(draft: &mut Draft<'_>, place: &Place) {
    let key = "hub.db.type";
    let is_said = draft.take(key).is_some();
    match draft.text(key).unwrap_or("sqlite-pvc") {
        "sqlite-pvc" => {
            let claim = format!("{}-db-dir", place.hub);
            let how = format!("the claim {claim}; the chart deletes it when it is uninstalled, see docs/migrate.md before that");
            let put = draft.put("spec.database.pvc.claimName", &claim.into());
            match put {
                Ok(()) if is_said => draft.changed(key, "spec.database.pvc.claimName", &how),
                Ok(()) => {}
                Err(error) => draft.by_hand(key, &format!("spec.database.pvc.claimName does not take it: {error}")),
            }
        }
        "postgres" => address(draft, place, key),
        "sqlite-memory" => draft.by_hand(key, "there is nothing to take over; the Hub keeps its state on a volume"),
        other => draft.by_hand(
            key,
            &format!("a Hub does not speak {other}; move the data to PostgreSQL, for example with pgloader, and set spec.database.urlSecretRef"),
        ),
    }
    for key in ["hub.db.url", "hub.db.password"] {
        if draft.take(key).is_none() {
        } else if draft.given("spec.database.urlSecretRef").is_some() {
            draft.by_hand(key, "it is part of the address, see hub.db.type");
        } else {
            draft.by_hand(key, "it is for a database that the Hub does not use");
        }
    }
    for name in ["annotations", "selector", "accessModes", "storage", "storageClassName"] {
        let key = &format!("hub.db.pvc.{name}");
        if draft.take(key).is_some() {
            draft.not_needed(key, "the claim is there already");
        }
    }
    let key = "hub.db.pvc.subPath";
    if draft.take(key).is_some() {
        draft.by_hand(key, "the Hub looks for jupyterhub.sqlite at the root of its claim; move the file there");
    }
    let key = "hub.db.upgrade";
    if draft.take(key).is_some() {
        draft.not_needed(key, "the hub says by itself what it needs");
    }
}

/// PostgreSQL, whose address with its password is in a Secret that somebody has to make.
pub(super) fn address(draft: &mut Draft<'_>, place: &Place, key: &str) {
    let secret = format!("{}-database", place.name);
    let field = "spec.database.urlSecretRef";
    let database = json!({"type": "postgres", "urlSecretRef": {"name": secret, "key": "url"}});
    match draft.put("spec.database", &database) {
        Ok(()) => draft.by_hand(
            key,
            &format!(
                "{field} names the Secret {secret}: write the whole address into a file, postgresql://USER:PASSWORD@HOST:5432/NAME, and make it with `kubectl create secret generic {secret} --from-file=url=FILE`"
            ),
        ),
        Err(error) => draft.by_hand(key, &format!("{field} does not take it: {error}")),
    }
}
