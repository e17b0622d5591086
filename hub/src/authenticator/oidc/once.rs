//! What counts once: the answer to a login, and a logout token. Only what was found genuine comes here, and it is forgotten when
//! it expires, so that nobody can fill this.

use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// Digests of what came, with the second until which they are remembered.
#[derive(Debug, Default)]
pub struct Once(Mutex<HashMap<[u8; 32], i64>>);

impl Once {
    /// Whether this comes for the first time. It is good until `expires_at`, in seconds since 1970.
    pub fn is_first(&self, text: &str, expires_at: i64, now: i64) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, until| *until >= now);
        seen.insert(Sha256::digest(text).into(), expires_at).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_counts_once_and_is_forgotten_when_it_is_of_no_use() {
        let once = Once::default();
        assert_eq!(["a", "a", "b"].map(|text| once.is_first(text, 100, 50)), [true, false, true]);
        assert!(once.is_first("c", 300, 200));
        assert_eq!(once.0.lock().unwrap().len(), 1);
    }
}
