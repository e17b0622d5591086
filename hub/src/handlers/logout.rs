//! `/hub/logout`: ends the login and every token that servers and services got in this session (S71).

use axum::{extract::State, response::Response};

use crate::{
    app::App,
    error::{Result, found},
    session::{Visitor, end_login},
};

pub async fn get(State(app): State<App>, visitor: Visitor) -> Result<Response> {
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
