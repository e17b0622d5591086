//! The hub: logins, pages, the OAuth provider, the REST API, and the starting and stopping of servers.

pub mod authenticator;
pub mod config;
pub mod database;
pub mod proxy;
pub mod reread;
pub mod servers;
pub mod spawner;
pub mod urls;
