//! JupyterHub's settings: which there are, and what each of them is in a `Hub`. Pure.

mod field;
pub mod migrate;
pub mod table;
