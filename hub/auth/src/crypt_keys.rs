//! The keys that encrypt `auth_state`, by version: the version in use encrypts, every accepted one decrypts.

use secrecy::SecretSlice;

use crate::fernet::{BadKey, Key};

/// Keys of every accepted version. A version may hold several keys: the first of them encrypts.
#[derive(Debug)]
pub struct CryptKeys {
    /// Those of the version in use first; none is empty.
    versions: Vec<(u32, Vec<Key>)>,
}

/// What was encrypted, and with what.
#[derive(Debug)]
pub struct Opened {
    pub data: SecretSlice<u8>,
    /// When it was encrypted first.
    pub time: u64,
    pub version: u32,
    /// It is encrypted with the key that would encrypt it now.
    pub is_current: bool,
}

impl CryptKeys {
    /// Of texts as in `JUPYTERHUB_CRYPT_KEY`, the version in use first.
    ///
    /// # Errors
    /// One of them holds no keys, or there is none.
    pub fn parse<'a>(versions: impl IntoIterator<Item = (u32, &'a [u8])>) -> Result<Self, BadKey> {
        let parse = |(version, text)| Ok((version, Key::parse_list(text)?));
        let versions = versions.into_iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        if versions.is_empty() { Err(BadKey) } else { Ok(Self { versions }) }
    }

    /// The version that encrypts.
    pub fn current(&self) -> u32 {
        self.versions.first().map_or(0, |(version, _)| *version)
    }

    /// Every version that decrypts.
    pub fn versions(&self) -> impl Iterator<Item = u32> {
        self.versions.iter().map(|(version, _)| *version)
    }

    /// Encrypts at `time`, in seconds since 1970, with an IV that must be random and is never used again.
    pub fn encrypt(&self, data: &[u8], time: u64, iv: [u8; 16]) -> String {
        let (_, keys) = self.versions.first().expect("there is always one in use");
        keys.first().expect("no version is without a key").encrypt(data, time, iv)
    }

    /// What a token holds; `None` if no key opens it.
    pub fn decrypt(&self, token: &[u8]) -> Option<Opened> {
        let all = self.versions.iter().flat_map(|(version, keys)| keys.iter().map(move |key| (*version, key)));
        all.enumerate().find_map(|(at, (version, key))| {
            let opened = key.decrypt(token)?;
            Some(Opened { data: opened.data, time: opened.time, version, is_current: at == 0 })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    #[test]
    fn the_first_key_of_the_version_in_use_encrypts_and_all_decrypt() {
        let (a, b, c) = ("61".repeat(32), "62".repeat(32), "63".repeat(32));
        let before = CryptKeys::parse([(0, a.as_bytes())]).unwrap();
        let token = before.encrypt(b"x", 7, [1; 16]);
        let text = format!("{b};{c}");
        let keys = CryptKeys::parse([(2, text.as_bytes()), (0, a.as_bytes())]).unwrap();
        assert_eq!((keys.current(), keys.versions().collect::<Vec<_>>()), (2, vec![2, 0]));
        let opened = keys.decrypt(token.as_bytes()).unwrap();
        assert_eq!((opened.version, opened.is_current, opened.time), (0, false, 7));
        let renewed = keys.encrypt(opened.data.expose_secret(), opened.time, [2; 16]);
        let opened = keys.decrypt(renewed.as_bytes()).unwrap();
        assert!(opened.version == 2 && opened.is_current);
        assert!(before.decrypt(renewed.as_bytes()).is_none());
        let of_second = CryptKeys::parse([(9, c.as_bytes())]).unwrap().encrypt(b"x", 7, [3; 16]);
        assert!(!keys.decrypt(of_second.as_bytes()).unwrap().is_current);
        assert!(CryptKeys::parse([]).is_err() && CryptKeys::parse([(0, &b";"[..])]).is_err());
    }
}
