//! The log goes to the standard error. `RUST_LOG` chooses what is logged; without it the settings, and without them what
//! an administrator wants to see.

use std::{
    io::{IsTerminal, stderr},
    sync::OnceLock,
};
use tracing_subscriber::{EnvFilter, util::SubscriberInitExt};

type SetLevel = Box<dyn Fn(&str) + Send + Sync>;

/// Changes the level; there is none where `RUST_LOG` has the say.
static SET_LEVEL: OnceLock<SetLevel> = OnceLock::new();

/// To be called once, before anything is logged.
pub fn init() {
    let of_environment = EnvFilter::try_from_default_env().ok();
    let is_chosen = of_environment.is_some();
    let filter = of_environment.unwrap_or_else(|| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(stderr().is_terminal());
    let log = log.with_filter_reloading();
    let handle = log.reload_handle();
    log.finish().init();
    if !is_chosen {
        let _ = SET_LEVEL.set(Box::new(move |level| {
            let _ = handle.reload(EnvFilter::new(format!("{level},audit=info")));
        }));
    }
}

/// The most detailed level that is logged from now on, such as `debug`, unless `RUST_LOG` says another. The audit log goes
/// on at any.
pub fn set_level(level: &str) {
    if let Some(set) = SET_LEVEL.get() {
        set(level);
    }
}
