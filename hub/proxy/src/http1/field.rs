//! The fields that a proxy must know by name, and how their values are read.

/// A field name that means something to the proxy; all others pass through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    Connection,
    ContentLength,
    Cookie,
    Expect,
    ForwardedFor,
    ForwardedHost,
    ForwardedPort,
    ForwardedProto,
    Host,
    Location,
    /// Meant for this hop only (RFC 9110 section 7.6.1), or for a proxy that asks for credentials.
    HopByHop,
    TransferEncoding,
    Upgrade,
    WebSocketKey,
    WebSocketVersion,
    Other,
}

/// Sorts a field name; the length decides first, so that most names cost one comparison at most.
pub(crate) fn classify(name: &str) -> Name {
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    match name.len() {
        2 if is("te") => Name::HopByHop,
        4 if is("host") => Name::Host,
        6 if is("expect") => Name::Expect,
        6 if is("cookie") => Name::Cookie,
        7 if is("upgrade") => Name::Upgrade,
        7 if is("trailer") => Name::HopByHop,
        8 if is("location") => Name::Location,
        10 if is("connection") => Name::Connection,
        10 if is("keep-alive") => Name::HopByHop,
        14 if is("content-length") => Name::ContentLength,
        14 if is("http2-settings") => Name::HopByHop,
        15 if is("x-forwarded-for") => Name::ForwardedFor,
        16 if is("x-forwarded-host") => Name::ForwardedHost,
        16 if is("x-forwarded-port") => Name::ForwardedPort,
        16 if is("proxy-connection") => Name::HopByHop,
        17 if is("x-forwarded-proto") => Name::ForwardedProto,
        17 if is("transfer-encoding") => Name::TransferEncoding,
        17 if is("sec-websocket-key") => Name::WebSocketKey,
        18 if is("proxy-authenticate") => Name::HopByHop,
        19 if is("proxy-authorization") => Name::HopByHop,
        21 if is("sec-websocket-version") => Name::WebSocketVersion,
        _ => Name::Other,
    }
}

/// The members of a comma-separated list, without the white space around them; empty members are left out.
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// The name of the first cookie of a `Set-Cookie` or `Cookie` value, as browsers read it (RFC 6265 section 5.2). One without
/// a name counts by its value, since it is sent back as if that began with the name.
pub(crate) fn cookie_name(value: &[u8]) -> &[u8] {
    let pair = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let pair = pair.strip_prefix(b"=").unwrap_or(pair).trim_ascii_start();
    pair.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii()
}

/// A `Content-Length` value: digits and nothing else, small enough for a signed 64-bit number.
pub(crate) fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(value.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

/// What a `Connection` field must not take away from a request: a client could otherwise hide who it is, or log
/// somebody out, by naming these as meant for one hop.
pub(crate) fn is_protected(name: &str) -> bool {
    const PROTECTED: [&str; 11] = [
        "authorization",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "forwarded",
        "host",
        "origin",
        "referer",
        "x-real-ip",
        "x-xsrftoken",
    ];
    let has_prefix = |prefix: &str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    PROTECTED.iter().any(|known| name.eq_ignore_ascii_case(known))
        || ["x-forwarded-", "sec-"].iter().any(|prefix| has_prefix(prefix))
}

/// Whether a proxy says by this field whom it forwards for. Programs that turn field names into variables read a `_` as
/// a `-`, so that is no other name.
pub(crate) fn is_forwarding(name: &str) -> bool {
    const PREFIX: &str = "x-forwarded-";
    let is = |name: &str, known: &str| {
        name.len() == known.len()
            && name.bytes().zip(known.bytes()).all(|(byte, known)| match byte {
                b'_' => known == b'-',
                _ => byte.eq_ignore_ascii_case(&known),
            })
    };
    matches!(name.as_bytes().first(), Some(b'x' | b'X' | b'f' | b'F'))
        && (["forwarded", "x-real-ip", "x-scheme"].iter().any(|known| is(name, known))
            || name.get(..PREFIX.len()).is_some_and(|start| is(start, PREFIX)))
}

/// Whether `host` is `name`, `name:port`, `[address]` or `[address]:port` in the characters that RFC 3986 allows.
pub(crate) fn is_valid_host(host: &[u8]) -> bool {
    let (name, port) = split_port(host);
    let name_ok = match name.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")) {
        Some(address) => {
            !address.is_empty() && address.iter().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'))
        }
        None => !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(b)),
    };
    name_ok && port.is_none_or(|port| port.len() <= 5 && port.iter().all(u8::is_ascii_digit))
}

/// A `Host` value as name and port; the brackets of an IPv6 address stay with the name.
pub(crate) fn split_port(host: &[u8]) -> (&[u8], Option<&[u8]>) {
    let name_end = memchr::memrchr(b']', host).map_or(0, |end| end + 1);
    match memchr::memchr(b':', &host[name_end..]) {
        Some(colon) => (&host[..name_end + colon], Some(&host[name_end + colon + 1..])),
        None => (host, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_lengths_are_digits_only() {
        for (value, expected) in [
            ("0", Some(0)),
            ("5", Some(5)),
            ("007", Some(7)),
            ("999999999999999999", Some(999_999_999_999_999_999)),
            ("", None),
            ("+5", None),
            ("-1", None),
            (" 5", None),
            ("0x5", None),
            ("5,5", None),
            ("5 ", None),
            ("18446744073709551616", None),
        ] {
            assert_eq!(content_length(value.as_bytes()), expected, "{value:?}");
        }
    }

    #[test]
    fn hosts_are_names_or_bracketed_addresses_with_a_port() {
        for (host, valid) in [
            ("a", true),
            ("a.example:8000", true),
            ("[::1]:8000", true),
            ("127.0.0.1", true),
            ("a_b.example", true),
            ("", false),
            (":80", false),
            ("a b", false),
            ("a/b", false),
            ("a@b", false),
            ("a:b", false),
            ("a:123456", false),
            ("[::1", false),
            ("[]", false),
            ("a\\b", false),
        ] {
            assert_eq!(is_valid_host(host.as_bytes()), valid, "{host:?}");
        }
    }

    #[test]
    fn credentials_and_forwarding_fields_cannot_be_nominated_away() {
        for name in ["Authorization", "COOKIE", "X-Forwarded-For", "x-forwarded-anything", "Sec-Fetch-Site"] {
            assert!(is_protected(name), "{name}");
        }
        assert!(!is_protected("X-Custom"));
    }
}
