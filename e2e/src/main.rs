//! `cargo e2e`: see the library.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    e2e::mock_server::run_if_asked();
    run()
}

#[tokio::main]
async fn run() -> ExitCode {
    // What TLS is computed with: only the first of several can install one, and any will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    e2e::commands::Cli::parse().run().await
}
