//! Who may enter a server, by what the hub says of a token's holder. Pure.

use hub_auth::scopes::{Groups, Scopes};
use serde::Deserialize;
use std::collections::BTreeSet;

/// A token's holder: what the guard needs of `GET /hub/api/user`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(super) struct Holder {
    /// `user` or `service`.
    #[serde(default = "user")]
    pub kind: String,
    pub name: String,
    /// Expanded.
    #[serde(default)]
    pub scopes: Vec<String>,
}

fn user() -> String {
    "user".to_owned()
}

/// Whether one of the required scopes is held wholly. A group's members are not known here, so a filter for a group
/// meets none for a user or a server; a hub has resolved it for the tokens that it gives to servers.
pub(super) fn may_enter(required: &BTreeSet<String>, holder: &Holder) -> bool {
    let both = Scopes::parse(required).intersect(&Scopes::parse(&holder.scopes), &Groups::default());
    both.list().iter().any(|scope| required.contains(scope))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enters(scopes: &[&str]) -> bool {
        let required = ["access:servers!server=alice/", "access:servers!user=alice"].map(str::to_owned).into();
        let holder = Holder {
            kind: user(),
            name: "bob".to_owned(),
            scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
        };
        may_enter(&required, &holder)
    }

    #[test]
    fn who_holds_a_required_scope_enters_s1() {
        for scope in ["access:servers!server=alice/", "access:servers!user=alice", "access:servers"] {
            assert!(enters(&["read:users:name!user=bob", scope]), "{scope}");
        }
        for scope in [
            "access:servers!server=alice/s1",
            "access:servers!server=bob/",
            "access:servers!user=bob",
            "access:servers!group=class",
            "access:services",
            "access:servers!",
            "access:servers!server=",
            "read:servers",
            "",
        ] {
            assert!(!enters(&[scope]), "{scope}");
        }
        assert!(!enters(&[]));
    }

    #[test]
    fn the_hubs_model_is_read() {
        let model = r#"{"kind":"service","name":"s","admin":false,"scopes":["access:servers"],"token_id":"a1"}"#;
        let holder: Holder = serde_json::from_str(model).unwrap();
        assert_eq!((holder.kind.as_str(), holder.name.as_str(), holder.scopes.len()), ("service", "s", 1));
        assert!(serde_json::from_str::<Holder>("{}").is_err());
    }
}
