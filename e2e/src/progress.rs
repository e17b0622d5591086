//! Steps as people see them: what is being done, that it still goes on, and how long it took.

use std::{
    fs::{self, File, OpenOptions},
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use tokio::time::{interval_at, sleep};

use crate::{places::Places, program::last_lines};

/// A step that takes longer is announced before it ends.
const ANNOUNCED_AFTER: Duration = Duration::from_millis(500);
/// How often a long step says that it goes on.
const STILL_GOING: Duration = Duration::from_secs(15);
/// Seconds after which it says the same again.
const SAME_AGAIN: u64 = 60;

/// What the programs of a step said.
pub(crate) struct Log {
    path: PathBuf,
}

impl Log {
    fn new(places: &Places, title: &str) -> Result<Self> {
        let slug: String = title
            .to_lowercase()
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join("-");
        let path = places.file(&format!("logs/{slug}.log"))?;
        fs::write(&path, "")?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A writer at its end.
    pub(crate) fn append(&self) -> Result<File> {
        OpenOptions::new()
            .append(true)
            .open(&self.path)
            .with_context(|| format!("failed to open {}", self.path.display()))
    }

    /// The last lines so far.
    pub(crate) fn tail(&self, lines: usize) -> String {
        last_lines(&String::from_utf8_lossy(&fs::read(&self.path).unwrap_or_default()), lines)
    }
}

/// Does one step and prints how long it took. While it goes on, its log's last line is shown.
pub(crate) async fn step<T>(places: &Places, title: &str, work: impl AsyncFnOnce(&Log) -> Result<T>) -> Result<T> {
    let log = Log::new(places, title)?;
    let start = Instant::now();
    let shown = async {
        sleep(ANNOUNCED_AFTER).await;
        eprintln!("· {title}");
        let mut ticks = interval_at(tokio::time::Instant::now() + STILL_GOING, STILL_GOING);
        let (mut last, mut shown_at) = (String::new(), 0);
        loop {
            ticks.tick().await;
            let said: String = log.tail(1).chars().filter(|c| !c.is_control()).take(100).collect();
            let now = start.elapsed().as_secs();
            if said != last || now - shown_at >= SAME_AGAIN {
                eprintln!("    {now:>4} s  {said}");
                (last, shown_at) = (said, now);
            }
        }
    };
    let result = tokio::select! {
        result = work(&log) => result,
        () = shown => unreachable!("it is shown until the work ends"),
    };
    let mark = if result.is_ok() { '✓' } else { '✗' };
    eprintln!("{mark} {title}  {}", seconds(start.elapsed()));
    result
}

/// A step that had nothing to do.
pub(crate) fn up_to_date(title: &str) {
    eprintln!("✓ {title}  up to date");
}

/// `12.3 s`, `4 min 05 s`.
pub(crate) fn seconds(time: Duration) -> String {
    match time.as_secs() {
        0..60 => format!("{:.1} s", time.as_secs_f64()),
        whole => format!("{} min {:02} s", whole / 60, whole % 60),
    }
}

/// An error and its causes, a line each. (Not `{:?}`, which shows stack traces where RUST_BACKTRACE is set.)
pub(crate) fn explained(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).collect::<Vec<_>>().join("\n  because: ")
}

/// Asks on the terminal. `None` where there is none.
pub(crate) fn ask(question: &str) -> Result<Option<bool>> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(None);
    }
    eprint!("{question} [Y/n] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(Some(matches!(answer.trim().to_lowercase().as_str(), "" | "y" | "yes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_well() {
        assert_eq!(seconds(Duration::from_millis(1250)), "1.2 s");
        assert_eq!(seconds(Duration::from_secs(245)), "4 min 05 s");
    }
}
