//! `/hub/api/users/{name}/password`: an administrator sets a user's password, or takes it away, where people log in with one.

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use hub_auth::scopes::Resource;
use secrecy::SecretString;
use serde_json::Value;

use super::{JsonBody, NOT_AN_OBJECT, no_content, users};
use crate::{
    app::App,
    audit,
    error::{Failure, Result},
    passwords::{self, Refusal},
    session::Caller,
};

pub async fn set(State(app): State<App>, caller: Caller, Path(name): Path<String>, body: JsonBody) -> Result<Response> {
    let body = body.object(NOT_AN_OBJECT)?;
    let password = body.get("password").and_then(Value::as_str);
    let password = password.ok_or_else(|| Failure::bad_request("The body must be {\"password\": \"..\"}"))?;
    store(&app, &caller, &name, Some(password.to_owned().into())).await
}

/// Whoever has none can't log in; with `firstUse` the next one that they type becomes theirs.
pub async fn remove(State(app): State<App>, caller: Caller, Path(name): Path<String>) -> Result<Response> {
    store(&app, &caller, &name, None).await
}

async fn store(app: &App, caller: &Caller, name: &str, password: Option<SecretString>) -> Result<Response> {
    let identity = caller.require(&["admin:users"], Some(Resource::user(name)))?;
    let kept = app.authenticator.passwords();
    let kept =
        kept.ok_or_else(|| Failure::new(StatusCode::CONFLICT, "People don't log in with passwords of their own here"))?;
    let user = users::find(app, name).await?;
    users::check_may_rule(identity, &user)?;
    match passwords::set(app, kept, &user, password.as_ref(), &audit::name_of(identity)).await? {
        Ok(()) => Ok(no_content()),
        Err(refusal @ Refusal::Given) => Err(Failure::new(StatusCode::CONFLICT, refusal.message())),
        Err(refusal) => Err(Failure::bad_request(refusal.message())),
    }
}
