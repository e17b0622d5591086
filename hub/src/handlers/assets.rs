//! Static files and the logo, held in the binary.

use axum::{
    extract::Path,
    http::header,
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

use crate::error::{Failure, Result};

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

pub async fn logo() -> Response {
    asset("image/svg+xml", LOGO)
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "public, max-age=86400"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, text).into_response()
}
