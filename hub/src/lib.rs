//! The hub: logins, pages, the OAuth provider, the REST API, and the starting and stopping of servers.

pub mod activity;
pub mod app;
pub mod authenticator;
pub mod commands;
pub mod config;
pub mod control;
pub mod database;
pub mod error;
pub mod failure_limit;
pub mod form;
pub mod handlers;
pub mod loggable;
pub mod middleware;
pub mod oauth;
pub mod pages;
pub mod proxy;
pub mod reread;
pub mod revocation;
pub mod router;
pub mod serve;
pub mod servers;
pub mod session;
pub mod spawner;
pub mod upkeep;
pub mod urls;
