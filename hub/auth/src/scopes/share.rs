//! What a share of a server may hold: scopes for that one server, whatever was written down.

use super::tree;
use crate::names::full_server_name;
use std::collections::BTreeSet;

/// A scope that would reach past the server that is shared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("!{filter} not allowed on sharing {scope}, only !{allowed}")]
pub struct ForeignFilter {
    filter: String,
    scope: String,
    allowed: String,
}

/// Scopes that someone wants to share, each with the filter for this server, sorted. One that has no filter gets it.
///
/// # Errors
/// Names a scope with any other filter.
pub fn bind<S: AsRef<str>>(scopes: &[S], user: &str, server: &str) -> Result<Vec<String>, ForeignFilter> {
    let allowed = filter(user, server);
    for scope in scopes {
        let scope = scope.as_ref();
        if let Some((_, filter)) = scope.split_once('!')
            && filter != allowed
        {
            return Err(ForeignFilter { filter: filter.to_owned(), scope: scope.to_owned(), allowed });
        }
    }
    Ok(rebind(scopes, user, server))
}

/// Stored scopes of a share as they hold now, sorted: for the server under the name that it and its user have at this
/// moment. The stored filter counts for nothing, since it may name someone who has been given an old name.
pub fn rebind<S: AsRef<str>>(stored: &[S], user: &str, server: &str) -> Vec<String> {
    let filter = filter(user, server);
    let bound: BTreeSet<_> = stored.iter().map(|scope| format!("{}!{filter}", name(scope.as_ref()))).collect();
    bound.into_iter().collect()
}

/// A scope without its filter.
pub fn name(scope: &str) -> &str {
    scope.split_once('!').map_or(scope, |(name, _)| name)
}

/// A scope of a share in words, without the server.
pub fn description(scope: &str) -> &str {
    tree::find(name(scope)).map_or(scope, |definition| definition.description)
}

fn filter(user: &str, server: &str) -> String {
    format!("server={}", full_server_name(user, server))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scopes::{Definitions, Groups, Owner, Resource};

    #[test]
    fn what_is_shared_is_bound_to_its_server() {
        let bound = bind(&["servers", "access:servers!server=alice/", "access:servers"], "alice", "").unwrap();
        assert_eq!(bound, ["access:servers!server=alice/", "servers!server=alice/"]);
        for (scope, filter) in [
            ("servers!user=alice", "user=alice"),
            ("servers!user", "user"),
            ("servers!server", "server"),
            ("servers!server=alice/other", "server=alice/other"),
            ("servers!server=bob/", "server=bob/"),
            ("servers!server=alice/!user=bob", "server=alice/!user=bob"),
            ("servers!", ""),
        ] {
            let error = bind(&[scope], "alice", "").unwrap_err().to_string();
            assert_eq!(error, format!("!{filter} not allowed on sharing {scope}, only !server=alice/"));
        }
    }

    /// Advisory GHSA-c4gm-pwx9-9w8j: whatever the row of a share says, it is for its own server alone.
    #[test]
    fn no_stored_scope_reaches_past_its_server() {
        let names = tree::ALL.iter().map(|definition| definition.name).chain(["custom:x:read"]);
        let filters =
            ["", "!user=root", "!user", "!server", "!server=bob/", "!group=staff", "!service=s", "!server=alice/x"];
        let stored: Vec<_> = names.flat_map(|name| filters.map(|filter| format!("{name}{filter}"))).collect();
        let held = Definitions::default().expand(&rebind(&stored, "alice", "x"), Some(Owner::User("bob")), None);
        assert!(!held.is_empty());
        for scope in held.list() {
            assert!(scope.ends_with("!server=alice/x"), "{scope}");
            assert!(!scope.starts_with("read:user"), "{scope}");
            let others = [Resource::user("alice"), Resource::server("alice/"), Resource::server("bob/x")];
            for resource in others.map(Some).into_iter().chain([None]) {
                assert!(!held.allow(name(&scope), resource, &Groups::default()), "{scope} for {resource:?}");
            }
        }
    }
}
