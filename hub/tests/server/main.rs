//! `hub server` as its users, its program and other sites see it: the real binary, real sockets.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod commands;
mod front;
mod launch;
mod login;
mod origins;
mod starting;
mod tls;
