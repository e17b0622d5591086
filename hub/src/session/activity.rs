//! When users and their tokens were last seen, as far as the request is someone's doing.

use axum::http::Uri;
use jiff::Timestamp;

use super::{Identity, Via};
use crate::{
    app::App,
    database::{ApiToken, Subject},
};

/// Notes that the sender is active. A server's own requests are not its user's, and neither are those that an open tab
/// sends to a server that has stopped.
pub(super) fn record(app: &App, identity: &Identity, uri: &Uri) {
    let now = app.now();
    let is_due = |last: Option<Timestamp>| app.activity.is_due(last, now);
    let token = match &identity.via {
        Via::Token(token) => Some(token),
        Via::Cookie | Via::LoginToken => None,
    };
    if let Some(token) = token.filter(|token| is_due(token.last_activity)) {
        app.activity.note(Subject::Token(token.id), now);
    }
    let is_tab = uri.path().strip_prefix(app.urls.hub()).is_some_and(|rest| rest.starts_with("user/"));
    let is_server = |token: &ApiToken| token.note.as_deref().is_some_and(|note| note.starts_with("Server at "));
    if let Some(user) = identity.user()
        && is_due(user.last_activity)
        && !is_tab
        && !token.is_some_and(|token| is_server(token))
    {
        app.activity.note(Subject::User(user.id), now);
    }
}
