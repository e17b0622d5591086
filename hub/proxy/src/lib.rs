//! The hub's reverse proxy: configurable-http-proxy's REST API and routing on a data path of its own.
//!
//! ```text
//! client -> listener -> tls -> serve -> plan -> forward -> transfer -> target
//!                        |       |       |         |`-> upgrade (WebSocket tunnel)
//!                        |       |       |         `-> connect (TLS towards targets)
//!                        |       |       `-> route table, redirect, gate (of a program that embeds the proxy)
//!                        |       `-> error_page, health
//!                        `-> http2 -> serve, one for each stream
//! hub    -> api -> route table -> snapshot
//! ```
//!
//! `http1`, `http2::translate`, `path`, `routes`, `realm`, `redirect`, `target` and `headers` are pure; the others move bytes.
//!
//! # Where it differs from configurable-http-proxy 5.3
//! - A request that two readers could understand differently is refused (400, 414, 417, 431, 501, 505); a bad percent
//!   escape is 400, not 500. Bodies of DELETE and OPTIONS go on as bodies (CVE-2026-29057).
//! - A doubtful answer of a target is 502 and a target that exceeds `--proxy-timeout` 504; the original says 503.
//! - Only WebSockets are upgraded, with version 13 and a valid key; other protocols are not offered to targets.
//! - Routes with empty or dot segments or control characters, and targets with user information, link-local addresses
//!   or other schemes than http, https and http+unix are refused with 400. `DELETE /api/routes` deletes the root route.
//! - The API's `Authorization` must be exactly `token <value>`.
//! - While the hub (a route with `"hub": true`, or the default target) refuses connections, requests wait up to 10 s.
//! - Clients get TLS 1.2 and 1.3 only, with HTTP/2 too. A certificate's file that holds the key is served (S39), chains
//!   are mended (S41), files are read again when they change, and a key that others can read is refused (S40). Passphrases
//!   and Diffie-Hellman parameters are not taken. With `--ssl-request-cert` a bad certificate is refused, and
//!   `--ssl-reject-unauthorized` decides about a missing one.
//! - `--redirect-port` answers 308 to what is neither GET nor HEAD, drops `:443` also after `--redirect-to 443`, and routes
//!   an ACME authority's challenges.
//! - Servers and services on a shared host see neither the hub's login cookie nor those of other servers, and set no cookie
//!   beyond their own paths, unless `--compat` is given.
//! - A route with `tls_name` leads to whoever shows a certificate for that name, and to nobody else.
//! - With few files left, and beyond 4,096 connections of one address, who comes is answered with 503 (`admission`).
//! - What goes on over a route ends when the route is removed or leads elsewhere.
//! - SIGTERM lets requests and WebSockets go on (`--grace-period`) and exits with 0, not 2.

mod admission;
mod api;
pub mod cli;
mod client;
mod config;
mod connect;
mod error_page;
mod forward;
#[cfg(test)]
mod fuzz;
mod gate;
mod headers;
mod http1;
mod http2;
mod listener;
mod log;
mod metrics;
mod path;
mod plan;
mod pool;
mod proxy;
mod realm;
mod redirect;
mod request_id;
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
mod watch;

pub use admission::raise_file_limit;
pub use config::{ApiTls, Bind, ErrorPages, Hsts, ProxyConfig, Redirect, Snapshot, Token};
pub use connect::TargetTls;
pub use gate::{AnswerChanges, Arrival, Gate, GateConfig, Passage, Verdict};
pub use listener::BoundAddr;
pub use proxy::{BindError, Proxy, bind};
pub use table::{RouteError, RoutePathErrorText, RouteTable};
pub use target::TargetError;
pub use tls::{CipherError, ClientCertificates, TlsError, TlsFiles, TlsOptions, TlsVersion, cipher_suites};
pub use token::TokenError;
