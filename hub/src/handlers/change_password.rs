//! `/hub/change-password`: one's own password, where people log in with one.

use axum::{extract::State, http::StatusCode, response::Response};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    app::App,
    authenticator::Passwords,
    error::{Failure, Result, found},
    form::Form,
    pages::{ChangePasswordPage, html},
    passwords,
    session::{LoggedIn, start_login},
};

pub async fn get(State(app): State<App>, person: LoggedIn) -> Result<Response> {
    let passwords = of(&app)?;
    Ok(page(&app, &person, passwords, StatusCode::OK, None))
}

/// The other browsers are logged out; this one gets a new login.
pub async fn post(State(app): State<App>, person: LoggedIn, Form(fields): Form) -> Result<Response> {
    let passwords = of(&app)?;
    person.visitor.check_xsrf(&fields)?;
    let [old, new, again] = ["old_password", "new_password", "new_password_confirmation"]
        .map(|field| SecretString::from(fields.text(field).to_owned()));
    let refused = |message| Ok(page(&app, &person, passwords, StatusCode::BAD_REQUEST, Some(message)));
    if new.expose_secret() != again.expose_secret() {
        return refused("The new passwords differ: type the same one twice.".to_owned());
    }
    let address = person.visitor.address(&app);
    if let Err(refusal) = passwords::change(&app, passwords, &person.user, address, [&old, &new]).await? {
        return refused(refusal.message());
    }
    let user = app.database.user(person.user.id).await?.ok_or_else(Failure::not_found)?;
    let mut response = found(&app.urls.at("home"));
    start_login(&app, &person.visitor, &user, &mut response).await?;
    Ok(response)
}

fn of(app: &App) -> Result<&Passwords> {
    app.authenticator.passwords().ok_or_else(Failure::not_found)
}

fn page(app: &App, person: &LoggedIn, passwords: &Passwords, status: StatusCode, error: Option<String>) -> Response {
    let page = ChangePasswordPage {
        frame: person.visitor.frame(app),
        name: person.user.name.clone(),
        min_length: passwords.min_length,
        error,
    };
    person.visitor.with_form_cookies(app, html(status, &page))
}
