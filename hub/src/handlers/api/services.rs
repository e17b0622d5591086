//! `/hub/api/services` and `/hub/api/services/{name}`. Services of the settings are seen here; others are made and
//! deleted, too.

use axum::{
    Json,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use hub_auth::{
    names,
    scopes::{self, Resource, roles, tree},
    token,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

use super::JsonBody;
use crate::{
    app::App,
    audit::Act,
    database::{DatabaseError, NewService, Principal, ServiceRow},
    error::{Failure, Result},
    services,
    session::{Caller, Identity},
};

mod wish;

use wish::ServiceWish;

/// Which fields of a service each scope shows.
const SERVICE_FIELDS: [(&str, &[&str]); 3] = [
    ("read:services", &["kind", "name", "admin", "url", "prefix", "command", "pid", "info", "display"]),
    ("read:services:name", &["kind", "name", "admin"]),
    ("read:roles:services", &["kind", "name", "roles", "admin"]),
];

/// Scopes that show something of a service.
const READ_SERVICE: [&str; 3] = ["read:services", "read:services:name", "read:roles:services"];

/// A service as this caller may see it.
pub async fn model(app: &App, caller: &Identity, service: &ServiceRow) -> Result<Map<String, Value>> {
    let resource = Resource::service(&service.name);
    let shown: BTreeSet<&str> = SERVICE_FIELDS
        .iter()
        .filter(|(scope, _)| caller.may(scope, resource))
        .flat_map(|(_, fields)| fields.iter().copied())
        .collect();
    let mut model = Map::new();
    for field in shown {
        model.insert(field.to_owned(), self::field(app, service, field).await?);
    }
    Ok(model)
}

async fn field(app: &App, service: &ServiceRow, field: &str) -> Result<Value> {
    Ok(match field {
        "kind" => json!("service"),
        "name" => json!(service.name),
        "admin" => json!(service.admin),
        "roles" => json!(app.database.roles_of_service(service.id).await?),
        "url" => json!(service.url),
        "prefix" => json!(service.prefix),
        "info" => service.info.clone(),
        "display" => json!(service.display),
        // The hub runs none itself.
        "command" => json!([]),
        "pid" => json!(0),
        _ => Value::Null,
    })
}

pub async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Map<String, Value>>> {
    let identity = caller.holds("list:services")?;
    let mut models = Map::new();
    for service in app.database.services().await? {
        if identity.may("list:services", Resource::service(&service.name)) {
            models.insert(service.name.clone(), model(&app, identity, &service).await?.into());
        }
    }
    Ok(Json(models))
}

pub async fn get(State(app): State<App>, caller: Caller, Path(name): Path<String>) -> Result<Json<Map<String, Value>>> {
    let identity = caller.require(&READ_SERVICE, Some(Resource::service(&name)))?;
    let not_found = || Failure::new(StatusCode::NOT_FOUND, format!("No such service: {name}"));
    let service = app.database.service_by_name(&name).await?.ok_or_else(not_found)?;
    Ok(Json(model(&app, identity, &service).await?))
}

/// Adds a service, and its route. Nothing that its maker may not do is given to it.
pub async fn create(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    body: JsonBody,
) -> Result<Response> {
    let identity = caller.require(&["admin:services"], Some(Resource::service(&name)))?;
    let exists = || Failure::new(StatusCode::CONFLICT, format!("Service {name} already exists"));
    if app.database.service_by_name(&name).await?.is_some() {
        return Err(exists());
    }
    let Some(Value::Object(fields)) = body.0.filter(|body| body.as_object().is_some_and(|fields| !fields.is_empty()))
    else {
        return Err(Failure::bad_request("Invalid service data"));
    };
    let wish = ServiceWish::read(fields)?;
    check_scopes(&app, identity, &wish)?;
    if wish.is_managed {
        return Err(Failure::bad_request(format!("Can not create managed service {name} at runtime")));
    }
    let refused = |reason: String| Failure::bad_request(format!("Failed to create service {name}: {reason}"));
    let token = wish.api_token.clone();
    check_token(&app, token.as_ref()).await?.map_err(refused)?;
    let new = resolve(&app, identity, &name, wish).await.map_err(refused)?;
    let service = match app.database.create_service(&new, token.as_ref(), app.now()).await {
        Err(DatabaseError::Taken { what: "oauth_client_id" }) => {
            return Err(refused("its oauth_client_id is another service's".to_owned()));
        }
        Err(DatabaseError::Taken { .. }) => return Err(exists()),
        other => other?,
    };
    Act::by(identity, "service made").object(&name).done("asked for");
    bring_routes_up_to_date(&app).await;
    Ok((StatusCode::CREATED, Json(model(&app, identity, &service).await?)).into_response())
}

pub async fn delete(State(app): State<App>, caller: Caller, Path(name): Path<String>) -> Result<Response> {
    let identity = caller.require(&["admin:services"], Some(Resource::service(&name)))?;
    let not_found = || Failure::new(StatusCode::NOT_FOUND, format!("Service {name} does not exist"));
    let service = app.database.service_by_name(&name).await?.ok_or_else(not_found)?;
    if service.from_config {
        let message = format!("Service {name} is not modifiable at runtime");
        return Err(Failure::new(StatusCode::METHOD_NOT_ALLOWED, message));
    }
    app.database.delete_service(service.id).await?;
    Act::by(identity, "service deleted").object(&name).done("asked for");
    bring_routes_up_to_date(&app).await;
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, "application/json")]).into_response())
}

