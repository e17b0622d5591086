//! What every request has at hand, and the few rules that need more than one part of it.

use axum::body::Bytes;
use hub_auth::{
    cookie::{HOST_PREFIX, Keys},
    failure_limit::FailureLimit,
    lockout::Lockouts,
};
use hub_crds::{ApiPages, ClientRules, Cull, Landing, Sessions, config::PagesConfig};
use ipnet::IpNet;
use jiff::Timestamp;
use std::{ops::Deref, path::PathBuf, sync::Arc};
use tokio_util::sync::CancellationToken;

use crate::{
    activity::Activity,
    address::Address,
    audit::Act,
    auth_state::CryptKeeper,
    authenticator::{Authenticator, allow::AllowList},
    cookie_secret::CookieSecret,
    database::{ApiToken, Database, DatabaseError, Principal, User},
    metrics::Metrics,
    rbac::ServiceTokens,
    reread::{Reread, RereadError},
    rotation::Keeper,
    servers::Servers,
    session::{Identity, LoginTimes, SeenSessions, Via},
    urls::Urls,
};

/// The parts that a hub is made of.
pub struct Parts {
    pub urls: Urls,
    /// Where people are told that the hub is.
    pub address: Address,
    /// Where its own files are.
    pub directory: PathBuf,
    pub database: Database,
    pub servers: Servers,
    pub authenticator: Authenticator,
    pub allow: AllowList,
    /// The cookie secret (S80).
    pub cookie_secret: Reread<CookieSecret>,
    /// What encrypts `auth_state`; without it the hub keeps none.
    pub crypt_keys: Option<CryptKeeper>,
    /// Who keeps the secrets.
    pub keeper: Keeper,
    pub service_tokens: ServiceTokens,
    /// People use a connection that TLS protects, or the settings say that they know it doesn't.
    pub secure: bool,
    pub clients: ClientRules,
    /// The proxies in front of the hub's own, whose word it passes on.
    pub trusted_proxies: Vec<IpNet>,
    pub sessions: Sessions,
    pub landing: Landing,
    /// The look of the pages.
    pub pages: PagesConfig,
    pub api_pages: ApiPages,
    /// What is not written yet of who was active.
    pub activity: Activity,
    /// When idle servers are stopped, if at all.
    pub cull: Option<Cull>,
    /// When the newest logins were signed.
    pub login_times: LoginTimes,
    /// Which browsers were seen.
    pub seen_sessions: SeenSessions,
    /// Whose logins have failed.
    pub lockouts: Lockouts,
    /// Who has tried share codes that don't exist.
    pub share_code_failures: FailureLimit<i64>,
    /// The API's own description, in JSON.
    pub openapi: Bytes,
    pub clock: fn() -> Timestamp,
    /// Ends open event streams when the hub stops.
    pub stopping: CancellationToken,
}

/// The hub, as its handlers see it.
#[derive(Clone)]
pub struct App(Arc<Parts>);

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl App {
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// What this hub counts.
    pub fn metrics(&self) -> &Metrics {
        self.servers.metrics()
    }

    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The keys that sign cookies at this moment.
    pub fn cookie_keys(&self) -> Result<Arc<Keys>, RereadError> {
        Ok(self.cookie_secret.get()?.keys.clone())
    }

    /// A cookie of the hub's own as this hub calls it: with `__Host-` if the settings say so, and then no other name is
    /// known (attack row 38). The session id isn't the hub's own: servers read it, and know it by one name.
    pub fn cookie_name(&self, name: &str) -> String {
        if self.servers.cookie_host_prefix() { format!("{HOST_PREFIX}{name}") } else { name.to_owned() }
    }

    /// 32 random hexadecimal digits.
    pub fn random_id(&self) -> String {
        hex::encode(rand::random::<[u8; 16]>())
    }

    /// The user of that name, made if there is none, and an administrator if the settings say so.
    pub async fn admit(&self, name: &str) -> Result<User, DatabaseError> {
        let admin = self.allow.is_admin(name);
        match self.database.user_by_name(name).await? {
            Some(user) if admin && !user.admin => {
                self.database.set_admin(user.id, true).await?;
                Act::of_hub("role changed").on(name).object("administrator").done("the settings say so");
                Ok(User { admin, ..user })
            }
            Some(user) => Ok(user),
            None => {
                let user = self.database.create_user(name, admin, self.now()).await?;
                let object = if admin { "administrator" } else { "user" };
                Act::of_hub("user made").on(name).object(object).done("may log in");
                Ok(user)
            }
        }
    }

    /// Whether somebody of that name may come in at this moment: by the lists, or by the groups that the provider said they
    /// are in, and as long as nobody has disabled them.
    pub async fn admits(&self, name: &str) -> Result<bool, DatabaseError> {
        if self.allow.blocks(name) || self.database.disabled_users().await?.contains(name) {
            return Ok(false);
        }
        if self.allow.admits(name) || !self.allow.asks_for_groups() {
            return Ok(self.allow.admits(name));
        }
        let Some(user) = self.database.user_by_name(name).await? else { return Ok(false) };
        Ok(self.allow.admits_member(name, &self.database.provider_groups(user.id).await?))
    }

    /// Makes the users that the settings name, so that the API knows them before they log in.
    pub async fn admit_named(&self) -> Result<(), DatabaseError> {
        for (name, _) in self.allow.named() {
            self.admit(name).await?;
        }
        Ok(())
    }

    /// A user with the rights of the roles that the user has now.
    pub async fn identity_of_user(&self, user: User, via: Via) -> Result<Identity, DatabaseError> {
        let scopes = self.database.user_scopes(&user).await?;
        let groups = self.database.memberships(&scopes).await?;
        Ok(Identity { principal: Principal::User(user), scopes, groups, via })
    }

    /// Whose token it is and what it may do now: what the owner has lost, the token has lost.
    pub async fn identity_of_token(&self, token: ApiToken) -> Result<Option<Identity>, DatabaseError> {
        let Some((principal, scopes)) = self.database.token_scopes(&token).await? else { return Ok(None) };
        if matches!(&principal, Principal::User(user) if self.allow.blocks(&user.name)) {
            return Ok(None);
        }
        let groups = self.database.memberships(&scopes).await?;
        Ok(Some(Identity { principal, scopes, groups, via: Via::Token(Box::new(token)) }))
    }
}
