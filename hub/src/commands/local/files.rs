//! What `hub local` keeps: secrets that only their owner can read, and where the rest lies.

use anyhow::Context;
use hub_auth::token::new_login_token;
use hub_proxy::TlsFiles;
use secrecy::ExposeSecret;
use std::{
    fs::{self, DirBuilder},
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::settings::CookieSecretPlace;
use crate::own_secret::{OwnSecret, write_beside};

/// Places in the data directory.
pub(super) struct Files {
    pub database: PathBuf,
    /// 32 random bytes as 64 hexadecimal digits (S80); there if the secret stands in no setting.
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
    pub(super) fn open(directory: &Path, user: &str, cookie_secret: &CookieSecretPlace) -> anyhow::Result<Self> {
        let tokens = directory.join("tokens");
        let named = match cookie_secret {
            CookieSecretPlace::File(Some(file)) => Some(std::path::absolute(file)?),
            _ => None,
        };
        let own_mask = if named.is_some() { OTHERS } else { GROUP_AND_OTHERS };
        let files = Self {
            database: directory.join("jupyterhub.sqlite"),
            cookie_secret: named.unwrap_or_else(|| directory.join("jupyterhub_cookie_secret")),
            control_socket: directory.join("control/hub.sock"),
            servers: directory.join("servers"),
            login_token: tokens.join(user),
            tokens,
        };
        for directory in [directory, &files.tokens, &files.servers] {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
            made.with_context(|| format!("failed to make the directory {}", directory.display()))?;
        }
        if matches!(cookie_secret, CookieSecretPlace::File(_)) {
            OwnSecret::new(&files.cookie_secret).settle()?;
            make_secret(&files.cookie_secret, || hex::encode(rand::random::<[u8; 32]>()))?;
            refuse_readable(
                &files.cookie_secret,
                own_mask,
                "Refusing to run JupyterHub with invalid cookie_secret_file",
            )?;
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

/// Made whole or not at all: a hub that is killed meanwhile must not leave an empty secret that the next one can't use.
fn make_secret(path: &Path, value: impl FnOnce() -> String) -> anyhow::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let written = write_beside(path, value().as_bytes());
    let new = written.with_context(|| format!("failed to write beside {}", path.display()))?;
    match fs::hard_link(&new, path) {
        // Another hub was first.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        made => made.with_context(|| format!("failed to make {}", path.display()))?,
    }
    fs::remove_file(&new).with_context(|| format!("failed to remove {}", new.display()))
}

/// Refuses certificates and keys that can't be what was meant, and a key that others can read (S40). Whether the two fit
/// is the proxy's to see.
pub(super) fn check_tls(tls: &TlsFiles) -> anyhow::Result<()> {
    check_named("ssl_cert", &tls.certificate, "fullchain.pem")?;
    let (name, key) = match &tls.key {
        Some(key) => ("ssl_key", key),
        None => ("ssl_cert, which holds the key", &tls.certificate),
    };
    check_named("ssl_key", key, "privkey.pem")?;
    refuse_readable(key, OTHERS, &format!("Refusing to run JupyterHub with invalid {name}"))
}

/// A path of a setting: the file is there, and it is one.
fn check_named(name: &str, path: &Path, such_as: &str) -> anyhow::Result<()> {
    let path_text = path.display();
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            anyhow::bail!(
                "failed to use JupyterHub.{name}: {path_text} is a directory; name the file in it, such as {path_text}/{such_as}"
            )
        }
        Ok(_) => Ok(()),
        // The page's own example (S45).
        Err(error) if error.kind() == ErrorKind::NotFound && path.to_string_lossy().contains(['{', '}']) => {
            anyhow::bail!(
                "failed to use JupyterHub.{name}: put the name of your host in the place of the braces in {path_text}"
            )
        }
        Err(error) => Err(error).with_context(|| format!("failed to read {path_text}, which JupyterHub.{name} names")),
    }
}

/// Whose reading makes a file no secret: where the hub made it, nobody but its owner may; where an administrator did, its
/// group may, as in JupyterHub.
const GROUP_AND_OTHERS: u32 = 0o077;
const OTHERS: u32 = 0o007;

fn refuse_readable(path: &Path, mask: u32, refusal: &str) -> anyhow::Result<()> {
    let metadata = fs::metadata(path).with_context(|| format!("failed to look at {}", path.display()))?;
    let mode = metadata.permissions().mode() & 0o777;
    anyhow::ensure!(
        mode & mask == 0,
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
        let files = Files::open(&directory, "alice", &CookieSecretPlace::File(None)).unwrap();
        let cookie_secret = fs::read_to_string(&files.cookie_secret).unwrap();
        assert_eq!(hex::decode(cookie_secret.trim()).unwrap().len(), 32);
        let token = || fs::read_to_string(&files.login_token).unwrap();
        let before = token();
        assert!(before.trim().len() == 48 && before.trim().chars().all(|c| c.is_ascii_hexdigit()), "{before}");
        for path in [&files.cookie_secret, &files.login_token] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
        }
        assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        let again = Files::open(&directory, "alice", &CookieSecretPlace::File(None)).unwrap();
        assert_eq!(fs::read_to_string(&again.cookie_secret).unwrap(), cookie_secret);
        assert_eq!((again.login_token == files.login_token, token()), (true, before));
    }

    #[test]
    fn a_cookie_secret_that_others_can_read_is_refused_s82() {
        let place = tempfile::tempdir().unwrap();
        let files = Files::open(place.path(), "alice", &CookieSecretPlace::File(None)).unwrap();
        for mode in [0o640, 0o604, 0o666] {
            fs::set_permissions(&files.cookie_secret, fs::Permissions::from_mode(mode)).unwrap();
            let error = Files::open(place.path(), "alice", &CookieSecretPlace::File(None)).err().unwrap().to_string();
            assert!(error.starts_with("Refusing to run JupyterHub with invalid cookie_secret_file"), "{error}");
            assert!(error.contains("chmod 600"), "{error}");
        }
    }
    #[test]
    fn a_cookie_secret_file_of_the_settings_is_made_and_its_group_may_read_it_s81() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("named");
        let named = CookieSecretPlace::File(Some(file.clone()));
        let files = Files::open(&place.path().join("data"), "alice", &named).unwrap();
        assert!(files.cookie_secret == file && file.exists());
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(Files::open(&place.path().join("data"), "alice", &named).is_ok());
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Files::open(&place.path().join("data"), "alice", &named).is_err());
    }

    #[test]
    fn keys_that_others_can_read_and_paths_that_were_copied_from_the_page_are_refused_s40_s45() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        fs::create_dir(at("live")).unwrap();
        for (name, mode) in [("cert", 0o644), ("key", 0o640), ("open", 0o644), ("both", 0o600)] {
            fs::write(at(name), "x").unwrap();
            fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        std::os::unix::fs::symlink(at("key"), at("link")).unwrap();
        let check = |certificate: &str, key: Option<&str>| {
            check_tls(&TlsFiles { certificate: at(certificate), key: key.map(at) })
                .map_err(|error| format!("{error:#}"))
        };
        check("cert", Some("key")).unwrap();
        check("cert", Some("link")).unwrap();
        check("both", None).unwrap();
        for (certificate, key, message) in [
            ("cert", Some("open"), "Refusing to run JupyterHub with invalid ssl_key"),
            ("cert", None, "Refusing to run JupyterHub with invalid ssl_cert, which holds the key"),
            ("live", Some("key"), "/live is a directory; name the file in it, such as"),
            ("cert", Some("live"), "privkey.pem"),
            ("{mydomain.tld}/fullchain.pem", Some("key"), "put the name of your host in the place of the braces"),
            ("cert", Some("{mydomain.tld}/privkey.pem"), "JupyterHub.ssl_key: put the name of your host"),
            ("nothing", Some("key"), "which JupyterHub.ssl_cert names"),
        ] {
            let refused = check(certificate, key).unwrap_err();
            assert!(refused.contains(message), "{refused}");
        }
    }
}
