//! What a response head says. A backend's doubtful answer is not passed on: it becomes 502.

use httparse::Header;

use super::body::Body;
use super::field::{self, Name};
use super::head::FieldSlots;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ResponseError(pub(crate) &'static str);

#[derive(Debug)]
pub(crate) struct ResponseHead<'h, 'b> {
    pub(crate) status: u16,
    pub(crate) reason: &'b str,
    pub(crate) fields: &'h [Header<'b>],
    is_http11: bool,
}

/// What the fields of a response mean together.
#[derive(Debug)]
pub(crate) struct ResponseFacts {
    pub(crate) body: Body,
    /// The length to announce: also that of a body which is not sent, as an answer to HEAD has it.
    pub(crate) length: Option<u64>,
    /// The connection may be used again after the body.
    pub(crate) keep_alive: bool,
    /// 101, and for the protocol that was asked for.
    pub(crate) websocket: bool,
}

pub(crate) fn parse<'h, 'b>(
    head: &'b [u8],
    slots: &'h mut FieldSlots<'b>,
) -> Result<ResponseHead<'h, 'b>, ResponseError> {
    let mut parsed = httparse::Response::new(&mut []);
    let status = httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut parsed, head, &mut slots.0)
        .map_err(|_| ResponseError("the head is malformed"))?;
    match (status, parsed.code, parsed.version) {
        (httparse::Status::Complete(length), Some(status), Some(version)) if length == head.len() => {
            if !(100..=599).contains(&status) {
                return Err(ResponseError("the status is out of range"));
            }
            Ok(ResponseHead {
                status,
                reason: parsed.reason.unwrap_or_default(),
                fields: parsed.headers,
                is_http11: version == 1,
            })
        }
        _ => Err(ResponseError("the head is malformed")),
    }
}

/// Decides how the body is framed (RFC 9112 section 6.3); `to_head` if the request was a HEAD.
pub(crate) fn examine(head: &ResponseHead<'_, '_>, to_head: bool) -> Result<ResponseFacts, ResponseError> {
    let (mut length, mut chunked, mut close, mut keep_alive, mut websocket) = (None, false, false, false, false);
    for header in head.fields {
        match field::classify(header.name) {
            Name::ContentLength => {
                let value =
                    field::content_length(header.value).ok_or(ResponseError("the Content-Length is malformed"))?;
                if length.replace(value).is_some_and(|earlier| earlier != value) {
                    return Err(ResponseError("the Content-Length fields differ"));
                }
            }
            Name::TransferEncoding if chunked || !header.value.eq_ignore_ascii_case(b"chunked") => {
                return Err(ResponseError("the transfer coding is not chunked"));
            }
            Name::TransferEncoding => chunked = true,
            Name::Connection => {
                close |= field::list(header.value).any(|option| option.eq_ignore_ascii_case(b"close"));
                keep_alive |= field::list(header.value).any(|option| option.eq_ignore_ascii_case(b"keep-alive"));
            }
            Name::Upgrade => websocket |= field::list(header.value).any(|p| p.eq_ignore_ascii_case(b"websocket")),
            _ => {}
        }
    }
    if chunked && length.is_some() {
        return Err(ResponseError("Content-Length and Transfer-Encoding are both given"));
    }
    if chunked && !head.is_http11 {
        return Err(ResponseError("HTTP/1.0 has no Transfer-Encoding"));
    }
    let has_no_body = to_head || head.status < 200 || matches!(head.status, 204 | 304);
    let body = match (has_no_body, chunked, length) {
        (true, ..) => Body::Empty,
        (_, true, _) => Body::chunked(),
        (_, _, Some(length)) => Body::Length(length),
        _ => Body::UntilClose,
    };
    Ok(ResponseFacts {
        keep_alive: !close && (head.is_http11 || keep_alive) && !matches!(body, Body::UntilClose),
        length: length.filter(|_| head.status >= 200 && head.status != 204),
        websocket: head.status == 101 && websocket,
        body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, to_head: bool) -> Result<(String, Option<u64>, bool), ResponseError> {
        let mut slots = FieldSlots::new();
        let head = parse(text.as_bytes(), &mut slots)?;
        let facts = examine(&head, to_head)?;
        Ok((format!("{:?}", facts.body), facts.length, facts.keep_alive))
    }

    #[test]
    fn bodies_are_framed_as_status_and_fields_say() {
        for (text, to_head, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false, ("Length(5)", Some(5), true)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true, ("Empty", Some(5), true)),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", false, ("Empty", Some(5), true)),
            ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", false, ("Empty", None, true)),
            ("HTTP/1.1 200 OK\r\n\r\n", false, ("UntilClose", None, false)),
            ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", false, ("Length(1)", Some(1), false)),
            (
                "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n",
                false,
                ("Length(1)", Some(1), true),
            ),
            ("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", false, ("Length(0)", Some(0), false)),
            ("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", false, ("Length(0)", Some(0), true)),
        ] {
            let (body, length, keep_alive) = expected;
            assert_eq!(check(text, to_head), Ok((body.to_owned(), length, keep_alive)), "{text:?}");
        }
    }

    #[test]
    fn doubtful_responses_are_refused() {
        for text in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX : a\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
            "HTTP/1.1 999 Odd\r\n\r\n",
            "HTTP/1.1 42 Odd\r\n\r\n",
            "HTTP/2 200 OK\r\n\r\n",
            "SSH-2.0-OpenSSH\r\n\r\n",
        ] {
            assert!(check(text, false).is_err(), "{text:?}");
        }
    }
}
