//! The versions of a secret that rotates, as files: `cookie-secret` alone is version 0; from the first rotation on
//! `versions.json` beside it says which of `cookie-secret.0`, `cookie-secret.1`, ... are accepted and which is in use.

use hub_crds::{names::secret_key, versions::Versions};
use secrecy::{ExposeSecret, SecretSlice};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use crate::reread::{RereadError, read_file};

/// Every accepted version of a secret. What is white space around a value is not part of it.
#[derive(Debug)]
pub struct Values {
    pub versions: Versions,
    values: BTreeMap<u32, SecretSlice<u8>>,
}

impl Values {
    /// Of one value that has no versions.
    pub fn single(value: &[u8]) -> Self {
        Self { versions: Versions::first(), values: BTreeMap::from([(0, secret(value))]) }
    }

    /// Version and value, the one in use first and then the newest.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[u8])> {
        let current = self.versions.current;
        let in_use = self.values.get_key_value(&current);
        in_use
            .into_iter()
            .chain(self.values.iter().rev().filter(move |(version, _)| **version != current))
            .map(|(version, value)| (*version, value.expose_secret()))
    }

    /// The accepted versions.
    pub fn accepted(&self) -> BTreeSet<u32> {
        self.values.keys().copied().collect()
    }
}

fn secret(value: &[u8]) -> SecretSlice<u8> {
    value.trim_ascii().to_vec().into()
}

/// `versions.json` beside the file of a secret.
pub fn versions_file(file: &Path) -> PathBuf {
    file.with_file_name(secret_key::VERSIONS)
}

/// The file of one version.
pub fn version_file(file: &Path, version: u32) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    file.with_file_name(Versions::key(&name, version))
}

/// Reads a secret with all of its accepted versions: all of them, or none.
///
/// # Errors
/// A file can't be read or is empty, or `versions.json` is not what it has to be.
pub fn read(file: &Path) -> Result<Values, RereadError> {
    let Some(versions) = read_versions(file)? else { return Ok(Values::single(&read_value(file)?)) };
    let values = versions.accepted.iter().map(|version| {
        let value = read_value(&version_file(file, *version))?;
        Ok((*version, secret(&value)))
    });
    Ok(Values { values: values.collect::<Result<_, RereadError>>()?, versions })
}

/// What `versions.json` beside the file says; `None` if the secret never rotated.
///
/// # Errors
/// It can't be read, or is not what it has to be.
pub fn read_versions(file: &Path) -> Result<Option<Versions>, RereadError> {
    let path = versions_file(file);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(RereadError::Read { path, reason: error.to_string() }),
    };
    Versions::parse(&text).map(Some).map_err(|reason| RereadError::Content { path, reason })
}

fn read_value(path: &Path) -> Result<Vec<u8>, RereadError> {
    let value = read_file(path)?;
    if value.trim_ascii().is_empty() {
        return Err(RereadError::Content { path: path.into(), reason: "it is empty".to_owned() });
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reread::Reread;
    use std::sync::Arc;

    fn text(values: &Values) -> Result<String, String> {
        let each = values.iter().map(|(version, value)| format!("{version}={}", String::from_utf8_lossy(value)));
        Ok(each.collect::<Vec<_>>().join(" "))
    }

    /// A mounted Secret: each state is a directory of its own, and `..data` leads to the one that counts.
    struct Mount(tempfile::TempDir);

    impl Mount {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn file(&self) -> PathBuf {
            self.0.path().join("s")
        }

        fn swap(&self, state: &str, files: &[(&str, &str)]) {
            let at = self.0.path().join(format!("..{state}"));
            fs::create_dir(&at).unwrap();
            for (name, content) in files {
                fs::write(at.join(name), content).unwrap();
                let _ = std::os::unix::fs::symlink(format!("..data/{name}"), self.0.path().join(name));
            }
            let new = self.0.path().join("..data_tmp");
            std::os::unix::fs::symlink(format!("..{state}"), &new).unwrap();
            fs::rename(&new, self.0.path().join("..data")).unwrap();
        }
    }

    const ROTATING: &[(&str, &str)] =
        &[("s", "a"), ("s.0", "a\n"), ("s.1", "b"), ("versions.json", r#"{"current": 0, "accepted": [0, 1]}"#)];

    #[test]
    fn a_secret_that_never_rotated_is_version_0_and_one_that_did_is_taken_up_as_a_whole() {
        let mount = Mount::new();
        mount.swap("one", &[("s", "a\n")]);
        let file = Reread::versioned(mount.file(), text);
        assert_eq!(*file.get().unwrap(), "0=a");
        mount.swap("two", ROTATING);
        assert_eq!(*file.get().unwrap(), "0=a 1=b");
        mount.swap(
            "three",
            &[("s", "b"), ("s.1", "b"), ("s.2", "c"), ("versions.json", r#"{"current": 1, "accepted": [1, 2]}"#)],
        );
        assert_eq!(*file.get().unwrap(), "1=b 2=c");
    }

    /// Rows 15 and 16: emptied or broken by hand. What mends it is taken up again.
    #[test]
    fn a_state_that_cannot_be_used_leaves_the_last_good_one() {
        let mount = Mount::new();
        mount.swap("good", ROTATING);
        let file = Reread::versioned(mount.file(), text);
        let good = file.get().unwrap();
        for (state, files) in [
            ("empty", vec![("s", ""), ("s.0", ""), ("s.1", "")]),
            ("torn", vec![("versions.json", r#"{"current": 0, "accepted": "#)]),
            ("other", vec![("versions.json", r#"{"current": 5, "accepted": [0]}"#)]),
            ("missing", vec![("s", "a"), ("s.1", "b"), ("versions.json", r#"{"current": 1, "accepted": [0, 1]}"#)]),
        ] {
            mount.swap(state, &files);
            assert!(Arc::ptr_eq(&good, &file.get().unwrap()), "{state}");
        }
        mount.swap("mended", &[("s", "a"), ("s.1", "x"), ("versions.json", r#"{"current": 1, "accepted": [1]}"#)]);
        assert_eq!(*file.get().unwrap(), "1=x");
    }

    /// Each state's values are of its own version numbers: a mix would show.
    #[test]
    fn a_state_that_is_swapped_while_it_is_read_is_never_mixed() {
        let mount = Mount::new();
        mount.swap(
            "0",
            &[("s", "0"), ("s.0", "0"), ("s.1", "0"), ("versions.json", r#"{"current": 0, "accepted": [0, 1]}"#)],
        );
        let file = Reread::versioned(mount.file(), |values: &Values| {
            let values: BTreeSet<_> = values.iter().map(|(_, value)| value.to_vec()).collect();
            Ok(values)
        });
        std::thread::scope(|scope| {
            let swapping = scope.spawn(|| {
                for state in 1..200 {
                    let (state, versions) = (state.to_string(), r#"{"current": 1, "accepted": [0, 1]}"#);
                    mount.swap(&state, &[("s", &state), ("s.0", &state), ("s.1", &state), ("versions.json", versions)]);
                }
            });
            while !swapping.is_finished() {
                assert_eq!(file.get().unwrap().len(), 1);
            }
        });
        assert_eq!(*file.get().unwrap(), BTreeSet::from([b"199".to_vec()]));
    }
}
