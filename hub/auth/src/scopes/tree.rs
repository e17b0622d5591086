//! The scopes that exist, and which others each includes.

use std::collections::{BTreeMap, btree_map::Entry};

/// Everything that its owner may do: a token's only.
pub const INHERIT: &str = "inherit";
/// A user's own resources: a role's or token's, expands to [`SELF_SCOPES`] with a filter.
pub const SELF: &str = "self";

/// One scope: its name, a description for the page that asks for consent, and what it includes directly.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    pub name: &'static str,
    pub description: &'static str,
    pub includes: &'static [&'static str],
}

const fn scope(name: &'static str, description: &'static str, includes: &'static [&'static str]) -> Definition {
    Definition { name, description, includes }
}

/// What `self` means, each `!user=` its owner.
pub const SELF_SCOPES: [&str; 7] =
    ["read:users", "users:shares", "read:shares", "users:activity", "servers", "tokens", "access:servers"];

#[rustfmt::skip]
pub const ALL: &[Definition] = &[
    scope("(no_scope)", "Know that you exist", &[]),
    scope(SELF, "Everything of your own", &[]),
    scope(INHERIT, "Everything that you may do", &[]),
    scope("admin-ui", "Open the admin page", &[]),
    scope("admin:users", "Create, change and delete users, and see what their login left", &["admin:auth_state", "users", "read:roles:users", "delete:users"]),
    scope("admin:auth_state", "See what a user's login left", &[]),
    scope("users", "See and change users, without their servers and tokens", &["read:users", "list:users", "users:activity"]),
    scope("delete:users", "Delete users", &[]),
    scope("list:users", "List users", &["read:users:name"]),
    scope("read:users", "See users", &["read:users:name", "read:users:groups", "read:users:activity"]),
    scope("read:users:name", "See names of users", &[]),
    scope("read:users:groups", "See which groups a user is in", &[]),
    scope("read:users:activity", "See when a user was last active", &[]),
    scope("read:roles", "See who has which role", &["read:roles:users", "read:roles:services", "read:roles:groups"]),
    scope("read:roles:users", "See the roles of users", &[]),
    scope("read:roles:services", "See the roles of services", &[]),
    scope("read:roles:groups", "See the roles of groups", &[]),
    scope("users:activity", "Report that a user is active", &["read:users:activity"]),
    scope("admin:servers", "Start, stop, create and delete servers, and see their state", &["admin:server_state", "servers"]),
    scope("admin:server_state", "See the state of servers", &[]),
    scope("servers", "Start and stop servers", &["read:servers", "start:servers", "delete:servers"]),
    scope("read:servers", "See servers and whose they are", &["read:users:name"]),
    scope("start:servers", "Start and change servers", &[]),
    scope("delete:servers", "Stop and delete servers", &[]),
    scope("tokens", "See, make and delete tokens", &["read:tokens"]),
    scope("read:tokens", "See which tokens there are", &[]),
    scope("admin:groups", "Create, change and delete groups", &["groups", "read:roles:groups", "delete:groups"]),
    scope("groups", "See groups and change who is in them", &["read:groups", "list:groups"]),
    scope("list:groups", "List groups", &["read:groups:name"]),
    scope("read:groups", "See groups", &["read:groups:name"]),
    scope("read:groups:name", "See names of groups", &[]),
    scope("delete:groups", "Delete groups", &[]),
    scope("admin:services", "Create, change and delete services", &["list:services", "read:services", "read:roles:services"]),
    scope("list:services", "List services", &["read:services:name"]),
    scope("read:services", "See services", &["read:services:name"]),
    scope("read:services:name", "See names of services", &[]),
    scope("read:hub", "See details of the hub", &[]),
    scope("access:servers", "Use servers", &[]),
    scope("access:services", "Use services", &[]),
    scope("users:shares", "See and give up what is shared with a user", &["read:users:shares"]),
    scope("read:users:shares", "See what is shared with a user", &[]),
    scope("groups:shares", "See and give up what is shared with a group", &["read:groups:shares"]),
    scope("read:groups:shares", "See what is shared with a group", &[]),
    scope("read:shares", "See with whom a server is shared", &[]),
    scope("shares", "Share servers and end their sharing", &["access:servers", "read:shares", "users:shares", "groups:shares"]),
    scope("proxy", "See the proxy's routes and bring them up to date", &[]),
    scope("shutdown", "Shut the hub down", &[]),
    scope("read:metrics", "Read metrics", &[]),
];

/// The scope of this name, without a filter.
pub fn find(name: &str) -> Option<&'static Definition> {
    ALL.iter().find(|definition| definition.name == name)
}

/// Whether this is the name of a scope of an administrator's own: `custom:` and `[a-z0-9][a-z0-9_\-\*:]+[a-z0-9_\*]`.
pub fn is_custom(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("custom:") else { return false };
    let lower = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    match rest.as_bytes() {
        [first, middle @ .., last] => {
            lower(first)
                && !middle.is_empty()
                && middle.iter().all(|byte| lower(byte) || b"_-*:".contains(byte))
                && (lower(last) || b"_*".contains(last))
        }
        _ => false,
    }
}

