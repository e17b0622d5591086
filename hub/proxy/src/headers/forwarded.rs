//! For whom a request is forwarded: `X-Forwarded-*`, and whose word counts.
//!
//! They grow as configurable-http-proxy grows them: for, port and proto are appended after a comma, host is set only
//! where it is absent. Where proxies in front are named, only they are believed, and what they say of port and protocol
//! is kept as it is.

use std::net::IpAddr;

use bytes::{BufMut as _, BytesMut};
use ipnet::IpNet;

use super::{Hop, put};
use crate::http1::field;
use crate::http1::request::RequestFacts;

/// How far a peer is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Belief {
    /// Nobody was named: everything is appended to.
    Appended,
    /// A proxy that was named.
    Trusted,
    /// Anybody else, where proxies were named.
    Stranger,
}

impl Belief {
    pub(super) fn of(peer: Option<IpAddr>, trusted: Option<&[IpNet]>) -> Self {
        let Some(trusted) = trusted else { return Self::Appended };
        if peer.is_some_and(|peer| is_trusted(peer, trusted)) { Self::Trusted } else { Self::Stranger }
    }

    /// Whether a field of the request is left out. Proxies spell with dashes: what has an underscore came past them.
    pub(super) fn drops(self, name: &str) -> bool {
        match self {
            Self::Appended => false,
            Self::Trusted => field::is_forwarding(name) && name.contains('_'),
            Self::Stranger => field::is_forwarding(name),
        }
    }
}

/// Whether a peer is one of the proxies that were named.
pub(crate) fn is_trusted(peer: IpAddr, trusted: &[IpNet]) -> bool {
    let peer = peer.to_canonical();
    trusted.iter().any(|net| net.contains(&peer))
}

/// The values of `X-Forwarded-*` that came with the request and are believed.
pub(super) struct Forwarded<'b> {
    pub(super) belief: Belief,
    pub(super) client: Vec<&'b [u8]>,
    pub(super) port: Vec<&'b [u8]>,
    pub(super) proto: Vec<&'b [u8]>,
    pub(super) has_host: bool,
}

impl Forwarded<'_> {
    pub(super) fn new(belief: Belief) -> Self {
        Self { belief, client: Vec::new(), port: Vec::new(), proto: Vec::new(), has_host: false }
    }

    pub(super) fn write(&self, out: &mut BytesMut, facts: &RequestFacts<'_>, hop: &Hop<'_>) {
        if let Some(peer) = hop.peer {
            put_appended(out, b"X-Forwarded-For: ", &self.client, Some(peer.to_canonical().to_string().as_bytes()));
        }
        let port = hop.host.and_then(|host| field::split_port(host).1).filter(|port| !port.is_empty());
        let default_port: &[u8] = if hop.is_secure { b"443" } else { b"80" };
        put_appended(out, b"X-Forwarded-Port: ", &self.port, self.own(&self.port, port.unwrap_or(default_port)));
        let proto: &[u8] = match (facts.websocket, hop.is_secure) {
            (true, true) => b"wss",
            (true, false) => b"ws",
            (false, true) => b"https",
            (false, false) => b"http",
        };
        put_appended(out, b"X-Forwarded-Proto: ", &self.proto, self.own(&self.proto, proto));
        if let (false, false, Some(host)) = (self.has_host, facts.websocket, hop.host) {
            put(out, &[b"X-Forwarded-Host: ", host, b"\r\n"]);
        }
    }

    /// What is appended: nothing to what a trusted proxy says.
    fn own<'v>(&self, given: &[&[u8]], value: &'v [u8]) -> Option<&'v [u8]> {
        let is_said = self.belief == Belief::Trusted && given.iter().any(|value| !value.is_empty());
        (!is_said).then_some(value)
    }
}

fn put_appended(out: &mut BytesMut, name: &[u8], given: &[&[u8]], own: Option<&[u8]>) {
    out.put_slice(name);
    let given = given.iter().copied().filter(|value| !value.is_empty());
    for (at, value) in given.chain(own).enumerate() {
        let comma: &[u8] = if at > 0 { b"," } else { b"" };
        put(out, &[comma, value]);
    }
    out.put_slice(b"\r\n");
}
