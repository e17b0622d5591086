//! The proxy as its clients, its backends and its hub see it: real sockets on all sides.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod api;
mod attacks;
mod backend;
mod callgrind;
mod forwarding;
mod framing;
mod fuzz;
mod gate;
mod harness;
mod parity;
mod process;
mod realm;
mod streaming;
mod tls;
mod websocket;
