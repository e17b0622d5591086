//! A real provider of OpenID Connect on this machine: oidc-provider, run by `peers/oidc-provider.mjs`.

use std::{fs, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

use crate::http;

/// What it knows a hub by.
pub(crate) const CLIENT_ID: &str = "the-hub";
pub(crate) const CLIENT_SECRET: &str = "a secret of the hub";

const START: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// A provider that runs. It ends with this.
pub(crate) struct OidcProvider {
    /// Without a slash at its end.
    pub(crate) issuer: String,
    directory: tempfile::TempDir,
    _process: Child,
}

impl OidcProvider {
    /// Starts it for a hub at this address, which has no slash at its end. `packages` is where Node.js and the program are.
    pub(crate) async fn start(packages: &Path, port: u16, hub: &str, people: &Value) -> Result<Self> {
        let (issuer, directory) = (format!("http://127.0.0.1:{port}"), tempfile::tempdir()?);
        let clients = directory.path().join("clients.json");
        fs::write(&clients, clients_of(hub).to_string())?;
        fs::write(directory.path().join("people.json"), people.to_string())?;
        let process = Command::new(packages.join("node"))
            .arg(packages.join("oidc-provider.mjs"))
            .arg(&issuer)
            .arg(&clients)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("failed to start oidc-provider")?;
        let started = Self { issuer, directory, _process: process };
        started.answers().await?;
        Ok(started)
    }

    /// Says anew who there is.
    pub(crate) fn set_people(&self, people: &Value) -> Result<()> {
        let file = self.directory.path().join("people.json");
        fs::write(file.with_extension("new"), people.to_string())?;
        Ok(fs::rename(file.with_extension("new"), file)?)
    }

    async fn answers(&self) -> Result<()> {
        let (client, end) = (http::client(None)?, Instant::now() + START);
        while client.get(format!("{}/jwks", self.issuer)).send().await.is_err() {
            if Instant::now() > end {
                bail!("oidc-provider does not answer at {}", self.issuer);
            }
            sleep(POLL).await;
        }
        Ok(())
    }
}

/// The only client, a hub at this address.
pub(crate) fn clients_of(hub: &str) -> Value {
    json!([{
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "redirect_uris": [format!("{hub}/hub/oauth_callback")],
        "post_logout_redirect_uris": [format!("{hub}/hub/logout")],
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "client_secret_post",
    }])
}
