//! The subcommands: a file for each.

pub mod backup;
pub mod doctor;
pub mod link;
pub mod local;
pub mod migrate;
pub mod password;
pub mod rotate;
pub mod serve;
pub mod server;
mod settings_file;
pub mod token;
