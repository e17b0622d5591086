//! A secret that this hub keeps in its own directory, where no operator does: it rotates at once, since nobody else has to
//! learn of it.
//!
//! ```text
//! rotate:  secret.N+1  ->  versions.json (N+1 in use, N accepted until its time is over)  ->  secret
//! reset:   secret.N+1  ->  versions.json (N+1 alone, one reset more)                      ->  secret
//! ```
//! `versions.json` is the one step that counts. Whoever is killed before it has changed nothing, and whoever is killed after
//! it finds the rest done or does it at the next start.

use anyhow::Context;
use hub_crds::versions::{Resets, Versions};
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::versioned::{read_versions, version_file, versions_file};

/// A file with a secret of 64 hexadecimal digits, and its versions beside it.
#[derive(Clone, Debug)]
pub struct OwnSecret(PathBuf);

/// What `versions.json` keeps for this room: when the old versions end.
type Retirements = BTreeMap<u32, Timestamp>;

impl OwnSecret {
    pub fn new(file: &Path) -> Self {
        Self(file.to_owned())
    }

    /// Before the secret is read: takes up what somebody did by hand, and mends what a hub that was killed left. A secret
    /// that was removed or that is none of the known versions is another one, and no version counts any more (S60).
    ///
    /// # Errors
    /// The files can't be read or written.
    pub fn settle(&self) -> anyhow::Result<()> {
        let Some(versions) = read_versions(&self.0)? else { return Ok(()) };
        let found = match fs::read(&self.0) {
            Ok(found) => Some(found),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("failed to read {}", self.0.display())),
        };
        let value = |version: u32| fs::read(version_file(&self.0, version)).ok();
        let same = |a: &[u8], b: &[u8]| a.trim_ascii() == b.trim_ascii();
        let is_known = |found: &[u8]| {
            versions.accepted.iter().any(|version| value(*version).is_some_and(|known| same(&known, found)))
        };
        if !found.as_deref().is_some_and(is_known) {
            fs::remove_file(versions_file(&self.0)).context("failed to remove versions.json")?;
            return self.remove_all_but(&BTreeSet::new());
        }
        let current = value(versions.current).context("failed to read the current version of the secret")?;
        if !found.is_some_and(|found| same(&found, &current)) {
            write_secret(&self.0, &current)?;
        }
        self.remove_all_but(&versions.accepted)
    }

    /// A new value is in use at once; the one before is accepted for as long as logins last, `grace`, so that nobody is
    /// logged out.
    ///
    /// # Errors
    /// The files can't be read or written.
    pub fn rotate(&self, now: Timestamp, grace: SignedDuration) -> anyhow::Result<()> {
        let (mut versions, mut retirements) = self.read()?;
        self.number_first(&versions)?;
        let before = versions.current;
        versions.current = self.write_next(&versions)?;
        versions.accepted.insert(versions.current);
        retirements.insert(before, now + grace);
        self.publish(versions, &retirements)
    }

    /// A new value is in use at once, and no other is accepted; all sessions end, and with `tokens` all tokens.
    ///
    /// # Errors
    /// The files can't be read or written.
    pub fn reset(&self, tokens: bool) -> anyhow::Result<()> {
        let (versions, _) = self.read()?;
        let current = self.write_next(&versions)?;
        self.replace(versions.resets, current, tokens)
    }

    /// Everything that was signed is good still, but all sessions end.
    ///
    /// # Errors
    /// The files can't be read or written.
    pub fn reset_sessions(&self) -> anyhow::Result<()> {
        let (mut versions, retirements) = self.read()?;
        self.number_first(&versions)?;
        versions.resets.sessions += 1;
        self.publish(versions, &retirements)
    }

    /// Drops the versions whose time is over.
    ///
    /// # Errors
    /// The files can't be read or written.
    pub fn retire(&self, now: Timestamp) -> anyhow::Result<()> {
        let (mut versions, mut retirements) = self.read()?;
        let is_over = |version: &u32| retirements.get(version).is_some_and(|end| *end <= now);
        let over: Vec<_> = versions.accepted.iter().copied().filter(|v| *v != versions.current && is_over(v)).collect();
        if over.is_empty() {
            return Ok(());
        }
        versions.accepted.retain(|version| !over.contains(version));
        retirements.retain(|version, _| !over.contains(version));
        self.publish(versions, &retirements)
    }

    fn replace(&self, before: Resets, current: u32, tokens: bool) -> anyhow::Result<()> {
        let resets = Resets { sessions: before.sessions + 1, tokens: before.tokens + u32::from(tokens) };
        let versions = Versions { current, accepted: [current].into(), resets, ..Versions::default() };
        self.publish(versions, &Retirements::new())
    }

    fn read(&self) -> anyhow::Result<(Versions, Retirements)> {
        let versions = read_versions(&self.0)?.unwrap_or_else(Versions::first);
        let retirements = match &versions.operator {
            serde_json::Value::Null => Retirements::new(),
            notes => {
                serde_json::from_value(notes.clone()).context("failed to read when the versions of the secret end")?
            }
        };
        Ok((versions, retirements))
    }

    /// Until its first rotation a secret has no version in a file.
    fn number_first(&self, versions: &Versions) -> anyhow::Result<()> {
        if *versions != Versions::first() {
            return Ok(());
        }
        write_secret(&version_file(&self.0, 0), &fs::read(&self.0).context("failed to read the secret")?)
    }

    fn write_next(&self, versions: &Versions) -> anyhow::Result<u32> {
        let next = versions.accepted.last().map_or(0, |last| last + 1);
        write_secret(&version_file(&self.0, next), hex::encode(rand::random::<[u8; 32]>()).as_bytes())?;
        Ok(next)
    }

    fn publish(&self, mut versions: Versions, retirements: &Retirements) -> anyhow::Result<()> {
        versions.operator =
            if retirements.is_empty() { serde_json::Value::Null } else { serde_json::to_value(retirements)? };
        write_secret(&versions_file(&self.0), serde_json::to_string(&versions)?.as_bytes())?;
        let current = fs::read(version_file(&self.0, versions.current)).context("failed to read the new secret")?;
        write_secret(&self.0, &current)?;
        self.remove_all_but(&versions.accepted)
    }

    /// Removes the files of versions that are not accepted.
    fn remove_all_but(&self, accepted: &BTreeSet<u32>) -> anyhow::Result<()> {
        let directory = self.0.parent().context("failed to find the directory of the secret")?;
        let prefix = format!("{}.", self.0.file_name().unwrap_or_default().to_string_lossy());
        for entry in fs::read_dir(directory).with_context(|| format!("failed to list {}", directory.display()))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let version = name.strip_prefix(&prefix).and_then(|number| number.parse::<u32>().ok());
            if version.is_some_and(|version| !accepted.contains(&version)) {
                fs::remove_file(entry.path()).with_context(|| format!("failed to remove {name}"))?;
            }
        }
        Ok(())
    }
}

