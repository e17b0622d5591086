//! The hub over HTTP: its own router, a real database, a real proxy in this process, and servers as processes.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod admin;
mod api;
mod attacks;
mod audit;
mod browser;
mod conformance;
mod culling;
mod faults;
mod groups;
mod guard;
mod login;
mod login_links;
mod named_servers;
mod oauth;
mod oidc;
mod openapi;
mod pages;
mod passwords;
mod profiles;
mod provider;
mod real_provider;
mod revocation;
mod rotation;
mod server_list;
mod services;
mod sessions;
mod settings;
mod shares;
mod stolen_database;
mod subdomains;
mod test_hub;
mod token_login;
mod users;
