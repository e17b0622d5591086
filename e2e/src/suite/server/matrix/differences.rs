//! The differences that the requirements want. Each changes what the real server answers to what ours must answer; one
//! that changes nothing fails the comparison.

use super::{
    Ask, Cell,
    outcome::{Body, LoginCookie, Outcome},
};

/// A difference: where it holds, and what it makes of the real server's answer.
pub(super) struct Wanted {
    pub(super) reason: &'static str,
    holds: fn(&Cell, &Outcome) -> bool,
    pub(super) change: fn(&Cell, &mut Outcome),
}

const WANTED: &[Wanted] = &[];

/// Those that a cell has.
pub(super) fn wanted(cell: &Cell) -> impl Iterator<Item = &'static Wanted> {
    WANTED.iter().filter(|wanted| true)
}
