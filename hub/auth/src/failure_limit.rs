//! A limit on how often someone may fail: guessing is worth nothing if it is slow. Pure but for its memory, which holds
//! no more than the failures of one window.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Failures by who failed: a user, or an address.
#[derive(Debug)]
pub struct FailureLimit<K> {
    most: usize,
    window: Duration,
    failures: Mutex<HashMap<K, VecDeque<Instant>>>,
}

impl<K: Hash + Eq> FailureLimit<K> {
    /// Each may fail `most` times within any `window`.
    pub fn new(most: usize, window: Duration) -> Self {
        Self { most, window, failures: Mutex::default() }
    }

    /// How long one who failed too often must wait; `None` for anyone else.
    pub fn wait(&self, who: &K, now: Instant) -> Option<Duration> {
        let failures = self.lock();
        let failures = failures.get(who)?;
        let oldest = failures.front().filter(|_| failures.len() >= self.most)?;
        self.window.checked_sub(now.duration_since(*oldest)).filter(|wait| !wait.is_zero())
    }

    /// Notes a failure, and forgets those that no longer count.
    pub fn record(&self, who: K, now: Instant) {
        let mut failures = self.lock();
        failures.retain(|_, times| times.back().is_some_and(|last| now.duration_since(*last) < self.window));
        let times = failures.entry(who).or_default();
        if times.len() >= self.most {
            times.pop_front();
        }
        times.push_back(now);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, VecDeque<Instant>>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who has one IPv6 address has its whole /64. All whose address is not known are one.
pub fn network(peer: Option<IpAddr>) -> IpAddr {
    match peer.map_or(IpAddr::from([0; 4]), |peer| peer.to_canonical()) {
        IpAddr::V6(v6) => IpAddr::from((v6.to_bits() & !u128::from(u64::MAX)).to_be_bytes()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fails_too_often_waits_and_nobody_else_does() {
        let limit = FailureLimit::new(3, Duration::from_secs(60));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        for second in 0..3 {
            assert_eq!(limit.wait(&1, at(second)), None);
            limit.record(1, at(second));
        }
        assert_eq!(limit.wait(&1, at(10)), Some(Duration::from_secs(50)));
        assert_eq!(limit.wait(&2, at(10)), None);
        assert_eq!(limit.wait(&1, at(60)), None, "the first failure no longer counts");
        limit.record(1, at(60));
        assert_eq!(limit.wait(&1, at(60)), Some(Duration::from_secs(1)));
    }

    #[test]
    fn what_no_longer_counts_takes_no_memory() {
        let limit = FailureLimit::new(3, Duration::from_secs(60));
        let start = Instant::now();
        for user in 0..1000 {
            limit.record(user, start);
            limit.record(0, start);
        }
        assert_eq!(limit.lock()[&0].len(), 3);
        limit.record(1, start + Duration::from_secs(60));
        assert_eq!(limit.lock().len(), 1);
    }
}
