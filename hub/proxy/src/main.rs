//! The `hub-proxy` command.

use std::time::Instant;

use anyhow::Context as _;
use clap::Parser as _;
use hub_proxy::cli::Cli;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

fn main() -> anyhow::Result<()> {
    let started = Instant::now();
    // A core dump would hold the private key and what people send.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .context("failed to keep the process from being dumped")?;
    let cli = Cli::parse();
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(cli.log_level());
    let log = log.with_ansi(false).with_target(false);
    if cli.logs_json() {
        log.json().flatten_event(true).init();
    } else {
        log.init();
    }
    hub_proxy::raise_file_limit();
    let pid_file = cli.pid_file.clone();
    let config = cli.into_config(started).unwrap_or_else(|error| error.exit());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
    if let Some(file) = &pid_file {
        std::fs::write(file, std::process::id().to_string())
            .with_context(|| format!("failed to write --pid-file {}", file.display()))?;
    }
    let result = runtime.block_on(async {
        let stop = CancellationToken::new();
        stop_on_signal(stop.clone())?;
        hub_proxy::bind(config).await?.run(stop).await.context("a server ended")
    });
    if let Some(file) = &pid_file {
        // It is gone already, or somebody else's: either way there is nothing to do.
        let _ = std::fs::remove_file(file);
    }
    // Work that is still waiting in the blocking pool must not hold up the exit.
    runtime.shutdown_background();
    result
}

fn stop_on_signal(stop: CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    Ok(())
}
