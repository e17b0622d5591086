//! Finds the end of a message head and holds it to its limits, reading each byte once however slowly it arrives.

use std::mem::MaybeUninit;

use httparse::Header;

/// The longest head, request line and all fields.
pub(crate) const MAX_HEAD: usize = 32 * 1024;
/// The longest request target.
pub(crate) const MAX_TARGET: usize = 16 * 1024;
/// The most fields in a head.
pub(crate) const MAX_FIELDS: usize = 128;

/// Room for the fields of one head, on the stack and not initialised.
pub(crate) struct FieldSlots<'b>(pub(crate) [MaybeUninit<Header<'b>>; MAX_FIELDS]);

impl FieldSlots<'_> {
    pub(crate) fn new() -> Self {
        Self([const { MaybeUninit::uninit() }; MAX_FIELDS])
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeadError {
    #[error("a line ends without a carriage return")]
    BareLineFeed,
    #[error("the request line is too long")]
    LineTooLong,
    #[error("the head is too large")]
    TooLarge,
}

/// Where the search for the end of a head has got to.
#[derive(Debug, Default)]
pub(crate) struct HeadScan {
    seen: usize,
    lines: usize,
}

impl HeadScan {
    /// The length of the head at the front of `buf`, its empty line included, or `None` while it is incomplete.
    ///
    /// `buf` must begin with the same bytes as at the previous call until a length is returned.
    pub(crate) fn find(&mut self, buf: &[u8]) -> Result<Option<usize>, HeadError> {
        let fresh = buf.get(self.seen..).unwrap_or_default();
        for at in memchr::memchr_iter(b'\n', fresh).map(|offset| self.seen + offset) {
            if at == 0 || buf[at - 1] != b'\r' {
                return Err(HeadError::BareLineFeed);
            }
            if self.lines == 0 && at > MAX_TARGET + 64 {
                return Err(HeadError::LineTooLong);
            }
            self.lines += 1;
            if at == 1 || buf[at - 2] == b'\n' {
                *self = Self::default();
                return if at < MAX_HEAD { Ok(Some(at + 1)) } else { Err(HeadError::TooLarge) };
            }
        }
        self.seen = buf.len();
        match (self.lines, buf.len()) {
            (0, len) if len > MAX_TARGET + 64 => Err(HeadError::LineTooLong),
            (_, len) if len > MAX_HEAD => Err(HeadError::TooLarge),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The end must be found wherever the reads happen to cut the head.
    #[test]
    fn the_end_is_found_at_every_split() {
        let message = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nbody";
        for cut in 0..message.len() {
            let mut scan = HeadScan::default();
            let early = scan.find(&message[..cut]).unwrap();
            let end = early.or_else(|| scan.find(message).unwrap());
            assert_eq!(end, Some(message.len() - 4), "cut at {cut}");
        }
    }

    #[test]
    fn bare_line_feeds_and_long_heads_are_refused() {
        let long_line = vec![b'a'; MAX_TARGET + 65];
        let mut long_head = b"GET / HTTP/1.1\r\n".to_vec();
        long_head.resize(MAX_HEAD + 1, b'a');
        let cases: [(&[u8], HeadError); 5] = [
            (b"GET / HTTP/1.1\nHost: a\r\n\r\n", HeadError::BareLineFeed),
            (b"\n", HeadError::BareLineFeed),
            (b"GET / HTTP/1.1\r\nHost: a\n\r\n", HeadError::BareLineFeed),
            (&long_line, HeadError::LineTooLong),
            (&long_head, HeadError::TooLarge),
        ];
        for (input, error) in cases {
            assert_eq!(HeadScan::default().find(input), Err(error));
        }
    }
}