/// A scope that doesn't exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownScope {
    #[error("Scope '{0}' does not exist")]
    Name(String),
    #[error("Scope filter '!{filter}' in scope '{scope}' does not exist")]
    Filter { scope: String, filter: String },
}

/// A custom scope, as the settings declare it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CustomScope {
    /// For the page that asks for consent.
    pub description: String,
    /// Other custom scopes that it includes directly.
    pub includes: Vec<String>,
}

/// What is wrong with the declaration of a custom scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongDeclaration {
    #[error(
        "'{0}' is no name of a custom scope: write `custom:` and then lower case letters, digits and `_-*:`, such as \
         custom:grades:read"
    )]
    Name(String),
    #[error("'{0}' is declared twice: remove one")]
    Twice(String),
    #[error("'{scope}' includes '{included}', which is not declared: declare it, too, or remove it")]
    Undeclared { scope: String, included: String },
    #[error(
        "'{scope}' includes '{included}', which is no custom scope: a custom scope includes custom ones only; give \
         both to a role instead"
    )]
    NotCustom { scope: String, included: String },
}

/// The scopes that exist at one hub: [`ALL`], and the custom ones that its settings declare. The default has none of the
/// latter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definitions {
    custom: BTreeMap<String, CustomScope>,
}

impl Definitions {
    /// [`ALL`] and these custom scopes, by name.
    ///
    /// # Errors
    /// Everything that is wrong with the declarations.
    pub fn with_custom(
        declared: impl IntoIterator<Item = (String, CustomScope)>,
    ) -> Result<Self, Vec<WrongDeclaration>> {
        let mut wrong = Vec::new();
        let mut custom = BTreeMap::new();
        for (name, scope) in declared {
            if !is_custom(&name) {
                wrong.push(WrongDeclaration::Name(name));
                continue;
            }
            match custom.entry(name) {
                Entry::Occupied(there) => wrong.push(WrongDeclaration::Twice(there.key().clone())),
                Entry::Vacant(free) => drop(free.insert(scope)),
            }
        }
        for (name, CustomScope { includes, .. }) in &custom {
            for included in includes.iter().filter(|included| !custom.contains_key(*included)) {
                let (scope, included) = (name.clone(), included.clone());
                wrong.push(match find(&included) {
                    Some(_) => WrongDeclaration::NotCustom { scope, included },
                    None => WrongDeclaration::Undeclared { scope, included },
                });
            }
        }
        if wrong.is_empty() { Ok(Self { custom }) } else { Err(wrong) }
    }

    /// What a scope lets its holder do, in words; `None` if it doesn't exist. `name` is without a filter.
    pub fn description(&self, name: &str) -> Option<&str> {
        let own = find(name).map(|definition| definition.description);
        own.or_else(|| self.custom.get(name).map(|scope| scope.description.as_str()))
    }

    /// Checks that a raw scope exists: its name, and its filter if it has one.
    ///
    /// # Errors
    /// Names what doesn't exist.
    pub fn validate(&self, scope: &str) -> Result<(), UnknownScope> {
        let (name, filter) = scope.split_once('!').map_or((scope, None), |(name, filter)| (name, Some(filter)));
        if self.description(name).is_none() {
            return Err(UnknownScope::Name(scope.to_owned()));
        }
        let known = match filter.map(|filter| filter.split_once('=').unwrap_or((filter, ""))) {
            None => true,
            Some(("user" | "service" | "server", _)) => true,
            Some(("group", name)) => !name.is_empty(),
            Some(_) => false,
        };
        if known {
            Ok(())
        } else {
            Err(UnknownScope::Filter { scope: scope.to_owned(), filter: filter.unwrap_or_default().to_owned() })
        }
    }

    /// The scope that someone who wrote this unknown one may have meant, filter and all.
    pub fn nearest(&self, scope: &str) -> Option<String> {
        /// Further apart two names have nothing to do with each other.
        const FURTHEST: usize = 3;
        let (name, filter) = scope.find('!').map_or((scope, ""), |start| scope.split_at(start));
        let names = ALL.iter().map(|definition| definition.name).chain(self.custom.keys().map(String::as_str));
        let (distance, nearest) = names.map(|known| (edits(name, known), known)).min()?;
        (distance <= FURTHEST && distance < name.len()).then(|| format!("{nearest}{filter}"))
    }

    /// A scope's name and those of all that it includes, at any depth.
    pub(super) fn with_included<'a>(&'a self, name: &'a str) -> Vec<&'a str> {
        let mut found = vec![name];
        self.add_included(name, &mut found);
        found
    }

    /// Custom scopes may include each other in a circle: each is looked at once.
    fn add_included<'a>(&'a self, name: &str, found: &mut Vec<&'a str>) {
        let own = find(name).into_iter().flat_map(|definition| definition.includes.iter().copied());
        let custom = self.custom.get(name).into_iter().flat_map(|scope| scope.includes.iter().map(String::as_str));
        for included in own.chain(custom) {
            if !found.contains(&included) {
                found.push(included);
                self.add_included(included, found);
            }
        }
    }
}

/// How many characters must be put in, left out or changed to make one text of the other (Levenshtein).
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (above, from) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], above + 1);
        for (column, to) in to.chars().enumerate() {
            let changed = diagonal + usize::from(from != to);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}
