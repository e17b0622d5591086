//! The secret that signs cookies (S80): from a file that may rotate, or from the settings.

use hub_auth::cookie::Keys;
use hub_crds::versions::Versions;
use std::{path::PathBuf, sync::Arc};

use crate::{
    reread::{Reread, RereadError},
    versioned::Values,
};

/// The keys, and which version each has.
#[derive(Debug)]
pub struct CookieSecret {
    pub keys: Arc<Keys>,
    pub versions: Versions,
}

impl CookieSecret {
    /// The secret in a file of 64 hexadecimal digits, with its versions beside it.
    ///
    /// # Errors
    /// It can't be read or used.
    pub fn file(path: impl Into<PathBuf>) -> Result<Reread<Self>, RereadError> {
        let secret = Reread::versioned(path, parse);
        secret.get()?;
        Ok(secret)
    }

    /// A secret of any length that stands in the settings (S83, S84).
    pub fn fixed(secret: &[u8]) -> Reread<Self> {
        Reread::fixed(Self { keys: Arc::new(Keys::new(0, secret)), versions: Versions::first() })
    }
}

fn parse(values: &Values) -> Result<CookieSecret, String> {
    let mut keys: Option<Keys> = None;
    for (version, value) in values.iter() {
        let secret = decode(value)?;
        keys = Some(match keys {
            // The first is the one in use.
            None => Keys::new(version, &secret),
            Some(keys) => keys.accept(version, &secret),
        });
    }
    let keys = keys.ok_or("it holds no secret")?;
    Ok(CookieSecret { keys: Arc::new(keys), versions: values.versions.clone() })
}

/// 64 hexadecimal digits as 32 bytes.
fn decode(text: &[u8]) -> Result<Vec<u8>, String> {
    let secret = hex::decode(text)
        .map_err(|_| "it must hold 64 hexadecimal digits; make it with `openssl rand -hex 32`".to_owned())?;
    match secret.len() {
        32 => Ok(secret),
        n => Err(format!("it must hold 64 hexadecimal digits, not {}; make it with `openssl rand -hex 32`", 2 * n)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_64_hexadecimal_digits_s80() {
        assert!(parse(&Values::single("6b".repeat(32).as_bytes())).is_ok());
        for bad in ["6b".repeat(31), "6b".repeat(33), "xy".repeat(32), "6b6".to_owned()] {
            let refused = parse(&Values::single(bad.as_bytes())).unwrap_err();
            assert!(refused.contains("64 hexadecimal digits") && !refused.contains(&bad), "{refused}");
        }
    }
}
