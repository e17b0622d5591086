//! A server to be guarded or proxied that costs next to nothing: it reads no more of a request than it must.
//!
//! By the end of a path it answers `/bytes/N` with a body of N bytes, `/broken` with half an answer and a reset, and a
//! WebSocket's handshake with a tunnel that sends back every byte. All else gets the same few bytes.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What every other answer's body is.
pub(crate) const BODY: &str = "what is guarded";
/// The key of RFC 6455's own example, which every handshake must have, and the answer to it.
pub(crate) const WEBSOCKET_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const WEBSOCKET_ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;
/// What is read at a time of a request, and of a WebSocket.
const READ: usize = 16 * 1024;
const ECHO: usize = 2 * 1024;
/// What long bodies are made of.
static FILLING: [u8; 64 * 1024] = [b'x'; 64 * 1024];

/// A server in this process. It ends with this.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Upstream {
    pub(crate) async fn start() -> Result<Self> {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        let serving = tokio::spawn(accept(listener));
        Ok(Self { address, serving })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn accept(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        // A connection that breaks is the other side's affair.
        tokio::spawn(async { serve(stream).await.ok() });
    }
}

/// What a request gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Words,
    Bytes(usize),
    Broken,
    Echo,
}

/// What must be known of a request.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    is_head: bool,
    answer: Answer,
    /// Of its body.
    length: usize,
}

impl Request {
    /// A request, and the length of its head; `None` while the head is not whole.
    fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>> {
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Request::new(&mut fields);
        let httparse::Status::Complete(end) = head.parse(bytes)? else { return Ok(None) };
        let path = head.path.context("a request has a path")?;
        let mut answer = match path.rsplit_once('/') {
            Some((before, count)) if before.ends_with("/bytes") => Answer::Bytes(count.parse()?),
            Some((_, "broken")) => Answer::Broken,
            _ => Answer::Words,
        };
        let mut length = 0;
        for field in head.headers.iter() {
            if field.name.eq_ignore_ascii_case("content-length") {
                length = std::str::from_utf8(field.value)?.trim().parse().context("a length is a number")?;
            } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
                bail!("only bodies of a known length are read");
            } else if field.name.eq_ignore_ascii_case("sec-websocket-key") {
                ensure!(field.value == WEBSOCKET_KEY.as_bytes(), "the key of a handshake is always the same");
                answer = Answer::Echo;
            }
        }
        Ok(Some((Self { is_head: head.method == Some("HEAD"), answer, length }, end)))
    }
}

async fn serve(mut stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(READ);
    while let Some(request) = read_request(&mut stream, &mut buffer).await? {
        match request.answer {
            Answer::Words => send(&mut stream, &request, BODY.len(), BODY.as_bytes()).await?,
            Answer::Bytes(length) => send(&mut stream, &request, length, &FILLING).await?,
            Answer::Broken => return break_off(stream).await,
            Answer::Echo => return echo(stream).await,
        }
    }
    Ok(())
}

/// Reads a request with its body, of which nothing is kept; `None` when no more comes.
async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Option<Request>> {
    let (request, end) = loop {
        match Request::parse(buffer)? {
            Some(whole) => break whole,
            None if stream.read_buf(buffer).await? == 0 => return Ok(None),
            None => {}
        }
    };
    let mut left = (end + request.length).saturating_sub(buffer.len());
    buffer.drain(..buffer.len().min(end + request.length));
    while left > 0 {
        buffer.clear();
        let read = stream.read_buf(buffer).await?;
        ensure!(read > 0, "a body broke off");
        // The first bytes of the next request stay.
        buffer.drain(..read.min(left));
        left = left.saturating_sub(read);
    }
    Ok(Some(request))
}

/// Sends an answer whose body is `filling`, as often as it takes. A short answer is written at once.
async fn send(stream: &mut TcpStream, request: &Request, length: usize, filling: &[u8]) -> Result<()> {
    let mut out =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\r\n").into_bytes();
    let mut left = if request.is_head { 0 } else { length };
    if left <= READ {
        out.extend(&filling[..left]);
        left = 0;
    }
    stream.write_all(&out).await?;
    while left > 0 {
        let part = left.min(filling.len());
        stream.write_all(&filling[..part]).await?;
        left -= part;
    }
    Ok(())
}

/// Promises more than it sends, and resets the connection.
async fn break_off(mut stream: TcpStream) -> Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nnot all of it").await?;
    Ok(stream.set_zero_linger()?)
}

/// Sends back what comes, frame or not.
async fn echo(mut stream: TcpStream) -> Result<()> {
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {WEBSOCKET_ACCEPT}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await?;
    let mut buffer = vec![0; ECHO];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            read => stream.write_all(&buffer[..read]).await?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_answers_with_and_without_a_body_on_one_connection() {
        let upstream = Upstream::start().await.unwrap();
        let http = crate::http::client(None).unwrap();
        for request in [http.post(upstream.url()).body("abc"), http.get(upstream.url()), http.head(upstream.url())] {
            assert_eq!(request.send().await.unwrap().status(), 200);
        }
        assert_eq!(http.get(upstream.url()).send().await.unwrap().text().await.unwrap(), BODY);
        let long = http.post(format!("{}/user/u/bytes/100000", upstream.url())).body(vec![0; 200_000]);
        assert_eq!(long.send().await.unwrap().bytes().await.unwrap().len(), 100_000);
        let broken = http.get(format!("{}/broken", upstream.url())).send().await.unwrap();
        assert!(broken.bytes().await.is_err());
    }

    #[tokio::test]
    async fn a_websocket_gets_back_what_it_sends() {
        let upstream = Upstream::start().await.unwrap();
        let mut stream = TcpStream::connect(upstream.address).await.unwrap();
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: {WEBSOCKET_KEY}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = vec![0; 1024];
        let read = stream.read(&mut answer).await.unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 101 "));
        stream.write_all(b"ping").await.unwrap();
        let read = stream.read(&mut answer).await.unwrap();
        assert_eq!(&answer[..read], b"ping");
    }
}
