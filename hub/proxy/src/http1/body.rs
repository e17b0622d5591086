//! Message bodies: how long they are, and a strict decoder of the chunked coding (RFC 9112 section 7.1).

use bytes::{Buf, BytesMut};

/// The longest chunk-size line, extensions included.
const MAX_SIZE_LINE: usize = 1024;
/// The most bytes of chunk extensions in one body: they carry nothing, so nobody needs many.
const MAX_EXTENSIONS: usize = 16 * 1024;
/// The most bytes of trailer fields.
const MAX_TRAILERS: usize = 8 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("a chunk size is malformed")]
    ChunkSize,
    #[error("a chunk does not end where its size says")]
    ChunkEnd,
    #[error("chunk extensions are malformed or too long")]
    Extension,
    #[error("trailer fields are malformed or too long")]
    Trailer,
    #[error("the body ended early")]
    Truncated,
}

/// What stands at the front of the buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// This many bytes of content, which the caller takes from the buffer before it asks again.
    Data(usize),
    NeedMore,
    End,
}

/// A body that is being read.
#[derive(Debug)]
pub(crate) enum Body {
    Empty,
    /// So many bytes are still to come.
    Length(u64),
    Chunked(Chunked),
    /// Everything until the sender closes: a response without a length, or a tunnel.
    UntilClose,
}

impl Body {
    pub(crate) fn chunked() -> Self {
        Self::Chunked(Chunked::default())
    }

    /// Looks at the front of `buf`; takes framing from it, but no content.
    pub(crate) fn next(&mut self, buf: &mut BytesMut) -> Result<Piece, BodyError> {
        match self {
            Self::Empty | Self::Length(0) => Ok(Piece::End),
            Self::Length(left) => Ok(take_some(left, buf.len())),
            Self::Chunked(chunked) => chunked.next(buf),
            Self::UntilClose if buf.is_empty() => Ok(Piece::NeedMore),
            Self::UntilClose => Ok(Piece::Data(buf.len())),
        }
    }

    /// What the sender's closing means: the end of the body, or that some of it is missing.
    pub(crate) fn close(&mut self) -> Result<(), BodyError> {
        match self {
            Self::UntilClose => {
                *self = Self::Empty;
                Ok(())
            }
            _ => Err(BodyError::Truncated),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty | Self::Length(0))
    }
}

fn take_some(left: &mut u64, available: usize) -> Piece {
    let size = usize::try_from(*left).unwrap_or(usize::MAX).min(available);
    *left -= size as u64;
    if size == 0 { Piece::NeedMore } else { Piece::Data(size) }
}

/// The state of a chunked body.
#[derive(Debug, Default)]
pub(crate) struct Chunked {
    state: ChunkState,
    extensions: usize,
    trailers: usize,
}

#[derive(Debug, Default)]
enum ChunkState {
    #[default]
    Size,
    Data(u64),
    DataEnd,
    Trailers,
    End,
}

impl Chunked {
    fn next(&mut self, buf: &mut BytesMut) -> Result<Piece, BodyError> {
        loop {
            match &mut self.state {
                ChunkState::Size => {
                    let Some(line) = line_length(buf, MAX_SIZE_LINE, BodyError::ChunkSize)? else {
                        return Ok(Piece::NeedMore);
                    };
                    let (size, extension) = chunk_size(&buf[..line])?;
                    self.extensions += extension;
                    if self.extensions > MAX_EXTENSIONS {
                        return Err(BodyError::Extension);
                    }
                    buf.advance(line + 2);
                    self.state = if size == 0 { ChunkState::Trailers } else { ChunkState::Data(size) };
                }
                ChunkState::Data(0) => self.state = ChunkState::DataEnd,
                ChunkState::Data(left) => return Ok(take_some(left, buf.len())),
                ChunkState::DataEnd => match buf.len() {
                    0 => return Ok(Piece::NeedMore),
                    1 if buf[0] == b'\r' => return Ok(Piece::NeedMore),
                    _ if buf.starts_with(b"\r\n") => {
                        buf.advance(2);
                        self.state = ChunkState::Size;
                    }
                    _ => return Err(BodyError::ChunkEnd),
                },
                ChunkState::Trailers => {
                    let limit = MAX_TRAILERS - self.trailers;
                    let Some(line) = line_length(buf, limit, BodyError::Trailer)? else {
                        return Ok(Piece::NeedMore);
                    };
                    if line == 0 {
                        self.state = ChunkState::End;
                    } else if !is_field_line(&buf[..line]) {
                        return Err(BodyError::Trailer);
                    }
                    self.trailers = (self.trailers + line + 2).min(MAX_TRAILERS);
                    buf.advance(line + 2);
                }
                ChunkState::End => return Ok(Piece::End),
            }
        }
    }
}

/// The length of the line at the front of `buf` without its CRLF; `None` while it is incomplete.
fn line_length(buf: &[u8], limit: usize, error: BodyError) -> Result<Option<usize>, BodyError> {
    let window = &buf[..buf.len().min(limit + 2)];
    match memchr::memchr(b'\n', window) {
        Some(end) if end > 0 && window[end - 1] == b'\r' => Ok(Some(end - 1)),
        Some(_) => Err(error),
        None if buf.len() >= limit + 2 => Err(error),
        None => Ok(None),
    }
}

