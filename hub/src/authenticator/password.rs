//! Login by name and password (argon2id). A user's hash is in the Secret that the settings name, or else in the database; the
//! rules of both are those of [`crate::passwords`].

use hub_auth::names::valid_user;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

mod hashing;

use hashing::Hashing;

use super::LONGEST;

/// What the settings say of passwords, and the room in which they are hashed.
pub struct Passwords {
    users_dir: Option<PathBuf>,
    /// An allowed user's first password becomes theirs.
    pub first_use: bool,
    /// In characters.
    pub min_length: u32,
    pub hashing: Hashing,
}

impl Passwords {
    /// The file in `users_dir` has the user's normalised name.
    pub fn new(users_dir: Option<&Path>, first_use: bool, min_length: u32) -> Self {
        Self { users_dir: users_dir.map(Path::to_owned), first_use, min_length, hashing: Hashing::new() }
    }

    /// What the Secret says of a user at this moment, which should be a hash; the empty text if it can't be read.
    pub fn given(&self, user: &str) -> Option<String> {
        let path = file_of(self.users_dir.as_deref()?, user)?;
        match fs::read_to_string(path) {
            Ok(text) => Some(text.trim_end().to_owned()),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::IsADirectory) => None,
            Err(error) => {
                tracing::warn!(user.name = user, error.message = %error, "failed to read a user's password in the Secret");
                Some(String::new())
            }
        }
    }

    /// Tells what the Secret says of each user from what it said before.
    pub fn digests(&self) -> Vec<(String, [u8; 32])> {
        let entries = self.users_dir.as_deref().and_then(|dir| fs::read_dir(dir).ok());
        let digest = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().ok().filter(|name| !name.starts_with(".."))?;
            Some((name, Sha256::digest(fs::read(entry.path()).ok()?).into()))
        };
        entries.into_iter().flatten().filter_map(|entry| digest(entry.ok()?)).collect()
    }

    /// Whether it is short enough to be looked at.
    pub fn is_comparable(password: &SecretString) -> bool {
        password.expose_secret().len() <= LONGEST
    }

    /// Why somebody can't have this password, if so.
    pub fn fault(&self, password: &str) -> Option<String> {
        if password.chars().count() < self.min_length as usize {
            return Some(format!("The password must have at least {} characters.", self.min_length));
        }
        (password.len() > LONGEST).then(|| format!("The password must not be longer than {LONGEST} bytes."))
    }
}

/// The mount of a Secret has names of its own, which begin with two dots and are no keys.
fn file_of(dir: &Path, user: &str) -> Option<PathBuf> {
    (valid_user(user) && !user.starts_with("..")).then(|| dir.join(user))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hub_auth::password::{self, phc};

    #[test]
    fn the_secret_says_what_it_says_at_this_moment_and_no_path_leads_out_of_it() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("passwords");
        fs::create_dir_all(dir.join("..data")).unwrap();
        fs::write(place.path().join("outside"), phc("x", [1; 16])).unwrap();
        fs::write(dir.join("ada"), format!("{}\n", phc("open sesame", [1; 16]))).unwrap();
        fs::write(dir.join("bob"), "plain text").unwrap();
        let passwords = Passwords::new(Some(&dir), false, 8);
        let given = |user| passwords.given(user);
        assert!(given("ada").is_some_and(|text| password::verify(&format!("argon2:{text}"), "open sesame")));
        assert_eq!(given("bob").as_deref(), Some("plain text"), "which is no hash");
        for nobody in ["eve", "../outside", "..data", "..", "", "."] {
            assert_eq!(given(nobody), None, "{nobody}");
        }
        let before = passwords.digests();
        assert_eq!(before.len(), 2, "{before:?}");
        fs::write(dir.join("ada"), phc("another", [1; 16])).unwrap();
        assert!(given("ada").is_some_and(|text| password::verify(&format!("argon2:{text}"), "another")));
        assert_ne!(passwords.digests(), before);
    }

    #[test]
    fn passwords_that_people_choose_have_a_length() {
        let passwords = Passwords::new(None, true, 4);
        for (password, fits) in [("äöü", false), ("äöüß", true), ("", false)] {
            assert_eq!(passwords.fault(password).is_none(), fits, "{password}");
        }
        assert!(passwords.fault(&"x".repeat(LONGEST)).is_none() && passwords.fault(&"x".repeat(LONGEST + 1)).is_some());
    }
}
