//! Moves one message from a connection to another: its head, then its body as it arrives.
//!
//! What was read is written before more is read, so a slow reader slows its writer down and memory stays bounded.
//! Small pieces are gathered behind the head into one write; large ones go out of the buffer that they were read into.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, BytesMut};

use crate::headers::write_text;
use crate::http1::body::{Body, BodyError, Piece};
use crate::stream::Conn;

/// Pieces up to this size are gathered.
const SMALL: usize = 4 * 1024;
/// So much is gathered at most.
const GATHER: usize = 16 * 1024;

#[derive(Debug, thiserror::Error)]
pub(crate) enum TransferError {
    #[error("failed to read: {0}")]
    Read(io::Error),
    #[error("failed to write: {0}")]
    Write(io::Error),
    #[error("malformed body: {0}")]
    Body(#[from] BodyError),
}

/// Which side a transfer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    Source,
    Sink,
}

#[derive(Debug)]
pub(crate) struct Transfer {
    body: Body,
    /// Write the body in the chunked coding.
    chunked: bool,
    /// Bytes to write first: head, chunk sizes, small pieces.
    gathered: BytesMut,
    /// Then so many bytes from the front of the source's buffer, and the end of their chunk.
    direct: usize,
    direct_end: &'static [u8],
    written: usize,
    body_read: u64,
    moved: u64,
    ended: bool,
    restartable: bool,
    waiting: Waiting,
}

impl Transfer {
    /// A message of `head` and `body`; the body is sent in the chunked coding if `chunked`.
    pub(crate) fn new(head: BytesMut, body: Body, chunked: bool) -> Self {
        Self {
            body,
            chunked,
            gathered: head,
            direct: 0,
            direct_end: b"",
            written: 0,
            body_read: 0,
            moved: 0,
            ended: false,
            restartable: true,
            waiting: Waiting::Source,
        }
    }

    /// One direction of a tunnel.
    pub(crate) fn tunnel() -> Self {
        Self::new(BytesMut::new(), Body::UntilClose, false)
    }

    /// Bytes of content taken from the source so far.
    pub(crate) fn body_read(&self) -> u64 {
        self.body_read
    }

    /// Bytes read and written so far: it changes whenever something happens.
    pub(crate) fn moved(&self) -> u64 {
        self.moved
    }

    /// Which side it waited for when it last could not go on.
    pub(crate) fn waiting(&self) -> Waiting {
        self.waiting
    }

    /// Begins again with another sink, if everything written so far is still here.
    pub(crate) fn restart(&mut self) -> bool {
        if self.restartable {
            self.written = 0;
        }
        self.restartable
    }

    /// Goes on until everything is written. After it was ready, it is ready at once.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Conn,
        sink: &mut Conn,
    ) -> Poll<Result<(), TransferError>> {
        loop {
            let starved = self.stage(&mut source.read)?;
            self.waiting = Waiting::Sink;
            ready!(self.poll_flush(cx, source, sink)).map_err(TransferError::Write)?;
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            if starved {
                self.waiting = Waiting::Source;
                let count = ready!(source.poll_fill(cx)).map_err(TransferError::Read)?;
                self.moved += count as u64;
                if count == 0 {
                    self.body.close()?;
                }
            }
        }
    }

    /// Takes what the source's buffer holds, until a large piece or enough small ones are ready to be written.
    /// True if it took all that could be used.
    fn stage(&mut self, read: &mut BytesMut) -> Result<bool, BodyError> {
        if self.written > 0 && self.staged() > 0 {
            return Ok(false);
        }
        while self.direct == 0 && !self.ended && self.staged() < GATHER {
            match self.body.next(read)? {
                Piece::NeedMore => return Ok(true),
                Piece::End => {
                    self.forget_written();
                    self.ended = true;
                    if self.chunked {
                        self.gathered.put_slice(b"0\r\n\r\n");
                    }
                }
                Piece::Data(size) => {
                    self.forget_written();
                    self.body_read += size as u64;
                    if self.chunked {
                        write_text(&mut self.gathered, format_args!("{size:x}\r\n"));
                    }
                    let end: &[u8] = if self.chunked { b"\r\n" } else { b"" };
                    if size <= SMALL {
                        self.gathered.put_slice(&read[..size]);
                        self.gathered.put_slice(end);
                        read.advance(size);
                    } else {
                        (self.direct, self.direct_end) = (size, end);
                    }
                }
            }
        }
        Ok(false)
    }

    /// Drops what is written, before more is gathered; until then it could be written again to another sink.
    fn forget_written(&mut self) {
        if self.written > 0 && self.staged() == 0 {
            self.gathered.clear();
            self.written = 0;
            self.restartable = false;
        }
    }

    fn staged(&self) -> usize {
        self.gathered.len() + self.direct + self.direct_end.len() - self.written
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>, source: &mut Conn, sink: &mut Conn) -> Poll<io::Result<()>> {
        while self.staged() > 0 {
            let mut parts = [&self.gathered[..], &source.read[..self.direct], self.direct_end];
            let mut skip = self.written;
            for part in &mut parts {
                let step = skip.min(part.len());
                (*part, skip) = (&part[step..], skip - step);
            }
            let [gathered, direct, end] = parts;
            let slices = [IoSlice::new(gathered), IoSlice::new(direct), IoSlice::new(end)];
            let first = slices.iter().position(|slice| !slice.is_empty()).unwrap_or(0);
            let last = slices.iter().rposition(|slice| !slice.is_empty()).unwrap_or(0);
            let count = ready!(sink.stream().poll_write(cx, &slices[first..=last]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
            self.moved += count as u64;
        }
        if self.direct > 0 {
            source.read.advance(self.direct);
            (self.direct, self.direct_end) = (0, b"");
            self.gathered.clear();
            self.written = 0;
            self.restartable = false;
        }
        sink.stream().poll_flush(cx)
    }
}
