//! Who logs in, who comes in, and who may do what: as the operator's settings file has it, with secrets in files, or as
//! settings in JupyterHub's names have it, with the secrets in them.

use hub_crds::config::{AuthConfig, RbacConfig};
use hub_settings as settings;

use crate::{
    authenticator::{Authenticator, DummyPassword, Oidc, allow::AllowList},
    rbac::ServiceTokens,
};

/// Who logs in, who comes in, and who may do what.
pub struct People {
    pub authenticator: Authenticator,
    pub allow: AllowList,
    /// Services, roles, groups and custom scopes.
    pub rbac: RbacConfig,
    pub service_tokens: ServiceTokens,
}

impl People {
    /// # Errors
    /// A service's token can't be read.
    pub fn of_files(auth: &AuthConfig, rbac: RbacConfig) -> anyhow::Result<Self> {
        let authenticator = Authenticator::new(auth)?;
        let allow = AllowList::new(auth, &authenticator.configured_users());
        Ok(Self { authenticator, allow, service_tokens: ServiceTokens::open(&rbac)?, rbac })
    }

    /// # Errors
    /// The settings want a way of logging in that this hub doesn't have.
    pub fn of_settings(people: settings::People) -> anyhow::Result<Self> {
        let authenticator = match &people.authenticator {
            settings::Authenticator::Dummy { password: None } => Authenticator::Dummy(DummyPassword::new(None)),
            settings::Authenticator::Dummy { password: Some(password) } => {
                Authenticator::Dummy(DummyPassword::fixed(password))
            }
            settings::Authenticator::Provider(settings) => {
                let mut oidc = Oidc::fixed((*settings.provider).clone(), settings.client_secret.clone())?;
                oidc.auto_login = settings.auto_login;
                oidc.manages_groups = settings.manage_groups;
                oidc.keeps_state = people.enable_auth_state;
                Authenticator::Oidc(Box::new(oidc))
            }
            settings::Authenticator::Other(name) => anyhow::bail!("this hub has no authenticator '{name}'"),
        };
        Ok(Self {
            authenticator,
            allow: AllowList::of_settings(&people.allow),
            service_tokens: ServiceTokens::fixed(people.service_tokens),
            rbac: people.rbac,
        })
    }
}
