//! The hub over HTTP: its own router, a real database, a real proxy in this process, and servers as processes.

mod api;
mod browser;
mod login;
mod oauth;
mod pages;
mod test_hub;
