//! The cookies of a login: how they begin and how they end.

use axum::{http::HeaderMap, response::Response};
use hub_auth::{
    cookie::{self, SetCookie},
    xsrf,
};

use super::{Visitor, add_cookie};
use crate::{app::App, database::User, error::Result};

/// How long a login is believed, by the time in its signature.
pub(super) const LOGIN_DAYS: i64 = 14;
/// How long a browser keeps it.
const BROWSER_DAYS: i64 = 30;
/// A cookie of hubs before version 2, cleared like theirs.
const LEGACY_SERVICES: &str = "jupyterhub-services";

/// Sets the login cookie (S58, S61) and a new session id (S70, S72): one that the browser brought along may be known to
/// someone else. The tokens of that one belong to the new one from now on, so that a logout ends them, too (S71).
pub async fn start_login(app: &App, visitor: &Visitor, user: &User, response: &mut Response) -> Result<()> {
    let session_id = app.random_id();
    if let Some(before) = &visitor.session_id {
        app.database.continue_session(user.id, before, &session_id).await?;
    }
    let now = visitor.now().as_second();
    let (name, secure) = (app.cookie_name(cookie::LOGIN), visitor.is_secure(app));
    let signed = cookie::sign(&*app.cookie_keys()?, &name, user.cookie_id.as_bytes(), now);
    let login = SetCookie::new(name, signed, app.urls.hub()).expires(now + BROWSER_DAYS * cookie::DAY);
    add_cookie(response, &login.http_only().secure(secure));
    if app.urls.domain().is_some() {
        // Of the time before the subdomains: it would come before the one for all hosts.
        add_cookie(response, &SetCookie::clear(cookie::SESSION_ID, app.urls.base(), now));
    }
    add_cookie(response, &session_cookie(app, &session_id, secure));
    Ok(())
}

/// The cookie that the hub and all servers share, whichever host they have, so that a logout ends them all (S70 to S72).
pub fn session_cookie(app: &App, id: &str, secure: bool) -> SetCookie {
    SetCookie::new(cookie::SESSION_ID, id, app.urls.base()).domain(app.urls.domain()).http_only().secure(secure)
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
