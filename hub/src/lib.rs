//! The hub: logins, pages, the OAuth provider, the REST API, and the starting and stopping of servers.

pub mod spawner;
