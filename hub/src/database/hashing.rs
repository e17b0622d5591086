//! Hashes of many rounds, beside the threads that answer requests: one takes a millisecond or more, and anyone can ask
//! for one with a wrong client secret. Only as many run at a time as leave the rest of the machine to everyone else.

use super::{DatabaseError, Result};
use hub_auth::token;
use std::{sync::LazyLock, thread};
use tokio::sync::Semaphore;

/// Half of the processors; whoever comes later waits without holding one.
static ROOM: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new((thread::available_parallelism().map_or(1, usize::from) / 2).max(1)));

/// Whether `text` is what `stored` was made from.
///
/// # Errors
/// If the hub is ending.
pub(super) async fn verify(stored: &str, text: &str) -> Result<bool> {
    // What can't be a secret costs nothing.
    if !token::is_slow(stored) || !token::LENGTH.contains(&text.len()) {
        return Ok(token::verify_token(stored, text));
    }
    let (stored, text) = (stored.to_owned(), text.to_owned());
    beside(move || token::verify_token(&stored, &text)).await
}

/// The text that is stored for a secret that somebody may have chosen; the empty text for none.
///
/// # Errors
/// If the hub is ending.
pub(super) async fn hash(secret: &str) -> Result<String> {
    if secret.is_empty() {
        return Ok(String::new());
    }
    let secret = secret.to_owned();
    beside(move || token::hash_token(&secret, token::CONFIGURED_ROUNDS, rand::random())).await
}

async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let _permit = ROOM.acquire().await.expect("the semaphore is never closed");
    tokio::task::spawn_blocking(work).await.map_err(|source| DatabaseError::Hash { source })
}
