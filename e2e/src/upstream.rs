//! A server to be guarded that costs next to nothing: it answers every request with the same few bytes.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What every answer's body is.
pub(crate) const BODY: &str = "what is guarded";

/// A server in this process. It ends with this.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Upstream {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A connection that breaks is the other side's affair.
                tokio::spawn(async { serve(stream).await.ok() });
            }
        });
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

async fn serve(stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n", BODY.len());
    while let Some(head) = read_head(&mut stream).await? {
        let mut body = vec![0; length_of_body(&head)?];
        stream.read_exact(&mut body).await?;
        let body = if head.starts_with("HEAD ") { "" } else { BODY };
        stream.write_all(format!("{answer}{body}").as_bytes()).await?;
    }
    Ok(())
}

/// A request up to its empty line; `None` when no more comes.
async fn read_head(stream: &mut BufReader<TcpStream>) -> Result<Option<String>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(head))
}

fn length_of_body(head: &str) -> Result<usize> {
    for (name, value) in head.lines().filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("transfer-encoding") {
            bail!("only bodies of a known length are read");
        }
        if name.eq_ignore_ascii_case("content-length") {
            return value.trim().parse().context("a length is a number");
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_answers_with_and_without_a_body_on_one_connection() {
        let upstream = Upstream::start().await.unwrap();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        for request in [http.post(upstream.url()).body("abc"), http.get(upstream.url()), http.head(upstream.url())] {
            assert_eq!(request.send().await.unwrap().status(), 200);
        }
        assert_eq!(http.get(upstream.url()).send().await.unwrap().text().await.unwrap(), BODY);
    }
}
