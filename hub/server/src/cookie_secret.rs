//! The secret that signs cookies: given, or in a file that is made at the first start, as `jupyter server` makes it.

use anyhow::{Context, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{
    fs::File,
    io::{ErrorKind, Read},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use crate::{
    running::{make_private_dir, write_private},
    settings::CookieSecret,
};

/// In Jupyter's runtime directory.
const FILE: &str = "jupyter_cookie_secret";

/// Reads the secret; makes it if its file isn't there.
///
/// # Errors
/// The file can't be read or written, is empty, or others can read it.
pub(crate) fn read(secret: &CookieSecret, runtime_dir: &Path) -> anyhow::Result<Vec<u8>> {
    let file = match secret {
        CookieSecret::Value(secret) => return Ok(secret.clone()),
        CookieSecret::File(Some(file)) => file.clone(),
        CookieSecret::File(None) => runtime_dir.join(FILE),
    };
    let opened = match File::open(&file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return make(&file),
        opened => opened,
    };
    let read = opened.and_then(|mut opened| {
        let mut bytes = Vec::new();
        opened.read_to_end(&mut bytes)?;
        Ok((bytes, opened.metadata()?.permissions().mode() & 0o777))
    });
    let (bytes, mode) = read.with_context(|| format!("failed to read the cookie secret {}", file.display()))?;
    if mode & 0o077 != 0 {
        let file = file.display();
        bail!("refusing the cookie secret {file}: others can read it (mode {mode:04o}); run `chmod 600 {file}`");
    }
    if bytes.trim_ascii().is_empty() {
        bail!("the cookie secret {} is empty; remove the file, and another is made", file.display());
    }
    Ok(bytes)
}

fn make(file: &Path) -> anyhow::Result<Vec<u8>> {
    let secret = STANDARD.encode(rand::random::<[u8; 32]>()) + "\n";
    let written = file.parent().map_or(Ok(()), make_private_dir).and_then(|()| write_private(file, secret.as_bytes()));
    written.with_context(|| format!("failed to write a cookie secret to {}", file.display()))?;
    Ok(secret.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_secret_is_made_once_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = dir.path().join("runtime");
        let made = read(&CookieSecret::File(None), &runtime).unwrap();
        let file = runtime.join(FILE);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&CookieSecret::File(None), &runtime).unwrap(), made);
        assert_eq!(read(&CookieSecret::File(Some(file.clone())), dir.path()).unwrap(), made);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let error = read(&CookieSecret::File(None), &runtime).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
        fs::remove_file(&file).unwrap();
        assert_ne!(read(&CookieSecret::File(None), &runtime).unwrap(), made);
        assert_eq!(read(&CookieSecret::Value(b"x".to_vec()), &runtime).unwrap(), b"x");
    }
}
