//! What the hub answered about tokens, remembered for a while (S66). Pure: the time is passed in.
//!
//! An answer is believed for [`FRESH`]; so soon a logout, a lost right or a deleted user has effect here, too. While the
//! hub does not answer, whom it let in before is let in for [`OUTAGE`], as long as JupyterHub's own servers believe an
//! answer in any case; nobody else is.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::credentials::Key;

const FRESH: Duration = Duration::from_secs(10);
const OUTAGE: Duration = Duration::from_secs(300);
/// When a hub that did not answer is asked again: for who is let in meanwhile, and for all others.
const ASK_AGAIN: Duration = Duration::from_secs(2);
const ASK_SOON: Duration = Duration::from_secs(1);
/// How many answers are kept.
const CAPACITY: usize = 1024;

/// Whether a token opens this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Allowed,
    /// Its holder is known, and may not enter: `user bob`.
    Forbidden(Arc<str>),
    /// The hub does not know the token.
    Unknown,
    /// The hub does not say.
    Unreachable,
}

#[derive(Debug)]
struct Entry {
    answer: Answer,
    until: Instant,
    /// If the hub has let the token in: how long that counts should the hub not answer.
    outage_until: Option<Instant>,
}

impl Entry {
    /// When it is of no use any more.
    fn end(&self) -> Instant {
        self.outage_until.map_or(self.until, |outage| outage.max(self.until))
    }
}

/// The answers of the last minutes.
#[derive(Debug, Default)]
pub(super) struct Answers(Mutex<HashMap<Key, Entry>>);

impl Answers {
    /// What is believed now; `None`: the hub has to be asked.
    pub(super) fn get(&self, key: Key, now: Instant) -> Option<Answer> {
        let entries = self.lock();
        entries.get(&key).filter(|entry| now < entry.until).map(|entry| entry.answer.clone())
    }

    /// Whether somebody was let in not long ago: the request need not wait for a hub that doesn't answer.
    pub(super) fn survives_outage(&self, key: Key, now: Instant) -> bool {
        self.lock().get(&key).and_then(|entry| entry.outage_until).is_some_and(|until| now < until)
    }

    /// Notes an answer. Returns what is to be believed.
    pub(super) fn put(&self, key: Key, answer: Answer, now: Instant) -> Answer {
        let mut entries = self.lock();
        let before = entries.get(&key).and_then(|entry| entry.outage_until).filter(|until| now < *until);
        let entry = match (answer, before) {
            (Answer::Allowed, _) => {
                Entry { answer: Answer::Allowed, until: now + FRESH, outage_until: Some(now + OUTAGE) }
            }
            (Answer::Unreachable, Some(outage)) => {
                Entry { answer: Answer::Allowed, until: outage.min(now + ASK_AGAIN), outage_until: before }
            }
            (Answer::Unreachable, None) => {
                Entry { answer: Answer::Unreachable, until: now + ASK_SOON, outage_until: None }
            }
            (answer, _) => Entry { answer, until: now + FRESH, outage_until: None },
        };
        let believed = entry.answer.clone();
        if entries.len() >= CAPACITY && !entries.contains_key(&key) {
            make_room(&mut entries, now);
        }
        entries.insert(key, entry);
        believed
    }

    /// The hub is asked the next time.
    pub(super) fn forget(&self, key: Key) {
        self.lock().remove(&key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is over goes, or else what is over soonest. Whoever makes up tokens pushes out such: they end first.
fn make_room(entries: &mut HashMap<Key, Entry>, now: Instant) {
    entries.retain(|_, entry| now < entry.end());
    if entries.len() >= CAPACITY
        && let Some(first) = entries.iter().min_by_key(|(_, entry)| entry.end()).map(|(key, _)| *key)
    {
        entries.remove(&first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new(name, "session")
    }

    fn forbidden() -> Answer {
        Answer::Forbidden("user bob".into())
    }

    /// Attack row 37: ten seconds.
    #[test]
    fn an_answer_is_remembered_for_ten_seconds_s66() {
        for answer in [Answer::Allowed, forbidden(), Answer::Unknown] {
            let (answers, start) = (Answers::default(), Instant::now());
            assert_eq!(answers.get(key("t"), start), None);
            assert_eq!(answers.put(key("t"), answer.clone(), start), answer);
            let at = |seconds: u64| answers.get(key("t"), start + Duration::from_millis(seconds * 1000 - 1));
            assert_eq!(at(10), Some(answer));
            assert_eq!(at(11), None);
            assert_eq!(answers.get(key("u"), start), None, "of another token");
        }
    }

    #[test]
    fn during_an_outage_who_was_let_in_stays_in_for_five_minutes_and_nobody_else_s66() {
        let (answers, start) = (Answers::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        answers.put(key("t"), Answer::Allowed, start);
        assert!(answers.survives_outage(key("t"), at(299)) && !answers.survives_outage(key("t"), at(300)));
        assert_eq!(answers.put(key("t"), Answer::Unreachable, at(20)), Answer::Allowed);
        assert_eq!(answers.get(key("t"), at(21)), Some(Answer::Allowed));
        assert_eq!(answers.get(key("t"), at(23)), None, "the hub is asked again");
        assert_eq!(answers.put(key("t"), Answer::Unreachable, at(299)), Answer::Allowed);
        assert_eq!(answers.get(key("t"), at(300)), None);
        assert_eq!(answers.put(key("t"), Answer::Unreachable, at(300)), Answer::Unreachable);

        answers.put(key("t"), Answer::Allowed, at(400));
        answers.put(key("t"), Answer::Unknown, at(420));
        assert_eq!(answers.put(key("t"), Answer::Unreachable, at(431)), Answer::Unreachable, "it was revoked");
        assert_eq!(answers.put(key("other"), Answer::Unreachable, at(431)), Answer::Unreachable);
    }

    #[test]
    fn made_up_tokens_take_a_bounded_space_and_push_out_no_good_one() {
        let (answers, start) = (Answers::default(), Instant::now());
        answers.put(key("good"), Answer::Allowed, start);
        for number in 0..10 * CAPACITY {
            answers.put(key(&number.to_string()), Answer::Unknown, start);
        }
        assert_eq!(answers.lock().len(), CAPACITY);
        assert_eq!(answers.get(key("good"), start), Some(Answer::Allowed));
        let later = start + Duration::from_secs(11);
        answers.put(key("new"), Answer::Unknown, later);
        assert_eq!(answers.lock().len(), 2, "what is over goes");
    }

    #[test]
    fn what_is_forgotten_is_asked_again() {
        let (answers, now) = (Answers::default(), Instant::now());
        answers.put(key("t"), Answer::Allowed, now);
        answers.forget(key("t"));
        assert_eq!(answers.get(key("t"), now), None);
        assert!(!answers.survives_outage(key("t"), now));
    }
}
