//! The REST API of one pod of the proxy: configurable-http-proxy's, which `hub-proxy` speaks too.

use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use std::collections::{BTreeMap, BTreeSet};

use super::{ProxyError, ProxyToken, Route, table};

/// A proxy's REST API.
#[derive(Clone)]
pub struct ProxyApi {
    http: reqwest::Client,
    /// Without a slash at its end, such as `http://127.0.0.1:8001`.
    url: String,
    token: ProxyToken,
}

impl ProxyApi {
    pub(super) fn new(http: reqwest::Client, url: String, token: ProxyToken) -> Self {
        Self { http, url, token }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The whole table by decoded path, such as `/user/a@b`. Tried once, as everything here.
    pub async fn routes(&self) -> Result<BTreeMap<String, Route>, ProxyError> {
        let action = "read the routes";
        let response = self.send(Method::GET, "/", None, action).await?;
        response.json().await.map_err(|source| self.failed(action, source))
    }

    /// The route of a decoded path, if there is one.
    pub async fn route(&self, path: &str) -> Result<Option<Route>, ProxyError> {
        let action = "read a route";
        match self.send(Method::GET, path, None, action).await {
            Err(ProxyError::Status { status: StatusCode::NOT_FOUND, .. }) => Ok(None),
            response => response?.json().await.map(Some).map_err(|source| self.failed(action, source)),
        }
    }

    /// Adds the route of a decoded path or replaces it, or without one removes what is there. That nothing is there is no
    /// error.
    pub async fn set(&self, path: &str, route: Option<&Route>) -> Result<(), ProxyError> {
        let (method, action) = match route {
            Some(_) => (Method::POST, format!("add the route {path}")),
            None => (Method::DELETE, format!("remove the route {path}")),
        };
        match self.send(method, path, route, &action).await {
            Err(ProxyError::Status { status: StatusCode::NOT_FOUND, .. }) if route.is_none() => Ok(()),
            sent => sent.map(|_| ()),
        }
    }

    /// Sends a request. While the token rotates hub and proxy may not have the same versions of it yet: of a 403 each other
    /// version is tried once.
    async fn send(
        &self,
        method: Method,
        path: &str,
        route: Option<&Route>,
        action: &str,
    ) -> Result<reqwest::Response, ProxyError> {
        for (tried, (version, token)) in self.token.candidates()?.into_iter().enumerate() {
            let response = self.attempt(method.clone(), path, route, &token).await;
            let response = response.map_err(|source| self.failed(action, source))?;
            let status = response.status();
            if status == StatusCode::FORBIDDEN {
                continue;
            }
            if tried > 0 {
                self.token.took(version);
            }
            return if status.is_success() {
                Ok(response)
            } else {
                Err(ProxyError::Status { action: action.to_owned(), api_url: self.url.clone(), status })
            };
        }
        Err(ProxyError::Forbidden { action: action.to_owned(), api_url: self.url.clone() })
    }

    async fn attempt(
        &self,
        method: Method,
        path: &str,
        route: Option<&Route>,
        token: &SecretString,
    ) -> reqwest::Result<reqwest::Response> {
        let request = self
            .http
            .request(method, format!("{}/api/routes{}", self.url, table::escape_path(path)))
            .header(reqwest::header::AUTHORIZATION, format!("token {}", token.expose_secret()));
        match route {
            Some(route) => request.json(route).send().await,
            None => request.send().await,
        }
    }

    /// Which versions of the token the proxy takes, of these: each is tried once.
    pub async fn accepted_versions(&self, of: &BTreeSet<u32>) -> Result<BTreeSet<u32>, ProxyError> {
        let mut accepted = BTreeSet::new();
        for (version, token) in self.token.candidates()?.into_iter().filter(|(version, _)| of.contains(version)) {
            let response = self.attempt(Method::GET, "/", None, &token).await;
            if response.map_err(|source| self.failed("try a token", source))?.status().is_success() {
                accepted.insert(version);
            }
        }
        Ok(accepted)
    }

    fn failed(&self, action: &str, source: reqwest::Error) -> ProxyError {
        ProxyError::Request { action: action.to_owned(), api_url: self.url.clone(), source: source.without_url() }
    }
}