/// Writes a file whole or not at all, for its owner only.
pub(crate) fn write_secret(path: &Path, value: &[u8]) -> anyhow::Result<()> {
    let written = write_beside(path, value).and_then(|new| fs::rename(new, path));
    written.with_context(|| format!("failed to write {}", path.display()))
}

/// Writes the file that is to take the place of one, for its owner only; gives its path.
pub(crate) fn write_beside(path: &Path, value: &[u8]) -> io::Result<PathBuf> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(value.trim_ascii())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cookie_secret::CookieSecret;
    use hub_auth::cookie::Keys;
    use std::{os::unix::fs::PermissionsExt, sync::Arc};

    const NOW: Timestamp = Timestamp::constant(1_795_440_749, 0);
    const GRACE: SignedDuration = SignedDuration::from_hours(14 * 24);

    fn secret() -> (tempfile::TempDir, PathBuf, OwnSecret) {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("jupyterhub_cookie_secret");
        write_secret(&file, "6b".repeat(32).as_bytes()).unwrap();
        (place, file.clone(), OwnSecret::new(&file))
    }

    fn keys(file: &Path) -> (Arc<Keys>, Versions) {
        let secret = CookieSecret::file(file).unwrap().get().unwrap();
        (secret.keys.clone(), secret.versions.clone())
    }

    #[test]
    fn a_rotation_accepts_the_old_secret_until_its_time_is_over() {
        let (place, file, secret) = secret();
        let (first, _) = keys(&file);
        secret.rotate(NOW, GRACE).unwrap();
        secret.rotate(NOW + SignedDuration::from_hours(1), GRACE).unwrap();
        let (now, versions) = keys(&file);
        assert_eq!((versions.current, versions.accepted.len()), (2, 3));
        assert!(now.has_fingerprint(&first.fingerprint()) && now.fingerprint() != first.fingerprint());
        for entry in fs::read_dir(place.path()).unwrap() {
            assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        secret.retire(NOW + GRACE - SignedDuration::from_secs(1)).unwrap();
        assert_eq!(keys(&file).1.accepted.len(), 3);
        secret.retire(NOW + GRACE).unwrap();
        let (now, versions) = keys(&file);
        assert_eq!(versions.accepted, [1, 2].into());
        assert!(!now.has_fingerprint(&first.fingerprint()));
        assert!(!version_file(&file, 0).exists());
        // JupyterHub itself would read the plain file.
        assert_eq!(fs::read(&file).unwrap(), fs::read(version_file(&file, 2)).unwrap());
    }

    #[test]
    fn a_reset_leaves_one_secret_and_counts() {
        let (_place, file, secret) = secret();
        secret.rotate(NOW, GRACE).unwrap();
        secret.reset(false).unwrap();
        secret.reset(true).unwrap();
        let (_, versions) = keys(&file);
        assert_eq!((versions.accepted.len(), versions.resets), (1, Resets { sessions: 2, tokens: 1 }));
        secret.rotate(NOW, GRACE).unwrap();
        secret.reset_sessions().unwrap();
        let (_, versions) = keys(&file);
        assert_eq!((versions.accepted.len(), versions.resets), (2, Resets { sessions: 3, tokens: 1 }));
    }

    /// S60: removing or replacing the file is JupyterHub's way to reset it.
    #[test]
    fn a_secret_that_was_replaced_by_hand_is_the_only_one_s60() {
        let (_place, file, secret) = secret();
        secret.rotate(NOW, GRACE).unwrap();
        secret.settle().unwrap();
        assert_eq!(keys(&file).1.accepted.len(), 2, "nothing was done by hand");
        fs::write(&file, "6d".repeat(32)).unwrap();
        secret.settle().unwrap();
        let (replaced, versions) = keys(&file);
        assert_eq!(versions, Versions::first());
        assert_eq!(replaced.fingerprint(), Keys::new(0, &[0x6d; 32]).fingerprint());
        secret.rotate(NOW, GRACE).unwrap();
        fs::remove_file(&file).unwrap();
        secret.settle().unwrap();
        assert!(!versions_file(&file).exists() && !version_file(&file, 1).exists());
    }

    /// Killed after any step: either the old state holds or the new one, and the next start mends what is left.
    #[test]
    fn a_hub_that_is_killed_in_a_rotation_leaves_one_of_the_two_states() {
        let (_place, file, secret) = secret();
        secret.rotate(NOW, GRACE).unwrap();
        let before = keys(&file).0.fingerprint();
        let (versions, _) = secret.read().unwrap();
        // Before versions.json: the new value counts for nothing.
        secret.write_next(&versions).unwrap();
        secret.settle().unwrap();
        assert_eq!(keys(&file).0.fingerprint(), before);
        assert!(!version_file(&file, 2).exists());
        // After it: the plain file is the old one still.
        let plain = fs::read(&file).unwrap();
        secret.rotate(NOW, GRACE).unwrap();
        fs::write(&file, plain).unwrap();
        let after = keys(&file).0.fingerprint();
        secret.settle().unwrap();
        assert_eq!(keys(&file).0.fingerprint(), after);
        assert_eq!(fs::read(&file).unwrap(), fs::read(version_file(&file, 2)).unwrap());
    }
}
