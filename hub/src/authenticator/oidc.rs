//! Login at a provider: OpenID Connect by its issuer, or OAuth 2 by its endpoints, as GitHub has it. Asks the provider, and
//! believes what [`hub_auth::oidc`] believes. Who comes in is not decided here.
//!
//! ```text
//! authorization_url -> (the person logs in there) -> log_in: code -> tokens -> ID token, user data -> Login
//! ```

use hub_auth::{
    oidc::{
        Refusal,
        attempt::Attempt,
        claims,
        jws::{Jws, KeySet},
        metadata::{self, BadMetadata, Metadata},
        tokens::{self, Between, Logout},
    },
    pkce,
};
use hub_crds::config::OidcProvider;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};
use url::Url;

use crate::reread::{Reread, RereadError};

pub mod admission;
mod asked;
mod http;
mod once;
pub mod refresh;

use asked::Asked;
use http::Http;
use once::Once;
use refresh::Refreshes;

/// How long what the provider publishes of itself is believed.
const FRESH: Duration = Duration::from_secs(3600);
/// How often its keys are asked for at most, however many tokens name unknown ones.
const KEYS_AGAIN: Duration = Duration::from_secs(30);
/// Entries on a page of GitHub's lists, and pages that are read.
const PAGE: usize = 100;
const MOST_PAGES: usize = 10;

/// A provider that people log in at.
pub struct Oidc {
    settings: OidcProvider,
    /// The login page leads on at once.
    pub auto_login: bool,
    /// Users' groups are those that the provider names.
    pub manages_groups: bool,
    /// What the provider gives is kept, encrypted.
    pub keeps_state: bool,
    secret: Reread<SecretString>,
    http: Http,
    metadata: Asked<Metadata>,
    keys: Asked<KeySet>,
    /// States whose answers came, and logout tokens.
    pub used: Once,
    pub refreshes: Refreshes,
}

/// Somebody whom the provider vouches for.
#[derive(Debug)]
pub struct Login {
    pub issuer: String,
    pub subject: String,
    pub name: String,
    pub groups: BTreeSet<String>,
    /// The provider's name for the session.
    pub session: Option<String>,
    /// What oauthenticator calls `auth_state`.
    pub state: Value,
}

