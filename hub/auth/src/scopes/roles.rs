//! Roles: named lists of raw scopes.

/// A role that a hub has from its start.
#[derive(Clone, Copy, Debug)]
pub struct DefaultRole {
    pub name: &'static str,
    pub description: &'static str,
    pub scopes: &'static [&'static str],
}

/// The roles of a new database, in the order of their rows. The descriptions are what JupyterHub stores, so that its
/// next start has nothing to change.
pub const DEFAULTS: [DefaultRole; 4] = [
    DefaultRole { name: "user", description: "Standard user privileges", scopes: &["self"] },
    DefaultRole {
        name: "admin",
        description: "Elevated privileges (can do anything)",
        scopes: &[
            "admin-ui",
            "admin:users",
            "admin:servers",
            "admin:services",
            "tokens",
            "admin:groups",
            "list:services",
            "read:services",
            "read:hub",
            "proxy",
            "shutdown",
            "access:services",
            "access:servers",
            "read:roles",
            "read:metrics",
            "shares",
        ],
    },
    DefaultRole { name: "server", description: "Post activity only", scopes: SERVER_SCOPES },
    DefaultRole { name: "token", description: "Token with same permissions as its owner", scopes: &["inherit"] },
];

/// The roles that every user, and every administrator, has.
pub const USER: &str = "user";
/// See [`USER`].
pub const ADMIN: &str = "admin";
/// The role that says what a server's own token may do.
pub const SERVER: &str = "server";
/// The role that says what a token may do for which nothing else was said.
pub const TOKEN: &str = "token";

/// The role of this name that every hub has.
pub fn default_role(name: &str) -> Option<&'static DefaultRole> {
    DEFAULTS.iter().find(|role| role.name == name)
}

/// What a server's own token may do.
pub const SERVER_SCOPES: &[&str] = &["users:activity!user", "access:servers!server"];

/// Whether a role may have this name: `^[a-z][a-z0-9\-_~\.]{1,253}[a-z0-9]$`.
pub fn valid_name(name: &str) -> bool {
    let lower = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    match name.as_bytes() {
        [first, middle @ .., last] => {
            first.is_ascii_lowercase()
                && (1..=253).contains(&middle.len())
                && middle.iter().all(|byte| lower(byte) || b"-_~.".contains(byte))
                && lower(last)
        }
        _ => false,
    }
}
