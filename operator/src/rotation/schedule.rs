//! When a secret rotates by itself: the five fields of a CronJob's schedule, in UTC.

use cronexpr::{Crontab, FallbackTimezoneOption, MakeTimestamp, ParseOptions, parse_crontab_with};
use jiff::Timestamp;

/// A schedule that has been understood.
#[derive(Debug)]
pub struct Schedule(Crontab);

/// Whether it is time, and when it will be next.
#[derive(Debug, PartialEq, Eq)]
pub struct Due {
    pub is_due: bool,
    pub next: Option<Timestamp>,
}

impl Schedule {
    /// # Errors
    /// What is wrong with it, for the message that names the field.
    pub fn parse(text: &str) -> Result<Self, String> {
        // The library would take the name of a time zone as a sixth; the image has no table of them.
        if text.split_whitespace().count() != 5 {
            return Err("must have five fields, in UTC: minute, hour, day of month, month, day of week".to_owned());
        }
        let mut options = ParseOptions::default();
        options.fallback_timezone_option = FallbackTimezoneOption::UTC;
        let crontab = parse_crontab_with(text, options).map_err(|error| on_one_line(&error.to_string()))?;
        let schedule = Self(crontab);
        match schedule.after(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(schedule),
            None => Err("is never: there is no such day".to_owned()),
        }
    }

    /// `remembered` is what was said to be next, `began` when the last rotation began. A time that passed while nobody
    /// looked counts once; one that another schedule set counts for nothing.
    pub fn look(&self, remembered: Option<Timestamp>, began: Option<Timestamp>, now: Timestamp) -> Due {
        let remembered = remembered.filter(|time| self.0.matches(MakeTimestamp(*time)).unwrap_or(false));
        match remembered {
            Some(time) if time > now => Due { is_due: false, next: Some(time) },
            Some(time) => Due { is_due: began.is_none_or(|began| began < time), next: self.after(now) },
            None => Due { is_due: false, next: self.after(now) },
        }
    }

    fn after(&self, time: Timestamp) -> Option<Timestamp> {
        self.0.find_next(MakeTimestamp(time)).ok().map(|next| next.timestamp())
    }
}

/// The library draws an arrow below the expression.
fn on_one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_schedule_is_that_of_a_cron_job_in_utc() {
        let next = |text: &str| Schedule::parse(text).unwrap().after(at("2026-01-15T12:30:00Z")).unwrap().to_string();
        assert_eq!(next("0 3 1 * *"), "2026-02-01T03:00:00Z");
        assert_eq!(next("*/10 * * * *"), "2026-01-15T12:40:00Z");
        assert_eq!(next("0 0 * * MON"), "2026-01-19T00:00:00Z");
    }

    #[test]
    fn a_bad_schedule_is_refused_in_one_line() {
        for bad in ["", "daily", "0 3 1 *", "0 3 1 * * Europe/Berlin", "61 * * * *", "0 3 30 2 *", "a b c d e"] {
            let message = Schedule::parse(bad).unwrap_err();
            assert!(!message.is_empty() && !message.contains('\n'), "{bad}: {message:?}");
        }
    }

    #[test]
    fn a_time_counts_once_even_if_nobody_looked_when_it_came() {
        let schedule = Schedule::parse("0 3 * * *").unwrap();
        let now = at("2026-01-15T12:00:00Z");
        let next = Some(at("2026-01-16T03:00:00Z"));
        let look =
            |remembered: Option<&str>, began: Option<&str>| schedule.look(remembered.map(at), began.map(at), now);
        let no = Due { is_due: false, next };
        let yes = Due { is_due: true, next };
        assert_eq!(look(None, None), no, "a schedule that is new begins now");
        assert_eq!(look(Some("2026-01-16T03:00:00Z"), None), no);
        assert_eq!(look(Some("2026-01-15T03:00:00Z"), None), yes);
        assert_eq!(
            look(Some("2025-11-01T03:00:00Z"), Some("2025-10-31T03:00:00Z")),
            yes,
            "once for all that was missed"
        );
        assert_eq!(look(Some("2026-01-15T03:00:00Z"), Some("2026-01-15T03:00:01Z")), no, "it was begun already");
        assert_eq!(look(Some("2026-01-15T07:00:00Z"), None), no, "another schedule's");
    }
}
