//! A file that may change while the hub runs, such as a mounted secret: read again when it has, kept when the new
//! content is bad.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

/// Why a file gives no value.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RereadError {
    #[error("failed to read {path}: {reason}")]
    Read { path: PathBuf, reason: String },
    #[error("failed to use {path}: {reason}")]
    Content { path: PathBuf, reason: String },
}

/// The parsed content of a file.
pub struct Reread<T> {
    path: PathBuf,
    parse: fn(&[u8]) -> Result<T, String>,
    state: Mutex<State<T>>,
}

struct State<T> {
    stamp: Option<Stamp>,
    value: Result<Arc<T>, RereadError>,
}

/// What tells one content of a file from another without reading it. Mounted secrets are links to a new file each time.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    length: u64,
    inode: u64,
}

impl<T> Reread<T> {
    /// Reads the file for the first time. [`Self::get`] tells what came of it.
    pub fn new(path: impl Into<PathBuf>, parse: fn(&[u8]) -> Result<T, String>) -> Self {
        let path = path.into();
        let stamp = stamp(&path);
        let value = read(&path, parse);
        Self { path, parse, state: Mutex::new(State { stamp, value }) }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The newest good content, or why there never was one.
    pub fn get(&self) -> Result<Arc<T>, RereadError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let found = stamp(&self.path);
        if found != state.stamp {
            state.stamp = found;
            match read(&self.path, self.parse) {
                Ok(value) => state.value = Ok(value),
                Err(error) if state.value.is_ok() => {
                    tracing::warn!(error.message = %error, "kept the last good content of a file");
                }
                Err(error) => state.value = Err(error),
            }
        }
        state.value.clone()
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt;

    let metadata = fs::metadata(path).ok()?;
    Some(Stamp { modified: metadata.modified().ok()?, length: metadata.len(), inode: metadata.ino() })
}

fn read<T>(path: &Path, parse: fn(&[u8]) -> Result<T, String>) -> Result<Arc<T>, RereadError> {
    let bytes = fs::read(path).map_err(|e| RereadError::Read { path: path.into(), reason: e.to_string() })?;
    parse(&bytes).map(Arc::new).map_err(|reason| RereadError::Content { path: path.into(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(bytes: &[u8]) -> Result<u32, String> {
        String::from_utf8_lossy(bytes).trim().parse().map_err(|_| "not a number".into())
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_bad_one_leaves_the_last_good_value() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("n");
        let file = Reread::new(&path, number);
        assert!(matches!(file.get(), Err(RereadError::Read { .. })));
        fs::write(&path, "1").unwrap();
        assert_eq!(*file.get().unwrap(), 1);
        fs::write(&path, "22").unwrap();
        assert_eq!(*file.get().unwrap(), 22);
        fs::write(&path, "two").unwrap();
        assert_eq!(*file.get().unwrap(), 22);
        fs::remove_file(&path).unwrap();
        assert_eq!(*file.get().unwrap(), 22);
    }
}
