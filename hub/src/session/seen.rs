//! Which browsers were seen with a login lately, to be written at times and all together: a request with a cookie costs no
//! access to the database for it. So a login from before this hub, or from JupyterHub, is seen like any other.

use axum::http::{HeaderMap, header};
use hub_auth::cookie;
use jiff::SignedDuration;
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{cookie_header, is_random};
use crate::{
    app::App,
    client_address::client_address,
    database::{Database, DatabaseError, Session, User},
};

/// How often what was seen is written.
pub const INTERVAL: Duration = Duration::from_secs(5);
/// Within that many seconds another request of a browser is nothing new.
const RESOLUTION: i64 = 60;
/// Of what browsers call themselves, at most so many characters are kept.
const LONGEST_AGENT: usize = 255;

/// What is not written yet, and who was noted lately.
#[derive(Debug, Default)]
pub struct SeenSessions(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// When each login was noted last, in seconds since 1970.
    noted: HashMap<String, i64>,
    /// By login, with the `cookie_id` of its cookie.
    pending: HashMap<String, (Session, String)>,
}

impl SeenSessions {
    /// Whether a login is to be noted again; it counts as noted then.
    fn is_due(&self, login: &str, now: i64) -> bool {
        let mut seen = self.lock();
        if seen.noted.get(login).is_some_and(|last| now - last < RESOLUTION) {
            return false;
        }
        seen.noted.insert(login.to_owned(), now);
        true
    }

    /// Writes what is gathered. What can't be written is kept for the next time.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn save(&self, database: &Database, now: i64) -> Result<(), DatabaseError> {
        let pending: Vec<_> = {
            let mut seen = self.lock();
            seen.noted.retain(|_, last| now - *last < RESOLUTION);
            seen.pending.values().cloned().collect()
        };
        if pending.is_empty() {
            return Ok(());
        }
        database.save_sessions(&pending).await?;
        let mut seen = self.lock();
        for written in pending {
            if seen.pending.get(&written.0.login) == Some(&written) {
                seen.pending.remove(&written.0.login);
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes that a browser with this login cookie was seen.
pub(super) fn record(app: &App, headers: &HeaderMap, user: &User, signed: &str) {
    let session_id = cookie::value(&cookie_header(headers), cookie::SESSION_ID).filter(|id| is_random(id));
    note(app, headers, user, signed, session_id);
}

/// The same for a cookie and a session id that the browser gets only now.
pub(super) fn note(app: &App, headers: &HeaderMap, user: &User, signed: &str, session_id: Option<String>) {
    let (login, now) = (cookie::digest(signed), app.now());
    if !app.seen_sessions.is_due(&login, now.as_second()) {
        return;
    }
    let agent = headers.get(header::USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes()));
    let session = Session {
        login: login.clone(),
        user_id: user.id,
        session_id,
        created_at: now,
        seen_at: now,
        expires_at: now + SignedDuration::from_secs(app.sessions.login_seconds()),
        address: client_address(headers, &app.trusted_proxies).map(|address| address.to_string()),
        user_agent: agent.unwrap_or_default().chars().filter(|c| !c.is_control()).take(LONGEST_AGENT).collect(),
    };
    app.seen_sessions.lock().pending.insert(login, (session, user.cookie_id.clone()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_noted_once_a_minute() {
        let seen = SeenSessions::default();
        let due = [100, 101, 159, 160, 161].map(|now| seen.is_due("a", now));
        assert_eq!(due, [true, false, false, true, false]);
        assert!(seen.is_due("b", 101));
    }
}
