//! Asking the provider. What it answers is bounded in time and size, and it leads nowhere else: a redirect is an error.
//!
//! Only addresses that an administrator wrote, or that the provider of one publishes, are asked: nobody else can name one
//! (attack row 54), so private ones are as good as others.

use reqwest::{Certificate, Client, Response, StatusCode, header, redirect::Policy};
use serde_json::{Map, Value};
use std::{path::Path, time::Duration};
use url::form_urlencoded;

use super::ProviderError;
use crate::reread::Reread;

const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(10);
/// Bytes of an answer.
const LARGEST: usize = 1 << 20;
/// Characters of a provider's own words.
const LONGEST_WORDS: usize = 100;

/// A client that believes the system's authorities, or those of a file.
pub(super) struct Http(Reread<Client>);

impl Http {
    pub(super) fn new(ca_file: Option<&Path>) -> anyhow::Result<Self> {
        Ok(Self(match ca_file {
            Some(file) => Reread::new(file, of_authorities),
            None => Reread::fixed(build(hub_server::http_client_for("https:")).map_err(anyhow::Error::msg)?),
        }))
    }

    /// The body of a good answer.
    pub(super) async fn get(&self, url: &str, token: Option<&str>) -> Result<Vec<u8>, ProviderError> {
        let mut request = self.0.get()?.get(url).header(header::ACCEPT, "application/json");
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.map_err(unreachable)?;
        match response.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if token.is_some() => Err(ProviderError::Denied),
            status if status.is_success() => read(response).await,
            status => Err(ProviderError::Unreachable(format!("it answers {status}"))),
        }
    }

    /// An object that is told to whoever has this token.
    pub(super) async fn get_object(&self, url: &str, token: &str) -> Result<Map<String, Value>, ProviderError> {
        serde_json::from_slice(&self.get(url, Some(token)).await?).map_err(|_| not_json())
    }

    /// What a token endpoint answers to a form (RFC 6749 section 5), with the client's id and secret in the header if they are
    /// given.
    pub(super) async fn post(
        &self,
        url: &str,
        form: &[(&str, &str)],
        client: Option<(&str, &str)>,
    ) -> Result<Map<String, Value>, ProviderError> {
        let mut request = self.0.get()?.post(url).header(header::ACCEPT, "application/json").form(form);
        if let Some((id, secret)) = client {
            // Both are encoded before they are put together (section 2.3.1).
            let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            request = request.basic_auth(encode(id), Some(encode(secret)));
        }
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let answer = serde_json::from_slice::<Map<String, Value>>(&read(response).await?);
        let refused = answer.as_ref().ok().and_then(|answer| answer.get("error")?.as_str());
        match (refused, answer.as_ref()) {
            // A code or token that isn't good any more; GitHub has a word of its own, and says it with 200.
            (Some("invalid_grant" | "bad_verification_code" | "bad_refresh_token"), _) => Err(ProviderError::Denied),
            (Some(error), _) if !status.is_server_error() => Err(ProviderError::Misconfigured(words(error))),
            (None, Ok(_)) if status.is_success() => answer.map_err(|_| not_json()),
            (None, Err(_)) if status.is_success() => Err(not_json()),
            _ => Err(ProviderError::Unreachable(format!("it answers {status}"))),
        }
    }
}

/// Words of the provider's, which anybody may have sent: short, and without what a log could be forged with.
pub(super) fn words(text: &str) -> String {
    text.chars().take(LONGEST_WORDS).flat_map(char::escape_default).collect()
}

pub(super) fn not_json() -> ProviderError {
    ProviderError::Unreachable("its answer is not what was asked for".to_owned())
}

fn of_authorities(pem: &[u8]) -> Result<Client, String> {
    let certificates = Certificate::from_pem_bundle(pem).map_err(|error| error.to_string())?;
    if certificates.is_empty() {
        return Err("it holds no certificate".to_owned());
    }
    build(hub_server::http_client().tls_certs_only(certificates))
}

fn build(client: reqwest::ClientBuilder) -> Result<Client, String> {
    let client = client.connect_timeout(CONNECT).timeout(ANSWER).redirect(Policy::none());
    client.user_agent(concat!("jupyter.rs-hub/", env!("CARGO_PKG_VERSION"))).build().map_err(|error| error.to_string())
}

/// No address and no query goes into the text: both may hold a secret.
fn unreachable(error: reqwest::Error) -> ProviderError {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    ProviderError::Unreachable(text)
}

async fn read(mut response: Response) -> Result<Vec<u8>, ProviderError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > LARGEST {
            return Err(ProviderError::Unreachable("its answer is too long".to_owned()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
