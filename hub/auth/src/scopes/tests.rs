//! What a request or a token may do. How scopes expand and meet is tested against JupyterHub's answers in `tests/vectors.rs`.

use super::*;

/// A hub without custom scopes.
fn hub() -> Definitions {
    Definitions::default()
}

fn user_scopes() -> Scopes {
    hub().expand(&["self"], Some(Owner::User("alice")), None)
}

fn raw(scopes: &[&str]) -> Vec<String> {
    scopes.iter().map(ToString::to_string).collect()
}

#[test]
fn a_user_reaches_their_own_and_nothing_of_others() {
    let scopes = user_scopes();
    let none = Groups::default();
    let check = |scope, resource| scopes.check(&[scope], resource, &none);
    assert_eq!(check("read:users", Some(Resource::user("alice"))), Access::Granted);
    assert_eq!(check("start:servers", Some(Resource::server("alice/"))), Access::Granted);
    assert_eq!(check("access:servers", Some(Resource::server("alice/s1"))), Access::Granted);
    assert_eq!(check("access:servers", Some(Resource::server("bob/"))), Access::Hidden);
    assert_eq!(check("read:users", Some(Resource::user("bob"))), Access::Hidden);
    assert_eq!(check("admin:users", Some(Resource::user("alice"))), Access::Denied);
    assert_eq!(check("read:users", None), Access::Denied);
    assert!(scopes.holds("read:users"));
}

#[test]
fn any_of_several_scopes_is_enough() {
    let scopes = user_scopes();
    let alice = Some(Resource::user("alice"));
    assert_eq!(scopes.check(&["admin:users", "read:users:name"], alice, &Groups::default()), Access::Granted);
}

#[test]
fn what_cannot_be_read_grants_nothing() {
    let scopes = Scopes::parse(["servers!user=", "servers!user", "servers!planet=mars", "servers!"]);
    assert!(!scopes.allow("servers", Some(Resource::user("")), &Groups::default()));
    assert!(!scopes.allow("servers", Some(Resource::user("mars")), &Groups::default()));
    assert_eq!(
        hub()
            .expand(&["nothing", "servers!planet=mars", "read:users!group"], Some(Owner::User("a")), None)
            .list()
            .len(),
        0
    );
}

#[test]
fn a_token_loses_what_its_owner_loses() {
    let owner = Owner::User("alice");
    let admin = hub().expand(&["admin:users", "self"], Some(owner), None);
    let token = raw(&["admin:users"]);
    let none = Groups::default();
    assert!(hub().of_token(&token, owner, &admin, None, &none).allow("delete:users", None, &none));
    assert!(!hub().of_token(&token, owner, &user_scopes(), None, &none).holds("delete:users"));
    assert_eq!(hub().of_token(&raw(&["inherit"]), owner, &admin, None, &none), admin);
}

/// The scopes of a browser's token for its user's own server, as `GET /hub/api/user` lists them.
#[test]
fn a_servers_browser_token_identifies_and_enters() {
    let target = Target::Server { user: "alice", server: "" };
    let token = raw(&["access:servers!server=alice/"]);
    let expected = ["access:servers!server=alice/", "read:users:groups!user=alice", "read:users:name!user=alice"];
    for token in [token, Vec::new()] {
        let scopes = hub().of_token(&token, Owner::User("alice"), &user_scopes(), Some(target), &Groups::default());
        assert_eq!(scopes.list(), expected);
    }
    let of_bob = Target::Server { user: "bob", server: "" };
    let scopes = hub().of_token(&[], Owner::User("alice"), &user_scopes(), Some(of_bob), &Groups::default());
    assert!(!scopes.holds("access:servers"));
}

#[test]
fn excess_scopes_are_named() {
    let none = Groups::default();
    let wanted = Scopes::parse(["read:users!user=alice", "read:users!user=bob", "shutdown"]);
    assert_eq!(excess(&wanted, &user_scopes(), &none), ["read:users!user=bob", "shutdown"]);
    assert!(excess(&user_scopes(), &user_scopes(), &none).is_empty());
}

#[test]
fn requested_scopes_are_divided() {
    let owner = Some(Owner::User("alice"));
    let held = raw(&["self", "tokens!user"]);
    let requested = raw(&["tokens!user", "servers!user", "servers", "shutdown"]);
    let resolved = hub().resolve(&requested, &held, owner, None, &Groups::default());
    assert_eq!(resolved.refused, ["servers", "shutdown"]);
    // Of `servers` the part that is held is granted, expanded.
    let mut granted = raw(&["servers!user", "tokens!user"]);
    granted.extend(hub().expand(&["servers!user=alice"], owner, None).list());
    granted.sort();
    assert_eq!(resolved.granted, granted);
}

