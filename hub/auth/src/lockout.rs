//! How often a login may fail (attack row 34). A user and an address are counted together: who guesses locks nobody out
//! elsewhere, and nobody else behind the same address. Of an address where the logins of many users fail, none of them gets
//! another try. Pure but for its memory, which is bounded; what is to outlive a restart is told to the caller.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Entries that are kept at once, the heaviest: some megabytes.
pub const MOST_PAIRS: usize = 10_000;

/// With so many users as a login may fail times this at one address, somebody tries a password with one user after the
/// other there. A class that has forgotten its passwords stays below.
const CROWD: u32 = 10;

/// How often is too often. Times are in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Failures after which no more is tried.
    pub failures: u32,
    /// How long after the first of them they count together.
    pub window: i64,
    /// How long nothing is tried then.
    pub lockout: i64,
}

/// Who fails: a user's name, in whatever form it is remembered, and a network.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    pub user: String,
    pub network: String,
}

/// What is known of a pair until `expires_at`, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failures {
    pub count: u32,
    pub expires_at: i64,
}

/// What a failure changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    pub failures: Failures,
    /// From now on the pair is locked out.
    pub is_locked: bool,
    /// A pair that is forgotten in its place.
    pub forgotten: Option<Pair>,
}

/// A pair's failures, and its attempts that have not ended.
#[derive(Clone, Copy, Debug)]
struct Entry {
    failures: Failures,
    pending: u32,
}

/// Failed logins by who failed.
#[derive(Debug)]
pub struct Lockouts {
    limits: Limits,
    entries: Mutex<HashMap<Pair, Entry>>,
}

impl Lockouts {
    /// Goes on from what was noted before.
    pub fn new(limits: Limits, noted: impl IntoIterator<Item = (Pair, Failures)>) -> Self {
        let entries = noted.into_iter().map(|(pair, failures)| (pair, Entry { failures, pending: 0 })).collect();
        Self { limits, entries: Mutex::new(entries) }
    }

    /// Begins an attempt, which [`Self::release`] or [`Self::fail`] ends. Until then it counts as a failure, so that many at
    /// once are no more than as many one after the other, and going away is no way out.
    ///
    /// # Errors
    /// The pair is locked out for so many seconds.
    pub fn begin(&self, pair: &Pair, now: i64) -> Result<(), i64> {
        let mut entries = self.lock();
        if let Some(entry) = entries.get(pair).filter(|entry| entry.failures.expires_at > now) {
            let tried = entry.failures.count + entry.pending;
            if tried >= self.limits.failures || tried > 0 && self.is_crowded(&entries, pair, now) {
                // A clock that was set back must not lock anybody out for longer.
                return Err((entry.failures.expires_at - now).min(self.limits.lockout.max(self.limits.window)));
            }
        } else {
            let failures = Failures { count: 0, expires_at: now + self.limits.window };
            entries.insert(pair.clone(), Entry { failures, pending: 0 });
        }
        if let Some(entry) = entries.get_mut(pair) {
            entry.pending += 1;
        }
        Ok(())
    }

    /// Ends an attempt that was no failure.
    pub fn release(&self, pair: &Pair) {
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(pair) else { return };
        entry.pending = entry.pending.saturating_sub(1);
        if entry.pending == 0 && entry.failures.count == 0 {
            entries.remove(pair);
        }
    }

    /// Ends an attempt that failed.
    pub fn fail(&self, pair: &Pair, now: i64) -> Noted {
        let mut entries = self.lock();
        let is_crowded = self.is_crowded(&entries, pair, now);
        let fresh = Failures { count: 0, expires_at: now + self.limits.window };
        let entry = entries.entry(pair.clone()).or_insert(Entry { failures: fresh, pending: 0 });
        if entry.failures.expires_at <= now {
            entry.failures = fresh;
        }
        entry.pending = entry.pending.saturating_sub(1);
        entry.failures.count = entry.failures.count.saturating_add(1);
        let is_locked = is_crowded || entry.failures.count >= self.limits.failures;
        if is_locked {
            entry.failures.expires_at = now + self.limits.lockout;
        }
        let failures = entry.failures;
        Noted { failures, is_locked, forgotten: make_room(&mut entries, now) }
    }

