//! Which servers people may have, and how many at a time. Pure.

use hub_auth::names;
use hub_crds::ServerLimits;

use super::status::StartError;
use crate::loggable::loggable;

/// Why a named server can't be had; the text is for whoever asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NamedServerError {
    #[error("Named servers are not enabled.")]
    Disabled,
    #[error(
        "User {user} already has the maximum of {limit} named servers.  One must be deleted before a new server can be created"
    )]
    TooMany { user: String, limit: u32 },
    #[error("Invalid server_name: '{0}'")]
    Name(String),
    #[error("Invalid display_name: '{0}'")]
    DisplayName(String),
}

/// Whether `user`, whose servers have the names `existing`, may have the named server `name`; the display name as it is
/// stored. One that exists needs no room.
pub fn check_named(
    limits: &ServerLimits,
    user: &str,
    existing: &[&str],
    name: &str,
    display_name: &str,
) -> Result<String, NamedServerError> {
    if !limits.allow_named_servers {
        return Err(NamedServerError::Disabled);
    }
    let (limit, is_new) = (limits.named_server_limit_per_user, !existing.contains(&name));
    let named = existing.iter().filter(|name| !name.is_empty()).count();
    if is_new && limit > 0 && named >= limit as usize {
        return Err(NamedServerError::TooMany { user: user.to_owned(), limit });
    }
    if !names::valid_server(name) {
        return Err(NamedServerError::Name(loggable(name)));
    }
    names::display_name(display_name).ok_or_else(|| NamedServerError::DisplayName(loggable(display_name)))
}

/// Whether one more server may start beside `starting` and `active` ones, those that start among them. `jitter`, 0 to 1,
/// spreads those who are sent away over half a minute, so that they don't return together.
pub(super) fn check_room(limits: &ServerLimits, starting: usize, active: usize, jitter: f64) -> Result<(), StartError> {
    let reached = |limit: u32, count: usize| limit > 0 && count >= limit as usize;
    if reached(limits.concurrent_spawn_limit, starting) {
        return Err(StartError::Throttled { retry_after: 30 + (30.0 * jitter) as u64 });
    }
    if reached(limits.active_server_limit, active) {
        return Err(StartError::Full);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(per_user: u32) -> ServerLimits {
        ServerLimits { allow_named_servers: true, named_server_limit_per_user: per_user, ..ServerLimits::default() }
    }

    #[test]
    fn named_servers_are_refused_unless_they_are_allowed() {
        let refused = check_named(&ServerLimits::default(), "alice", &[], "lab", "Lab");
        assert_eq!(refused, Err(NamedServerError::Disabled));
    }

    #[test]
    fn the_default_server_and_those_that_exist_need_no_room() {
        let check = |existing: &[&str], name| check_named(&limits(2), "alice", existing, name, name);
        assert_eq!(check(&["", "a"], "b"), Ok("b".into()));
        assert_eq!(check(&["", "a", "b"], "b"), Ok("b".into()));
        assert_eq!(check(&["", "a", "b"], "c"), Err(NamedServerError::TooMany { user: "alice".into(), limit: 2 }));
    }

    #[test]
    fn names_that_no_pod_could_have_are_refused() {
        let check = |name: &str, display: &str| check_named(&limits(0), "alice", &[], name, display);
        assert_eq!(check("My server", "x").unwrap_err().to_string(), "Invalid server_name: 'My server'");
        assert_eq!(check("lab", "a  b").unwrap_err().to_string(), "Invalid display_name: 'a  b'");
        let long = check(&"x".repeat(10_000), "x").unwrap_err().to_string();
        assert!(long.len() < 120, "{long}");
    }

    #[test]
    fn starts_are_throttled_and_bounded() {
        let limits = ServerLimits { concurrent_spawn_limit: 2, active_server_limit: 5, ..ServerLimits::default() };
        assert!(check_room(&limits, 1, 4, 0.0).is_ok());
        assert!(matches!(check_room(&limits, 2, 4, 0.5), Err(StartError::Throttled { retry_after: 45 })));
        assert!(matches!(check_room(&limits, 1, 5, 0.0), Err(StartError::Full)));
        let none = ServerLimits { concurrent_spawn_limit: 0, ..limits };
        assert!(check_room(&ServerLimits { active_server_limit: 0, ..none }, 10_000, 10_000, 0.0).is_ok());
    }
}
