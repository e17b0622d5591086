//! What `hub local` keeps: secrets that only their owner can read, and where the rest lies.

use anyhow::Context;
use hub_auth::token::new_login_token;
use secrecy::ExposeSecret;
use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Places in the data directory.
pub(super) struct Files {
    pub database: PathBuf,
    /// 32 random bytes as 64 hexadecimal digits (S80).
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
    /// Makes what is not there yet (S8, S81), and refuses secrets that others can read (S82).
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
        make_secret(&files.cookie_secret, || hex::encode(rand::random::<[u8; 32]>()))?;
        make_secret(&files.login_token, || new_login_token(rand::random()).expose_secret().to_owned())?;
        refuse_readable(&files.cookie_secret, "Refusing to run JupyterHub with invalid cookie_secret_file")?;
        refuse_readable(&files.login_token, "Refusing to run with a login token that others can read")?;
        Ok(files)
    }
}

/// Made whole or not at all: a hub that is killed meanwhile must not leave an empty secret that the next one can't use.
fn make_secret(path: &Path, value: impl FnOnce() -> String) -> anyhow::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let written = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        writeln!(file, "{}", value())?;
        file.sync_all()
    };
    written().with_context(|| format!("failed to write {}", new.display()))?;
    match fs::hard_link(&new, path) {
        // Another hub was first.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        made => made.with_context(|| format!("failed to make {}", path.display()))?,
    }
    fs::remove_file(&new).with_context(|| format!("failed to remove {}", new.display()))
}

fn refuse_readable(path: &Path, refusal: &str) -> anyhow::Result<()> {
    let metadata = fs::metadata(path).with_context(|| format!("failed to look at {}", path.display()))?;
    let mode = metadata.permissions().mode() & 0o777;
    anyhow::ensure!(
        mode & 0o077 == 0,
        "{refusal}: {} has mode {mode:04o} and can be read by others; run `chmod 600 {}`",
        path.display(),
        path.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_made_once_for_their_owner_only() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("deep/data");
        let files = Files::open(&directory, "alice").unwrap();
        let cookie_secret = fs::read_to_string(&files.cookie_secret).unwrap();
        assert_eq!(hex::decode(cookie_secret.trim()).unwrap().len(), 32);
        let token = || fs::read_to_string(&files.login_token).unwrap();
        let before = token();
        assert!(before.trim().len() == 48 && before.trim().chars().all(|c| c.is_ascii_hexdigit()), "{before}");
        for path in [&files.cookie_secret, &files.login_token] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
        }
        assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        let again = Files::open(&directory, "alice").unwrap();
        assert_eq!(fs::read_to_string(&again.cookie_secret).unwrap(), cookie_secret);
        assert_eq!((again.login_token == files.login_token, token()), (true, before));
    }

    #[test]
    fn a_cookie_secret_that_others_can_read_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let files = Files::open(place.path(), "alice").unwrap();
        for mode in [0o640, 0o604, 0o666] {
            fs::set_permissions(&files.cookie_secret, fs::Permissions::from_mode(mode)).unwrap();
            let error = Files::open(place.path(), "alice").err().unwrap().to_string();
            assert!(error.starts_with("Refusing to run JupyterHub with invalid cookie_secret_file"), "{error}");
            assert!(error.contains("chmod 600"), "{error}");
        }
    }
}
