//! Why settings can't be used: where, what, and what to write instead. Never a setting's value.

use crate::Origin;
use std::{io, path::PathBuf};

/// Why settings can't be used. Each says where and what to do about it; none holds a setting's value.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to read the settings file {}; make it readable or move it away", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("failed to read the settings file {}: {message}", path.display())]
    File { path: PathBuf, message: String },
    /// A place in a file that can't be used.
    #[error("failed to use {origin}: {message}")]
    Place { origin: Origin, message: String },
    /// A setting of another type than its reader wants.
    #[error("failed to use {name} from {origin}: it is {found}; {remedy}")]
    Type { name: String, origin: Origin, found: &'static str, remedy: String },
    #[error("failed to read the flag {flag}: {message}")]
    Flag { flag: String, message: String },
}
