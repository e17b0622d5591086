//! Benchmarks: ours and what it stands in for, side by side in one run, on databases and requests that are the same.
//!
//! Rounds alternate between the sides, so that a machine that gets slower does so for both. The headline is the CPU
//! time of one request, since machines differ; every answer is checked, and an error voids its round.

use std::fmt;

pub(crate) mod hub;
mod load;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod server;
mod sides;
pub(crate) mod storm;
mod table;

pub(crate) use sides::free_ports;

const MICROSECOND: f64 = 1e6;
const MILLISECOND: f64 = 1e3;
const MEGABYTE: f64 = 1e6;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// Rounds of each kind of request on each side; of each start half as many.
    pub(crate) rounds: usize,
    /// Also what takes minutes: 50,000 users.
    pub(crate) long: bool,
}

/// The middle of some measurements, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    /// `None` of nothing.
    fn of(values: &[f64]) -> Option<Self> {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let half = values.len() / 2;
        let median = if values.len() % 2 == 1 { values[half] } else { f64::midpoint(values[half - 1], values[half]) };
        Some(Self { min, median, max })
    }

    /// Theirs divided by ours, round by round.
    fn of_ratios(theirs: &[f64], ours: &[f64]) -> Option<Self> {
        let ratios: Vec<f64> = theirs.iter().zip(ours).map(|(theirs, ours)| theirs / ours).collect();
        Self::of(&ratios)
    }
}

/// `12.3 (11.9-13.0)`, with as many digits as say something; `12.3` where all are the same.
impl fmt::Display for Spread {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [min, median, max] = [self.min, self.median, self.max].map(shown);
        if min == max { out.write_str(&median) } else { write!(out, "{median} ({min}-{max})") }
    }
}

/// A number with three digits, or all of those before the point.
fn shown(value: f64) -> String {
    match value.abs() {
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        size if size >= 0.0995 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// Values of both sides for one thing that is measured, a pair for each round.
#[derive(Clone, Debug, Default)]
struct Pairs {
    theirs: Vec<f64>,
    ours: Vec<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_ends_are_found() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Some(Spread { min: 1.0, median: 2.0, max: 3.0 }));
        assert_eq!(Spread::of(&[1.0, 2.0]).unwrap().median, 1.5);
        assert_eq!(Spread::of(&[]), None);
        let texts = [&[1.0, 2.0][..], &[2.0]].map(|values| Spread::of(values).unwrap().to_string());
        assert_eq!(texts, ["1.50 (1.00-2.00)", "2.00"]);
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        assert_eq!(Spread::of_ratios(&[10.0, 30.0], &[1.0, 2.0]), Some(Spread { min: 10.0, median: 12.5, max: 15.0 }));
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([1234.5, 99.96, 12.345, 0.123, 0.00298].map(shown), ["1234", "100", "12.3", "0.12", "0.0030"]);
    }
}
