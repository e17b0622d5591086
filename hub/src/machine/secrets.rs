//! The secrets of a hub on one machine: in settings, in variables, or in files that the hub makes and keeps itself.

use anyhow::Context;
use hub_settings::{CookieSecretPlace, PlacedSecret, Settings};
use hub_traitlets::Variables;
use secrecy::{ExposeSecret, SecretString};
use std::path::Path;
use tokio::sync::Mutex;

use super::files::{OTHERS, make_secret, refuse_readable};
use crate::{
    auth_state::{self, CryptKeeper},
    cookie_secret::CookieSecret,
    own_secret::OwnSecret,
    reread::Reread,
    rotation::Keeper,
};

/// How JupyterHub begins its refusals, by which people look for them.
const REFUSED: &str = "Refusing to run JupyterHub with invalid cookie_secret_file";

/// What a hub on one machine signs, encrypts and speaks to its proxy with.
pub struct Secrets {
    pub cookie_secret: Reread<CookieSecret>,
    pub crypt_keys: Option<CryptKeeper>,
    pub proxy_token: SecretString,
    pub keeper: Keeper,
}

impl Secrets {
    /// Reads what there is, and makes what is missing (S55, S81). `own_file` is the cookie secret's if no setting names one;
    /// then nobody with a bit of `own_mask` may read it.
    ///
    /// # Errors
    /// One can't be used, or others can read it (S82).
    pub fn open(settings: &Settings, own_file: &Path, own_mask: u32, variables: &Variables) -> anyhow::Result<Self> {
        let (cookie_secret, keeps_cookie_secret) = match &settings.cookie_secret {
            CookieSecretPlace::Value { secret, place } => {
                (CookieSecret::fixed(secret.expose_secret()), Err(elsewhere("cookie secret", place)))
            }
            CookieSecretPlace::File(None) => of_file(&std::path::absolute(own_file)?, own_mask)?,
            CookieSecretPlace::File(Some(file)) => of_file(&std::path::absolute(file)?, OTHERS)?,
        };
        let (proxy_token, keeps_proxy_token) = proxy_token(settings.proxy.token.as_ref());
        Ok(Self {
            cookie_secret,
            crypt_keys: crypt_keys(variables)?,
            proxy_token,
            keeper: Keeper::Own { cookie_secret: keeps_cookie_secret, proxy_token: keeps_proxy_token },
        })
    }
}

type Kept = Result<Mutex<OwnSecret>, String>;

fn of_file(file: &Path, mask: u32) -> anyhow::Result<(Reread<CookieSecret>, Kept)> {
    OwnSecret::new(file).settle()?;
    make_secret(file, || hex::encode(rand::random::<[u8; 32]>()))?;
    refuse_readable(file, mask, REFUSED)?;
    let remedy = "write what `openssl rand -hex 32` gives into it, or remove it to have one made";
    let secret = CookieSecret::file(file).with_context(|| format!("{REFUSED}; {remedy}"))?;
    Ok((secret, Ok(Mutex::new(OwnSecret::new(file)))))
}

/// The token and why it doesn't rotate. Unless there is one, it is one that nobody else knows (S55).
fn proxy_token(told: Option<&PlacedSecret>) -> (SecretString, String) {
    match told {
        Some(PlacedSecret { secret, place }) => (secret.clone(), elsewhere("proxy's token", place)),
        None => (
            hex::encode(rand::random::<[u8; 32]>()).into(),
            "the proxy's token is made anew at each start and known to this process alone: start the hub anew"
                .to_owned(),
        ),
    }
}

fn elsewhere(what: &str, place: &str) -> String {
    format!("the {what} is {place}; put another one there and start the hub anew")
}

fn crypt_keys(variables: &Variables) -> anyhow::Result<Option<CryptKeeper>> {
    let keys = variables.get(auth_state::VARIABLE).filter(|keys| !keys.is_empty());
    keys.map(|keys| CryptKeeper::fixed(keys))
        .transpose()
        .map_err(|complaint| anyhow::anyhow!("failed to use the variable {}: {complaint}", auth_state::VARIABLE))
}

#[cfg(test)]
mod tests {
    use super::super::files::GROUP_AND_OTHERS;
    use super::*;
    use hub_traitlets::{Config, Origin};
    use std::{fs, os::unix::fs::PermissionsExt};

    fn settings(cookie_secret_file: Option<&Path>) -> Settings {
        let mut config = Config::default();
        if let Some(file) = cookie_secret_file {
            let file = file.display().to_string().as_str().into();
            config.set("JupyterHub", "cookie_secret_file", file, Origin::CommandLine);
        }
        Settings::read(&config, &Variables::new()).unwrap()
    }

    fn open(own_file: &Path) -> anyhow::Result<Secrets> {
        Secrets::open(&settings(None), own_file, GROUP_AND_OTHERS, &Variables::new())
    }

    #[test]
    fn the_cookie_secret_is_made_once_for_its_owner_only_s80_s81() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("jupyterhub_cookie_secret");
        open(&file).unwrap();
        let made = fs::read_to_string(&file).unwrap();
        assert_eq!(hex::decode(made.trim()).unwrap().len(), 32);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        open(&file).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), made);
    }

    #[test]
    fn a_cookie_secret_that_others_can_read_is_refused_s82() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("jupyterhub_cookie_secret");
        open(&file).unwrap();
        for mode in [0o640, 0o604, 0o666] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let error = open(&file).err().unwrap().to_string();
            assert!(error.starts_with("Refusing to run JupyterHub with invalid cookie_secret_file"), "{error}");
            assert!(error.contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn a_cookie_secret_that_is_none_is_refused_s80() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("jupyterhub_cookie_secret");
        for bad in ["", "6b6b6", "not hexadecimal"] {
            fs::write(&file, bad).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            let error = format!("{:#}", open(&file).err().unwrap());
            assert!(error.starts_with(REFUSED) && error.contains("openssl rand -hex 32"), "{error}");
        }
    }

    #[test]
    fn a_cookie_secret_file_of_the_settings_is_made_and_its_group_may_read_it_s81() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("named");
        let settings = settings(Some(&file));
        let open = || Secrets::open(&settings, &place.path().join("own"), GROUP_AND_OTHERS, &Variables::new());
        open().unwrap();
        assert!(file.exists() && !place.path().join("own").exists());
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(open().is_ok());
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(open().is_err());
    }
}
