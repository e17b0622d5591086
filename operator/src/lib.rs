//! The operator: keeps what each `Hub` asks for, and says in its status how it stands.
//!
//! ```text
//! watches -> queue -> dereference -> validate -> certificate -> build -> apply -> status
//!                     (reads)        (pure)      (gets one)     (pure)   (writes) (one patch)
//! ```

pub mod acme;
pub mod certificate;
pub mod check;
pub mod conditions;
pub mod controller;
pub mod events;
pub mod extension;
pub mod finalizer;
pub mod internal_tls;
pub mod lease;
pub mod metrics;
pub mod requests;
pub mod rotation;
pub mod route;
pub mod run;
pub mod secrets;
pub mod serve;
pub mod stored;
pub mod stores;
pub mod watch;

#[cfg(test)]
mod cluster_tests;
#[cfg(test)]
pub(crate) mod fixtures;

pub use check::{CheckArgs, check};
pub use run::{RunArgs, run};