#[test]
fn which_scopes_exist() {
    let good = ["self", "servers", "servers!user", "servers!user=a", "read:users!group=g", "access:servers!server=a/"];
    for scope in good {
        assert_eq!(hub().validate(scope), Ok(()), "{scope}");
    }
    let bad = [
        "",
        "all",
        "Servers",
        "servers!",
        "servers!group",
        "servers!planet=x",
        "custom:",
        "custom:a",
        "custom:ab",
        "custom:Abc",
        "custom:-ab",
        "custom:grades:read",
    ];
    for scope in bad {
        assert!(hub().validate(scope).is_err(), "{scope}");
    }
    assert_eq!(hub().validate("nope").unwrap_err().to_string(), "Scope 'nope' does not exist");
}

#[test]
fn every_included_scope_exists() {
    let included = tree::ALL.iter().flat_map(|definition| definition.includes);
    for name in included.chain(roles::DEFAULTS.iter().flat_map(|role| role.scopes)) {
        assert_eq!(hub().validate(name), Ok(()));
    }
}

#[test]
fn which_role_names_are_valid() {
    let long = format!("a{}b", "x".repeat(253));
    for name in ["abc", "a.b", "grader-1", &long] {
        assert!(roles::valid_name(name), "{name}");
    }
    let too_long = format!("a{}b", "x".repeat(254));
    for name in ["", "a", "ab", "1ab", "Abc", "ab-", "a b", &too_long] {
        assert!(!roles::valid_name(name), "{name}");
    }
}

fn custom(declared: &[(&str, &[&str])]) -> Result<Definitions, Vec<tree::WrongDeclaration>> {
    Definitions::with_custom(declared.iter().map(|(name, includes)| {
        let scope = CustomScope { description: format!("about {name}"), includes: raw(includes) };
        ((*name).to_owned(), scope)
    }))
}

#[test]
fn a_declared_custom_scope_exists_and_includes_what_it_says() {
    let hub = custom(&[("custom:grades:write", &["custom:grades:read"]), ("custom:grades:read", &[])]).unwrap();
    for scope in ["custom:grades:read", "custom:grades:read!user", "custom:grades:write!group=class"] {
        assert_eq!(hub.validate(scope), Ok(()), "{scope}");
    }
    assert!(hub.validate("custom:grades:delete").is_err());
    assert_eq!(hub.description("custom:grades:read"), Some("about custom:grades:read"));
    let expanded = hub.expand(&["custom:grades:write!user"], Some(Owner::User("alice")), None);
    assert_eq!(expanded.list(), ["custom:grades:read!user=alice", "custom:grades:write!user=alice"]);
    assert!(super::Definitions::default().expand(&["custom:grades:write"], None, None).is_empty());
}

/// Upstream would never come to an end.
#[test]
fn custom_scopes_may_include_each_other() {
    let hub = custom(&[("custom:one", &["custom:two"]), ("custom:two", &["custom:one"])]).unwrap();
    assert_eq!(hub.expand(&["custom:two"], None, None).list(), ["custom:one", "custom:two"]);
}

#[test]
fn wrong_declarations_are_all_told_with_a_remedy() {
    let wrong = custom(&[("grades:read", &[]), ("custom:one", &["custom:nowhere", "servers"]), ("custom:one", &[])]);
    let told: Vec<_> = wrong.unwrap_err().iter().map(ToString::to_string).collect();
    let expected = [
        "'grades:read' is no name of a custom scope: write `custom:`",
        "'custom:one' is declared twice: remove one",
        "'custom:one' includes 'custom:nowhere', which is not declared: declare it, too, or remove it",
        "'custom:one' includes 'servers', which is no custom scope: a custom scope includes custom ones only",
    ];
    assert_eq!(told.len(), expected.len(), "{told:?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told}");
    }
}

#[test]
fn a_scope_that_was_misspelt_is_guessed() {
    let hub = custom(&[("custom:grades:read", &[])]).unwrap();
    for (written, meant) in [
        ("read:user", Some("read:users")),
        ("server!user=alice", Some("servers!user=alice")),
        ("custom:grade:read", Some("custom:grades:read")),
        ("acces:services", Some("access:services")),
        ("everything-there-is", None),
        ("x", None),
    ] {
        assert_eq!(hub.nearest(written).as_deref(), meant, "{written}");
    }
}
