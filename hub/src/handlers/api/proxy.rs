//! `/hub/api/proxy`: the proxy's table, and its check at once.

use axum::{Json, extract::State, http::StatusCode};
use hub_auth::names::quote;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use url::Url;

use super::{JsonBody, Pagination};
use crate::{
    app::App,
    error::{Failure, Result},
    form::Query,
    proxy::ProxyToken,
    redaction::redacted,
    session::Caller,
};

pub async fn get(State(app): State<App>, caller: Caller, Query(query): Query) -> Result<Json<Value>> {
    caller.require(&["proxy"], None)?;
    let pagination = Pagination::read(&app, &caller.visitor, &query)?;
    let routes: BTreeMap<_, _> = app
        .servers
        .routes()
        .await?
        .into_iter()
        .map(|(path, route)| {
            let routespec = routespec(&path, app.urls.domain().is_some());
            let model = json!({"routespec": routespec, "target": route.target, "data": route.data});
            (routespec, model)
        })
        .collect();
    let (total, window) = (routes.len() as u64, pagination.window);
    let page: Map<_, _> = routes.into_iter().skip(window.offset as usize).take(window.limit as usize).collect();
    Ok(Json(pagination.answer(&app, &caller.visitor, Value::Object(page), total)))
}

/// JupyterHub's name of a route: `/user/alice/`, or with subdomains `alice.hub.example.org/user/alice/`.
fn routespec(path: &str, with_host: bool) -> String {
    let routespec = quote(&format!("{}/", path.trim_end_matches('/')), "@/~");
    match routespec.strip_prefix('/') {
        Some(rest) if with_host && !rest.is_empty() => rest.to_owned(),
        _ => routespec,
    }
}

pub async fn post(State(app): State<App>, caller: Caller) -> Result<StatusCode> {
    caller.require(&["proxy"], None)?;
    app.servers.check_routes().await?;
    Ok(StatusCode::OK)
}

/// Another proxy is in charge: `{"api_url": .., "auth_token": ..}`. It lasts until the hub ends.
pub async fn relocate(State(app): State<App>, caller: Caller, body: JsonBody) -> Result<StatusCode> {
    let identity = caller.require(&["proxy"], None)?;
    let Some(Value::Object(body)) = body.0 else {
        return Err(Failure::bad_request("need JSON body: it must be a dict"));
    };
    let text = |key: &str| match body.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(Failure::bad_request(format!("{key} must be a string"))),
    };
    let (api_url, token) = (text("api_url")?, text("auth_token")?);
    let is_http = |url: &str| Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    if api_url.is_some_and(|url| !is_http(url)) {
        return Err(Failure::bad_request("api_url must be an http address, such as http://127.0.0.1:8001"));
    }
    tracing::warn!(
        asker.name = identity.name(),
        proxy.api_url = api_url.map(redacted),
        "the proxy is at another place"
    );
    let token = token.map(|token| ProxyToken::Value(token.to_owned().into()));
    app.servers.relocate_proxy(api_url, token).await.map_err(|error| Failure::bad_request(error.to_string()))?;
    Ok(StatusCode::OK)
}
