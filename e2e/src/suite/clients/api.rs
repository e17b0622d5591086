//! The hub's REST API as a program uses it: with a token, without cookies.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::{Client, Method, header::AUTHORIZATION};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::local_hub::LocalHub;

/// From the request for a server until it is ready, on a machine that starts several.
const SERVER: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

/// A token and where it counts.
pub(super) struct Api {
    http: Client,
    base_url: String,
    token: String,
}

impl Api {
    /// With the administrator's own token.
    pub(super) fn admin(hub: &LocalHub) -> Self {
        Self::new(hub, &hub.token)
    }

    pub(super) fn new(hub: &LocalHub, token: &str) -> Self {
        let (base_url, token) = (hub.base_url.clone(), token.to_owned());
        Self { http: Client::new(), base_url, token }
    }

    /// Sends a request to a path below `/hub/api`; gives status and body, which is null if it is no JSON.
    pub(super) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        self.send_to(method, &format!("/hub/api{path}"), body).await
    }

    /// The same for any path.
    pub(super) async fn send_to(&self, method: Method, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        let url = format!("{}{path}", self.base_url);
        let mut request = self.http.request(method, url).header(AUTHORIZATION, format!("token {}", self.token));
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.with_context(|| format!("failed to ask for {path}"))?;
        let (status, text) = (response.status().as_u16(), response.text().await?);
        Ok((status, serde_json::from_str(&text).unwrap_or_default()))
    }

    /// As [`Self::send`]; an error unless the status is one of these.
    pub(super) async fn expect(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        statuses: &[u16],
    ) -> Result<Value> {
        let (status, answer) = self.send(method.clone(), path, body).await?;
        ensure!(statuses.contains(&status), "{method} {path} answered {status}, expected {statuses:?}: {answer}");
        Ok(answer)
    }

    /// A user's default server as the API shows it; null if it does not run.
    pub(super) async fn server(&self, user: &str) -> Result<Value> {
        let user = self.expect(Method::GET, &format!("/users/{user}"), None, &[200]).await?;
        Ok(user["servers"][""].clone())
    }

    /// Starts a user's server and waits until it is ready.
    pub(super) async fn start_server(&self, user: &str) -> Result<()> {
        let path = format!("/users/{user}/server");
        self.expect(Method::POST, &path, Some(&json!({})), &[201, 202]).await?;
        let end = Instant::now() + SERVER;
        loop {
            let server = self.server(user).await?;
            if server["ready"] == true {
                return Ok(());
            }
            if Instant::now() > end || server.is_null() {
                bail!("the server of {user} did not become ready: {server}");
            }
            sleep(POLL).await;
        }
    }
}
