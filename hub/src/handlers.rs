//! The endpoints: a file for each page, and the REST API below [`api`].

pub mod accept_share;
pub mod admin;
pub mod api;
pub mod assets;
pub mod authorize;
pub mod change_password;
pub mod csp_report;
pub mod health;
pub mod home;
pub mod login;
pub mod logout;
pub mod metrics;
pub mod not_running;
pub mod oidc;
pub mod proxy_error;
pub mod root;
pub mod sessions;
pub mod spawn;
pub mod spawn_pending;
pub mod token;
