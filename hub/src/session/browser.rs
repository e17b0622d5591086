//! The cookies of a login: how they begin and how they end.

use axum::{http::HeaderMap, response::Response};
use hub_auth::{
    cookie::{self, SetCookie},
    xsrf,
};
use hub_crds::Sessions;
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use super::{Visitor, add_cookie, cookie_header, seen};
use crate::{app::App, database::User, error::Result};

/// How long a browser keeps a login at least. Whether it is still believed is seen by the time in its signature.
const BROWSER_TIME: i64 = 30 * cookie::DAY;
/// A cookie of hubs before version 2, cleared like theirs.
const LEGACY_SERVICES: &str = "jupyterhub-services";

/// When each user's newest login was signed, of the last second or so.
#[derive(Debug, Default)]
pub struct LoginTimes(Mutex<HashMap<i64, i64>>);

impl LoginTimes {
    /// A second in which no other login of the user is signed: two cookies of one second would be equal, and the logout
    /// in one browser would end the login in the other.
    fn next(&self, user_id: i64, now: i64) -> i64 {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        times.retain(|_, last| *last >= now);
        let time = times.get(&user_id).map_or(now, |last| last + 1);
        times.insert(user_id, time);
        time
    }
}

/// By what a login is found again.
pub struct StartedLogin {
    pub session_id: String,
    /// Of the login cookie.
    pub digest: String,
}

/// Sets the login cookie (S58, S61) and a new session id (S70, S72): one that the browser brought along may be known to
/// someone else. The tokens of that one belong to the new one from now on, so that a logout ends them, too (S71). The
/// login that the browser had ends.
pub async fn start_login(app: &App, visitor: &Visitor, user: &User, response: &mut Response) -> Result<StartedLogin> {
    let session_id = app.random_id();
    for before in visitor.session_ids() {
        app.database.continue_session(user.id, &before, &session_id).await?;
    }
    end_logins(app, visitor).await?;
    let now = visitor.now().as_second();
    let (name, secure) = (app.cookie_name(cookie::LOGIN), visitor.is_secure(app));
    let time = app.login_times.next(user.id, now);
    let signed = cookie::sign(&*app.cookie_keys()?, &name, user.cookie_id.as_bytes(), time);
    let digest = cookie::digest(&signed);
    seen::note(app, &visitor.headers, user, &signed, Some(session_id.clone()));
    let login =
        SetCookie::new(name, signed, app.urls.hub()).expires(now + app.sessions.login_seconds().max(BROWSER_TIME));
    add_cookie(response, &login.http_only().secure(secure));
    if app.urls.domain().is_some() {
        // Of the time before the subdomains: it would come before the one for all hosts.
        add_cookie(response, &SetCookie::clear(cookie::SESSION_ID, app.urls.base(), now));
    }
    add_cookie(response, &session_cookie(app, &session_id, secure));
    Ok(StartedLogin { session_id, digest })
}

/// The cookie that the hub and all servers share, whichever host they have, so that a logout ends them all (S70 to S72).
pub fn session_cookie(app: &App, id: &str, secure: bool) -> SetCookie {
    SetCookie::new(cookie::SESSION_ID, id, app.urls.base()).domain(app.urls.domain()).http_only().secure(secure)
}

/// The `users.cookie_id` in a login cookie that this hub signed and that is not too old.
pub(super) fn verify_login(app: &App, signed: &str) -> Result<Option<String>> {
    let name = app.cookie_name(cookie::LOGIN);
    let id = cookie::verify(&*app.cookie_keys()?, &name, signed, app.sessions.login_seconds(), app.now().as_second());
    Ok(id.and_then(|id| String::from_utf8(id).ok()))
}

/// Makes the login cookies that the browser sent void, so that a copy of one is of no use either (attack row 37).
pub async fn end_logins(app: &App, visitor: &Visitor) -> Result<()> {
    let expires_at = forgotten_at(visitor.now());
    for signed in cookie::values(&cookie_header(&visitor.headers), &app.cookie_name(cookie::LOGIN)) {
        if verify_login(app, &signed)?.is_some() {
            app.database.end_login(&cookie::digest(&signed), expires_at).await?;
        }
    }
    Ok(())
}

/// When no login of this moment can be of use any more, however long the settings let logins last later on.
pub fn forgotten_at(now: Timestamp) -> Timestamp {
    now + SignedDuration::from_hours(24 * i64::from(Sessions::MOST_DAYS + 1))
}

/// Takes every cookie of ours away. Those of servers go with their tokens.
pub fn end_login(app: &App, visitor: &Visitor, response: &mut Response) {
    let now = visitor.now().as_second();
    for (name, path) in [
        (app.cookie_name(cookie::LOGIN).as_str(), app.urls.hub()),
        (cookie::SESSION_ID, app.urls.base()),
        (xsrf::NAME, app.urls.hub()),
        (LEGACY_SERVICES, app.urls.base()),
    ] {
        add_cookie(response, &SetCookie::clear(name, path, now));
    }
    if let Some(domain) = app.urls.domain() {
        add_cookie(response, &SetCookie::clear(cookie::SESSION_ID, app.urls.base(), now).domain(Some(domain)));
    }
}

/// Whether the browser's own connection is TLS, as the first proxy saw it.
pub fn forwarded_https(headers: &HeaderMap) -> bool {
    let forwarded = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok());
    forwarded.and_then(|list| list.split(',').next()).is_some_and(|proto| matches!(proto.trim(), "https" | "wss"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_logins_of_a_user_are_signed_in_one_second_and_nothing_old_is_kept() {
        let times = LoginTimes::default();
        assert_eq!([100, 100, 101, 104].map(|now| times.next(1, now)), [100, 101, 102, 104]);
        assert_eq!(times.next(2, 104), 104);
        assert_eq!(times.next(3, 106), 106);
        assert_eq!(times.0.lock().unwrap().len(), 1);
    }
}
