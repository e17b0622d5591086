//! `cargo e2e`: a Hub on a real cluster for people, and the tests that need one.
//!
//! [`commands`] is the command line, [`suite`] the tables of tests, [`cluster`], [`clients`] and
//! [`servers`] what a test is given.

mod bench;
mod cargo;
pub mod clients;
pub mod cluster;
pub mod commands;
mod control_plane;
mod daemon;
mod diagnosis;
mod digest;
mod docker;
mod environments;
mod http;
pub mod images;
mod install;
mod jupyter_server;
mod kind;
mod local_hub;
pub mod mock_server;
mod node_image;
mod node_modules;
mod oidc_provider;
mod packages;
pub mod peers;
mod places;
mod postgres;
mod program;
mod progress;
mod real_hub;
mod runner;
mod scratch;
pub mod servers;
mod singleuser;
pub mod suite;
mod tls_client;
mod tools;
mod upstream;
