//! `hub serve --config jupyterhub_config.py` for real: the program, its proxy and its servers as processes.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod machine;
mod proxy;
mod secrets;
mod servers;
mod services;
mod settings;
