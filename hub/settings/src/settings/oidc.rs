//! Login at a provider, in oauthenticator's names: `GenericOAuthenticator`, and those of GitHub and Google.

use hub_crds::config::{OidcEndpoints, OidcProvider};
use hub_traitlets::Found;
use secrecy::SecretString;

use super::people::Provider;
use crate::reader::{Classes, Reader, SettingsError, unusable};

/// Which of oauthenticator's classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Generic,
    GitHub,
    Google,
}

impl Kind {
    /// By what `authenticator_class` says. `None` for one that this hub doesn't have.
    pub(crate) fn parse(class: &str) -> Option<Self> {
        match class {
            "generic-oauth" | "oauthenticator.generic.GenericOAuthenticator" => Some(Self::Generic),
            "github" | "oauthenticator.github.GitHubOAuthenticator" => Some(Self::GitHub),
            "google" | "oauthenticator.google.GoogleOAuthenticator" => Some(Self::Google),
            _ => None,
        }
    }

    /// The name of the class, whose settings count before those of its bases.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Generic => "GenericOAuthenticator",
            Self::GitHub => "GitHubOAuthenticator",
            Self::Google => "GoogleOAuthenticator",
        }
    }

    pub(super) fn classes(self) -> Classes {
        match self {
            Self::Generic => &["GenericOAuthenticator", "OAuthenticator", "Authenticator"],
            Self::GitHub => &["GitHubOAuthenticator", "OAuthenticator", "Authenticator"],
            Self::Google => &["GoogleOAuthenticator", "OAuthenticator", "Authenticator"],
        }
    }
}

pub(super) fn read(kind: Kind, reader: &Reader<'_>) -> Result<Provider, SettingsError> {
    let classes = kind.classes();
    let text = |name, variable: &str| -> Result<Option<String>, SettingsError> {
        let said = reader.string(classes, name)?;
        Ok(said.or_else(|| reader.variable(variable).map(str::to_owned)))
    };
    let client_id = text("client_id", "OAUTH_CLIENT_ID")?.ok_or_else(|| missing(kind, "client_id"))?;
    let secret = text("client_secret", "OAUTH_CLIENT_SECRET")?.ok_or_else(|| missing(kind, "client_secret"))?;
    let mut provider = match kind {
        Kind::Generic => OidcProvider { username_claim: "username".to_owned(), ..OidcProvider::new(&client_id) },
        Kind::GitHub => OidcProvider::github(&client_id),
        Kind::Google => OidcProvider::google(&client_id),
    };
    if kind == Kind::Generic {
        provider.endpoints = Some(OidcEndpoints {
            authorization_url: text("authorize_url", "OAUTH2_AUTHORIZE_URL")?
                .ok_or_else(|| missing(kind, "authorize_url"))?,
            token_url: text("token_url", "OAUTH2_TOKEN_URL")?.ok_or_else(|| missing(kind, "token_url"))?,
            userinfo_url: text("userdata_url", "OAUTH2_USERDATA_URL")?.ok_or_else(|| missing(kind, "userdata_url"))?,
        });
        provider.display_name = "OAuth 2.0".to_owned();
        provider.scopes = Vec::new();
        provider.groups_claim = groups_claim(reader, classes)?.unwrap_or_default();
    }
    provider.callback_url = text("oauth_callback_url", "OAUTH_CALLBACK_URL")?;
    if let Some(name) = reader.string(classes, "login_service")? {
        provider.display_name = name;
    }
    if let Some(scopes) = reader.read(classes, "scope", Found::strings)? {
        provider.scopes = scopes;
    }
    let claim = reader.string(classes, "username_claim")?;
    let claim = if kind == Kind::Generic { claim.or(reader.string(classes, "username_key")?) } else { claim };
    if let Some(claim) = claim {
        provider.username_claim = claim;
    }
    provider.basic_auth = reader.read(classes, "basic_auth", Found::bool)?;
    provider.refresh_seconds =
        reader.read(classes, "auth_refresh_age", Found::int)?.unwrap_or(OidcProvider::REFRESH_SECONDS);
    // It always is.
    reader.read(classes, "enable_pkce", Found::bool)?;
    let names = |name| -> Result<Vec<String>, SettingsError> {
        Ok(reader.read(classes, name, Found::strings)?.unwrap_or_default())
    };
    provider.admin_groups = names("admin_groups")?;
    let mut groups = names("allowed_groups")?;
    match kind {
        Kind::GitHub => groups.extend(names("allowed_organizations")?),
        Kind::Google => provider.hosted_domains = names("hosted_domain")?,
        Kind::Generic => {}
    }
    Ok(Provider {
        provider: Box::new(provider),
        client_secret: SecretString::from(secret),
        allowed_groups: groups,
        manage_groups: reader.read(classes, "manage_groups", Found::bool)?.unwrap_or(false),
        auto_login: reader.read(classes, "auto_login", Found::bool)?.unwrap_or(false),
    })
}

/// Where groups are: by its newer name below `oauth_user`, as in `auth_state`.
fn groups_claim(reader: &Reader<'_>, classes: Classes) -> Result<Option<String>, SettingsError> {
    let claim = reader.string(classes, "claim_groups_key")?;
    let Some((found, key)) = reader.said(classes, "auth_state_groups_key")? else { return Ok(claim) };
    match key.strip_prefix("oauth_user.") {
        Some(claim) => Ok(Some(claim.to_owned())),
        None => Err(unusable(&found, "write 'oauth_user.' and the name of a claim, such as 'oauth_user.groups'")),
    }
}

fn missing(kind: Kind, name: &str) -> SettingsError {
    SettingsError::Refused(vec![format!(
        "{0}.{name} is not set: write c.{0}.{name} = '...', as the provider has it",
        kind.class()
    )])
}
