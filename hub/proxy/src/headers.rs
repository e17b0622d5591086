//! Writes the heads that go on: to the backend and back to the client. Pure.
//!
//! Fields for one hop are left out (RFC 9110 section 7.6.1); what becomes of `X-Forwarded-*` [`forwarded`] says.

mod forwarded;

use std::fmt::Write as _;
use std::net::IpAddr;

use bytes::{BufMut, BytesMut};
use httparse::Header;
use ipnet::IpNet;

pub(crate) use self::forwarded::is_trusted;
use self::forwarded::{Belief, Forwarded};
use crate::gate::{AnswerChanges, Passage};
use crate::http1::body::Body;
use crate::http1::field::{self, Name};
use crate::http1::request::{RequestFacts, RequestHead};
use crate::http1::response::{ResponseFacts, ResponseHead};
use crate::realm::{Realm, Ruling};
use crate::target::Target;

/// How requests are changed on their way; from the command line.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rewrite {
    pub(crate) x_forward: bool,
    /// Who is believed when they say whom they forward for; everybody if nobody is named.
    pub(crate) trusted_proxies: Option<Vec<IpNet>>,
    pub(crate) prepend_path: bool,
    pub(crate) include_prefix: bool,
    pub(crate) change_origin: bool,
    pub(crate) auto_rewrite: bool,
    pub(crate) protocol_rewrite: Option<String>,
    /// Fields that replace the request's own.
    pub(crate) custom_headers: Vec<(String, String)>,
}

impl Rewrite {
    /// Whether a peer is one of the proxies in front that were named.
    pub(crate) fn trusts(&self, peer: Option<IpAddr>) -> bool {
        Belief::of(peer, self.trusted_proxies.as_deref()) == Belief::Trusted
    }
}

/// Where one request comes from and goes to.
pub(crate) struct Hop<'a> {
    pub(crate) peer: Option<IpAddr>,
    /// Whether the client's connection is encrypted.
    pub(crate) is_secure: bool,
    pub(crate) target: &'a Target,
    /// What of its host is the target's.
    pub(crate) realm: Option<&'a Realm>,
    /// The host that the client asked for, if it named one.
    pub(crate) host: Option<&'a [u8]>,
    /// Path and query without the target's own.
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    /// What a gate changes.
    pub(crate) passage: &'a Passage,
}

