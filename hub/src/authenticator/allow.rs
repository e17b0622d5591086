//! Who may come in once known. Default deny. Pure.

use hub_auth::names::normalize_user;
use hub_crds::config::{AuthConfig, AuthenticatorConfig};
use hub_settings::Allow;
use std::collections::BTreeSet;

/// The allow, block and admin lists, with normalised names.
#[derive(Clone, Debug, Default)]
pub struct AllowList {
    all: bool,
    allowed: BTreeSet<String>,
    blocked: BTreeSet<String>,
    admins: BTreeSet<String>,
    /// Groups that a provider names: of whom may come in, and of administrators.
    groups: BTreeSet<String>,
    admin_groups: BTreeSet<String>,
}

impl AllowList {
    /// The lists of the settings, and `configured`: users whom the authenticator names, with whether they are admins.
    pub fn new(config: &AuthConfig, configured: &[(String, bool)]) -> Self {
        let names = |list: &[String]| list.iter().map(|name| normalize_user(name)).collect::<BTreeSet<_>>();
        let mut rules = Self {
            all: config.allow_all,
            allowed: names(&config.allowed_users),
            blocked: names(&config.blocked_users),
            admins: names(&config.admin_users),
            groups: config.allowed_groups.iter().cloned().collect(),
            admin_groups: match &config.authenticator {
                AuthenticatorConfig::Oidc { provider, .. } => provider.admin_groups.iter().cloned().collect(),
                _ => BTreeSet::new(),
            },
        };
        for (name, admin) in configured {
            rules.allowed.insert(name.clone());
            if *admin {
                rules.admins.insert(name.clone());
            }
        }
        rules
    }

    /// The lists of settings in JupyterHub's names.
    pub fn of_settings(allow: &Allow) -> Self {
        let names = |list: &[String]| list.iter().map(|name| normalize_user(name)).collect();
        Self {
            all: allow.all,
            allowed: names(&allow.users),
            blocked: names(&allow.blocked),
            admins: names(&allow.admins),
            groups: allow.groups.iter().cloned().collect(),
            admin_groups: allow.admin_groups.iter().cloned().collect(),
        }
    }

    /// A block always wins; an admin is allowed.
    pub fn admits(&self, name: &str) -> bool {
        !self.blocked.contains(name) && (self.all || self.allowed.contains(name) || self.admins.contains(name))
    }

    /// As [`Self::admits`], for a member of these groups of the provider's.
    pub fn admits_member(&self, name: &str, groups: &BTreeSet<String>) -> bool {
        let is_member = || !self.groups.is_disjoint(groups) || !self.admin_groups.is_disjoint(groups);
        self.admits(name) || !self.blocks(name) && is_member()
    }

    /// Whether groups of a provider's let anybody in.
    pub fn asks_for_groups(&self) -> bool {
        !self.groups.is_empty() || !self.admin_groups.is_empty()
    }

    /// Whether a member of these groups is an administrator; `None` if that is not for the settings to say.
    pub fn admin_of_member(&self, name: &str, groups: &BTreeSet<String>) -> Option<bool> {
        match self.is_admin(name) {
            true => Some(true),
            false if self.admin_groups.is_empty() => None,
            false => Some(!self.admin_groups.is_disjoint(groups)),
        }
    }

    /// Whoever is blocked gets nothing from the settings.
    pub fn blocks(&self, name: &str) -> bool {
        self.blocked.contains(name)
    }

    /// Everyone who is blocked.
    pub fn blocked(&self) -> impl Iterator<Item = &str> {
        self.blocked.iter().map(String::as_str)
    }

    pub fn is_admin(&self, name: &str) -> bool {
        self.admins.contains(name)
    }

    /// Everyone whom the lists name and admit, with whether they are administrators.
    pub fn named(&self) -> impl Iterator<Item = (&str, bool)> {
        self.allowed.union(&self.admins).map(String::as_str).filter(|n| self.admits(n)).map(|n| (n, self.is_admin(n)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(all: bool, allowed: &[&str], blocked: &[&str], admins: &[&str]) -> AllowList {
        let names = |list: &[&str]| list.iter().map(|&n| n.to_owned()).collect();
        let config = AuthConfig {
            allow_all: all,
            allowed_users: names(allowed),
            blocked_users: names(blocked),
            admin_users: names(admins),
            ..AuthConfig::new(AuthenticatorConfig::Dummy { password_file: None })
        };
        AllowList::new(&config, &[("tina".into(), false), ("theo".into(), true)])
    }

    #[test]
    fn nobody_comes_in_who_is_not_named() {
        let rules = rules(false, &["Alice"], &["mallory", "theo"], &["root"]);
        for (name, admitted) in
            [("alice", true), ("root", true), ("tina", true), ("bob", false), ("theo", false), ("", false)]
        {
            assert_eq!(rules.admits(name), admitted, "{name}");
        }
        assert_eq!(rules.named().collect::<Vec<_>>(), [("alice", false), ("root", true), ("tina", false)]);
    }

    #[test]
    fn groups_of_the_provider_let_in_and_make_administrators_and_a_block_wins() {
        let mut rules = rules(false, &["alice"], &["mallory"], &["root"]);
        let groups = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<BTreeSet<_>>();
        assert!(!rules.asks_for_groups() && rules.admin_of_member("alice", &groups(&["ops"])).is_none());
        (rules.groups, rules.admin_groups) = (groups(&["staff"]), groups(&["ops"]));
        for (name, of, admitted, admin) in [
            ("alice", &[][..], true, false),
            ("bob", &["staff"], true, false),
            ("bob", &["Staff"], false, false),
            ("bob", &["ops"], true, true),
            ("root", &[], true, true),
            ("mallory", &["staff", "ops"], false, true),
        ] {
            let of = groups(of);
            assert_eq!(rules.admits_member(name, &of), admitted, "{name}");
            assert_eq!(rules.admin_of_member(name, &of), Some(admin), "{name}");
        }
    }

    #[test]
    fn a_block_wins_over_allow_all() {
        let rules = rules(true, &[], &["Mallory"], &[]);
        assert!(rules.admits("anyone") && !rules.admits("mallory"));
        assert!(rules.blocks("mallory") && !rules.blocks("anyone"));
    }
}
