//! Login by token: a file for each user holds that user's token (S2, S4 to S8).

use hub_auth::{names::normalize_user, token::is_guessable};
use hub_crds::config::TokenLogin;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use std::path::Path;
use subtle::ConstantTimeEq;

use super::Credentials;
use crate::reread::Reread;

/// Shorter ones can be guessed; JupyterHub's API refuses them too.
const SHORTEST: usize = 8;

/// The users that may log in, each with a token file.
pub struct LoginTokens {
    users: Vec<TokenUser>,
}

/// One user. The token is known by its digest only.
pub struct TokenUser {
    pub name: String,
    pub admin: bool,
    file: Reread<Known>,
}

/// What is kept of a token.
struct Known {
    digest: [u8; 32],
    is_guessable: bool,
}

impl LoginTokens {
    /// The file in `dir` has the user's name as the settings spell it.
    pub fn new(users: &[TokenLogin], dir: &Path) -> Self {
        let users = users.iter().map(|user| TokenUser {
            name: normalize_user(&user.name),
            admin: user.admin,
            file: Reread::new(dir.join(&user.name), known_of_file),
        });
        Self { users: users.collect() }
    }

    pub fn users(&self) -> impl Iterator<Item = &TokenUser> {
        self.users.iter()
    }

    /// Whether any user has a token that can be guessed.
    pub fn has_guessable(&self) -> bool {
        self.users.iter().any(|user| user.file.get().is_ok_and(|known| known.is_guessable))
    }

    /// Each digest is compared in full, so that the time taken tells nothing. A token that two users have is nobody's.
    pub fn user_of(&self, token: &str) -> Option<String> {
        let given = digest(token.trim().as_bytes());
        let is_its = |user: &&TokenUser| {
            let stored = user.file.get().map_or([0; 32], |stored| stored.digest);
            bool::from(stored.ct_eq(&given))
        };
        let found: Vec<_> = self.users.iter().filter(is_its).collect();
        match found.as_slice() {
            [user] => Some(user.name.clone()),
            [] => None,
            users => {
                let names = users.iter().map(|user| user.name.as_str()).collect::<Vec<_>>().join(", ");
                tracing::warn!(
                    user.names = names,
                    "refused a login token that several users have: give each their own"
                );
                None
            }
        }
    }

    /// The token in the password field (S7). A user name may be left out; given, it must be the token's.
    pub fn login(&self, credentials: &Credentials) -> Option<String> {
        let name = normalize_user(credentials.username.trim());
        self.user_of(credentials.password.expose_secret()).filter(|user| name.is_empty() || *user == name)
    }
}

impl TokenUser {
    /// Tells the token from another one.
    pub fn digest(&self) -> Option<[u8; 32]> {
        self.file.get().ok().map(|known| known.digest)
    }

    /// The token itself, for the start's log line (S9).
    pub fn read_token(&self) -> Option<String> {
        self.file.get().ok()?;
        std::fs::read_to_string(self.file.path()).ok().map(|token| token.trim().to_owned())
    }
}

fn digest(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

fn known_of_file(bytes: &[u8]) -> Result<Known, String> {
    match bytes.trim_ascii() {
        token if token.len() < SHORTEST => Err(format!("a login token needs at least {SHORTEST} characters")),
        token => Ok(Known { digest: digest(token), is_guessable: is_guessable(token.len()) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_its_users_only_and_is_read_again_s7() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("Alice"), "alices-secret-token\n").unwrap();
        std::fs::write(dir.path().join("bob"), "short").unwrap();
        let users = ["Alice", "bob"].map(|name| TokenLogin { name: name.into(), admin: false });
        let tokens = LoginTokens::new(&users, dir.path());
        let login = |username: &str, password: &str| {
            tokens.login(&Credentials { username: username.into(), password: password.to_owned().into() })
        };
        assert_eq!(login("", "alices-secret-token").as_deref(), Some("alice"));
        assert_eq!(login("ALICE ", "alices-secret-token").as_deref(), Some("alice"));
        for (username, password) in
            [("bob", "alices-secret-token"), ("bob", "short"), ("alice", ""), ("", ""), ("eve", "x")]
        {
            assert_eq!(login(username, password), None, "{username} {password}");
        }
        std::fs::write(dir.path().join("bob"), "bobs-much-longer-token").unwrap();
        assert_eq!(tokens.user_of("bobs-much-longer-token").as_deref(), Some("bob"));
        std::fs::write(dir.path().join("bob"), "alices-secret-token").unwrap();
        assert_eq!(tokens.user_of("alices-secret-token"), None, "whose it is nobody can say");
    }
}
