//! When an attempt may be made again: pure. What fails is tried ever more seldom, an authority's own word is honoured, and there
//! are never more than five failed validations within an hour: authorities close the account of who makes more.

use jiff::{SignedDuration, Timestamp};

use super::state::History;

/// Failed validations that there may be within an hour (row 26).
pub const MOST_FAILURES: usize = 5;
const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// An authority that asks for more is not believed: some know no certificate's life as long.
const LONGEST: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How soon an attempt of a kind is worth repeating: doubled for each in a row that came to nothing, up to an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Nobody has judged it: the authority was not there.
    Quick,
    /// It was judged and refused.
    Slow,
}

impl Pace {
    fn first(self) -> SignedDuration {
        match self {
            Self::Quick => SignedDuration::from_secs(5),
            Self::Slow => SignedDuration::from_mins(1),
        }
    }

    /// `jitter` is 0 to 1: the delay is one half to the whole.
    fn delay(self, attempts: u32, jitter: f64) -> SignedDuration {
        let doubled = 1_i32.checked_shl(attempts.min(16)).and_then(|times| self.first().checked_mul(times));
        let whole = doubled.unwrap_or(HOUR).min(HOUR);
        SignedDuration::from_secs_f64(whole.as_secs_f64() * (0.5 + 0.5 * jitter.clamp(0.0, 1.0)))
    }
}

impl History {
    /// Notes an attempt that came to nothing. `after` is the authority's own word on when to come back.
    pub fn fail(&mut self, problem: String, pace: Pace, after: Option<SignedDuration>, now: Timestamp, jitter: f64) {
        let delay = pace.delay(self.attempts, jitter).max(after.unwrap_or_default().min(LONGEST));
        // A second more is rounded away.
        self.retry_at = Timestamp::from_second(now.as_second() + delay.as_secs() + 1).ok();
        self.attempts = self.attempts.saturating_add(1);
        self.problem = Some(problem);
    }

    /// Notes failed validations.
    pub fn count_failures(&mut self, number: usize, now: Timestamp) {
        self.failures.retain(|failure| is_recent(*failure, now));
        self.failures.extend(std::iter::repeat_n(now, number));
    }

    /// Notes that all went well. Failed validations are not forgotten: the authority doesn't either.
    pub fn succeed(&mut self) {
        *self = Self {
            failures: std::mem::take(&mut self.failures),
            wish: std::mem::take(&mut self.wish),
            ..Self::default()
        };
    }

    /// How many validations may fail now.
    pub fn allowance(&self, now: Timestamp) -> usize {
        MOST_FAILURES.saturating_sub(self.failures.iter().filter(|failure| is_recent(**failure, now)).count())
    }

    /// When the next attempt may be, if it may not be now.
    pub fn retry_at(&self, now: Timestamp) -> Option<Timestamp> {
        // One that is further away was written by a clock that was wrong.
        let retry = self.retry_at.filter(|at| *at > now && at.duration_since(now) <= LONGEST + HOUR);
        let mut failures: Vec<_> = self.failures.iter().filter(|failure| is_recent(**failure, now)).collect();
        failures.sort();
        let spent = failures.len().checked_sub(MOST_FAILURES).and_then(|index| failures.get(index));
        let free = spent.map(|failure| **failure + HOUR);
        retry.max(free)
    }
}

fn is_recent(failure: Timestamp, now: Timestamp) -> bool {
    failure <= now && now.duration_since(failure) < HOUR
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: SignedDuration = SignedDuration::from_secs(1);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[test]
    fn attempts_become_ever_more_seldom_up_to_an_hour() {
        for (pace, attempts, jitter, seconds) in [
            (Pace::Quick, 0, 1.0, 5),
            (Pace::Quick, 0, 0.0, 2),
            (Pace::Quick, 3, 1.0, 40),
            (Pace::Quick, 31, 1.0, 3600),
            (Pace::Slow, 0, 1.0, 60),
            (Pace::Slow, 2, 0.5, 180),
            (Pace::Slow, u32::MAX, 0.0, 1800),
        ] {
            assert_eq!(pace.delay(attempts, jitter).as_secs(), seconds, "{pace:?} {attempts} {jitter}");
        }
    }

    #[test]
    fn the_authoritys_own_word_is_honoured_but_not_for_ever() {
        let mut history = History::default();
        history.fail("busy".into(), Pace::Slow, Some(SignedDuration::from_hours(30)), at(0), 1.0);
        assert_eq!(history.retry_at(at(0)), Some(at(30 * 3600 + 1)));
        history.fail("mad".into(), Pace::Slow, Some(SignedDuration::from_hours(24 * 365)), at(0), 1.0);
        assert_eq!(history.retry_at(at(0)), Some(at(7 * 24 * 3600 + 1)));
        assert_eq!(history.retry_at(at(7 * 24 * 3600 + 1)), None);
    }

    #[test]
    fn no_sixth_validation_fails_within_any_hour_row_26() {
        let mut history = History::default();
        let (mut now, mut failures) = (at(0), Vec::new());
        while now < at(6 * 3600) {
            // The most eager that may be: each wish differs from the one before, so no delay but the count's holds it up.
            history.retry_at = None;
            if history.retry_at(now).is_none() {
                assert!(history.allowance(now) > 0);
                history.count_failures(1, now);
                failures.push(now);
            }
            now += SECOND * 7;
        }
        assert!(failures.len() >= 30, "{}", failures.len());
        for window in failures.windows(MOST_FAILURES + 1) {
            assert!(window[MOST_FAILURES].duration_since(window[0]) >= HOUR);
        }
    }

    #[test]
    fn a_clock_that_was_wrong_blocks_nobody() {
        let history = History { failures: vec![at(90_000); 9], retry_at: Some(at(9_000_000)), ..History::default() };
        assert_eq!(history.retry_at(at(0)), None);
        assert_eq!(history.allowance(at(0)), MOST_FAILURES);
    }

    #[test]
    fn success_forgets_the_delay_but_not_the_failures() {
        let mut history = History { wish: "w".into(), ..History::default() };
        history.count_failures(2, at(0));
        history.fail("no".into(), Pace::Slow, None, at(0), 1.0);
        history.succeed();
        assert_eq!(history, History { failures: vec![at(0); 2], wish: "w".into(), ..History::default() });
    }
}
