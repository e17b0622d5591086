//! The client of the proxy's REST API: configurable-http-proxy's, which `hub-proxy` speaks too.

use secrecy::{ExposeSecret, SecretString};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use tracing::warn;

pub mod table;

pub use table::Route;

/// How long a change of the table is tried again when the proxy cannot be reached or answers 5xx.
const RETRY_FOR: Duration = Duration::from_secs(30);
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// One request takes at most this long.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the proxy could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error("failed to {action} at the proxy {api_url}: {source}")]
    Request { action: String, api_url: String, source: reqwest::Error },
    #[error(
        "failed to {action} at the proxy {api_url}: it does not accept the hub's token; both need the same \
         CONFIGPROXY_AUTH_TOKEN"
    )]
    Forbidden { action: String, api_url: String },
    #[error("failed to {action} at the proxy {api_url}: it answered {status}")]
    Status { action: String, api_url: String, status: reqwest::StatusCode },
    #[error("failed to read the proxy's token from {path}: {source}")]
    Token { path: PathBuf, source: std::io::Error },
}

/// The token that hub and proxy agree upon (S49).
#[derive(Clone)]
pub enum ProxyToken {
    /// A file that is read for each request, so that a rotated token needs no restart. While it is unreadable or empty
    /// the last good value is used.
    File {
        path: PathBuf,
        last_good: Arc<Mutex<Option<SecretString>>>,
    },
    Value(SecretString),
}

impl ProxyToken {
    pub fn file(path: &Path) -> Self {
        Self::File { path: path.to_owned(), last_good: Arc::default() }
    }

    async fn current(&self) -> Result<SecretString, ProxyError> {
        let (path, last_good) = match self {
            Self::Value(token) => return Ok(token.clone()),
            Self::File { path, last_good } => (path, last_good),
        };
        let read = tokio::fs::read_to_string(path).await;
        let mut last_good = last_good.lock().unwrap_or_else(PoisonError::into_inner);
        let error = match read {
            Ok(text) if !text.trim().is_empty() => {
                let token = SecretString::from(text.trim());
                *last_good = Some(token.clone());
                return Ok(token);
            }
            Ok(_) => std::io::Error::other("the file is empty"),
            Err(error) => error,
        };
        last_good.clone().ok_or_else(|| ProxyError::Token { path: path.clone(), source: error })
    }
}

/// A proxy's REST API. Clones share where it is.
#[derive(Clone)]
pub struct ProxyClient {
    http: reqwest::Client,
    place: Arc<Mutex<Place>>,
}

/// Where a proxy's REST API is.
#[derive(Clone)]
struct Place {
    /// Without a slash at its end, such as `http://127.0.0.1:8001`.
    api_url: String,
    token: ProxyToken,
}

impl ProxyClient {
    /// A client of the API at `api_url`, such as `http://127.0.0.1:8001`.
    pub fn new(api_url: &str, token: ProxyToken) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(REQUEST_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client without TLS and files has nothing that could be missing");
        let place = Place { api_url: api_url.trim_end_matches('/').to_owned(), token };
        Self { http, place: Arc::new(Mutex::new(place)) }
    }

    /// A client of another proxy, or of the same one with another token; what is `None` is as here.
    pub fn elsewhere(&self, api_url: Option<&str>, token: Option<ProxyToken>) -> Self {
        let here = self.place();
        let place = Place {
            api_url: api_url.map_or(here.api_url, |url| url.trim_end_matches('/').to_owned()),
            token: token.unwrap_or(here.token),
        };
        Self { http: self.http.clone(), place: Arc::new(Mutex::new(place)) }
    }

    /// The proxy of the other client is in charge from now on, until the hub ends.
    pub fn relocate(&self, to: &Self) {
        let place = to.place();
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }

    fn place(&self) -> Place {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The whole table by decoded path, such as `/user/a@b`. Tried once.
    pub async fn routes(&self) -> Result<BTreeMap<String, Route>, ProxyError> {
        let action = "read the routes";
        let response = self.send(reqwest::Method::GET, "/", None, action).await?;
        response.json().await.map_err(|source| self.place().failed(action, source))
    }

    /// Adds the route of a decoded path, or replaces it. Tried for 30 s.
    pub async fn add(&self, path: &str, route: &Route) -> Result<(), ProxyError> {
        self.persist(reqwest::Method::POST, path, Some(route), &format!("add the route {path}")).await
    }

    /// Removes the route of a decoded path. One that is not there is no error. Tried for 30 s.
    pub async fn remove(&self, path: &str) -> Result<(), ProxyError> {
        self.persist(reqwest::Method::DELETE, path, None, &format!("remove the route {path}")).await
    }

    async fn persist(
        &self,
        method: reqwest::Method,
        path: &str,
        route: Option<&Route>,
        action: &str,
    ) -> Result<(), ProxyError> {
        let deadline = Instant::now() + RETRY_FOR;
        let mut wait = FIRST_WAIT;
        loop {
            let error = match self.send(method.clone(), path, route, action).await {
                Ok(_) => return Ok(()),
                Err(ProxyError::Status { status, .. })
                    if status == reqwest::StatusCode::NOT_FOUND && method == reqwest::Method::DELETE =>
                {
                    return Ok(());
                }
                Err(error) => error,
            };
            if !is_passing(&error) || Instant::now() + wait > deadline {
                return Err(error);
            }
            warn!(%error, "trying again in {} ms", wait.as_millis());
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn send(
        &self,
        method: reqwest::Method,
        path: &str,
        route: Option<&Route>,
        action: &str,
    ) -> Result<reqwest::Response, ProxyError> {
        let place = self.place();
        let token = place.token.current().await?;
        let mut request = self
            .http
            .request(method, format!("{}/api/routes{}", place.api_url, table::escape_path(path)))
            .header(reqwest::header::AUTHORIZATION, format!("token {}", token.expose_secret()));
        if let Some(route) = route {
            request = request.json(route);
        }
        let response = request.send().await.map_err(|source| place.failed(action, source))?;
        let action = action.to_owned();
        match response.status() {
            status if status.is_success() => Ok(response),
            reqwest::StatusCode::FORBIDDEN => Err(ProxyError::Forbidden { action, api_url: place.api_url }),
            status => Err(ProxyError::Status { action, api_url: place.api_url, status }),
        }
    }
}

impl Place {
    fn failed(&self, action: &str, source: reqwest::Error) -> ProxyError {
        ProxyError::Request { action: action.to_owned(), api_url: self.api_url.clone(), source: source.without_url() }
    }
}

/// Worth another try: the proxy is restarting or about to read a rotated token.
fn is_passing(error: &ProxyError) -> bool {
    match error {
        ProxyError::Request { .. } | ProxyError::Forbidden { .. } => true,
        ProxyError::Status { status, .. } => status.is_server_error(),
        ProxyError::Token { .. } => false,
    }
}
