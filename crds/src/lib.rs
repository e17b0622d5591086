//! What the operator, the hub and the tests share: the `Hub` resource, the file that the operator renders for the
//! hub, and every name, label, port and path that two of them must agree on.
//!
//! `hub.yaml` beside this crate is generated from these types by `cargo e2e generate`.

mod address;
pub mod config;
mod crd;
mod hub;
pub mod names;
pub mod proxy_pods;
pub mod report;
pub mod status;
pub mod versions;

pub use address::{forwarded_ports, forwarded_url, login_url};
pub use crd::{crd, crd_yaml};
pub use hub::*;
pub use status::HubStatus;
