//! People who ask all the time while something changes.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context, Result};

use super::person::Person;

/// Asks for these pages in turn until it is over; every answer must be good. Those with an even number are somebody new each
/// time, on a new connection; the others keep theirs.
pub(super) async fn keep_asking(
    number: usize,
    somebody: impl Fn() -> Result<Person>,
    pages: &[&str],
    over: &AtomicBool,
    asked: &AtomicUsize,
) -> Result<()> {
    let mut person = somebody()?;
    while !over.load(Ordering::Relaxed) {
        if number.is_multiple_of(2) {
            person = somebody()?;
        }
        for page in pages {
            let answer = person.look(page).await.with_context(|| format!("{page}, after {asked:?} requests"))?;
            answer.expect(&[200])?;
            asked.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}
