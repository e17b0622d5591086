//! `/hub/api/shutdown`: ends the hub, with its servers if that is asked for. What runs it may start it again.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use super::JsonBody;
use crate::{
    app::App,
    audit::Act,
    error::{Failure, Result},
    session::Caller,
};

pub async fn post(State(app): State<App>, caller: Caller, body: JsonBody) -> Result<Response> {
    let identity = caller.require(&["shutdown"], None)?;
    let body = body.object("Request body must be JSON dict")?;
    // The proxy outlives the hub in any case: it isn't the hub's to stop.
    flag(&body, "proxy")?;
    let with_servers = flag(&body, "servers")?;
    let what = if with_servers { "the hub and all servers" } else { "the hub" };
    Act::by(identity, "shutdown").object(what).done("asked for");
    tokio::spawn(async move {
        if with_servers {
            app.servers.stop_all().await;
        }
        app.stopping.cancel();
    });
    Ok((StatusCode::ACCEPTED, Json(json!({"message": "Shutting down Hub"}))).into_response())
}

fn flag(body: &Map<String, Value>, key: &str) -> Result<bool> {
    match body.get(key) {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(other) => Err(Failure::bad_request(format!("{key} must be true or false, got {other}"))),
    }
}