    /// Whether the logins of many other users have failed in the pair's network.
    fn is_crowded(&self, entries: &HashMap<Pair, Entry>, pair: &Pair, now: i64) -> bool {
        let failing = |(other, entry): &(&Pair, &Entry)| {
            other.network == pair.network
                && other.user != pair.user
                && entry.failures.count > 0
                && entry.failures.expires_at > now
        };
        entries.iter().filter(failing).count() >= self.limits.failures.saturating_mul(CROWD) as usize
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Pair, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets what no longer counts, and if that is not enough the pair that has failed least.
fn make_room(entries: &mut HashMap<Pair, Entry>, now: i64) -> Option<Pair> {
    if entries.len() <= MOST_PAIRS {
        return None;
    }
    entries.retain(|_, entry| entry.failures.expires_at > now);
    if entries.len() <= MOST_PAIRS {
        return None;
    }
    let least = entries.iter().min_by_key(|(_, entry)| (entry.failures.count, entry.failures.expires_at));
    let least = least.map(|(pair, _)| pair.clone())?;
    entries.remove(&least);
    Some(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { failures: 3, window: 60, lockout: 300 };

    fn lockouts() -> Lockouts {
        Lockouts::new(LIMITS, [])
    }

    fn pair(user: &impl ToString, network: &str) -> Pair {
        Pair { user: user.to_string(), network: network.to_owned() }
    }

    fn fail(lockouts: &Lockouts, pair: &Pair, now: i64) -> Noted {
        lockouts.begin(pair, now).unwrap();
        lockouts.fail(pair, now)
    }

    #[test]
    fn a_user_who_fails_too_often_at_an_address_is_locked_out_there_for_a_while() {
        let (lockouts, alice) = (lockouts(), pair(&"alice", "a"));
        let noted = [0, 10, 20].map(|now| fail(&lockouts, &alice, now));
        assert_eq!(noted.clone().map(|noted| noted.is_locked), [false, false, true]);
        assert_eq!(noted.map(|noted| noted.failures.expires_at), [60, 60, 320]);
        assert_eq!(lockouts.begin(&alice, 21), Err(299));
        for other in [pair(&"bob", "a"), pair(&"alice", "b")] {
            assert_eq!(lockouts.begin(&other, 21), Ok(()), "{other:?}");
        }
        assert_eq!(lockouts.begin(&alice, -1000), Err(300), "a clock that goes back locks nobody out for longer");
        assert_eq!(fail(&lockouts, &alice, 320).failures, Failures { count: 1, expires_at: 380 });
    }

    #[test]
    fn failures_count_together_within_the_window_only_and_success_does_not_count() {
        let (lockouts, alice) = (lockouts(), pair(&"alice", "a"));
        for now in [0, 59, 60, 119, 120] {
            assert!(!fail(&lockouts, &alice, now).is_locked, "{now}");
        }
        for _ in 0..100 {
            lockouts.begin(&alice, 121).unwrap();
            lockouts.release(&alice);
        }
        let bob = pair(&"bob", "a");
        lockouts.begin(&bob, 121).unwrap();
        lockouts.release(&bob);
        assert!(!lockouts.lock().contains_key(&bob), "who never failed takes no memory");
    }

    #[test]
    fn attempts_at_once_are_no_more_than_one_after_the_other() {
        let (lockouts, alice) = (lockouts(), pair(&"alice", "a"));
        let begun = (0..100).filter(|_| lockouts.begin(&alice, 0).is_ok()).count();
        assert_eq!(begun, 3);
        lockouts.release(&alice);
        lockouts.fail(&alice, 0);
        assert_eq!(lockouts.begin(&alice, 0), Ok(()));
        assert_eq!(lockouts.begin(&alice, 0), Err(60));
    }

    #[test]
    fn where_many_users_fail_each_has_one_try_and_others_still_come_in() {
        let lockouts = lockouts();
        for user in 0..30 {
            assert!(!fail(&lockouts, &pair(&user, "a"), 0).is_locked);
        }
        assert_eq!(lockouts.begin(&pair(&0, "a"), 1), Ok(()), "29 others");
        lockouts.release(&pair(&0, "a"));
        let late = pair(&"late", "a");
        assert!(fail(&lockouts, &late, 1).is_locked);
        assert_eq!(lockouts.begin(&late, 1), Err(300));
        assert_eq!(lockouts.begin(&pair(&0, "a"), 1), Err(59));
        assert_eq!(lockouts.begin(&pair(&"well", "a"), 1), Ok(()));
        assert!(!fail(&lockouts, &pair(&"late", "b"), 1).is_locked);
    }

    #[test]
    fn memory_is_bounded_and_who_fails_most_is_not_forgotten() {
        let (lockouts, alice) = (lockouts(), pair(&"alice", "a"));
        for _ in 0..3 {
            fail(&lockouts, &alice, 0);
        }
        let networks = (0..MOST_PAIRS + 100).map(|number| pair(&"x", &number.to_string()));
        let forgotten = networks.filter_map(|pair| fail(&lockouts, &pair, 0).forgotten).count();
        assert_eq!((lockouts.lock().len(), forgotten), (MOST_PAIRS, 101));
        assert!(lockouts.begin(&alice, 0).is_err());
        fail(&lockouts, &pair(&"x", "later"), 300);
        assert_eq!(lockouts.lock().len(), 1);
    }

    #[test]
    fn what_was_noted_counts_after_a_restart() {
        let noted = [(pair(&"alice", "a"), Failures { count: 2, expires_at: 60 })];
        let lockouts = Lockouts::new(LIMITS, noted);
        assert!(fail(&lockouts, &pair(&"alice", "a"), 30).is_locked);
    }
}
