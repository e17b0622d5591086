//! `/hub/logout`: ends the login and every token that servers and services got in this session (S71).

use axum::{extract::State, http::StatusCode, response::Response};

use crate::{
    app::App,
    error::{Result, found},
    pages::{LogoutPage, html},
    session::{Visitor, end_login},
};

pub async fn get(State(app): State<App>, visitor: Visitor) -> Result<Response> {
    if visitor.user().is_some() && visitor.is_from_elsewhere() {
        return Ok(html(StatusCode::OK, &LogoutPage { frame: visitor.frame(&app), logout_url: app.urls.at("logout") }));
    }
    let mut response = found(&app.urls.at("login"));
    if let Some(user) = visitor.user() {
        if let Some(session_id) = &visitor.session_id {
            app.database.delete_session_tokens(user.id, session_id).await?;
        }
        tracing::info!(user.name = user.name, "logged out");
    }
    end_login(&app, &visitor, &mut response);
    Ok(response)
}
