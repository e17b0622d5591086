//! Which servers are stopped, and which users removed, because nobody uses them: the rules of `jupyterhub-idle-culler`. Pure;
//! [`rounds`] carries them out.

use hub_crds::Cull;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

pub mod rounds;

/// Why a server or a user has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Idle,
    /// It is older than any may become, in use or not.
    Old,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Old => "too old",
        }
    }
}

/// How long a server or a user may be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Without use.
    pub timeout: SignedDuration,
    /// In all, if there is an end to it.
    pub max_age: Option<SignedDuration>,
}

impl Limits {
    /// Those of a server that was started with these options: its profile's, or else those of all.
    pub fn of(cull: &Cull, options: &Value) -> Self {
        let profile = options["profile"].as_str();
        let own = cull.profiles.iter().find(|own| Some(own.slug.as_str()) == profile);
        let timeout = own.and_then(|own| own.timeout).unwrap_or(cull.timeout);
        let max_age = own.and_then(|own| own.max_age).unwrap_or(cull.max_age);
        let seconds = |seconds: u32| SignedDuration::from_secs(seconds.into());
        Self { timeout: seconds(timeout), max_age: (max_age > 0).then(|| seconds(max_age)) }
    }

    /// Whether what began at `since` and was last used at `used` has to go now. Its beginning counts as use, and a time
    /// that has not come yet as well: whoever says so is there.
    pub fn judge(&self, since: Timestamp, used: Option<Timestamp>, now: Timestamp) -> Option<Reason> {
        let used = used.map_or(since, |used| used.max(since));
        if self.max_age.is_some_and(|max| now.duration_since(since) > max) {
            Some(Reason::Old)
        } else if now.duration_since(used) > self.timeout {
            Some(Reason::Idle)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hub_crds::ProfileCull;
    use rand::{RngExt, SeedableRng, rngs::StdRng};
    use serde_json::json;

    const CASES: u32 = 100_000;

    fn limits(timeout: i64, max_age: Option<i64>) -> Limits {
        Limits { timeout: SignedDuration::from_secs(timeout), max_age: max_age.map(SignedDuration::from_secs) }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_profile_has_limits_of_its_own_as_far_as_it_says_so() {
        let own = |slug: &str, timeout, max_age| ProfileCull { slug: slug.to_owned(), timeout, max_age };
        let profiles =
            vec![own("gpu", Some(600), Some(7200)), own("long", Some(86_400), Some(0)), own("odd", None, None)];
        let cull = Cull { max_age: 3601, profiles, ..Cull::default() };
        for (options, expected) in [
            (json!({"profile": "gpu", "image": "torch"}), limits(600, Some(7200))),
            (json!({"profile": "long"}), limits(86_400, None)),
            (json!({"profile": "odd"}), limits(3600, Some(3601))),
            (json!({"profile": "small"}), limits(3600, Some(3601))),
            (json!({"profile": ["gpu"]}), limits(3600, Some(3601))),
            (json!({}), limits(3600, Some(3601))),
            (Value::Null, limits(3600, Some(3601))),
        ] {
            assert_eq!(Limits::of(&cull, &options), expected, "{options}");
        }
    }

    #[test]
    fn what_nobody_uses_goes_and_what_is_in_use_stays() {
        for (since, used, max_age, now, verdict) in [
            (0, None, None, 60, None),
            (0, None, None, 61, Some(Reason::Idle)),
            (0, Some(30), None, 90, None),
            (0, Some(30), None, 91, Some(Reason::Idle)),
            // Used before it was started: that was its last run.
            (100, Some(10), None, 160, None),
            // A server whose clock is ahead.
            (0, Some(500), None, 400, None),
            (0, Some(400), Some(300), 301, Some(Reason::Old)),
            (0, Some(400), Some(300), 300, None),
            (200, None, Some(300), 400, Some(Reason::Idle)),
            // This hub's clock went back.
            (100, Some(110), Some(300), 50, None),
        ] {
            let found = limits(60, max_age).judge(at(since), used.map(at), at(now));
            assert_eq!(found, verdict, "{since} {used:?} {max_age:?} {now}");
        }
    }

    /// Whatever the times are: what was used within the timeout is not idle, use never makes anything go, so whatever happens
    /// between the decision and the stop can only save it, and what has to go has to go later as well.
    #[test]
    fn use_only_ever_saves_whatever_the_times_are() {
        let mut random = StdRng::seed_from_u64(43);
        for _ in 0..CASES {
            let mut maybe = |most: i64| random.random_bool(0.7).then(|| random.random_range(0..most));
            let (max_age, used) = (maybe(1500), maybe(2000));
            let [since, now, timeout, later] = [1000, 2000, 500, 500].map(|most| random.random_range(0..most));
            let judge = |used: Option<i64>, now| limits(timeout, max_age).judge(at(since), used.map(at), at(now));
            let case = format!("{since} {used:?} {max_age:?} {timeout} {now} {later}");
            let last = used.unwrap_or(since).max(since);
            let verdict = judge(used, now);
            assert!(verdict != Some(Reason::Idle) || now - last > timeout, "{case}");
            match verdict {
                None => assert_eq!(judge(Some(used.unwrap_or(since) + later), now), None, "{case}"),
                Some(_) => assert!(judge(used, now + later).is_some(), "{case}"),
            }
        }
    }
}
