//! All that a hub on one machine is told in JupyterHub's own names: the file that `--config` names, then flags, then the
//! environment. Pure.

use hub_crds::ServerLimits;
use hub_traitlets::{Config, Found, Variables};
use secrecy::SecretString;

mod addresses;
mod behaviour;
pub(crate) mod oidc;
mod people;
mod secrets;
mod servers;
#[cfg(test)]
mod tests;

pub use addresses::{Addresses, Tls, http};
pub use behaviour::Behaviour;
pub use people::{Allow, Authenticator, ManagedService, People, Provider};
pub use secrets::{COOKIE_SECRET_VARIABLE, CookieSecretPlace, PROXY_TOKEN_VARIABLE, PlacedSecret, Proxy};
pub use servers::{Spawner, SpawnerClass};

use crate::{
    reader::{Classes, Reader, SettingsError},
    table::{self, Meaning},
};

const HUB: Classes = &["JupyterHub"];
const PROXY: Classes = &["ConfigurableHTTPProxy", "Proxy"];

/// All that a hub on one machine is told.
#[derive(Debug)]
pub struct Settings {
    pub addresses: Addresses,
    pub tls: Option<Tls>,
    pub cookie_secret: CookieSecretPlace,
    pub proxy: Proxy,
    /// `sqlite:///` and a path, for example. It may hold a password.
    pub db_url: SecretString,
    pub people: People,
    pub spawner: Spawner,
    pub limits: ServerLimits,
    pub behaviour: Behaviour,
    /// Servers end with the hub.
    pub cleanup_servers: bool,
    /// The most detailed level that is logged, if it is said.
    pub log_level: Option<&'static str>,
    /// What can't be carried out, a line each: a hub must not start with it.
    pub refusals: Vec<String>,
    /// What its owner should know.
    pub warnings: Vec<String>,
}

impl Settings {
    /// Reads settings, of which those of flags are part.
    ///
    /// # Errors
    /// One isn't known or can't be used; says which, where it stands and what to write.
    pub fn read(config: &Config, variables: &Variables) -> Result<Self, SettingsError> {
        let unknown: Vec<_> = config.unknown(&table::known()).iter().map(ToString::to_string).collect();
        if !unknown.is_empty() {
            return Err(SettingsError::Refused(unknown));
        }
        let reader = Reader::new(config, variables);
        let mut warnings = Vec::new();
        let mut settings = Self {
            addresses: Addresses::read(&reader)?,
            tls: addresses::tls(&reader)?,
            cookie_secret: secrets::cookie_secret(&reader, &mut warnings)?,
            proxy: Proxy::read(&reader)?,
            db_url: db_url(&reader)?,
            people: People::read(&reader)?,
            spawner: Spawner::read(&reader, &mut warnings)?,
            limits: servers::limits(&reader)?,
            behaviour: Behaviour::read(&reader)?,
            cleanup_servers: reader.read(HUB, "cleanup_servers", Found::bool)?.unwrap_or(true),
            log_level: addresses::log_level(&reader)?,
            refusals: Vec::new(),
            warnings,
        };
        settings.refuse_other_classes();
        settings.refuse_the_rest(&reader);
        Ok(settings)
    }

    /// Ways of logging in and of starting servers that a hub on one machine doesn't have.
    fn refuse_other_classes(&mut self) {
        if let Authenticator::Other(name) = &self.people.authenticator {
            self.refusals.push(format!(
                "JupyterHub.authenticator_class is '{name}'{}, which this hub does not have yet; write 'generic-oauth', 'github' or 'google' for a provider, 'dummy' for a trial",
                if name == "pam" { ", the default" } else { "" },
            ));
        }
        if let SpawnerClass::Other(name) = &self.spawner.class {
            self.refusals.push(format!(
                "JupyterHub.spawner_class is '{name}', which this hub does not have on one machine; write 'simple' or \
                 'localprocess', or apply a Hub to a cluster, where servers are pods"
            ));
        }
    }

    /// What is known and has no effect here: refused, or of a class that isn't in use.
    fn refuse_the_rest(&mut self, reader: &Reader<'_>) {
        for (is_in_use, found) in reader.passed_over() {
            let line = format!("{} from {}", found.name(), found.origin);
            if is_in_use {
                self.refusals.push(format!("{line} has no effect at this hub: {}", remedy(&found)));
            } else {
                self.warnings.push(format!("{line} has no effect: {} is not in use", found.class));
            }
        }
    }
}

/// A path alone is a file of SQLite, as in JupyterHub.
fn db_url(reader: &Reader<'_>) -> Result<SecretString, SettingsError> {
    let url = reader.string(HUB, "db_url")?.unwrap_or_else(|| "sqlite:///jupyterhub.sqlite".to_owned());
    Ok(if url.contains("://") { url.into() } else { format!("sqlite:///{url}").into() })
}

/// What to do with a setting that has no effect on one machine.
fn remedy(found: &Found<'_>) -> String {
    match table::find(found.class, found.trait_name).map(|setting| setting.meaning) {
        Some(Meaning::Field(path)) => format!("remove it, or apply a Hub to a cluster, where it is {path}"),
        Some(Meaning::NotYet(reason)) => reason.to_owned(),
        // Why it isn't for clusters says nothing of a machine.
        Some(Meaning::NotForClusters(_)) | None => "remove it".to_owned(),
    }
}

/// Refuses all settings but those of `heeded`, since whoever reads them does nothing with the others.
///
/// # Errors
/// There are others; `remedy` says what to do about them.
pub fn refuse_others(config: &Config, heeded: &[(&str, &[&str])], remedy: &str) -> Result<(), SettingsError> {
    let is_heeded = |found: &Found<'_>| {
        heeded.iter().any(|(class, traits)| *class == found.class && traits.contains(&found.trait_name))
    };
    let others: Vec<_> = config
        .iter()
        .filter(|found| !is_heeded(found))
        .map(|found| format!("failed to use {} from {}: {remedy}", found.name(), found.origin))
        .collect();
    if others.is_empty() { Ok(()) } else { Err(SettingsError::Refused(others)) }
}
