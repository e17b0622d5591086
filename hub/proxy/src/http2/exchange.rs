//! One stream: its request goes into the connection in memory, and what comes out of that goes back.

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Method, Request, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf};

use super::translate::{self, Framing};
use crate::http1::body::{Body, Piece};
use crate::http1::head::HeadScan;
use crate::plan::Entrance;
use crate::serve;
use crate::shared::Shared;
use crate::stream::Stream;

/// So much waits in memory in each direction.
const BUFFER: usize = 64 * 1024;
/// The room for a read.
const READ: usize = 16 * 1024;

/// Serves one stream until it is answered or reset.
pub(super) async fn serve(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    peer: Option<IpAddr>,
    shared: Arc<Shared>,
) {
    let (parts, body) = request.into_parts();
    let (head, framing) = match translate::request(&parts, body.is_end_stream()) {
        Ok(translated) => translated,
        Err(error) => {
            tracing::debug!(error, "request refused");
            shared.metrics.requests_proxy.count(400);
            return refuse(&mut respond);
        }
    };
    let (near, far) = tokio::io::duplex(BUFFER);
    let (reader, writer) = tokio::io::split(far);
    let serving = async {
        tokio::join!(
            serve::serve(Stream::Http2(near), peer, Entrance::Public, shared),
            upload(&head, framing, body, writer)
        );
        // What was answered is still to be read.
        std::future::pending::<()>().await;
    };
    let mut answer = Answer { reader, read: BytesMut::new(), to_head: parts.method == Method::HEAD };
    // In this order: by the time that an answer's end is read, its writer is through with it.
    let answered = tokio::select! {
        biased;
        () = serving => None,
        answered = answer.pass_on(&mut respond) => answered,
    };
    if answered.is_none() {
        respond.send_reset(Reason::INTERNAL_ERROR);
    }
}

/// Malformed in the sense of RFC 9113 section 8.1.1; a server may say so before it ends the stream.
fn refuse(respond: &mut SendResponse<Bytes>) {
    let mut response = Response::new(());
    *response.status_mut() = http::StatusCode::BAD_REQUEST;
    // A client that is gone has no use for it.
    let _ = respond.send_response(response, true);
}

/// Writes the request. Gives the writer back, since to close it would say that the client is gone.
async fn upload(
    head: &[u8],
    framing: Framing,
    mut body: RecvStream,
    mut writer: WriteHalf<DuplexStream>,
) -> WriteHalf<DuplexStream> {
    if writer.write_all(head).await.is_err() {
        return writer;
    }
    while let Some(data) = body.data().await {
        let written = match data {
            Ok(data) => write_data(&mut writer, framing, &data, &mut body).await.is_ok(),
            Err(_) => {
                // The client has reset the stream: whoever reads the request sees its end.
                let _ = writer.shutdown().await;
                false
            }
        };
        if !written {
            return writer;
        }
    }
    if framing == Framing::Chunked {
        // Whoever reads is told by the end of the answer what became of it.
        let _ = writer.write_all(b"0\r\n\r\n").await;
    }
    writer
}

/// Writes a piece of the body, and lets the client send as much again.
async fn write_data(
    writer: &mut WriteHalf<DuplexStream>,
    framing: Framing,
    data: &Bytes,
    body: &mut RecvStream,
) -> std::io::Result<()> {
    match framing {
        // An empty chunk would be the last.
        Framing::Chunked if !data.is_empty() => {
            writer.write_all(format!("{:x}\r\n", data.len()).as_bytes()).await?;
            writer.write_all(data).await?;
            writer.write_all(b"\r\n").await?;
        }
        Framing::Chunked => {}
        Framing::Plain => writer.write_all(data).await?,
    }
    // It fails only on a stream that has ended.
    let _ = body.flow_control().release_capacity(data.len());
    Ok(())
}

/// The answer as it comes out of the connection in memory.
struct Answer {
    reader: ReadHalf<DuplexStream>,
    read: BytesMut,
    to_head: bool,
}

impl Answer {
    /// Passes the answer on, interim ones first; `None` if it breaks off or the client has reset the stream.
    async fn pass_on(&mut self, respond: &mut SendResponse<Bytes>) -> Option<()> {
        loop {
            let length = self.head(respond).await?;
            let (response, body) = translate::response(&self.read[..length], self.to_head).ok()?;
            self.read.advance(length);
            if response.status().is_informational() {
                respond.send_informational(response).ok()?;
                continue;
            }
            let is_whole = matches!(body, Body::Empty | Body::Length(0));
            let stream = respond.send_response(response, is_whole).ok()?;
            return if is_whole { Some(()) } else { self.body(body, stream).await };
        }
    }

    async fn head(&mut self, respond: &mut SendResponse<Bytes>) -> Option<usize> {
        let mut scan = HeadScan::default();
        loop {
            match scan.find(&self.read) {
                Ok(Some(length)) => return Some(length),
                Ok(None) if self.fill(|cx| respond.poll_reset(cx)).await? > 0 => {}
                _ => return None,
            }
        }
    }

    async fn body(&mut self, mut body: Body, mut stream: SendStream<Bytes>) -> Option<()> {
        loop {
            match body.next(&mut self.read).ok()? {
                Piece::Data(size) => send(&mut stream, self.read.split_to(size).freeze()).await?,
                Piece::End => return stream.send_data(Bytes::new(), true).ok(),
                Piece::NeedMore => {
                    if self.fill(|cx| stream.poll_reset(cx)).await? == 0 {
                        body.close().ok()?;
                    }
                }
            }
        }
    }

    /// Reads more; 0 at the end, `None` if the client has reset the stream.
    async fn fill(
        &mut self,
        mut poll_reset: impl FnMut(&mut Context<'_>) -> Poll<Result<Reason, h2::Error>>,
    ) -> Option<usize> {
        self.read.reserve(READ);
        let mut filling = std::pin::pin!(self.reader.read_buf(&mut self.read));
        poll_fn(|cx| match poll_reset(cx) {
            Poll::Ready(_) => Poll::Ready(None),
            Poll::Pending => filling.as_mut().poll(cx).map(Result::ok),
        })
        .await
    }
}

/// Sends as the client takes it; `None` if it has reset the stream.
async fn send(stream: &mut SendStream<Bytes>, mut data: Bytes) -> Option<()> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        if stream.capacity() == 0 {
            poll_fn(|cx| match stream.poll_reset(cx) {
                Poll::Ready(_) => Poll::Ready(None),
                Poll::Pending => stream.poll_capacity(cx).map(|capacity| capacity.and_then(Result::ok)),
            })
            .await?;
        }
        let size = stream.capacity().min(data.len());
        if size > 0 {
            stream.send_data(data.split_to(size), false).ok()?;
        }
    }
    Some(())
}
