//! Hashing beside the threads that answer requests, and no more at once than half of the processors do: a crowd at the
//! login page takes neither the other half nor more memory than so many hashes need (attack row 36). Who would have to wait
//! for too long is told to come again.

use hub_auth::password::{self, PasswordHash};
use secrecy::{ExposeSecret, SecretString};
use std::{
    sync::{Arc, LazyLock},
    thread,
};
use tokio::sync::Semaphore;

use crate::error::{Failure, Result};
use axum::http::StatusCode;

/// How many may wait for each one that is hashed: with a tenth of a second for each, ten seconds.
const WAITING: usize = 100;
const RETRY_AFTER_S: u64 = 10;

/// Stands in for the password of whoever has none, so that looking for it takes as long (attack row 35).
static NOBODYS: LazyLock<PasswordHash> = LazyLock::new(|| {
    PasswordHash::of_phc(&password::phc("nobody's", rand::random())).expect("what was hashed can be verified")
});

/// The room for hashing.
pub struct Hashing {
    at_once: Arc<Semaphore>,
    /// Of those who wait and of those who are in.
    places: Arc<Semaphore>,
}

/// More logins at once than can be looked at soon.
#[derive(Debug)]
pub struct Busy;

impl From<Busy> for Failure {
    fn from(_: Busy) -> Self {
        Self::Status {
            status: StatusCode::SERVICE_UNAVAILABLE,
            message: Some("Too many people log in at this moment. Try again in a few seconds.".to_owned()),
            retry_after: Some(RETRY_AFTER_S),
        }
    }
}

impl Hashing {
    pub fn new() -> Self {
        let at_once = (thread::available_parallelism().map_or(1, usize::from) / 2).max(1);
        // Made now, so that the first unknown user does not wait for it.
        LazyLock::force(&NOBODYS);
        Self { at_once: Arc::new(Semaphore::new(at_once)), places: Arc::new(Semaphore::new(at_once * (1 + WAITING))) }
    }

    /// Whether the password is the one of this hash; `None` takes as long, and is nobody's.
    ///
    /// # Errors
    /// Too many wait, or the hub is ending.
    pub async fn verify(&self, hash: Option<PasswordHash>, password: &SecretString) -> Result<bool> {
        let password = password.clone();
        self.beside(move || match hash {
            Some(hash) => hash.verify(password.expose_secret()),
            None => {
                NOBODYS.verify(password.expose_secret());
                false
            }
        })
        .await
    }

    /// The hash of a password, as a PHC string.
    ///
    /// # Errors
    /// Too many wait, or the hub is ending.
    pub async fn hash(&self, password: &SecretString) -> Result<String> {
        let password = password.clone();
        self.beside(move || password::phc(password.expose_secret(), rand::random())).await
    }

    /// The permits end with the work: a client that goes away leaves it to be done.
    async fn beside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let Ok(place) = self.places.clone().try_acquire_owned() else { return Err(Busy.into()) };
        let permit = self.at_once.clone().acquire_owned().await?;
        let work = move || {
            let _held = (place, permit);
            work()
        };
        Ok(tokio::task::spawn_blocking(work).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_would_wait_too_long_is_told_so_and_the_others_are_not() {
        let room = Hashing { at_once: Arc::new(Semaphore::new(1)), places: Arc::new(Semaphore::new(2)) };
        let held = room.at_once.clone().acquire_owned().await.unwrap();
        let waiting = room.beside(|| 7);
        tokio::pin!(waiting);
        assert!(futures::poll!(&mut waiting).is_pending());
        let _second = room.places.clone().try_acquire_owned().unwrap();
        let refused = room.beside(|| 8).await.unwrap_err();
        assert!(matches!(
            refused,
            Failure::Status { status: StatusCode::SERVICE_UNAVAILABLE, retry_after: Some(RETRY_AFTER_S), .. }
        ));
        drop(held);
        assert_eq!(waiting.await.unwrap(), 7);
    }

    #[tokio::test]
    async fn nobodys_password_is_never_right() {
        let room = Hashing::new();
        assert!(!room.verify(None, &"nobody's".to_owned().into()).await.unwrap());
        let hash = room.hash(&"mine".to_owned().into()).await.unwrap();
        let hash = PasswordHash::of_phc(&hash).unwrap();
        assert!(room.verify(Some(hash.clone()), &"mine".to_owned().into()).await.unwrap());
        assert!(!room.verify(Some(hash), &"yours".to_owned().into()).await.unwrap());
    }
}
