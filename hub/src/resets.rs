//! The reset of the cookie secret, which ends what a rotation leaves alone: logins, and what came of them.
//!
//! There are two ways to see one. The secret says how often everything was ended, and a number that grew is a reset. And
//! a secret of which no version is the one that was there before was not rotated but replaced.

use hub_crds::versions::Resets;

use crate::{app::App, audit::Act, database::Reset};

/// Where the database keeps what tells the cookie secret from another one.
const FINGERPRINT: &str = "cookie_secret_fingerprint";
/// The counts of resets that were carried out.
const SEEN: &str = "cookie_secret_resets";
/// What tells login tokens and passwords from others, by user; the empty name is everybody.
pub(crate) const SEALS: &str = "login_seals";

/// Another cookie secret makes every login at the hub void by itself (S60). What servers hold from these logins is
/// signed by the servers, so it has to end here (S68); so have tokens, if the reset is of everything (S34).
///
/// # Errors
/// The database can't be read or written, or the secret can't be used.
pub async fn end_sessions_after_reset(app: &App) -> anyhow::Result<()> {
    let secret = app.cookie_secret.get()?;
    let (current, resets) = (secret.keys.fingerprint(), secret.versions.resets);
    let stored = app.database.hub_setting(FINGERPRINT).await?;
    let seen: Resets = match app.database.hub_setting(SEEN).await? {
        Some(seen) => serde_json::from_str(&seen)?,
        None => Resets::default(),
    };
    let is_other = stored.as_ref().is_some_and(|stored| !secret.keys.has_fingerprint(stored));
    let text = serde_json::to_string(&resets)?;
    match due(seen, resets, is_other) {
        // The seals were made with the secret. Nobody is logged in any more whose token or password they could tell of.
        Some(what) => end(app, what, &[(FINGERPRINT, &current), (SEEN, &text), (SEALS, "{}")]).await,
        None => {
            if stored.as_ref() != Some(&current) {
                app.database.set_hub_setting(FINGERPRINT, &current).await?;
            }
            if seen != resets {
                app.database.set_hub_setting(SEEN, &text).await?;
            }
            Ok(())
        }
    }
}

/// What has to end: counts that grew say it, and a secret that is another one.
fn due(seen: Resets, now: Resets, is_other: bool) -> Option<Reset> {
    if now.tokens > seen.tokens {
        Some(Reset::Tokens)
    } else if now.sessions > seen.sessions || is_other {
        Some(Reset::Sessions)
    } else {
        None
    }
}

async fn end(app: &App, what: Reset, notes: &[(&str, &str)]) -> anyhow::Result<()> {
    let ended = app.database.reset(what, notes).await?;
    let event = match what {
        Reset::Sessions => {
            tracing::warn!("the cookie secret was reset: all sessions have ended");
            "sessions reset"
        }
        Reset::Tokens => {
            tracing::warn!(
                "everything was reset: all sessions and tokens have ended, and servers that run have to be started anew"
            );
            "tokens reset"
        }
    };
    Act::of_hub(event).object("all").count(ended.tokens + ended.links).done("the cookie secret says so");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_grew_and_another_secret_are_resets_and_nothing_else_is() {
        let counts = |sessions, tokens| Resets { sessions, tokens };
        for (seen, now, is_other, what) in [
            (counts(0, 0), counts(0, 0), false, None),
            (counts(2, 1), counts(2, 1), false, None),
            (counts(0, 0), counts(0, 0), true, Some(Reset::Sessions)),
            (counts(1, 0), counts(2, 0), false, Some(Reset::Sessions)),
            (counts(1, 0), counts(2, 1), false, Some(Reset::Tokens)),
            (counts(1, 0), counts(2, 1), true, Some(Reset::Tokens)),
            // A Secret from a backup.
            (counts(5, 2), counts(3, 1), false, None),
        ] {
            assert_eq!(due(seen, now, is_other), what, "{seen:?} {now:?} {is_other}");
        }
    }
}
