//! The token that hub and proxy agree upon (S49), and which of its versions the proxy takes while it rotates.

use secrecy::SecretString;
use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    reread::{Reread, RereadError},
    versioned::Values,
};
use hub_crds::versions::Versions;

/// The token that hub and proxy agree upon (S49).
#[derive(Clone)]
pub enum ProxyToken {
    /// A file that is read again when it changes, with the token's versions beside it. While it can't be used the last good
    /// value is.
    File(Arc<TokenFile>),
    Value(SecretString),
}

/// A token in a file. Its versions beside it differ while it rotates.
pub struct TokenFile {
    file: Reread<Tokens>,
    instead: Mutex<Option<Instead>>,
}

/// The proxy refused the version in use and took another one.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Instead {
    of: u32,
    works: u32,
}

/// Every accepted version, the one in use first.
struct Tokens {
    versions: Versions,
    values: Vec<(u32, SecretString)>,
}

impl ProxyToken {
    pub fn file(path: &Path) -> Self {
        Self::File(Arc::new(TokenFile { file: Reread::versioned(path, parse), instead: Mutex::default() }))
    }

    /// # Errors
    /// Its file can't be read, or holds no token.
    pub fn check(&self) -> Result<(), RereadError> {
        self.candidates().map(drop)
    }

    /// What to try, each with its version: first what the proxy took last.
    pub(super) fn candidates(&self) -> Result<Vec<(u32, SecretString)>, RereadError> {
        let token = match self {
            Self::Value(token) => return Ok(vec![(0, token.clone())]),
            Self::File(token) => token,
        };
        let tokens = token.file.get()?;
        let mut candidates = tokens.values.clone();
        // Only for as long as the same version is in use: the proxy is to get a new one first.
        let instead = token.instead().filter(|instead| instead.of == tokens.versions.current);
        if let Some(at) = candidates.iter().position(|(version, _)| instead.is_some_and(|i| i.works == *version)) {
            candidates[..=at].rotate_right(1);
        }
        Ok(candidates)
    }

    /// The proxy refused the versions before it and took this one: the next request begins with it.
    pub(super) fn took(&self, version: u32) {
        let Self::File(token) = self else { return };
        let Ok(tokens) = token.file.get() else { return };
        let current = tokens.versions.current;
        let instead = Some(Instead { of: current, works: version }).filter(|_| version != current);
        let before = std::mem::replace(&mut *token.instead.lock().unwrap_or_else(PoisonError::into_inner), instead);
        if instead.is_some() && instead != before {
            tracing::warn!(
                current,
                version,
                "the proxy does not take the current version of its token yet, but another one"
            );
        }
    }

    /// Which versions there are; a value from the settings has none.
    ///
    /// # Errors
    /// There never was a file that could be used.
    pub fn versions(&self) -> Result<Versions, RereadError> {
        match self {
            Self::Value(_) => Ok(Versions::first()),
            Self::File(token) => Ok(token.file.get()?.versions.clone()),
        }
    }
}

impl TokenFile {
    fn instead(&self) -> Option<Instead> {
        *self.instead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse(values: &Values) -> Result<Tokens, String> {
    let each = values.iter().map(|(version, value)| {
        let text = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()));
        let text =
            text.ok_or("it must hold one token of visible ASCII characters; make it with `openssl rand -hex 32`")?;
        Ok((version, SecretString::from(text)))
    });
    Ok(Tokens { versions: values.versions.clone(), values: each.collect::<Result<_, String>>()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn write(directory: &Path, versions: &str, numbers: &[u32]) {
        for number in numbers {
            fs::write(directory.join(format!("proxy-token.{number}")), format!("token-{number}\n")).unwrap();
        }
        fs::write(directory.join("versions.json"), versions).unwrap();
    }

    fn order(token: &ProxyToken) -> Vec<u32> {
        token.candidates().unwrap().iter().map(|(version, _)| *version).collect()
    }

    #[test]
    fn the_version_in_use_comes_first_unless_the_proxy_took_another() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("proxy-token");
        fs::write(&file, "token-0").unwrap();
        let token = ProxyToken::file(&file);
        assert_eq!(order(&token), [0]);
        write(directory.path(), r#"{"current": 0, "accepted": [0, 1]}"#, &[0, 1]);
        assert_eq!(order(&token), [0, 1]);
        write(directory.path(), r#"{"current": 2, "accepted": [0, 1, 2]}"#, &[0, 1, 2]);
        assert_eq!(order(&token), [2, 1, 0]);
        token.took(0);
        assert_eq!(order(&token), [0, 2, 1]);
        token.took(2);
        assert_eq!(order(&token), [2, 1, 0]);
        token.took(1);
        write(directory.path(), r#"{"current": 3, "accepted": [1, 2, 3]}"#, &[1, 2, 3]);
        assert_eq!(order(&token), [3, 2, 1], "a new version is tried first");
    }

    #[test]
    fn a_file_that_is_emptied_leaves_the_last_good_token() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("proxy-token");
        assert!(ProxyToken::file(&file).candidates().is_err());
        fs::write(&file, "good").unwrap();
        let token = ProxyToken::file(&file);
        for bad in ["", "two tokens", "é"] {
            fs::write(&file, bad).unwrap();
            assert_eq!(order(&token), [0], "{bad}");
        }
    }
}
