//! `/hub/logout`: ends the login and every token that servers and services got in this session (S71), and the person's
//! servers if the settings say so.

use axum::{extract::State, http::StatusCode, response::Response};
use std::time::Instant;

use super::{login, oidc};
use crate::{
    app::App,
    audit::Person,
    error::{Result, found},
    pages::{AskPage, html},
    session::{Visitor, end_login, end_logins},
};

pub async fn get(State(app): State<App>, visitor: Visitor) -> Result<Response> {
    let begun = Instant::now();
    let user = visitor.login().map(|(_, user)| user);
    if user.is_some() && !visitor.is_deliberate() {
        let page = AskPage {
            frame: visitor.frame(&app),
            question: "Log out?",
            consequence: if app.sessions.shutdown_on_logout { "Your servers stop." } else { "Your servers run on." },
            confirm: "Log out",
            confirm_url: app.urls.at("logout"),
        };
        return Ok(html(StatusCode::OK, &page));
    }
    if user.is_none() && app.authenticator.oidc().is_some_and(|oidc| oidc.auto_login) {
        // The login page would log in again at once.
        let mut page = login::form(&app, &visitor, StatusCode::OK, String::new(), None);
        end_login(&app, &visitor, &mut page);
        return Ok(page);
    }
    let mut response = found(&oidc::after_logout(&app, &visitor, user).await?);
    if let Some(user) = user {
        for session_id in visitor.session_ids() {
            app.database.delete_session_tokens(user.id, &session_id).await?;
        }
        end_logins(&app, &visitor).await?;
        Person { user: &user.name, address: visitor.address(&app) }.logged_out();
        if app.sessions.shutdown_on_logout {
            app.servers.stop_of(&user.name).await;
        }
    }
    end_login(&app, &visitor, &mut response);
    app.metrics().logouts.record(&[], begun.elapsed());
    Ok(response)
}
