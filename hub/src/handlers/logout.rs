//! `/hub/logout`: ends the login and every token that servers and services got in this session (S71).

use axum::{extract::State, http::StatusCode, response::Response};

use crate::{
    app::App,
    error::{Result, found},
    pages::{AskPage, html},
    session::{Visitor, end_login, end_logins},
};

pub async fn get(State(app): State<App>, visitor: Visitor) -> Result<Response> {
    if visitor.user().is_some() && !visitor.is_deliberate() {
        let page = AskPage {
            frame: visitor.frame(&app),
            question: "Log out?",
            consequence: "Your servers run on.",
            confirm: "Log out",
            confirm_url: app.urls.at("logout"),
        };
        return Ok(html(StatusCode::OK, &page));
    }
    let mut response = found(&app.urls.at("login"));
    if let Some(user) = visitor.user() {
        for session_id in visitor.session_ids() {
            app.database.delete_session_tokens(user.id, &session_id).await?;
        }
        end_logins(&app, &visitor).await?;
        tracing::info!(user.name = user.name, "logged out");
    }
    end_login(&app, &visitor, &mut response);
    Ok(response)
}
