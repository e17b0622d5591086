//! The log goes to the standard error, as text or as JSON, and the audit log as JSON to where the command says or to a file.
//! `RUST_LOG` chooses what is logged; without it the settings, and without them what an administrator wants to see. The
//! audit log is always whole.

use anyhow::Context;
use std::{
    fs::{File, OpenOptions},
    io::{self, IsTerminal, stderr},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock},
};
use tracing::{Level, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{Targets, filter_fn},
    fmt::{self, MakeWriter, writer::BoxMakeWriter},
    layer::SubscriberExt,
    registry::LookupSpan,
    reload,
    util::SubscriberInitExt,
};

/// The target of the audit log's lines.
const AUDIT: &str = "audit";

type SetLevel = Box<dyn Fn(&str) + Send + Sync>;

/// Changes the level; there is none where `RUST_LOG` has the say.
static SET_LEVEL: OnceLock<SetLevel> = OnceLock::new();

/// What the command line says of logs.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct LogOptions {
    /// How the log is written
    #[arg(long, value_name = "FORMAT", env = "HUB_LOG_FORMAT", default_value = "text", global = true)]
    log_format: LogFormat,
    /// Where the audit log is appended, in lines of JSON. Without it they go to the standard output of `hub serve`, and else to
    /// the standard error
    #[arg(long, value_name = "FILE", env = "HUB_AUDIT_FILE", global = true)]
    audit_file: Option<PathBuf>,
}

/// How a log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One object a line
    Json,
}

/// To be called once, before anything is logged. `audit` is where the audit log goes if it has no file.
///
/// # Errors
/// The audit log's file can't be written.
pub fn init(options: &LogOptions, audit: BoxMakeWriter) -> anyhow::Result<()> {
    let of_environment = EnvFilter::try_from_default_env().ok();
    let is_chosen = of_environment.is_some();
    let (filter, handle) = reload::Layer::new(of_environment.unwrap_or_else(|| EnvFilter::new("info")));
    let log = log_layer(options.log_format, stderr, stderr().is_terminal()).with_filter(filter);
    let audit = match &options.audit_file {
        None => audit,
        Some(path) => {
            let file = append_to(path).with_context(|| {
                format!("failed to write the audit log {}, which --audit-file names", path.display())
            })?;
            BoxMakeWriter::new(Mutex::new(file))
        }
    };
    tracing_subscriber::registry().with(log).with(audit_layer(audit)).init();
    if !is_chosen {
        let _ = SET_LEVEL.set(Box::new(move |level| {
            let _ = handle.reload(EnvFilter::new(level));
        }));
    }
    Ok(())
}

/// The most detailed level that is logged from now on, such as `debug`, unless `RUST_LOG` says another. The audit log goes
/// on at any.
pub fn set_level(level: &str) {
    if let Some(set) = SET_LEVEL.get() {
        set(level);
    }
}

/// For the owner only: it tells who comes from where.
fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

type Boxed<S> = Box<dyn Layer<S> + Send + Sync>;

/// Everything but the audit log.
fn log_layer<S, W>(format: LogFormat, writer: W, ansi: bool) -> Boxed<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = fmt::layer().with_writer(writer).with_ansi(ansi);
    let is_log = filter_fn(|line| line.target() != AUDIT);
    match format {
        LogFormat::Text => layer.with_filter(is_log).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_filter(is_log).boxed(),
    }
}

/// The audit log alone: a line is its fields and a time.
fn audit_layer<S, W>(writer: W) -> Boxed<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = fmt::layer().json().flatten_event(true).with_target(false).with_level(false).with_writer(writer);
    layer.with_filter(Targets::new().with_target(AUDIT, Level::INFO)).boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Act;
    use serde_json::Value;
    use std::{fs, os::unix::fs::PermissionsExt};

    fn json_lines(path: &Path) -> Vec<Value> {
        fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn the_audit_log_is_json_of_its_own_at_any_level() {
        let directory = tempfile::tempdir().unwrap();
        let [log, audit] = ["log", "audit"].map(|name| directory.path().join(name));
        let writer = |path: &Path| Mutex::new(append_to(path).unwrap());
        let filter = EnvFilter::new("error");
        let subscriber = tracing_subscriber::registry()
            .with(log_layer(LogFormat::Json, writer(&log), false).with_filter(filter))
            .with(audit_layer(writer(&audit)));
        tracing::subscriber::with_default(subscriber, || {
            Act::of("root", "token made").on("alice").object("a7").done("asked for");
            tracing::info!("not told");
            tracing::error!(user.name = "alice", "told\n");
        });
        let [line] = json_lines(&audit).try_into().unwrap();
        let Value::Object(mut line) = line else { panic!("{line}") };
        assert!(line.remove("timestamp").is_some_and(|time| time.as_str().unwrap().ends_with('Z')));
        assert_eq!(
            Value::from(line),
            serde_json::json!({
                "event": "token made", "actor": "root", "user": "alice", "object": "a7", "outcome": "success",
                "reason": "asked for",
            })
        );
        let [line] = json_lines(&log).try_into().unwrap();
        let known = ["level", "message", "user.name"].map(|field| line[field].as_str().unwrap());
        assert_eq!(known, ["ERROR", "told\n", "alice"]);
        assert_eq!(fs::metadata(&audit).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
