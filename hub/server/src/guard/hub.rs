//! What the guard asks of the hub, over HTTP.

use jiff::Timestamp;
use reqwest::{Client, RequestBuilder, Response, StatusCode, header, redirect::Policy};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;
use std::time::Duration;
use tokio::{sync::Semaphore, time::Instant};

use super::{
    access::Holder,
    environment::{ActivitySettings, Environment},
    oauth::Arrived,
};

/// One try.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a hub may take to restart without anybody noticing.
const PATIENCE: Duration = Duration::from_secs(10);
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How many may wait so at a time: whoever makes up tokens must not fill the server with questions.
const WAITING: usize = 64;
/// The longest answer that is read, in bytes: somebody may hold very many scopes.
const LONGEST_ANSWER: usize = 4 << 20;

/// Why the hub gave no answer that can be used. Nothing of it holds a secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum HubError {
    #[error("failed to reach the hub at {api_url}: {reason}")]
    Unreachable { api_url: String, reason: String },
    #[error("the hub at {api_url} answered {status}{words}")]
    Status { api_url: String, status: StatusCode, words: String },
    #[error("the hub at {api_url} answered something else than JupyterHub does: {reason}")]
    Answer { api_url: String, reason: String },
}

impl HubError {
    /// It may be over in a moment.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Status { status, .. } => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
            Self::Answer { .. } => false,
        }
    }
}

/// The hub's REST API.
pub(super) struct HubClient {
    http: Client,
    api_url: String,
    client_id: String,
    callback: String,
    secret: SecretString,
    waiting: Semaphore,
}

impl std::fmt::Debug for HubClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HubClient").field("api_url", &self.api_url).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Token {
    access_token: SecretString,
}

impl HubClient {
    /// # Errors
    /// The hub is spoken to by TLS, and no authority is installed.
    pub(super) fn new(environment: &Environment) -> reqwest::Result<Self> {
        let http = crate::http_client_for(&environment.api_url)
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .redirect(Policy::none())
            .build()?;
        Ok(Self {
            http,
            api_url: environment.api_url.clone(),
            client_id: environment.client_id.clone(),
            callback: environment.callback.clone(),
            secret: environment.api_token.clone(),
            waiting: Semaphore::new(WAITING),
        })
    }

    /// Whose a token is; `None` if the hub does not know it. `patiently`: a hub that restarts is waited for.
    pub(super) async fn holder(&self, token: &str, patiently: bool) -> Result<Option<Holder>, HubError> {
        let place = self.waiting.try_acquire().ok().filter(|_| patiently);
        let until = Instant::now() + if place.is_some() { PATIENCE } else { Duration::ZERO };
        let mut pause = FIRST_WAIT;
        loop {
            match self.holder_once(token).await {
                Err(error) if error.is_passing() && Instant::now() + pause < until => {}
                answer => return answer,
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_WAIT);
        }
    }

    async fn holder_once(&self, token: &str) -> Result<Option<Holder>, HubError> {
        let request = self.http.get(format!("{}/user", self.api_url));
        let response = self.send(request.header(header::AUTHORIZATION, format!("token {token}"))).await?;
        if response.status() == StatusCode::FORBIDDEN {
            return Ok(None);
        }
        self.json(response).await.map(Some)
    }

    /// A token for a code (RFC 6749 section 4.1.3).
    pub(super) async fn exchange(&self, arrived: &Arrived) -> Result<SecretString, HubError> {
        let request = self.http.post(format!("{}/oauth2/token", self.api_url)).form(&[
            ("client_id", self.client_id.as_str()),
            ("client_secret", self.secret.expose_secret()),
            ("grant_type", "authorization_code"),
            ("code", arrived.code.expose_secret()),
            ("redirect_uri", &self.callback),
            ("code_verifier", arrived.verifier.expose_secret()),
        ]);
        let token: Token = self.json(self.send(request).await?).await?;
        Ok(token.access_token)
    }

    /// Notes when the server was used last.
    pub(super) async fn note_activity(&self, settings: &ActivitySettings, latest: Timestamp) -> Result<(), HubError> {
        let body = json!({
            "servers": {&settings.server_name: {"last_activity": latest}},
            "last_activity": latest,
        });
        let token = format!("token {}", self.secret.expose_secret());
        let request = self.http.post(&settings.url).header(header::AUTHORIZATION, token).json(&body);
        let response = self.send(request).await?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status => Err(HubError::Status { api_url: self.api_url.clone(), status, words: String::new() }),
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, HubError> {
        request.send().await.map_err(|error| self.unreachable(error))
    }

    fn unreachable(&self, error: reqwest::Error) -> HubError {
        let error = error.without_url();
        let mut reason = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(deeper) = cause {
            reason = format!("{reason}: {deeper}");
            cause = deeper.source();
        }
        HubError::Unreachable { api_url: self.api_url.clone(), reason }
    }

    async fn json<T: DeserializeOwned>(&self, mut response: Response) -> Result<T, HubError> {
        let (api_url, status) = (self.api_url.clone(), response.status());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(error))? {
            body.extend_from_slice(&chunk);
            if body.len() > LONGEST_ANSWER {
                return Err(HubError::Answer { api_url, reason: "it is too long".to_owned() });
            }
        }
        if status != StatusCode::OK {
            return Err(HubError::Status { api_url, status, words: words(&body) });
        }
        serde_json::from_slice(&body).map_err(|error| {
            // Not the error itself: it may quote what it stands in.
            let reason = format!("line {} column {}", error.line(), error.column());
            HubError::Answer { api_url, reason }
        })
    }
}

/// What an error of the API or of OAuth says, as far as it does.
fn words(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Words {
        error_description: Option<String>,
        error: Option<String>,
        message: Option<String>,
    }
    let words = serde_json::from_slice::<Words>(body).ok();
    let words = words.and_then(|words| words.error_description.or(words.error).or(words.message));
    words.map(|words| format!(": {}", words.chars().take(200).collect::<String>())).unwrap_or_default()
}