/// Size and length of the extensions of a chunk-size line: 1 to 16 hexadecimal digits, then nothing or `;...`.
fn chunk_size(line: &[u8]) -> Result<(u64, usize), BodyError> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if digits == 0 || digits > 16 {
        return Err(BodyError::ChunkSize);
    }
    let size = std::str::from_utf8(&line[..digits])
        .ok()
        .and_then(|hex| u64::from_str_radix(hex, 16).ok())
        .filter(|size| *size <= i64::MAX as u64)
        .ok_or(BodyError::ChunkSize)?;
    match &line[digits..] {
        [] => Ok((size, 0)),
        [b';', rest @ ..] if rest.iter().all(|byte| is_text(*byte)) => Ok((size, rest.len())),
        [b';', ..] => Err(BodyError::Extension),
        _ => Err(BodyError::ChunkSize),
    }
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

fn is_field_line(line: &[u8]) -> bool {
    let name_end = memchr::memchr(b':', line).unwrap_or(0);
    name_end > 0
        && line[..name_end].iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
        && line[name_end..].iter().all(|byte| is_text(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(wire: &[u8], step: usize) -> Result<(Vec<u8>, usize), BodyError> {
        let (mut body, mut buf, mut out, mut fed) = (Body::chunked(), BytesMut::new(), Vec::new(), 0);
        loop {
            match body.next(&mut buf)? {
                Piece::Data(size) => out.extend_from_slice(&buf.split_to(size)),
                Piece::End => return Ok((out, wire.len() - fed + buf.len())),
                Piece::NeedMore if fed == wire.len() => {
                    body.close()?;
                    unreachable!("a chunked body cannot end by closing")
                }
                Piece::NeedMore => {
                    let next = (fed + step).min(wire.len());
                    buf.extend_from_slice(&wire[fed..next]);
                    fed = next;
                }
            }
        }
    }

    #[test]
    fn chunked_bodies_decode_at_every_step_and_leave_what_follows() {
        let wire = b"5\r\nhello\r\n6;name=value\r\n world\r\n0\r\nX-Checksum: 1\r\n\r\nGET /";
        for step in 1..wire.len() {
            assert_eq!(decode(wire, step), Ok((b"hello world".to_vec(), 5)), "step {step}");
        }
    }

    #[test]
    fn doubtful_chunks_are_refused() {
        let long_extension = [b"1;".as_slice(), &[b'a'; 1 << 20], b"\r\nx\r\n0\r\n\r\n"].concat();
        let many_extensions =
            [[b"1;".as_slice(), &[b'a'; 1000], b"\r\nx\r\n"].concat().repeat(17), b"0\r\n\r\n".to_vec()];
        let long_trailers = [b"0\r\n".as_slice(), &b"a: b\r\n".repeat(2000), b"\r\n"].concat();
        let cases: Vec<(&[u8], BodyError)> = vec![
            (b"0x1\r\na\r\n0\r\n\r\n", BodyError::ChunkSize),
            (b"1_0\r\n", BodyError::ChunkSize),
            (b"+1\r\na\r\n", BodyError::ChunkSize),
            (b"-1\r\na\r\n", BodyError::ChunkSize),
            (b"\r\n", BodyError::ChunkSize),
            (b" 1\r\na\r\n", BodyError::ChunkSize),
            (b"1 \r\na\r\n", BodyError::ChunkSize),
            (b"1 ;a\r\na\r\n", BodyError::ChunkSize),
            (b"00000000000000001\r\na\r\n", BodyError::ChunkSize),
            (b"ffffffffffffffff\r\n", BodyError::ChunkSize),
            (b"1\na\r\n0\r\n\r\n", BodyError::ChunkSize),
            (b"1;a\x00b\r\na\r\n", BodyError::Extension),
            (b"1;a\rb\r\na\r\n", BodyError::Extension),
            (&long_extension, BodyError::ChunkSize),
            (b"1\r\nab\r\n", BodyError::ChunkEnd),
            (b"1\r\na\n0\r\n\r\n", BodyError::ChunkEnd),
            (b"0\r\nno colon\r\n\r\n", BodyError::Trailer),
            (b"0\r\na: b\n\r\n", BodyError::Trailer),
            (b"0\r\n a: b\r\n\r\n", BodyError::Trailer),
            (&long_trailers, BodyError::Trailer),
            (b"5\r\nhel", BodyError::Truncated),
            (b"0\r\n", BodyError::Truncated),
        ];
        for (wire, error) in cases {
            let shown = String::from_utf8_lossy(&wire[..wire.len().min(40)]).into_owned();
            assert_eq!(decode(wire, 4096), Err(error), "{shown:?}");
        }
        assert_eq!(decode(&many_extensions.concat(), 4096), Err(BodyError::Extension));
    }

    #[test]
    fn bodies_with_a_length_end_there() {
        let mut body = Body::Length(3);
        let mut buf = BytesMut::from(&b"abcdef"[..]);
        assert_eq!(body.next(&mut buf), Ok(Piece::Data(3)));
        assert_eq!(body.next(&mut buf), Ok(Piece::End));
        assert_eq!(Body::Length(3).close(), Err(BodyError::Truncated));
        assert_eq!(Body::UntilClose.close(), Ok(()));
    }
}
