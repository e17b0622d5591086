//! Fernet, in which JupyterHub encrypts `auth_state`: AES-128 in CBC mode, then HMAC-SHA256 over the whole.
//!
//! A token is `80 | time, 8 bytes | IV, 16 bytes | ciphertext | HMAC, 32 bytes` in URL-safe Base64
//! (<https://github.com/fernet/spec/blob/master/Spec.md>). Several keys are JupyterHub's `MultiFernet`: the first encrypts,
//! each decrypts.

use aes::Aes128;
use base64::{Engine, engine::general_purpose::URL_SAFE};
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, block_padding::Pkcs7};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice};
use sha2::Sha256;

const VERSION: u8 = 0x80;
/// Version, time and IV.
const HEAD: usize = 1 + 8 + 16;
const TAG: usize = 32;

/// A key that can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key is 32 bytes as 64 hexadecimal digits, or in URL-safe Base64; make one with `openssl rand -hex 32`")]
pub struct BadKey;

/// A key: 16 bytes that sign, and 16 that encrypt.
#[derive(Clone, Debug)]
pub struct Key(SecretSlice<u8>);

impl Key {
    /// From 64 hexadecimal digits, from the 44 characters that 32 bytes are in Base64, or from 32 characters as they are:
    /// as JupyterHub reads it.
    ///
    /// # Errors
    /// It is none of these.
    pub fn parse(text: &[u8]) -> Result<Self, BadKey> {
        let bytes = match text.len() {
            64 => hex::decode(text).map_err(|_| BadKey)?,
            44 => URL_SAFE.decode(text).map_err(|_| BadKey)?,
            _ => text.to_vec(),
        };
        let key = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| BadKey)?;
        Ok(Self(key.to_vec().into()))
    }

    /// Several keys with `;` between them, as in `JUPYTERHUB_CRYPT_KEY`.
    ///
    /// # Errors
    /// One of them is no key, or there is none.
    pub fn parse_list(text: &[u8]) -> Result<Vec<Self>, BadKey> {
        let parts = text.split(|byte| *byte == b';').map(<[u8]>::trim_ascii).filter(|part| !part.is_empty());
        let keys = parts.map(Self::parse).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() { Err(BadKey) } else { Ok(keys) }
    }

    fn mac(&self) -> Hmac<Sha256> {
        Hmac::new_from_slice(&self.0.expose_secret()[..16]).expect("HMAC takes keys of any length")
    }

    fn cipher_key(&self) -> &[u8] {
        &self.0.expose_secret()[16..]
    }

    /// Encrypts at `time`, in seconds since 1970, with an IV that must be random and is never used again.
    pub fn encrypt(&self, data: &[u8], time: u64, iv: [u8; 16]) -> String {
        let cipher = cbc::Encryptor::<Aes128>::new_from_slices(self.cipher_key(), &iv)
            .expect("key and IV have the lengths that AES-128 wants");
        let mut token = vec![VERSION];
        token.extend(time.to_be_bytes());
        token.extend(iv);
        token.extend(cipher.encrypt_padded_vec::<Pkcs7>(data));
        let mut mac = self.mac();
        mac.update(&token);
        token.extend(mac.finalize().into_bytes());
        URL_SAFE.encode(token)
    }

    /// What was encrypted with this key, and when; `None` if something else was, or nothing.
    pub fn decrypt(&self, token: &[u8]) -> Option<Decrypted> {
        let token = URL_SAFE.decode(token.trim_ascii()).ok()?;
        let (signed, tag) = token.split_at_checked(token.len().checked_sub(TAG)?)?;
        let mut mac = self.mac();
        mac.update(signed);
        mac.verify_slice(tag).ok()?;
        let (head, encrypted) = signed.split_at_checked(HEAD)?;
        let (version, rest) = head.split_first()?;
        let (time, iv) = rest.split_first_chunk::<8>()?;
        if *version != VERSION {
            return None;
        }
        let cipher = cbc::Decryptor::<Aes128>::new_from_slices(self.cipher_key(), iv).ok()?;
        let data = cipher.decrypt_padded_vec::<Pkcs7>(encrypted).ok()?;
        Some(Decrypted { data: data.into(), time: u64::from_be_bytes(*time) })
    }
}

/// What a token held.
#[derive(Debug)]
pub struct Decrypted {
    pub data: SecretSlice<u8>,
    /// When it was encrypted first: a new encryption of the same data keeps it.
    pub time: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: u64 = 1_795_440_749;
    const IV: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
    const DATA: &[u8] = br#"{"access_token": "s3cret", "groups": ["a", "\u00fc"]}"#;

