//! What `hub local` keeps: the user's login token, and where the rest lies.

use anyhow::Context;
use hub_auth::token::new_login_token;
use secrecy::ExposeSecret;
use std::{
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use crate::machine::files::{GROUP_AND_OTHERS, make_secret, refuse_readable};

/// Places in the data directory.
pub(super) struct Files {
    pub database: PathBuf,
    /// The cookie secret, unless the settings name another place.
    pub cookie_secret: PathBuf,
    /// A file for each user.
    pub tokens: PathBuf,
    /// Where commands such as `hub token` are heard.
    pub control_socket: PathBuf,
    /// Logs and runtime files of the servers.
    pub servers: PathBuf,
    login_token: PathBuf,
}

impl Files {
    /// Makes what is not there yet (S8), and refuses a login token that others can read.
    pub(super) fn open(directory: &Path, user: &str) -> anyhow::Result<Self> {
        let tokens = directory.join("tokens");
        let files = Self {
            database: directory.join("jupyterhub.sqlite"),
            cookie_secret: directory.join("jupyterhub_cookie_secret"),
            control_socket: directory.join("control/hub.sock"),
            servers: directory.join("servers"),
            login_token: tokens.join(user),
            tokens,
        };
        for directory in [directory, &files.tokens, &files.servers] {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
            made.with_context(|| format!("failed to make the directory {}", directory.display()))?;
        }
        make_secret(&files.login_token, || new_login_token(rand::random()).expose_secret().to_owned())?;
        refuse_readable(
            &files.login_token,
            GROUP_AND_OTHERS,
            "Refusing to run with a login token that others can read",
        )?;
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    #[test]
    fn the_login_token_is_made_once_for_its_owner_only() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("deep/data");
        let files = Files::open(&directory, "alice").unwrap();
        let token = || fs::read_to_string(&files.login_token).unwrap();
        let before = token();
        assert!(before.trim().len() == 48 && before.trim().chars().all(|c| c.is_ascii_hexdigit()), "{before}");
        assert_eq!(fs::metadata(&files.login_token).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        let again = Files::open(&directory, "alice").unwrap();
        assert_eq!((again.login_token == files.login_token, token()), (true, before));
    }
}
