//! Heads of HTTP/2 as HTTP/1.1 writes them, and the other way. Pure.
//!
//! What HTTP/1.1 would read as something else is refused (RFC 9113 section 8.2 and 8.3, RFC 9110 section 7.6.1); all
//! other judgement is left to the parser that reads what is written here.

use bytes::{BufMut as _, BytesMut};
use h2::ext::Protocol;
use http::header::{CONTENT_LENGTH, COOKIE, HOST, HeaderName, HeaderValue, TE};
use http::request::Parts;
use http::{Method, Response};

use crate::headers::write_text;
use crate::http1::body::Body;
use crate::http1::field::{self, Name};
use crate::http1::head::FieldSlots;
use crate::http1::response::{self, ResponseError};

/// How the request's body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// As it comes: there is none, or its length is said.
    Plain,
    Chunked,
}

/// A request's head; `is_whole` if no body follows.
pub(super) fn request(parts: &Parts, is_whole: bool) -> Result<(BytesMut, Framing), &'static str> {
    if parts.extensions.get::<Protocol>().is_some() {
        return Err("other protocols are not offered");
    }
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let host = host(parts)?;
    let mut out = BytesMut::with_capacity(512);
    write_text(&mut out, format_args!("{} {path} HTTP/1.1\r\nHost: ", parts.method));
    out.put_slice(host);
    out.put_slice(b"\r\n");
    for (name, value) in &parts.headers {
        match field::classify(name.as_str()) {
            Name::Host => {}
            Name::Connection | Name::TransferEncoding | Name::Upgrade => {
                return Err("a field of the connection has no place in HTTP/2");
            }
            Name::HopByHop if name == TE && value.as_bytes().eq_ignore_ascii_case(b"trailers") => {}
            Name::HopByHop if name == TE || name == "keep-alive" || name == "proxy-connection" => {
                return Err("a field of the connection has no place in HTTP/2");
            }
            Name::Cookie => {}
            _ => put_field(&mut out, name, value.as_bytes()),
        }
    }
    // A client may send each cookie as a field of its own; HTTP/1.1 knows one field only (RFC 9113 section 8.2.3).
    let cookies: Vec<_> = parts.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if !cookies.is_empty() {
        put_field(&mut out, &COOKIE, &cookies.join(&b"; "[..]));
    }
    let framing = match (parts.headers.contains_key(CONTENT_LENGTH), is_whole) {
        (false, false) => {
            out.put_slice(b"Transfer-Encoding: chunked\r\n");
            Framing::Chunked
        }
        (false, true) if matches!(parts.method, Method::POST | Method::PUT | Method::PATCH) => {
            out.put_slice(b"Content-Length: 0\r\n");
            Framing::Plain
        }
        _ => Framing::Plain,
    };
    out.put_slice(b"\r\n");
    Ok((out, framing))
}

/// The host asked for: `:authority`, or `Host`, or both if they are the same (RFC 9113 section 8.3.1).
fn host(parts: &Parts) -> Result<&[u8], &'static str> {
    let mut fields = parts.headers.get_all(HOST).iter().map(HeaderValue::as_bytes);
    let (field, second) = (fields.next(), fields.next());
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    match (authority, field, second) {
        (Some(authority), Some(field), None) if !authority.eq_ignore_ascii_case(field) => {
            Err("the Host field and :authority differ")
        }
        (Some(authority), _, None) => Ok(authority),
        (None, Some(field), None) => Ok(field),
        (None, None, None) => Err("the host is missing"),
        (_, _, Some(_)) => Err("the Host field is given more than once"),
    }
}

fn put_field(out: &mut BytesMut, name: &HeaderName, value: &[u8]) {
    out.put_slice(name.as_str().as_bytes());
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

/// A response's head, and how its body comes.
pub(super) fn response(head: &[u8], to_head: bool) -> Result<(Response<()>, Body), ResponseError> {
    let mut slots = FieldSlots::new();
    let head = response::parse(head, &mut slots)?;
    let facts = response::examine(&head, to_head)?;
    let mut response = Response::builder().status(head.status);
    for header in head.fields {
        let is_kept = !matches!(
            field::classify(header.name),
            Name::HopByHop | Name::Connection | Name::Upgrade | Name::TransferEncoding
        );
        if is_kept {
            response = response.header(header.name, header.value);
        }
    }
    let response = response.body(()).map_err(|_| ResponseError("a field can't be written in HTTP/2"))?;
    Ok((response, facts.body))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(request: http::request::Builder, is_whole: bool) -> Result<String, &'static str> {
        let (parts, ()) = request.body(()).unwrap().into_parts();
        super::request(&parts, is_whole).map(|(head, _)| String::from_utf8(head.to_vec()).unwrap())
    }

    fn get() -> http::request::Builder {
        Request::get("https://hub.example.org/a?b=c")
    }

    #[test]
    fn a_request_is_written_as_http_1() {
        let start = "GET /a?b=c HTTP/1.1\r\nHost: hub.example.org\r\n";
        assert_eq!(head(get(), true).unwrap(), format!("{start}\r\n"));
        let cookies = get().header("cookie", "a=1").header("accept", "*/*").header("cookie", "b=2");
        assert_eq!(head(cookies, true).unwrap(), format!("{start}accept: */*\r\ncookie: a=1; b=2\r\n\r\n"));
        assert_eq!(head(get().header("te", "trailers"), true).unwrap(), format!("{start}\r\n"));
        assert_eq!(head(get().header("host", "HUB.example.org"), true).unwrap(), format!("{start}\r\n"));
        assert_eq!(head(get(), false).unwrap(), format!("{start}Transfer-Encoding: chunked\r\n\r\n"));
        assert_eq!(
            head(get().header("content-length", "5"), false).unwrap(),
            format!("{start}content-length: 5\r\n\r\n")
        );
        assert!(head(get().method("POST"), true).unwrap().ends_with("Content-Length: 0\r\n\r\n"));
    }

    /// Row 18 of the attacks.
    #[test]
    fn what_http_1_would_read_as_something_else_is_refused() {
        for (name, value) in [
            ("host", "other.example.org"),
            ("connection", "close"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("te", "gzip"),
        ] {
            assert!(head(get().header(name, value), true).is_err(), "{name}");
        }
        assert!(head(Request::get("/a"), true).is_err(), "no host at all");
        assert!(head(Request::get("/a").header("host", "a").header("host", "a"), true).is_err());
        assert!(head(get().extension(Protocol::from_static("websocket")), true).is_err());
        assert!(Request::get("https://a/b\r\nc").body(()).is_err(), "a path with a line end has no form at all");
    }

    #[test]
    fn a_response_loses_what_is_of_the_connection_only() {
        let text =
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n";
        let (response, body) = response(text, false).unwrap();
        assert_eq!((response.status().as_u16(), response.headers().len()), (200, 3));
        assert!(matches!(body, Body::Length(5)));
    }
}
