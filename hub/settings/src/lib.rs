//! JupyterHub's settings: which there are, what each of them is in a `Hub`, and what a hub on one machine is told by them.
//! Pure.

mod field;
pub mod migrate;
pub mod print;
mod reader;
mod settings;
pub mod table;

pub use reader::SettingsError;
pub use settings::*;
