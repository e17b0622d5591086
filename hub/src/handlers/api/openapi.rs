//! `/hub/api/openapi.json`: what the API can do, for anyone.

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};

use crate::app::App;

pub async fn get(State(app): State<App>) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")];
    (headers, app.openapi.clone()).into_response()
}
