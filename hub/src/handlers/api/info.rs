//! `/hub/api/`: the version, for anyone; `/hub/api/info`: of what the hub is made.

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use hub_auth::JUPYTERHUB_VERSION;
use serde_json::{Value, json};

use crate::{app::App, error::Result, session::Caller};

pub async fn version() -> Response {
    ([(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")], Json(json!({"version": JUPYTERHUB_VERSION}))).into_response()
}

pub async fn get(State(app): State<App>, caller: Caller) -> Result<Json<Value>> {
    caller.require(&["read:hub"], None)?;
    let ours = env!("CARGO_PKG_VERSION");
    Ok(Json(json!({
        "version": JUPYTERHUB_VERSION,
        // There is no Python; clients expect the keys.
        "python": "",
        "sys_executable": std::env::current_exe().unwrap_or_default(),
        "spawner": {"class": app.servers.spawner_class(), "version": ours},
        "authenticator": {"class": app.authenticator.class(), "version": ours},
    })))
}
