//! The hub's reverse proxy: configurable-http-proxy's REST API and routing on a data path of its own.
//!
//! ```text
//! client -> listener -> serve -> (route table) -> forward -> transfer -> target
//!                         |                          `-> upgrade (WebSocket tunnel)
//!                         `-> error_page, health
//! hub    -> api -> route table -> snapshot
//! ```
//!
//! `http1`, `path`, `routes`, `target` and `headers` are pure; the others move bytes.

mod api;
pub mod cli;
mod client;
mod config;
mod error_page;
mod forward;
mod headers;
mod http1;
mod listener;
mod log;
mod metrics;
mod path;
mod pool;
mod proxy;
mod routes;
mod serve;
mod shared;
mod snapshot;
mod stream;
mod table;
mod target;
mod timer;
mod token;
mod transfer;
mod upgrade;

pub use config::{Bind, ErrorPages, ProxyConfig, Snapshot, Token};
pub use listener::BoundAddr;
pub use proxy::{BindError, Proxy, bind};
pub use table::{RouteError, RoutePathErrorText, RouteTable};
pub use target::TargetError;
pub use token::TokenError;
