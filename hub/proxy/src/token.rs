//! The REST API's token: fixed, or read again whenever its file changes.

use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use subtle::ConstantTimeEq;

use crate::config::Token;

/// How often the file is looked at. A mounted Secret is swapped as a whole, which no file watch sees reliably.
const POLL: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("failed to read the token file {0}: {1}")]
    Read(PathBuf, std::io::Error),
    #[error("the token file {0} is empty; write the token of hub and proxy into it")]
    Empty(PathBuf),
    #[error("the token file {0} must hold one token of visible ASCII characters")]
    Malformed(PathBuf),
}

/// Decides who may use the API.
pub(crate) struct TokenGuard {
    token: RwLock<Option<String>>,
    /// The file, and what it looked like when it was first read.
    file: Option<(PathBuf, Stamp)>,
}

impl std::fmt::Debug for TokenGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenGuard").field("file", &self.file).finish_non_exhaustive()
    }
}

impl TokenGuard {
    pub(crate) fn new(token: &Token) -> Result<Self, TokenError> {
        let (token, file) = match token {
            Token::None => (None, None),
            Token::Value(value) => (Some(value.clone()).filter(|value| !value.is_empty()), None),
            // Looked at before it is read, so that a change in between is noticed.
            Token::File(file) => {
                let seen = stamp(file);
                (Some(read_token(file)?), Some((file.clone(), seen)))
            }
        };
        if token.is_none() {
            tracing::warn!("REST API is not authenticated.");
        }
        Ok(Self { token: RwLock::new(token), file })
    }

    /// Whether a request with this `Authorization` field may go on; only the scheme `token` counts.
    pub(crate) fn admits(&self, authorization: Option<&[u8]>) -> bool {
        let token = self.token.read().unwrap_or_else(PoisonError::into_inner);
        let Some(token) = token.as_deref() else {
            return true;
        };
        let given = authorization.and_then(|value| value.strip_prefix(b"token")).unwrap_or_default();
        given.first().is_some_and(u8::is_ascii_whitespace) && bool::from(given.trim_ascii().ct_eq(token.as_bytes()))
    }

    /// Reads the file again whenever it changes; what cannot be used leaves the last good token in force.
    pub(crate) async fn watch(&self) {
        let Some((file, seen)) = &self.file else {
            return std::future::pending().await;
        };
        let mut seen = seen.clone();
        loop {
            tokio::time::sleep(POLL).await;
            let now = stamp(file);
            if now == seen {
                continue;
            }
            seen = now;
            match read_token(file) {
                Ok(token) => {
                    *self.token.write().unwrap_or_else(PoisonError::into_inner) = Some(token);
                    tracing::info!("API token read again");
                }
                Err(error) => tracing::warn!(%error, "the last good API token stays in force"),
            }
        }
    }
}

/// What changes when the file does, also when a directory behind it is swapped.
type Stamp = Option<(SystemTime, u64, PathBuf)>;

fn stamp(file: &Path) -> Stamp {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), std::fs::canonicalize(file).ok()?))
}

fn read_token(file: &Path) -> Result<String, TokenError> {
    let text = std::fs::read_to_string(file).map_err(|error| TokenError::Read(file.to_owned(), error))?;
    match text.trim() {
        "" => Err(TokenError::Empty(file.to_owned())),
        token if token.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(token.to_owned()),
        _ => Err(TokenError::Malformed(file.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_under_its_scheme_is_admitted() {
        let guard = TokenGuard::new(&Token::Value("secret".to_owned())).unwrap();
        for (authorization, admitted) in [
            (Some("token secret"), true),
            (Some("token   secret"), true),
            (Some("tokensecret"), false),
            (Some("token secre"), false),
            (Some("token secrets"), false),
            (Some("token"), false),
            (Some("token "), false),
            (Some("bearer secret"), false),
            (Some("Token secret"), false),
            (Some("x token secret"), false),
            (Some("secret"), false),
            (None, false),
        ] {
            assert_eq!(guard.admits(authorization.map(str::as_bytes)), admitted, "{authorization:?}");
        }
        assert!(TokenGuard::new(&Token::None).unwrap().admits(None));
    }

    #[test]
    fn a_token_file_must_hold_a_token() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        assert!(matches!(read_token(&file), Err(TokenError::Read(..))));
        for (content, ok) in [("", false), ("\n", false), ("a b", false), ("abc\n", true)] {
            std::fs::write(&file, content).unwrap();
            assert_eq!(read_token(&file).is_ok(), ok, "{content:?}");
        }
    }
}
