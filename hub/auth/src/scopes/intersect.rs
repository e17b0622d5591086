//! What two sets of scopes have in common, across users, their servers and their groups.

use super::{Definitions, Entity, Extent, Groups, Owner, Scopes, Target};
use std::collections::{BTreeMap, BTreeSet};

type Filters = BTreeMap<Entity, BTreeSet<String>>;

pub(super) fn intersect(a: &Scopes, b: &Scopes, groups: &Groups) -> Scopes {
    let mut common = BTreeMap::new();
    for (name, extent) in &a.0 {
        let extent = match (extent, b.0.get(name)) {
            (_, None) => continue,
            (Extent::All, Some(other)) => other.clone(),
            (Extent::Only(_), Some(Extent::All)) => extent.clone(),
            (Extent::Only(a), Some(Extent::Only(b))) => {
                let filters = common_filters(a, b, groups);
                if filters.is_empty() {
                    continue;
                }
                Extent::Only(filters)
            }
        };
        common.insert(name.clone(), extent);
    }
    Scopes(common)
}

fn common_filters(a: &Filters, b: &Filters, groups: &Groups) -> Filters {
    let mut common = Filters::new();
    for (entity, names) in a {
        let both = b.get(entity).into_iter().flatten().filter(|name| names.contains(*name));
        common.entry(*entity).or_default().extend(both.cloned());
    }
    for (narrow, wide) in [(a, b), (b, a)] {
        let held_through = |entity, user: &str| match entity {
            Entity::User => wide.get(&Entity::User).is_some_and(|users| users.contains(user)),
            Entity::Group => wide.get(&Entity::Group).is_some_and(|held| groups.any(user, held)),
            Entity::Server | Entity::Service => false,
        };
        for server in narrow.get(&Entity::Server).into_iter().flatten() {
            let user = server.split_once('/').map_or(server.as_str(), |(user, _)| user);
            if held_through(Entity::User, user) || held_through(Entity::Group, user) {
                common.entry(Entity::Server).or_default().insert(server.clone());
            }
        }
        for user in narrow.get(&Entity::User).into_iter().flatten() {
            if held_through(Entity::Group, user) {
                common.entry(Entity::User).or_default().insert(user.clone());
            }
        }
    }
    common.retain(|_, names| !names.is_empty());
    common
}

/// The expanded scopes that `wanted` has and `held` hasn't, sorted: a token with these is refused.
pub fn excess(wanted: &Scopes, held: &Scopes, groups: &Groups) -> Vec<String> {
    let granted: BTreeSet<_> = intersect(wanted, held, groups).list().into_iter().collect();
    wanted.list().into_iter().filter(|scope| !granted.contains(scope)).collect()
}

/// Requested scopes, divided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// Raw scopes that may be granted, or the expanded part of one that is held in part. Sorted.
    pub granted: Vec<String>,
    /// Raw scopes that are not, or not wholly, held. Sorted.
    pub refused: Vec<String>,
}

impl Definitions {
    /// Divides requested raw scopes by those that are held, also raw: for a client against its allowed scopes, for a user
    /// against their own.
    pub fn resolve(
        &self,
        requested: &[String],
        held: &[String],
        owner: Option<Owner<'_>>,
        target: Option<Target<'_>>,
        groups: &Groups,
    ) -> Resolved {
        let have = self.expand(held, owner, target);
        let mut granted = BTreeSet::new();
        let mut refused = BTreeSet::new();
        for scope in requested {
            if held.contains(scope) {
                granted.insert(scope.clone());
                continue;
            }
            let wanted = self.expand(&[scope], owner, target);
            let common = intersect(&wanted, &have, groups);
            if !wanted.is_empty() && common == wanted {
                granted.insert(scope.clone());
            } else {
                granted.extend(common.list());
                refused.insert(scope.clone());
            }
        }
        Resolved { granted: granted.into_iter().collect(), refused: refused.into_iter().collect() }
    }
}
