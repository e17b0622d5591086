//! What a request head says: framing, connection, host, upgrade. Everything doubtful is refused here, once.

use httparse::Header;

use super::body::Body;
use super::field::{self, Name};
use super::head::{FieldSlots, HeadError, MAX_TARGET};

/// Why a request is not forwarded; each has the status that it is answered with before the connection closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("{0}")]
    Malformed(&'static str),
    #[error("the method is not supported by this proxy")]
    Method,
    #[error("the request target is too long")]
    TargetTooLong,
    #[error("the expectation is not known")]
    Expectation,
    #[error("the WebSocket version must be 13")]
    WebSocketVersion,
    #[error("the head is too large")]
    HeadTooLarge,
    #[error("the only transfer coding supported is chunked")]
    TransferCoding,
    #[error("the HTTP version is not supported")]
    Version,
}

impl RequestError {
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::Method => 405,
            Self::TargetTooLong => 414,
            Self::Expectation => 417,
            Self::WebSocketVersion => 426,
            Self::HeadTooLarge => 431,
            Self::TransferCoding => 501,
            Self::Version => 505,
        }
    }
}

impl From<HeadError> for RequestError {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::BareLineFeed => Self::Malformed("a line ends without a carriage return"),
            HeadError::LineTooLong => Self::TargetTooLong,
            HeadError::TooLarge => Self::HeadTooLarge,
        }
    }
}

/// A parsed request head; it borrows the bytes that were read.
#[derive(Debug)]
pub(crate) struct RequestHead<'h, 'b> {
    pub(crate) method: &'b str,
    pub(crate) target: &'b str,
    pub(crate) is_http11: bool,
    pub(crate) fields: &'h [Header<'b>],
}

/// What the fields of a request mean together.
#[derive(Debug)]
pub(crate) struct RequestFacts<'b> {
    pub(crate) body: Body,
    pub(crate) keep_alive: bool,
    /// The `Host` field; `None` only in HTTP/1.0.
    pub(crate) host: Option<&'b [u8]>,
    /// The client waits for `100 Continue` before it sends the body.
    pub(crate) expects_continue: bool,
    /// A valid request to become a WebSocket. Any other protocol is not offered to the backend (h2c above all).
    pub(crate) websocket: bool,
    /// `Connection` names fields beyond the usual ones, which are meant for this hop.
    pub(crate) nominates: bool,
}

/// Parses a complete head, as [`super::head::HeadScan`] found it.
pub(crate) fn parse<'h, 'b>(
    head: &'b [u8],
    slots: &'h mut FieldSlots<'b>,
) -> Result<RequestHead<'h, 'b>, RequestError> {
    let mut parsed = httparse::Request::new(&mut []);
    let status = parsed.parse_with_uninit_headers(head, &mut slots.0).map_err(|error| match error {
        httparse::Error::TooManyHeaders => RequestError::HeadTooLarge,
        httparse::Error::Version => RequestError::Version,
        httparse::Error::HeaderName => RequestError::Malformed("a field name is malformed"),
        httparse::Error::HeaderValue => RequestError::Malformed("a field value is malformed"),
        _ => RequestError::Malformed("the request line is malformed"),
    })?;
    match (status, parsed.method, parsed.path, parsed.version) {
        (httparse::Status::Complete(length), Some(method), Some(target), Some(version)) if length == head.len() => {
            if target.len() > MAX_TARGET {
                return Err(RequestError::TargetTooLong);
            }
            Ok(RequestHead { method, target, is_http11: version == 1, fields: parsed.headers })
        }
        _ => Err(RequestError::Malformed("the head is malformed")),
    }
}

/// Reads the fields that decide how the request is framed and where it goes.
pub(crate) fn examine<'b>(head: &RequestHead<'_, 'b>) -> Result<RequestFacts<'b>, RequestError> {
    let mut fields = Fields::default();
    for header in head.fields {
        fields.read(header)?;
    }
    if head.method == "CONNECT" {
        return Err(RequestError::Method);
    }
    if head.is_http11 && fields.host.is_none() {
        return Err(RequestError::Malformed("the Host field is missing"));
    }
    let body = fields.body(head.is_http11)?;
    let websocket = fields.is_websocket(head, &body)?;
    Ok(RequestFacts {
        keep_alive: !fields.close && (head.is_http11 || fields.keep_alive),
        host: fields.host,
        expects_continue: fields.expects_continue && head.is_http11,
        nominates: fields.nominates,
        websocket,
        body,
    })
}

/// The fields seen so far.
#[derive(Default)]
struct Fields<'b> {
    host: Option<&'b [u8]>,
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    nominates: bool,
    expects_continue: bool,
    connection_upgrade: bool,
    upgrade_websocket: bool,
    websocket_key: Option<&'b [u8]>,
    websocket_version: Option<&'b [u8]>,
}

