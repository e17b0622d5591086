//! `cargo e2e`: a Hub on a real cluster for people, and the tests that need one.
//!
//! [`commands`] is the command line, [`suite`] the table of cluster tests, [`cluster`] what a test is given.

mod cargo;
pub mod cluster;
pub mod commands;
mod daemon;
mod diagnosis;
mod digest;
mod docker;
pub mod images;
mod install;
mod kind;
mod node_image;
mod packages;
mod places;
mod program;
mod progress;
mod runner;
mod scratch;
mod singleuser;
pub mod suite;
mod tools;
