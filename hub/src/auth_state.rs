//! `auth_state`, what a login left of its user: encrypted in the database as JupyterHub does it, and encrypted anew in the
//! background when the keys rotate.
//!
//! Each row says for itself with which key it is encrypted, so that nothing needs to be remembered: a hub that is killed
//! in the middle goes on where it was.

use hub_auth::crypt_keys::{CryptKeys, Opened};
use hub_crds::versions::Versions;
use secrecy::ExposeSecret;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    app::App,
    database::{DatabaseError, EncryptedState, User},
    error::Result,
    reread::{Reread, RereadError},
    versioned::Values,
};

/// JupyterHub's variable: keys with `;` between them.
pub const VARIABLE: &str = "JUPYTERHUB_CRYPT_KEY";
/// Rows in one transaction, and the pause after it: requests come first.
const BATCH: u32 = 50;
const PAUSE: Duration = Duration::from_millis(50);
/// Another program may have written with an old key meanwhile.
const AGAIN: Duration = Duration::from_secs(3600);

/// The keys, and how far the database is encrypted with them.
pub struct CryptKeeper {
    keys: Reread<VersionedKeys>,
    /// None before the first look through the whole database.
    seen: Mutex<Option<Seen>>,
}

struct VersionedKeys {
    keys: CryptKeys,
    versions: Versions,
}

/// What the last look through the whole database found.
struct Seen {
    with: Arc<VersionedKeys>,
    at: Instant,
    in_use: BTreeSet<u32>,
    unreadable: u64,
}

impl CryptKeeper {
    /// The keys in a file with its versions beside it.
    ///
    /// # Errors
    /// It can't be read or used.
    pub fn file(path: &Path) -> Result<Self, RereadError> {
        let keys = Reread::versioned(path, parse);
        keys.get()?;
        Ok(Self { keys, seen: Mutex::default() })
    }

    /// Keys that never rotate while this hub runs, as in [`VARIABLE`].
    ///
    /// # Errors
    /// They are no keys; says what to write.
    pub fn fixed(keys: &str) -> Result<Self, String> {
        let keys = Reread::fixed(parse(&Values::single(keys.as_bytes()))?);
        Ok(Self { keys, seen: Mutex::default() })
    }

    /// Which versions there are.
    ///
    /// # Errors
    /// There never was a file that could be used.
    pub fn versions(&self) -> Result<Versions, RereadError> {
        Ok(self.keys.get()?.versions.clone())
    }

    /// The versions with which something in the database may still be encrypted: until that is known, all.
    pub fn in_use(&self) -> BTreeSet<u32> {
        let Ok(keys) = self.keys.get() else { return BTreeSet::new() };
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match &*seen {
            Some(seen) if Arc::ptr_eq(&seen.with, &keys) => seen.in_use.clone(),
            _ => keys.keys.versions().collect(),
        }
    }

    /// Whether the whole database was looked through with these keys lately.
    fn is_done(&self, with: &Arc<VersionedKeys>) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.as_ref().is_some_and(|seen| Arc::ptr_eq(&seen.with, with) && seen.at.elapsed() < AGAIN)
    }

    /// Notes what was found; true if it is worth a line in the log.
    fn note(&self, found: Seen) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let before = seen.as_ref().map_or(0, |seen| seen.unreadable);
        let is_news = found.unreadable != before;
        *seen = Some(found);
        is_news
    }
}

fn parse(values: &Values) -> Result<VersionedKeys, String> {
    let keys = CryptKeys::parse(values.iter()).map_err(|error| error.to_string())?;
    Ok(VersionedKeys { keys, versions: values.versions.clone() })
}

/// Encrypts with the key in use whatever is encrypted with another one, if the keys have changed or the last look was long
/// ago. What no key opens stays as it is.
///
/// # Errors
/// The database can't be read or written, or the keys can't be used. What was done stays done.
pub async fn encrypt_anew(app: &App) -> anyhow::Result<()> {
    let Some(keeper) = &app.crypt_keys else { return Ok(()) };
    let keys = keeper.keys.get()?;
    if keeper.is_done(&keys) {
        return Ok(());
    }
    let (mut after, mut renewed, mut unreadable, mut is_used) = (0, 0_u64, 0_u64, false);
    loop {
        let batch = app.database.encrypted_states(after, BATCH).await?;
        let Some(last) = batch.last() else { break };
        after = last.user_id;
        let mut changes = Vec::new();
        for state in batch {
            match keys.keys.decrypt(&state.token) {
                None => unreadable += 1,
                Some(opened) => {
                    is_used = true;
                    if !opened.is_current {
                        changes.push(renewal(&keys.keys, state, &opened));
                    }
                }
            }
        }
        if !changes.is_empty() {
            renewed += changes.len() as u64;
            app.database.replace_encrypted_states(&changes).await?;
        }
        tokio::time::sleep(PAUSE).await;
    }
    let in_use = is_used.then(|| keys.keys.current()).into_iter().collect();
    let version = keys.keys.current();
    if renewed > 0 {
        tracing::info!(version, renewed, "encrypted what logins left with the current version of the crypt keys");
    }
    let is_news = keeper.note(Seen { with: keys, at: Instant::now(), in_use, unreadable });
    if is_news && unreadable > 0 {
        tracing::warn!(unreadable, "no crypt key opens some of what logins left; it stays as it is");
    } else if is_news {
        tracing::info!("the crypt keys open all that logins left again");
    }
    Ok(())
}

fn renewal(keys: &CryptKeys, state: EncryptedState, opened: &Opened) -> (EncryptedState, String) {
    let token = keys.encrypt(opened.data.expose_secret(), opened.time, rand::random());
    (state, token)
}

/// What a user's login left; `null` if it left nothing or it can't be read.
///
/// # Errors
/// The database can't be read.
pub async fn auth_state(app: &App, user: &User) -> Result<Value, DatabaseError> {
    let Some(keeper) = &app.crypt_keys else { return Ok(Value::Null) };
    let Some(token) = app.database.encrypted_state(user.id).await? else { return Ok(Value::Null) };
    let opened = keeper.keys.get().ok().and_then(|keys| keys.keys.decrypt(&token));
    Ok(opened.and_then(|opened| serde_json::from_slice(opened.data.expose_secret()).ok()).unwrap_or_default())
}

/// Keeps what a user's login left, encrypted. Without keys nothing is kept.
///
/// # Errors
/// The keys can't be used, or the database can't be written.
pub async fn keep(app: &App, user: &User, state: &Value) -> Result<()> {
    let Some(keeper) = &app.crypt_keys else { return Ok(()) };
    let time = app.now().as_second().unsigned_abs();
    let token = keeper.keys.get()?.keys.encrypt(state.to_string().as_bytes(), time, rand::random());
    Ok(app.database.set_encrypted_state(user.id, &token).await?)
}
