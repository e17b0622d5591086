//! HTTP/1.1 messages, pure: where a head ends, what it says, how its body is framed, and how a body is decoded.
//!
//! Everything here refuses what two readers could understand differently (RFC 9112 section 11.2): a proxy that
//! repairs a message lets its sender speak past it.

pub(crate) mod body;
pub(crate) mod field;
pub(crate) mod head;
pub(crate) mod request;
pub(crate) mod response;
