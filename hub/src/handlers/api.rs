//! The REST API below `/hub/api`. Errors are `{"status": .., "message": ..}`.

pub mod activity;
pub mod authorizations;
pub mod info;
pub mod models;
pub mod oauth_token;
pub mod progress;
pub mod proxy;
pub mod servers;
pub mod shutdown;
pub mod tokens;
pub mod user;
pub mod users;

mod body;

pub use body::JsonBody;