/// Why nobody is logged in.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// Nothing is known of the person: it may work in a moment.
    #[error("the provider can't be reached: {0}")]
    Unreachable(String),
    /// The provider doesn't know this hub, or not as it is set up.
    #[error("the provider refuses this hub: {0}")]
    Misconfigured(String),
    /// The provider no longer knows the person's code or token.
    #[error("the provider does not accept this login any more")]
    Denied,
    #[error(transparent)]
    NotBelieved(#[from] Refusal),
    #[error("the provider's description of itself can't be used: {0}")]
    Metadata(#[from] BadMetadata),
    #[error(transparent)]
    Secret(#[from] RereadError),
}

/// Where the provider is asked, discovered or as the settings have it.
struct Endpoints {
    authorization: String,
    token: String,
    user_data: Option<String>,
    basic_auth: bool,
    /// Of OpenID Connect.
    metadata: Option<Arc<Metadata>>,
}

impl Oidc {
    /// With the client's secret, and the authorities of a private provider, in files that are read again when they change.
    ///
    /// # Errors
    /// No client of HTTPS can be made.
    pub fn new(settings: OidcProvider, secret_file: &Path, ca_file: Option<&Path>) -> anyhow::Result<Self> {
        Ok(Self::with(settings, Reread::new(secret_file, read_secret), Http::new(ca_file)?))
    }

    /// With a secret that no file holds.
    ///
    /// # Errors
    /// No client of HTTPS can be made.
    pub fn fixed(settings: OidcProvider, secret: SecretString) -> anyhow::Result<Self> {
        Ok(Self::with(settings, Reread::fixed(secret), Http::new(None)?))
    }

    fn with(settings: OidcProvider, secret: Reread<SecretString>, http: Http) -> Self {
        Self {
            auto_login: false,
            manages_groups: false,
            keeps_state: false,
            secret,
            http,
            metadata: Asked::default(),
            keys: Asked::default(),
            used: Once::default(),
            refreshes: Refreshes::new(settings.refresh_seconds),
            settings,
        }
    }

    /// What the button on the login page calls the provider.
    pub fn display_name(&self) -> &str {
        &self.settings.display_name
    }

    /// Where people come back to, if the settings say it.
    pub fn callback_url(&self) -> Option<&str> {
        self.settings.callback_url.as_deref()
    }

    /// Where to send somebody who wants to log in.
    ///
    /// # Errors
    /// Nobody can be sent to the provider now.
    pub async fn authorization_url(&self, attempt: &Attempt, redirect_uri: &str) -> Result<Url, ProviderError> {
        let endpoints = self.endpoints().await?;
        let mut url = parse(&endpoints.authorization)?;
        let challenge = pkce::challenge(&attempt.verifier);
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.settings.client_id)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("scope", &self.settings.scopes.join(" "))
            .append_pair("state", &attempt.state)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", pkce::Method::S256.name());
        if endpoints.metadata.is_some() {
            query.append_pair("nonce", &attempt.nonce);
        }
        query.extend_pairs(&self.settings.authorize_params);
        drop(query);
        Ok(url)
    }

    /// Whether an answer with this `iss` can be of the provider that was asked (RFC 9207): another one's code must not be
    /// sent to it (attack row 28, mix-up).
    ///
    /// # Errors
    /// The provider can't be reached.
    pub async fn is_answer_of(&self, issuer: Option<&str>) -> Result<bool, ProviderError> {
        let endpoints = self.endpoints().await?;
        Ok(match (issuer, &endpoints.metadata) {
            (Some(issuer), Some(metadata)) => issuer == metadata.issuer,
            (None, Some(metadata)) => !metadata.names_itself,
            (_, None) => true,
        })
    }

    /// Who has come back with this code. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// Nobody of whom anything is believed.
    pub async fn log_in(
        &self,
        code: &str,
        attempt: &Attempt,
        redirect_uri: &str,
        now: i64,
    ) -> Result<Login, ProviderError> {
        let endpoints = self.endpoints().await?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
            ("code_verifier", &attempt.verifier),
        ];
        let tokens = self.exchange(&endpoints, &form).await?;
        self.person(&endpoints, &tokens, Some(&attempt.nonce), now).await
    }

    /// What the provider says now of somebody whose `auth_state` this is; `None` if there is nothing to ask with.
    ///
    /// # Errors
    /// The provider can't be asked, or no longer vouches for the person.
    pub async fn ask_again(&self, state: &Value, now: i64) -> Result<Option<Login>, ProviderError> {
        let endpoints = self.endpoints().await?;
        let text = |name: &str| state[name].as_str().filter(|text| !text.is_empty());
        let tokens = match (text("refresh_token"), text("access_token")) {
            (Some(token), _) => {
                let mut tokens =
                    self.exchange(&endpoints, &[("grant_type", "refresh_token"), ("refresh_token", token)]).await?;
                // A provider that gives no other one means the same.
                tokens.entry("refresh_token").or_insert_with(|| token.into());
                tokens.entry("id_token").or_insert_with(|| Value::Null);
                tokens
            }
            // GitHub's are good until they are taken back; others expire without saying anything about the person.
            (None, Some(_)) if endpoints.metadata.is_none() => {
                state["token_response"].as_object().cloned().unwrap_or_default()
            }
            _ => return Ok(None),
        };
        let mut login = self.person(&endpoints, &tokens, None, now).await?;
        if login.state["id_token"].is_null() {
            login.state["id_token"] = state["id_token"].clone();
        }
        Ok(Some(login))
    }

    /// Where a logout goes on, if the provider has such a page and the settings want it (RP-Initiated Logout 1.0).
    pub async fn logout_url(&self, id_token: Option<&str>, back: Option<&str>) -> Option<Url> {
        let metadata = match self.settings.logout_at_provider {
            true => self.endpoints().await.ok()?.metadata?,
            false => return None,
        };
        let mut url = parse(metadata.end_session_endpoint.as_deref()?).ok()?;
        let fields = [("id_token_hint", id_token), ("post_logout_redirect_uri", back)];
        let fields = fields.into_iter().filter_map(|(name, value)| Some((name, value?)));
        url.query_pairs_mut().append_pair("client_id", &self.settings.client_id).extend_pairs(fields);
        Some(url)
    }

    /// Whom a provider says it has logged out (Back-Channel Logout 1.0), and at which issuer.
    ///
    /// # Errors
    /// It isn't this provider that says so.
    pub async fn logout(&self, token: &str, now: i64) -> Result<(Logout, String), ProviderError> {
        let metadata = self.endpoints().await?.metadata.ok_or(Refusal::NoLogout)?;
        let claims = self.signed(&metadata, token).await?;
        Ok((tokens::check_logout_token(&claims, self.between(&metadata), now)?, metadata.issuer.clone()))
    }

    async fn endpoints(&self) -> Result<Endpoints, ProviderError> {
        if let Some(endpoints) = self.settings.endpoints.clone() {
            return Ok(Endpoints {
                authorization: endpoints.authorization_url,
                token: endpoints.token_url,
                user_data: Some(endpoints.userinfo_url),
                basic_auth: self.settings.basic_auth.unwrap_or(false),
                metadata: None,
            });
        }
        let issuer = self.settings.issuer.clone().unwrap_or_default();
        let read = async {
            let document = self.http.get(&metadata::address(&issuer), None).await?;
            Ok(metadata::parse(&document, &issuer)?)
        };
        let metadata = self.metadata.get(FRESH, read).await?;
        Ok(Endpoints {
            authorization: metadata.authorization_endpoint.clone(),
            token: metadata.token_endpoint.clone(),
            user_data: metadata.userinfo_endpoint.clone(),
            basic_auth: self.settings.basic_auth.unwrap_or(metadata.takes_basic_auth),
            metadata: Some(metadata),
        })
    }

    /// What the token endpoint gives for a code or a refresh token.
    async fn exchange(
        &self,
        endpoints: &Endpoints,
        form: &[(&str, &str)],
    ) -> Result<Map<String, Value>, ProviderError> {
        let (id, secret) = (self.settings.client_id.as_str(), self.secret.get()?);
        if endpoints.basic_auth {
            return self.http.post(&endpoints.token, form, Some((id, secret.expose_secret()))).await;
        }
        let own = [("client_id", id), ("client_secret", secret.expose_secret())];
        self.http.post(&endpoints.token, &[form, &own].concat(), None).await
    }

    /// Whom the tokens are of. With OpenID Connect the ID token says it, at a refresh the one of before does if there is none.
    async fn person(
        &self,
        endpoints: &Endpoints,
        tokens: &Map<String, Value>,
        nonce: Option<&str>,
        now: i64,
    ) -> Result<Login, ProviderError> {
        let text = |name: &str| tokens.get(name).and_then(Value::as_str);
        let access_token = text("access_token").ok_or(Refusal::Malformed)?;
        let mut of_token = Map::new();
        if let Some(metadata) = &endpoints.metadata {
            match text("id_token") {
                Some(token) => of_token = self.id_token(metadata, token, nonce, now).await?,
                None if nonce.is_some() => return Err(Refusal::Malformed.into()),
                None => {}
            }
        }
        let user_data = match &endpoints.user_data {
            Some(url) => self.http.get_object(url, access_token).await?,
            None => Map::new(),
        };
        if !of_token.is_empty() && endpoints.user_data.is_some() && user_data.get("sub") != of_token.get("sub") {
            return Err(Refusal::OtherSubject.into());
        }
        let merged = claims::merged(&of_token, &user_data);
        claims::check_hosted_domain(&merged, &self.settings.hosted_domains)?;
        let name = claims::user_name(&merged, &self.settings.username_claim)?;
        let groups = match (self.settings.groups_from_github, &endpoints.user_data) {
            (true, Some(url)) => self.github_groups(url, access_token).await?,
            _ => claims::groups(&merged, &self.settings.groups_claim),
        };
        // A provider of OAuth 2 that numbers nobody is believed as far as JupyterHub believes it: by the name.
        let subject = match &endpoints.metadata {
            Some(_) => merged.get("sub").and_then(Value::as_str).map(str::to_owned).ok_or(Refusal::Subject)?,
            None => claims::subject(&merged).unwrap_or_else(|| name.clone()),
        };
        let issuer = endpoints.metadata.as_ref().map(|metadata| metadata.issuer.clone());
        Ok(Login {
            issuer: issuer.or_else(|| endpoints.user_data.clone()).unwrap_or_default(),
            subject,
            name,
            groups,
            session: of_token.get("sid").and_then(Value::as_str).map(str::to_owned),
            state: self.state(tokens, &merged),
        })
    }

    /// In the names of oauthenticator, which programs that read `auth_state` know.
    fn state(&self, tokens: &Map<String, Value>, user_data: &Map<String, Value>) -> Value {
        let of = |name: &str| tokens.get(name).cloned().unwrap_or_default();
        let scope: Vec<_> =
            tokens.get("scope").and_then(Value::as_str).unwrap_or_default().split_whitespace().collect();
        json!({
            "access_token": of("access_token"),
            "refresh_token": of("refresh_token"),
            "id_token": of("id_token"),
            "scope": scope,
            self.settings.auth_state_key.as_str(): user_data,
            "token_response": tokens,
        })
    }

    async fn id_token(
        &self,
        metadata: &Metadata,
        token: &str,
        nonce: Option<&str>,
        now: i64,
    ) -> Result<Map<String, Value>, ProviderError> {
        let claims = self.signed(metadata, token).await?;
        tokens::check_id_token(&claims, self.between(metadata), nonce, now)?;
        match claims {
            Value::Object(claims) => Ok(claims),
            _ => Err(Refusal::Malformed.into()),
        }
    }

    /// What a token says that one of the provider's keys has signed. For an unknown key they are asked for anew, now and then.
    async fn signed(&self, metadata: &Metadata, token: &str) -> Result<Value, ProviderError> {
        let jws = Jws::parse(token)?;
        let read = || async {
            let document = self.http.get(&metadata.jwks_uri, None).await?;
            KeySet::parse(&document).ok_or_else(|| ProviderError::Unreachable("its keys are none".to_owned()))
        };
        let mut keys = self.keys.get(FRESH, read()).await?;
        if !keys.has_key_of(&jws) {
            keys = self.keys.get(KEYS_AGAIN, read()).await?;
        }
        Ok(jws.claims(&keys, &metadata.algorithms)?)
    }

    fn between<'a>(&'a self, metadata: &'a Metadata) -> Between<'a> {
        Between { issuer: &metadata.issuer, client_id: &self.settings.client_id }
    }

    /// Organisations, and their teams as `organisation:team`, which GitHub tells to whoever has the scope `read:org`.
    async fn github_groups(&self, user_url: &str, access_token: &str) -> Result<BTreeSet<String>, ProviderError> {
        if !self.settings.scopes.iter().any(|scope| scope == "read:org" || scope == "admin:org") {
            return Ok(BTreeSet::new());
        }
        let organisation = |item: &Value| item["login"].as_str().map(str::to_owned);
        let team =
            |item: &Value| Some(format!("{}:{}", item["organization"]["login"].as_str()?, item["slug"].as_str()?));
        let mut groups = BTreeSet::new();
        for item in self.github_list(&format!("{user_url}/orgs"), access_token).await? {
            groups.extend(organisation(&item));
        }
        for item in self.github_list(&format!("{user_url}/teams"), access_token).await? {
            groups.extend(team(&item));
        }
        Ok(groups)
    }

    async fn github_list(&self, url: &str, access_token: &str) -> Result<Vec<Value>, ProviderError> {
        let mut all = Vec::new();
        for page in 1..=MOST_PAGES {
            let document = self.http.get(&format!("{url}?per_page={PAGE}&page={page}"), Some(access_token)).await?;
            let items: Vec<Value> = serde_json::from_slice(&document).map_err(|_| http::not_json())?;
            let is_last = items.len() < PAGE;
            all.extend(items);
            if is_last {
                break;
            }
        }
        Ok(all)
    }
}

fn read_secret(bytes: &[u8]) -> Result<SecretString, String> {
    match std::str::from_utf8(bytes).map(str::trim) {
        Ok("") => Err("the client's secret is empty".to_owned()),
        Ok(secret) => Ok(secret.to_owned().into()),
        Err(_) => Err("the client's secret is no text".to_owned()),
    }
}

fn parse(address: &str) -> Result<Url, ProviderError> {
    Url::parse(address).map_err(|error| ProviderError::Misconfigured(format!("its address is none: {error}")))
}
