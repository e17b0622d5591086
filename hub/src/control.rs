//! How commands in the hub's pod speak to the running hub: HTTP over a Unix socket that only the hub's own user can
//! reach. They never open the database themselves.

use anyhow::Context;
use axum::{
    Json, Router,
    body::Body,
    extract::{DefaultBodyLimit, State},
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use futures::TryStreamExt;
use hub_crds::report;
use hub_server::ServerInfo;
use reqwest::RequestBuilder;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{
    fs::{self, DirBuilder, Permissions},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    time::sleep,
};
use tokio_util::io::{ReaderStream, StreamReader};

use crate::{
    app::App,
    audit::Act,
    database::RevokedCounts,
    error::Failure,
    login_links::{self, Link, LinkError, Wish},
    passwords::{self, PasswordWish},
    revocation::{RevocationError, TOKENS_REVOKED, Whose, revoke},
    rotation::{self, Outcome, RotationError, Standing},
    server_list,
};

const PASSWORDS: &str = "/passwords";
const REVOKE: &str = "/tokens/revoke";
const LINKS: &str = "/links";
const SERVERS: &str = "/servers";
const SECRETS: &str = "/secrets";
const BACKUP: &str = "/backup";
const RESTORE: &str = "/restore";
/// A command in the hub's own container is killed along with it, and has something to say before.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Listens at the path. Its directory is made, or refused if others can enter it: a socket has no mode of its own until
/// after it can be reached.
///
/// # Errors
/// The directory or the socket can't be made, or a hub listens there.
pub fn listen(socket: &Path) -> anyhow::Result<UnixListener> {
    let directory = socket.parent().context("failed to find the directory of the control socket")?;
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.with_context(|| format!("failed to make the directory {}", directory.display()))?;
    let mode = fs::metadata(directory)?.permissions().mode() & 0o777;
    anyhow::ensure!(
        mode & 0o077 == 0,
        "refusing to listen in {}: others can enter it (mode {mode:04o}); run `chmod 700 {}`",
        directory.display(),
        directory.display()
    );
    // One of a hub that was killed is only a name. A hub that runs holds the database's lock, so it isn't its.
    if let Err(error) = fs::remove_file(socket)
        && error.kind() != ErrorKind::NotFound
    {
        return Err(error).with_context(|| format!("failed to remove the old socket {}", socket.display()));
    }
    let listener = UnixListener::bind(socket).with_context(|| format!("failed to listen on {}", socket.display()))?;
    fs::set_permissions(socket, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves commands until the hub stops.
///
/// # Errors
/// The listener fails.
pub async fn serve(app: App, listener: UnixListener) -> std::io::Result<()> {
    let stopping = app.stopping.clone().cancelled_owned();
    let router = Router::new()
        .route(REVOKE, post(post_revoke))
        .route(LINKS, post(post_link))
        .route(PASSWORDS, post(post_password))
        .route(SERVERS, get(get_servers))
        .route(SECRETS, get(get_secrets).post(post_secrets))
        .route(BACKUP, get(get_backup))
        .route(RESTORE, put(put_restore).layer(DefaultBodyLimit::disable()))
        .with_state(app);
    axum::serve(listener, router).with_graceful_shutdown(stopping).await
}

async fn post_revoke(State(app): State<App>, Json(whose): Json<Whose>) -> Response {
    match revoke(&app, &whose, Act::of("hub token", TOKENS_REVOKED)).await {
        Ok(counts) => Json(counts).into_response(),
        Err(error @ RevocationError::Database(_)) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &error),
        Err(error) => refusal(StatusCode::NOT_FOUND, &error),
    }
}

async fn post_link(State(app): State<App>, Json(wish): Json<Wish>) -> Response {
    match login_links::make(&app, &wish, "hub link").await {
        Ok(link) => Json(link).into_response(),
        Err(error @ LinkError::Database(_)) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &error),
        Err(error) => refusal(StatusCode::BAD_REQUEST, &error),
    }
}

async fn post_password(State(app): State<App>, Json(wish): Json<PasswordWish>) -> Response {
    match passwords::set_by_command(&app, &wish).await {
        Ok(Ok(())) => StatusCode::OK.into_response(),
        Ok(Err(message)) => refusal(StatusCode::BAD_REQUEST, &message),
        Err(Failure::Status { status, message: Some(message), .. }) => refusal(status, &message),
        Err(failure) => failure.into_response(),
    }
}

async fn get_servers(State(app): State<App>) -> Response {
    match server_list::running(&app) {
        Ok(servers) => Json(servers).into_response(),
        Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &error),
    }
}

async fn get_secrets(State(app): State<App>) -> Response {
    match rotation::standing(&app) {
        Ok(standing) => Json(standing).into_response(),
        Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error:#}")),
    }
}

async fn post_secrets(State(app): State<App>, Json(wish): Json<report::Wish>) -> Response {
    match rotation::request(&app, &wish).await {
        Ok(outcome) => Json(outcome).into_response(),
        Err(RotationError::Refused(message)) => refusal(StatusCode::BAD_REQUEST, &message),
        Err(RotationError::Failed(error)) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error:#}")),
    }
}

async fn get_backup(State(app): State<App>) -> Response {
    match app.database.back_up(&app.directory).await {
        Ok(copy) => Body::from_stream(ReaderStream::new(tokio::fs::File::from_std(copy))).into_response(),
        Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &whole(error)),
    }
}

