//! The REST API below `/hub/api`. Errors are `{"status": .., "message": ..}`.

pub mod activity;
pub mod authorizations;
pub mod groups;
pub mod info;
pub mod models;
pub mod oauth_token;
pub mod openapi;
pub mod progress;
pub mod proxy;
pub mod servers;
pub mod services;
pub mod share_codes;
pub mod shared;
pub mod shares;
pub mod shutdown;
pub mod tokens;
pub mod user;
pub mod users;

mod body;
mod pagination;

pub use body::JsonBody;
pub use pagination::Pagination;
