//! How a server stands, and what becomes of a wish to start or stop it.

use jiff::Timestamp;

use crate::{database::DatabaseError, profiles::Refusal, proxy::ProxyError, spawner::SpawnError};

/// How a server stands.
#[derive(Clone, Debug, PartialEq)]
pub enum ServerStatus {
    /// It does not run. `last_failure` says why the last start failed, if it did.
    Stopped { last_failure: Option<String> },
    /// It is between two states.
    Pending(Pending),
    /// It answers, and the proxy leads to it.
    Ready {
        /// Scheme, host and port.
        target: String,
        started: Timestamp,
    },
}

/// What a server is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    Spawn,
    Stop,
    /// The hub restarted and looks whether it still runs.
    Check,
}

impl Pending {
    /// As the REST API names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spawn => "spawn",
            Self::Stop => "stop",
            Self::Check => "check",
        }
    }
}

/// A start was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartOutcome {
    /// It is ready already.
    Started,
    /// It is on its way.
    Pending,
}

/// A start was not accepted, or failed while its caller waited.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("server is already running")]
    Running,
    #[error("server is pending {}", .0.as_str())]
    Pending(Pending),
    /// Too many start at this moment.
    #[error("Too many users trying to log in right now. Try again in {retry_after} seconds.")]
    Throttled {
        /// Seconds.
        retry_after: u64,
    },
    #[error("Active user limit exceeded. Try again in a few minutes.")]
    Full,
    /// Somebody stopped the server while it started.
    #[error("Spawn cancelled")]
    Cancelled,
    /// The user may not have what was asked for.
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The text is for the user.
    #[error("{0}")]
    Failed(String),
}

impl StartError {
    /// Seconds after which another try may succeed, if that is known.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Throttled { retry_after } => Some(*retry_after),
            _ => None,
        }
    }
}

/// A stop was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopOutcome {
    /// It is gone; or it never ran.
    Stopped,
    /// It is on its way down.
    Stopping,
}

/// Why a start did not get to its end. The text is for the user's progress page.
#[derive(Debug, thiserror::Error)]
pub(super) enum LaunchError {
    #[error("Spawn cancelled")]
    Cancelled,
    #[error("Spawn failed: {0}")]
    Spawner(#[from] SpawnError),
    #[error("Spawn failed: Server at {url} didn't respond in {seconds} seconds{last}")]
    Unanswered { url: String, seconds: u64, last: String },
    #[error("Spawn failed: {0}")]
    Ended(String),
    #[error("Spawn failed: TLS with the server could not be set up: {0}")]
    Tls(#[from] reqwest::Error),
    #[error("Spawn failed: the proxy could not be told: {0}")]
    Proxy(#[from] ProxyError),
    #[error("Spawn failed: the database could not be written: {0}")]
    Database(#[from] DatabaseError),
}

/// Why the proxy's table could not be made right.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// Which services there are is not known, so nothing was changed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why a deleted server's volume may still be there.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    #[error(transparent)]
    Spawner(#[from] SpawnError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}
