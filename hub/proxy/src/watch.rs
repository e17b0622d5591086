//! Files that may change while the proxy runs.
//!
//! They are looked at once a second: a mounted Secret is swapped as a whole, which no file watch sees reliably.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

const POLL: Duration = Duration::from_secs(1);
/// What has changed must stay as it is for this long before it is read: a key and its certificate are two files.
const SETTLED: Duration = Duration::from_millis(200);

/// Files, and directories with the files in them, as they were when they were last looked at.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    paths: Vec<PathBuf>,
    seen: Vec<Stamp>,
}

/// What changes when a file does, its mode included, also when a directory behind it is swapped; `None` if it is not
/// there.
type Stamp = (PathBuf, Option<(PathBuf, u64, u64, i64, i64)>);

impl Watched {
    /// Looks at the files. This must come before they are read, so that a change in between is noticed.
    pub(crate) fn new(paths: Vec<PathBuf>) -> Self {
        let seen = look(&paths);
        Self { paths, seen }
    }

    /// Waits until something has changed and stands still again.
    pub(crate) async fn changed(&mut self) {
        loop {
            tokio::time::sleep(POLL).await;
            if look(&self.paths) != self.seen {
                break;
            }
        }
        loop {
            self.seen = look(&self.paths);
            tokio::time::sleep(SETTLED).await;
            if look(&self.paths) == self.seen {
                return;
            }
        }
    }
}

fn look(paths: &[PathBuf]) -> Vec<Stamp> {
    let mut stamps = Vec::new();
    for path in paths {
        stamps.push((path.clone(), stamp(path)));
        let Ok(entries) = std::fs::read_dir(path) else { continue };
        stamps.extend(entries.flatten().map(|entry| (entry.path(), stamp(&entry.path()))));
    }
    stamps.sort();
    stamps
}

fn stamp(file: &Path) -> Option<(PathBuf, u64, u64, i64, i64)> {
    let metadata = std::fs::metadata(file).ok()?;
    let place = std::fs::canonicalize(file).ok()?;
    Some((place, metadata.ino(), metadata.len(), metadata.ctime(), metadata.ctime_nsec()))
}
