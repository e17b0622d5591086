//! The REST API's token: fixed, or read again whenever its file changes. While it rotates there are several.

use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use serde::Deserialize;
use subtle::{Choice, ConstantTimeEq as _};

use crate::config::Token;
use crate::watch::Watched;

/// Key of the token in a mounted Secret; its versions have a dot and their number after it.
const KEY: &str = "proxy-token";
/// Says which versions are accepted.
const VERSIONS: &str = "versions.json";

#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("failed to read the token file {0}: {1}")]
    Read(PathBuf, std::io::Error),
    #[error("the token file {0} is empty; write the token of hub and proxy into it")]
    Empty(PathBuf),
    #[error("the token file {0} must hold tokens of visible ASCII characters, one on each line")]
    Malformed(PathBuf),
    #[error("{0} must name the current version and every accepted one, as in {{\"current\": 1, \"accepted\": [0, 1]}}")]
    Versions(PathBuf),
}

/// Decides who may use the API.
pub(crate) struct TokenGuard {
    /// Who knows one of these; everybody if there is none at all.
    tokens: RwLock<Vec<String>>,
    /// Where they come from, and what it looked like when it was first read.
    source: Option<(Token, Watched)>,
}

/// `versions.json`, as far as the proxy needs it.
#[derive(Deserialize)]
struct Versions {
    current: u32,
    accepted: Vec<u32>,
}

impl std::fmt::Debug for TokenGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenGuard").field("source", &self.source).finish_non_exhaustive()
    }
}

impl TokenGuard {
    pub(crate) fn new(token: &Token) -> Result<Self, TokenError> {
        let source = match token {
            Token::File(path) | Token::Directory(path) => Some((token.clone(), Watched::new(vec![path.clone()]))),
            Token::None | Token::Value(_) => None,
        };
        let tokens = read_tokens(token)?;
        if tokens.is_empty() {
            tracing::warn!("REST API is not authenticated.");
        }
        Ok(Self { tokens: RwLock::new(tokens), source })
    }

    /// Whether a request with this `Authorization` field may go on; only the scheme `token` counts.
    pub(crate) fn admits(&self, authorization: Option<&[u8]>) -> bool {
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        if tokens.is_empty() {
            return true;
        }
        let given = authorization.and_then(|value| value.strip_prefix(b"token")).unwrap_or_default();
        // All are compared, so that the time doesn't say which one it was.
        let is_known = |given: &[u8]| {
            let found = tokens.iter().fold(Choice::from(0), |found, token| found | given.ct_eq(token.as_bytes()));
            bool::from(found)
        };
        given.first().is_some_and(u8::is_ascii_whitespace) && is_known(given.trim_ascii())
    }

    /// Reads the tokens again whenever they change; what cannot be used leaves the last good ones in force.
    pub(crate) async fn watch(&self) {
        let Some((source, watched)) = &self.source else {
            return std::future::pending().await;
        };
        let mut watched = watched.clone();
        loop {
            watched.changed().await;
            match read_tokens(source) {
                Ok(tokens) => {
                    tracing::info!(accepted = tokens.len(), "API token read again");
                    *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = tokens;
                }
                Err(error) => tracing::warn!(%error, "the last good API token stays in force"),
            }
        }
    }
}

/// Every token that is accepted.
fn read_tokens(token: &Token) -> Result<Vec<String>, TokenError> {
    match token {
        Token::None => Ok(Vec::new()),
        Token::Value(value) => Ok(Vec::from_iter((!value.is_empty()).then(|| value.clone()))),
        Token::File(file) => read_file(file),
        Token::Directory(directory) => read_directory(directory),
    }
}

fn read_directory(directory: &Path) -> Result<Vec<String>, TokenError> {
    // The kubelet swaps this link: what is read through it once is all of one state, or fails.
    let whole = std::fs::canonicalize(directory.join("..data")).unwrap_or_else(|_| directory.to_owned());
    let file = whole.join(VERSIONS);
    let text = match std::fs::read(&file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return read_file(&whole.join(KEY)),
        read => read.map_err(|error| TokenError::Read(file.clone(), error))?,
    };
    let versions: Versions = serde_json::from_slice(&text).map_err(|_| TokenError::Versions(file.clone()))?;
    if !versions.accepted.contains(&versions.current) {
        return Err(TokenError::Versions(file));
    }
    let read = versions.accepted.iter().map(|version| read_file(&whole.join(format!("{KEY}.{version}"))));
    Ok(read.collect::<Result<Vec<_>, _>>()?.concat())
}

/// The tokens of one file, one on each line.
fn read_file(file: &Path) -> Result<Vec<String>, TokenError> {
    let text = std::fs::read_to_string(file).map_err(|error| TokenError::Read(file.to_owned(), error))?;
    let tokens: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if tokens.is_empty() {
        Err(TokenError::Empty(file.to_owned()))
    } else if tokens.iter().all(|token| token.bytes().all(|byte| byte.is_ascii_graphic())) {
        Ok(tokens)
    } else {
        Err(TokenError::Malformed(file.to_owned()))
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
    fn a_token_file_must_hold_tokens() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        assert!(matches!(read_file(&file), Err(TokenError::Read(..))));
        for (content, expected) in
            [("", None), ("\n", None), ("a b", None), ("abc\n", Some(vec!["abc"])), ("b\n\na\n", Some(vec!["b", "a"]))]
        {
            std::fs::write(&file, content).unwrap();
            assert_eq!(read_file(&file).ok(), expected.map(|all| all.into_iter().map(str::to_owned).collect()));
        }
    }

    #[test]
    fn every_accepted_version_of_a_directory_is_admitted() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &str| std::fs::write(directory.path().join(name), content).unwrap();
        let admitted = || {
            let guard = TokenGuard::new(&Token::Directory(directory.path().to_owned())).ok()?;
            let admits = |token: &&str| guard.admits(Some(format!("token {token}").as_bytes()));
            Some(["plain", "zero", "one", "two", "three"].into_iter().filter(admits).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(admitted(), None);
        write("proxy-token", "plain\n");
        assert_eq!(admitted().as_deref(), Some("plain"));
        for (version, token) in ["zero", "one", "two", "three"].into_iter().enumerate() {
            write(&format!("proxy-token.{version}"), token);
        }
        assert_eq!(admitted().as_deref(), Some("plain"));
        for (versions, expected) in [
            (r#"{"current": 1, "accepted": [0, 1, 2], "operator": {}}"#, Some("zero one two")),
            (r#"{"current": 2, "accepted": [2]}"#, Some("two")),
            (r#"{"current": 3, "accepted": [2]}"#, None),
            (r#"{"current": 4, "accepted": [4]}"#, None),
            ("{", None),
            ("", None),
        ] {
            write(VERSIONS, versions);
            assert_eq!(admitted().as_deref(), expected, "{versions}");
        }
    }
}
