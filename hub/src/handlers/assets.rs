//! Static files and the logo, held in the binary.

use axum::{
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

use crate::{
    app::App,
    error::{Failure, Result},
};

const LOGO: &str = include_str!("../../static/logo.svg");
const CSS: &str = include_str!("../../static/hub.css");
const PROGRESS: &str = include_str!("../../static/progress.js");

static VERSION: LazyLock<String> = LazyLock::new(|| {
    let digest = Sha256::new().chain_update(CSS).chain_update(PROGRESS).chain_update(LOGO).finalize();
    hex::encode(&digest[..4])
});

/// Changes when a file does.
pub fn version() -> &'static str {
    &VERSION
}

pub async fn get(Path(name): Path<String>) -> Result<Response> {
    match name.as_str() {
        "hub.css" => Ok(asset("text/css; charset=utf-8", CSS)),
        "progress.js" => Ok(asset("text/javascript; charset=utf-8", PROGRESS)),
        "logo.svg" => Ok(asset("image/svg+xml", LOGO)),
        _ => Err(Failure::not_found()),
    }
}

/// The administrator's picture, or else the hub's own.
pub async fn logo(State(app): State<App>) -> Response {
    let Some(file) = &app.pages.logo_file else { return asset("image/svg+xml", LOGO) };
    let kind = file.extension().and_then(|ending| ending.to_str()).and_then(kind_of_picture);
    match (kind, tokio::fs::read(file).await) {
        (Some(kind), Ok(picture)) => own_logo(kind, picture),
        (kind, read) => {
            let why = read.err().map_or_else(|| format!("known kind: {}", kind.is_some()), |error| error.to_string());
            tracing::warn!(file = %file.display(), why, "the logo can't be shown, and the hub's own takes its place");
            asset("image/svg+xml", LOGO)
        }
    }
}

/// Kinds of pictures that browsers show, by ending.
fn kind_of_picture(ending: &str) -> Option<&'static str> {
    Some(match ending.to_ascii_lowercase().as_str() {
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        _ => return None,
    })
}

/// An SVG may hold scripts, which run where it is opened as a page: not with this policy.
fn own_logo(kind: &'static str, picture: Vec<u8>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "public, max-age=300"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; sandbox"),
    ];
    (headers, picture).into_response()
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "public, max-age=86400"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, text).into_response()
}
