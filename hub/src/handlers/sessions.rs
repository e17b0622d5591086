//! `/hub/sessions`: what the buttons below one's own sessions do, which `/hub/token` shows.

use axum::{extract::State, response::Response};
use jiff::Timestamp;

use crate::{
    app::App,
    error::{Result, found},
    form::Form,
    pages::SessionLine,
    session::{LoggedIn, end_login},
    sessions,
};

/// Ends the session that the button names, or all of them.
pub async fn post(State(app): State<App>, person: LoggedIn, Form(fields): Form) -> Result<Response> {
    person.visitor.check_xsrf(&fields)?;
    if fields.get("everywhere").is_some() {
        sessions::end_all(&app, &person.user, &person.user.name).await?;
        let mut response = found(&app.urls.at("login"));
        end_login(&app, &person.visitor, &mut response);
        return Ok(response);
    }
    sessions::end(&app, &person.user, fields.text("end"), &person.user.name).await?;
    Ok(found(&app.urls.at("token")))
}

/// One's own sessions, as the page shows them.
pub(super) async fn lines(app: &App, person: &LoggedIn) -> Result<Vec<SessionLine>> {
    let own = person.visitor.logins(app);
    let sessions = sessions::list(app, &person.user).await?;
    let line = |session: crate::database::Session| SessionLine {
        is_this: own.contains(&session.login),
        id: session.login,
        browser: if session.user_agent.is_empty() { "unknown".to_owned() } else { session.user_agent },
        address: session.address.unwrap_or_else(|| "unknown".to_owned()),
        since: minute(session.created_at),
        seen: minute(session.seen_at),
    };
    Ok(sessions.into_iter().map(line).collect())
}

/// A time as pages tell it.
pub(super) fn minute(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}