/// Writes the request head for the backend.
pub(crate) fn write_request(
    out: &mut BytesMut,
    head: &RequestHead<'_, '_>,
    facts: &RequestFacts<'_>,
    hop: &Hop<'_>,
    rewrite: &Rewrite,
) {
    out.reserve(512);
    put(out, &[head.method.as_bytes(), b" "]);
    write_path(out, hop, rewrite);
    put(out, &[b" HTTP/1.1\r\nHost: "]);
    let own_host = if rewrite.change_origin { None } else { hop.host };
    put(out, &[own_host.unwrap_or(hop.target.host.as_bytes()), b"\r\n"]);
    let mut forwarded = Forwarded::new(Belief::of(hop.peer, rewrite.trusted_proxies.as_deref()));
    for header in head.fields {
        if is_replaced(header.name, hop.passage, rewrite)
            || (facts.nominates && is_nominated(head.fields, header.name))
            || forwarded.belief.drops(header.name)
        {
            continue;
        }
        match field::classify(header.name) {
            Name::ForwardedFor if rewrite.x_forward => forwarded.client.push(header.value),
            Name::ForwardedPort if rewrite.x_forward => forwarded.port.push(header.value),
            Name::ForwardedProto if rewrite.x_forward => forwarded.proto.push(header.value),
            Name::Cookie => put_cookies(out, header, hop.realm),
            name if passes_to_backend(name) => {
                forwarded.has_host |= name == Name::ForwardedHost;
                put_field(out, header);
            }
            _ => {}
        }
    }
    write_framing(out, facts);
    if rewrite.x_forward {
        forwarded.write(out, facts, hop);
    }
    let custom = rewrite.custom_headers.iter().map(|(name, value)| (name.as_str(), value));
    let passage = hop.passage.fields.iter().filter_map(|(name, value)| Some((*name, value.as_ref()?)));
    for (name, value) in custom.chain(passage) {
        put(out, &[name.as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
    }
    out.put_slice(b"\r\n");
}

/// The cookies that the target may see.
fn put_cookies(out: &mut BytesMut, header: &Header<'_>, realm: Option<&Realm>) {
    match realm.and_then(|realm| realm.visible(header.value)) {
        None => put_field(out, header),
        Some(visible) if visible.is_empty() => {}
        Some(visible) => put(out, &[b"Cookie: ", &visible, b"\r\n"]),
    }
}

fn is_replaced(name: &str, passage: &Passage, rewrite: &Rewrite) -> bool {
    rewrite.custom_headers.iter().any(|(custom, _)| custom.eq_ignore_ascii_case(name))
        || passage.fields.iter().any(|(field, _)| field.eq_ignore_ascii_case(name))
}

fn passes_to_backend(name: Name) -> bool {
    !matches!(
        name,
        Name::Host
            | Name::HopByHop
            | Name::Connection
            | Name::Upgrade
            | Name::ContentLength
            | Name::TransferEncoding
            | Name::Expect
    )
}

/// The fields that say how the request goes on: they are always ours, never the client's bytes.
fn write_framing(out: &mut BytesMut, facts: &RequestFacts<'_>) {
    match &facts.body {
        Body::Length(length) => write_length(out, *length),
        Body::Chunked(_) => out.put_slice(b"Transfer-Encoding: chunked\r\n"),
        Body::Empty | Body::UntilClose => {}
    }
    if facts.expects_continue {
        out.put_slice(b"Expect: 100-continue\r\n");
    }
    if facts.websocket {
        out.put_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
    }
}

/// Joins the target's path and query with the request's.
fn write_path(out: &mut BytesMut, hop: &Hop<'_>, rewrite: &Rewrite) {
    let (base, base_query) =
        if rewrite.prepend_path { (hop.target.path.as_str(), hop.target.query.as_str()) } else { ("/", "") };
    let path = hop.path.strip_prefix('/').filter(|_| base.ends_with('/')).unwrap_or(hop.path);
    let separator = if base.ends_with('/') || path.is_empty() || path.starts_with('/') { "" } else { "/" };
    put(out, &[base.as_bytes(), separator.as_bytes(), path.as_bytes()]);
    let query = hop.query.strip_prefix('?').unwrap_or(hop.query);
    match (base_query.is_empty(), query.is_empty()) {
        (true, true) => {}
        (false, false) => put(out, &[b"?", base_query.as_bytes(), b"&", query.as_bytes()]),
        _ => put(out, &[b"?", base_query.as_bytes(), query.as_bytes()]),
    }
}

/// Whether some `Connection` field names this one as meant for this hop, and may.
fn is_nominated(fields: &[Header<'_>], name: &str) -> bool {
    let by_connection = fields
        .iter()
        .filter(|header| field::classify(header.name) == Name::Connection)
        .flat_map(|header| field::list(header.value))
        .any(|option| option.eq_ignore_ascii_case(name.as_bytes()));
    by_connection && !field::is_protected(name)
}

/// How the client's connection goes on after a response.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientSide<'a> {
    pub(crate) is_http11: bool,
    pub(crate) keep_alive: bool,
    /// The host that the client asked for; `Location` may be rewritten to it.
    pub(crate) host: Option<&'a str>,
}

/// Where one response comes from and goes to.
pub(crate) struct Back<'a> {
    pub(crate) target: &'a Target,
    /// What of its host is the target's.
    pub(crate) realm: Option<&'a Realm>,
    /// What a gate changes.
    pub(crate) changes: &'a AnswerChanges,
    /// `Strict-Transport-Security`, in place of the target's own.
    pub(crate) hsts: Option<&'a str>,
    pub(crate) client: ClientSide<'a>,
}

/// Writes the response head for the client; `chunked` if the body is sent in the chunked coding.
pub(crate) fn write_response(
    out: &mut BytesMut,
    head: &ResponseHead<'_, '_>,
    facts: &ResponseFacts,
    chunked: bool,
    back: &Back<'_>,
    rewrite: &Rewrite,
) {
    let client = back.client;
    out.reserve(512);
    write_status(out, head.status, head.reason);
    for header in head.fields {
        match field::classify(header.name) {
            Name::HopByHop | Name::Connection | Name::Upgrade | Name::ContentLength | Name::TransferEncoding => {}
            Name::Location => match rewrite_location(header.value, head.status, client.host, back.target, rewrite) {
                Some(location) => put(out, &[b"Location: ", location.as_bytes(), b"\r\n"]),
                None => put_field(out, header),
            },
            _ if back.changes.drops(header) => {}
            _ if back.hsts.is_some() && header.name.eq_ignore_ascii_case("strict-transport-security") => {}
            _ => match back.realm.map_or(Ruling::Passes, |realm| realm.judge(header.name, header.value)) {
                Ruling::Passes => put_field(out, header),
                Ruling::Dropped => {}
                Ruling::Narrowed(value) => put(out, &[header.name.as_bytes(), b": ", &value, b"\r\n"]),
            },
        }
    }
    for (name, value) in &back.changes.fields {
        put(out, &[name.as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
    }
    write_hsts(out, back.hsts);
    if facts.websocket {
        out.put_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
    } else if chunked {
        out.put_slice(b"Transfer-Encoding: chunked\r\n");
    } else if let Some(length) = facts.length {
        write_length(out, length);
    }
    if head.status >= 200 {
        write_connection(out, client);
    }
    out.put_slice(b"\r\n");
}

fn write_connection(out: &mut BytesMut, client: ClientSide<'_>) {
    if !client.keep_alive {
        out.put_slice(b"Connection: close\r\n");
    } else if !client.is_http11 {
        out.put_slice(b"Connection: keep-alive\r\n");
    }
}

pub(crate) fn write_hsts(out: &mut BytesMut, hsts: Option<&str>) {
    if let Some(value) = hsts {
        put(out, &[b"Strict-Transport-Security: ", value.as_bytes(), b"\r\n"]);
    }
}

fn write_length(out: &mut BytesMut, length: u64) {
    write_text(out, format_args!("Content-Length: {length}\r\n"));
}

pub(crate) fn write_status(out: &mut BytesMut, status: u16, reason: &str) {
    write_text(out, format_args!("HTTP/1.1 {status} {reason}\r\n"));
}

pub(crate) fn write_text(out: &mut BytesMut, text: std::fmt::Arguments<'_>) {
    // Writing to a growing buffer cannot fail.
    let _ = out.write_fmt(text);
}

/// `Location` of a redirect to the target itself, changed as `--auto-rewrite` and `--protocol-rewrite` ask.
fn rewrite_location(
    location: &[u8],
    status: u16,
    host: Option<&str>,
    target: &Target,
    rewrite: &Rewrite,
) -> Option<String> {
    let is_wanted = rewrite.auto_rewrite || rewrite.protocol_rewrite.is_some();
    if !is_wanted || !matches!(status, 201 | 301 | 302 | 307 | 308) {
        return None;
    }
    let (scheme, rest) = std::str::from_utf8(location).ok()?.split_once("://")?;
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if !authority.eq_ignore_ascii_case(&target.host) {
        return None;
    }
    let scheme = rewrite.protocol_rewrite.as_deref().unwrap_or(scheme);
    let authority = host.filter(|_| rewrite.auto_rewrite).unwrap_or(authority);
    let tail = if tail.is_empty() { "/" } else { tail };
    Some(format!("{scheme}://{authority}{tail}"))
}

fn put(out: &mut BytesMut, parts: &[&[u8]]) {
    for part in parts {
        out.put_slice(part);
    }
}

fn put_field(out: &mut BytesMut, header: &Header<'_>) {
    put(out, &[header.name.as_bytes(), b": ", header.value, b"\r\n"]);
}

#[cfg(test)]
mod tests;
