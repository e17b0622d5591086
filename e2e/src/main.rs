//! `cargo e2e`: see the library.

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    e2e::commands::Cli::parse().run().await
}
