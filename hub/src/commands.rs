//! The subcommands: a file for each.

pub mod serve;
