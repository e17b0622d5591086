//! `/hub/api/users/{name}/disabled`: whether a user may do anything at this hub. It is no field of the user, whose model is
//! JupyterHub's.

use axum::{
    Json,
    extract::{Path, State},
    response::Response,
};
use hub_auth::scopes::Resource;
use serde_json::{Value, json};

use super::{no_content, users};
use crate::{
    app::App,
    audit, barred,
    database::User,
    error::{Failure, Result},
    session::{Caller, Identity},
};

pub async fn get(State(app): State<App>, caller: Caller, Path(name): Path<String>) -> Result<Json<Value>> {
    caller.require(&["admin:users"], Some(Resource::user(&name)))?;
    let user = users::find(&app, &name).await?;
    Ok(Json(json!({"disabled": app.database.disabled_users().await?.contains(&user.name)})))
}

/// Everything of the user's ends: sessions, tokens, servers.
pub async fn disable(State(app): State<App>, caller: Caller, Path(name): Path<String>) -> Result<Response> {
    let (identity, user) = allowed(&app, &caller, &name).await?;
    if identity.user().is_some_and(|own| own.id == user.id) {
        return Err(Failure::bad_request("Cannot disable yourself!"));
    }
    barred::disable(&app, &user, &audit::name_of(identity)).await?;
    Ok(no_content())
}

pub async fn enable(State(app): State<App>, caller: Caller, Path(name): Path<String>) -> Result<Response> {
    let (identity, user) = allowed(&app, &caller, &name).await?;
    barred::enable(&app, &user, &audit::name_of(identity)).await?;
    Ok(no_content())
}

async fn allowed<'a>(app: &App, caller: &'a Caller, name: &str) -> Result<(&'a Identity, User)> {
    let identity = caller.require(&["admin:users"], Some(Resource::user(name)))?;
    let user = users::find(app, name).await?;
    users::check_may_rule(identity, &user)?;
    Ok((identity, user))
}