impl<'b> Fields<'b> {
    fn read(&mut self, header: &Header<'b>) -> Result<(), RequestError> {
        let value = header.value;
        match field::classify(header.name) {
            Name::Host => {
                if self.host.replace(value).is_some() {
                    return Err(RequestError::Malformed("the Host field is given more than once"));
                }
                if !field::is_valid_host(value) {
                    return Err(RequestError::Malformed("the Host field is malformed"));
                }
            }
            Name::ContentLength => {
                let length =
                    field::content_length(value).ok_or(RequestError::Malformed("the Content-Length is malformed"))?;
                if self.length.replace(length).is_some_and(|earlier| earlier != length) {
                    return Err(RequestError::Malformed("the Content-Length fields differ"));
                }
            }
            Name::TransferEncoding => {
                if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(RequestError::TransferCoding);
                }
                self.chunked = true;
            }
            Name::Connection => self.read_connection(value),
            Name::Expect if value.eq_ignore_ascii_case(b"100-continue") => self.expects_continue = true,
            Name::Expect => return Err(RequestError::Expectation),
            Name::Upgrade => {
                self.upgrade_websocket |= field::list(value).any(|p| p.eq_ignore_ascii_case(b"websocket"));
            }
            Name::WebSocketKey if self.websocket_key.replace(value).is_some() => {
                return Err(RequestError::Malformed("the Sec-WebSocket-Key is given more than once"));
            }
            Name::WebSocketVersion => self.websocket_version = Some(value),
            _ => {}
        }
        Ok(())
    }

    fn read_connection(&mut self, value: &[u8]) {
        for option in field::list(value) {
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.connection_upgrade = true;
            } else {
                self.nominates = true;
            }
        }
    }

    fn body(&self, is_http11: bool) -> Result<Body, RequestError> {
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(RequestError::Malformed("Content-Length and Transfer-Encoding are both given")),
            (true, None) if !is_http11 => Err(RequestError::Malformed("HTTP/1.0 has no Transfer-Encoding")),
            (true, None) => Ok(Body::chunked()),
            (false, Some(length)) => Ok(Body::Length(length)),
            (false, None) => Ok(Body::Empty),
        }
    }

    fn is_websocket(&self, head: &RequestHead<'_, '_>, body: &Body) -> Result<bool, RequestError> {
        if !(self.connection_upgrade && self.upgrade_websocket && head.is_http11) {
            return Ok(false);
        }
        if head.method != "GET" || !body.is_empty() {
            return Err(RequestError::Malformed("a WebSocket begins with a GET without a body"));
        }
        if self.websocket_version != Some(b"13") {
            return Err(RequestError::WebSocketVersion);
        }
        if !self.websocket_key.is_some_and(is_websocket_key) {
            return Err(RequestError::Malformed("the Sec-WebSocket-Key is malformed"));
        }
        Ok(true)
    }
}

/// Base64 of 16 bytes.
fn is_websocket_key(key: &[u8]) -> bool {
    key.len() == 24
        && key.ends_with(b"==")
        && key[..22].iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<(bool, bool, String), u16> {
        let mut slots = FieldSlots::new();
        let head = parse(text.as_bytes(), &mut slots).map_err(RequestError::status)?;
        let facts = examine(&head).map_err(RequestError::status)?;
        Ok((facts.keep_alive, facts.websocket, format!("{:?}", facts.body)))
    }

    #[test]
    fn doubtful_requests_get_their_status() {
        let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let many = "a: b\r\n".repeat(200);
        for (lines, status) in [
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5,5\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n", 501),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n", 501),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 501),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n", 400),
            ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n", 400),
            ("GET / HTTP/1.1\r\n Host: a\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n", 400),
            ("GET / HTTP/1.1\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a b\r\n", 400),
            ("GET / HTTP/1.1\r\nHost:\r\n", 400),
            ("GET / HTTP/1.32\r\nHost: a\r\n", 505),
            ("GET / HTTP/2.0\r\nHost: a\r\n", 505),
            ("PRI * HTTP/2.0\r\n", 505),
            ("GET /\r\n", 400),
            ("G@T / HTTP/1.1\r\nHost: a\r\n", 400),
            ("GET  / HTTP/1.1\r\nHost: a\r\n", 400),
            ("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n", 405),
            ("GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n", 417),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
                400,
            ),
        ] {
            assert_eq!(check(&format!("{lines}\r\n")), Err(status), "{lines:?}");
        }
        assert_eq!(check(&format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n")), Err(431));
        let upgrade = "Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
        assert_eq!(check(&format!("GET / HTTP/1.1\r\n{upgrade}{key}Sec-WebSocket-Version: 8\r\n\r\n")), Err(426));
        assert_eq!(check(&format!("POST / HTTP/1.1\r\n{upgrade}{key}Sec-WebSocket-Version: 13\r\n\r\n")), Err(400));
        let target = "a".repeat(MAX_TARGET);
        assert_eq!(check(&format!("GET /{target} HTTP/1.1\r\nHost: a\r\n\r\n")), Err(414));
    }

    #[test]
    fn good_requests_say_how_they_are_framed() {
        let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
        for (lines, expected) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n".to_owned(), (true, false, "Empty")),
            ("GET / HTTP/1.0\r\n".to_owned(), (false, false, "Empty")),
            ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n".to_owned(), (true, false, "Empty")),
            ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n".to_owned(), (false, false, "Empty")),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n".to_owned(), (true, false, "Length(5)")),
            (format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n{key}"), (true, true, "Empty")),
            ("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n".to_owned(), (true, false, "Empty")),
        ] {
            let (keep_alive, websocket, body) = expected;
            assert_eq!(check(&format!("{lines}\r\n")), Ok((keep_alive, websocket, body.to_owned())), "{lines:?}");
        }
    }
}
