//! Settings as Jupyter's programs know them: traits of classes (`ServerApp.port`), from files in Jupyter's directories
//! and from flags, in traitlets' order of precedence. No Python is ever run, and no setting's value is ever printed:
//! errors say where a setting stands, what type it has and what to write instead.
//!
//! Only `files`, `jupyter::python` and `Environment::current` look at the machine.

mod config;
mod document;
mod error;
mod files;
mod flags;
pub mod jupyter;
mod python;
mod text;
mod unknown;
mod value;

pub use config::{Config, Found, Origin};
pub use error::Error;
pub use files::load;
pub use flags::{Flags, split};
pub use unknown::Unknown;
pub use value::Value;

/// The environment's variables, by name.
pub type Variables = std::collections::BTreeMap<String, String>;
