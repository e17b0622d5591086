//! `hub server password`: asks for a password and stores its hash where `jupyter server` looks for it (S21, S22).

use anyhow::{Context, bail};
use clap::Args;
use hub_auth::password;
use hub_traitlets::jupyter::Environment;
use serde_json::{Map, Value, json};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::running::{make_private_dir, write_private};

const TRIES: usize = 3;
const FILE: &str = "jupyter_server_config.json";

/// Set a password: logins need no token any more
///
/// A server that runs takes it at its next start.
#[derive(Debug, Args)]
pub(crate) struct Password {
    /// The settings file to write [default: jupyter_server_config.json in Jupyter's settings directory]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Password {
    /// # Errors
    /// No password was given twice alike, or the file can't be written.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let file = self.config.or_else(|| settings_file(&Environment::current()));
        let file = file.context("JUPYTER_NO_CONFIG is set, so there is no settings file; name one with --config")?;
        store(&file, &ask()?)?;
        eprintln!("Wrote hashed password to {}", file.display());
        Ok(())
    }
}

/// Where a password is stored.
pub(crate) fn settings_file(environment: &Environment) -> Option<PathBuf> {
    Some(environment.config_dir()?.join(FILE))
}

/// Asks on the terminal, twice, without showing what is typed.
fn ask() -> anyhow::Result<String> {
    for _ in 0..TRIES {
        let password = prompt("Enter password: ")?;
        if password != prompt("Verify password: ")? {
            eprintln!("Passwords do not match.");
        } else if password.is_empty() {
            eprintln!("An empty password would let everybody in.");
        } else {
            return Ok(password);
        }
    }
    bail!("no matching passwords were given in {TRIES} tries")
}

fn prompt(text: &str) -> anyhow::Result<String> {
    rpassword::prompt_password(text).context("failed to ask for a password; is this a terminal?")
}

/// Writes the password's hash into a settings file, keeping what else it holds, and gives it.
///
/// # Errors
/// The file isn't JSON, or can't be written.
pub(crate) fn store(file: &Path, new: &str) -> anyhow::Result<String> {
    // Where it is a link, what it leads to is written.
    let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let mut settings = read(&file)?;
    let hash = password::hash(new, rand::random());
    let provider = settings.entry("IdentityProvider").or_insert_with(|| json!({}));
    let Value::Object(provider) = provider else {
        bail!("IdentityProvider in {} is no JSON object; correct it first", file.display());
    };
    provider.insert("hashed_password".to_owned(), hash.clone().into());
    let write = || -> io::Result<()> {
        file.parent().map_or(Ok(()), make_private_dir)?;
        write_private(&file, &serde_json::to_vec_pretty(&settings)?)
    };
    write().with_context(|| format!("failed to write {}", file.display()))?;
    Ok(hash)
}

fn read(file: &Path) -> anyhow::Result<Map<String, Value>> {
    match fs::read(file) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .with_context(|| format!("failed to read {} as a JSON object; correct it first", file.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Map::new()),
        Err(error) => Err(error).with_context(|| format!("failed to read {}", file.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_hash_is_stored_beside_what_the_file_holds_s22() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("new").join(FILE);
        let hash = store(&file, "secret").unwrap();
        let written: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        assert_eq!(written, json!({"IdentityProvider": {"hashed_password": hash}}));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(password::verify(&hash, "secret") && !password::verify(&hash, "other"));

        let kept = json!({"ServerApp": {"port": 9}, "IdentityProvider": {"token": "t", "hashed_password": "old"}});
        fs::write(&file, kept.to_string()).unwrap();
        let hash = store(&file, "other").unwrap();
        let written: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let expected = json!({"ServerApp": {"port": 9}, "IdentityProvider": {"token": "t", "hashed_password": hash}});
        assert_eq!(written, expected);
    }

    #[test]
    fn a_file_that_cannot_be_kept_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(FILE);
        for broken in ["{\"a\":", "[]", "{\"IdentityProvider\": 1}"] {
            fs::write(&file, broken).unwrap();
            let error = format!("{:#}", store(&file, "secret").unwrap_err());
            assert!(error.contains(FILE) && !error.contains("secret"), "{error}");
            assert_eq!(fs::read_to_string(&file).unwrap(), broken);
        }
    }
}
