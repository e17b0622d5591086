//! Login for trials: any name, one shared password or none.

use hub_auth::names::{normalize_user, valid_user};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::path::Path;
use subtle::ConstantTimeEq;

use super::Credentials;
use crate::reread::{Reread, RereadError};

/// The shared password, known by its digest.
pub struct DummyPassword {
    file: Option<Reread<[u8; 32]>>,
}

impl DummyPassword {
    /// Without a file any password passes.
    pub fn new(file: Option<&Path>) -> Self {
        let digest = |bytes: &[u8]| match bytes.trim_ascii_end() {
            [] => Err("the password is empty".to_owned()),
            password => Ok(Sha256::digest(password).into()),
        };
        Self { file: file.map(|path| Reread::new(path, digest)) }
    }

    /// A password that no file holds.
    pub fn fixed(password: &SecretString) -> Self {
        let digest = Sha256::digest(password.expose_secret().as_bytes()).into();
        Self { file: Some(Reread::fixed(digest)) }
    }

    /// Tells the password from another one.
    pub fn digest(&self) -> Option<[u8; 32]> {
        self.file.as_ref()?.get().ok().map(|digest| *digest)
    }

    pub fn login(&self, credentials: &Credentials) -> Result<Option<String>, RereadError> {
        let name = normalize_user(credentials.username.trim());
        let right = match &self.file {
            None => true,
            Some(file) => {
                let given: [u8; 32] = Sha256::digest(credentials.password.expose_secret().as_bytes()).into();
                file.get()?.ct_eq(&given).into()
            }
        };
        Ok(Some(name).filter(|name| right && valid_user(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shared_password_opens_for_any_valid_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, "pass word\n").unwrap();
        let dummy = DummyPassword::new(Some(&path));
        let login = |username: &str, password: &str| {
            dummy.login(&Credentials { username: username.into(), password: password.to_owned().into() }).unwrap()
        };
        assert_eq!(login(" Alice", "pass word").as_deref(), Some("alice"));
        for (username, password) in [("alice", "pass"), ("alice", ""), ("a/b", "pass word"), ("", "pass word")] {
            assert_eq!(login(username, password), None, "{username} {password}");
        }
        assert!(
            DummyPassword::new(Some(&dir.path().join("none")))
                .login(&Credentials { username: "a".into(), password: String::new().into() })
                .is_err()
        );
    }
}
