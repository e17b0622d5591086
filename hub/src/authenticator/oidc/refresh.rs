//! The provider is asked again about whoever is there (JupyterHub's `refresh_user`): groups follow, and whoever may no longer
//! log in there is logged out. A provider that is down logs nobody out.

use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{ProviderError, admission::take_in};
use crate::{
    app::App,
    audit::{Person, THE_HUB},
    auth_state::{auth_state, keep},
    database::{Identity, User},
    error::Result,
    revocation::end_sessions,
};

/// A visit waits no longer for the provider.
const PATIENCE: Duration = Duration::from_secs(5);

/// When each user was asked about last. A restart asks anew.
#[derive(Debug)]
pub struct Refreshes {
    every: Duration,
    asked: Mutex<HashMap<i64, Instant>>,
}

impl Refreshes {
    /// `seconds` of 0: never.
    pub fn new(seconds: u32) -> Self {
        Self { every: Duration::from_secs(seconds.into()), asked: Mutex::default() }
    }

    /// Whether it is time, and for whoever asks first only.
    fn begin(&self, user_id: i64) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = !self.every.is_zero() && asked.get(&user_id).is_none_or(|at| at.elapsed() >= self.every);
        if is_due {
            asked.insert(user_id, Instant::now());
        }
        is_due
    }

    /// The provider was asked just now.
    pub fn note(&self, user_id: i64) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(user_id, Instant::now());
    }
}

/// Asks again about a visitor if it is time. True if something may have changed: who may do what has to be looked at anew.
///
/// # Errors
/// The database can't be read or written.
pub async fn refresh_if_due(app: &App, user: &User) -> Result<bool> {
    let Some(oidc) = app.authenticator.oidc().filter(|oidc| oidc.keeps_state && oidc.refreshes.begin(user.id)) else {
        return Ok(false);
    };
    let state = auth_state(app, user).await?;
    let Some((issuer, subject)) = app.database.identity_of(user.id).await? else { return Ok(false) };
    if state == Value::Null {
        return Ok(false);
    }
    let asked = oidc.ask_again(&state, app.now().as_second());
    let asked = tokio::time::timeout(PATIENCE, asked).await;
    let asked = asked.unwrap_or_else(|_| Err(ProviderError::Unreachable("it takes too long".to_owned())));
    let login = match asked {
        Ok(Some(login)) if login.issuer == issuer && login.subject == subject => login,
        Ok(None) => return Ok(false),
        Ok(Some(_)) => return end(app, user, "another person at the provider").await,
        Err(ProviderError::Denied) => return end(app, user, "refused by the provider").await,
        Err(ProviderError::NotBelieved(refusal)) => {
            tracing::warn!(user.name = user.name, reason = %refusal, "the provider's word about a user is not taken any more");
            return end(app, user, "not believed any more").await;
        }
        Err(error) => {
            tracing::warn!(user.name = user.name, error.message = %error, "failed to ask the provider about a user, who stays");
            return Ok(false);
        }
    };
    let identity = Identity { issuer: &login.issuer, subject: &login.subject };
    match take_in(app, identity, &user.name, &login.groups).await? {
        Ok(user) => {
            keep(app, &user, &login.state).await?;
            Ok(true)
        }
        Err(_) => end(app, user, "may not come in any more").await,
    }
}

async fn end(app: &App, user: &User, reason: &'static str) -> Result<bool> {
    end_sessions(app, user, THE_HUB, "ended by the provider").await?;
    Person { user: &user.name, address: None }.ended(reason);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_visits_one_asks_and_never_if_the_settings_say_so() {
        let refreshes = Refreshes::new(300);
        assert_eq!([1, 1, 2].map(|user| refreshes.begin(user)), [true, false, true]);
        refreshes.note(3);
        assert!(!refreshes.begin(3));
        assert!(!Refreshes::new(0).begin(1));
    }
}
