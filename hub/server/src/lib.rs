//! The Jupyter Server page: `hub server`, a front that guards one server.
//!
//! ```text
//! client -> hub-proxy's data path -> front (may it pass?) -> program, on a private socket
//!                                      `-> pages (login, logout, refusals), on another
//! ```
//!
//! In a hub, the gate is [`guard`] instead of `front`: people log in at the hub.
//!
//! `settings`, `hosts` and `login_cookie` are pure; `front` decides on the data path and does no I/O; `program`,
//! `running`, `browser` and `serve` do it.

mod announcement;
mod browser;
mod cli;
mod cookie_secret;
mod credentials;
mod front;
pub mod guard;
mod head;
mod hosts;
mod http_client;
mod install;
mod launch;
mod list;
mod login_cookie;
mod orphans;
mod pages;
mod passage;
mod password;
mod ports;
mod process;
mod program;
mod running;
mod serve;
mod settings;
mod signals;
mod stop;

pub use cli::{Server, split_settings};
pub use http_client::{choose_tls_provider, http_client, http_client_for};
pub use hub_traitlets::Config;
pub use list::List;
pub use ports::free_port;
pub use process::{Group, runs_as_root, user_id};
pub use running::ServerInfo;
pub use signals::stop_on;
