//! How secrets rotate: schedules and grace periods, and where values come from.

use hub_crds::SecretSource;

use super::{Found, Problems};
use crate::{
    rotation::{Rotating, Schedule},
    secrets::Record,
};

pub(super) fn check(found: &Found, problems: &mut Problems) {
    for secret in Rotating::ALL {
        if let Some(source) = secret.source(&found.spec) {
            check_source(found, secret, source, problems);
        }
    }
}

fn check_source(found: &Found, secret: Rotating, source: &SecretSource, problems: &mut Problems) {
    let field = secret.field();
    if let Some(schedule) = &source.rotation.schedule {
        if source.secret_ref.is_some() {
            problems.push(format!(
                "{field}.rotation.schedule cannot be used with secretRef: the secret rotates when you put a new value into your Secret"
            ));
        }
        if let Err(message) = Schedule::parse(schedule) {
            problems.push(format!("{field}.rotation.schedule: {message}"));
        }
    }
    if let Err(message) = secret.grace(source) {
        problems.push(format!("{field}.rotation.gracePeriod: {message}; write 336h or 90m for example"));
    }
    // It would take each of its own rotations for a new value.
    let own = Record::rotating(&found.name, secret, None).name;
    if source.secret_ref.as_ref().is_some_and(|reference| reference.name == own) {
        problems.push(format!(
            "{field}.secretRef names {own}, which the operator makes: remove secretRef, and that one is used"
        ));
    }
}
