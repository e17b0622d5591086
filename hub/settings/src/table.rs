//! Every setting of JupyterHub's that is known, by class: what it is in a `Hub`, or why a `Hub` has no field for it. The
//! names are those of JupyterHub 6.1, kubespawner 7.1 and oauthenticator 17.4.

mod authenticators;
mod jupyterhub;
mod spawners;
#[cfg(test)]
mod tests;

use hub_traitlets::Found;
use std::{iter, sync::LazyLock};

/// A class with the settings of its own; it has those of its base, too.
#[derive(Debug)]
pub struct Class {
    pub name: &'static str,
    pub base: Option<&'static str>,
    pub traits: &'static [Trait],
}

/// A setting of a class.
#[derive(Debug, Clone, Copy)]
pub struct Trait {
    pub name: &'static str,
    pub meaning: Meaning,
    /// Its value is never shown.
    pub is_secret: bool,
}

/// What a setting is in a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// A field of `Hub`, such as `spec.hub.allowNamedServers`.
    Field(&'static str),
    /// A `Hub` will never have it; says what to do instead.
    NotForClusters(&'static str),
    /// A `Hub` does not have it yet; says what to do instead.
    NotYet(&'static str),
}

/// Every class, in groups.
pub const CLASSES: [&[Class]; 3] = [jupyterhub::CLASSES, authenticators::CLASSES, spawners::CLASSES];

/// What is known of a setting.
pub fn find(class: &str, trait_name: &str) -> Option<&'static Trait> {
    traits(self::class(class)?).find(|setting| setting.name == trait_name)
}

/// The value must not be shown: that of a secret, or of a setting that nobody knows.
pub fn is_secret(class: &str, trait_name: &str) -> bool {
    find(class, trait_name).is_none_or(|setting| setting.is_secret)
}

/// Each class with the names of all its settings, as [`hub_traitlets::Config::unknown`] wants them.
pub fn known() -> Vec<(&'static str, &'static [&'static str])> {
    static NAMES: LazyLock<Vec<(&str, Vec<&str>)>> = LazyLock::new(|| {
        classes().map(|class| (class.name, traits(class).map(|setting| setting.name).collect())).collect()
    });
    NAMES.iter().map(|(class, names)| (*class, names.as_slice())).collect()
}

/// What to do with a setting that has no effect outside a cluster.
pub fn remedy(found: &Found<'_>) -> String {
    match find(found.class, found.trait_name).map(|setting| setting.meaning) {
        Some(Meaning::Field(path)) => format!("remove it, or apply a Hub to a cluster, where it is {path}"),
        Some(Meaning::NotForClusters(reason) | Meaning::NotYet(reason)) => reason.to_owned(),
        None => "it is not known; remove it or correct its name".to_owned(),
    }
}

fn classes() -> impl Iterator<Item = &'static Class> {
    CLASSES.into_iter().flatten()
}

fn class(name: &str) -> Option<&'static Class> {
    classes().find(|class| class.name == name)
}

/// Those of the class itself first, then those of its bases.
fn traits(class: &'static Class) -> impl Iterator<Item = &'static Trait> {
    iter::successors(Some(class), |class| class.base.and_then(self::class)).flat_map(|class| class.traits)
}

const fn field(name: &'static str, path: &'static str) -> Trait {
    Trait { name, meaning: Meaning::Field(path), is_secret: false }
}

const fn never(name: &'static str, reason: &'static str) -> Trait {
    Trait { name, meaning: Meaning::NotForClusters(reason), is_secret: false }
}

const fn later(name: &'static str, reason: &'static str) -> Trait {
    Trait { name, meaning: Meaning::NotYet(reason), is_secret: false }
}

impl Trait {
    const fn secret(mut self) -> Self {
        self.is_secret = true;
        self
    }
}

const PYTHON: &str = "it is Python, which this hub does not run; remove it";
