//! Keys for what is made from files: the same content gives the same key, so nothing is made twice.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use sha2::{Digest as _, Sha256};

/// Hexadecimal digits of a key: enough that two contents never meet, short enough for a tag.
const KEY_DIGITS: usize = 12;

/// A key in the making.
#[derive(Clone, Default)]
pub(crate) struct Key(Sha256);

impl Key {
    /// Adds a word, such as a version or a format.
    pub(crate) fn text(mut self, text: &str) -> Self {
        self.0.update(text.len().to_le_bytes());
        self.0.update(text);
        self
    }

    /// Adds a file's bytes, or those of every file below a directory with their paths.
    pub(crate) fn files(mut self, path: &Path) -> Result<Self> {
        for file in files_below(path)? {
            let name = file.strip_prefix(path).unwrap_or(&file).to_string_lossy().into_owned();
            self = self.text(&name);
            let mut reader = File::open(&file).with_context(|| format!("failed to open {}", file.display()))?;
            self.0.update(fs::metadata(&file)?.len().to_le_bytes());
            let mut buffer = vec![0; 1 << 20];
            loop {
                match reader.read(&mut buffer)? {
                    0 => break,
                    read => self.0.update(&buffer[..read]),
                }
            }
        }
        Ok(self)
    }

    pub(crate) fn finish(self) -> String {
        let mut digits = hex::encode(self.0.finalize());
        digits.truncate(KEY_DIGITS);
        digits
    }
}

/// The file itself, or every file below the directory, in order.
fn files_below(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut entries = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    entries.sort();
    let mut files = Vec::new();
    for entry in entries {
        files.extend(files_below(&entry)?);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(dir: &Path) -> String {
        Key::default().files(dir).unwrap().finish()
    }

    #[test]
    fn a_key_follows_names_and_contents() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(dir.path().join("a"), "1").unwrap();
        fs::write(dir.path().join("sub/b"), "2").unwrap();
        let first = key(dir.path());
        assert_eq!(first, key(dir.path()));
        fs::write(dir.path().join("sub/b"), "3").unwrap();
        let changed = key(dir.path());
        assert_ne!(first, changed);
        fs::rename(dir.path().join("a"), dir.path().join("c")).unwrap();
        assert_ne!(changed, key(dir.path()));
    }

    #[test]
    fn words_do_not_run_into_each_other() {
        assert_ne!(Key::default().text("ab").text("c").finish(), Key::default().text("a").text("bc").finish());
    }
}
