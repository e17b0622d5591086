//! A file that may change while the hub runs, such as a mounted secret: read again when it has, kept when the new
//! content is bad. A secret that rotates is several files, which are read as one ([`crate::versioned`]).

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use crate::versioned::{self, Values};

/// Why a file gives no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RereadError {
    #[error("failed to read {path}: {reason}")]
    Read { path: PathBuf, reason: String },
    #[error("failed to use {path}: {reason}")]
    Content { path: PathBuf, reason: String },
}

/// The parsed content of a file.
pub struct Reread<T> {
    path: PathBuf,
    parse: Parse<T>,
    state: Mutex<State<T>>,
}

/// What is read, and how it becomes a value.
enum Parse<T> {
    /// The file alone.
    File(fn(&[u8]) -> Result<T, String>),
    /// The file with the versions beside it.
    Versions(fn(&Values) -> Result<T, String>),
    /// Nothing: the value never changes.
    Never,
}

struct State<T> {
    /// What the files looked like when the value was read; `None` if they could not be used.
    stamp: Option<Stamp>,
    value: Result<Arc<T>, RereadError>,
    /// Why the files can't be used now, if they can't: it is said once.
    complaint: Option<RereadError>,
}

/// What tells one content of the file, and of the versions beside it, from another without reading them. Mounted secrets
/// are links to new files each time.
type Stamp = [Option<FileStamp>; 2];

#[derive(Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    modified: SystemTime,
    length: u64,
    inode: u64,
}

/// How often files that change while they are read are read anew.
const TRIES: usize = 5;

impl<T> Reread<T> {
    /// Reads the file for the first time. [`Self::get`] tells what came of it.
    pub fn new(path: impl Into<PathBuf>, parse: fn(&[u8]) -> Result<T, String>) -> Self {
        Self::open(path.into(), Parse::File(parse))
    }

    /// The same for a secret that rotates, with its versions beside it.
    pub fn versioned(path: impl Into<PathBuf>, parse: fn(&Values) -> Result<T, String>) -> Self {
        Self::open(path.into(), Parse::Versions(parse))
    }

    /// A value that no file holds.
    pub fn fixed(value: T) -> Self {
        let state = State { stamp: None, value: Ok(Arc::new(value)), complaint: None };
        Self { path: PathBuf::new(), parse: Parse::Never, state: Mutex::new(state) }
    }

    fn open(path: PathBuf, parse: Parse<T>) -> Self {
        let never = RereadError::Read { path: path.clone(), reason: "it was not read yet".to_owned() };
        let mut state = State { stamp: None, value: Err(never), complaint: None };
        state.read(&path, &parse);
        Self { path, parse, state: Mutex::new(state) }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The newest good content, or why there never was one.
    pub fn get(&self) -> Result<Arc<T>, RereadError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = match self.parse {
            Parse::Never => true,
            _ => state.stamp.is_some_and(|known| known == stamp(&self.path, &self.parse)),
        };
        if !is_same {
            state.read(&self.path, &self.parse);
        }
        state.value.clone()
    }
}

impl<T> State<T> {
    fn read(&mut self, path: &Path, parse: &Parse<T>) {
        match read_whole(path, parse) {
            Ok((stamp, value)) => *self = Self { stamp: Some(stamp), value: Ok(Arc::new(value)), complaint: None },
            Err(error) => {
                self.stamp = None;
                if self.value.is_err() {
                    self.value = Err(error);
                } else if self.complaint.as_ref() != Some(&error) {
                    tracing::warn!(error.message = %error, "kept the last good content of a file");
                    self.complaint = Some(error);
                }
            }
        }
    }
}

/// One state of the files: what changed while it was read is read again.
fn read_whole<T>(path: &Path, parse: &Parse<T>) -> Result<(Stamp, T), RereadError> {
    let mut before = stamp(path, parse);
    for _ in 0..TRIES {
        let value = read(path, parse);
        let after = stamp(path, parse);
        if before == after {
            return Ok((after, value?));
        }
        before = after;
    }
    Err(RereadError::Read { path: path.into(), reason: "it changes all the time".to_owned() })
}

fn stamp<T>(path: &Path, parse: &Parse<T>) -> Stamp {
    let versions = match parse {
        Parse::Versions(_) => stamp_of_file(&versioned::versions_file(path)),
        Parse::File(_) | Parse::Never => None,
    };
    [stamp_of_file(path), versions]
}

fn stamp_of_file(path: &Path) -> Option<FileStamp> {
    use std::os::unix::fs::MetadataExt;

    let metadata = fs::metadata(path).ok()?;
    Some(FileStamp { modified: metadata.modified().ok()?, length: metadata.len(), inode: metadata.ino() })
}

fn read<T>(path: &Path, parse: &Parse<T>) -> Result<T, RereadError> {
    let parsed = match parse {
        Parse::File(parse) => parse(&read_file(path)?),
        Parse::Versions(parse) => parse(&versioned::read(path)?),
        Parse::Never => Err("it is never read".to_owned()),
    };
    parsed.map_err(|reason| RereadError::Content { path: path.into(), reason })
}

/// The bytes of a file.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, RereadError> {
    fs::read(path).map_err(|error| RereadError::Read { path: path.into(), reason: error.to_string() })
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

    #[test]
    fn an_unchanged_file_is_not_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("n");
        fs::write(&path, "1").unwrap();
        let file = Reread::new(&path, number);
        let first = file.get().unwrap();
        assert!(Arc::ptr_eq(&first, &file.get().unwrap()));
    }
}
