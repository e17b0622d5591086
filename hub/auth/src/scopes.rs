//! Scopes: what a user, a service or a token may do.
//!
//! A *raw* scope is what roles and tokens store: `self`, `servers`, `users:activity!user`. *Expanded*, [`Scopes`], it has all
//! its subscopes and whole filters: `read:servers!user=alice`. Every check is made with expanded scopes, at the time of
//! the request: what the owner of a token has lost, the token has lost.
//!
//! Which scopes exist, [`Definitions`] knows: those of every hub, and the custom ones of one hub's settings.

mod expand;
mod intersect;
pub mod roles;
pub mod share;
pub mod tree;

pub use expand::{access, identify};
pub use intersect::{Resolved, excess};
pub use tree::{CustomScope, Definitions};

use std::collections::{BTreeMap, BTreeSet};

/// Whose scopes are expanded: `self` and `!user` mean a user, `!service` a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner<'a> {
    User(&'a str),
    Service(&'a str),
}

/// What an OAuth client stands for: `!server` and `!service` in its tokens mean it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    Server { user: &'a str, server: &'a str },
    Service(&'a str),
}

/// What a filter names. The order is that of their names, which is also that of lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entity {
    Group,
    Server,
    Service,
    User,
}

impl Entity {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "group" => Some(Self::Group),
            "server" => Some(Self::Server),
            "service" => Some(Self::Service),
            "user" => Some(Self::User),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::Server => "server",
            Self::Service => "service",
            Self::User => "user",
        }
    }
}

/// What a request is about. A server is `user/server`, the default one `user/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource<'a> {
    pub entity: Entity,
    pub name: &'a str,
}

impl<'a> Resource<'a> {
    pub fn user(name: &'a str) -> Self {
        Self { entity: Entity::User, name }
    }
    pub fn group(name: &'a str) -> Self {
        Self { entity: Entity::Group, name }
    }
    pub fn service(name: &'a str) -> Self {
        Self { entity: Entity::Service, name }
    }
    /// `full_name` is `user/server`, see [`crate::names::full_server_name`].
    pub fn server(full_name: &'a str) -> Self {
        Self { entity: Entity::Server, name: full_name }
    }
}

/// The groups of the users that a check is about, by user: what of it a check needs, its caller reads from the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups(BTreeMap<String, BTreeSet<String>>);

impl Groups {
    pub fn new(memberships: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut groups = Self::default();
        for (user, group) in memberships {
            groups.0.entry(user).or_default().insert(group);
        }
        groups
    }

    fn any(&self, user: &str, groups: &BTreeSet<String>) -> bool {
        self.0.get(user).is_some_and(|own| !own.is_disjoint(groups))
    }
}

/// Expanded scopes, reduced: what is held without a filter is not listed with one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(BTreeMap<String, Extent>);

/// For what a scope is held.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Extent {
    All,
    Only(BTreeMap<Entity, BTreeSet<String>>),
}

/// The answer to a request for a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Granted,
    /// None of the scopes is held: 403, naming them.
    Denied,
    /// Held, but for others: 404, so that nothing is said about what exists.
    Hidden,
}

impl Scopes {
    /// Reads expanded scopes. What cannot be read, such as a filter without a name, grants nothing and is left out.
    pub fn parse<S: AsRef<str>>(expanded: impl IntoIterator<Item = S>) -> Self {
        let mut scopes = Self::default();
        for scope in expanded {
            scopes.insert(scope.as_ref());
        }
        scopes
    }

    fn insert(&mut self, scope: &str) {
        let Some((name, filter)) = scope.split_once('!') else {
            self.0.insert(scope.to_owned(), Extent::All);
            return;
        };
        if let Some((entity, value)) = filter.split_once('=')
            && let Some(entity) = Entity::parse(entity)
            && !value.is_empty()
            && let Extent::Only(filters) =
                self.0.entry(name.to_owned()).or_insert_with(|| Extent::Only(BTreeMap::new()))
        {
            filters.entry(entity).or_default().insert(value.to_owned());
        }
    }

