//! Role-based access control by the settings: what they say of services, roles, groups and custom scopes is made ready for
//! the database, and the services' token files are read again when they change.

use anyhow::{Context, anyhow};
use hub_auth::{
    names::normalize_user,
    scopes::{Definitions, roles},
    token,
};
use hub_crds::{HubRole, config::RbacConfig};
use jiff::Timestamp;
use secrecy::SecretString;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    authenticator::allow::AllowList,
    database::{Configured, Database},
    reread::Reread,
    services,
    urls::Urls,
};

/// How often the files are looked at: a rotated token is known this soon.
const LOOK_INTERVAL: Duration = Duration::from_secs(3);

/// The scopes that exist at this hub.
///
/// # Errors
/// A custom scope is declared wrongly.
pub fn definitions(config: &RbacConfig) -> anyhow::Result<Definitions> {
    config.definitions().map_err(|wrong| anyhow!("failed to declare custom scopes: {}", wrong[0]))
}

/// What the settings declare, as the database takes it.
///
/// # Errors
/// A service or its token file can't be used.
pub fn configured(
    config: &RbacConfig,
    allow: &AllowList,
    tokens: &ServiceTokens,
    urls: &Urls,
) -> anyhow::Result<Configured> {
    let services = config.services.iter().map(|service| {
        let new = services::of_settings(service, urls)
            .map_err(|reason| anyhow!("failed to use the service {}: {reason}", service.name))?;
        Ok((new, tokens.stored(&service.name)))
    });
    let mut groups = config.groups.clone();
    for group in &mut groups {
        group.users = users(&group.users, allow);
    }
    Ok(Configured {
        services: services.collect::<anyhow::Result<_>>()?,
        roles: config.roles.iter().map(|role| assigned(role, allow)).collect(),
        groups,
    })
}

/// A role with everybody who has it: whom the other lists name as users and administrators belong to those of a role, too.
fn assigned(role: &HubRole, allow: &AllowList) -> HubRole {
    let with_named = |listed: &Vec<String>| {
        let named = allow.named().filter(|(_, is_admin)| match role.name.as_str() {
            roles::ADMIN => *is_admin,
            roles::USER => true,
            _ => false,
        });
        let mut all = users(listed, allow);
        all.extend(named.map(|(name, _)| name.to_owned()));
        all
    };
    HubRole { users: role.users.as_ref().map(with_named), ..role.clone() }
}

/// Names as logins use them, without those who are blocked.
fn users(names: &[String], allow: &AllowList) -> Vec<String> {
    names.iter().map(|name| normalize_user(name)).filter(|name| !allow.blocks(name)).collect()
}

/// The services' token files, and which of their contents the database has.
pub struct ServiceTokens(Vec<ServiceToken>);

struct ServiceToken {
    service: String,
    file: Reread<SecretString>,
    stored: Mutex<Arc<SecretString>>,
}

impl ServiceTokens {
    /// Reads the files that the settings name.
    ///
    /// # Errors
    /// One cannot be read, or holds no token.
    pub fn open(config: &RbacConfig) -> anyhow::Result<Self> {
        let tokens = config.services.iter().filter_map(|service| {
            let file = Reread::new(service.token_file.as_ref()?, parse_token);
            let token = file.get().with_context(|| format!("failed to read the token of the service {}", service.name));
            Some(token.map(|token| ServiceToken { service: service.name.clone(), file, stored: Mutex::new(token) }))
        });
        Ok(Self(tokens.collect::<anyhow::Result<_>>()?))
    }

    /// Tokens that no file holds, by service.
    pub fn fixed(tokens: BTreeMap<String, SecretString>) -> Self {
        let fixed = tokens.into_iter().filter_map(|(service, token)| {
            let file = Reread::fixed(token);
            let stored = Mutex::new(file.get().ok()?);
            Some(ServiceToken { service, file, stored })
        });
        Self(fixed.collect())
    }

