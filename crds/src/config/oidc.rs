//! The provider that people log in at, with everything filled in. Presets are values of this type and nothing else.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A provider of OpenID Connect, or one of OAuth 2 with a page of user data. Its URLs are an administrator's: the hub asks
/// whatever host they name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OidcProvider {
    /// What the button on the login page calls it.
    pub display_name: String,
    pub client_id: String,
    /// OpenID Connect's, by which everything else is discovered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Of a provider without an issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<OidcEndpoints>,
    /// Where people come back to, if it isn't `hub/oauth_callback` below the public address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<String>,
    pub scopes: Vec<String>,
    /// More of what the authorization endpoint is asked with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub authorize_params: BTreeMap<String, String>,
    pub username_claim: String,
    /// Dots lead into objects.
    pub groups_claim: String,
    /// Groups are GitHub's organisations and teams, which are asked for below the page of user data.
    #[serde(default)]
    pub groups_from_github: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub admin_groups: Vec<String>,
    /// Google's claim `hd` must be one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosted_domains: Vec<String>,
    /// 0: the provider is never asked again.
    pub refresh_seconds: u32,
    /// What `auth_state` calls the user's data: `oauth_user`.
    pub auth_state_key: String,
    pub logout_at_provider: bool,
    /// The client's secret goes in the header `Authorization`, or in the form. Without it as the provider says, in the form
    /// if that says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<bool>,
}

/// Where a provider without an issuer is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OidcEndpoints {
    /// Where people are sent.
    #[schemars(regex(pattern = r"^https?://[^?#@\s]+$"), length(max = 512))]
    pub authorization_url: String,
    /// Where a code becomes a token.
    #[schemars(regex(pattern = r"^https?://[^?#@\s]+$"), length(max = 512))]
    pub token_url: String,
    /// Where a token tells who logged in.
    #[schemars(regex(pattern = r"^https?://[^?#@\s]+$"), length(max = 512))]
    pub userinfo_url: String,
}

impl OidcProvider {
    /// JupyterHub's `auth_refresh_age`.
    pub const REFRESH_SECONDS: u32 = 300;

    /// What a provider has that nothing more is said of.
    pub fn new(client_id: &str) -> Self {
        Self {
            display_name: "single sign-on".to_owned(),
            client_id: client_id.to_owned(),
            issuer: None,
            endpoints: None,
            callback_url: None,
            scopes: words("openid profile email"),
            authorize_params: BTreeMap::new(),
            username_claim: "preferred_username".to_owned(),
            groups_claim: "groups".to_owned(),
            groups_from_github: false,
            admin_groups: Vec::new(),
            hosted_domains: Vec::new(),
            refresh_seconds: Self::REFRESH_SECONDS,
            auth_state_key: "oauth_user".to_owned(),
            logout_at_provider: true,
            basic_auth: None,
        }
    }

    pub fn github(client_id: &str) -> Self {
        Self {
            display_name: "GitHub".to_owned(),
            endpoints: Some(OidcEndpoints {
                authorization_url: "https://github.com/login/oauth/authorize".to_owned(),
                token_url: "https://github.com/login/oauth/access_token".to_owned(),
                userinfo_url: "https://api.github.com/user".to_owned(),
            }),
            scopes: words("read:org"),
            username_claim: "login".to_owned(),
            groups_from_github: true,
            auth_state_key: "github_user".to_owned(),
            ..Self::new(client_id)
        }
    }

    pub fn google(client_id: &str) -> Self {
        Self {
            display_name: "Google".to_owned(),
            issuer: Some("https://accounts.google.com".to_owned()),
            // Without it Google gives nothing to refresh with.
            authorize_params: BTreeMap::from([("access_type".to_owned(), "offline".to_owned())]),
            username_claim: "email".to_owned(),
            auth_state_key: "google_user".to_owned(),
            ..Self::new(client_id)
        }
    }

    pub fn keycloak(client_id: &str) -> Self {
        Self { display_name: "Keycloak".to_owned(), ..Self::new(client_id) }
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}
