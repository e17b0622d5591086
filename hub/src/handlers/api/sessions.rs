//! `/hub/api/users/{name}/sessions`: the logins of a user's browsers, for the user and administrators.

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
    audit,
    database::Session,
    error::{Failure, Result},
    session::Caller,
    sessions,
};

pub async fn list(State(app): State<App>, caller: Caller, Path(name): Path<String>) -> Result<Json<Value>> {
    caller.require(&["read:tokens"], Some(Resource::user(&name)))?;
    let user = users::find(&app, &name).await?;
    let models: Vec<_> = sessions::list(&app, &user).await?.iter().map(model).collect();
    Ok(Json(json!({"sessions": models})))
}

pub async fn end(State(app): State<App>, caller: Caller, Path((name, id)): Path<(String, String)>) -> Result<Response> {
    let identity = caller.require(&["tokens"], Some(Resource::user(&name)))?;
    let user = users::find(&app, &name).await?;
    match sessions::end(&app, &user, &id, &audit::name_of(identity)).await? {
        true => Ok(no_content()),
        false => Err(Failure::not_found()),
    }
}

/// Ends all sessions of a user, those among them that are not in the list.
pub async fn end_all(State(app): State<App>, caller: Caller, Path(name): Path<String>) -> Result<Response> {
    let identity = caller.require(&["tokens"], Some(Resource::user(&name)))?;
    let user = users::find(&app, &name).await?;
    sessions::end_all(&app, &user, &audit::name_of(identity)).await?;
    Ok(no_content())
}

fn model(session: &Session) -> Value {
    json!({
        "id": session.login,
        "created": session.created_at.to_string(),
        "last_activity": session.seen_at.to_string(),
        "expires_at": session.expires_at.to_string(),
        "address": session.address,
        "user_agent": session.user_agent,
    })
}