    /// The token of a service that the database has or is about to get.
    fn stored(&self, service: &str) -> Option<SecretString> {
        let token = self.0.iter().find(|token| token.service == service)?;
        Some(SecretString::clone(&token.stored.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Brings changed tokens into the database, for as long as it is polled. Without tokens it ends at once.
    pub async fn follow(&self, database: &Database, clock: fn() -> Timestamp) {
        if self.0.is_empty() {
            return;
        }
        let mut ticks = interval(LOOK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            for token in &self.0 {
                token.take_up(database, clock()).await;
            }
        }
    }
}

impl ServiceToken {
    async fn take_up(&self, database: &Database, now: Timestamp) {
        let Ok(read) = self.file.get() else { return };
        if Arc::ptr_eq(&read, &self.stored.lock().unwrap_or_else(PoisonError::into_inner)) {
            return;
        }
        match database.replace_service_token(&self.service, &read, now).await {
            Ok(()) => {
                tracing::info!(
                    service.name = self.service,
                    "took up a service's new token: the old one is good no more"
                );
                *self.stored.lock().unwrap_or_else(PoisonError::into_inner) = read;
            }
            // The next look tries again.
            Err(error) => {
                tracing::warn!(service.name = self.service, %error, "a service's new token is not taken up yet");
            }
        }
    }
}

/// Reads a token: what a header can carry, as long as tokens are.
fn parse_token(bytes: &[u8]) -> Result<SecretString, String> {
    let text = bytes.trim_ascii();
    if !token::LENGTH.contains(&text.len()) || !text.iter().all(u8::is_ascii_graphic) {
        let (least, most) = (token::LENGTH.start(), token::LENGTH.end());
        return Err(format!("it must hold a token of {least} to {most} printable characters without spaces"));
    }
    String::from_utf8(text.to_vec()).map(SecretString::from).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hub_crds::config::{AuthConfig, AuthenticatorConfig};
    use secrecy::ExposeSecret;

    fn allow() -> AllowList {
        let names = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect();
        let config = AuthConfig {
            allowed_users: names(&["alice"]),
            blocked_users: names(&["mallory"]),
            admin_users: names(&["root"]),
            ..AuthConfig::new(AuthenticatorConfig::Dummy { password_file: None })
        };
        AllowList::new(&config, &[])
    }

    fn read(text: &str) -> Configured {
        let config: RbacConfig = serde_yaml::from_str(text).unwrap();
        configured(&config, &allow(), &ServiceTokens::open(&config).unwrap(), &Urls::new("/", None)).unwrap()
    }

    #[test]
    fn lists_of_users_are_normalised_and_hold_nobody_who_is_blocked() {
        let configured = read(
            "
roles:
- { name: grader, users: [Bob, Mallory] }
- { name: admin, users: [Ada] }
- { name: user, users: [bob] }
- { name: empty }
groups: [{ name: class, users: [Bob, mallory] }]",
        );
        let users: Vec<_> =
            configured.roles.iter().map(|role| role.users.clone().unwrap_or_default().join(" ")).collect();
        assert_eq!(users, ["bob", "ada root", "bob alice root", ""]);
        assert_eq!(configured.roles[3].users, None);
        assert_eq!(configured.groups[0].users, ["bob"]);
    }

    #[test]
    fn a_token_file_must_hold_a_token() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("grades");
        let text = format!("services: [{{ name: grades, tokenFile: {} }}]", file.display());
        let config: RbacConfig = serde_yaml::from_str(&text).unwrap();
        let complaint = || format!("{:#}", ServiceTokens::open(&config).err().unwrap());
        assert!(complaint().starts_with("failed to read the token of the service grades: "), "{}", complaint());
        for bad in ["", "short", "with a space in it", &"x".repeat(65)] {
            std::fs::write(&file, bad).unwrap();
            assert!(complaint().contains("8 to 64 printable characters"), "{bad}: {}", complaint());
        }
        std::fs::write(&file, "a-good-token\n").unwrap();
        let tokens = ServiceTokens::open(&config).unwrap();
        assert_eq!(tokens.stored("grades").unwrap().expose_secret(), "a-good-token");
        assert!(tokens.stored("other").is_none());
    }
}
