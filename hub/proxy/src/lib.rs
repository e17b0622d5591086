//! The hub's reverse proxy: configurable-http-proxy's REST API and routing on a data path of its own.
//!
//! ```text
//! client -> listener -> serve -> (route table) -> forward -> transfer -> target
//!                         |                          `-> upgrade (WebSocket tunnel)
//!                         `-> error_page, health, gate (of a program that embeds the proxy)
//! hub    -> api -> route table -> snapshot
//! ```
//!
//! `http1`, `path`, `routes`, `target` and `headers` are pure; the others move bytes.
//!
//! # Where it differs from configurable-http-proxy 5.3
//! - A request that two readers could understand differently is refused (400, 414, 417, 431, 501, 505); a bad percent
//!   escape is 400, not 500. Bodies of DELETE and OPTIONS go on as bodies (CVE-2026-29057).
//! - A doubtful answer of a target is 502 and a target that exceeds `--proxy-timeout` 504; the original says 503.
//! - Only WebSockets are upgraded, with version 13 and a valid key; other protocols are not offered to targets.
//! - Routes with empty or dot segments or control characters, and targets with user information, link-local addresses
//!   or other schemes than http and http+unix are refused with 400. `DELETE /api/routes` deletes the root route.
//! - The API's `Authorization` must be exactly `token <value>`.
//! - While the hub (a route with `"hub": true`, or the default target) refuses connections, requests wait up to 10 s.
//! - SIGTERM lets requests finish (`--grace-period`) and exits with 0, not 2; tunnels are not waited for.

mod api;
pub mod cli;
mod client;
mod config;
mod error_page;
mod forward;
mod gate;
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
mod tls;
mod token;
mod transfer;
mod upgrade;

pub use config::{Bind, ErrorPages, ProxyConfig, Snapshot, Token};
pub use gate::{AnswerChanges, Arrival, Gate, GateConfig, Passage, Verdict};
pub use listener::BoundAddr;
pub use proxy::{BindError, Proxy, bind};
pub use table::{RouteError, RoutePathErrorText, RouteTable};
pub use target::TargetError;
pub use tls::{TlsError, TlsFiles};
pub use token::TokenError;