    /// The expanded scopes, sorted: the `scopes` of `GET /hub/api/user`.
    pub fn list(&self) -> Vec<String> {
        let mut list: Vec<_> = self.0.iter().flat_map(|(name, extent)| texts(name, extent)).collect();
        list.sort();
        list
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Both together.
    #[must_use]
    pub fn union(mut self, other: &Self) -> Self {
        for scope in other.list() {
            self.insert(&scope);
        }
        self
    }

    /// What both hold. A filter for a group meets one for a user or a server if `groups` says that it is a member.
    #[must_use]
    pub fn intersect(&self, other: &Self, groups: &Groups) -> Self {
        intersect::intersect(self, other, groups)
    }

    /// Whether `scope` is held for everything (`None`) or for this resource.
    pub fn allow(&self, scope: &str, resource: Option<Resource<'_>>, groups: &Groups) -> bool {
        let filters = match (self.0.get(scope), resource) {
            (None, _) | (Some(Extent::Only(_)), None) => return false,
            (Some(Extent::All), _) => return true,
            (Some(Extent::Only(filters)), Some(_)) => filters,
        };
        let Some(Resource { entity, name }) = resource else { return false };
        let names = |entity| filters.get(&entity);
        if names(entity).is_some_and(|names| names.contains(name)) {
            return true;
        }
        // A server is held through its user, both through a group of the user.
        let user = match entity {
            Entity::Server => name.split_once('/').map_or(name, |(user, _)| user),
            Entity::User => name,
            Entity::Group | Entity::Service => return false,
        };
        let through_user = entity == Entity::Server && names(Entity::User).is_some_and(|users| users.contains(user));
        through_user || names(Entity::Group).is_some_and(|held| groups.any(user, held))
    }

    /// Whether `scope` is held for anything at all: for lists, whose entries are then filtered with [`Self::allow`].
    pub fn holds(&self, scope: &str) -> bool {
        self.0.contains_key(scope)
    }

    /// The names that `scope` is held for through one kind of filter; `None` if it is held for everything.
    pub fn names(&self, scope: &str, entity: Entity) -> Option<Vec<&str>> {
        match self.0.get(scope) {
            Some(Extent::All) => None,
            Some(Extent::Only(filters)) => {
                Some(filters.get(&entity).into_iter().flatten().map(String::as_str).collect())
            }
            None => Some(Vec::new()),
        }
    }

    /// All names that any scope is held for through one kind of filter.
    pub fn filtered_by(&self, entity: Entity) -> BTreeSet<&str> {
        let filters = self.0.values().filter_map(|extent| match extent {
            Extent::All => None,
            Extent::Only(filters) => filters.get(&entity),
        });
        filters.flatten().map(String::as_str).collect()
    }

    /// Whether any of `required` is held for the resource, and what to answer if not.
    pub fn check(&self, required: &[&str], resource: Option<Resource<'_>>, groups: &Groups) -> Access {
        if required.iter().any(|scope| self.allow(scope, resource, groups)) {
            Access::Granted
        } else if resource.is_some() && required.iter().any(|scope| self.holds(scope)) {
            Access::Hidden
        } else {
            Access::Denied
        }
    }
}

fn texts(name: &str, extent: &Extent) -> Vec<String> {
    match extent {
        Extent::All => vec![name.to_owned()],
        Extent::Only(filters) => filters
            .iter()
            .flat_map(|(entity, names)| names.iter().map(move |value| format!("{name}!{}={value}", entity.name())))
            .collect(),
    }
}

impl Definitions {
    /// The scopes of a token of this owner: what was asked for when it was made, as far as the owner holds it now.
    ///
    /// `raw` is what the token stores; `target` what its OAuth client stands for, `None` for tokens that aren't from OAuth.
    /// Such a client's tokens may identify their owner and enter the client's own server, if the owner may.
    pub fn of_token(
        &self,
        raw: &[String],
        owner: Owner<'_>,
        owner_scopes: &Scopes,
        target: Option<Target<'_>>,
        groups: &Groups,
    ) -> Scopes {
        if raw.iter().any(|scope| scope == tree::INHERIT) {
            return owner_scopes.clone();
        }
        let mut scopes = self.expand(raw, Some(owner), target).union(&Scopes::parse(identify(owner)));
        if let Some(target) = target {
            scopes.insert(&access(target));
        }
        scopes.intersect(owner_scopes, groups)
    }
}

#[cfg(test)]
mod tests;
