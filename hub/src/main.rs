//! The command line.

use clap::{CommandFactory, Parser, Subcommand, error::ErrorKind};
use hub::commands;
use std::{
    env,
    io::{stderr, stdout},
    process::ExitCode,
    time::Instant,
};
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// A hub for Jupyter: logins, pages, the REST API, and everyone's server.
#[derive(Debug, Parser)]
#[command(name = "hub", version, after_help = "See `hub <command> --help` for what a command takes, with examples.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten, next_help_heading = "Logs")]
    log: hub::log::LogOptions,
}

#[derive(Debug, Subcommand)]
enum Command {
    Backup(commands::backup::Backup),
    Doctor(commands::doctor::Doctor),
    Link(commands::link::MakeLink),
    Local(commands::local::Local),
    Migrate(commands::migrate::Migrate),
    Password(commands::password::Password),
    Reset(commands::rotate::Reset),
    Restore(commands::backup::Restore),
    Rotate(commands::rotate::Rotate),
    Serve(commands::serve::Serve),
    Server(commands::server::Server),
    Token(commands::token::Token),
}

#[tokio::main]
async fn main() -> ExitCode {
    let started = Instant::now();
    let (arguments, settings) = match hub_server::split_settings(env::args().collect()) {
        Ok(split) => split,
        Err(error) => Cli::command().error(ErrorKind::InvalidValue, error).exit(),
    };
    let cli = Cli::parse_from(arguments);
    // Whoever runs `hub local` reads its address from the standard output, and nothing more.
    let audit = match &cli.command {
        Command::Serve(_) => BoxMakeWriter::new(stdout),
        _ => BoxMakeWriter::new(stderr),
    };
    if let Err(error) = hub::log::init(&cli.log, audit) {
        return exit(Err(error));
    }
    let result = match cli.command {
        Command::Backup(backup) => backup.run().await,
        Command::Doctor(doctor) => doctor.run(settings).await,
        Command::Link(link) => link.run().await,
        Command::Local(local) => local.run(settings, started).await,
        Command::Migrate(migrate) => return exit(migrate.run()),
        Command::Password(password) => password.run().await,
        Command::Reset(reset) => reset.run().await,
        Command::Restore(restore) => restore.run().await,
        Command::Rotate(rotate) => rotate.run().await,
        Command::Serve(serve) => serve.run(settings, started).await,
        Command::Server(server) => server.run(settings, started).await,
        Command::Token(token) => token.run().await,
    };
    exit(result.map(|()| ExitCode::SUCCESS))
}

fn exit(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