    /// What Python's `cryptography` 50.0.2 makes of these, with keys of 32 times the same byte.
    const OF_OLD: &str = "gAAAAABrBEBtAAECAwQFBgcICQoLDA0OD_acSBd4_5oXUv5lPYY4X4nQOdW9Rl3aH_teM0E44LRNujhlYw2AW_0gBbUQ-dAxQxVcuGtBgAAbvd4oboGR0aUKqN479osRxIWL-SdrrjptAvFuHHeEz1VQ2leemew9Dg==";
    const OF_NEW: &str = "gAAAAABrBEBtAAECAwQFBgcICQoLDA0OD3tSzORrOLA11WsZtOwOpPeW0TgdflTjau5rjoSCCNURklF-PZlLYHhbIwZJjECl88jXK2FuGIKSVokVjC1jqhUsCJGAMVPvy6l_y6eMUjp0Tzrbqt_6MYAIwYI4bvvaCw==";
    const EMPTY: &str =
        "gAAAAABrBEBtAAECAwQFBgcICQoLDA0OD2p2qEdxFZUf9Xe2bSyF_84QYDxJBBkF3TsgveiJlep_WVohdcn8B2au9ObDbMepww==";
    const BLOCK: &str = "gAAAAABrBEBtAAECAwQFBgcICQoLDA0ODxTws4DHOIsFdSIsC7OtmNlLvxQEbArCqxyVl63WtxpVlky1WYjQHFCtc6KreUqkgL120TsuauOrQmeWid6tiNw=";
    /// `MultiFernet([new, old]).rotate(OF_OLD)`.
    const ROTATED: &str = "gAAAAABrBEBtWK3M-e6x-6Tc0nxvZ3-flutUo9p8d7w-iUEhmVKRWcNRn3EsBcEwnYcLU5NzwTaidydOJR9pQmWf3NbJk1F8yKZzGAdvQ95Khk35XLae8xxNZYYw4rO7Aygxj74JJ04ZHPNSwCyTpDRduAhsvRQc6Q==";

    fn old() -> Key {
        Key::parse(&[0x6b; 32]).unwrap()
    }

    fn new() -> Key {
        Key::parse(&[0x6c; 32]).unwrap()
    }

    #[test]
    fn tokens_are_byte_for_byte_those_of_pythons_cryptography() {
        for (key, data, token) in
            [(old(), DATA, OF_OLD), (new(), DATA, OF_NEW), (old(), b"", EMPTY), (old(), &[b'x'; 16], BLOCK)]
        {
            assert_eq!(key.encrypt(data, TIME, IV), token);
            let opened = key.decrypt(token.as_bytes()).unwrap();
            assert_eq!((opened.data.expose_secret(), opened.time), (data, TIME));
        }
        let rotated = new().decrypt(ROTATED.as_bytes()).unwrap();
        assert_eq!((rotated.data.expose_secret(), rotated.time), (DATA, TIME));
        assert!(old().decrypt(OF_NEW.as_bytes()).is_none() && old().decrypt(ROTATED.as_bytes()).is_none());
    }

    #[test]
    fn a_change_of_any_byte_is_noticed_and_nothing_panics() {
        let whole = URL_SAFE.decode(OF_OLD).unwrap();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert!(old().decrypt(URL_SAFE.encode(&changed).as_bytes()).is_none(), "{at}");
            assert!(old().decrypt(URL_SAFE.encode(&whole[..at]).as_bytes()).is_none(), "{at}");
        }
        for nothing in ["", "gAAAAAB", "\u{fc}", "===="] {
            assert!(old().decrypt(nothing.as_bytes()).is_none());
        }
    }

    #[test]
    fn keys_are_written_as_jupyterhub_takes_them() {
        let hex = "6b".repeat(32);
        let base64 = URL_SAFE.encode([0x6b; 32]);
        let raw = "k".repeat(32);
        for text in [&hex, &base64, &raw] {
            assert!(Key::parse(text.as_bytes()).unwrap().decrypt(OF_OLD.as_bytes()).is_some(), "{}", text.len());
        }
        assert_eq!(Key::parse_list(format!(" {hex} ;{base64};").as_bytes()).unwrap().len(), 2);
        for bad in ["", ";", "6b", &"6b".repeat(31), &"xy".repeat(32), &format!("{hex};short")] {
            let refused = Key::parse_list(bad.as_bytes()).unwrap_err().to_string();
            assert!(refused.contains("openssl rand -hex 32"), "{refused}");
        }
        let shown = format!("{:?}", old());
        assert!(!shown.contains("107") && !shown.contains("6b"), "{shown}");
    }
}
