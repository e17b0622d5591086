//! From raw scopes to expanded ones.

use super::{Definitions, Owner, Scopes, Target, tree};

impl Definitions {
    /// Expands raw scopes: adds all that each includes, and gives `self`, `!user`, `!service` and `!server` their names.
    /// What has no meaning for this owner and target, and scopes that don't exist, grant nothing and are left out.
    pub fn expand<S: AsRef<str>>(&self, raw: &[S], owner: Option<Owner<'_>>, target: Option<Target<'_>>) -> Scopes {
        let mut scopes = Scopes::default();
        for scope in raw {
            self.expand_one(scope.as_ref(), owner, target, &mut scopes);
        }
        scopes
    }

    fn expand_one(&self, scope: &str, owner: Option<Owner<'_>>, target: Option<Target<'_>>, scopes: &mut Scopes) {
        if self.validate(scope).is_err() {
            return;
        }
        if scope == tree::SELF {
            if let Some(Owner::User(user)) = owner {
                let filter = format!("user={user}");
                for name in tree::SELF_SCOPES {
                    self.insert_filtered(name, &filter, scopes);
                }
            }
            return;
        }
        match scope.split_once('!') {
            None => self.with_included(scope).into_iter().for_each(|name| scopes.insert(name)),
            Some((name, filter)) => {
                if let Some(filter) = whole_filter(filter, owner, target) {
                    self.insert_filtered(name, &filter, scopes);
                }
            }
        }
    }

    fn insert_filtered(&self, name: &str, filter: &str, scopes: &mut Scopes) {
        for name in self.with_included(name) {
            // A filter for a server says nothing about its user: `read:servers!server=` must not read all of the user.
            if !(filter.starts_with("server=") && name.starts_with("read:user")) {
                scopes.insert(&format!("{name}!{filter}"));
            }
        }
    }
}

/// `user` becomes `user=alice`; a filter that is whole stays.
fn whole_filter(filter: &str, owner: Option<Owner<'_>>, target: Option<Target<'_>>) -> Option<String> {
    if filter.contains('=') {
        return Some(filter.to_owned());
    }
    match (filter, owner, target) {
        ("user", Some(Owner::User(name)), _) => Some(format!("user={name}")),
        ("service", _, Some(Target::Service(name))) | ("service", Some(Owner::Service(name)), _) => {
            Some(format!("service={name}"))
        }
        ("server", _, Some(Target::Server { user, server })) => Some(format!("server={user}/{server}")),
        _ => None,
    }
}

/// The scope that lets someone use what a client stands for.
pub fn access(target: Target<'_>) -> String {
    match target {
        Target::Server { user, server } => format!("access:servers!server={user}/{server}"),
        Target::Service(name) => format!("access:services!service={name}"),
    }
}

/// The scopes, expanded, that every OAuth token has: to say whose it is.
pub fn identify(owner: Owner<'_>) -> Vec<String> {
    match owner {
        Owner::User(name) => vec![format!("read:users:groups!user={name}"), format!("read:users:name!user={name}")],
        Owner::Service(name) => vec![format!("read:services:name!service={name}")],
    }
}
