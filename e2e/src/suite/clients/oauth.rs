//! OAuth for a client that is no part of Jupyter: requests-oauthlib.

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use super::api::Api;
use crate::{clients::Clients, environments::Version, local_hub::USER};

const SECRET: &str = "fedcba9876543210fedcba9876543210";
/// Nobody listens there: the script reads the code from the redirect itself.
const REDIRECT_URI: &str = "http://127.0.0.1:9/callback";

/// Authorization code with PKCE; a used code and a wrong verifier are refused.
pub(super) async fn requests_oauthlib_gets_a_token_with_pkce(clients: &Clients) -> Result<()> {
    clients
        .with_hub("oauth-client", Version::V6, async |hub| {
            let spec =
                json!({"api_token": SECRET, "oauth_client_id": "service-plain", "oauth_redirect_uri": REDIRECT_URI});
            Api::admin(hub).expect(Method::POST, "/services/plain", Some(&spec), &[201]).await?;
            let said = clients
                .script("oauth_client.py")
                .env("HUB_URL", &hub.base_url)
                .env("LOGIN_TOKEN", &hub.token)
                .env("CLIENT_ID", "service-plain")
                .env("CLIENT_SECRET", SECRET)
                .env("REDIRECT_URI", REDIRECT_URI)
                .env("OAUTHLIB_INSECURE_TRANSPORT", "1") // the loopback interface has no TLS
                .output()
                .await?;
            let said: Value = serde_json::from_str(&said).with_context(|| format!("the client said {said}"))?;
            ensure!(said["user"]["name"] == USER, "the token is that of {}", said["user"]);
            let scopes = &said["user"]["scopes"];
            ensure!(scopes.to_string().contains("access:services!service=plain"), "the token has {scopes}");
            let refused = json!({"used code": "invalid_grant", "wrong verifier": "invalid_grant"});
            ensure!(said["refused"] == refused, "refused is {}, not {refused}", said["refused"]);
            Ok(())
        })
        .await
}