/// The regular check comes to the same a little later.
async fn bring_routes_up_to_date(app: &App) {
    if let Err(error) = app.servers.check_routes().await {
        tracing::warn!(%error, "the routes of services are not up to date yet");
    }
}

/// An administrator's rights, and scopes in other people's names, are only given away by who has them: with this request's
/// own token, whatever else its owner may do.
fn check_scopes(app: &App, identity: &Identity, wish: &ServiceWish) -> Result<()> {
    let definitions = app.database.definitions();
    for scope in &wish.allowed_scopes {
        definitions.validate(scope).map_err(|error| Failure::bad_request(error.to_string()))?;
    }
    // `inherit` stands for all that a visitor may do, and an administrator may visit.
    let (inherit, mut requested): (Vec<&str>, Vec<_>) =
        wish.allowed_scopes.iter().map(String::as_str).partition(|scope| *scope == tree::INHERIT);
    if wish.admin || !inherit.is_empty() {
        requested.extend(roles::default_role(roles::ADMIN).into_iter().flat_map(|role| role.scopes));
    }
    let wanted = definitions.expand(&requested, Some(identity.principal.owner()), None);
    let excess = scopes::excess(&wanted, &identity.scopes, &identity.groups);
    if excess.is_empty() {
        return Ok(());
    }
    let kind = match identity.principal {
        Principal::User(_) => "User",
        Principal::Service(_) => "Service",
    };
    let (excess, name) = (excess.join(","), identity.name());
    Err(Failure::bad_request(format!("Not assigning requested scopes {excess} not held by {kind} {name}")))
}

/// A token must be one that can be found again, and nobody else's.
async fn check_token(app: &App, token: Option<&SecretString>) -> Result<std::result::Result<(), String>> {
    let Some(token) = token.map(ExposeSecret::expose_secret) else { return Ok(Ok(())) };
    if !token::LENGTH.contains(&token.len()) {
        let (least, most) = (token::LENGTH.start(), token::LENGTH.end());
        return Ok(Err(format!("its api_token must have {least} to {most} characters")));
    }
    match app.database.find_token(token, app.now()).await? {
        Some(_) => Ok(Err("its api_token is in use: choose another".to_owned())),
        None => Ok(Ok(())),
    }
}

/// What is stored of a wish.
async fn resolve(app: &App, identity: &Identity, name: &str, wish: ServiceWish) -> Result<NewService, String> {
    if !names::valid_service(name) {
        return Err("its name must not be empty, hold / or an escape, or have blanks at its ends".to_owned());
    }
    let no_confirm = wish.client.no_confirm;
    let client = services::client(name, &app.urls, !wish.url.is_empty(), wish.client)?;
    let address = match services::address(&wish.url)? {
        Some(address) if !identity.is_admin() => Some(services::pin(address).await?),
        address => address,
    };
    Ok(NewService {
        name: name.to_owned(),
        admin: wish.admin,
        url: wish.url,
        address,
        prefix: names::service_path(app.urls.base(), name),
        info: wish.info,
        display: wish.display.unwrap_or(true),
        client,
        allowed_scopes: wish.allowed_scopes,
        no_confirm,
    })
}
