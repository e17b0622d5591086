//! The rotation of a secret: pure. Mounted files lag by up to two minutes and not in order, so there are three steps:
//!
//! ```text
//! publish   the next value is accepted and not used
//! confirmed the hub says that it has it (for the proxy's token: and that the proxy took it)
//! promote   it is used; the one before is accepted until the grace period ends, and then dropped
//! ```
//!
//! Versions are numbers that are never used twice: a report that names one was written after it was published, however
//! late it comes, and every pod that starts later finds it mounted.
//!
//! A *reset* is the other thing: a new value at once, and everything else void.

pub mod carry_out;
mod kept;
pub mod plan;
pub mod request;
mod rotating;
mod schedule;

use std::collections::BTreeSet;

use hub_crds::versions::Resets;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;

pub use kept::{Answered, Kept};
pub use plan::Plan;
pub use rotating::Rotating;
pub use schedule::Schedule;

/// What is known and asked for at one look at a secret.
#[derive(Clone, Debug)]
pub struct Look<'a> {
    pub now: Timestamp,
    /// How long a value is accepted after it was in use.
    pub grace: SignedDuration,
    /// Versions that everybody who has to accept them has loaded.
    pub confirmed: BTreeSet<u32>,
    /// Every version that a report names: none of these numbers is given to a new value.
    pub reported: BTreeSet<u32>,
    /// Old versions that something is still encrypted with.
    pub in_use: BTreeSet<u32>,
    /// The value in the administrator's own Secret.
    pub given: Option<&'a ByteString>,
    /// The reader takes the value when it starts and never again: it is replaced by whoever deploys it.
    pub is_read_once: bool,
    /// The schedule says that it is time.
    pub is_due: bool,
    /// What somebody asked for, and has not got yet.
    pub asked: Vec<Asked>,
}

/// One request, as far as it is about one secret.
#[derive(Clone, Debug)]
pub struct Asked {
    pub what: What,
    /// Where it comes from, and its id.
    pub heard: (String, String),
    pub answered: Answered,
}

/// What is asked of one secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The three steps. While they are under way already, that is the answer.
    Rotate,
    /// All but the newest value is void at once; with `renew` a new value is made.
    Reset { renew: bool, ends: Ends },
    /// Nothing is done; it is remembered so that it is told once.
    Refused,
}

/// What ends with a reset beside the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ends {
    Nothing,
    /// Every session and OAuth token (S60, S68).
    Sessions,
    /// API tokens, too (S34).
    Tokens,
}

/// What became of a secret at one look; told as events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Published(u32),
    Promoted(u32),
    /// No older version is accepted any more.
    Finished(u32),
    Reset(u32),
}

/// Forged reports must not use the numbers up: a report's number counts only this far above the newest version.
const PLAUSIBLE: u32 = 1000;

/// The secret as it is after a look at it, and what became of it. `fresh` makes a new value.
pub fn advance(before: &Kept, look: &Look<'_>, fresh: impl Fn() -> ByteString) -> (Kept, Vec<Step>) {
    let was_under_way = before.next().is_some();
    let mut turn = Turn { kept: before.clone(), look, steps: Vec::new() };
    let mut rotate = look.is_due;
    for asked in &look.asked {
        turn.hear(asked);
        match asked.what {
            What::Rotate => rotate = true,
            What::Reset { renew, ends } => turn.reset(renew.then(&fresh), ends),
            What::Refused => {}
        }
    }
    turn.promote_confirmed();
    turn.retire();
    if turn.kept.next().is_none() {
        match look.given {
            Some(given) if turn.kept.newest() != Some(given) => turn.publish(given.clone()),
            None if rotate && !was_under_way => turn.publish(fresh()),
            _ => {}
        }
    }
    (turn.kept, turn.steps)
}

struct Turn<'a> {
    kept: Kept,
    look: &'a Look<'a>,
    steps: Vec<Step>,
}

impl Turn<'_> {
    fn hear(&mut self, asked: &Asked) {
        let (place, id) = asked.heard.clone();
        self.kept.notes.heard.insert(place, id);
        self.kept.notes.last = Some(asked.answered.clone());
    }

    /// Adds a value that nobody uses yet.
    fn publish(&mut self, value: ByteString) {
        let version = self.add(value);
        self.kept.notes.published_at = Some(self.look.now);
        self.steps.push(Step::Published(version));
        if self.look.is_read_once {
            self.promote(version);
        }
    }

    fn add(&mut self, value: ByteString) -> u32 {
        let newest = self.kept.values.last_key_value().map_or(0, |(version, _)| *version).max(self.kept.current);
        let plausible = newest.saturating_add(PLAUSIBLE);
        let reported = self.look.reported.range(..=plausible).next_back().copied().unwrap_or(0);
        let version = newest.max(reported).saturating_add(1);
        self.kept.values.insert(version, value);
        version
    }

    fn promote_confirmed(&mut self) {
        if let Some(next) = self.kept.next()
            && (self.look.confirmed.contains(&next) || self.look.is_read_once)
        {
            self.promote(next);
        }
    }

    fn promote(&mut self, version: u32) {
        let until = self.later(self.look.grace);
        self.kept.notes.retires_at.insert(self.kept.current, until);
        self.kept.current = version;
        self.kept.notes.published_at = None;
        self.kept.notes.rotated_at = Some(self.look.now);
        self.steps.push(Step::Promoted(version));
    }

    /// Drops old versions whose time is over. One without a time, as somebody's repair may have left it, gets one.
    fn retire(&mut self) {
        let until = self.later(self.look.grace);
        let Kept { current, values, notes, .. } = &mut self.kept;
        let had_old = values.range(..*current).next().is_some();
        values.retain(|version, _| {
            *version >= *current
                || self.look.in_use.contains(version)
                || *notes.retires_at.entry(*version).or_insert(until) > self.look.now
        });
        notes.retires_at.retain(|version, _| values.contains_key(version));
        if had_old && values.range(..*current).next().is_none() {
            self.steps.push(Step::Finished(*current));
        }
    }

    /// A new value, or else the newest there is, and nothing beside it. A value that is given is not made here.
    fn reset(&mut self, fresh: Option<ByteString>, ends: Ends) {
        let new = match self.look.given {
            Some(given) => Some(given.clone()).filter(|given| self.kept.newest() != Some(given)),
            None => fresh,
        };
        let version = match new {
            Some(value) => self.add(value),
            None => self.kept.next().unwrap_or(self.kept.current),
        };
        if version != self.kept.current {
            self.kept.notes.rotated_at = Some(self.look.now);
        }
        self.kept.current = version;
        self.kept.values.retain(|found, _| *found == version);
        self.kept.notes.published_at = None;
        self.kept.notes.retires_at.clear();
        end(&mut self.kept.resets, ends, self.look.now);
        self.steps.push(Step::Reset(version));
    }

    fn later(&self, by: SignedDuration) -> Timestamp {
        self.look.now.checked_add(by).unwrap_or(Timestamp::MAX)
    }
}

/// The hub ends things when it sees a number that is higher than those that it knows. The time in seconds is that even
/// if the Secret was lost, or comes from an old backup.
fn end(resets: &mut Resets, ends: Ends, now: Timestamp) {
    let higher = |number: u32| number.saturating_add(1).max(u32::try_from(now.as_second()).unwrap_or(0));
    if ends >= Ends::Sessions {
        resets.sessions = higher(resets.sessions);
    }
    if ends >= Ends::Tokens {
        resets.tokens = higher(resets.tokens);
    }
}

#[cfg(test)]
mod exploration;
#[cfg(test)]
mod tests;
