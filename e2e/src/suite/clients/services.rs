//! Services that are written on JupyterHub's own `jupyterhub.services.auth`, behind the hub's proxy.

use std::{collections::BTreeMap, net::TcpListener, time::Duration};

use anyhow::{Result, bail, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};

use super::api::Api;
use crate::{
    clients::Clients,
    environments::Version,
    local_hub::{LocalHub, USER},
    suite::person::Person,
};

/// Until a service listens.
const START: Duration = Duration::from_secs(20);
/// What the services know themselves to the hub with.
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// HubOAuth: a person is asked once whether the service may know them, and a logout ends it there too.
pub(super) async fn a_hub_oauth_service_logs_people_in(clients: &Clients) -> Result<()> {
    clients
        .with_hub("oauth-service", Version::V6, async |hub| {
            with_service(clients, hub, "oauth_service.py", async || {
                let ada = Person::new(USER, &hub.base_url)?;
                ada.log_in_with_url(&hub.token).await?;
                let asked = ada.visit("/services/e2e/").await?.expect(&[200])?;
                ensure!(asked.path() == "/hub/api/oauth2/authorize", "nobody asks ada: {}", asked.url);
                let model = ada.submit(&asked, &BTreeMap::new()).await?.expect(&[200])?;
                ensure!(model.path() == "/services/e2e/" && model.json()?["name"] == USER, "{}", model.body);
                let left = ada.jar().names().into_iter().any(|(name, _)| name.starts_with("service-e2e-oauth-state"));
                ensure!(!left, "the OAuth state is still there");

                let elsewhere = Person::new(USER, &hub.base_url)?;
                elsewhere.log_in_with_url(&hub.token).await?;
                let again = elsewhere.visit("/services/e2e/").await?.expect(&[200])?;
                ensure!(again.path() == "/services/e2e/", "ada is asked again: {}", again.url);

                ada.log_out().await?;
                let after = ada.visit("/services/e2e/").await?;
                ensure!(after.path() == "/hub/login", "after logout the service leads to {}", after.url);
                Ok(())
            })
            .await
        })
        .await
}

/// HubAuth: a token opens the service to those who have its scope.
pub(super) async fn a_hub_auth_service_takes_tokens(clients: &Clients) -> Result<()> {
    clients
        .with_hub("token-service", Version::V6, async |hub| {
            with_service(clients, hub, "token_service.py", async || {
                let admin = Api::admin(hub);
                admin.expect(Method::POST, "/users/grace", None, &[201]).await?;
                let scopes = json!({"scopes": ["access:services!service=e2e"]});
                let allowed = token_of(&admin, USER, &scopes).await?;
                let refused = token_of(&admin, "grace", &json!({})).await?;
                for (token, status) in [(allowed.as_str(), 200), (refused.as_str(), 403), ("no-such-token", 403)] {
                    let (answer, model) = Api::new(hub, token).send_to(Method::GET, "/services/e2e/", None).await?;
                    ensure!(answer == status, "a token gets {answer}, not {status}: {model}");
                    ensure!(status != 200 || model["name"] == USER, "the token is that of {model}");
                }
                Ok(())
            })
            .await
        })
        .await
}

async fn token_of(admin: &Api, user: &str, request: &Value) -> Result<String> {
    let token = admin.expect(Method::POST, &format!("/users/{user}/tokens"), Some(request), &[201]).await?;
    Ok(token["token"].as_str().unwrap_or_default().to_owned())
}

/// Runs a service of `clients/` as `/services/e2e/` while a test goes on.
async fn with_service(
    clients: &Clients,
    hub: &LocalHub,
    script: &str,
    test: impl AsyncFnOnce() -> Result<()>,
) -> Result<()> {
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let service = clients
        .script(script)
        .env("JUPYTERHUB_SERVICE_NAME", "e2e")
        .env("JUPYTERHUB_SERVICE_PREFIX", "/services/e2e/")
        .env("JUPYTERHUB_SERVICE_URL", format!("http://127.0.0.1:{port}/services/e2e/"))
        .env("JUPYTERHUB_API_URL", format!("{}/hub/api", hub.base_url))
        .env("JUPYTERHUB_API_TOKEN", SECRET)
        .env("JUPYTERHUB_CLIENT_ID", "service-e2e")
        .env("JUPYTERHUB_OAUTH_CALLBACK_URL", "/services/e2e/oauth_callback");
    let test = async {
        await_listener(port).await?;
        let spec = json!({"url": format!("http://127.0.0.1:{port}"), "api_token": SECRET});
        Api::admin(hub).expect(Method::POST, "/services/e2e", Some(&spec), &[201]).await?;
        test().await
    };
    tokio::select! {
        ended = service.output() => bail!("the service ended: {ended:?}"),
        result = test => result,
    }
}

async fn await_listener(port: u16) -> Result<()> {
    let end = Instant::now() + START;
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        ensure!(Instant::now() < end, "the service does not listen");
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
