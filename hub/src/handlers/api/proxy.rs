//! `/hub/api/proxy`: the proxy's table, and its check at once.

use axum::{Json, extract::State, http::StatusCode};
use hub_auth::names::quote;
use serde_json::{Map, Value, json};

use crate::{app::App, error::Result, session::Caller};

pub async fn get(State(app): State<App>, caller: Caller) -> Result<Json<Map<String, Value>>> {
    caller.require(&["proxy"], None)?;
    let table = app.servers.routes().await?;
    let routes = table.into_iter().map(|(path, route)| {
        let routespec = quote(&format!("{}/", path.trim_end_matches('/')), "@/~");
        let model = json!({"routespec": routespec, "target": route.target, "data": route.data});
        (routespec, model)
    });
    Ok(Json(routes.collect()))
}

pub async fn post(State(app): State<App>, caller: Caller) -> Result<StatusCode> {
    caller.require(&["proxy"], None)?;
    app.servers.check_routes().await?;
    Ok(StatusCode::OK)
}
