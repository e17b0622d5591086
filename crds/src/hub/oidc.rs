//! Login at a provider: OpenID Connect, or OAuth 2 with a page of user data as GitHub has it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{SecretKeyRef, name_set, rules};
use crate::config::{OidcEndpoints, OidcProvider};

/// People log in at a provider: one of OpenID Connect by its issuer, or one of OAuth 2 by its endpoints. Register
/// `<publicUrl>hub/oauth_callback` there as the address that people come back to, and `<publicUrl>hub/logout` as the one after
/// a logout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules(&[
    ("has(self.issuer) || has(self.endpoints) || (has(self.preset) && self.preset in ['github', 'google'])", "spec.auth.oidc needs the issuer of the provider, such as https://login.example.org/realms/main: it is what the provider's /.well-known/openid-configuration calls issuer"),
    ("!has(self.endpoints) || !has(self.issuer)", "spec.auth.oidc.endpoints is for providers without an issuer: remove one of the two"),
    ("!has(self.preset) || self.preset != 'github' || !has(self.issuer)", "GitHub has no issuer: for GitHub Enterprise set spec.auth.oidc.endpoints"),
    ("!has(self.preset) || self.preset == 'github' || !has(self.endpoints)", "the presets google and keycloak have an issuer: remove spec.auth.oidc.endpoints, or the preset"),
    ("!has(self.hostedDomains) || (has(self.preset) && self.preset == 'google')", "spec.auth.oidc.hostedDomains is what only Google says of its users: remove it, or set preset: google"),
    ("!has(self.scopes) || has(self.endpoints) || (has(self.preset) && self.preset == 'github') || 'openid' in self.scopes", "spec.auth.oidc.scopes needs openid: without it the provider does not say who logged in"),
]))]
pub struct OidcAuth {
    /// Fills in what all Hubs at such a provider have alike; each field can still be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<OidcPreset>,
    /// The provider's issuer, character by character as its `/.well-known/openid-configuration` has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^https?://[^/?#@\s]+(/[^?#\s]*)?$"), length(max = 512))]
    pub issuer: Option<String>,
    /// Where to ask a provider without an issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<OidcEndpoints>,
    /// The id that the provider gave this Hub.
    #[schemars(length(min = 1, max = 255))]
    pub client_id: String,
    /// A Secret with what the provider gave along with it. A new value is taken up without a restart.
    pub client_secret_ref: SecretKeyRef,
    /// A Secret with the certificates (PEM) of the authorities that the provider's certificate is believed by, in place of
    /// the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKeyRef>,
    /// What the button on the login page calls the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub display_name: Option<String>,
    /// What is asked of the provider; by default `openid`, `profile` and `email`. With `offline_access` most providers let
    /// the hub ask again later (refreshSeconds).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "name_set")]
    pub scopes: Option<Vec<String>>,
    /// Which claim is the user's name; by default `preferred_username`. An `email` counts only if the provider says that it
    /// is verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub username_claim: Option<String>,
    /// Which claim lists the user's groups; by default `groups`. Dots lead into objects: `realm_access.roles`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub groups_claim: Option<String>,
    /// Groups whose members administer the Hub. Whoever leaves them all is no administrator from the next login or refresh on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "name_set")]
    pub admin_groups: Vec<String>,
    /// With `google`: the domains of Google Workspace whose users may log in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "name_set")]
    pub hosted_domains: Option<Vec<String>>,
    /// How often the provider is asked again about whoever is there, in seconds: groups follow, and who may no longer log in
    /// there is logged out here. 0 for never. Needs `enableAuthState`, which keeps what is asked with.
    #[serde(default = "default_refresh")]
    #[schemars(range(max = 86_400))]
    pub refresh_seconds: u32,
    /// A logout at the Hub is one at the provider, too, if that has such a page.
    #[serde(default = "yes")]
    pub logout_at_provider: bool,
}

/// What kind of provider it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OidcPreset {
    /// github.com, or GitHub Enterprise by `endpoints`. Groups are organisations (`jupyter`) and their teams
    /// (`jupyter:docs`), if `read:org` is among the scopes.
    Github,
    /// accounts.google.com. Users are called by their e-mail address.
    Google,
    /// A realm of Keycloak: `issuer` is `https://<host>/realms/<realm>`.
    Keycloak,
}

fn default_refresh() -> u32 {
    OidcProvider::REFRESH_SECONDS
}

fn yes() -> bool {
    true
}

impl OidcAuth {
    /// The provider with everything filled in that the preset or the defaults say. Pure.
    pub fn provider(&self) -> OidcProvider {
        let mut provider = match self.preset {
            Some(OidcPreset::Github) => OidcProvider::github(&self.client_id),
            Some(OidcPreset::Google) => OidcProvider::google(&self.client_id),
            Some(OidcPreset::Keycloak) => OidcProvider::keycloak(&self.client_id),
            None => OidcProvider::new(&self.client_id),
        };
        provider.admin_groups.clone_from(&self.admin_groups);
        provider.hosted_domains = self.hosted_domains.clone().unwrap_or_default();
        provider.refresh_seconds = self.refresh_seconds;
        provider.logout_at_provider = self.logout_at_provider;
        fill(&mut provider.display_name, self.display_name.as_ref());
        fill(&mut provider.scopes, self.scopes.as_ref());
        fill(&mut provider.username_claim, self.username_claim.as_ref());
        fill(&mut provider.groups_claim, self.groups_claim.as_ref());
        if self.issuer.is_some() {
            provider.issuer.clone_from(&self.issuer);
        }
        if self.endpoints.is_some() {
            provider.endpoints.clone_from(&self.endpoints);
        }
        provider
    }
}

fn fill<T: Clone>(field: &mut T, given: Option<&T>) {
    if let Some(given) = given {
        field.clone_from(given);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn provider(auth: &serde_json::Value) -> OidcProvider {
        let mut whole = json!({"clientId": "hub", "clientSecretRef": {"name": "s", "key": "k"}});
        whole.as_object_mut().unwrap().extend(auth.as_object().unwrap().clone());
        serde_json::from_value::<OidcAuth>(whole).unwrap().provider()
    }

    #[test]
    fn presets_are_data_and_every_field_can_be_set() {
        let google = provider(&json!({"preset": "google"}));
        assert_eq!(
            (google.issuer.as_deref(), google.username_claim.as_str()),
            (Some("https://accounts.google.com"), "email")
        );
        let github = provider(&json!({"preset": "github"}));
        assert_eq!(github.endpoints.unwrap().userinfo_url, "https://api.github.com/user");
        assert!(github.groups_from_github && github.issuer.is_none());
        let enterprise = json!({
            "authorizationUrl": "https://git.example.org/login/oauth/authorize",
            "tokenUrl": "https://git.example.org/login/oauth/access_token",
            "userinfoUrl": "https://git.example.org/api/v3/user",
        });
        let github = provider(&json!({"preset": "github", "endpoints": enterprise, "displayName": "Our GitHub"}));
        assert_eq!(github.display_name, "Our GitHub");
        assert_eq!(github.endpoints.unwrap().userinfo_url, "https://git.example.org/api/v3/user");
        let keycloak = provider(
            &json!({"preset": "keycloak", "issuer": "https://k/realms/a", "groupsClaim": "realm_access.roles"}),
        );
        assert_eq!(keycloak.groups_claim, "realm_access.roles");
        let plain = provider(&json!({"issuer": "https://a"}));
        assert_eq!(
            (plain.scopes.join(" ").as_str(), plain.username_claim.as_str()),
            ("openid profile email", "preferred_username")
        );
    }
}
