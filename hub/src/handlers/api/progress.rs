//! The event stream of a start: from its first event to `ready` or `failed`, whoever comes when.

use axum::{
    body::{Body, Bytes},
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
};
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use hub_auth::{names::full_server_name, scopes::Resource};
use std::{convert::Infallible, time::Duration};
use tokio_util::sync::CancellationToken;

use super::users::find;
use crate::{
    app::App,
    error::{Failure, Result},
    servers::ProgressEvent,
    session::Caller,
};

/// How often an empty event keeps proxies from closing a quiet stream.
const KEEPALIVE: Duration = Duration::from_secs(8);

pub async fn get(State(app): State<App>, caller: Caller, Path(parts): Path<Vec<String>>) -> Result<Response> {
    let (user, server) = match parts.as_slice() {
        [user, server] => (user.as_str(), server.as_str()),
        [user] => (user.as_str(), ""),
        _ => return Err(Failure::not_found()),
    };
    let full_name = full_server_name(user, server);
    caller.require(&["read:servers"], Some(Resource::server(&full_name)))?;
    find(&app, user).await?;
    let Some(events) = app.servers.progress(user, server) else {
        return Err(Failure::bad_request(format!("{user} is not starting...")));
    };
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    Ok((headers, Body::from_stream(wire(events, app.stopping.clone()))).into_response())
}

/// The stream as bytes, with a keepalive at once and in every pause. It ends with the hub.
fn wire(
    events: BoxStream<'static, ProgressEvent>,
    stopping: CancellationToken,
) -> impl futures::Stream<Item = std::result::Result<Bytes, Infallible>> {
    let keepalive = || Bytes::from_static(b"\n\n");
    let rest = stream::unfold((events, stopping), move |(mut events, stopping)| async move {
        let bytes = tokio::select! {
            () = stopping.cancelled() => return None,
            event = events.next() => encode(&event?),
            () = tokio::time::sleep(KEEPALIVE) => keepalive(),
        };
        Some((Ok(bytes), (events, stopping)))
    });
    stream::once(async move { Ok(keepalive()) }).chain(rest)
}

fn encode(event: &ProgressEvent) -> Bytes {
    match serde_json::to_string(event) {
        Ok(json) => format!("data: {json}\n\n").into(),
        Err(error) => {
            tracing::error!(error.message = %error, "failed to encode an event");
            Bytes::from_static(b"\n\n")
        }
    }
}