/// What comes is the database of the next hub, so this one ends.
async fn put_restore(State(app): State<App>, body: Body) -> Response {
    match receive(&app, body).await {
        Ok(()) => {
            tracing::warn!("the hub ends, so that the next one starts with the backup that was restored");
            tokio::spawn(async move {
                sleep(LAST_WORDS).await;
                app.stopping.cancel();
            });
            StatusCode::OK.into_response()
        }
        Err(error) => refusal(StatusCode::BAD_REQUEST, &format!("{error:#}")),
    }
}

async fn receive(app: &App, body: Body) -> anyhow::Result<()> {
    let incoming = app.database.incoming()?;
    let mut from = StreamReader::new(body.into_data_stream().map_err(io::Error::other));
    tokio::io::copy(&mut from, &mut tokio::fs::File::from_std(incoming.create()?)).await?;
    Ok(incoming.accept().await?)
}

/// An error with its causes.
fn whole(error: impl Into<anyhow::Error>) -> String {
    format!("{:#}", error.into())
}

fn refusal(status: StatusCode, error: &impl std::fmt::Display) -> Response {
    (status, Json(json!({"message": error.to_string()}))).into_response()
}

/// Asks the hub that listens at the path to revoke tokens.
///
/// # Errors
/// No hub listens there, or it refuses.
pub async fn ask_to_revoke(socket: &Path, whose: &Whose) -> anyhow::Result<RevokedCounts> {
    ask(socket, Method::POST, REVOKE, Some(whose)).await
}

/// Asks the hub that listens at the path for a login link.
///
/// # Errors
/// No hub listens there, or it refuses.
pub async fn ask_for_link(socket: &Path, wish: &Wish) -> anyhow::Result<Link> {
    ask(socket, Method::POST, LINKS, Some(wish)).await
}

/// Asks the hub that listens at the path to set a password.
///
/// # Errors
/// No hub listens there, or it refuses.
pub async fn ask_to_set_password(socket: &Path, wish: &PasswordWish) -> anyhow::Result<()> {
    send(socket, Method::POST, PASSWORDS, |request| request.json(wish)).await.map(drop)
}

/// Asks the hub that listens at the path what runs. Where no hub listens nothing does.
///
/// # Errors
/// The socket can't be used, or the hub refuses.
pub async fn ask_for_servers(socket: &Path) -> anyhow::Result<Vec<ServerInfo>> {
    match UnixStream::connect(socket).await {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => Ok(Vec::new()),
        _ => ask(socket, Method::GET, SERVERS, None::<&()>).await,
    }
}

/// Asks the hub that listens at the path which versions of its secrets it has.
///
/// # Errors
/// No hub listens there, or it refuses.
pub async fn ask_for_standing(socket: &Path) -> anyhow::Result<Standing> {
    ask(socket, Method::GET, SECRETS, None::<&()>).await
}

/// Asks the hub that listens at the path for new secrets.
///
/// # Errors
/// No hub listens there, or it refuses.
pub async fn ask_to_change_secrets(socket: &Path, wish: &report::Wish) -> anyhow::Result<Outcome> {
    ask(socket, Method::POST, SECRETS, Some(wish)).await
}

/// Writes a copy of the database of the hub that listens at the path; returns its length.
///
/// # Errors
/// No hub listens there, it refuses, or the copy can't be written.
pub async fn ask_for_backup(socket: &Path, to: &mut (impl AsyncWrite + Unpin)) -> anyhow::Result<u64> {
    let answer = send(socket, Method::GET, BACKUP, |request| request).await?;
    let mut from = StreamReader::new(answer.bytes_stream().map_err(io::Error::other));
    let bytes = tokio::io::copy(&mut from, to).await?;
    to.flush().await?;
    Ok(bytes)
}

/// Gives the hub that listens at the path a copy, which is its database from its next start on. It ends then.
///
/// # Errors
/// No hub listens there, or it refuses.
pub async fn ask_to_restore(socket: &Path, from: impl AsyncRead + Send + Sync + 'static) -> anyhow::Result<()> {
    let body = reqwest::Body::wrap_stream(ReaderStream::new(from));
    send(socket, Method::PUT, RESTORE, |request| request.body(body)).await.map(drop)
}

async fn ask<T: DeserializeOwned>(
    socket: &Path,
    method: Method,
    path: &str,
    body: Option<&impl Serialize>,
) -> anyhow::Result<T> {
    let answer = send(socket, method, path, |request| match body {
        Some(body) => request.json(body),
        None => request,
    });
    Ok(answer.await?.json().await?)
}

/// The hub's answer to a request, unless it refuses.
async fn send(
    socket: &Path,
    method: Method,
    path: &str,
    complete: impl FnOnce(RequestBuilder) -> RequestBuilder,
) -> anyhow::Result<reqwest::Response> {
    let client = hub_server::http_client().unix_socket(socket).build()?;
    let answer = complete(client.request(method, format!("http://hub{path}"))).send().await.with_context(|| {
        format!(
            "failed to reach a hub at {}: run this where the hub runs and as its user (`kubectl exec deploy/<hub>-hub -- hub ...`), or name its socket with --socket",
            socket.display()
        )
    })?;
    if answer.status().is_success() {
        return Ok(answer);
    }
    let status = answer.status();
    let message = answer.json::<Value>().await.ok().and_then(|body| Some(body.get("message")?.as_str()?.to_owned()));
    anyhow::bail!(message.unwrap_or_else(|| format!("the hub answered {status}")))
}
