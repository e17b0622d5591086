//! Files with secrets on this machine: made for their owner only, and refused when others can read them.

use anyhow::Context;
use hub_settings::Tls;
use std::{fs, io::ErrorKind, os::unix::fs::PermissionsExt, path::Path};

use crate::own_secret::{write_beside, write_secret};

/// Makes a secret unless there is one.
///
/// # Errors
/// It can't be written.
// Made whole or not at all: a hub that is killed meanwhile must not leave an empty secret that the next one can't
// use.
pub fn make_secret(path: &Path, value: impl FnOnce() -> String) -> anyhow::Result<()> {
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

/// Writes a file whole or not at all, for its owner only.
///
/// # Errors
/// It can't be written.
pub fn write_private(path: &Path, value: &[u8]) -> anyhow::Result<()> {
    write_secret(path, value)
}

/// Refuses certificates and keys that can't be what was meant, and a key that others can read (S40). Whether the two fit
/// is the proxy's to see.
///
/// # Errors
/// The text names the setting and the remedy.
pub fn check_tls(tls: &Tls) -> anyhow::Result<()> {
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
pub const GROUP_AND_OTHERS: u32 = 0o077;
pub const OTHERS: u32 = 0o007;

/// Refuses a file with any of the bits of `mask` in its mode; `refusal` begins the text.
///
/// # Errors
/// The file has such a mode, or can't be looked at.
pub fn refuse_readable(path: &Path, mask: u32, refusal: &str) -> anyhow::Result<()> {
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
            check_tls(&Tls { certificate: at(certificate), key: key.map(at) }).map_err(|error| format!("{error:#}"))
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
