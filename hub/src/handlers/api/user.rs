//! `/hub/api/user`: whom a token or cookie belongs to, and what it may do. Single-user servers ask this for every
//! visitor (S64).

use axum::{Json, extract::State, http::StatusCode};
use hub_auth::{
    scopes::{Scopes, identify},
    token::token_id,
};
use serde_json::{Map, Value, json};

use super::{models, services};
use crate::{
    app::App,
    database::Principal,
    error::{Failure, Result},
    form::{Fields, Query},
    session::{Caller, Identity, Via},
};

pub async fn get(State(app): State<App>, caller: Caller, Query(query): Query) -> Result<Json<Map<String, Value>>> {
    let Some(identity) = &caller.identity else { return Err(Failure::bare(StatusCode::FORBIDDEN)) };
    // Whatever else a token may do, it says whose it is.
    let own = Scopes::parse(identify(identity.principal.owner()));
    let seer = Identity { scopes: identity.scopes.clone().union(&own), ..identity.clone() };
    let mut model = of_principal(&app, &seer, &identity.principal, include_stopped(&query)).await?;
    let (id, session_id) = match &identity.via {
        Via::Token(token) => (Some(token_id(token.id)), token.session_id.clone()),
        Via::Cookie | Via::LoginToken => (None, None),
    };
    model.insert("token_id".into(), json!(id));
    model.insert("session_id".into(), json!(session_id));
    model.insert("scopes".into(), json!(identity.scopes.list()));
    Ok(Json(model))
}

/// A user or a service, as `seer` may see it.
pub async fn of_principal(
    app: &App,
    seer: &Identity,
    principal: &Principal,
    with_stopped: bool,
) -> Result<Map<String, Value>> {
    match principal {
        Principal::User(user) => Ok(models::user(app, seer, user, with_stopped).await?.unwrap_or_default()),
        Principal::Service(service) => match app.database.service_by_name(&service.name).await? {
            Some(service) => services::model(app, seer, &service).await,
            None => Ok(Map::new()),
        },
    }
}

/// Whether stopped servers are wanted in models.
pub fn include_stopped(query: &Fields) -> bool {
    query.get("include_stopped_servers").is_some_and(|value| !matches!(value.to_lowercase().as_str(), "0" | "false"))
}
