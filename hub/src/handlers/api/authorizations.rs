//! `/hub/api/authorizations/...`: how services of JupyterHub before version 2 asked whom a token or cookie belongs to.
//! `/hub/api/user` replaces it.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use hub_auth::{cookie, scopes::Scopes};
use serde_json::{Map, Value};

use super::{models, user::of_principal};
use crate::{
    app::App,
    error::{Failure, Result},
    session::{Caller, Identity, Via, user_of_login},
};

pub async fn token(
    State(app): State<App>,
    caller: Caller,
    Path(token): Path<String>,
) -> Result<Json<Map<String, Value>>> {
    let identity = by_token(&caller)?;
    let found = app.database.find_token(&token, app.now()).await?.ok_or_else(Failure::not_found)?;
    let of_token = app.identity_of_token(found).await?.ok_or_else(Failure::not_found)?;
    // Who has the token may know whose it is, and sees of them what the asker may see.
    let own = Scopes::parse(hub_auth::scopes::identify(of_token.principal.owner()));
    let seer = Identity { scopes: identity.scopes.clone().union(&own), ..identity.clone() };
    Ok(Json(of_principal(&app, &seer, &of_token.principal, false).await?))
}

pub async fn cookie(
    State(app): State<App>,
    caller: Caller,
    Path((name, value)): Path<(String, String)>,
) -> Result<Json<Map<String, Value>>> {
    let identity = by_token(&caller)?;
    let user = match name == app.cookie_name(cookie::LOGIN) {
        true => user_of_login(&app, &value).await?,
        false => None,
    };
    let user = user.ok_or_else(Failure::not_found)?;
    Ok(Json(models::user(&app, identity, &user, false).await?.unwrap_or_default()))
}

pub async fn gone() -> Failure {
    Failure::new(
        StatusCode::NOT_FOUND,
        "Deprecated endpoint /hub/api/authorizations/token is removed in JupyterHub 2.0. Use /hub/api/users/:user/tokens instead.",
    )
}

/// Only programs with a token may ask.
fn by_token(caller: &Caller) -> Result<&Identity> {
    let identity = caller.identity.as_ref().filter(|identity| !matches!(identity.via, Via::Cookie));
    identity.ok_or_else(|| Failure::bare(StatusCode::FORBIDDEN))
}
